//! Extended attributes that are computed when they are read: `getfattr -n user.tmpfs.tree DIRECTORY`.
//!
//! They are not listed, so that cp(1) does not copy them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuse3::{Context, Errno, Ino};

use crate::fs::Tmpfs;
use crate::{digest, tree};

/// Whether `name` is kept for them.
pub(crate) fn has(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"user.tmpfs.")
}

/// The value of the attribute `name`. Some of them release the lock.
///
/// # Errors
///
/// ENODATA when there is no such attribute, or not of this kind of inode. EAGAIN as [`Computing`](crate::computing::Computing)
/// has it.
pub(crate) fn get(cx: &mut Context<'_, Tmpfs>, ino: Ino, name: &OsStr) -> Result<Vec<u8>, Errno> {
    let is_directory = cx.get(ino)?.is_directory();
    let value = match (name.as_bytes(), is_directory) {
        (b"user.tmpfs.sha256", false) => digest::of_file(cx, ino)?.to_string(),
        (b"user.tmpfs.tree", true) => {
            let uid = cx.uid();
            cx.computing.begin(uid)?;
            let tree = tree::count(cx, ino);
            cx.computing.end(uid);
            tree?.to_string()
        }
        (b"user.tmpfs.left", true) => cx.left().to_string(),
        _ => return Err(Errno::ENODATA),
    };
    Ok(value.into_bytes())
}
