//! One read-only file: `hello MOUNTPOINT`, then `cat MOUNTPOINT/hello`. After SIGHUP the program that is now at this one's path
//! goes on with the mount.

#[path = "upgrade/mod.rs"]
mod upgrade;

use std::ffi::OsStr;
use std::time::Duration;

use fuse3::handover::Baggage;
use fuse3::reply::Added;
use fuse3::{Answer, Attr, Concurrent, Context, Data, DirBuf, Entry, Errno, FileInfo};
use fuse3::{Filesystem, Ino, Listing, ReadBuf, Session};

const TEXT: &[u8] = b"Hello World!\n";
const TIMEOUT: Duration = Duration::from_secs(1);

struct Hello;
type Cx<'a> = Context<'a, Hello>;

fn attr(ino: Ino) -> Attr {
    match ino {
        Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o755),
        _ => Attr {
            size: TEXT.len() as u64,
            ..Attr::new(ino, libc::S_IFREG | 0o444)
        },
    }
}

impl Filesystem for Hello {
    type Lock = Concurrent;

    fn lookup(&self, _: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        match name.to_str() {
            Some("hello") => Ok(Entry::new(attr(Ino(2)), TIMEOUT)),
            _ => Err(Errno::ENOENT.into()),
        }
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), TIMEOUT))
    }

    fn read(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        at: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(out.lend_from(TEXT, at))
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        at: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        for (next, name, ino) in [(1, ".", Ino(1)), (2, "..", Ino(1)), (3, "hello", Ino(2))] {
            let entry = Entry::new(attr(ino), TIMEOUT);
            if next > at && out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

fn main() {
    if let Err(error) = serve() {
        eprintln!("hello: {error}");
        std::process::exit(1);
    }
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: hello MOUNTPOINT")?;
    let builder = Session::builder(Hello, Concurrent)
        .fsname("hello")
        .read_only();
    // It has no state that another process would have to know.
    let session = upgrade::mount(builder, upgrade::handover()?, upgrade::keeper()?, path)?;
    let end = upgrade::run(session, |_, _| Ok(Baggage::default()))?;
    println!("{:?} after {} requests", end.reason, end.stats.total());
    Ok(())
}
