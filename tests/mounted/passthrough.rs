//! Files that the kernel reads and writes in place of the file system.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use fuse3::passthrough::BackingId;
use fuse3::session::SessionStats;
use fuse3::{Capabilities, Context, Operation};

use crate::fixture::{is_root, require_mount, skip, until};
use crate::real::{Real, SIZE, contents};

/// Returns from the test, loudly, where libfuse or the kernel have no passthrough.
macro_rules! require_passthrough {
    () => {
        require_mount!();
        if !Capabilities::known().contains(Capabilities::PASSTHROUGH) {
            skip(module_path!(), "passthrough needs libfuse 3.17");
            return;
        }
    };
    (by root) => {
        require_passthrough!();
        if !is_root() {
            skip(module_path!(), "passthrough takes CAP_SYS_ADMIN");
            return;
        }
    };
}

fn requests(stats: &SessionStats, operation: Operation) -> u64 {
    let count = stats.requests.iter().find(|(of, _)| *of == operation);
    count.map_or(0, |(_, count)| *count)
}

fn shared(
    fs: &Real,
    cx: &mut Context<'_, Real>,
    file: &File,
) -> io::Result<Option<Arc<BackingId>>> {
    let open = || {
        fs.opened.fetch_add(1, Ordering::Relaxed);
        cx.open_backing(file)
    };
    fs.backing.get_or_open(open).map(Some)
}

/// Nobody but this one has the file open: the kernel gives a lease for writing then.
fn is_closed(path: &Path) -> bool {
    let file = File::options().write(true).open(path).unwrap();
    // SAFETY: the descriptor is open; no memory is involved.
    let leased = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    if leased != 0 {
        let error = io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}");
    }
    leased == 0
}

#[test]
fn one_backing_file_per_inode_from_first_open_to_last_release() {
    require_passthrough!(by root);
    let mount = Real::new(Capabilities::PASSTHROUGH).on_open(shared).mount();
    let path = mount.join("file");
    let open = || File::options().read(true).write(true).open(&path).unwrap();
    for round in 1..=3 {
        let (first, second) = (open(), open());
        first.write_all_at(&contents(round), 0).unwrap();
        let mut there = vec![0; SIZE];
        second.read_exact_at(&mut there, 0).unwrap();
        assert!(there == contents(round));
        drop(first);
        second.read_exact_at(&mut there, 0).unwrap();
        assert!(there == contents(round));
        drop(second);
        let released = || requests(&mount.handle().stats(), Operation::Release);
        until(|| released() == 2 * u64::from(round));
    }
    let end = mount.end();
    assert_eq!(end.fs.opened.load(Ordering::Relaxed), 3);
    assert_eq!(requests(&end.stats, Operation::Read), 0);
    assert_eq!(requests(&end.stats, Operation::Write), 0);
    assert!(fs::read(end.fs.path()).unwrap() == contents(3));
}

/// The kernel has closed it, not just this crate.
#[test]
fn nothing_is_left_open() {
    require_passthrough!(by root);
    let kept: Arc<Mutex<Weak<BackingId>>> = Arc::default();
    let weak = Arc::clone(&kept);
    let other = tempfile();
    let its_path = other.clone();
    let fs = Real::new(Capabilities::PASSTHROUGH).on_open(move |_, cx, _| {
        let file = File::options().read(true).write(true).open(&its_path)?;
        let backing = Arc::new(cx.open_backing(&file)?);
        *weak.lock().unwrap() = Arc::downgrade(&backing);
        Ok(Some(backing))
    });
    let mount = fs.mount();
    assert!(is_closed(&other), "the test would see nothing");
    let file = File::open(mount.join("file")).unwrap();
    assert!(!is_closed(&other));
    assert_eq!(kept.lock().unwrap().strong_count(), 1);
    drop(file);
    until(|| kept.lock().unwrap().strong_count() == 0);
    until(|| is_closed(&other));
    // With the session open files end, too.
    let file = File::open(mount.join("file")).unwrap();
    mount.end();
    drop(file);
    until(|| is_closed(&other));
    fs::remove_file(other).unwrap();
}

fn tempfile() -> std::path::PathBuf {
    let name = format!("fuse3-backing-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, contents(0)).unwrap();
    path
}

/// `struct __user_cap_header_struct` and two of `struct __user_cap_data_struct`, of capget(2).
type Caps = ([u32; 2], [u32; 6]);

fn get_caps() -> Caps {
    const VERSION_3: u32 = 0x2008_0522;
    let mut caps = ([VERSION_3, 0], [0; 6]);
    // SAFETY: both arrays have the size that capget(2) writes.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut caps.0, &raw mut caps.1) };
    assert_eq!(got, 0);
    caps
}

fn set_caps(mut caps: Caps) {
    // SAFETY: both arrays have the size that capset(2) reads. It is of this thread alone.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut caps.0, &raw mut caps.1) };
    assert_eq!(set, 0);
}

#[test]
fn it_takes_a_privilege() {
    require_passthrough!();
    let said = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&said);
    let fs = Real::new(Capabilities::PASSTHROUGH).on_open(move |_, cx, file| {
        let before = get_caps();
        let mut without = before;
        const CAP_SYS_ADMIN: u32 = 21;
        without.1[0] &= !(1 << CAP_SYS_ADMIN);
        set_caps(without);
        let result = cx.open_backing(file);
        set_caps(before);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        *heard.lock().unwrap() = error.to_string();
        // On it goes without.
        Ok(None)
    });
    let mount = fs.mount();
    assert!(fs::read(mount.join("file")).unwrap() == contents(0));
    assert_eq!(*said.lock().unwrap(), "passthrough needs CAP_SYS_ADMIN");
    assert!(requests(&mount.end().stats, Operation::Read) > 0);
}

/// On any libfuse: the reason is in the error.
#[test]
fn what_was_not_asked_for_is_refused() {
    require_mount!();
    let said = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&said);
    let fs = Real::new(Capabilities::empty()).on_open(move |_, cx, file| {
        let error = cx.open_backing(file).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        *heard.lock().unwrap() = error.to_string();
        Ok(None)
    });
    let mount = fs.mount();
    assert!(fs::read(mount.join("file")).unwrap() == contents(0));
    mount.end();
    let said = said.lock().unwrap();
    assert!(said.contains("PASSTHROUGH"), "{said}");
}
