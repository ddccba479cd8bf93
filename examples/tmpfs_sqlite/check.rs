//! Whether the database adds up.

use rusqlite::Connection;

use crate::contents::BLOCK;

/// What may not be, and how to find it: each query gives the numbers of the inodes that are wrong.
const RULES: [(&str, &str); 5] = [
    (
        "has another number of links than names",
        "SELECT id FROM inodes WHERE mode & :type != :directory
         AND nlink != (SELECT count(*) FROM names WHERE inode = id)",
    ),
    (
        "is a directory, and has another number of links than directories in it and two",
        "SELECT id FROM inodes WHERE mode & :type = :directory
         AND nlink != 2 + (SELECT count(*) FROM names JOIN inodes AS below ON below.id = inode
                           WHERE parent = inodes.id AND below.mode & :type = :directory)",
    ),
    (
        "is a directory, and has not one name (the root: none)",
        "SELECT id FROM inodes WHERE mode & :type = :directory
         AND (id != 1) != (SELECT count(*) FROM names WHERE inode = id)",
    ),
    (
        "is no directory, and has names in it",
        "SELECT id FROM inodes WHERE mode & :type != :directory AND id IN (SELECT parent FROM names)",
    ),
    (
        "has data after its end, or in a block that is too long",
        "SELECT inode FROM blocks JOIN inodes ON id = inode
         WHERE number * :block + length(data) > size OR length(data) > :block",
    ),
];

/// What is wrong with the database.
pub(crate) fn check(sql: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (what, query) in RULES {
        let mut select = sql.prepare(query)?;
        for (name, value) in [
            (":type", u64::from(libc::S_IFMT)),
            (":directory", u64::from(libc::S_IFDIR)),
            (":block", BLOCK as u64),
        ] {
            if let Some(index) = select.parameter_index(name)? {
                select.raw_bind_parameter(index, value)?;
            }
        }
        let mut rows = select.raw_query();
        while let Some(row) = rows.next()? {
            wrong.push(format!("inode {} {what}", row.get::<_, u64>(0)?));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use fuse3::{Caller, Errno, Ino, OpenFlags, ReadBuf, RenameFlags};

    use crate::error::Error;
    use crate::inodes::New;
    use crate::store::Store;

    use super::*;

    fn name(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    fn make(store: &mut Store, parent: Ino, name: &str, kind: u32) -> Ino {
        let new = New {
            mode: kind | 0o755,
            rdev: 0,
            target: None,
        };
        let made = store.change(|view| view.make(parent, OsStr::new(name), new, Caller::default()));
        made.unwrap()
    }

    fn store() -> Store {
        Store::open(None, 0o755, 0, 0).unwrap()
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        for harm in [
            "UPDATE inodes SET nlink = 2 WHERE id = 2",
            "UPDATE inodes SET nlink = 4 WHERE id = 3",
            "UPDATE names SET parent = 2 WHERE name = x'73'",
            "INSERT INTO names (parent, name, inode) VALUES (1, x'78', 3)",
            "UPDATE inodes SET size = 2 WHERE id = 2",
            "UPDATE blocks SET number = 1",
        ] {
            let mut store = store();
            let file = make(&mut store, Ino::ROOT, "f", libc::S_IFREG);
            let directory = make(&mut store, Ino::ROOT, "d", libc::S_IFDIR);
            make(&mut store, directory, "s", libc::S_IFDIR);
            store.change(|view| view.write(file, 0, b"abc")).unwrap();
            assert_eq!(check(store.view().sql).unwrap(), Vec::<String>::new());
            store.view().sql.execute(harm, []).unwrap();
            assert_ne!(
                check(store.view().sql).unwrap(),
                Vec::<String>::new(),
                "{harm}"
            );
        }
    }

    /// A change that fails in its midst has changed nothing.
    #[test]
    fn what_fails_has_done_nothing() {
        let mut store = store();
        let failed = store.change(|view| {
            view.make(
                Ino::ROOT,
                name("f"),
                New {
                    mode: libc::S_IFREG,
                    rdev: 0,
                    target: None,
                },
                Caller::default(),
            )?;
            Err::<(), _>(Errno::EIO.into())
        });
        assert!(matches!(failed, Err(Error::Errno(Errno::EIO))));
        assert!(matches!(
            store.view().find(Ino::ROOT, name("f")),
            Err(Error::Errno(Errno::ENOENT))
        ));
    }

    #[test]
    fn what_is_open_outlives_its_name() {
        let mut store = store();
        let file = make(&mut store, Ino::ROOT, "f", libc::S_IFREG);
        store.known(file).opens += 1;
        store
            .change(|view| view.unlink(Ino::ROOT, name("f")))
            .unwrap();
        store.change(|view| view.write(file, 0, b"still")).unwrap();
        assert_eq!(store.view().attr(file).unwrap().nlink, 0);
        store.unknow(file, 0, 1).unwrap();
        assert!(store.view().attr(file).is_err());
        assert_eq!(store.close().unwrap(), Vec::<String>::new());
    }

    /// Holes, short blocks and cuts, next to a plain vector.
    #[test]
    fn data_are_as_in_a_vector() {
        let mut store = store();
        let file = make(&mut store, Ino::ROOT, "f", libc::S_IFREG);
        let mut vector = Vec::new();
        let mut random = 1_u64;
        let mut below = |bound: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(random >> 33).unwrap() % bound
        };
        for turn in 0..300_u32 {
            let at = below(4 * BLOCK);
            if turn % 5 == 0 {
                store.change(|view| view.truncate(file, at as u64)).unwrap();
                vector.resize(at, 0);
            } else {
                let data = vec![turn.to_le_bytes()[0]; below(2 * BLOCK)];
                store
                    .change(|view| view.write(file, at as u64, &data))
                    .unwrap();
                vector.resize(vector.len().max(at + data.len()), 0);
                vector[at..at + data.len()].copy_from_slice(&data);
            }
            let (from, size) = (below(4 * BLOCK), below(3 * BLOCK));
            let mut out = ReadBuf::new(size);
            let flags = OpenFlags::empty();
            store
                .view()
                .read(file, from as u64, flags, &mut out)
                .unwrap();
            let there = vector.get(from..).unwrap_or_default();
            let there = &there[..there.len().min(size)];
            assert!(out.finish().to_vec(size).unwrap() == there, "turn {turn}");
        }
        assert_eq!(check(store.view().sql).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn rename_keeps_the_accounts() {
        let mut store = store();
        let d = make(&mut store, Ino::ROOT, "d", libc::S_IFDIR);
        let s = make(&mut store, d, "s", libc::S_IFDIR);
        make(&mut store, Ino::ROOT, "f", libc::S_IFREG);
        make(&mut store, Ino::ROOT, "e", libc::S_IFDIR);
        let none = RenameFlags::empty();
        for (from, to, flags, expected) in [
            ((Ino::ROOT, "d"), (s, "x"), none, Some(Errno::EINVAL)),
            (
                (d, "s"),
                (Ino::ROOT, "d"),
                RenameFlags::EXCHANGE,
                Some(Errno::EINVAL),
            ),
            (
                (Ino::ROOT, "e"),
                (Ino::ROOT, "d"),
                none,
                Some(Errno::ENOTEMPTY),
            ),
            (
                (Ino::ROOT, "e"),
                (Ino::ROOT, "f"),
                none,
                Some(Errno::ENOTDIR),
            ),
            (
                (Ino::ROOT, "f"),
                (Ino::ROOT, "e"),
                none,
                Some(Errno::EISDIR),
            ),
            (
                (Ino::ROOT, "f"),
                (Ino::ROOT, "e"),
                RenameFlags::NOREPLACE,
                Some(Errno::EEXIST),
            ),
            (
                (Ino::ROOT, "f"),
                (Ino::ROOT, "x"),
                RenameFlags::EXCHANGE,
                Some(Errno::ENOENT),
            ),
            ((d, "s"), (Ino::ROOT, "f"), RenameFlags::EXCHANGE, None),
            ((Ino::ROOT, "f"), (Ino::ROOT, "e"), none, None),
            ((d, "s"), (Ino::ROOT, "g"), none, None),
        ] {
            let (from_name, to_name) = (name(from.1), name(to.1));
            let done =
                store.change(|view| view.rename((from.0, from_name), (to.0, to_name), flags));
            let errno = match done {
                Ok(()) => None,
                Err(Error::Errno(errno)) => Some(errno),
                Err(Error::Database(error)) => panic!("{error}"),
            };
            assert_eq!(errno, expected, "{from:?} {to:?}");
            assert_eq!(check(store.view().sql).unwrap(), Vec::<String>::new());
        }
        assert_eq!(store.view().find(Ino::ROOT, name("e")).unwrap(), s);
    }
}
