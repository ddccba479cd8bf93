//! `readdir`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuse3::reply::Added;
use fuse3::{DirBuf, Entry, Ino, Listing};

use crate::error::Result;
use crate::inodes::{COLUMNS, TIMEOUT, attr};
use crate::store::Store;

/// The cookies of "." and ".."; the names come after them.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;

impl Store {
    /// Lists `ino` from `offset` on, the cookie of the last entry that the kernel has had; 0 for the start.
    ///
    /// With READDIRPLUS each entry is an answer to its name, too, and adds one to the inode's lookup count.
    pub(crate) fn list(&mut self, ino: Ino, offset: u64, mut out: DirBuf) -> Result<Listing> {
        let view = self.view();
        // A removed directory is empty to who is still in it.
        if view.directory(ino)?.nlink == 0 {
            return Ok(out.finish());
        }
        for (cookie, name, ino) in [(DOT, ".", ino), (DOT_DOT, "..", view.parent(ino)?)] {
            if cookie > offset && out.add(name, &view.entry(ino)?, cookie) == Added::Full {
                return Ok(out.finish());
            }
        }
        let mut counted = Vec::new();
        let mut select = view.sql.prepare_cached(&format!(
            "SELECT {COLUMNS}, cookie, name FROM names JOIN inodes ON inodes.id = names.inode
             WHERE parent = ?1 AND cookie > ?2 ORDER BY cookie"
        ))?;
        let mut rows = select.query((ino.0, offset))?;
        while let Some(row) = rows.next()? {
            let entry = Entry::new(attr(row)?, TIMEOUT);
            let name = row
                .get_ref("name")?
                .as_blob()
                .map_err(rusqlite::Error::from)?;
            match out.add(OsStr::from_bytes(name), &entry, row.get("cookie")?) {
                Added::Listed => {}
                Added::Counted => counted.push(entry.attr.ino),
                Added::Full => break,
            }
        }
        drop(rows);
        drop(select);
        view.accessed(ino)?;
        for ino in counted {
            self.known(ino).lookups += 1;
        }
        Ok(out.finish())
    }
}
