//! `readdir`.

use fuse3::reply::Added;
use fuse3::{DirBuf, Entry, Errno, Ino, Listing};

use crate::directory::{DOT, DOT_DOT};
use crate::inodes::{Inodes, TIMEOUT};

impl Inodes {
    /// Lists `ino` from `offset` on, the cookie of the last entry that the kernel has had; 0 for the start.
    ///
    /// With READDIRPLUS each entry is an answer to its name, too, and adds one to the inode's lookup count.
    pub(crate) fn list(
        &mut self,
        ino: Ino,
        offset: u64,
        mut out: DirBuf,
    ) -> Result<Listing, Errno> {
        let node = self.get(ino)?;
        let directory = node.directory()?;
        let dots = [(DOT, ".", ino), (DOT_DOT, "..", directory.parent())];
        // A removed directory is empty to who is still in it.
        if node.meta.nlink == 0 {
            return Ok(out.finish());
        }
        for (cookie, name, ino) in dots.into_iter().filter(|(cookie, ..)| *cookie > offset) {
            let entry = Entry::new(self.get(ino)?.attr(), TIMEOUT);
            if out.add(name, &entry, cookie) == Added::Full {
                return Ok(out.finish());
            }
        }
        let mut counted = Vec::new();
        for (cookie, name, ino) in directory.after(offset) {
            let entry = Entry::new(self.get(ino)?.attr(), TIMEOUT);
            match out.add(name, &entry, cookie) {
                Added::Listed => {}
                Added::Counted => counted.push(ino),
                Added::Full => break,
            }
        }
        for ino in counted {
            self.entry(ino)?;
        }
        self.get_mut(ino)?.accessed();
        Ok(out.finish())
    }
}
