//! Numbers that are the file system's own: node ids that `stat` does not show, and offsets of a directory with gaps.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::reply::Added;
use fuse3::{
    Answer, Attr, Capabilities, Concurrent, Connection, Context, DirBuf, Entry, Errno, FileInfo,
    Filesystem, Ino, Listing, Session,
};

use crate::fixture::{Mount, c_string, require_mount};

/// More than one request lists.
const FILES: u64 = 1000;

/// The file `fN` is the node 5,000,000 + N, and shown as the inode 10 + N.
struct Numbers {
    plus: bool,
}

fn entry(number: u64) -> Entry {
    let attr = Attr::new(Ino(10 + number), libc::S_IFREG | 0o644);
    Entry {
        ino: Ino(5_000_000 + number),
        ..Entry::new(attr, Duration::ZERO)
    }
}

/// Where a listing goes on after the file: up to the largest number that is an offset.
fn offset_after(number: u64) -> u64 {
    (number + 1) * (i64::MAX as u64 / FILES)
}

impl Filesystem for Numbers {
    type Lock = Concurrent;

    fn init(
        &self,
        _: &mut Guard<'_, Self>,
        connection: &mut Connection<'_>,
    ) -> std::io::Result<()> {
        if self.plus {
            let plus = connection.want(Capabilities::READDIRPLUS);
            plus.map_err(std::io::Error::other)?;
        }
        Ok(())
    }

    fn lookup(&self, _: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let number = name.to_str().and_then(|name| name.strip_prefix('f'));
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        Ok(entry(number.ok_or(Errno::ENOENT)?))
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let attr = match ino {
            Ino::ROOT => Attr::new(ino, libc::S_IFDIR | 0o755),
            // The kernel asks by the node.
            Ino(node) => entry(node.checked_sub(5_000_000).ok_or(Errno::ESTALE)?).attr,
        };
        Ok((attr, Duration::ZERO))
    }

    fn readdir(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        let first = match offset {
            0 => 0,
            _ => {
                let mut files = 0..FILES;
                let before = files.find(|number| offset_after(*number) == offset);
                before.ok_or(Errno::EINVAL)? + 1
            }
        };
        for number in first..FILES {
            let added = out.add(format!("f{number}"), &entry(number), offset_after(number));
            if added == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

#[test]
fn stat_shows_another_number_than_the_node_s() {
    require_mount!();
    for plus in [false, true] {
        let mount = Mount::new(Session::builder(Numbers { plus }, Concurrent));
        assert_eq!(fs::metadata(mount.join("f7")).unwrap().ino(), 17);
        let listed = list(mount.path(), None);
        assert!(
            listed
                .iter()
                .all(|(name, ino, _)| *name == format!("f{}", ino - 10))
        );
        assert_eq!(fs::metadata(mount.join("f7")).unwrap().ino(), 17);
        mount.end();
    }
}

#[test]
fn offsets_of_any_size() {
    require_mount!();
    for plus in [false, true] {
        let mount = Mount::new(Session::builder(Numbers { plus }, Concurrent));
        let all = list(mount.path(), None);
        let names: Vec<_> = (0..FILES).map(|number| format!("f{number}")).collect();
        let listed = |from: &[(String, u64, i64)]| {
            from.iter()
                .map(|(name, ..)| name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(listed(&all), names);
        assert!(all[998].2 > i64::MAX / 2);
        for number in [0, 1, 500, 998] {
            let rest = list(mount.path(), Some(all[number].2));
            assert_eq!(listed(&rest), names[number + 1..]);
        }
        mount.end();
    }
}

/// Name, `d_ino` and `d_off` of each entry, from an offset on.
fn list(dir: &Path, from: Option<i64>) -> Vec<(String, u64, i64)> {
    let path = c_string(dir);
    // SAFETY: the path is NUL-terminated.
    let stream = unsafe { libc::opendir(path.as_ptr()) };
    assert!(!stream.is_null());
    if let Some(from) = from {
        // SAFETY: the stream is open.
        unsafe { libc::seekdir(stream, from) };
    }
    let mut entries = Vec::new();
    loop {
        // SAFETY: the stream is open, and no other thread has it.
        let entry = unsafe { libc::readdir(stream) };
        if entry.is_null() {
            break;
        }
        // SAFETY: the entry is valid until the stream is read again.
        let entry = unsafe { &*entry };
        // SAFETY: names are NUL-terminated.
        let name = unsafe { CStr::from_ptr(entry.d_name.as_ptr()) };
        let name = OsStr::from_bytes(name.to_bytes()).to_str().unwrap();
        entries.push((name.to_owned(), entry.d_ino, entry.d_off));
    }
    // SAFETY: the stream is open, and used no more.
    unsafe { libc::closedir(stream) };
    entries
}
