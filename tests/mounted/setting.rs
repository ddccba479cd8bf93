//! `Builder::io_uring`: what each setting does, with a libfuse and a kernel that can and with others.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fuse3::session::IoUring;
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Context, FileInfo, Filesystem, Ino, MountError,
    Session, sys,
};

use crate::child::this_test;
use crate::client::{Client, part, say};
use crate::fixture::{Mount, MountPoint, is_mounted, require_mount};
use crate::uring::Allowed;

/// An empty directory, and how many requests have come over io_uring, and otherwise.
#[derive(Default)]
struct Empty([AtomicU64; 2]);

impl Empty {
    fn came(&self) -> [u64; 2] {
        [0, 1].map(|way: usize| self.0[way].load(Ordering::SeqCst))
    }
}

impl Filesystem for Empty {
    type Lock = Concurrent;

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        self.0[usize::from(!cx.is_uring())].fetch_add(1, Ordering::SeqCst);
        Ok((Attr::new(ino, libc::S_IFDIR | 0o755), Duration::ZERO))
    }
}

fn has_option() -> bool {
    sys::HAS_IO_URING && sys::library_version() >= [3, 18, 0]
}

/// In a client: looks at the root.
fn look(test: &str) -> bool {
    let Some((_, mount)) = part(test) else {
        return false;
    };
    say(fs::metadata(mount).map_or_else(|error| error.to_string(), |_| "seen".to_owned()));
    true
}

#[test]
fn served_with_and_without() {
    if look(this_test!()) {
        return;
    }
    require_mount!();
    for switch in ["N", "Y"] {
        // An ordinary user cannot.
        let set = Allowed::set(switch);
        let dir = MountPoint::new();
        let session = Session::builder(Empty::default(), Concurrent)
            .io_uring(IoUring::WhereOffered)
            .io_uring_queue_depth(2)
            .mount(dir.path())
            .unwrap();
        let mount = Mount::run(dir, session);
        let client = Client::new(this_test!(), "look", mount.path());
        assert_eq!(client.says(), "seen");
        client.ends();
        let agreement = mount.handle().connection().unwrap();
        let granted = agreement.granted.contains(Capabilities::OVER_IO_URING);
        let end = mount.end();
        let [by_ring, other] = end.fs.came();
        assert!(by_ring + other > 0);
        assert!(
            granted || by_ring == 0,
            "{by_ring} came by what was not granted"
        );
        if switch == "N" && set.is_ok() || !has_option() {
            assert!(!granted);
        }
    }
}

#[test]
fn nothing_else_will_do() {
    if look(this_test!()) {
        return;
    }
    require_mount!();
    let builder = || Session::builder(Empty::default(), Concurrent).io_uring(IoUring::On);
    let dir = MountPoint::new();
    let refused = || match builder().mount(dir.path()) {
        Err(MountError::Refused(why)) => why,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was mounted"),
    };
    if !has_option() {
        let why = refused();
        let [major, minor, patch] = sys::library_version();
        let library = format!(" and runs with {major}.{minor}.{patch}");
        assert!(
            why.starts_with("io_uring needs libfuse 3.18; this"),
            "{why}"
        );
        assert!(why.ends_with(&library), "{why}");
        return assert!(!is_mounted(dir.path()));
    }
    let Ok(forbidden) = Allowed::set("N") else {
        let why = refused();
        return assert!(why.starts_with("io_uring "), "{why}");
    };
    let why = refused();
    assert!(why.contains("root switches it on by `echo Y"), "{why}");
    assert!(!is_mounted(dir.path()));
    drop(forbidden);
    let _allowed = Allowed::set("Y").unwrap();
    let session = builder().mount(dir.path()).unwrap();
    let mut mount = Mount::run(dir, session);
    let client = Client::new(this_test!(), "look", mount.path());
    if client.says() != "seen" {
        // This libfuse was built without liburing.
        let error = mount.outcome().unwrap().unwrap_err();
        let why = error.to_string();
        return assert!(why.contains("built without liburing"), "{why}");
    }
    client.ends();
    let agreement = mount.handle().connection().unwrap();
    assert!(agreement.granted.contains(Capabilities::OVER_IO_URING));
    let [by_ring, other] = mount.end().fs.came();
    assert!(by_ring > 0 && other <= 1, "{by_ring} {other}");
}

/// libfuse has it for mounts only.
#[test]
fn not_over_a_socket() {
    let (_kernel, server) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let builder = Session::builder(Empty::default(), Concurrent).io_uring(IoUring::On);
    let Err(MountError::Refused(why)) = builder.mount_fd(server) else {
        panic!("it is to be refused");
    };
    let says = match has_option() {
        // Or the kernel's switch is off.
        true => "io_uring is ",
        false => "io_uring needs libfuse 3.18; this program ",
    };
    assert!(why.contains(says), "{why}");
}
