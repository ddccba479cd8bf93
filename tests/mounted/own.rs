//! What a session unmounts: its own mount, however it ended and wherever that is by now, and nothing else.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::Path;

use fuse3::testing::{Mount, MountPoint, Watchdog};
use fuse3::{Handle, Reason};

use crate::child::this_test;
use crate::fixture::{
    TempDir, c_string, force_unmount, is_mounted, is_root, mounts_below, mounts_on, require_mount,
    skip,
};
use crate::given::mounted_on;
use crate::probe::Probe;

/// `umount2(2)` or `mount(2)` of a kind, by root.
fn unmount(path: &Path, flags: i32) {
    let path = c_string(path);
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::umount2(path.as_ptr(), flags) };
}

fn mount(source: &Path, path: &Path, kind: &CStr, flags: libc::c_ulong) {
    let (source, path) = (c_string(source), c_string(path));
    // SAFETY: the strings are NUL-terminated; there is no data.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            path.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The control file system's directory of what is mounted on `path`.
fn control(path: &Path) -> String {
    let line = mounts_on(path).pop().unwrap();
    let device = line.split(' ').nth(2).unwrap();
    let (_, number) = device.split_once(':').unwrap();
    format!("/sys/fs/fuse/connections/{number}")
}

fn abort(path: &Path) {
    let at = Path::new("/sys/fs/fuse/connections");
    let mounted = !is_mounted(at);
    if mounted {
        mount(Path::new("none"), at, c"fusectl", 0);
    }
    fs::write(format!("{}/abort", control(path)), "1").unwrap();
    if mounted {
        unmount(at, libc::MNT_DETACH);
    }
}

type End = (&'static str, Reason, fn(&Path, &Handle));

/// Ways to end, each with the reason that is told.
const ENDS: [End; 5] = [
    ("terminate", Reason::Terminated, |_, handle| {
        handle.terminate()
    }),
    ("abort", Reason::Unmounted, |path, _| abort(path)),
    ("umount -f", Reason::Unmounted, |path, _| {
        unmount(path, libc::MNT_FORCE);
    }),
    ("abort, umount -l", Reason::Unmounted, |path, _| {
        abort(path);
        unmount(path, libc::MNT_DETACH);
    }),
    ("umount -fl", Reason::Unmounted, |path, _| {
        unmount(path, libc::MNT_FORCE | libc::MNT_DETACH);
    }),
];

#[test]
fn nothing_is_left_however_it_ends() {
    require_mount!();
    if !is_root() {
        return skip("ends by root", "only root may");
    }
    for busy in [false, true] {
        for (what, reason, end) in ENDS {
            let mut mount = Probe::new().mount();
            fs::metadata(mount.join("file")).unwrap();
            let open = busy.then(|| File::open(mount.join("file")).unwrap());
            end(mount.path(), &mount.handle());
            assert_eq!(mount.ended().reason, reason, "{what}");
            assert!(!is_mounted(mount.path()), "{what}");
            drop(open);
        }
    }
}

/// Of what is mounted there, another's stays, also where it is a FUSE file system.
#[test]
fn what_somebody_else_has_mounted_there_meanwhile_stays() {
    require_mount!();
    if !is_root() {
        return skip("mounts by hand", "only root may");
    }
    for kind in ["tmpfs", "fuse"] {
        let point = MountPoint::new();
        let path = point.path();
        let _watchdog = Watchdog::new(path);
        let session = Probe::new().builder().mount(path).unwrap();
        let handle = session.handle();
        let server = std::thread::spawn(move || session.run());
        // Open, it lives on after the lazy unmount.
        let open = File::open(path.join("file")).unwrap();
        unmount(path, libc::MNT_DETACH);
        let device = match kind {
            "tmpfs" => {
                mount(Path::new("other"), path, c"tmpfs", 0);
                None
            }
            _ => Some(mounted_on(path, "fuse.other", 0, "")),
        };
        handle.terminate();
        let end = server.join().unwrap().unwrap();
        assert_eq!(end.reason, Reason::Terminated);
        let left = mounts_on(path);
        assert!(
            left.len() == 1 && left[0].contains(kind),
            "{kind}: {left:?}"
        );
        drop((open, device));
        force_unmount(path);
    }
}

/// The directory above was renamed, so that the path leads nowhere.
#[test]
fn one_that_was_moved_is_unmounted_where_it_is() {
    require_mount!();
    if !is_root() {
        return skip("mounts by hand", "only root may");
    }
    let dir = TempDir::new();
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    fs::create_dir_all(before.join("mnt")).unwrap();
    let session = Probe::new().builder().mount(before.join("mnt")).unwrap();
    fs::rename(&before, &after).unwrap();
    assert_eq!(mounts_below(dir.path()), [after.join("mnt")]);
    session.close();
    assert!(mounts_below(dir.path()).is_empty());
}

/// What others have bound elsewhere is theirs, and what is mounted on top is somebody's.
#[test]
fn what_others_have_bound_stays_and_so_does_what_is_on_top() {
    require_mount!();
    if !is_root() {
        return skip("mounts by hand", "only root may");
    }
    let (point, bound) = (MountPoint::new(), MountPoint::new());
    let session = Probe::new().builder().mount(point.path()).unwrap();
    mount(point.path(), bound.path(), c"none", libc::MS_BIND);
    session.close();
    assert!(!is_mounted(point.path()));
    assert!(is_mounted(bound.path()));
    force_unmount(bound.path());

    let session = Probe::new().builder().mount(point.path()).unwrap();
    mount(Path::new("other"), point.path(), c"tmpfs", 0);
    session.close();
    let left = mounts_on(point.path());
    assert!(left.last().unwrap().contains("tmpfs"), "{left:?}");
    assert_eq!(left.len(), 2, "{left:?}");
    force_unmount(point.path());
    force_unmount(point.path());
}

/// fusermount3 does it for a user.
#[test]
fn a_user_s_is_unmounted_however_it_ends() {
    crate::input::by_a_user(
        this_test!(),
        || (),
        || {
            let mut mount = Mount::new(Probe::new().builder());
            let open = File::open(mount.join("file")).unwrap();
            let connection = control(mount.path());
            let aborted = fs::write(format!("{connection}/abort"), "1").is_ok();
            if !aborted {
                mount.handle().terminate();
            }
            mount.ended();
            assert!(!is_mounted(mount.path()), "aborted: {aborted}");
            drop(open);
        },
    );
}
