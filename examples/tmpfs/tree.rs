//! What is below a directory, counted: a long operation that yields the global lock.

use std::collections::HashSet;
use std::fmt;

use fuse3::{Errno, Ino, Locked};

use crate::inodes::Inodes;
use crate::node::Kind;

/// How many names are looked at between two offers of the lock.
const BATCH: usize = 250;
/// How many threads may have it then. S3QL always says 100.
const YIELD: usize = 100;

/// How much there is below a directory, itself included. An inode with several names counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) directories: u64,
    pub(crate) files: u64,
    pub(crate) others: u64,
    pub(crate) bytes: u64,
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            directories,
            files,
            others,
            bytes,
        } = self;
        write!(
            f,
            "{directories} directories, {files} files, {others} others, {bytes} bytes"
        )
    }
}

/// Counts what is below `top`. **May hand the lock to others**, as `Locked` in the parameters says.
///
/// What is still to be done is remembered as numbers: an inode, and the cookie in it where to go on. So nothing points
/// into the state while others change it. A directory that they remove in between is passed over, and names that come
/// and go count or do not, as with du(1).
///
/// # Errors
///
/// ENOTDIR, ESTALE.
pub(crate) fn count(inodes: &mut Locked<'_, Inodes>, top: Ino) -> Result<Tree, Errno> {
    inodes.get(top)?.directory()?;
    let mut tree = Tree {
        directories: 1,
        ..Tree::default()
    };
    let mut seen = HashSet::new();
    let mut todo = vec![(top, 0)];
    while let Some((ino, mut cookie)) = todo.pop() {
        let Ok(directory) = inodes.get(ino).and_then(|node| node.directory()) else {
            continue;
        };
        let batch: Vec<_> = directory.after(cookie).take(BATCH).collect();
        let mut below = Vec::new();
        for (next, _, child) in &batch {
            cookie = *next;
            let node = inodes.get(*child)?;
            if node.meta.nlink > 1 && !node.is_directory() && !seen.insert(*child) {
                continue;
            }
            match &node.kind {
                Kind::Directory(_) => {
                    tree.directories += 1;
                    below.push((*child, 0));
                }
                Kind::File(data) => {
                    tree.files += 1;
                    tree.bytes += data.len();
                }
                Kind::Symlink(_) | Kind::Special => tree.others += 1,
            }
        }
        if batch.len() == BATCH {
            todo.push((ino, cookie));
        }
        todo.append(&mut below);
        inodes.yield_(YIELD);
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::thread;

    use fuse3::{Caller, GlobalLock};

    use super::*;
    use crate::names::New;
    use crate::space::Space;

    #[test]
    fn others_get_the_lock_meanwhile() {
        let mut inodes = Inodes::new(Space::new(1 << 30), 0o755, 0, 0).unwrap();
        let caller = Caller::default();
        for number in 0..40 {
            let directory = inodes
                .mkdir(Ino::ROOT, OsStr::new(&format!("d{number}")), 0o755, caller)
                .unwrap();
            for number in 0..1000 {
                let new = New::file(0o644);
                inodes
                    .make(directory, OsStr::new(&format!("f{number}")), new, caller)
                    .unwrap();
            }
        }
        let lock = GlobalLock::new(inodes);
        let result = thread::scope(|threads| {
            let mut inodes = lock.lock().unwrap();
            let other = threads.spawn(|| lock.lock().unwrap().unlink(Ino::ROOT, OsStr::new("no")));
            while lock.stats().waiters.is_empty() {
                thread::yield_now();
            }
            let tree = count(&mut inodes, Ino::ROOT).unwrap();
            assert!(lock.stats().hand_overs >= 1);
            assert_eq!(other.join().unwrap(), Err(Errno::ENOENT));
            tree
        });
        assert_eq!(
            result.to_string(),
            "41 directories, 40000 files, 0 others, 0 bytes"
        );
    }
}
