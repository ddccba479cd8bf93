//! One file that swallows what is written and reads as zeros: `null [options] FILE`, mounted over a file.
//!
//! The same file as libfuse's null.c makes: 4 GiB of zeros, whatever becomes of it.

mod fuse_main;

use std::process::ExitCode;
use std::time::Duration;

use fuse3::{Answer, Attr, Concurrent, Context, Data, Errno, FileInfo, Filesystem};
use fuse3::{Ino, ReadBuf, SetAttr, Timestamp};

const SIZE: u64 = 1 << 32;
const TIMEOUT: Duration = Duration::from_secs(1);

struct Null {
    uid: u32,
    gid: u32,
}

type Cx<'a> = Context<'a, Null>;

impl Null {
    fn attr(&self, ino: Ino) -> Answer<(Attr, Duration)> {
        let now = Timestamp::now();
        let attr = Attr {
            size: SIZE,
            uid: self.uid,
            gid: self.gid,
            atime: now,
            mtime: now,
            ctime: now,
            ..Attr::new(ino, libc::S_IFREG | 0o644)
        };
        Ok((attr, TIMEOUT))
    }
}

/// The root is the file. There are no names, and so no other inode.
impl Filesystem for Null {
    type Lock = Concurrent;

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        self.attr(ino)
    }

    fn setattr(&self, _: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        // It can be cut, and stays as long. Mode, owner and times cannot be set.
        match changes.size {
            Some(_) => self.attr(ino),
            None => Err(Errno::ENOSYS.into()),
        }
    }

    fn read(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        if offset < SIZE {
            out.push_zeros(out.size());
        }
        Ok(out.finish())
    }

    fn write(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo, _: u64, data: &[u8]) -> Answer<usize> {
        Ok(data.len())
    }
}

fn main() -> ExitCode {
    fuse_main::main(1, |command| {
        let point = &command.mount_point;
        let metadata =
            std::fs::metadata(point).map_err(|error| format!("{}: {error}", point.display()))?;
        if !metadata.is_file() {
            return Err(format!("{} is not a regular file", point.display()).into());
        }
        let null = Null {
            // SAFETY: no precondition.
            uid: unsafe { libc::getuid() },
            // SAFETY: no precondition.
            gid: unsafe { libc::getgid() },
        };
        let builder = command.builder(null, Concurrent).over_file(true);
        let session = builder.mount(point)?.daemonize(command.foreground)?;
        Ok(session.run()?.reason)
    })
}
