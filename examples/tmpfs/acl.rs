//! POSIX ACLs, acl(5). The kernel checks permissions by them; what they mean for modes is the file system's business.

use std::ffi::OsStr;

use fuse3::{Errno, Ino};

use crate::inodes::Inodes;

/// Who may do what with the inode.
pub(crate) const ACCESS: &str = "system.posix_acl_access";
/// What is made in the directory gets it as its access ACL.
pub(crate) const DEFAULT: &str = "system.posix_acl_default";

/// Whether the attribute is an ACL.
pub(crate) fn is_acl(name: &OsStr) -> bool {
    name == ACCESS || name == DEFAULT
}

/// `POSIX_ACL_XATTR_VERSION`
const VERSION: [u8; 4] = 2_u32.to_le_bytes();

// `ACL_*`, of acl(5).
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// `struct posix_acl_xattr_entry`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: [u8; 4],
}

/// An ACL. The kernel has checked it: it has an owner, a group and others, and a mask where it has more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl(Vec<Entry>);

impl Acl {
    /// The ACL that an attribute has.
    ///
    /// # Errors
    ///
    /// EINVAL.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, Errno> {
        let entries = value.strip_prefix(&VERSION).ok_or(Errno::EINVAL)?;
        let entry = |bytes: &[u8]| match *bytes {
            [a, b, c, d, ref id @ ..] => Ok(Entry {
                tag: u16::from_le_bytes([a, b]),
                permissions: u16::from_le_bytes([c, d]),
                id: id.try_into().map_err(|_| Errno::EINVAL)?,
            }),
            _ => Err(Errno::EINVAL),
        };
        let acl = Self(entries.chunks(8).map(entry).collect::<Result<_, _>>()?);
        let base = [USER_OBJ, GROUP_OBJ, OTHER];
        match base.iter().all(|tag| acl.find(*tag).is_some()) {
            true => Ok(acl),
            false => Err(Errno::EINVAL),
        }
    }

    /// The attribute that has it.
    pub(crate) fn value(&self) -> Vec<u8> {
        let entry = |entry: &Entry| {
            let [a, b] = entry.tag.to_le_bytes();
            let [c, d] = entry.permissions.to_le_bytes();
            let [e, f, g, h] = entry.id;
            [a, b, c, d, e, f, g, h]
        };
        let entries = self.0.iter().flat_map(entry);
        VERSION.into_iter().chain(entries).collect()
    }

    fn find(&self, tag: u16) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.tag == tag)
    }

    /// The entry that the group's bits of a mode stand for: the mask, where there is one.
    fn group(&self) -> u16 {
        match self.find(MASK) {
            Some(_) => MASK,
            None => GROUP_OBJ,
        }
    }

    /// The bits of a mode that it stands for.
    pub(crate) fn mode(&self) -> u32 {
        let bits = |tag| self.find(tag).map_or(0, |it| u32::from(it.permissions & 7));
        bits(USER_OBJ) << 6 | bits(self.group()) << 3 | bits(OTHER)
    }

    /// The entries that the bits of `mode` stand for, each with its bits.
    fn classes(&mut self, mode: u32) -> impl Iterator<Item = (&mut Entry, u16)> {
        let group = self.group();
        self.0.iter_mut().filter_map(move |entry| {
            let up = match entry.tag {
                USER_OBJ => 6,
                OTHER => 0,
                tag if tag == group => 3,
                _ => return None,
            };
            let bits = u16::try_from((mode >> up) & 7).expect("three bits");
            Some((entry, bits))
        })
    }

    /// chmod(2): what the bits of `mode` stand for is changed to them.
    pub(crate) fn chmod(&mut self, mode: u32) {
        for (entry, bits) in self.classes(mode) {
            entry.permissions = bits;
        }
    }

    /// Takes away what is not in `mode`, with which something new is made.
    pub(crate) fn restrict(&mut self, mode: u32) {
        for (entry, bits) in self.classes(mode) {
            entry.permissions &= bits;
        }
    }

    /// Whether it says no more than a mode does.
    pub(crate) fn is_mode(&self) -> bool {
        self.0
            .iter()
            .all(|entry| !matches!(entry.tag, USER | GROUP | MASK))
    }
}

impl Inodes {
    /// The ACL `name` of an inode.
    pub(crate) fn acl(&self, ino: Ino, name: &str) -> Result<Option<Acl>, Errno> {
        match self.get(ino)?.xattrs.get(OsStr::new(name)) {
            Ok(value) => Acl::parse(value).map(Some),
            Err(Errno::ENODATA) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the ACL `name`, or removes it. The mode follows an access ACL, which is not kept where it says no more than the mode.
    ///
    /// `keeps_group` says that the caller may leave the set-group-id bit on: one of the group, or root.
    ///
    /// # Errors
    ///
    /// EINVAL, ENOSPC.
    pub(crate) fn set_acl(
        &mut self,
        ino: Ino,
        name: &OsStr,
        value: Option<&[u8]>,
        keeps_group: bool,
    ) -> Result<(), Errno> {
        let acl = value.map(Acl::parse).transpose()?;
        let is_access = name == ACCESS;
        let mut mode = self.get(ino)?.meta.mode;
        if is_access && !keeps_group {
            mode &= !libc::S_ISGID;
        }
        match (acl, value) {
            (Some(acl), Some(value)) => {
                if is_access {
                    mode = mode & !0o777 | acl.mode();
                }
                if is_access && acl.is_mode() {
                    self.drop_xattr(ino, name)?;
                } else {
                    self.set_xattr(ino, name, value, fuse3::XattrFlags::empty())?;
                }
            }
            _ => self.drop_xattr(ino, name)?,
        }
        let node = self.get_mut(ino)?;
        node.meta.mode = mode;
        node.changed();
        Ok(())
    }

    /// Removes an attribute that may be there.
    fn drop_xattr(&mut self, ino: Ino, name: &OsStr) -> Result<(), Errno> {
        match self.remove_xattr(ino, name) {
            Err(Errno::ENODATA) => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16)]) -> Acl {
        let entry = |(tag, permissions): &(u16, u16)| Entry {
            tag: *tag,
            permissions: *permissions,
            id: [0xff; 4],
        };
        Acl(entries.iter().map(entry).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let acl = acl(&[
            (USER_OBJ, 6),
            (USER, 7),
            (GROUP_OBJ, 4),
            (MASK, 5),
            (OTHER, 0),
        ]);
        let value = acl.value();
        assert_eq!(value.len(), 4 + 5 * 8);
        assert_eq!(Acl::parse(&value), Ok(acl));
        for wrong in [
            &b""[..],
            &value[1..],
            &value[..value.len() - 1],
            &value[..12],
        ] {
            assert_eq!(Acl::parse(wrong), Err(Errno::EINVAL));
        }
    }

    #[test]
    fn the_group_s_bits_are_the_mask() {
        let mut with = acl(&[
            (USER_OBJ, 6),
            (USER, 7),
            (GROUP_OBJ, 4),
            (MASK, 5),
            (OTHER, 0),
        ]);
        let mut without = acl(&[(USER_OBJ, 6), (GROUP_OBJ, 4), (OTHER, 1)]);
        assert_eq!((with.mode(), with.is_mode()), (0o650, false));
        assert_eq!((without.mode(), without.is_mode()), (0o641, true));
        with.chmod(0o4712);
        assert_eq!(
            with,
            acl(&[
                (USER_OBJ, 7),
                (USER, 7),
                (GROUP_OBJ, 4),
                (MASK, 1),
                (OTHER, 2)
            ])
        );
        without.restrict(0o470);
        assert_eq!(without, acl(&[(USER_OBJ, 4), (GROUP_OBJ, 4), (OTHER, 0)]));
    }
}
