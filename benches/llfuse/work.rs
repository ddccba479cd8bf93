//! What the client does.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::Failure;
use crate::source::{LISTED, Source};

/// How often it is done at a time.
const COUNT: usize = 500;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// statx(2) with AT_STATX_FORCE_SYNC: GETATTR.
    Getattr,
    /// stat(2) of names that were not looked up before: LOOKUP. Of one file there are no others, so these are not there.
    Lookup,
    /// open(2), read(2) of 4 KiB, close(2): OPEN, READ, RELEASE, and FLUSH where there is a handler; of a directory's files,
    /// which are all different, LOOKUP too.
    Read,
    /// opendir(3), readdir(3), closedir(3): OPENDIR, READDIR or READDIRPLUS to the end, RELEASEDIR.
    Readdir,
}

impl Work {
    pub(crate) const ALL: [Self; 4] = [Self::Getattr, Self::Lookup, Self::Read, Self::Readdir];

    pub(crate) fn name(self, mirror: bool) -> String {
        match (self, mirror) {
            (Self::Getattr, _) => "getattr".to_owned(),
            (Self::Lookup, true) => "lookup".to_owned(),
            (Self::Lookup, false) => "lookup of what is not there".to_owned(),
            (Self::Read, true) => "lookup, open, read 4 KiB, close".to_owned(),
            (Self::Read, false) => "open, read, close".to_owned(),
            (Self::Readdir, true) => format!("list {LISTED} names"),
            (Self::Readdir, false) => "list one name".to_owned(),
        }
    }

    pub(crate) fn prepare(self, root: &Path, source: Option<&Source>) -> Result<Prepared, Failure> {
        let names = |dir: PathBuf| {
            (0..COUNT)
                .map(|number| dir.join(number.to_string()))
                .collect()
        };
        let paths = match (self, source) {
            (Self::Lookup | Self::Read, Some(source)) => {
                let dir = root.join(source.fresh(COUNT)?);
                // The directory is looked up before.
                fs::metadata(&dir)?;
                names(dir)
            }
            (Self::Lookup, None) => names(root.to_owned()),
            (Self::Getattr | Self::Read, _) => vec![root.join("message"); COUNT],
            (Self::Readdir, Some(_)) => vec![root.join("listed"); COUNT / 5],
            (Self::Readdir, None) => vec![root.to_owned(); COUNT],
        };
        Ok(Prepared {
            work: self,
            mirror: source.is_some(),
            paths,
        })
    }
}

/// What is to be done, on which paths.
pub(crate) struct Prepared {
    work: Work,
    mirror: bool,
    paths: Vec<PathBuf>,
}

impl Prepared {
    pub(crate) fn count(&self) -> usize {
        self.paths.len()
    }

    /// Does it all, and says how long that took.
    pub(crate) fn run(&mut self) -> io::Result<Duration> {
        let held = File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(&self.paths[0]);
        let begun = Instant::now();
        for path in &self.paths {
            match self.work {
                Work::Getattr => {
                    let file = held.as_ref().map_err(|error| error.kind())?;
                    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
                    statx(file, c"", flags, StatxFlags::BASIC_STATS)?;
                }
                Work::Lookup => match fs::symlink_metadata(path) {
                    Ok(_) if self.mirror => {}
                    Err(error) if !self.mirror && error.kind() == ErrorKind::NotFound => {}
                    Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
                    Err(error) => return Err(error),
                },
                Work::Read => {
                    // Past the page cache, where it is the same file again and again.
                    let flags = if self.mirror { 0 } else { libc::O_DIRECT };
                    let file = File::options().read(true).custom_flags(flags).open(path)?;
                    let mut bytes = [0; 4096];
                    if file.read_at(&mut bytes, 0)? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Work::Readdir => {
                    let listed = fs::read_dir(path)?.count();
                    if listed != if self.mirror { LISTED } else { 1 } {
                        return Err(io::Error::other(format!("{listed} names were listed")));
                    }
                }
            }
        }
        Ok(begun.elapsed())
    }
}
