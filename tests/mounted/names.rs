//! Names of each length that the kernel takes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Concurrent, Context, DirBuf, Entry, Errno, FileInfo, Filesystem, Ino, Listing,
    Session,
};

use crate::fixture::{Mount, require_mount};

/// A directory of files with these names.
struct Names(Vec<String>);

fn attr(ino: Ino) -> Attr {
    let kind = if ino == Ino(1) {
        libc::S_IFDIR
    } else {
        libc::S_IFREG
    };
    Attr::new(ino, kind | 0o755)
}

impl Filesystem for Names {
    type Lock = Concurrent;

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let found = (2..)
            .zip(&self.0)
            .find(|(_, known)| OsStr::new(known) == name);
        let (ino, _) = found.ok_or(Errno::ENOENT)?;
        Ok(Entry::new(attr(Ino(ino)), Duration::ZERO))
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::ZERO))
    }

    fn readdir(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let from = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        for (next, name) in (1..).zip(&self.0).skip(from) {
            let entry = Entry::new(attr(Ino(next + 1)), Duration::ZERO);
            if out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

#[test]
fn names_of_each_length_are_listed_and_looked_up() {
    require_mount!();
    let mut lengths = vec![1, 255, 256, 300, 1024];
    // Linux 6.14. The path before it counts, too.
    if crate::notify::minor() >= 42 {
        lengths.extend([1025, 3900]);
    }
    assert!(lengths.iter().all(|length| *length <= DirBuf::NAME_MAX));
    let names: Vec<_> = lengths
        .into_iter()
        .map(|length| "n".repeat(length))
        .collect();
    let mount = Mount::new(Session::builder(Names(names.clone()), Concurrent));
    let listed = fs::read_dir(mount.path()).unwrap();
    let listed: BTreeSet<_> = listed
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(listed, names.iter().cloned().collect());
    for name in names {
        let metadata = mount.join(&name).symlink_metadata();
        assert!(metadata.unwrap().is_file(), "{}", name.len());
    }
    mount.end();
}
