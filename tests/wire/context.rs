//! What a handler knows of its request: the caller, its groups, whether it still waits.

use std::ffi::OsStr;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use fuse3::context::{Guard, SecurityContext};
use fuse3::{
    Answer, Caller, Capabilities, Concurrent, Connection, Context, Entry, Errno, Filesystem, Ino,
    MountError, Session,
};
use parking_lot::Mutex;

use crate::harness::{Wire, until};
use crate::probe::{Probe, await_from, enoent};
use crate::proto::{self, Bytes};
use crate::recorder::{Style, in_both_styles};

in_both_styles! { callers interrupted_while_it_runs }

fn callers<L: Style>() {
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let fields = (cx.uid(), cx.gid(), cx.pid(), cx.umask());
        sender.send((cx.caller(), fields)).unwrap();
        enoent()
    });
    let mut wire = Wire::new(fs, L::lock());
    for caller in [
        Caller::default(),
        Caller {
            uid: None,
            gid: Some(1),
            pid: i32::MAX,
            umask: 0,
        },
        Caller {
            uid: Some(u32::MAX - 1),
            gid: None,
            pid: -1,
            umask: 0,
        },
    ] {
        let request = proto::lookup(1, b"name").from(caller);
        wire.expect_error(&request, Errno::ENOENT);
        let Caller {
            uid,
            gid,
            pid,
            umask,
        } = caller;
        assert_eq!(await_from(&receiver), (caller, (uid, gid, pid, umask)));
    }
    wire.end();
}

/// Of this very process, which /proc shows.
#[test]
fn supplementary_groups() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let groups = lines.find_map(|line| line.strip_prefix("Groups:")).unwrap();
    let expected: Vec<u32> = groups
        .split_whitespace()
        .map(|group| group.parse().unwrap())
        .collect();

    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<Concurrent>::new(move |cx, _| {
        let groups = cx.groups().map_err(|error| error.raw_os_error());
        sender.send(groups).unwrap();
        enoent()
    });
    let mut wire = Wire::new(fs, Concurrent);
    let this = i32::try_from(std::process::id()).unwrap();
    // No process has the largest number: /proc/sys/kernel/pid_max is at most 2^22.
    for (pid, groups) in [(this, Ok(expected)), (i32::MAX, Err(Some(libc::EIO)))] {
        let caller = Caller {
            pid,
            ..proto::CALLER
        };
        let request = proto::lookup(1, b"name").from(caller);
        wire.expect_error(&request, Errno::ENOENT);
        assert_eq!(await_from(&receiver), groups);
    }
    wire.end();
}

/// INTERRUPT names the request. There is no reply to it.
fn interrupted_while_it_runs<L: Style>() {
    let (started, starts) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, name| {
        started.send(cx.interrupted()).unwrap();
        if name != "quick" {
            until("an interrupt comes", || cx.interrupted());
        }
        Err(Errno::EINTR.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    let unique = wire.send(&proto::lookup(1, b"slow"));
    assert!(!await_from(&starts));
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    wire.expect_error(&proto::lookup(1, b"quick"), Errno::EINTR);
    assert!(!await_from(&starts));
    wire.end();
}

/// There is nobody to ask about when the library takes something back.
#[test]
fn taken_back_by_the_library() {
    let (sender, receiver) = mpsc::channel();
    let fs = TakenBack(Mutex::new(sender));
    let mut wire = Wire::new(fs, Concurrent);
    wire.refuse_for_good();
    wire.send(&proto::open(7, 0));
    let (caller, interrupted, groups, deferred) = await_from(&receiver);
    assert_eq!((caller, interrupted), (Caller::NOBODY, false));
    assert_eq!(groups, Some(libc::ESRCH));
    assert!(deferred.contains("no answer to take away"), "{deferred}");
    wire.end();
}

type Seen = (Caller, bool, Option<i32>, String);

struct TakenBack(Mutex<mpsc::Sender<Seen>>);

impl fuse3::Filesystem for TakenBack {
    type Lock = Concurrent;

    fn release(
        &self,
        cx: &mut fuse3::Context<'_, Self>,
        _ino: fuse3::Ino,
        _file: &fuse3::FileInfo,
    ) -> fuse3::Answer<()> {
        let groups = cx.groups().unwrap_err().raw_os_error();
        let (caller, interrupted) = (cx.caller(), cx.interrupted());
        let deferring = std::panic::AssertUnwindSafe(|| drop(cx.defer::<()>()));
        let panic = std::panic::catch_unwind(deferring).unwrap_err();
        let message = panic.downcast_ref::<&str>().map(ToString::to_string);
        let message = message.or(panic.downcast_ref::<String>().cloned());
        let seen = (caller, interrupted, groups, message.unwrap());
        self.0.lock().send(seen).unwrap();
        Ok(())
    }
}

/// What `mkdir` was told that the directory is to have.
type Told = mpsc::Sender<io::Result<Vec<(String, Vec<u8>)>>>;

struct Labelled(Mutex<Told>);

impl Filesystem for Labelled {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        // Where this libfuse does not know it, that is an error, and the session goes on.
        let wanted = connection.want(Capabilities::SECURITY_CTX);
        let known = Capabilities::known().contains(Capabilities::SECURITY_CTX);
        assert_eq!(wanted.is_ok(), known);
        Ok(())
    }

    fn mkdir(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr, _: u32) -> Answer<Entry> {
        let contexts = cx.security_contexts().map(|all| {
            let pair = |one: SecurityContext| (one.name.into_string().unwrap(), one.value);
            all.into_iter().map(pair).collect()
        });
        self.0.lock().send(contexts).unwrap();
        Err(Errno::EACCES.into())
    }
}

/// Two contexts after the name, as the kernel sends them; libfuse before 3.19 knows of none, and says so.
#[test]
fn security_contexts() {
    let (sender, told) = mpsc::channel();
    let mut wire = Wire::new(Labelled(Mutex::new(sender)), Concurrent);
    let mut request = proto::mkdir(1, b"directory", 0o755, 0);
    wire.expect_error(&request, Errno::EACCES);
    if !Capabilities::known().contains(Capabilities::SECURITY_CTX) {
        let error = await_from(&told).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("libfuse 3.19"), "{error}");
        wire.end();
        return;
    }
    assert_eq!(await_from(&told).unwrap(), []);
    // struct fuse_secctx_header, and a struct fuse_secctx, a name and a value each, to a multiple of 8.
    let context = |name: &[u8], value: &[u8]| {
        let size = u32::try_from(value.len()).unwrap();
        let bytes = Bytes::new().u32(size).u32(0).name(name).raw(value);
        bytes.align().0
    };
    let contexts = [
        context(b"security.selinux", b"system_u:object_r\0"),
        context(b"security.other", b""),
    ]
    .concat();
    let size = u32::try_from(8 + contexts.len()).unwrap();
    let extension = Bytes::new().u32(size).u32(2).raw(&contexts);
    request.body.extend_from_slice(&extension.0);
    let mut bytes = request.bytes(1000);
    // total_extlen, in units of 8 bytes.
    let units = u16::try_from(size / 8).unwrap();
    bytes[36..38].copy_from_slice(&units.to_ne_bytes());
    wire.send_raw(&bytes);
    assert_eq!(wire.receive(), proto::error(1000, Errno::EACCES.raw()));
    let expected = [
        (
            "security.selinux".to_owned(),
            b"system_u:object_r\0".to_vec(),
        ),
        ("security.other".to_owned(), vec![]),
    ];
    assert_eq!(await_from(&told).unwrap(), expected);
    wire.end();
}

/// Refused before anything is mounted where this libfuse has none; elsewhere it does no harm.
#[test]
fn a_teardown_watchdog() {
    let (sender, _told) = mpsc::channel();
    let lasts = Duration::from_secs(60);
    if fuse3::sys::header_version() >= [3, 19, 0] {
        let fs = Labelled(Mutex::new(sender));
        Wire::with(fs, Concurrent, |builder| builder.teardown_watchdog(lasts)).end();
        return;
    }
    let builder = Session::builder(Labelled(Mutex::new(sender)), Concurrent);
    let error = builder.teardown_watchdog(lasts).mount("/").unwrap_err();
    assert!(matches!(error, MountError::Refused(_)), "{error}");
    assert!(error.to_string().contains("libfuse 3.19"), "{error}");
}
