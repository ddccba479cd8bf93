//! `rename`: its rules, and what it does.

use std::ffi::OsStr;

use fuse3::{Caller, Errno, Ino, RenameFlags};

use crate::inodes::Inodes;
use crate::names::{self, New};
use crate::node::Kind;

/// A directory, and a name in it.
pub(crate) type Place<'a> = (Ino, &'a OsStr);

impl Inodes {
    /// # Errors
    ///
    /// Those of renameat2(2).
    pub(crate) fn rename(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        flags: RenameFlags,
        caller: Caller,
    ) -> Result<(), Errno> {
        const OTHERS: RenameFlags = RenameFlags::NOREPLACE.union(RenameFlags::WHITEOUT);
        if flags != RenameFlags::EXCHANGE && !(flags - OTHERS).is_empty() {
            return Err(Errno::EINVAL);
        }
        names::check(to.1)?;
        let ino = self.find(from.0, from.1)?;
        let above = self.get(to.0)?;
        if above.meta.nlink == 0 {
            return Err(Errno::ENOENT);
        }
        let there = above.directory()?.get(to.1);
        match there {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => Err(Errno::EEXIST),
            None if flags.contains(RenameFlags::EXCHANGE) => Err(Errno::ENOENT),
            // Two names of one inode both stay.
            Some(there) if there == ino => Ok(()),
            _ if self.is_within(to.0, ino)? => Err(Errno::EINVAL),
            Some(there) if flags.contains(RenameFlags::EXCHANGE) => {
                if self.is_within(from.0, there)? {
                    return Err(Errno::EINVAL);
                }
                self.exchange((from, ino), (to, there))
            }
            _ => {
                if let Some(there) = there {
                    self.can_replace(ino, there)?;
                }
                let whiteout = match flags.contains(RenameFlags::WHITEOUT) {
                    true => Some(self.whiteout(from.0, caller)?),
                    false => None,
                };
                self.displace(from, to, ino, there)?;
                if let Some(whiteout) = whiteout {
                    self.get_mut(from.0)?
                        .directory_mut()?
                        .insert(from.1, whiteout);
                }
                Ok(())
            }
        }
    }

    /// What overlayfs takes for a name that is gone: a device with the number 0, whose first name it is to get in `parent`.
    fn whiteout(&mut self, parent: Ino, caller: Caller) -> Result<Ino, Errno> {
        let new = New {
            mode: libc::S_IFCHR,
            rdev: 0,
            kind: Kind::Special,
        };
        self.make_nameless(parent, new, caller)
    }

    /// Whether `ino` is the directory `above`, or somewhere below it.
    fn is_within(&self, mut ino: Ino, above: Ino) -> Result<bool, Errno> {
        while ino != above {
            if ino == Ino::ROOT {
                return Ok(false);
            }
            ino = self.get(ino)?.directory()?.parent();
        }
        Ok(true)
    }

    fn can_replace(&self, ino: Ino, there: Ino) -> Result<(), Errno> {
        match (self.get(ino)?.is_directory(), self.get(there)?) {
            (false, there) if there.is_directory() => Err(Errno::EISDIR),
            (true, there) if !there.directory()?.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    fn displace(
        &mut self,
        from: Place<'_>,
        to: Place<'_>,
        ino: Ino,
        there: Option<Ino>,
    ) -> Result<(), Errno> {
        self.get_mut(from.0)?.directory_mut()?.remove(from.1);
        self.get_mut(to.0)?.directory_mut()?.insert(to.1, ino);
        self.moved(ino, from.0, to.0)?;
        if let Some(there) = there {
            if self.get(there)?.is_directory() {
                self.get_mut(to.0)?.meta.nlink -= 1;
            }
            self.unnamed(there)?;
        }
        self.get_mut(from.0)?.modified();
        self.get_mut(to.0)?.modified();
        Ok(())
    }

    fn exchange(&mut self, one: (Place<'_>, Ino), other: (Place<'_>, Ino)) -> Result<(), Errno> {
        let ((from, ino), (to, there)) = (one, other);
        self.get_mut(from.0)?.directory_mut()?.insert(from.1, there);
        self.get_mut(to.0)?.directory_mut()?.insert(to.1, ino);
        self.moved(ino, from.0, to.0)?;
        self.moved(there, to.0, from.0)?;
        self.get_mut(from.0)?.modified();
        self.get_mut(to.0)?.modified();
        Ok(())
    }

    /// A directory takes its ".." along, which is a link to what is above it.
    fn moved(&mut self, ino: Ino, from: Ino, to: Ino) -> Result<(), Errno> {
        let node = self.get_mut(ino)?;
        node.changed();
        if let Ok(directory) = node.directory_mut() {
            directory.set_parent(to);
            self.get_mut(from)?.meta.nlink -= 1;
            self.get_mut(to)?.meta.nlink += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fuse3::Caller;

    use super::*;
    use crate::space::Space;

    const REPLACE: RenameFlags = RenameFlags::empty();
    const ROOT: Ino = Ino::ROOT;

    /// / has the directories d (with the file d/f and the directory d/s) and e (empty), and the files f and g.
    struct Tree {
        inodes: Inodes,
        d: Ino,
        e: Ino,
        s: Ino,
    }

    fn name(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    fn tree() -> Tree {
        let mut inodes = Inodes::new(Space::new(1 << 20), 0o755, 0, 0).unwrap();
        let caller = Caller::default();
        let file = || New {
            mode: libc::S_IFREG,
            rdev: 0,
            kind: Kind::Special,
        };
        let d = inodes.mkdir(ROOT, name("d"), 0o755, caller).unwrap();
        let e = inodes.mkdir(ROOT, name("e"), 0o755, caller).unwrap();
        let s = inodes.mkdir(d, name("s"), 0o755, caller).unwrap();
        inodes.make(d, name("f"), file(), caller).unwrap();
        inodes.make(ROOT, name("f"), file(), caller).unwrap();
        inodes.make(ROOT, name("g"), file(), caller).unwrap();
        Tree { inodes, d, e, s }
    }

    impl Tree {
        fn rename(
            &mut self,
            from: (Ino, &str),
            to: (Ino, &str),
            flags: RenameFlags,
        ) -> Result<(), Errno> {
            let result = self.inodes.rename(
                (from.0, name(from.1)),
                (to.0, name(to.1)),
                flags,
                Caller::default(),
            );
            assert_eq!(self.inodes.check(), Vec::<String>::new());
            result
        }

        fn links(&self, ino: Ino) -> u32 {
            self.inodes.get(ino).map_or(0, |node| node.meta.nlink)
        }
    }

    #[test]
    fn what_may_not_be() {
        let mut t = tree();
        let (d, e, s) = (t.d, t.e, t.s);
        let both = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
        let long = "x".repeat(256);
        for (from, to, flags, error) in [
            ((ROOT, "no"), (ROOT, "x"), REPLACE, Errno::ENOENT),
            (
                (ROOT, "f"),
                (ROOT, "g"),
                RenameFlags::NOREPLACE,
                Errno::EEXIST,
            ),
            (
                (ROOT, "f"),
                (ROOT, "x"),
                RenameFlags::EXCHANGE,
                Errno::ENOENT,
            ),
            ((ROOT, "f"), (ROOT, "g"), both, Errno::EINVAL),
            (
                (ROOT, "f"),
                (ROOT, "g"),
                RenameFlags::WHITEOUT | RenameFlags::EXCHANGE,
                Errno::EINVAL,
            ),
            ((ROOT, "f"), (ROOT, "e"), REPLACE, Errno::EISDIR),
            ((ROOT, "e"), (ROOT, "f"), REPLACE, Errno::ENOTDIR),
            ((ROOT, "e"), (ROOT, "d"), REPLACE, Errno::ENOTEMPTY),
            ((ROOT, "d"), (d, "x"), REPLACE, Errno::EINVAL),
            ((ROOT, "d"), (s, "x"), REPLACE, Errno::EINVAL),
            ((d, "s"), (ROOT, "d"), RenameFlags::EXCHANGE, Errno::EINVAL),
            (
                (ROOT, "f"),
                (ROOT, long.as_str()),
                REPLACE,
                Errno::ENAMETOOLONG,
            ),
        ] {
            assert_eq!(
                t.rename(from, to, flags),
                Err(error),
                "{from:?} {to:?} {flags:?}"
            );
        }
        assert_eq!((t.links(ROOT), t.links(d), t.links(e)), (4, 3, 2));
    }

    #[test]
    fn directories_take_their_link_along() {
        let mut t = tree();
        let (d, e, s) = (t.d, t.e, t.s);
        assert_eq!(t.rename((d, "s"), (e, "s"), REPLACE), Ok(()));
        assert_eq!((t.links(d), t.links(e)), (2, 3));
        // d replaces nothing; e/s, which is empty, is replaced by d.
        assert_eq!(t.rename((ROOT, "d"), (e, "s"), REPLACE), Ok(()));
        assert_eq!((t.links(ROOT), t.links(e), t.links(s)), (3, 3, 0));
        assert!(t.inodes.get(s).is_err());
    }

    #[test]
    fn exchanging_a_file_and_a_directory() {
        let mut t = tree();
        let d = t.d;
        assert_eq!(
            t.rename((d, "s"), (ROOT, "f"), RenameFlags::EXCHANGE),
            Ok(())
        );
        assert_eq!((t.links(ROOT), t.links(d)), (5, 2));
        assert_eq!(t.inodes.find(ROOT, name("f")), Ok(t.s));
        let s = t.inodes.get(t.s).unwrap();
        assert_eq!(s.directory().unwrap().parent(), ROOT);
    }

    #[test]
    fn a_whiteout_stays_behind() {
        let mut t = tree();
        let d = t.d;
        let whiteout = RenameFlags::WHITEOUT;
        assert_eq!(t.rename((d, "f"), (ROOT, "g"), whiteout), Ok(()));
        assert_eq!(t.rename((d, "s"), (ROOT, "s"), whiteout), Ok(()));
        assert_eq!((t.links(ROOT), t.links(d)), (5, 2));
        for gone in ["f", "s"] {
            let ino = t.inodes.find(d, name(gone)).unwrap();
            let meta = t.inodes.get(ino).unwrap().meta;
            assert_eq!((meta.mode, meta.rdev), (libc::S_IFCHR, 0));
        }
    }

    #[test]
    fn two_names_of_one_file_both_stay() {
        let mut t = tree();
        let f = t.inodes.find(ROOT, name("f")).unwrap();
        t.inodes.link(f, t.d, name("h")).unwrap();
        let d = t.d;
        assert_eq!(t.rename((ROOT, "f"), (d, "h"), REPLACE), Ok(()));
        assert_eq!(t.links(f), 2);
        assert_eq!(t.rename((ROOT, "g"), (ROOT, "f"), REPLACE), Ok(()));
        assert_eq!(t.links(f), 1);
    }
}
