//! What a keeper has of this server, and how the next one goes on with it after a crash.
//!
//! The journal says what the kernel knows and what was open; files are opened again by their names, or by what is in the drawer.
//! What does not survive: a file that was open and whose name somebody else has removed in the source, and, where an ordinary
//! user serves, one that may not be opened any more; they answer ESTALE from then on. A file that was opened by a request which was not
//! answered, and is asked for again, is open once too often, and closed when it is unmounted.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use fuse3::Ino;
use fuse3::handover::Baggage;
use rustix::fs::OFlags;

use crate::bytes::{Malformed, Writer};
use crate::caller;
use crate::drawer::Drawer;
use crate::journal::{Journal, batches};
use crate::mirror::{Directory, Mirror};
use crate::node;
use crate::open::Open;
use crate::reach::stat_of;
use crate::record::{self, Listing, WasOpen};
use crate::state::Recorded;

/// What outlives this process.
#[derive(Debug)]
pub(crate) struct Kept {
    journal: Journal,
    drawer: Drawer,
}

/// What tells a keeper's baggage from that of a predecessor which is there: another version has another one.
pub(crate) const MAGIC: &[u8] = b"passthroughfs journal 1\n";

#[cfg(test)]
impl Kept {
    pub(crate) fn drawer(&self) -> &Drawer {
        &self.drawer
    }
}

impl Mirror {
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// From now on all that changes is written down, in what this returns for the keeper.
    pub(crate) fn keep(&mut self) -> io::Result<Baggage> {
        let snapshot = self.snapshot();
        let kept = match self.kept.take() {
            Some(mut kept) => {
                kept.journal.begin(&snapshot)?;
                kept
            }
            None => {
                let (journal, mut drawer) = (Journal::new(&snapshot)?, Drawer::new()?);
                for (ino, inode) in self.tree.iter() {
                    if let Some(held) = &inode.held {
                        drawer.put(ino, held)?;
                    }
                }
                Kept { journal, drawer }
            }
        };
        let mut files = vec![self.root.as_fd()];
        files.extend(kept.journal.files().iter().map(AsFd::as_fd));
        files.extend(kept.drawer.sockets().iter().map(AsFd::as_fd));
        let files: io::Result<_> = files.iter().map(AsFd::as_fd).map(duplicate).collect();
        let files = files?;
        self.kept = Some(kept);
        Ok(Baggage {
            bytes: MAGIC.to_vec(),
            files,
        })
    }

    /// Writes down what has changed, before anybody is told of it.
    ///
    /// Where that fails, no crash is survived any more.
    pub(crate) fn record(&mut self) {
        let changed = mem::take(&mut self.tree.changed);
        let directories = mem::take(&mut self.changed);
        let Some(mut kept) = self.kept.take() else {
            return;
        };
        if changed.is_empty() && directories.is_empty() {
            self.kept = Some(kept);
            return;
        }
        let written = if kept.journal.is_large() {
            kept.journal.begin(&self.snapshot())
        } else {
            let mut out = Writer::default();
            record::write_last(&mut out, self.last);
            for ino in &changed {
                match self.tree.get(*ino) {
                    Ok(inode) => record::write_inode(&mut out, *ino, inode),
                    Err(_) => record::write_gone(&mut out, *ino),
                }
            }
            for handle in directories {
                match self.directories.get(&handle) {
                    Some(directory) => record::write_directory(&mut out, handle, directory),
                    None => record::write_closed(&mut out, handle),
                }
            }
            kept.journal.add(&out.into_bytes())
        };
        let tidied = kept.drawer.tidy(&self.tree, &changed);
        if let Err(error) = tidied {
            caller::say(&format!("ERROR: a crash loses what has no name: {error}\n"));
        }
        match written {
            Ok(()) => self.kept = Some(kept),
            Err(error) => {
                caller::say(&format!("ERROR: a crash ends the mount: {error}\n"));
                // Memory can be given back at any time.
                let _ = kept.journal.give_up();
            }
        }
    }

    /// `held` is about to lose its last name.
    pub(crate) fn put_away(&mut self, parent: Ino, name: &OsStr, held: Option<&File>) {
        let ino = self.tree.child(parent, name);
        if let (Some(kept), Some((ino, file))) = (&mut self.kept, ino.zip(held)) {
            if let Err(error) = kept.drawer.put(ino, file) {
                let what = format!("ERROR: a crash loses {name:?}, which is removed: {error}\n");
                caller::say(&what);
            }
        }
    }

    /// Goes on where a server was killed.
    ///
    /// # Errors
    ///
    /// It has written what makes no sense; or so many files cannot be open.
    pub(crate) fn rebuilt(baggage: &Baggage, writeback: bool) -> io::Result<Self> {
        let files: io::Result<Vec<_>> = baggage.files.iter().map(OwnedFd::try_clone).collect();
        let count = baggage.files.len();
        let files: Result<[OwnedFd; 7], _> = files?.try_into();
        let files = files.map_err(|_| Malformed(format!("there are {count} files, and not 7")))?;
        let [root, first, second, a, b, c, d] = files;
        let mut mirror = Self::of(root.into(), writeback)?;
        let (journal, written) = Journal::of([first.into(), second.into()])?;
        let mut drawer = Drawer::of([a, b, c, d]);
        let mut recorded = Recorded::default();
        for batch in batches(&written) {
            recorded.read(batch)?;
        }
        let (mut inodes, mut open) = (HashMap::new(), Vec::new());
        for (ino, known) in recorded.inodes {
            open.extend(known.open.map(|was| (ino, was)));
            inodes.insert(ino, known.inode);
        }
        for (ino, file) in drawer.all()? {
            let Some(inode) = inodes.get_mut(&ino) else {
                continue;
            };
            if stat_of(&file)?.1 == inode.source {
                inode.held = Some(Arc::new(file));
            }
        }
        mirror.plant(inodes)?;
        mirror.last = recorded.last;
        mirror.settle();
        for (ino, was) in open {
            mirror.open_again(ino, was)?;
        }
        for (handle, Listing { ino, listed }) in recorded.directories {
            let open = mirror
                .reach(ino)
                .and_then(|dir| node::reopen(&dir, OFlags::RDONLY | OFlags::DIRECTORY));
            if let Some(file) = unless_lost(ino, open)? {
                let file = Arc::new(file);
                let directory = Directory { ino, file, listed };
                mirror.directories.insert(handle, directory);
            }
        }
        mirror.kept = Some(Kept { journal, drawer });
        Ok(mirror)
    }

    fn open_again(&mut self, ino: Ino, was: WasOpen) -> io::Result<()> {
        let access = was.access;
        let file = match &self.tree.get(ino)?.held {
            None => self.open_by_name(ino, access.flags()),
            Some(held) => node::reopen(held, access.flags()),
        };
        let Some(file) = unless_lost(ino, file)? else {
            return Ok(());
        };
        let quiet = was.is_quiet.then(|| node::reopen_quietly(&file));
        let open = Open {
            quiet: quiet.transpose()?,
            file: Arc::new(file),
            access,
            handles: was.handles,
        };
        self.tree.get_mut(ino)?.open = Some(open);
        Ok(())
    }
}

fn duplicate(file: impl AsFd) -> io::Result<OwnedFd> {
    file.as_fd().try_clone_to_owned()
}

/// `None`, with a word, where it cannot be opened; an error where nothing can be.
fn unless_lost(ino: Ino, opened: io::Result<File>) -> io::Result<Option<File>> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Err(error),
            _ => {
                caller::say(&format!("ERROR: {ino} was open, and is lost: {error}\n"));
                Ok(None)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};
    use std::{env, fs, process};

    use fuse3::{Create, Entry, Errno, Fh, OpenFlags, RenameFlags};
    use rustix::fs::{AtFlags, mkdirat};

    use super::*;
    use crate::mirror::Asked;
    use crate::repeated::Change;

    const ROOT: Ino = Ino::ROOT;
    const AGAIN: bool = true;

    /// A source, its mirror, and what its keeper has; dropped, it is removed.
    struct Served {
        dir: PathBuf,
        it: Mirror,
        keeper: Baggage,
    }

    impl Drop for Served {
        fn drop(&mut self) {
            // What is left in the temporary directory is no failure.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    fn served(name: &str) -> Served {
        let dir = env::temp_dir().join(format!("passthroughfs-{name}-{}", process::id()));
        fs::create_dir_all(dir.join("d")).unwrap();
        for name in ["a", "b", "d/c"] {
            fs::write(dir.join(name), name).unwrap();
        }
        let mut it = Mirror::new(&dir, false).unwrap();
        let keeper = it.keep().unwrap();
        Served { dir, it, keeper }
    }

    impl Served {
        /// SIGKILL: nothing of the server is left but what its keeper has. The next one goes on.
        fn killed(&mut self) {
            let next = Mirror::rebuilt(&self.keeper, false).unwrap();
            self.it = next;
            // As `main`, which has the same kept.
            self.it.keep().unwrap();
        }

        fn find(&mut self, path: &str) -> Ino {
            let mut ino = ROOT;
            for name in Path::new(path) {
                ino = self.it.look_up(ino, name).unwrap().ino;
            }
            ino
        }

        fn mkdir(&mut self, again: bool, name: &str) -> io::Result<Entry> {
            let asked = Asked {
                again,
                ..Asked::default()
            };
            let make = |dir: &File, mode| mkdirat(dir, name, mode);
            self.it.make(asked, ROOT, (OsStr::new(name), 0o755), make)
        }

        fn begin(&mut self, name: &str, change: Change<'_>) {
            let is_done = self.it.begin(false, ROOT, OsStr::new(name), change);
            assert!(!is_done.unwrap());
        }

        fn open(&mut self, ino: Ino) -> Fh {
            let flags = OpenFlags::from_bits_retain(libc::O_RDWR);
            self.it.open(Default::default(), ino, flags).unwrap()
        }
    }

    fn os(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    fn errno(result: io::Result<impl Sized>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn what_is_open_is_open_again() {
        let mut s = served("open");
        let a = s.find("a");
        let handle = s.open(a);
        let d = s.find("d");
        let listing = s.it.open_directory(d).unwrap();
        let listed = node::list(&s.it.directory(listing).unwrap().file).unwrap();
        s.it.listed(listing, listed).unwrap();
        let before = s.it.snapshot();
        s.killed();
        assert_eq!(s.it.snapshot(), before);
        s.it.opened(a).unwrap().write_all_at(b"more", 0).unwrap();
        assert_eq!(fs::read(s.dir.join("a")).unwrap(), b"more");
        assert_eq!(s.it.directory(listing).unwrap().listed.len(), 3);
        assert!(s.it.release(a, handle).unwrap().is_some());
        // It was released, and the answer was lost.
        s.killed();
        assert!(s.it.release(a, handle).is_err());
        s.it.forgotten([(a, 1)]);
        s.killed();
        assert!(s.it.tree.get(a).is_err());
    }

    #[test]
    fn what_has_no_name_stays() {
        let mut s = served("unnamed");
        let (a, b) = (s.find("a"), s.find("b"));
        s.open(a);
        s.it.remove(false, ROOT, os("a"), AtFlags::empty()).unwrap();
        let none = RenameFlags::empty();
        let new = s.find("d");
        s.it.rename(false, (new, os("c")), (ROOT, os("b")), none)
            .unwrap();
        for _ in 0..3 {
            s.killed();
            let read = |file: &File| {
                let mut text = [0];
                file.read_exact_at(&mut text, 0).unwrap();
                text
            };
            assert_eq!(read(&s.it.opened(a).unwrap()), *b"a");
            assert_eq!(s.it.stat(b).unwrap().st_nlink, 0);
        }
        assert_eq!(s.find("b"), s.find("b"));
        // Nobody holds it any more.
        s.it.forgotten([(b, 1)]);
        s.killed();
        assert!(s.it.tree.get(b).is_err());
    }

    /// Each is asked for once more: before it was begun, while it was, when it had been done, and when that was written down.
    #[test]
    fn a_directory_is_made_once() {
        let mut s = served("mkdir");
        s.mkdir(AGAIN, "never").unwrap();
        s.begin("begun", Change::Make);
        s.killed();
        s.mkdir(AGAIN, "begun").unwrap();
        s.begin("made", Change::Make);
        fs::create_dir(s.dir.join("made")).unwrap();
        s.killed();
        s.mkdir(AGAIN, "made").unwrap();
        let made = s.mkdir(false, "answered").unwrap();
        s.killed();
        assert_eq!(s.mkdir(AGAIN, "answered").unwrap().ino, made.ino);
        // It was there before.
        assert_eq!(errno(s.mkdir(false, "d")), Some(libc::EEXIST));
        s.killed();
        assert_eq!(errno(s.mkdir(AGAIN, "d")), Some(libc::EEXIST));
        assert_eq!(errno(s.mkdir(false, "answered")), Some(libc::EEXIST));
    }

    #[test]
    fn a_file_is_created_once() {
        let mut s = served("create");
        let mut how = Create::default();
        how.mode = 0o644;
        how.flags = OpenFlags::from_bits_retain(libc::O_RDWR | libc::O_EXCL);
        let asked = |again| Asked {
            again,
            ..Asked::default()
        };
        let (entry, _) = s.it.create(asked(false), ROOT, os("new"), how).unwrap();
        s.killed();
        let (again, handle) = s.it.create(asked(AGAIN), ROOT, os("new"), how).unwrap();
        assert_eq!(again.ino, entry.ino);
        s.it.opened(entry.ino)
            .unwrap()
            .write_all_at(b"x", 0)
            .unwrap();
        s.it.release(entry.ino, handle).unwrap();
        let exists = s.it.create(asked(false), ROOT, os("new"), how);
        assert_eq!(errno(exists), Some(libc::EEXIST));
    }

    #[test]
    fn a_name_is_removed_once() {
        let mut s = served("unlink");
        let remove =
            |s: &mut Served, again, name| s.it.remove(again, ROOT, os(name), AtFlags::empty());
        let a = s.find("a");
        s.open(a);
        s.begin("a", Change::Remove);
        let held =
            s.it.hold(&s.it.reach(ROOT).unwrap(), ROOT, os("a"))
                .unwrap();
        s.it.put_away(ROOT, os("a"), held.as_ref());
        fs::remove_file(s.dir.join("a")).unwrap();
        s.killed();
        // It is known to be gone before it is asked for, and has not been lost.
        assert!(s.it.tree.get(a).unwrap().names.is_empty());
        s.it.opened(a).unwrap();
        remove(&mut s, AGAIN, "a").unwrap();
        // Somebody has made another one in the source.
        fs::write(s.dir.join("a"), "other").unwrap();
        remove(&mut s, AGAIN, "a").unwrap();
        assert_eq!(fs::read(s.dir.join("a")).unwrap(), b"other");
        remove(&mut s, false, "a").unwrap();
        assert_eq!(errno(remove(&mut s, false, "a")), Some(libc::ENOENT));
        s.killed();
        assert_eq!(errno(remove(&mut s, AGAIN, "a")), Some(libc::ENOENT));
        // Begun, and not done.
        s.begin("b", Change::Remove);
        s.killed();
        remove(&mut s, AGAIN, "b").unwrap();
        assert!(!s.dir.join("b").exists());
    }

    #[test]
    fn a_name_is_changed_once() {
        let mut s = served("rename");
        let (a, d) = (s.find("a"), s.find("d"));
        let to = (d, os("new"));
        let change = Change::Rename {
            to,
            exchange: false,
        };
        let none = RenameFlags::empty();
        s.begin("a", change);
        fs::rename(s.dir.join("a"), s.dir.join("d/new")).unwrap();
        s.killed();
        // Others reach it before it is asked for.
        s.it.attr(a).unwrap();
        s.it.rename(AGAIN, (ROOT, os("a")), to, none).unwrap();
        s.it.rename(false, to, (ROOT, os("a")), none).unwrap();
        // The same as before, which was not begun.
        s.killed();
        s.it.rename(AGAIN, (ROOT, os("a")), to, none).unwrap();
        assert!(s.dir.join("d/new").exists());
        let gone = s.it.rename(false, (ROOT, os("a")), to, none);
        assert_eq!(errno(gone), Some(libc::ENOENT));
        // Two names are exchanged once.
        let exchange = RenameFlags::EXCHANGE;
        s.it.rename(false, (ROOT, os("b")), to, exchange).unwrap();
        s.killed();
        s.it.rename(AGAIN, (ROOT, os("b")), to, exchange).unwrap();
        assert_eq!(fs::read(s.dir.join("d/new")).unwrap(), b"b");
    }

    /// What was removed since then in another directory is not taken for what was removed before.
    #[test]
    fn a_step_ends_when_another_one_leads_there() {
        let mut s = served("steps");
        let d = s.find("d");
        let none = AtFlags::empty();
        s.it.remove(false, ROOT, os("a"), none).unwrap();
        s.it.rename(false, (d, os("c")), (ROOT, os("a")), RenameFlags::empty())
            .unwrap();
        s.killed();
        s.it.remove(AGAIN, ROOT, os("a"), none).unwrap();
        assert!(!s.dir.join("a").exists());
    }

    #[test]
    fn a_lost_file_is_stale() {
        let mut s = served("lost");
        let a = s.find("a");
        s.open(a);
        // Behind its back: nobody has kept it.
        fs::remove_file(s.dir.join("a")).unwrap();
        s.killed();
        assert_eq!(s.it.opened(a).unwrap_err(), Errno::ESTALE);
        s.find("b");
    }

    #[test]
    fn a_journal_that_makes_no_sense_is_refused() {
        let mut s = served("nonsense");
        s.it.kept.as_mut().unwrap().journal.add(&[9]).unwrap();
        let error = Mirror::rebuilt(&s.keeper, false).unwrap_err().to_string();
        assert!(error.contains("no record of kind 9"), "{error}");
        s.keeper.files.pop();
        let error = Mirror::rebuilt(&s.keeper, false).unwrap_err().to_string();
        assert_eq!(error, "there are 6 files, and not 7");
    }
}
