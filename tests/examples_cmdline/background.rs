//! In the background. Its process becomes a child of this one, which so learns how it ended.

use std::ffi::CString;
use std::fs::{self, File};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;

use crate::foreground::says_hello;
use crate::place::{Place, c_string, need, own_devices, root, shell_status, within};
use crate::skip::skip;

/// From now on processes whose parent has ended are this one's children.
fn adopt() {
    // SAFETY: the call changes this process only.
    let adopts = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    assert_eq!(adopts, 0);
}

/// The status of the process in the background, when it has ended; there are no other children (`Place`).
#[track_caller]
fn adopted_ended() -> i32 {
    let mut ended = None;
    let waited = within(|| {
        let mut status = 0;
        // SAFETY: `status` lives.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        ended = (pid > 0).then(|| ExitStatus::from_raw(status));
        ended.is_some()
    });
    assert!(waited, "it did not end");
    shell_status(ended.unwrap())
}

#[track_caller]
fn serves_and_ends(place: &Place) {
    says_hello(place);
    place.unmount(&place.mount_point());
    assert_eq!(adopted_ended(), 0);
}

#[test]
fn it_goes_there_once_it_serves() {
    adopt();
    for place in [Place::new as fn(&str) -> _, Place::of_nobody] {
        let Some(place) = place("hello_ll") else {
            continue;
        };
        let ended = place.run(place.example(["mnt"]));
        ended.well();
        assert_eq!((&ended.stdout[..], &ended.stderr[..]), ("", ""));
        // No waiting: it is mounted, and has begun.
        assert_eq!(place.mount(&place.mount_point())[0], "fuse.hello_ll");
        serves_and_ends(&place);
    }
}

#[test]
fn what_fails_before_is_not_lost() {
    adopt();
    // The mount succeeds, and no file system can be served on it.
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    let file = place.path("file");
    let mut command = place.command("sh");
    let script = format!(
        "exec 3<>{}; exec {} /dev/fd/3",
        file.display(),
        place.program().display()
    );
    command.args(["-c", &script]);
    let ended = place.run(command);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains("hello_ll: "), "{ended:?}");
}

#[test]
fn mount_fuse3_runs_it() {
    adopt();
    let Some(mount_fuse3) = need("mount.fuse3") else {
        return;
    };
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    for options in [
        "dev,suid",
        "ro,noexec,nosuid,clone_fd,max_threads=3",
        "drop_privileges",
    ] {
        if options == "drop_privileges" && !root() {
            skip("mount_fuse3_runs_it", "only root can drop privileges");
            continue;
        }
        let mut command = place.command(&mount_fuse3);
        command
            .arg(place.program())
            .arg("mnt")
            .args(["-o", options]);
        place.run(command).well();
        let flags = place.mount(&place.mount_point()).pop().unwrap();
        assert_eq!(flags.contains("nodev"), !root(), "{flags}");
        assert_eq!(
            flags.contains("noexec"),
            options.contains("noexec"),
            "{flags}"
        );
        serves_and_ends(&place);
    }
}

/// The program as mount(8) finds it, which keeps no LD_LIBRARY_PATH, by which this libfuse may have been found.
fn reached(place: &Place) -> PathBuf {
    let libraries = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec '{}' \"$@\"\n",
        place.program().display()
    );
    let program = place.path("program");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn mount_and_fstab_run_it() {
    adopt();
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    // SAFETY: no precondition.
    if unsafe { libc::geteuid() } != 0 || need("mount.fuse").is_none() {
        return;
    }
    let program = reached(&place);

    let of_the_program = format!("fuse.{}", program.display());
    let program_s = program.to_str().unwrap();
    for words in [["fuse", program_s], [&of_the_program, ""]] {
        let mut command = place.command("mount");
        command.arg("-t").args(words).arg(place.mount_point());
        place.run(command).well();
        serves_and_ends(&place);
    }

    let line = format!(
        "{} {} fuse ro,noauto,nofail,_netdev,x-systemd.device-timeout=5 0 0\n",
        program.display(),
        place.mount_point().display()
    );
    fs::write(place.path("fstab"), line).unwrap();
    let mut command = place.command("mount");
    command.args(["-T", "fstab"]).arg(place.mount_point());
    place.run(command).well();
    assert!(place.mount(&place.mount_point())[2].starts_with("ro,"));
    serves_and_ends(&place);
}

/// `PROG#SOURCE`, and SOURCE of the type `fuse.PROG`, as arguments and as lines of fstab. The program stays in the foreground.
#[test]
fn what_there_is_to_mount_is_passed_on() {
    let Some(place) = Place::new("passthroughfs") else {
        return;
    };
    // SAFETY: no precondition.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let Some(mount_fuse3) = need("mount.fuse3") else {
        return;
    };
    let source = place.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("name"), "text\n").unwrap();
    let (source, point) = (source.to_str().unwrap(), place.mount_point());
    let point = point.to_str().unwrap();
    let program = reached(&place);
    let device = format!("{}#{source}", program.display());
    let kind = format!("fuse.{}", program.display());
    let fstab = [(&device[..], "fuse"), (source, &kind)];
    let fstab = fstab.map(|(device, kind)| format!("{device} {point} {kind} noauto,dev 0 0\n"));
    let mount = Path::new("mount");
    for (command, arguments, line) in [
        (&*mount_fuse3, &[&device[..], point, "-o", "dev"][..], ""),
        (mount, &["-t", "fuse", &device, point], ""),
        (mount, &["-t", &kind, source, point], ""),
        (mount, &["-T", "fstab", point], &fstab[0]),
        (mount, &["-T", "fstab", point], &fstab[1]),
    ] {
        fs::write(place.path("fstab"), line).unwrap();
        let mut command = place.command(command);
        command.args(arguments);
        let mut server = place.serve(command, Path::new(point));
        assert_eq!(place.shell("cat mnt/name"), "text\n", "{arguments:?}");
        let mount = place.mount(Path::new(point));
        assert_eq!(mount[..2], ["fuse.passthroughfs", source]);
        place.unmount(Path::new(point));
        place.ended(&mut server).well();
    }
}

#[test]
fn a_descriptor_that_somebody_else_mounted() {
    if !root() {
        return;
    }
    adopt();
    let hello = |place: &Place| assert_eq!(place.shell("cat mnt/hello"), "Hello World!\n");
    let file = |place: &Place| assert_eq!(place.shell("ls mnt/file"), "mnt/file\n");
    served_for_another("hello_ll", &["-f"], false, says_hello);
    served_for_another("hello_ll", &[], true, says_hello);
    // These read their arguments by themselves.
    served_for_another("hello", &[], false, hello);
    served_for_another("passthrough_hp", &["--foreground", "."], false, file);
    served_for_another("passthrough_hp", &["."], true, file);
}

/// `example`, as `mount.fuse3 -o drop_privileges` runs it: with the open /dev/fuse of a mount that is there already.
fn served_for_another(
    example: &str,
    arguments: &[&str],
    background: bool,
    serves: impl Fn(&Place),
) {
    let Some(place) = Place::new(example) else {
        return;
    };
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .unwrap();
    // What the example asks for, which serves no mount without.
    let (flags, asked) = match example {
        "hello" => (libc::MS_RDONLY, ""),
        "passthrough_hp" => (0, ",default_permissions"),
        _ => (0, ""),
    };
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0{asked}",
        device.as_raw_fd()
    );
    let options = CString::new(options).unwrap();
    let point = c_string(&place.mount_point());
    // SAFETY: all strings live and are NUL-terminated.
    let mounted = unsafe {
        libc::mount(
            c"hello".as_ptr(),
            point.as_ptr(),
            c"fuse.given".as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(mounted, 0);
    let mut command = place.example(arguments);
    command.arg(format!("/dev/fd/{GIVEN}"));
    give(&mut command, device);
    let mut child = command.spawn().unwrap();
    // The command has a copy of the descriptor, which goes with it.
    drop(command);
    if background {
        place.ended(&mut child).well();
        serves(&place);
        place.unmount(&place.mount_point());
        assert_eq!(adopted_ended(), 0);
    } else {
        serves(&place);
        place.unmount(&place.mount_point());
        place.ended(&mut child).well();
    }
}

/// passthrough_hp, as C's since libfuse 3.17: there is no stderr there.
#[test]
fn what_is_logged_there_goes_to_syslog() {
    adopt();
    let Some(place) = Place::new("passthrough_hp") else {
        return;
    };
    // SAFETY: no precondition.
    if unsafe { libc::geteuid() } != 0 {
        return skip("passthrough_hp", "a /dev/log of its own is root's to make");
    }
    // The mounts are those of one thread.
    let logs = thread::scope(|scope| {
        let logging = scope.spawn(|| {
            let logs = catch_unwind(AssertUnwindSafe(|| logs(&place)));
            place.release();
            logs
        });
        logging.join().unwrap()
    });
    let lines = logs.unwrap_or_else(|panic| resume_unwind(panic));
    let line = lines.iter().find(|line| line.contains("opcode: LOOKUP"));
    let line = line.unwrap_or_else(|| panic!("{lines:?}"));
    // The facility is LOG_DAEMON.
    let priority = format!("<{}>", libc::LOG_DAEMON | libc::LOG_DEBUG);
    assert!(line.starts_with(&priority), "{line}");
    let (name, said) = line.split_once("]: ").unwrap();
    assert!(name.contains(" passthrough-hp["), "{line}");
    assert!(
        said.starts_with("unique: ") || said.starts_with("dev unique: "),
        "{line}"
    );
}

/// What passthrough_hp logs, mounted in a /dev of its own.
fn logs(place: &Place) -> Vec<String> {
    own_devices().unwrap();
    let log = UnixDatagram::bind("/dev/log").unwrap();
    let reading = log.try_clone().unwrap();
    // Not read, it would have the server wait soon.
    let lines = thread::spawn(move || {
        let mut lines = Vec::new();
        let mut line = [0; 4096];
        loop {
            match reading.recv(&mut line).unwrap() {
                0 => return lines,
                length => lines.push(String::from_utf8_lossy(&line[..length]).into_owned()),
            }
        }
    });
    let ended = place.run(place.example(["-o", "debug", ".", "mnt"]));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(!ended.stderr.contains("LOOKUP"), "{ended:?}");
    assert_eq!(place.shell("ls mnt/file"), "mnt/file\n");
    place.unmount(&place.mount_point());
    assert_eq!(adopted_ended(), 0);
    log.shutdown(Shutdown::Both).unwrap();
    lines.join().unwrap()
}

/// The descriptor's number in the command: larger than what the standard library uses meanwhile.
const GIVEN: i32 = 60;

fn give(command: &mut std::process::Command, device: File) {
    use std::os::unix::process::CommandExt;
    let give = move || {
        // SAFETY: the closure has the one, and the child nothing at the other.
        match unsafe { libc::dup2(device.as_raw_fd(), GIVEN) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec it makes one system call, and allocates nothing.
    unsafe { command.pre_exec(give) };
}
