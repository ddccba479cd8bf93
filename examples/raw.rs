//! libfuse's own functions beside the safe API: `raw MOUNTPOINT`.
//!
//! `cat MOUNTPOINT/groups` shows the groups of who reads it, which a handler asks of the raw request. `MOUNTPOINT/number` is a
//! number that counts on while the kernel may keep what it has read for an hour: a thread tells it of each change by a function
//! of libfuse, on the raw session.

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Concurrent, Context, Data, DirBuf, Entry, Errno, Fh, FileInfo, Filesystem,
    Handle, Ino, Listing, Open, Opened, ReadBuf, Session, sys,
};

const GROUPS: Ino = Ino(2);
const NUMBER: Ino = Ino(3);
const FILES: [(&str, Ino); 2] = [("groups", GROUPS), ("number", NUMBER)];

/// What the kernel has read, it may keep for so long.
const HOUR: Duration = Duration::from_secs(3600);
/// How often the number changes.
const TICK: Duration = Duration::from_millis(100);
/// Digits of the number, and a newline.
const WIDTH: u64 = 21;

#[derive(Default)]
struct Raw {
    number: Arc<AtomicU64>,
}
type Cx<'a> = Context<'a, Raw>;

fn attr(ino: Ino) -> Attr {
    let (mode, size) = match ino {
        Ino::ROOT => (libc::S_IFDIR | 0o555, 0),
        NUMBER => (libc::S_IFREG | 0o444, WIDTH),
        _ => (libc::S_IFREG | 0o444, 0),
    };
    Attr {
        size,
        ..Attr::new(ino, mode)
    }
}

/// `fuse_req_getgroups()`: [`Context::groups`] is the same in safe Rust.
fn groups(cx: &Cx<'_>) -> Result<Vec<libc::gid_t>, Errno> {
    let req = cx.raw_request().ok_or(Errno::EIO)?;
    let mut groups: Vec<libc::gid_t> = Vec::new();
    loop {
        let room = i32::try_from(groups.len()).map_err(|_| Errno::EIO)?;
        // SAFETY: the context has the request, which is not answered before it is dropped; `groups` has `room` elements.
        let count = unsafe { sys::fuse_req_getgroups(req.as_ptr(), room, groups.as_mut_ptr()) };
        // Below 0 it is an errno. There may be more than there is room for.
        let count = usize::try_from(count).map_err(|_| Errno::from_raw(-count))?;
        let enough = count <= groups.len();
        groups.resize(count, 0);
        if enough {
            return Ok(groups);
        }
    }
}

impl Filesystem for Raw {
    type Lock = Concurrent;

    fn lookup(&self, _: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let (_, ino) = FILES
            .into_iter()
            .find(|(file, _)| *file == name)
            .ok_or(Errno::ENOENT)?;
        Ok(Entry::new(attr(ino), HOUR))
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), HOUR))
    }

    fn open(&self, _: &mut Cx<'_>, ino: Ino, _: Open) -> Answer<Opened> {
        let opened = Opened::new(Fh(0));
        Ok(match ino {
            NUMBER => opened.keep_cache(true),
            _ => opened.direct_io(true),
        })
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        at: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let text = if ino == NUMBER {
            format!("{:020}\n", self.number.load(Ordering::SeqCst))
        } else {
            let groups = groups(cx)?;
            let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
            groups.join(" ") + "\n"
        };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        Ok(out.copy_from(rest))
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        at: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        for (next, (name, ino)) in (1..).zip(FILES) {
            if next > at && out.add(name, &Entry::new(attr(ino), HOUR), next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

/// `fuse_lowlevel_notify_inval_inode()`: [`Notifier::inval_inode`](fuse3::Notifier::inval_inode) does it in safe Rust. `None` when
/// the session has ended.
fn invalidate(handle: &Handle) -> Option<io::Result<()>> {
    let result = handle.with_raw_session(|session| {
        // SAFETY: the session lives while this runs. It waits for reads of the file, which wait for nothing that this thread
        // has.
        unsafe { sys::fuse_lowlevel_notify_inval_inode(session.as_ptr(), NUMBER.0, 0, 0) }
    })?;
    // The kernel does not know the file; or it is not mounted quite yet, or not any more.
    let normal = [libc::ENOENT, libc::ENOTCONN, libc::ENODEV];
    Some(match result {
        0 => Ok(()),
        error if normal.contains(&-error) => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    })
}

fn main() {
    if let Err(error) = serve() {
        eprintln!("raw: {error}");
        std::process::exit(1);
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: raw MOUNTPOINT")?;
    let fs = Raw::default();
    let number = Arc::clone(&fs.number);
    let builder = Session::builder(fs, Concurrent).fsname("raw").read_only();
    let session = builder.handle_signals(true).mount(path)?;
    let handle = session.handle();
    let ticks = thread::spawn(move || {
        loop {
            thread::sleep(TICK);
            number.fetch_add(1, Ordering::SeqCst);
            match invalidate(&handle) {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => eprintln!("raw: {error}"),
            }
        }
    });
    session.run()?;
    ticks.join().map_err(|_| "the thread panicked")?;
    Ok(())
}
