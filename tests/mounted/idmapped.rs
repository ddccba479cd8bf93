//! Idmapped mounts (mount_setattr(2)): who a caller is, and whose is what it makes.
//!
//! Before 3.19 libfuse does not pass ALLOW_IDMAP on. There the test stands between kernel and session, and adds it to the answer to
//! INIT: what the kernel sends then, and does with the answers, is the same.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Caller, Capabilities, Concurrent, Connection, Context, Entry, Errno, FileInfo,
    Filesystem, Ino, Session,
};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Gid, Mode, Uid, mkdirat, statat};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::child::this_test;
use crate::client::{Client, part, say};
use crate::fixture::{
    Mount, MountPoint, c_string, force_unmount, is_root, require_mount, skip, until,
};
use crate::given::mounted_on;
use crate::kernel::linux;

/// Directories in a root that everybody may write to, and who has asked for what.
struct Shared {
    made: Mutex<HashMap<OsString, Attr>>,
    seen: Mutex<Vec<(String, Caller)>>,
}

impl Shared {
    fn note(&self, what: impl Into<String>, cx: &Context<'_, Self>) {
        self.seen.lock().push((what.into(), cx.caller()));
    }
}

impl Filesystem for Shared {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        connection.want_offered(Capabilities::ALLOW_IDMAP);
        Ok(())
    }

    fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        self.note("lookup", cx);
        let attr = *self.made.lock().get(name).ok_or(Errno::ENOENT)?;
        Ok(Entry::new(attr, Duration::ZERO))
    }

    fn getattr(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        self.note("getattr", cx);
        let made = self.made.lock();
        let attr = made.values().find(|attr| attr.ino == ino).copied();
        let root = Attr::new(ino, libc::S_IFDIR | 0o777);
        Ok((attr.unwrap_or(root), Duration::ZERO))
    }

    fn mkdir(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
        self.note(name.to_str().unwrap(), cx);
        let (uid, gid) = cx.caller().owner()?;
        let mut made = self.made.lock();
        let ino = Ino(made.len() as u64 + 2);
        let attr = Attr {
            uid,
            gid,
            ..Attr::new(ino, libc::S_IFDIR | mode)
        };
        made.insert(name.to_owned(), attr);
        Ok(Entry::new(attr, Duration::ZERO))
    }
}

/// The session's end of a connection to `device` in which the answer to INIT has ALLOW_IDMAP.
fn with_idmap(device: File) -> (OwnedFd, [JoinHandle<()>; 2]) {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let [ours, theirs] = fds.map(|fd| {
        // SAFETY: the call above opened it, and nobody else has it.
        unsafe { OwnedFd::from_raw_fd(fd) }
    });
    let socket = UnixDatagram::from(ours);
    let (asked, answers) = (socket.try_clone().unwrap(), device.try_clone().unwrap());
    let requests = thread::spawn(move || {
        // Room for the largest write, which the kernel insists on.
        let mut message = vec![0; (1 << 20) + (64 << 10)];
        loop {
            match (&device).read(&mut message) {
                // The session may have ended.
                Ok(length) if asked.send(&message[..length]).is_err() => return,
                Ok(_) => {}
                // Its caller is gone.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => {
                    return assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
                }
            }
        }
    });
    let replies = thread::spawn(move || {
        let mut message = vec![0; (1 << 20) + (64 << 10)];
        let mut is_init = true;
        while let Ok(length @ 1..) = socket.recv(&mut message) {
            if is_init {
                // Of `struct fuse_init_out`: FUSE_INIT_EXT in `flags`, and FUSE_ALLOW_IDMAP in `flags2`.
                let mut set = |at: usize, bit: u32| {
                    let bytes = &mut message[16 + at..16 + at + 4];
                    let flags = u32::from_ne_bytes((*bytes).try_into().unwrap());
                    bytes.copy_from_slice(&(flags | 1 << bit).to_ne_bytes());
                };
                set(12, 30);
                set(32, 40 - 32);
                is_init = false;
            }
            // It may be too late for an answer.
            let _ = (&answers).write(&message[..length]);
        }
    });
    (theirs, [requests, replies])
}

/// A user namespace in which `0..65536` are the ids from `first` on.
fn namespace(first: u32) -> File {
    let mut process = Command::new("unshare")
        .args(["--user", "sleep", "60"])
        .spawn()
        .unwrap();
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).unwrap();
    let id = process.id().to_string();
    until(|| of(&id) != of("self"));
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{id}/{map}"), format!("0 {first} 65536\n")).unwrap();
    }
    let namespace = File::open(format!("/proc/{id}/ns/user")).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    namespace
}

/// The same file system, mounted once more, with the ids as in `namespace`.
fn idmapped(path: &Path, namespace: &File) -> OwnedFd {
    let path = c_string(path);
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is NUL-terminated.
    let tree = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    assert!(tree >= 0, "open_tree: {}", io::Error::last_os_error());
    // SAFETY: the call above opened it, and nobody else has it.
    let tree = unsafe { OwnedFd::from_raw_fd(i32::try_from(tree).unwrap()) };
    // `struct mount_attr`: what is set, what is cleared, the propagation, and the namespace.
    let attr = [
        libc::MOUNT_ATTR_IDMAP,
        0,
        0,
        u64::try_from(namespace.as_raw_fd()).unwrap(),
    ];
    // SAFETY: the path is NUL-terminated, and `attr` has as many bytes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            attr.as_ptr(),
            size_of_val(&attr),
        )
    };
    assert_eq!(result, 0, "mount_setattr: {}", io::Error::last_os_error());
    tree
}

fn use_it(path: &Path) {
    // INIT is settled then.
    fs::metadata(path).unwrap();
    let tree = idmapped(path, &namespace(100_000));
    let shown = |dir: &OwnedFd, name: &str| {
        let of = statat(dir, name, AtFlags::empty()).unwrap();
        format!("{name} {} {}", of.st_uid, of.st_gid)
    };
    // Root is nobody there.
    say(mkdirat(tree.as_fd(), "nobody's", Mode::RWXU).unwrap_err());
    set_thread_res_gid(None, Gid::from_raw(100_007), None).unwrap();
    set_thread_res_uid(None, Uid::from_raw(100_005), None).unwrap();
    mkdirat(tree.as_fd(), "mapped", Mode::RWXU).unwrap();
    say(shown(&tree, "mapped"));
    set_thread_res_uid(None, Uid::ROOT, None).unwrap();
    set_thread_res_gid(None, Gid::ROOT, None).unwrap();
    let plain = OwnedFd::from(File::open(path).unwrap());
    say(shown(&plain, "mapped"));
    mkdirat(plain.as_fd(), "plain", Mode::RWXU).unwrap();
    say(shown(&plain, "plain"));
}

#[test]
fn what_is_made_is_the_caller_s_and_other_requests_have_none() {
    if let Some((_, path)) = part(this_test!()) {
        return use_it(&path);
    }
    require_mount!();
    if !is_root() || !linux(6, 12) {
        return skip(this_test!(), "it takes root and Linux 6.12");
    }
    let fs = Shared {
        made: Mutex::default(),
        seen: Mutex::default(),
    };
    let point = MountPoint::new();
    let builder = Session::builder(fs, Concurrent)
        .default_permissions()
        .allow_other();
    let (session, between) = if Capabilities::known().contains(Capabilities::ALLOW_IDMAP) {
        (builder.mount(point.path()).unwrap(), None)
    } else {
        let options = ",default_permissions,allow_other";
        let device = mounted_on(point.path(), "fuse.given", 0, options);
        let (socket, threads) = with_idmap(device.into());
        (builder.mount_fd(socket).unwrap(), Some(threads))
    };
    let mut mount = Mount::run(point, session);
    let client = Client::new(this_test!(), "client", mount.path());
    assert!(
        client.says().contains("os error 75"),
        "it is to be EOVERFLOW"
    );
    assert_eq!(client.says(), "mapped 100005 100007");
    assert_eq!(client.says(), "mapped 5 7");
    assert_eq!(client.says(), "plain 0 0");
    client.ends();
    mount.handle().terminate();
    if between.is_some() {
        // The session has not mounted it.
        force_unmount(mount.path());
    }
    let end = mount.ended();
    let seen = end.fs.seen.lock();
    for thread in between.into_iter().flatten() {
        thread.join().unwrap();
    }
    let made = seen
        .iter()
        .filter(|(what, _)| !matches!(&**what, "lookup" | "getattr"));
    let made: Vec<_> = made
        .map(|(what, caller)| (&**what, caller.owner()))
        .collect();
    assert_eq!(made, [("mapped", Ok((5, 7))), ("plain", Ok((0, 0)))]);
    let others = seen
        .iter()
        .filter(|(what, _)| matches!(&**what, "lookup" | "getattr"));
    let ids: Vec<_> = others.map(|(_, caller)| (caller.uid, caller.gid)).collect();
    // The first asked before INIT was settled, or after.
    assert!(
        ids.len() > 3 && ids[1..].iter().all(|ids| *ids == (None, None)),
        "{seen:?}"
    );
    assert!(seen.iter().all(|(_, caller)| caller.pid > 0), "{seen:?}");
}
