use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::process::Child;

use crate::ignored::heed_signals;
use crate::place::{Place, c_string, root};

/// What any hello_ll has.
#[track_caller]
pub(crate) fn says_hello(place: &Place) {
    assert_eq!(place.shell("ls -a mnt"), ".\n..\nhello\n");
    assert_eq!(place.shell("cat mnt/hello"), "Hello World!\n");
    assert_eq!(
        place.shell("stat -c '%i %A %h %s' mnt mnt/hello"),
        "1 drwxr-xr-x 2 0\n2 -r--r--r-- 1 13\n"
    );
    assert_eq!(
        place.shell("(echo x >mnt/hello) 2>/dev/null; echo $?"),
        "2\n"
    );
    assert_eq!(place.shell("test -e mnt/hello2; echo $?"), "1\n");
}

fn kill(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: no memory is involved; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn hello_ll_in_the_foreground() {
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    for options in [
        &["-f"][..],
        &["-f", "-s", "-o", "clone_fd"],
        &["-f", "-oclone_fd,max_threads=2,max_idle_threads=0"],
        &["-f", "-o", "dev,suid", "--"],
    ] {
        let mut server = place.serve(
            place.example([options, &["mnt"]].concat()),
            &place.mount_point(),
        );
        let [kind, source, flags] = &place.mount(&place.mount_point())[..] else {
            panic!()
        };
        assert_eq!((&kind[..], &source[..]), ("fuse.hello_ll", "hello_ll"));
        let nodev = !(root() && options.contains(&"dev,suid"));
        assert_eq!(flags.contains("nodev"), nodev, "{flags}");
        says_hello(&place);
        place.unmount(&place.mount_point());
        place.ended(&mut server).well();
    }
}

#[test]
fn hello_ll_s_attributes() {
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    let mut server = place.serve(place.example(["-f", "mnt"]), &place.mount_point());
    check_attributes(&place);
    place.unmount(&place.mount_point());
    place.ended(&mut server).well();
}

fn check_attributes(place: &Place) {
    for name in ["mnt", "mnt/hello"] {
        let path = place.path(name);
        let path = c_string(&path);
        let get = |name: &std::ffi::CStr| {
            let mut value = [0_u8; 64];
            // SAFETY: all live, and `value` has as much room.
            let length = unsafe {
                libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), 64)
            };
            let length = usize::try_from(length).map_err(|_| std::io::Error::last_os_error())?;
            Ok::<_, std::io::Error>(value[..length].to_vec())
        };
        // The kernel lets a user have only `user.` and its like, of which hello_ll knows none; root's are not checked by
        // FUSE, which has one handler for all.
        let value = get(c"hello_ll_getxattr_name");
        assert_eq!(value.unwrap(), b"hello_ll_getxattr_value");
        let error = get(c"user.other").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
        let set = |name: &std::ffi::CStr, value: &[u8]| {
            // SAFETY: all live.
            unsafe {
                libc::setxattr(
                    path.as_ptr(),
                    name.as_ptr(),
                    value.as_ptr().cast(),
                    value.len(),
                    0,
                )
            }
        };
        assert_eq!(
            set(c"hello_ll_setxattr_name", b"hello_ll_setxattr_value"),
            0
        );
        assert_eq!(
            set(c"hello_ll_setxattr_name", b"hello_ll_setxattr_valu"),
            -1
        );
        // SAFETY: both strings live.
        let removed =
            unsafe { libc::removexattr(path.as_ptr(), c"hello_ll_removexattr_name".as_ptr()) };
        assert_eq!(removed, 0);
    }
}

#[test]
fn a_signal_ends_it_and_its_status_says_so() {
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    heed_signals();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let mut server = place.serve(place.example(["-f", "mnt"]), &place.mount_point());
        says_hello(&place);
        kill(&server, signal);
        let ended = place.ended(&mut server);
        assert_eq!((ended.status, &ended.stderr[..]), (1, ""));
        assert!(place.mount(&place.mount_point()).is_empty());
    }
}

#[test]
fn an_ordinary_user_s() {
    let Some(place) = Place::of_nobody("hello_ll") else {
        return;
    };
    let mut server = place.serve(
        place.example(["-f", "mnt", "-o", "ro"]),
        &place.mount_point(),
    );
    says_hello(&place);
    let [kind, source, flags] = &place.mount(&place.mount_point())[..] else {
        panic!()
    };
    assert_eq!((&kind[..], &source[..]), ("fuse.hello_ll", "hello_ll"));
    assert!(
        flags.contains("nosuid,nodev") && flags.starts_with("ro"),
        "{flags}"
    );
    place.unmount(&place.mount_point());
    place.ended(&mut server).well();
}

#[test]
fn paths_and_names_that_are_not_text() {
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    let odd = OsString::from_vec(b"\xff,\\ \xfe".to_vec());
    let path = place.path("odd");
    fs::create_dir(&path).unwrap();
    let path = path.join(&odd);
    fs::create_dir(&path).unwrap();
    let name = OsString::from_vec(b"-ofsname=\xffa\\,b\\\\c".to_vec());
    let arguments = ["-f".into(), name, path.clone().into_os_string()];
    let mut server = place.example(arguments).spawn().unwrap();
    let hello = path.join("hello");
    assert!(crate::place::within(|| hello.exists()));
    let mounts = fs::read("/proc/thread-self/mounts").unwrap();
    let source: &[u8] = b"\n\xffa,b\\134c ";
    assert!(mounts.windows(source.len()).any(|bytes| bytes == source));
    let mut unmount = place.command("fusermount3");
    unmount.arg("-u").arg(&path);
    assert_eq!(place.run(unmount).status, 0);
    place.ended(&mut server).well();
}

#[test]
fn what_it_does_not_take_it_names() {
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    for (arguments, part) in [
        (&["mnt", "-o", "nonsense=3"][..], "nonsense=3"),
        (&["mnt", "--nonsense"], "--nonsense"),
        (&["mnt", "-omax_threads=many"], "many"),
        (&["nowhere"], "nowhere"),
        (&["mnt", "file"], "file"),
        (&["file"], "not a directory"),
        (&["/dev/fd/77"], "77"),
    ] {
        let ended = place.run(place.example(arguments));
        assert_eq!(ended.status, 1, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.starts_with("hello_ll: "), "{ended:?}");
        assert!(ended.stderr.contains(part), "{ended:?}");
        assert!(place.mount(&place.mount_point()).is_empty());
    }
    let ended = place.run(place.example([""; 0]));
    assert_eq!(ended.status, 1);
    assert!(ended.stdout.starts_with("usage: ") && ended.stdout.contains("--help"));
}

/// To the letter as the C one, which says so to stdout and has no failure of it.
#[test]
fn notify_inval_entry_expires_or_increments() {
    let Some(place) = Place::new("notify_inval_entry") else {
        return;
    };
    let ended = place.run(place.example(["-f", "--only-expire", "--inc-epoch", "mnt"]));
    ended.well();
    let said = "'only-expire' and 'inc-epoch' options are exclusive\n";
    assert_eq!((&*ended.stdout, &*ended.stderr), (said, ""));
}

#[test]
fn help_and_version() {
    let Some(place) = Place::new("hello_ll") else {
        return;
    };
    for argument in ["-h", "--help"] {
        let help = place.run(place.example(["--nonsense", argument]));
        assert_eq!((help.status, &help.stderr[..]), (0, ""));
        let lines: Vec<_> = help.stdout.lines().collect();
        assert!(
            lines[0].starts_with("usage: ")
                && lines[0].ends_with("hello_ll [options] <mountpoint>")
        );
        // libfuse's own, in this order.
        let at = |part: &str| lines.iter().position(|line| line.contains(part)).unwrap();
        assert!(
            0 < at("--version")
                && at("--version") < at("clone_fd")
                && at("clone_fd") < at("allow_other")
        );
    }
    for argument in ["-V", "--version"] {
        let version = place.run(place.example([argument]));
        assert_eq!(version.status, 0, "{version:?}");
        assert!(version.stdout.contains("FUSE library version "));
        assert!(
            version
                .stdout
                .contains("using FUSE kernel interface version 7.")
        );
    }
}

/// As C's since libfuse 3.18: its own options, and then libfuse's.
#[test]
fn passthrough_hp_s_help() {
    let Some(place) = Place::new("passthrough_hp") else {
        return;
    };
    let help = place.run(place.example(["--help"]));
    help.well();
    let usage = "Usage: passthrough_hp --help\n       \
        passthrough_hp [options] <source> <mountpoint>\n\n";
    let rest = help.stdout.strip_prefix(usage).unwrap();
    let (own, libfuse_s) = rest.split_once("\n\nFuse lowlevel options:\n").unwrap();
    assert!(own.starts_with("options:\n"), "{own}");
    for option in [
        "debug",
        "debug-fuse",
        "foreground",
        "help",
        "nocache",
        "nosplice",
        "nopassthrough",
        "single",
        "num-threads",
        "clone-fd",
        "direct-io",
    ] {
        assert!(
            own.contains(&format!("\n      --{option}")),
            "{option} in {own}"
        );
    }
    assert!(own.contains("\n  -o "), "{own}");
    let mut lines = libfuse_s.lines();
    assert!(
        lines.next().unwrap().starts_with("    -o allow_other "),
        "{libfuse_s}"
    );
    assert!(lines.all(|line| line.starts_with("    -o ")), "{libfuse_s}");
}

#[test]
fn null_is_mounted_over_a_file() {
    let Some(place) = Place::new("null") else {
        return;
    };
    let file = place.path("file");
    let mut server = place.serve(place.example(["-f", "file"]), &file);
    assert_eq!(place.mount(&file)[..2], ["fuse.null", "null"]);
    assert_eq!(
        place.shell("stat -c '%A %h %s' file"),
        "-rw-r--r-- 1 4294967296\n"
    );
    assert_eq!(place.shell("head -c 382 file | tr -d '\\0' | wc -c"), "0\n");
    assert_eq!(place.shell("head -c 3000000 file | wc -c"), "3000000\n");
    assert_eq!(place.shell("tail -c 5 file | wc -c"), "5\n");
    assert_eq!(
        place.shell("printf whatever >file && truncate -s 3 file && stat -c %s file"),
        "4294967296\n"
    );
    assert_eq!(
        place.shell("head -c 8 file | od -An -tu1"),
        "   0   0   0   0   0   0   0   0\n"
    );
    assert_eq!(place.shell("chmod 600 file 2>/dev/null; echo $?"), "1\n");
    place.unmount(&file);
    place.ended(&mut server).well();
    assert_eq!(fs::read_to_string(&file).unwrap(), "below");

    // The status is that of C's `fuse_main()`.
    let mut server = place.serve(place.example(["-f", "file"]), &file);
    assert_eq!(place.shell("stat -c %s file"), "4294967296\n");
    kill(&server, libc::SIGTERM);
    let ended = place.ended(&mut server);
    assert_eq!((ended.status, &ended.stderr[..]), (8, ""));

    let directory = place.run(place.example(["mnt"]));
    assert_eq!(directory.status, 1);
    assert!(
        directory.stderr.contains("not a regular file"),
        "{directory:?}"
    );
}

#[test]
fn null_of_an_ordinary_user() {
    let Some(place) = Place::of_nobody("null") else {
        return;
    };
    let file = place.path("file");
    let mut server = place.serve(place.example(["-f", "file"]), &file);
    let owner = place.shell("stat -c %u file");
    assert_eq!(owner, place.shell("id -u"));
    place.unmount(&file);
    place.ended(&mut server).well();
}

/// What libfuse's printcap prints, in this order; what it does not know is to come after it.
const PRINTCAP: [&str; 28] = [
    "ASYNC_READ",
    "POSIX_LOCKS",
    "ATOMIC_O_TRUNC",
    "EXPORT_SUPPORT",
    "DONT_MASK",
    "SPLICE_MOVE",
    "SPLICE_READ",
    "SPLICE_WRITE",
    "FLOCK_LOCKS",
    "IOCTL_DIR",
    "AUTO_INVAL_DATA",
    "READDIRPLUS",
    "READDIRPLUS_AUTO",
    "ASYNC_DIO",
    "WRITEBACK_CACHE",
    "NO_OPEN_SUPPORT",
    "PARALLEL_DIROPS",
    "POSIX_ACL",
    "CACHE_SYMLINKS",
    "NO_OPENDIR_SUPPORT",
    "EXPLICIT_INVAL_DATA",
    "EXPIRE_ONLY",
    "SETXATTR_EXT",
    "HANDLE_KILLPRIV",
    "HANDLE_KILLPRIV_V2",
    "DIRECT_IO_ALLOW_MMAP",
    "NO_EXPORT_SUPPORT",
    "PASSTHROUGH",
];

/// As libfuse's, which knows no options but those of mounts.
#[test]
fn printcap_refuses_what_it_does_not_know() {
    let Some(place) = Place::new("printcap") else {
        return;
    };
    for (arguments, part) in [
        (&["--help"][..], "--help"),
        (&["-h"], "-h"),
        (&["-V"], "-V"),
        (&["--version"], "--version"),
        (&["-f"], "-f"),
        (&["mnt"], "mnt"),
        (&["-o"], "-o"),
        (&["-ofoo"], "foo"),
    ] {
        let ended = place.run(place.example(arguments));
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.stdout.contains("FUSE library version "), "{ended:?}");
        assert!(ended.stderr.starts_with("printcap: "), "{ended:?}");
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
    let ended = place.run(place.example(["-d", "-o", "ro"]));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stderr.contains("INIT"), "{ended:?}");
}

#[test]
fn printcap_prints_a_line_for_each_capability() {
    let places = [Place::new as fn(&str) -> _, Place::of_nobody];
    for place in places {
        let Some(place) = place("printcap") else {
            continue;
        };
        let ended = place.run(place.example([""; 0]));
        ended.well();
        let lines: Vec<_> = ended.stdout.lines().collect();
        let position = |start: &str| lines.iter().position(|line| line.starts_with(start));
        assert!(position("FUSE library version ").is_some());
        let protocol = position("Protocol version: 7.").unwrap();
        assert_eq!(lines[protocol + 1], "Capabilities:");
        let capabilities = &lines[protocol + 2..];
        assert!(capabilities.len() > 10, "{ended:?}");
        assert!(
            capabilities
                .iter()
                .all(|line| line.starts_with("\tFUSE_CAP_"))
        );
        assert!(capabilities.contains(&"\tFUSE_CAP_ASYNC_READ"));
        let names = capabilities.iter().map(|line| &line["\tFUSE_CAP_".len()..]);
        let at = |name| PRINTCAP.iter().position(|known| *known == name);
        let ranks: Vec<_> = names
            .map(|name| at(name).unwrap_or(PRINTCAP.len()))
            .collect();
        assert!(ranks.is_sorted(), "{ended:?}");
        let left = fs::read_dir(std::env::temp_dir()).unwrap().any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().starts_with("fuse_printcap_")
        });
        assert!(!left, "its directory is left behind");
    }
}

/// `printcap | head -1`, with a reader that is gone before anything is written.
#[test]
fn printcap_ends_as_a_filter_does() {
    let Some(place) = Place::new("printcap") else {
        return;
    };
    let mut command = place.example([""; 0]);
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let ended = place.run({
        command.stdout(OwnedFd::from(writer));
        command
    });
    assert_eq!(ended.status, 128 + libc::SIGPIPE, "{ended:?}");
    assert_eq!(ended.stderr, "");
}
