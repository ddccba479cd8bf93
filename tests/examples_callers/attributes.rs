//! Extended attributes: what they are made of, and whose names are listed.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::XattrFlags;

use crate::place::{Place, WAYS, everywhere};
use crate::user::USERS;

pub(crate) const ACCESS: &str = "system.posix_acl_access";
pub(crate) const DEFAULT: &str = "system.posix_acl_default";
pub(crate) const CAPABILITY: &str = "security.capability";

pub(crate) fn chmod(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

pub(crate) fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::setxattr(
        path,
        name,
        value,
        XattrFlags::empty(),
    )?)
}

/// What file capabilities are: CAP_NET_RAW, permitted and effective (`struct vfs_cap_data`, revision 2).
pub(crate) fn set_capability(path: &Path) {
    let words = [0x0200_0001_u32, 1 << 13, 0, 0, 0];
    let value: Vec<_> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    set_xattr(path, CAPABILITY, &value).unwrap();
}

/// Whom an entry of an ACL is for, in the order in which they have to be.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    Owner,
    User(u32),
    Owners,
    Group(u32),
    Mask,
    Others,
}

/// An ACL, as its extended attribute is.
pub(crate) fn acl(entries: &[(Of, u16)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (of, permissions) in entries {
        let (tag, id) = match of {
            Of::Owner => (1_u16, u32::MAX),
            Of::User(id) => (2, *id),
            Of::Owners => (4, u32::MAX),
            Of::Group(id) => (8, *id),
            Of::Mask => (16, u32::MAX),
            Of::Others => (32, u32::MAX),
        };
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

pub(crate) fn length_of_names(path: &Path) -> usize {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `path` lives and is NUL-terminated, and no byte is written.
    let length = unsafe { libc::listxattr(path.as_ptr(), std::ptr::null_mut(), 0) };
    usize::try_from(length).unwrap()
}

pub(crate) fn names_of_attributes(place: &mut Place) {
    if !place.xattrs {
        return place.leave_out();
    }
    let path = place.file("file", (2001, 50), 0o644);
    let behind = place.behind.join("file");
    for name in ["user.one", "trusted.two", "user.three", "trusted.four"] {
        set_xattr(&behind, name, b"value").unwrap();
    }
    for (who, user) in USERS {
        let listed = user.does(|| {
            let mut names = vec![0; 4096];
            let length = rustix::fs::listxattr(&path, &mut names[..])?;
            // The length alone is what a caller asks for first.
            assert_eq!(length_of_names(&path), length);
            let mut names: Vec<_> = names[..length]
                .split(|byte| *byte == 0)
                .map(String::from_utf8_lossy)
                .collect();
            names.sort();
            Ok(names.join(" "))
        });
        place.say(format!("names for {who}"), listed);
        let read = user.does(|| xattr(&path, "trusted.two"));
        place.say(format!("value for {who}"), Ok(format!("{read:?}")));
    }
}

#[test]
pub(crate) fn names_of_trusted_attributes_are_for_root() {
    everywhere("names of attributes", WAYS, names_of_attributes);
}
