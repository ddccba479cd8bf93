//! What a commit says: for each record its value, or that there is none any more.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use fuse3::{Attr, Ino, Timestamp};

use crate::blocks::{BlockId, BlockMap};
use crate::inode::Inode;
use crate::state::State;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Record {
    /// Attributes and blocks of an inode.
    Inode(Ino),
    /// What a name in a directory leads to.
    Name(Ino, OsString),
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut key = Vec::new();
        match self {
            Record::Inode(ino) => encode(&mut key, [ino.0]),
            Record::Name(parent, name) => {
                encode(&mut key, [parent.0]);
                key.extend(name.as_bytes());
            }
        }
        key
    }

    /// A name is not empty, and an inode's record has none.
    pub(crate) fn decode(key: &[u8]) -> Option<Self> {
        let (ino, name) = key.split_at_checked(8)?;
        let ino = Ino(decode(ino)?[0]);
        Some(match name {
            [] => Record::Inode(ino),
            name => Record::Name(ino, OsString::from_vec(name.to_vec())),
        })
    }

    /// What it says of `state`. `blocks` are the inode's, if it is one.
    pub(crate) fn value(&self, state: &State, blocks: &BlockMap) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        match self {
            Record::Inode(ino) => {
                let attr = state.get(*ino).ok()?.attr;
                let (mode, nlink) = (attr.mode.into(), attr.nlink.into());
                encode(
                    &mut value,
                    [mode, nlink, attr.uid.into(), attr.gid.into(), attr.size],
                );
                for time in [attr.atime, attr.mtime, attr.ctime] {
                    value.extend(time.as_nanos().to_le_bytes());
                }
                encode(
                    &mut value,
                    blocks.iter().flat_map(|(index, id)| [*index, id.0]),
                );
            }
            Record::Name(parent, name) => encode(&mut value, [state.find(*parent, name).ok()?.0]),
        }
        Some(value)
    }
}

/// The inode `ino` of which this is the value. Its place is in another record.
pub(crate) fn inode(ino: Ino, value: &[u8]) -> Option<Inode> {
    let words = decode(value)?;
    let (head, blocks) = words.split_at_checked(11)?;
    let time =
        |at: usize| Timestamp::from_nanos(i128::from(head[at]) | (i128::from(head[at + 1]) << 64));
    let [mode, nlink, uid, gid] = [0, 1, 2, 3].map(|at| u32::try_from(head[at]).ok());
    let attr = Attr {
        nlink: nlink?,
        uid: uid?,
        gid: gid?,
        size: head[4],
        atime: time(5),
        mtime: time(7),
        ctime: time(9),
        ..Attr::new(ino, mode?)
    };
    let blocks = blocks
        .chunks_exact(2)
        .map(|pair| (pair[0], BlockId(pair[1])));
    let mut inode = Inode::new(attr, ino, OsStr::new(""));
    inode.blocks = blocks.collect();
    Some(inode)
}

/// The inode to which a name leads of which this is the value.
pub(crate) fn target(value: &[u8]) -> Option<Ino> {
    decode(value)?.first().copied().map(Ino)
}

fn encode(bytes: &mut Vec<u8>, words: impl IntoIterator<Item = u64>) {
    words
        .into_iter()
        .for_each(|word| bytes.extend(word.to_le_bytes()));
}

fn decode(bytes: &[u8]) -> Option<Vec<u64>> {
    let words = bytes.chunks_exact(8);
    words.remainder().is_empty().then_some(())?;
    words
        .map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
        .collect()
}
