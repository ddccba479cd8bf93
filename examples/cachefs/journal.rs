//! Commits in the backend: `commit.N` has what changed since `commit.N-1`, all of it or nothing.
//!
//! A mount reads them all, and makes them one, as the commit thread does when they are many.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use fuse3::Ino;

use crate::backend::Backend;
use crate::blocks::{BlockId, Blocks};
use crate::record::{self, Record};
use crate::state::State;

/// The name of the object of a commit.
pub(crate) fn name(number: u64) -> String {
    format!("commit.{number:016x}")
}

/// The key that is no record's: what comes before it does not count.
const ALL: &[u8] = b"";

/// One more change at the end of a commit. The last one of a record counts.
pub(crate) fn append(commit: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("names and values are short");
    commit.extend(len(key).to_le_bytes());
    commit.extend(value.map_or(u32::MAX, len).to_le_bytes());
    commit.extend(key);
    commit.extend(value.unwrap_or_default());
}

/// The values of all records, by their keys.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Does what a commit says. `None` if it says nothing that makes sense.
fn apply(records: &mut Records, mut commit: &[u8]) -> Option<()> {
    while !commit.is_empty() {
        let mut take = |len: u32| {
            let (head, tail) = commit.split_at_checked(usize::try_from(len).ok()?)?;
            commit = tail;
            Some(head.to_vec())
        };
        let key = u32::from_le_bytes(take(4)?.try_into().ok()?);
        let value = u32::from_le_bytes(take(4)?.try_into().ok()?);
        let key = take(key)?;
        if key == ALL {
            records.clear();
        } else if value == u32::MAX {
            records.remove(&key);
        } else {
            records.insert(key, take(value)?);
        }
    }
    Some(())
}

/// All records, as of these commits.
pub(crate) fn read(backend: &Backend, commits: &[u64]) -> io::Result<Records> {
    let mut records = Records::new();
    for number in commits {
        let name = name(*number);
        apply(&mut records, &backend.get(&name)?)
            .ok_or_else(|| io::Error::other(format!("{name} is damaged")))?;
    }
    Ok(records)
}

/// Makes all commits up to `last` one, and returns what is in it. Others may commit meanwhile.
pub(crate) fn compact(backend: &Backend, last: u64) -> io::Result<Records> {
    let mut commits = backend.list("commit")?;
    commits.retain(|number| *number <= last);
    let records = read(backend, &commits)?;
    let mut whole = Vec::new();
    append(&mut whole, ALL, None);
    for (key, value) in &records {
        append(&mut whole, key, Some(value));
    }
    backend.put(&name(last), &whole)?;
    for number in commits.into_iter().filter(|number| *number != last) {
        backend.delete(&name(number))?;
    }
    Ok(records)
}

/// The file system as it was committed last. Deletes what is left of what was not.
pub(crate) fn load(backend: &Backend, limit: usize) -> io::Result<State> {
    let commits = backend.list("commit")?.last().copied().unwrap_or(0);
    let records = compact(backend, commits)?;
    let objects = backend.list("block")?;
    let mut state = State {
        inodes: BTreeMap::new(),
        last: Ino::ROOT,
        blocks: Blocks::new(objects.last().copied().unwrap_or(0), limit),
        dirty: Default::default(),
        committed: BTreeMap::new(),
        commits,
        compacted: commits,
        uploads: None,
        threads: Vec::new(),
        stop: false,
    };
    let damaged = || io::Error::other("a record is damaged");
    let mut names = Vec::new();
    for (key, value) in &records {
        match Record::decode(key).ok_or_else(damaged)? {
            Record::Inode(ino) => {
                let inode = record::inode(ino, value).ok_or_else(damaged)?;
                // By the inode, and by its record.
                for id in inode.blocks.values().chain(inode.blocks.values()) {
                    state.blocks.refer(*id);
                }
                state.committed.insert(ino, inode.blocks.clone());
                state.last = state.last.max(ino);
                state.inodes.insert(ino, inode);
            }
            Record::Name(parent, name) => {
                names.push((parent, name, record::target(value).ok_or_else(damaged)?));
            }
        }
    }
    for (parent, name, ino) in names {
        let inode = state.inodes.get_mut(&ino).ok_or_else(damaged)?;
        (inode.parent, inode.name) = (parent, name.clone());
        let above = state.inodes.get_mut(&parent).ok_or_else(damaged)?;
        above.names.insert(name, ino);
        above.order.insert(ino);
    }
    if !state.inodes.contains_key(&Ino::ROOT) {
        state.make_root();
    }
    // What was open without a name.
    for ino in state.inodes.keys().copied().collect::<Vec<_>>() {
        state.collect(ino);
    }
    let known: BTreeSet<u64> = state.blocks.counts().map(|(id, ..)| id.0).collect();
    for number in objects.into_iter().filter(|number| !known.contains(number)) {
        backend.delete(&BlockId(number).to_string())?;
    }
    Ok(state)
}
