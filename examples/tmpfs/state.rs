//! The state for the next program, and out of what the one before has handed over.
//!
//! The bytes of files stay where they are: in the [`Store`], whose file is handed over. All else is written down. What depends on
//! the command line, which is the same, and what can be computed again, such as digests, is not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fuse3::Ino;
use fuse3::handover::Baggage;

use crate::computing::Computing;
use crate::form::{ANY, MANY, Reader, Writer, Wrong};
use crate::inodes::{Counts, Inodes};
use crate::listing::Listings;
use crate::node::{Kind, Node};
use crate::reclaim::Garbage;
use crate::runs::Run;
use crate::space::Space;
use crate::store::{BLOCK_BYTES, SLOTS, Store};

/// The first line. The number changes with each change of what follows.
const MARK: &[u8] = b"fuse3-tmpfs 1\n";

impl Inodes {
    /// What the next program needs.
    ///
    /// # Errors
    ///
    /// Those of dup(2).
    pub(crate) fn baggage(&self) -> io::Result<Baggage> {
        let mut out = Writer(MARK.to_vec());
        self.put(&mut out);
        Ok(Baggage {
            bytes: out.0,
            files: vec![self.store.file().try_clone()?.into()],
        })
    }

    /// What the program before has handed over.
    ///
    /// # Errors
    ///
    /// What [`baggage`](Self::baggage) could not have written, and what does not add up.
    pub(crate) fn from_baggage(baggage: &Baggage) -> Result<Self, Wrong> {
        let mut from = Reader::new(&baggage.bytes);
        from.begins_with(MARK)?;
        let [file] = &*baggage.files else {
            let count = baggage.files.len();
            return Err(Wrong(format!("it comes with {count} files, not with one")));
        };
        let mut inodes = Self::take(&mut from, file)?;
        let mistakes = from.list("mistakes", |from| {
            let what = String::from_utf8(from.bytes("a mistake")?.to_vec());
            what.map_err(|error| from.wrong(format_args!("a mistake: {error}")))
        })?;
        from.ends()?;
        if let Some(what) = inodes
            .overlap()
            .or_else(|| inodes.check().into_iter().next())
        {
            return Err(Wrong(what));
        }
        inodes.mistakes = mistakes;
        Ok(inodes)
    }

    fn put(&self, out: &mut Writer) {
        let Counts {
            looked_up,
            forgotten,
            opened,
            released,
        } = self.counts;
        let numbers = [
            self.space.blocks(),
            self.store.next(),
            self.last.0,
            self.generation,
            looked_up,
            forgotten,
            opened,
            released,
        ];
        numbers.into_iter().for_each(|number| out.number(number));
        self.listings.put(out);
        self.garbage.put(out);
        out.list(self.nodes.values(), |out, node| node.put(out));
        out.list(self.mistakes.iter(), |out, what| out.bytes(what.as_bytes()));
    }

    fn take(from: &mut Reader<'_>, file: &OwnedFd) -> Result<Self, Wrong> {
        let blocks = from.number("blocks in all", 0..=u64::MAX / BLOCK_BYTES)?;
        let mut space = Space::new(blocks * BLOCK_BYTES);
        let slots = from.number("slots", 0..=SLOTS)?;
        let last = Ino(from.number("the last inode", MANY)?);
        let generation = from.number("the generation", ANY)?;
        let looked_up = from.number("lookups", MANY)?;
        let forgotten = from.number("lookups that were forgotten", 0..=looked_up)?;
        let opened = from.number("open handles", MANY)?;
        let counts = Counts {
            looked_up,
            forgotten,
            opened,
            released: from.number("open handles that were released", 0..=opened)?,
        };
        let listings = Listings::take(from)?;
        let garbage = Garbage::take_written(from, slots)?;
        let mut used = garbage.blocks();
        let mut before = Ino(0);
        let nodes = from.list("inodes", |from| {
            let node = Node::take(from, before.0 + 1..=last.0, slots)?;
            before = node.ino();
            let room = space.take_room(node.cost());
            room.map_err(|_| from.wrong(format_args!("inode {before} has no room")))?;
            used = used.saturating_add(node.data().map_or(0, |data| data.blocks()));
            Ok((before, node))
        })?;
        let nodes = BTreeMap::from_iter(nodes);
        match nodes.get(&Ino::ROOT).map(|root| &root.kind) {
            Some(Kind::Directory(root)) if root.parent() == Ino::ROOT => {}
            _ => return Err(from.wrong("there is no root")),
        }
        if !space.take(used) {
            return Err(from.wrong(format_args!("{used} blocks are used, of {blocks}")));
        }
        let file = file.try_clone().map(File::from);
        let file = file.map_err(|error| from.wrong(format_args!("its file: {error}")))?;
        let kind = file.metadata().map(|file| file.file_type());
        if !kind.is_ok_and(|kind| kind.is_file()) {
            return Err(from.wrong(format_args!("its file is not one in memory: {file:?}")));
        }
        Ok(Self {
            nodes,
            last,
            generation,
            store: Arc::new(Store::again(file, slots)),
            space,
            garbage,
            listings,
            computing: Computing::default(),
            noatime: false,
            has_acls: false,
            counts,
            mistakes: Vec::new(),
        })
    }

    /// Slots that two runs have.
    fn overlap(&self) -> Option<String> {
        let files = self.iter().filter_map(|node| node.data().ok());
        let runs = files
            .flat_map(|data| data.runs())
            .chain(self.garbage.runs());
        let mut slots: Vec<Range<u64>> = runs.filter_map(|run: Run| run.slots()).collect();
        slots.sort_unstable_by_key(|slots| slots.start);
        let mut pairs = slots.windows(2);
        let pair = pairs.find(|pair| pair[0].end > pair[1].start)?;
        Some(format!("the slots {pair:?} overlap"))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};

    use fuse3::range::{Fallocate, FallocateMode};
    use fuse3::{Caller, ReadBuf, SetAttr, XattrFlags};

    use super::*;
    use crate::names::New;
    use crate::reclaim::PIECE;
    use crate::runs;
    use crate::store::BLOCK;

    /// Something of all that there is.
    fn inodes() -> Inodes {
        let mut inodes = Inodes::new(Space::new(1 << 30), 0o755, 1, 2).unwrap();
        let (root, caller, name) = (Ino::ROOT, Caller::default(), OsStr::new);
        let below = inodes.mkdir(root, name("d"), 0o700, caller).unwrap();
        for (what, mode, kind) in [
            ("s", libc::S_IFLNK, Kind::Symlink(OsString::from("to"))),
            ("p", libc::S_IFIFO, Kind::Special),
            ("c", libc::S_IFCHR, Kind::Special),
        ] {
            let new = New {
                mode,
                rdev: 9,
                kind,
            };
            inodes.make(root, name(what), new, caller).unwrap();
        }
        let new = New::file(0o644);
        let file = inodes.make(below, name("f"), new, caller).unwrap();
        inodes.link(file, root, name("link")).unwrap();
        inodes.write(file, 0, &[1; 2 * BLOCK + 5]).unwrap();
        inodes.write(file, 1 << 40, b"far").unwrap();
        let aside = Fallocate::new(FallocateMode::KEEP_SIZE, 5 << 20, 100_000);
        inodes.fallocate(file, &aside).unwrap();
        for (key, value) in [("user.a", &b"value"[..]), ("trusted.b", b"")] {
            let new = XattrFlags::CREATE;
            inodes.set_xattr(file, name(key), value, new).unwrap();
        }
        inodes.unlink(root, name("p")).unwrap();
        // Open, and without a name.
        let gone = inodes.tmpfile(root, 0o600, caller).unwrap();
        inodes.open(gone).unwrap();
        inodes.entry(gone).unwrap();
        inodes.write(gone, 10, b"nameless").unwrap();
        inodes.open_directory(root).unwrap();
        // Cut, it waits to be freed, and some of it is just being freed.
        let length = usize::try_from(PIECE).unwrap() * BLOCK + 1;
        inodes.write(gone, 0, &vec![3; length]).unwrap();
        let mut cut = SetAttr::default();
        cut.size = Some(1);
        inodes.set(gone, &cut).unwrap();
        inodes.write(gone, 0, &vec![4; length + BLOCK]).unwrap();
        inodes.set(gone, &cut).unwrap();
        inodes.garbage.leaving = inodes.reclaim();
        inodes.mistakes.push("one".to_owned());
        assert!(inodes.garbage.blocks() > 0);
        inodes
    }

    fn of(bytes: &[u8], files: &[OwnedFd]) -> Result<Inodes, Wrong> {
        let files = files.iter().map(|file| file.try_clone().unwrap());
        Inodes::from_baggage(&Baggage {
            bytes: bytes.to_vec(),
            files: files.collect(),
        })
    }

    #[test]
    fn the_next_program_has_all() {
        let before = inodes();
        let baggage = before.baggage().unwrap();
        let mut after = Inodes::from_baggage(&baggage).unwrap();
        assert_eq!(after.baggage().unwrap().bytes, baggage.bytes);
        assert_eq!(after.left(), before.left());
        assert_eq!(after.check(), ["one"]);
        let file = after.find(Ino::ROOT, OsStr::new("link")).unwrap();
        assert_eq!(
            after.get(file).unwrap().attr(),
            before.get(file).unwrap().attr()
        );
        let mut out = ReadBuf::new(2 * BLOCK + 6);
        after
            .get(file)
            .unwrap()
            .data()
            .unwrap()
            .read(&after.store, 0, &mut out)
            .unwrap();
        let read = out.finish().to_vec(2 * BLOCK + 6).unwrap();
        assert!(read[..2 * BLOCK + 5].iter().all(|byte| *byte == 1) && read[2 * BLOCK + 5] == 0);
        // What it writes is nowhere where something is.
        after.write(file, 3 << 20, &[5; BLOCK]).unwrap();
        assert_eq!(after.overlap(), None);
        let left = std::mem::take(&mut after.garbage.leaving);
        assert!(runs::blocks(&left) > 0);
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let before = inodes();
        let Baggage { bytes, files } = before.baggage().unwrap();
        for length in 0..bytes.len() {
            let wrong = of(&bytes[..length], &files).unwrap_err();
            assert!(!wrong.0.is_empty(), "{length}");
        }
        // What is read in spite of it could have been written.
        let (mut read, mut said) = (0, Vec::new());
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                match of(&damaged, &files) {
                    Ok(inodes) => {
                        assert!(inodes.baggage().unwrap().bytes == damaged, "{at} {change}");
                        read += 1;
                    }
                    Err(wrong) => said.push(wrong.0),
                }
            }
        }
        println!(
            "{read} of {} changes are nothing impossible",
            3 * bytes.len()
        );
        for what in [
            r#"it begins with "fuse3-tmpfs 0\n"#,
            "not with",
            "open handles: ",
            "lookup counts: ",
            "links and should have",
            "the name",
            "of which there are",
            "a run: ",
            "overlap",
            "its mode is",
            "leads to none",
            "a cookie: ",
        ] {
            assert!(
                said.iter().any(|said| said.contains(what)),
                "{what}: {said:#?}"
            );
        }
    }

    #[test]
    fn what_comes_along_is_one_file() {
        let Baggage { bytes, mut files } = inodes().baggage().unwrap();
        let wrong = of(&bytes, &[]).unwrap_err();
        assert_eq!(wrong.0, "it comes with 0 files, not with one");
        files.push(File::open("/dev/null").unwrap().into());
        let wrong = of(&bytes, &files).unwrap_err();
        assert_eq!(wrong.0, "it comes with 2 files, not with one");
        files.remove(0);
        let wrong = of(&bytes, &files).unwrap_err();
        assert!(wrong.0.contains("its file"), "{}", wrong.0);
        let more = [&bytes[..], b"x"].concat();
        files[0] = inodes().baggage().unwrap().files.remove(0);
        let wrong = of(&more, &files).unwrap_err();
        assert!(wrong.0.contains("has 1 more bytes"), "{}", wrong.0);
    }
}
