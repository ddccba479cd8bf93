//! The examples `poll` and `ioctl_ll`, through the kernel, with their clients.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
    let ended = mounted.signal("TERM");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stderr, "");
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
}
