//! `HANDLE_KILLPRIV_V2`: the kernel says in four requests that set-user-id and set-group-id bits are to be dropped.

use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Connection, Context, Create, Created, Entry, Fh,
    FileInfo, Filesystem, Ino, Open, Opened, Operation, SetAttr, WriteData,
};

use crate::harness::Wire;
use crate::proto::{self, File, Request, SetattrIn, fattr, open_flags};
use crate::skip::skip;

/// FUSE_WRITE_KILL_SUIDGID.
const WRITE_KILL_SUIDGID: u32 = 1 << 2;
const V2: Capabilities = Capabilities::HANDLE_KILLPRIV_V2;
const ATTR: Attr = Attr::new(Ino(2), libc::S_IFREG | 0o4755);

/// Notes what it is told about the bits.
struct Killing {
    wants: bool,
    told: Arc<Mutex<Vec<bool>>>,
}

impl Killing {
    fn told(&self, kill_suidgid: bool) {
        self.told.lock().unwrap().push(kill_suidgid);
    }
}

impl Filesystem for Killing {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        assert_eq!(
            connection.capable().contains(V2),
            Capabilities::known().contains(V2)
        );
        if self.wants {
            connection.want(V2)?;
        }
        Ok(())
    }

    fn setattr(&self, _: &mut Context<'_, Self>, _: Ino, to: &SetAttr) -> Answer<(Attr, Duration)> {
        self.told(to.kill_suidgid);
        Ok((ATTR, Duration::ZERO))
    }

    fn open(&self, _: &mut Context<'_, Self>, _: Ino, how: Open) -> Answer<Opened> {
        self.told(how.kill_suidgid);
        Ok(Opened::new(Fh(1)))
    }

    fn create(&self, _: &mut Context<'_, Self>, _: Ino, _: &OsStr, how: Create) -> Answer<Created> {
        self.told(how.kill_suidgid);
        let entry = Entry::new(ATTR, Duration::ZERO);
        let opened = Opened::new(Fh(1));
        Ok(Created { entry, opened })
    }

    fn tmpfile(&self, cx: &mut Context<'_, Self>, parent: Ino, how: Create) -> Answer<Created> {
        self.create(cx, parent, OsStr::new(""), how)
    }

    fn write_buf(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        file: &FileInfo,
        _: u64,
        data: WriteData<'_>,
    ) -> Answer<usize> {
        self.told(file.kill_suidgid());
        Ok(data.len())
    }
}

/// What a file system that `wants` it is told by each of these.
fn told(wants: bool, requests: &[Request]) -> Vec<bool> {
    let told = Arc::default();
    let fs = Killing {
        wants,
        told: Arc::clone(&told),
    };
    let mut wire = Wire::new(fs, Concurrent);
    for request in requests {
        let unique = wire.send(request);
        let reply = wire.receive();
        assert_eq!(
            reply[4..16],
            proto::reply(unique, b"")[4..16],
            "{request:?}"
        );
    }
    wire.end();
    let told = told.lock().unwrap();
    told.clone()
}

/// With the bit, and without it.
fn requests(kill: bool) -> Vec<Request> {
    let trunc = (libc::O_WRONLY | libc::O_TRUNC).unsigned_abs();
    let on_open = if kill { open_flags::KILL_SUIDGID } else { 0 };
    let on_write = if kill { WRITE_KILL_SUIDGID } else { 0 };
    let cut = SetattrIn {
        valid: fattr::SIZE | if kill { fattr::KILL_SUIDGID } else { 0 },
        ..SetattrIn::default()
    };
    let file = File {
        of_request: on_write,
        ..File::new(1)
    };
    vec![
        proto::setattr(2, cut),
        proto::open(2, trunc).open_flags(on_open),
        proto::create(1, b"name", 0o644, 0o22, trunc).open_flags(on_open),
        proto::write(2, file, 0, b"data"),
    ]
}

/// Each signal arrives, or the capability is not offered.
#[test]
fn all_signals_arrive_where_it_is_offered() {
    if !Capabilities::known().contains(V2) {
        return skip(
            "all_signals_arrive_where_it_is_offered",
            "libfuse before 3.18.3",
        );
    }
    assert_eq!(told(true, &requests(true)), [true; 4]);
    assert_eq!(told(true, &requests(false)), [false; 4]);
}

/// A file that has no name yet had no bits before.
#[test]
fn tmpfile_has_nothing_to_drop() {
    if !Capabilities::known().contains(V2) || Operation::Tmpfile.delivered().is_err() {
        return skip("tmpfile_has_nothing_to_drop", "libfuse before 3.18.3");
    }
    let tmpfile = proto::tmpfile(1, 0o644, 0o22, 0).open_flags(open_flags::KILL_SUIDGID);
    assert_eq!(told(true, &[tmpfile]), [false]);
}

/// The kernel says nothing then; libfuse passes on what `setattr` would have.
#[test]
fn nothing_arrives_where_it_was_not_asked_for() {
    assert_eq!(told(false, &requests(true))[1..], [false; 3]);
}
