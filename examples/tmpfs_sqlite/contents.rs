//! The data of files.

use fuse3::{Attr, Errno, Ino, OpenFlags, ReadBuf, StatVfs};
use rusqlite::{OptionalExtension, params};

use crate::error::Result;
use crate::inodes::now;
use crate::store::View;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 16 << 10;
/// The largest file: offsets are signed, in the system calls and the database.
const SIZE_MAX: u64 = u64::MAX / 2;

/// The block that has the byte at `offset`, and where in it that is.
fn place(offset: u64) -> (u64, usize) {
    let block = BLOCK as u64;
    let within = usize::try_from(offset % block).unwrap_or(0); // is less than BLOCK
    (offset / block, within)
}

impl View<'_> {
    /// # Errors
    ///
    /// EISDIR, EINVAL: the bytes of what is no file.
    fn file(&self, ino: Ino) -> Result<Attr> {
        let attr = self.attr(ino)?;
        match attr.mode & libc::S_IFMT {
            libc::S_IFREG => Ok(attr),
            libc::S_IFDIR => Err(Errno::EISDIR.into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    pub(crate) fn read(
        &self,
        ino: Ino,
        offset: u64,
        flags: OpenFlags,
        out: &mut ReadBuf,
    ) -> Result<()> {
        let size = self.file(ino)?.size;
        let end = offset.saturating_add(out.size() as u64).min(size);
        let mut at = offset;
        let mut select = self.sql.prepare_cached(
            "SELECT number, data FROM blocks WHERE inode = ?1 AND number BETWEEN ?2 AND ?3
             ORDER BY number",
        )?;
        let mut rows = select.query((ino.0, place(offset).0, place(end).0))?;
        while let Some(row) = rows.next()? {
            let start = row.get::<_, u64>(0)? * BLOCK as u64;
            let data = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            // What was not written before it.
            if at < start {
                out.push_zeros(bytes(start.min(end) - at));
                at = start;
            }
            let data = data.get(place(at).1..).unwrap_or_default();
            let data = &data[..data.len().min(bytes(end.saturating_sub(at)))];
            out.push(data);
            at += data.len() as u64;
        }
        out.push_zeros(bytes(end.saturating_sub(at)));
        if !flags.contains(OpenFlags::NOATIME) {
            self.accessed(ino)?;
        }
        Ok(())
    }

    /// Writes all of it.
    pub(crate) fn write(&self, ino: Ino, offset: u64, mut data: &[u8]) -> Result<usize> {
        let (size, written) = (self.file(ino)?.size, data.len());
        let end = offset.checked_add(written as u64);
        let end = end.filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let mut at = offset;
        while !data.is_empty() {
            let (number, within) = place(at);
            let (now, rest) = data.split_at(data.len().min(BLOCK - within));
            self.write_block(ino, number, within, now)?;
            at += now.len() as u64;
            data = rest;
        }
        self.sized(ino, size.max(end))?;
        Ok(written)
    }

    fn write_block(&self, ino: Ino, number: u64, within: usize, data: &[u8]) -> Result<()> {
        let mut replace = self
            .sql
            .prepare_cached("REPLACE INTO blocks (inode, number, data) VALUES (?1, ?2, ?3)")?;
        if data.len() == BLOCK {
            replace.execute(params![ino.0, number, data])?;
            return Ok(());
        }
        let mut select = self
            .sql
            .prepare_cached("SELECT data FROM blocks WHERE inode = ?1 AND number = ?2")?;
        let old: Option<Vec<u8>> = select
            .query_row((ino.0, number), |row| row.get(0))
            .optional()?;
        let mut block = old.unwrap_or_default();
        let end = within + data.len();
        if block.len() < end {
            block.resize(end, 0);
        }
        block[within..end].copy_from_slice(data);
        replace.execute(params![ino.0, number, block])?;
        Ok(())
    }

    /// Cuts off what is after `size`, so that it does not come back.
    pub(crate) fn truncate(&self, ino: Ino, size: u64) -> Result<()> {
        self.file(ino)?;
        if size > SIZE_MAX {
            return Err(Errno::EFBIG.into());
        }
        let (number, within) = place(size);
        self.sql
            .prepare_cached("DELETE FROM blocks WHERE inode = ?1 AND number >= ?2")?
            .execute((ino.0, if within == 0 { number } else { number + 1 }))?;
        self.sql
            .prepare_cached(
                "UPDATE blocks SET data = substr(data, 1, ?3)
                 WHERE inode = ?1 AND number = ?2 AND length(data) > ?3",
            )?
            .execute((ino.0, number, within))?;
        self.sized(ino, size)
    }

    fn sized(&self, ino: Ino, size: u64) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE inodes SET size = ?2, mtime = ?3, ctime = ?3 WHERE id = ?1")?
            .execute((ino.0, size, now()))?;
        Ok(())
    }

    /// `statfs`: the pages of the database, as many as there may be.
    pub(crate) fn statfs(&self) -> Result<StatVfs> {
        let number = |sql: &str| self.sql.query_row(sql, [], |row| row.get::<_, u64>(0));
        let most = number("PRAGMA max_page_count")?;
        let used = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
        let page = u32::try_from(number("PRAGMA page_size")?).unwrap_or(u32::MAX);
        let inodes = number("SELECT count(*) FROM inodes")?;
        Ok(StatVfs {
            bsize: page,
            frsize: page,
            blocks: most,
            bfree: most - used,
            bavail: most - used,
            files: most,
            ffree: most.saturating_sub(inodes),
            namemax: 255,
        })
    }
}

/// How many bytes of a read that is.
fn bytes(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
