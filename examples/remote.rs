//! A folder's files, asked for from afar: `remote FOLDER MOUNTPOINT`. The guide to porting from pyfuse3 shows it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, error::Error, fs, io};

use fuse3::context::Guard;
use fuse3::reply::Added;
use fuse3::tasks::{Local, unblock};
use fuse3::{
    Answer, Attr, Capabilities, Connection, Context, Data, DirBuf, Entry, Errno, Fh, FileInfo,
    Filesystem, Ino, Listing, Open, OpenFlags, Opened, ReadBuf, Session,
};

const TIMEOUT: Duration = Duration::from_secs(1);

/// What the thread of the futures has.
#[derive(Default)]
struct Known {
    names: HashMap<Ino, OsString>,
    numbers: HashMap<OsString, Ino>,
    lookups: HashMap<Ino, u64>,
    listings: HashMap<Fh, Vec<OsString>>,
    made: u64,
}

impl Known {
    fn number(&mut self, name: &OsStr) -> Ino {
        if let Some(ino) = self.numbers.get(name) {
            return *ino;
        }
        self.made += 1;
        let ino = Ino(Ino::ROOT.0 + self.made);
        self.numbers.insert(name.to_owned(), ino);
        self.names.insert(ino, name.to_owned());
        ino
    }

    fn name(&self, ino: Ino) -> Result<OsString, Errno> {
        self.names.get(&ino).cloned().ok_or(Errno::ESTALE)
    }

    fn forget(&mut self, ino: Ino, nlookup: u64) {
        let count = self.lookups.entry(ino).or_default();
        *count -= nlookup;
        if *count == 0 {
            self.lookups.remove(&ino);
            if let Some(name) = self.names.remove(&ino) {
                self.numbers.remove(&name);
            }
        }
    }
}

/// What all threads have.
struct Remote {
    folder: PathBuf,
}

impl Remote {
    async fn ask(&self, name: &OsStr) -> io::Result<fs::Metadata> {
        let path = self.folder.join(name);
        unblock(move || fs::symlink_metadata(path)).await
    }
}

fn attr(ino: Ino, status: &fs::Metadata) -> Attr {
    Attr {
        size: status.len(),
        ..Attr::new(ino, libc::S_IFREG | 0o444)
    }
}

type Cx<'a> = Context<'a, Remote>;

impl Filesystem for Remote {
    type Lock = Local<Known>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        Ok(connection.want(Capabilities::READDIRPLUS)?)
    }

    fn lookup(&self, cx: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let name = name.to_owned();
        cx.spawn_local(move |fs, mut known| async move {
            let status = fs.ask(&name).await?;
            known.with(|known| {
                let ino = known.number(&name);
                *known.lookups.entry(ino).or_default() += 1;
                Ok(Entry::new(attr(ino, &status), TIMEOUT))
            })
        })
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        // The thread is there as long as there are requests.
        let _ = cx.call(move |known| known.forget(ino, nlookup));
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        if ino == Ino::ROOT {
            return Ok((Attr::new(ino, libc::S_IFDIR | 0o755), TIMEOUT));
        }
        cx.spawn_local(move |fs, mut known| async move {
            let name = known.with(|known| known.name(ino))?;
            let status = fs.ask(&name).await?;
            Ok((attr(ino, &status), TIMEOUT))
        })
    }

    fn open(&self, _: &mut Cx<'_>, ino: Ino, Open { flags, .. }: Open) -> Answer<Opened> {
        if flags.writes() {
            return Err(Errno::EACCES.into());
        }
        Ok(Opened::new(Fh(ino.0)).keep_cache(true))
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        cx.spawn_local(move |fs, mut known| async move {
            let path = fs.folder.join(known.with(|known| known.name(ino))?);
            unblock(move || {
                let file = fs::File::open(path)?;
                out.push_with(out.size(), |room| file.read_at(room, offset))?;
                Ok(out.finish())
            })
            .await
        })
    }

    fn opendir(&self, cx: &mut Cx<'_>, _: Ino, _: OpenFlags) -> Answer<Opened> {
        cx.spawn_local(|fs, mut known| async move {
            let folder = fs.folder.clone();
            let names = unblock(move || {
                let entries = fs::read_dir(folder)?;
                entries.map(|entry| Ok(entry?.file_name())).collect()
            });
            let names: io::Result<Vec<OsString>> = names.await;
            let names = names?;
            known.with(|known| {
                known.made += 1;
                let handle = Fh(known.made);
                known.listings.insert(handle, names);
                Ok(Opened::new(handle))
            })
        })
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        file: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let handle = file.handle();
        cx.spawn_local(move |fs, mut known| async move {
            let names = known.with(|known| known.listings.get(&handle).cloned());
            let names = names.ok_or(Errno::EBADF)?;
            for (next, name) in (1..).zip(names).filter(|(next, _)| *next > offset) {
                let Ok(status) = fs.ask(&name).await else {
                    continue; // gone meanwhile
                };
                let added = known.with(|known| {
                    let ino = known.number(&name);
                    let added = out.add(&name, &Entry::new(attr(ino, &status), TIMEOUT), next);
                    match added {
                        Added::Counted => *known.lookups.entry(ino).or_default() += 1,
                        Added::Listed | Added::Full => known.forget(ino, 0),
                    }
                    added
                });
                if added == Added::Full {
                    break;
                }
            }
            Ok(out.finish())
        })
    }

    fn releasedir(&self, cx: &mut Cx<'_>, _: Ino, file: &FileInfo) -> Answer<()> {
        let handle = file.handle();
        // As in `forget`.
        let _ = cx.call(move |known| known.listings.remove(&handle));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let [folder, mount_point] = [1, 2].map(|n| env::args_os().nth(n).map(PathBuf::from));
    let usage = "usage: remote FOLDER MOUNTPOINT";
    let fs = Remote {
        folder: folder.ok_or(usage)?,
    };
    let session = Session::builder(fs, Local::new(Known::default))
        .fsname("remote")
        .read_only()
        .handle_signals(true)
        .mount(mount_point.ok_or(usage)?)?;
    println!("{:?}", session.run()?.reason);
    Ok(())
}
