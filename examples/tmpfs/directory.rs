//! The names in a directory, in an order that lasts.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuse3::Ino;

use crate::form::{MANY, Reader, Writer, Wrong};
use crate::names::NAME_MAX;

/// `readdir`'s cookies of "." and ".."; the names come after them.
pub(crate) const DOT: u64 = 1;
pub(crate) const DOT_DOT: u64 = 2;

/// A directory's entries.
///
/// Each name gets a cookie, larger than all before, and keeps it for as long as it is there: a listing that goes on after
/// a cookie misses no name that stayed and repeats none, whatever came and went meanwhile.
///
/// # Invariants
///
/// `names` and `cookies` have the same entries.
#[derive(Debug)]
pub(crate) struct Directory {
    parent: Ino,
    names: BTreeMap<Arc<OsStr>, (u64, Ino)>,
    cookies: BTreeMap<u64, (Arc<OsStr>, Ino)>,
    last: u64,
}

impl Directory {
    /// An empty one, of which `parent` is "..".
    pub(crate) fn new(parent: Ino) -> Self {
        Self {
            parent,
            names: BTreeMap::new(),
            cookies: BTreeMap::new(),
            last: DOT_DOT,
        }
    }

    pub(crate) fn parent(&self) -> Ino {
        self.parent
    }

    pub(crate) fn set_parent(&mut self, parent: Ino) {
        self.parent = parent;
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn get(&self, name: &OsStr) -> Option<Ino> {
        self.names.get(name).map(|(_, ino)| *ino)
    }

    /// Makes `name` be `ino`; returns what it was. A name that is there keeps its cookie.
    pub(crate) fn insert(&mut self, name: &OsStr, ino: Ino) -> Option<Ino> {
        if let Some((cookie, there)) = self.names.get_mut(name) {
            if let Some((_, listed)) = self.cookies.get_mut(cookie) {
                *listed = ino;
            }
            return Some(std::mem::replace(there, ino));
        }
        self.last += 1;
        let name: Arc<OsStr> = Arc::from(name);
        self.cookies.insert(self.last, (Arc::clone(&name), ino));
        self.names.insert(name, (self.last, ino));
        None
    }

    /// Takes `name` away; returns what it was.
    pub(crate) fn remove(&mut self, name: &OsStr) -> Option<Ino> {
        let (cookie, ino) = self.names.remove(name)?;
        self.cookies.remove(&cookie);
        Some(ino)
    }

    pub(crate) fn put(&self, out: &mut Writer) {
        out.number(self.parent.0);
        out.number(self.last);
        out.list(self.cookies.iter(), |out, (cookie, (name, ino))| {
            out.number(*cookie);
            out.bytes(name.as_bytes());
            out.number(ino.0);
        });
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let mut directory = Self::new(Ino(from.number("the directory above", MANY)?));
        let last = from.number("the last cookie", DOT_DOT..=*MANY.end())?;
        from.list("names", |from| {
            directory.last = from.number("a cookie", directory.last + 1..=last)? - 1;
            let name = from.bytes("a name")?;
            let ino = Ino(from.number("the inode of a name", MANY)?);
            let is_name = !matches!(name, b"" | b"." | b"..");
            if !is_name || name.len() > NAME_MAX || name.iter().any(|byte| b"/\0".contains(byte)) {
                return Err(from.wrong(format_args!("a name: \"{}\"", name.escape_ascii())));
            }
            match directory.insert(OsStr::from_bytes(name), ino) {
                None => Ok(()),
                Some(_) => {
                    let name = name.escape_ascii();
                    Err(from.wrong(format_args!("the name \"{name}\" is there twice")))
                }
            }
        })?;
        directory.last = last;
        Ok(directory)
    }

    /// The highest cookie that a name has had.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The entries whose cookies are larger than `cookie`, in their order.
    pub(crate) fn after(&self, cookie: u64) -> impl Iterator<Item = (u64, &Arc<OsStr>, Ino)> {
        self.cookies
            .range((Bound::Excluded(cookie), Bound::Unbounded))
            .map(|(cookie, (name, ino))| (*cookie, name, *ino))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(directory: &Directory, cookie: u64) -> Vec<(u64, String)> {
        let entry = |(cookie, name, _): (u64, &Arc<OsStr>, Ino)| {
            (cookie, name.to_string_lossy().into_owned())
        };
        directory.after(cookie).map(entry).collect()
    }

    #[test]
    fn cookies_grow_and_outlive_other_names() {
        let mut directory = Directory::new(Ino::ROOT);
        for (name, ino) in [("a", 2), ("b", 3), ("c", 4), ("d", 5)] {
            assert_eq!(directory.insert(OsStr::new(name), Ino(ino)), None);
        }
        let all = listed(&directory, DOT_DOT);
        assert!(all[0].0 > DOT_DOT && all.is_sorted());
        // A listing stands after b; b goes, and comes back at the end.
        let after_b = all[1].0;
        assert_eq!(directory.remove(OsStr::new("b")), Some(Ino(3)));
        assert_eq!(directory.remove(OsStr::new("b")), None);
        directory.insert(OsStr::new("e"), Ino(6));
        directory.insert(OsStr::new("b"), Ino(3));
        let names: Vec<_> = listed(&directory, after_b)
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["c", "d", "e", "b"]);
        assert_eq!(directory.len(), 5);
    }

    #[test]
    fn a_replaced_name_stays_where_it_is() {
        let mut directory = Directory::new(Ino::ROOT);
        directory.insert(OsStr::new("a"), Ino(2));
        directory.insert(OsStr::new("b"), Ino(3));
        let before = listed(&directory, 0);
        assert_eq!(directory.insert(OsStr::new("a"), Ino(9)), Some(Ino(2)));
        assert_eq!(listed(&directory, 0), before);
        assert_eq!(directory.get(OsStr::new("a")), Some(Ino(9)));
        assert_eq!(
            directory.after(0).next().map(|(_, _, ino)| ino),
            Some(Ino(9))
        );
    }
}
