//! Extended attributes that the kernel uses, or shows to some callers only.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use fuse3::{Caller, XattrNames};

/// Who may do what with a file, beside its mode.
pub(super) const ACCESS_ACL: &str = "system.posix_acl_access";

/// What the ACLs of new files in a directory are made of.
pub(super) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// Whether `name` is an ACL's. With POSIX_ACL the kernel reads these, to check permissions by them.
pub(super) fn is_acl(name: &OsStr) -> bool {
    name == ACCESS_ACL || name == DEFAULT_ACL
}

/// The attribute `name`, where the kernel was told that there are ACLs.
///
/// Of a source without ACLs no file has one. Any other answer than that would be what the caller's open(2) or access(2) fails
/// with.
pub(super) fn none_without_acls(name: &OsStr, value: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match value {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) && is_acl(name) => {
            Err(io::Error::from_raw_os_error(libc::ENODATA))
        }
        value => value,
    }
}

/// Those of `names`, each with a NUL after it, that the caller is shown: names of `trusted.*` are for root.
///
/// The kernel's rule asks for CAP_SYS_ADMIN, which is not known of the caller. It lets nobody else read the values.
pub(super) fn shown(names: &[u8], caller: Caller) -> XattrNames {
    let names = names.split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    let names = names.filter(|name| caller.uid == Some(0) || !name.starts_with(b"trusted."));
    names.map(OsStr::from_bytes).collect()
}
