//! One file that swallows what is written and reads as zeros: `null [options] FILE`, mounted over a file.
//!
//! The same file as libfuse's null.c makes: 4 GiB of zeros, whatever becomes of it.

#[expect(dead_code, reason = "a file has no names in it")]
mod fuse_main;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use fuse3::{Answer, Attr, Concurrent, Context, Data, Errno, FileInfo, Filesystem};
use fuse3::{Ino, Open, Opened, ReadBuf, SetAttr, Timestamp};

use fuse_main::Options;

const SIZE: u64 = 1 << 32;

struct Null {
    options: Options,
    uid: u32,
    gid: u32,
}

type Cx<'a> = Context<'a, Null>;

impl Null {
    fn attr(&self, ino: Ino) -> Attr {
        // In whole seconds, so that `auto_cache` sees no change in each of them.
        let now = Timestamp::new(Timestamp::now().secs(), 0);
        Attr {
            size: SIZE,
            uid: self.uid,
            gid: self.gid,
            atime: now,
            mtime: now,
            ctime: now,
            ..Attr::new(ino, libc::S_IFREG | 0o644)
        }
    }
}

/// The root is the file. There are no names, and so no other inode.
impl Filesystem for Null {
    type Lock = Concurrent;

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok(self.options.attr(self.attr(ino)))
    }

    fn setattr(&self, _: &mut Cx<'_>, ino: Ino, changes: &SetAttr) -> Answer<(Attr, Duration)> {
        // It can be cut, and stays as long. Mode, owner and times cannot be set.
        match changes.size {
            Some(_) => Ok(self.options.attr(self.attr(ino))),
            None => Err(Errno::ENOSYS.into()),
        }
    }

    fn open(&self, _: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        let opened = Opened::default();
        Ok(self.options.opened(opened, flags, &self.attr(ino)))
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

/// As in C, before anything else: whoever asks for help has to name a file, too.
fn look_at_the_file() -> Result<(), Box<dyn Error>> {
    let point = fuse_main::mount_point()?;
    let metadata =
        std::fs::metadata(&point).map_err(|error| format!("{}: {error}", point.display()))?;
    if !metadata.is_file() {
        return Err(format!("{} is not a regular file", point.display()).into());
    }
    Ok(())
}

fn main() -> ExitCode {
    if let Err(error) = look_at_the_file() {
        eprintln!("null: {error}");
        return ExitCode::FAILURE;
    }
    fuse_main::main(Options::default(), |mut command| {
        let null = Null {
            options: std::mem::take(&mut command.options),
            // SAFETY: no precondition.
            uid: unsafe { libc::getuid() },
            // SAFETY: no precondition.
            gid: unsafe { libc::getgid() },
        };
        let builder = command.builder(null, Concurrent).over_file(true);
        let session = builder.mount(&command.mount_point)?;
        Ok(session.daemonize(command.foreground)?.run()?.reason)
    })
}
