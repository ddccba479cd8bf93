//! What a server tells its successor: what the kernel knows, and the descriptors of what is open.
//!
//! Descriptors that are handed over are still good when a file has lost its name or may be opened no more, and the kernel of the
//! source notices nothing. Locks need nothing: nobody but the kernel has them, since no handler is asked for any.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fuse3::handover::Baggage;
use fuse3::{Fh, Ino};
use rustix::process::{Resource, getrlimit};

use crate::bytes::{Malformed, Reader, Writer};
use crate::kept;
use crate::mirror::{Directory, Mirror};
use crate::open::Open;
use crate::record::{self, Known, Listing, Record};
use crate::tree::{Inode, Tree};

/// What a state begins with: another version has another one.
const MAGIC: &[u8] = b"passthroughfs state 1\n";
/// Descriptors that a process has beside those of files.
const OTHERS: u64 = 64;

/// What was read, the last record of each.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) inodes: BTreeMap<Ino, Known>,
    pub(crate) directories: BTreeMap<Fh, Listing>,
    pub(crate) last: u64,
}

impl Recorded {
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut from = Reader::new(bytes);
        while !from.is_at_end() {
            match Record::read(&mut from)? {
                Record::Inode(ino, known) => drop(self.inodes.insert(ino, *known)),
                Record::Gone(ino) => drop(self.inodes.remove(&ino)),
                Record::Directory(handle, listing) => {
                    drop(self.directories.insert(handle, listing))
                }
                Record::Closed(handle) => drop(self.directories.remove(&handle)),
                Record::Last(last) => self.last = last,
            }
        }
        Ok(())
    }
}

impl Mirror {
    /// All that the kernel knows, in the order of its numbers.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::default();
        record::write_last(&mut out, self.last);
        for (ino, inode) in self.tree.iter() {
            record::write_inode(&mut out, ino, inode);
        }
        for (handle, directory) in &self.directories {
            record::write_directory(&mut out, *handle, directory);
        }
        out.into_bytes()
    }

    /// What the successor of this process needs.
    ///
    /// # Errors
    ///
    /// Too many files are open: while both processes are there, each has every descriptor twice.
    pub(crate) fn baggage(&self) -> io::Result<Baggage> {
        let mut files = vec![&self.root];
        for (_, inode) in self.tree.iter() {
            if let Some(open) = &inode.open {
                files.push(&open.file);
                files.extend(&open.quiet);
            }
            files.extend(&inode.held);
        }
        files.extend(self.directories.values().map(|directory| &directory.file));
        let needed = 2 * files.len() as u64 + OTHERS;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if needed > limit {
            let what = format!(
                "{} descriptors take {needed} for a while, and RLIMIT_NOFILE is {limit}",
                files.len()
            );
            return Err(io::Error::other(what));
        }
        let files: io::Result<_> = files
            .into_iter()
            .map(|file| file.try_clone().map(OwnedFd::from))
            .collect();
        Ok(Baggage {
            bytes: [MAGIC, &self.snapshot()].concat(),
            files: files?,
        })
    }

    /// Goes on where the predecessor has stopped, with the same source, wherever that is now.
    ///
    /// # Errors
    ///
    /// It was another version; or what it says makes no sense.
    pub(crate) fn restored(baggage: &Baggage, writeback: bool) -> io::Result<Self> {
        if baggage.bytes == kept::MAGIC {
            return Self::rebuilt(baggage, writeback);
        }
        let Some(bytes) = baggage.bytes.strip_prefix(MAGIC) else {
            let start = &baggage.bytes[..baggage.bytes.len().min(MAGIC.len())];
            let what = format!("the state begins with {start:?}, and is not of this version");
            return Err(Malformed(what).into());
        };
        let mut recorded = Recorded::default();
        recorded.read(bytes)?;
        let mut files = baggage.files.iter();
        let mut next = || {
            let none = || Malformed(format!("there are only {} files", baggage.files.len()));
            let file = files.next().ok_or_else(none)?;
            Ok::<_, io::Error>(File::from(file.try_clone()?))
        };
        let mut mirror = Self::of(next()?, writeback)?;
        let mut next = || next().map(Arc::new);
        let mut inodes = HashMap::new();
        for (ino, known) in recorded.inodes {
            let mut inode = known.inode;
            if let Some(open) = known.open {
                inode.open = Some(Open {
                    file: next()?,
                    access: open.access,
                    quiet: open.is_quiet.then(&mut next).transpose()?,
                    handles: open.handles,
                });
            }
            inode.held = known.is_held.then(&mut next).transpose()?;
            inodes.insert(ino, inode);
        }
        for (handle, Listing { ino, listed }) in recorded.directories {
            let file = next()?;
            let directory = Directory { ino, file, listed };
            mirror.directories.insert(handle, directory);
        }
        let more = files.count();
        if more > 0 {
            let what = format!("{more} of {} files are nobody's", baggage.files.len());
            return Err(Malformed(what).into());
        }
        mirror.plant(inodes)?;
        mirror.last = recorded.last;
        Ok(mirror)
    }

    /// Takes these inodes for those that the kernel knows.
    pub(crate) fn plant(&mut self, inodes: HashMap<Ino, Inode>) -> io::Result<()> {
        let tree = Tree::of(inodes).map_err(Malformed)?;
        if self.tree.get(Ino::ROOT)?.source != tree.get(Ino::ROOT)?.source {
            let what = "the source is another directory than before".to_owned();
            return Err(Malformed(what).into());
        }
        self.tree = tree;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;
    use std::{env, fs, process};

    use fuse3::OpenFlags;

    use super::*;

    /// A source with a mirror of which something is open; dropped, it is removed.
    struct Fixture {
        dir: PathBuf,
        mirror: Mirror,
        file: (Ino, Fh),
        dir_handle: Fh,
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            // What is left in the temporary directory is no failure.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    fn fixture(name: &str) -> Fixture {
        let dir = env::temp_dir().join(format!("passthroughfs-{name}-{}", process::id()));
        fs::create_dir_all(dir.join("d")).unwrap();
        for name in ["d/f", "gone"] {
            fs::write(dir.join(name), name).unwrap();
        }
        let mut mirror = Mirror::new(&dir, false).unwrap();
        let d = mirror.look_up(Ino::ROOT, OsStr::new("d")).unwrap().ino;
        let f = mirror.look_up(d, OsStr::new("f")).unwrap().ino;
        let gone = mirror.look_up(Ino::ROOT, OsStr::new("gone")).unwrap().ino;
        let flags = OpenFlags::from_bits_retain(libc::O_RDWR);
        let handle = mirror.open(Default::default(), f, flags).unwrap();
        mirror.open(Default::default(), gone, flags).unwrap();
        let none = rustix::fs::AtFlags::empty();
        mirror
            .remove(false, Ino::ROOT, OsStr::new("gone"), none)
            .unwrap();
        let dir_handle = mirror.open_directory(d).unwrap();
        let listed = crate::node::list(&mirror.directories[&dir_handle].file).unwrap();
        mirror.directory(dir_handle).unwrap().listed = listed.into();
        Fixture {
            dir,
            mirror,
            file: (f, handle),
            dir_handle,
        }
    }

    #[test]
    fn a_successor_knows_all() {
        let it = fixture("all");
        let baggage = it.mirror.baggage().unwrap();
        let mut next = Mirror::restored(&baggage, false).unwrap();
        assert_eq!(next.snapshot(), it.mirror.snapshot());
        // The descriptors are the same ones, also of what has no name.
        for (ino, inode) in it.mirror.tree.iter() {
            let Some(open) = &inode.open else { continue };
            let file = next.opened(ino).unwrap();
            let [was, is] = [&*open.file, &*file].map(|file| file.metadata().unwrap().ino());
            assert_eq!(was, is);
        }
        let listed = &it.mirror.directories[&it.dir_handle].listed;
        assert_eq!(&next.directory(it.dir_handle).unwrap().listed, listed);
        // What is opened next has another number; what was open is closed once.
        let handle = next.open_directory(Ino::ROOT).unwrap();
        assert!(!it.mirror.directories.contains_key(&handle));
        let (ino, handle) = it.file;
        assert!(next.release(ino, handle).unwrap().is_some());
        assert!(next.release(ino, handle).is_err());
    }

    /// Each end, and each changed byte, is an error or another state; there is no panic, and nothing large is allocated.
    #[test]
    fn whatever_the_state_is_it_is_read_or_refused() {
        let it = fixture("broken");
        let whole = it.mirror.baggage().unwrap();
        let changed = |bytes: Vec<u8>| {
            let files = whole.files.iter().map(|file| file.try_clone().unwrap());
            let files = files.collect();
            Mirror::restored(&Baggage { bytes, files }, false).map(drop)
        };
        changed(whole.bytes.clone()).unwrap();
        for length in 0..whole.bytes.len() {
            changed(whole.bytes[..length].to_vec()).unwrap_err();
        }
        for at in 0..whole.bytes.len() {
            for bit in [1, 0x80] {
                let mut bytes = whole.bytes.clone();
                bytes[at] ^= bit;
                // A lookup more, say, cannot be noticed.
                let _ = changed(bytes);
            }
        }
        let more = [&*whole.bytes, &[9]].concat();
        let error = changed(more).unwrap_err().to_string();
        assert!(error.contains("no record of kind 9"), "{error}");
    }

    #[test]
    fn the_wrong_files_are_refused() {
        let it = fixture("files");
        let mut baggage = it.mirror.baggage().unwrap();
        let last = baggage.files.pop().unwrap();
        let error = Mirror::restored(&baggage, false).unwrap_err().to_string();
        assert!(error.contains("there are only"), "{error}");
        baggage.files.extend([last.try_clone().unwrap(), last]);
        let error = Mirror::restored(&baggage, false).unwrap_err().to_string();
        assert!(error.contains("1 of 6 files are nobody's"), "{error}");
    }

    #[test]
    fn another_source_is_refused() {
        let it = fixture("source");
        let mut baggage = it.mirror.baggage().unwrap();
        baggage.files[0] = File::open(it.dir.join("d")).unwrap().into();
        let error = Mirror::restored(&baggage, false).unwrap_err().to_string();
        assert!(error.contains("another directory"), "{error}");
    }
}
