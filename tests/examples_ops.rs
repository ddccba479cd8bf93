//! The examples `poll`, `ioctl_ll` and `cuse`, through the kernel, with their clients.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mount::skip::skip;
use mount::{Mounted, program};

/// After so long a file system is killed, and its clients get an error.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a client prints, which has to succeed.
#[track_caller]
fn output(client: &mut Command) -> String {
    let output = client.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"");
    String::from_utf8(output.stdout).unwrap()
}

/// What a client says that fails.
#[track_caller]
fn failure(client: &mut Command) -> String {
    let output = client.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn poll_wakes_its_client() {
    let Some(mounted) = Mounted::new("poll", &["-f"], DEADLINE) else {
        return;
    };
    let mut names: Vec<_> = fs::read_dir(mounted.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.concat(), "0123456789ABCDEF");

    let printed = output(Command::new(program::built("poll_client")).current_dir(mounted.path()));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 16, "{printed}");
    let mut read = 0;
    for line in lines {
        let columns = line.as_bytes().chunks(5);
        assert_eq!(columns.len(), 16, "{line}");
        let mut ready = 0;
        for (column, name) in columns.zip("0123456789ABCDEF".bytes()) {
            match column {
                b"_:   " => {}
                [file, b':', tens, ones, b' '] if *file == name => {
                    ready += 1;
                    read += u32::from((tens - b'0') * 10 + ones - b'0');
                }
                _ => panic!("{line}"),
            }
        }
        assert!(ready > 0, "woken for nothing: {line}");
    }
    assert!(read >= 16, "{printed}");

    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr, "");
    for what in ["NOTIFY ", "POLL   ", "READ   "] {
        assert!(ended.stdout.contains(what), "{ended:?}");
    }
    let taken: u32 = ended
        .stdout
        .lines()
        .filter_map(|line| line.split("transferred=").nth(1))
        .map(|rest| rest.split(' ').next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert_eq!(taken, read);
}

#[test]
fn files_of_poll_are_read_only_and_opened_once() {
    let Some(mounted) = Mounted::new("poll", &["-f"], DEADLINE) else {
        return;
    };
    let shell = |script: &str| {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).current_dir(mounted.path());
        sh.env("LC_ALL", "C").status().unwrap().success()
    };
    assert!(shell("exec 3< 0"));
    assert!(!shell("exec 2> /dev/null 3< 0 4< 0"));
    assert!(!shell("exec 2> /dev/null 3>> 0"));
    assert!(!shell("cat G 2> /dev/null"));
    ended_by_a_signal(mounted);
}

/// The status is that of C's `fuse_main()`.
#[track_caller]
fn ended_by_a_signal(mounted: Mounted) {
    // Once it answers, it handles signals.
    fs::metadata(mounted.path()).unwrap();
    let ended = mounted.signal("TERM");
    assert_eq!(ended.status.code(), Some(8), "{ended:?}");
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
}

fn client(arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(program::built("ioctl_client"));
    command.arg(file).args(arguments);
    command
}

#[test]
fn ioctl_asks_for_a_size_and_sets_it() {
    let Some(mounted) = Mounted::new("ioctl_ll", &["-f"], DEADLINE) else {
        return;
    };
    let file = mounted.path().join("fioc");
    assert_eq!(output(&mut client(&[], &file)), "0\n");
    fs::write(&file, "foobar").unwrap();
    assert_eq!(output(&mut client(&[], &file)), "6\n");
    assert_eq!(output(&mut client(&["3"], &file)), "");
    assert_eq!(output(&mut client(&[], &file)), "3\n");
    assert_eq!(fs::read(&file).unwrap(), b"foo");
    assert_eq!(output(&mut client(&["5"], &file)), "");
    assert_eq!(fs::read(&file).unwrap(), b"foo\0\0");
    let size = File::options().write(true).open(&file).unwrap();
    size.set_len(1).unwrap();
    drop(size);
    assert_eq!(output(&mut client(&[], &file)), "1\n");
    fs::write(&file, "").unwrap();
    assert_eq!(output(&mut client(&[], &file)), "0\n");

    let said = failure(&mut client(&["1000000000000"], &file));
    assert!(said.starts_with("ioctl: "), "{said}");
    let said = failure(&mut client(&[], &mounted.path().join("other")));
    assert!(said.starts_with("open: "), "{said}");
    let said = failure(&mut Command::new(program::built("ioctl_client")));
    assert!(said.starts_with("Usage: "), "{said}");

    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((ended.stdout, ended.stderr), (String::new(), String::new()));
    ended_by_a_signal(Mounted::new("ioctl_ll", &["-f"], DEADLINE).unwrap());
}

/// What `cuse` says, which fails, and makes no device.
#[track_caller]
fn no_device(arguments: &[&str]) -> String {
    failure(Command::new(program::built("cuse")).args(arguments))
}

/// As the C program: to stderr, with status 1.
#[test]
fn cuse_explains_itself() {
    let usage = no_device(&["--help"]);
    for line in [
        "usage: cuse [options]",
        "    --maj=MAJ|-M MAJ      device major number",
        "    --name=NAME|-n NAME   device name (mandatory)",
        "    -f                    foreground operation",
    ] {
        assert!(usage.lines().any(|printed| printed == line), "{usage}");
    }
    assert_eq!(no_device(&["-f", "-h", "--wrong"]), usage);
    assert_eq!(no_device(&["-V", "-h"]), usage);
}

#[test]
fn cuse_names_the_argument_that_is_wrong() {
    for (arguments, said) in [
        (&[][..], "cuse: device name missing\n"),
        (&["-f", "-M", "1", "--min=2"], "cuse: device name missing\n"),
        (&["-V"], "cuse: device name missing\n"),
        (&["--version"], "cuse: device name missing\n"),
        (&["-n"], "cuse: the option -n needs a value after it\n"),
        (&["--name=x", "--wrong"], "cuse: unknown option --wrong\n"),
        (&["--name=x", "y"], "cuse: one argument too many: y\n"),
        (
            &["--name="],
            "cuse: the character device cannot be made: its name is empty\n",
        ),
    ] {
        assert_eq!(no_device(arguments), said, "{arguments:?}");
    }
    let said = no_device(&["-n", "x", "--maj=abc"]);
    assert!(
        said.starts_with("cuse: the option --maj does not take the value \"abc\": "),
        "{said}"
    );
}

/// A device that nobody else has, for as long as it takes; or, where the kernel has no CUSE, the reason.
#[test]
fn cuse_makes_a_device() {
    let name = format!("fuse3-test-{}", std::process::id());
    let option = format!("--name={name}");
    if let Err(error) = File::options().read(true).write(true).open("/dev/cuse") {
        let said = no_device(&["-f", &option]);
        let expected = format!("cuse: /dev/cuse cannot be opened: {error}; ");
        assert!(said.starts_with(&expected), "{said}");
        // In the background, too: the process in the foreground says so before it ends.
        assert_eq!(no_device(&[&option, "-M", "240", "-m7"]), said);
        return skip("the device of cuse", format_args!("/dev/cuse: {error}"));
    }
    let mut server = Command::new(program::built("cuse"))
        .args(["-f", &option])
        .spawn()
        .unwrap();
    let device = Path::new("/dev").join(name);
    let made = mount::within(DEADLINE, || device.exists());
    let written = made.then(|| fs::write(&device, "foobar"));
    let read = fs::read(&device);
    let size = Command::new(program::built("ioctl_client"))
        .arg(&device)
        .output();
    let kill = format!("kill -TERM {}", server.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    let ended = mount::within(DEADLINE, || server.try_wait().unwrap().is_some());
    if !ended {
        server.kill().unwrap();
    }
    let status = server.wait().unwrap();
    assert!(made, "there is no {}", device.display());
    assert!(written.unwrap().is_ok());
    assert_eq!(read.unwrap(), b"foobar");
    assert_eq!(size.unwrap().stdout, b"6\n");
    // A signal is how it is ended.
    assert!(status.success(), "{status:?}");
    assert!(mount::within(DEADLINE, || !device.exists()));
}
