//! The database, and what the kernel knows of it: what the global lock guards.

use std::collections::HashMap;
use std::path::Path;

use fuse3::{Errno, Ino};
use rusqlite::{Connection, TransactionBehavior, named_params};

use crate::check;
use crate::error::Result;
use crate::inodes::now;

/// Times are nanoseconds since 1970, names and targets bytes. Numbers of inodes, and cookies, which are places in a listing, are
/// never given again (AUTOINCREMENT).
///
/// A file's data are in blocks, of which those that were never written are not there. What a block has less than its size
/// is zeros.
const SCHEMA: &str = "
    CREATE TABLE inodes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        mode INTEGER NOT NULL,
        nlink INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        gid INTEGER NOT NULL,
        rdev INTEGER NOT NULL,
        size INTEGER NOT NULL,
        atime INTEGER NOT NULL,
        mtime INTEGER NOT NULL,
        ctime INTEGER NOT NULL,
        target BLOB
    );
    CREATE TABLE names (
        cookie INTEGER PRIMARY KEY AUTOINCREMENT,
        parent INTEGER NOT NULL REFERENCES inodes (id),
        name BLOB NOT NULL,
        inode INTEGER NOT NULL REFERENCES inodes (id),
        UNIQUE (parent, name)
    );
    CREATE INDEX names_in_order ON names (parent, cookie);
    CREATE INDEX names_of_inodes ON names (inode);
    CREATE TABLE blocks (
        inode INTEGER NOT NULL REFERENCES inodes (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (inode, number)
    ) WITHOUT ROWID;
    -- The first two cookies are those of . and ..
    INSERT INTO sqlite_sequence (name, seq) VALUES ('names', 2);
";

/// A commit is lost by a crash of the system, unless fsync(2) was called since; never half of one.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
";

/// How often the kernel was given an inode and has not forgotten it, and how often it has it open.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) lookups: u64,
    pub(crate) opens: u64,
}

/// The file system.
#[derive(Debug)]
pub(crate) struct Store {
    sql: Connection,
    /// What the kernel knows or has open, which outlives its last name.
    known: HashMap<Ino, Known>,
}

/// The file system as a handler sees it, in a transaction where it changes something.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) sql: &'a Connection,
    known: &'a HashMap<Ino, Known>,
}

impl Store {
    /// The database in `file`, or one in memory. If it is new it has a root, with this mode and owner.
    pub(crate) fn open(
        file: Option<&Path>,
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> rusqlite::Result<Self> {
        let mut sql = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        sql.set_prepared_statement_cache_capacity(64);
        sql.execute_batch(SETTINGS)?;
        let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !transaction.table_exists(None, "inodes")? {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute(
                "INSERT INTO inodes (id, mode, nlink, uid, gid, rdev, size, atime, mtime, ctime)
                 VALUES (:id, :mode, 2, :uid, :gid, 0, 0, :now, :now, :now)",
                named_params! {
                    ":id": Ino::ROOT.0, ":mode": libc::S_IFDIR | (mode & 0o7777),
                    ":uid": uid, ":gid": gid, ":now": now(),
                },
            )?;
        }
        // What was open without a name when the last session ended.
        transaction.execute("DELETE FROM inodes WHERE nlink = 0", [])?;
        transaction.commit()?;
        Ok(Self {
            sql,
            known: HashMap::new(),
        })
    }

    /// The session is over: what has no name goes. Returns what is wrong with the database.
    pub(crate) fn close(&mut self) -> rusqlite::Result<Vec<String>> {
        self.known.clear();
        self.sql.execute("DELETE FROM inodes WHERE nlink = 0", [])?;
        check::check(&self.sql)
    }

    /// To look at.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            sql: &self.sql,
            known: &self.known,
        }
    }

    /// Does what `change` does as a whole, or, when it fails, nothing.
    pub(crate) fn change<R>(&mut self, change: impl FnOnce(View<'_>) -> Result<R>) -> Result<R> {
        let transaction = self
            .sql
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = change(View {
            sql: &transaction,
            known: &self.known,
        })?;
        transaction.commit()?;
        Ok(result)
    }

    /// fsync(2), of everything there is.
    pub(crate) fn sync(&self) -> Result<()> {
        let busy: bool = self
            .sql
            .query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))?;
        // Another program reads the database.
        if busy {
            return Err(Errno::EBUSY.into());
        }
        Ok(())
    }

    /// What the kernel knows of `ino`, to be changed.
    pub(crate) fn known(&mut self, ino: Ino) -> &mut Known {
        self.known.entry(ino).or_default()
    }

    /// Takes `lookups` and `opens` from what the kernel knows of `ino`; without them and without a name it goes.
    pub(crate) fn unknow(&mut self, ino: Ino, lookups: u64, opens: u64) -> Result<()> {
        let known = self.known(ino);
        known.lookups = known.lookups.saturating_sub(lookups);
        known.opens = known.opens.saturating_sub(opens);
        if known.lookups == 0 && known.opens == 0 {
            self.known.remove(&ino);
            self.change(|view| view.collect(ino))?;
        }
        Ok(())
    }
}

impl View<'_> {
    /// Deletes `ino` if it has no name, the kernel does not know it, and nobody has it open.
    pub(crate) fn collect(&self, ino: Ino) -> Result<()> {
        if !self.known.contains_key(&ino) {
            self.sql
                .prepare_cached("DELETE FROM inodes WHERE id = ?1 AND nlink = 0")?
                .execute([ino.0])?;
        }
        Ok(())
    }
}
