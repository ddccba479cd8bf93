//! What outlives a server that is killed: all that the kernel was told, in memory that another process has as well.
//!
//! A journal is two memory files, one of which counts. It begins with a number and a snapshot, and each change is added before
//! the kernel is told of it, as a batch with its length and its digest: what was cut short was told to nobody. When it has
//! grown, the other file gets a new snapshot, and then a higher number.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::bytes::Malformed;
use crate::identity::digest;

#[derive(Debug)]
pub(crate) struct Journal {
    files: [File; 2],
    /// Which of them counts.
    current: usize,
    number: u64,
    /// Where the next batch goes, and how large it may get before there is a new snapshot.
    end: u64,
    most: u64,
}

const MAGIC: [u8; 8] = *b"pfs jrn1";
/// The magic, the number, and a digest of both.
const HEAD: usize = 24;
/// Before a batch: its length and its digest.
const BATCH_HEAD: usize = 16;
/// As large it gets in any case.
const SMALL: u64 = 1 << 20;

impl Journal {
    pub(crate) fn new(snapshot: &[u8]) -> io::Result<Self> {
        let memory = || memfd_create("passthroughfs-journal", MemfdFlags::CLOEXEC).map(File::from);
        let mut journal = Self {
            files: [memory()?, memory()?],
            current: 0,
            number: 0,
            end: 0,
            most: 0,
        };
        journal.begin(snapshot)?;
        Ok(journal)
    }

    /// That of a server that is gone, and what it had written, for [`batches`].
    ///
    /// # Errors
    ///
    /// Neither file has a journal: the server had given it up.
    pub(crate) fn of(files: [File; 2]) -> io::Result<(Self, Vec<u8>)> {
        let contents = files.each_ref().map(contents);
        let numbered = contents.into_iter().enumerate().map(|(file, bytes)| {
            let bytes = bytes?;
            Ok(number(&bytes).map(|number| (number, file, bytes)))
        });
        let numbered = numbered.collect::<io::Result<Vec<_>>>()?;
        let last = numbered
            .into_iter()
            .flatten()
            .max_by_key(|(number, _, _)| *number);
        let Some((number, current, bytes)) = last else {
            let what = "there is no journal: the server could not write it any more";
            return Err(Malformed(what.to_owned()).into());
        };
        let end = HEAD + batches(&bytes).rest.len();
        let journal = Self {
            files,
            current,
            number,
            end: u64::try_from(end).map_err(io::Error::other)?,
            most: 0,
        };
        Ok((journal, bytes))
    }

    pub(crate) fn files(&self) -> &[File; 2] {
        &self.files
    }

    /// Whether it is time for a snapshot.
    pub(crate) fn is_large(&self) -> bool {
        self.end >= self.most
    }

    pub(crate) fn add(&mut self, batch: &[u8]) -> io::Result<()> {
        let framed = framed(batch);
        self.files[self.current].write_all_at(&framed, self.end)?;
        self.end += framed.len() as u64;
        Ok(())
    }

    /// Begins anew, with all that there is.
    pub(crate) fn begin(&mut self, snapshot: &[u8]) -> io::Result<()> {
        let (other, number) = (1 - self.current, self.number + 1);
        let file = &self.files[other];
        file.set_len(0)?;
        let framed = framed(snapshot);
        file.write_all_at(&framed, HEAD as u64)?;
        let number_s = number.to_le_bytes();
        let digest = digest(&[&MAGIC, &number_s]).to_le_bytes();
        // From here on it counts.
        file.write_all_at(&[MAGIC, number_s, digest].concat(), 0)?;
        (self.current, self.number) = (other, number);
        self.end = (HEAD + framed.len()) as u64;
        self.most = SMALL.max(2 * self.end);
        self.files[1 - other].set_len(0)
    }

    /// It could not be written: nobody shall go on with what it has.
    pub(crate) fn give_up(self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.set_len(0))
    }
}

fn contents(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(io::Error::other)?;
    bytes.resize(length, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// That of a journal, if that is what these are.
fn number(bytes: &[u8]) -> Option<u64> {
    let (head, _) = bytes.split_at_checked(HEAD)?;
    let (begin, digested) = head.split_at(16);
    let (magic, number) = begin.split_at(8);
    let is_one = magic == MAGIC && digested == digest(&[magic, number]).to_le_bytes();
    is_one.then(|| number.try_into().map(u64::from_le_bytes).ok())?
}

fn framed(batch: &[u8]) -> Vec<u8> {
    let length = batch.len() as u64;
    let digest = digest(&[batch]).to_le_bytes();
    [&length.to_le_bytes(), &digest, batch].concat()
}

/// What was written to a journal, up to the first batch that is not whole.
pub(crate) fn batches(bytes: &[u8]) -> Batches<'_> {
    let mut all = Batches {
        rest: bytes.get(HEAD..).unwrap_or_default(),
    };
    while all.next().is_some() {}
    let whole = bytes.len() - all.rest.len();
    Batches {
        rest: bytes.get(HEAD..whole).unwrap_or_default(),
    }
}

pub(crate) struct Batches<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Batches<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.rest.split_at_checked(BATCH_HEAD)?;
        let (length, digested) = head.split_at(8);
        let length = u64::from_le_bytes(length.try_into().ok()?);
        let (batch, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        if digest(&[batch]).to_le_bytes() != digested {
            return None;
        }
        self.rest = rest;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn successor(of: &Journal) -> io::Result<(Journal, Vec<Vec<u8>>)> {
        let files = of.files.each_ref().map(|file| file.try_clone().unwrap());
        let (journal, bytes) = Journal::of(files)?;
        let all = batches(&bytes).map(<[u8]>::to_vec).collect();
        Ok((journal, all))
    }

    #[test]
    fn a_successor_reads_all_and_goes_on() {
        let mut journal = Journal::new(b"snapshot").unwrap();
        journal.add(b"one").unwrap();
        journal.add(b"").unwrap();
        let (mut next, all) = successor(&journal).unwrap();
        assert_eq!(all, [&b"snapshot"[..], b"one", b""]);
        next.add(b"two").unwrap();
        let (mut next, all) = successor(&next).unwrap();
        assert_eq!(all, [&b"snapshot"[..], b"one", b"", b"two"]);
        next.begin(b"anew").unwrap();
        next.add(b"three").unwrap();
        let (_, all) = successor(&next).unwrap();
        assert_eq!(all, [&b"anew"[..], b"three"]);
    }

    /// Wherever it is cut short, what is whole is read, and what comes next is written in place of the rest.
    #[test]
    fn a_torn_batch_was_told_to_nobody() {
        let mut journal = Journal::new(b"snapshot").unwrap();
        journal.add(b"one").unwrap();
        let end = journal.end;
        journal.add(b"the last one").unwrap();
        let file = journal.files[journal.current].try_clone().unwrap();
        for length in (end..journal.end).rev() {
            file.set_len(length).unwrap();
            let (mut next, all) = successor(&journal).unwrap();
            assert_eq!(all, [&b"snapshot"[..], b"one"]);
            if length == end {
                next.add(b"instead").unwrap();
                let (_, all) = successor(&next).unwrap();
                assert_eq!(all, [&b"snapshot"[..], b"one", b"instead"]);
            }
        }
        // A byte is another one.
        journal.end = end;
        journal.add(b"the last one").unwrap();
        file.write_all_at(b"T", journal.end - 12).unwrap();
        assert_eq!(successor(&journal).unwrap().1.len(), 2);
    }

    /// A snapshot counts from when it has its number, and until then what was before it.
    #[test]
    fn there_is_one_at_any_time() {
        let mut journal = Journal::new(b"before").unwrap();
        journal.add(b"one").unwrap();
        let other = journal.files[1 - journal.current].try_clone().unwrap();
        // As `begin` does it, killed before the head is written.
        other.set_len(0).unwrap();
        let framed = framed(b"anew");
        other.write_all_at(&framed, HEAD as u64).unwrap();
        let (mut next, all) = successor(&journal).unwrap();
        assert_eq!(all, [&b"before"[..], b"one"]);
        // Killed before the old one is emptied.
        let old = journal.files[journal.current].try_clone().unwrap();
        let was = contents(&old).unwrap();
        next.begin(b"anew").unwrap();
        old.write_all_at(&was, 0).unwrap();
        assert_eq!(successor(&next).unwrap().1, [b"anew"]);
        next.give_up().unwrap();
        let error = successor(&journal).unwrap_err().to_string();
        assert!(error.contains("there is no journal"), "{error}");
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut journal = Journal::new(b"").unwrap();
        let mut snapshots = 0;
        for _ in 0..3000 {
            if journal.is_large() {
                journal.begin(&[7; 1000]).unwrap();
                snapshots += 1;
            }
            journal.add(&[7; 1000]).unwrap();
        }
        assert!((2..=3).contains(&snapshots), "{snapshots}");
        let lengths = journal
            .files
            .each_ref()
            .map(|file| file.metadata().unwrap().len());
        assert!(lengths.iter().sum::<u64>() < SMALL + 2000, "{lengths:?}");
    }
}
