//! One read-only file: `hello MOUNTPOINT`, then `cat MOUNTPOINT/hello`.

use std::ffi::OsStr;
use std::time::Duration;

use fuse3::{
    Added, Answer, Attr, Concurrent, Context, Data, DirBuf, Entry, Errno, FileInfo, Filesystem,
    Ino, Listing, OpenFlags, Opened, ReadBuf, Session,
};

const HELLO: Ino = Ino(2);
const TEXT: &[u8] = b"Hello World!\n";
const TIMEOUT: Duration = Duration::from_secs(1);

struct Hello;

fn attr(ino: Ino) -> Result<Attr, Errno> {
    match ino {
        Ino::ROOT => Ok(Attr {
            nlink: 2,
            ..Attr::new(ino, libc::S_IFDIR | 0o755)
        }),
        HELLO => Ok(Attr {
            size: TEXT.len() as u64,
            ..Attr::new(ino, libc::S_IFREG | 0o444)
        }),
        _ => Err(Errno::ENOENT),
    }
}

impl Filesystem for Hello {
    type Lock = Concurrent;

    fn lookup(&self, _cx: &mut Context<'_, Self>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        if parent != Ino::ROOT || name != "hello" {
            return Err(Errno::ENOENT.into());
        }
        Ok(Entry::new(attr(HELLO)?, TIMEOUT))
    }

    fn getattr(
        &self,
        _cx: &mut Context<'_, Self>,
        ino: Ino,
        _file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino)?, TIMEOUT))
    }

    fn open(&self, _cx: &mut Context<'_, Self>, _ino: Ino, flags: OpenFlags) -> Answer<Opened> {
        if flags.writes() {
            Err(Errno::EACCES.into())
        } else {
            Ok(Opened::default().keep_cache(true))
        }
    }

    fn read(
        &self,
        _cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let start = TEXT
            .len()
            .min(usize::try_from(offset).unwrap_or(usize::MAX));
        let end = TEXT.len().min(start + out.size());
        Ok(out.lend(&TEXT[start..end]))
    }

    fn readdir(
        &self,
        _cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let names = [
            (1, ".", Ino::ROOT),
            (2, "..", Ino::ROOT),
            (3, "hello", HELLO),
        ];
        for (next, name, ino) in names.into_iter().filter(|(next, ..)| *next > offset) {
            if out.add(name, &Entry::new(attr(ino)?, TIMEOUT), next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mount_point = std::env::args_os()
        .nth(1)
        .ok_or("usage: hello MOUNTPOINT")?;
    let session = Session::builder(Hello, Concurrent)
        .fsname("hello")
        .handle_signals(true)
        .mount(mount_point)?;
    let end = session.run()?;
    println!("{:?} after {} requests", end.reason, end.stats.total());
    Ok(())
}
