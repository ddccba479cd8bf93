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
