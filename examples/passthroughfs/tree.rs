//! The names by which the kernel knows inodes.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::sync::Arc;

use fuse3::{Errno, Ino};
use rustix::fs::Stat;

use crate::identity::generation;
use crate::open::Open;
use crate::repeated::Step;

/// A directory, and a name in it.
pub(crate) type Name = (Ino, OsString);

/// What a file is in the source: device, number, type, and which of those that have the number one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    device: u64,
    number: u64,
    kind: u32,
    identity: u64,
}

impl Source {
    /// `identity` has to be found out after `stat`: a file that is gone by then has none, and one that has its name and its
    /// number by then is known for another.
    ///
    /// When a file with another number takes the name in between, as when two files swap names, this is the number of one with
    /// the identity of the other. No file is that: who asks for it gets ESTALE, and the kernel looks the name up anew.
    pub(crate) fn new(stat: &Stat, identity: u64) -> Self {
        Self {
            device: stat.st_dev,
            number: stat.st_ino,
            kind: stat.st_mode & libc::S_IFMT,
            identity,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// All there is to it.
    pub(crate) fn numbers(&self) -> [u64; 4] {
        [self.device, self.number, self.kind.into(), self.identity]
    }

    /// What has these [`numbers`](Self::numbers), if the third is a type.
    pub(crate) fn of_numbers([device, number, kind, identity]: [u64; 4]) -> Option<Self> {
        let kind = u32::try_from(kind).ok()?;
        let is_type = kind != 0 && kind & libc::S_IFMT == kind;
        is_type.then_some(Self {
            device,
            number,
            kind,
            identity,
        })
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == libc::S_IFDIR
    }

    /// As file handles have it.
    pub(crate) fn generation(&self) -> u64 {
        generation(self.identity)
    }
}

/// An inode that the kernel knows, or that is above one.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) source: Source,
    /// How often the kernel was told of it, less what it has forgotten.
    pub(crate) lookups: u64,
    pub(crate) names: BTreeSet<Name>,
    /// Of a directory, the names in it that are in `names` of others.
    children: HashMap<OsString, Ino>,
    /// Opened with O_PATH, once its last known name was removed here.
    pub(crate) held: Option<Arc<File>>,
    /// Its descriptor, while it is open.
    pub(crate) open: Option<Open>,
    /// Of a directory, what was last begun in it, where a successor is to know.
    pub(crate) step: Option<Step>,
}

impl Inode {
    /// Without names, and known to nobody.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            lookups: 0,
            names: BTreeSet::new(),
            children: HashMap::new(),
            held: None,
            open: None,
            step: None,
        }
    }
}

/// The inodes.
///
/// An inode has the number that it has in the source. Where that is taken, because it is on another device or has the
/// number 1, which is the root's, it gets another one.
///
/// # Invariants
///
/// `(directory, name)` is in the `names` of `inode` exactly if `name` is `inode` in the `children` of `directory`, and all three
/// are there.
#[derive(Debug)]
pub(crate) struct Tree {
    inodes: HashMap<Ino, Inode>,
    numbers: HashMap<Source, Ino>,
    /// What has not been written down since it was changed.
    pub(crate) changed: BTreeSet<Ino>,
}

impl Tree {
    pub(crate) fn new(root: Source) -> Self {
        let root_inode = Inode {
            // Never forgotten.
            lookups: 1,
            ..Inode::new(root)
        };
        Self {
            inodes: HashMap::from([(Ino::ROOT, root_inode)]),
            numbers: HashMap::from([(root, Ino::ROOT)]),
            changed: BTreeSet::new(),
        }
    }

    /// The tree of these inodes, whose names are known, and not yet what is in directories.
    ///
    /// # Errors
    ///
    /// They are no tree that this file system has: why not.
    pub(crate) fn of(mut inodes: HashMap<Ino, Inode>) -> Result<Self, String> {
        let mut numbers = HashMap::new();
        let mut names = Vec::new();
        for (ino, inode) in &inodes {
            if let Some(other) = numbers.insert(inode.source, *ino) {
                return Err(format!("{ino} and {other} are the same file"));
            }
            names.extend(inode.names.iter().map(|name| (name.clone(), *ino)));
        }
        for ((parent, name), ino) in names {
            let is_directory = |inode: &&mut Inode| inode.source.is_directory();
            let Some(above) = inodes.get_mut(&parent).filter(is_directory) else {
                return Err(format!(
                    "{ino} is {name:?} in {parent}, which is no directory"
                ));
            };
            if let Some(other) = above.children.insert(name.clone(), ino) {
                return Err(format!("{ino} and {other} are both {name:?} in {parent}"));
            }
        }
        match inodes.get(&Ino::ROOT) {
            Some(root) if root.names.is_empty() => Ok(Self {
                inodes,
                numbers,
                changed: BTreeSet::new(),
            }),
            Some(_) => Err("the root has a name".to_owned()),
            None => Err("there is no root".to_owned()),
        }
    }

    /// All of them, by their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ino, &Inode)> {
        let mut inodes: Vec<_> = self
            .inodes
            .iter()
            .map(|(ino, inode)| (*ino, inode))
            .collect();
        inodes.sort_unstable_by_key(|(ino, _)| *ino);
        inodes.into_iter()
    }

    /// # Errors
    ///
    /// ESTALE, which does not happen to what the kernel knows.
    pub(crate) fn get(&self, ino: Ino) -> Result<&Inode, Errno> {
        self.inodes.get(&ino).ok_or(Errno::ESTALE)
    }

    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) fn get_mut(&mut self, ino: Ino) -> Result<&mut Inode, Errno> {
        self.touch(ino).ok_or(Errno::ESTALE)
    }

    /// The inode, which is about to change.
    fn touch(&mut self, ino: Ino) -> Option<&mut Inode> {
        let inode = self.inodes.get_mut(&ino);
        if inode.is_some() {
            self.changed.insert(ino);
        }
        inode
    }

    pub(crate) fn len(&self) -> usize {
        self.inodes.len()
    }

    /// What the kernel knows `source` by.
    pub(crate) fn number(&self, source: Source) -> Option<Ino> {
        self.numbers.get(&source).copied()
    }

    /// What the kernel knows `name` in `parent` by.
    pub(crate) fn child(&self, parent: Ino, name: &OsStr) -> Option<Ino> {
        self.inodes.get(&parent)?.children.get(name).copied()
    }

    /// The same, if that has the number `number` in the source.
    pub(crate) fn child_with(&self, parent: Ino, name: &OsStr, number: u64) -> Option<Ino> {
        let ino = self.child(parent, name)?;
        let inode = self.inodes.get(&ino)?;
        (inode.source.number() == number).then_some(ino)
    }

    /// `name` in `parent` was found to be `source`. To be followed by a lookup that is counted, or by [`collect`](Self::collect).
    pub(crate) fn meet(&mut self, parent: Ino, name: &OsStr, source: Source) -> Result<Ino, Errno> {
        let known = self.number(source);
        let there = self.child(parent, name);
        if let (Some(ino), true) = (known, known == there) {
            return Ok(ino);
        }
        self.get(parent)?;
        // It was another one's when it was looked up last, and was changed behind this file system's back.
        self.remove(parent, name, None);
        let ino = known.unwrap_or_else(|| self.add(source));
        let old = match source.kind {
            // It has one name; the way through another would lead nowhere.
            libc::S_IFDIR => self.get(ino)?.names.clone(),
            _ => BTreeSet::new(),
        };
        self.insert(parent, name, ino);
        for (parent, name) in old {
            self.remove(parent, &name, None);
        }
        Ok(ino)
    }

    fn add(&mut self, source: Source) -> Ino {
        let free = |number: &u64| *number > 1 && !self.inodes.contains_key(&Ino(*number));
        // Numbers that hardly any file system has.
        let mut others = (1 << 62..).filter(free);
        let own = Some(source.number).filter(free);
        let ino = Ino(own.or_else(|| others.next()).expect("a free number"));
        self.inodes.insert(ino, Inode::new(source));
        self.numbers.insert(source, ino);
        ino
    }

    fn insert(&mut self, parent: Ino, name: &OsStr, ino: Ino) {
        if let Some(above) = self.inodes.get_mut(&parent) {
            above.children.insert(name.to_owned(), ino);
            if let Some(inode) = self.touch(ino) {
                inode.names.insert((parent, name.to_owned()));
                // It can be reached by a name again.
                inode.held = None;
            }
        }
    }

    /// `name` in `parent` is no more. `held` is what it was, opened with O_PATH.
    pub(crate) fn remove(&mut self, parent: Ino, name: &OsStr, held: Option<File>) {
        let Some(above) = self.inodes.get_mut(&parent) else {
            return;
        };
        let Some(ino) = above.children.remove(name) else {
            return;
        };
        if let Some(inode) = self.touch(ino) {
            inode.names.remove(&(parent, name.to_owned()));
            if let (true, Some(held)) = (inode.names.is_empty(), held) {
                inode.held = Some(Arc::new(held));
            }
        }
        self.collect(ino);
        self.collect(parent);
    }

    /// rename(2) was successful; `held` is what was at `to`, opened with O_PATH.
    pub(crate) fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr), held: Option<File>) {
        let moved = self.child(from.0, from.1);
        if moved.is_some() && moved == self.child(to.0, to.1) {
            // Two names of one inode both stay.
            return;
        }
        // In this order, so that it is not without a name in between, and gone.
        self.remove(to.0, to.1, held);
        if let Some(ino) = moved {
            self.insert(to.0, to.1, ino);
        }
        self.remove(from.0, from.1, None);
    }

    /// rename(2) with RENAME_EXCHANGE was successful.
    pub(crate) fn exchange(&mut self, one: (Ino, &OsStr), other: (Ino, &OsStr)) {
        let (first, second) = (self.child(one.0, one.1), self.child(other.0, other.1));
        if first == second {
            return;
        }
        // Each has its new name before it loses the old one.
        for (ino, (parent, name)) in [(first, other), (second, one)] {
            if let Some(ino) = ino {
                self.insert(parent, name, ino);
            }
        }
        for (ino, (parent, name)) in [(first, one), (second, other)] {
            if let Some(inode) = ino.and_then(|ino| self.touch(ino)) {
                inode.names.remove(&(parent, name.to_owned()));
            }
        }
        // Where only one of them was known, the other name is nothing's.
        for (ino, (parent, name)) in [(first, other), (second, one)] {
            if let (None, Some(above)) = (ino, self.inodes.get_mut(&parent)) {
                above.children.remove(name);
            }
        }
    }

    /// The kernel has been told of `ino` once more.
    pub(crate) fn count(&mut self, ino: Ino) {
        if let Some(inode) = self.touch(ino) {
            inode.lookups += 1;
        }
    }

    /// It has forgotten `count` of the times.
    pub(crate) fn forget(&mut self, ino: Ino, count: u64) {
        if ino == Ino::ROOT {
            return;
        }
        if let Some(inode) = self.touch(ino) {
            inode.lookups = inode.lookups.saturating_sub(count);
        }
        self.collect(ino);
    }

    /// Drops `ino` if the kernel does not know it and no name of another leads through it; and then what is above it.
    pub(crate) fn collect(&mut self, ino: Ino) {
        let mut todo = vec![ino];
        while let Some(ino) = todo.pop() {
            let unknown = |inode: &Inode| {
                inode.lookups == 0 && inode.open.is_none() && inode.children.is_empty()
            };
            if !self.inodes.get(&ino).is_some_and(unknown) {
                continue;
            }
            let Some(inode) = self.inodes.remove(&ino) else {
                continue;
            };
            self.changed.insert(ino);
            self.numbers.remove(&inode.source);
            for (parent, name) in inode.names {
                if let Some(above) = self.inodes.get_mut(&parent) {
                    above.children.remove(&name);
                    todo.push(parent);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Ino = Ino::ROOT;

    impl Tree {
        /// The invariant.
        fn check(&self) {
            for (ino, inode) in &self.inodes {
                for (parent, name) in &inode.names {
                    assert_eq!(self.child(*parent, name), Some(*ino), "{self:#?}");
                }
                for (name, child) in &inode.children {
                    let names = &self.inodes[child].names;
                    assert!(names.contains(&(*ino, name.clone())), "{self:#?}");
                }
                assert_eq!(self.numbers.get(&inode.source), Some(ino));
            }
            assert_eq!(self.numbers.len(), self.inodes.len());
        }

        fn found(&mut self, parent: Ino, name: &str, number: u64) -> Ino {
            let kind = if name.starts_with('d') {
                libc::S_IFDIR
            } else {
                libc::S_IFREG
            };
            let ino = self.meet(parent, OsStr::new(name), source(number, kind, 0));
            let ino = ino.unwrap();
            self.count(ino);
            self.check();
            ino
        }

        /// The paths of `ino`, from the root.
        fn paths(&self, ino: Ino) -> Vec<String> {
            if ino == ROOT {
                return vec![String::new()];
            }
            let mut paths = Vec::new();
            for (parent, name) in &self.inodes[&ino].names {
                for above in self.paths(*parent) {
                    paths.push(format!("{above}/{}", name.to_string_lossy()));
                }
            }
            paths
        }
    }

    fn source(number: u64, kind: u32, identity: u64) -> Source {
        Source {
            device: 7,
            number,
            kind,
            identity,
        }
    }

    fn tree() -> Tree {
        Tree::new(source(2, libc::S_IFDIR, 0))
    }

    fn n(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    #[test]
    fn a_renamed_directory_takes_its_paths_along() {
        let mut t = tree();
        let d = t.found(ROOT, "d1", 10);
        let e = t.found(d, "d2", 11);
        let f = t.found(e, "f", 12);
        t.rename((ROOT, n("d1")), (ROOT, n("d3")), None);
        t.check();
        assert_eq!(t.paths(f), ["/d3/d2/f"]);
        t.rename((d, n("d2")), (ROOT, n("d2")), None);
        t.check();
        assert_eq!(t.paths(f), ["/d2/f"]);
        // The kernel forgets from below.
        for ino in [f, e, d] {
            t.forget(ino, 1);
            t.check();
        }
        assert_eq!(t.inodes.len(), 1);
    }

    #[test]
    fn a_directory_stays_for_what_is_below_it() {
        let mut t = tree();
        let d = t.found(ROOT, "d", 10);
        let f = t.found(d, "f", 12);
        t.forget(d, 1);
        assert_eq!(t.paths(f), ["/d/f"]);
        t.forget(f, 1);
        t.check();
        assert_eq!(t.inodes.len(), 1);
    }

    #[test]
    fn of_several_names_one_goes() {
        let mut t = tree();
        let d = t.found(ROOT, "d", 10);
        let f = t.found(ROOT, "f", 12);
        assert_eq!(t.found(d, "g", 12), f);
        assert_eq!(t.found(d, "h", 12), f);
        t.remove(ROOT, n("f"), None);
        t.check();
        assert_eq!(t.paths(f), ["/d/g", "/d/h"]);
        // Both stay; then one takes another's place.
        t.rename((d, n("g")), (d, n("h")), None);
        assert_eq!(t.paths(f), ["/d/g", "/d/h"]);
        let x = t.found(ROOT, "x", 13);
        t.rename((ROOT, n("x")), (d, n("h")), None);
        t.check();
        assert_eq!(
            (t.paths(f), t.paths(x)),
            (vec!["/d/g".to_owned()], vec!["/d/h".to_owned()])
        );
    }

    #[test]
    fn without_a_name_it_is_held_until_it_is_forgotten() {
        let mut t = tree();
        let f = t.found(ROOT, "f", 12);
        t.remove(ROOT, n("f"), Some(File::open("/dev/null").unwrap()));
        assert!(t.get(f).unwrap().held.is_some());
        // Another name of it is found: there is no need any more.
        assert_eq!(t.found(ROOT, "g", 12), f);
        assert!(t.get(f).unwrap().held.is_none());
        t.remove(ROOT, n("g"), None);
        t.forget(f, 2);
        t.check();
        assert!(t.get(f).is_err());
    }

    #[test]
    fn changed_behind_its_back() {
        let mut t = tree();
        let f = t.found(ROOT, "f", 12);
        let other = t.found(ROOT, "f", 13);
        assert_ne!(f, other);
        assert_eq!(
            (t.paths(f), t.paths(other)),
            (vec![], vec!["/f".to_owned()])
        );
        // The number of a file that is gone is a directory's now, which then is moved.
        let d = t.found(ROOT, "d", 12);
        assert_ne!(f, d);
        let e = t.found(ROOT, "d2", 14);
        assert_eq!(t.found(e, "d", 12), d);
        assert_eq!(t.paths(d), ["/d2/d"]);
        t.forget(d, 1);
        for ino in [f, other, d, e] {
            t.forget(ino, 1);
            t.check();
        }
        assert_eq!(t.inodes.len(), 1);
    }

    #[test]
    fn a_number_that_is_given_again_is_another_inode() {
        let mut t = tree();
        let d = t.found(ROOT, "d", 10);
        let f = t.found(d, "f", 12);
        // Deleted in the source, where another directory has the number, and then the name, too.
        for name in ["n", "d"] {
            let again = source(10, libc::S_IFDIR, 1);
            let n = t.meet(ROOT, OsStr::new(name), again).unwrap();
            assert_ne!(n, d);
            t.count(n);
            t.check();
        }
        assert_eq!(t.paths(f), Vec::<String>::new());
        for ino in [f, d] {
            t.forget(ino, 1);
            t.check();
        }
        assert_eq!(t.inodes.len(), 2);
    }

    #[test]
    fn exchanged() {
        let mut t = tree();
        let d = t.found(ROOT, "d", 10);
        let f = t.found(d, "f", 12);
        let g = t.found(ROOT, "g", 13);
        t.exchange((d, n("f")), (ROOT, n("g")));
        t.check();
        assert_eq!(
            (t.paths(f), t.paths(g)),
            (vec!["/g".to_owned()], vec!["/d/f".to_owned()])
        );
        // One of which the kernel does not know.
        t.exchange((ROOT, n("g")), (ROOT, n("h")));
        t.check();
        assert_eq!(t.paths(f), ["/h"]);
    }
}
