#![doc = include_str!("parity.md")]
#![allow(
    rustdoc::redundant_explicit_links,
    reason = "the table names places in full, for the test that looks for them"
)]

use std::ffi::OsStr;
use std::time::Duration;

use crate::conn::connection::Connection;
use crate::dispatch::{context::Context, filesystem::Filesystem};
use crate::reply::answer::{Answer, Unanswered};
use crate::types::attr::{Attr, Entry};
use crate::types::flags::{RenameFlags, XattrFlags};
use crate::types::ino::{Fh, Ino};
use crate::types::{capabilities::Capabilities, errno::Errno, opened::Opened};

/// llfuse's `entry_timeout` and `attr_timeout`, where nothing else is said: 300 seconds.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// llfuse's `default_options`, less those that libfuse 3 does not have: for [`Builder::options`](crate::Builder::options),
/// which takes llfuse's own five as well.
pub const DEFAULT_OPTIONS: &str = "default_permissions";

/// llfuse's `EntryAttributes()`: an entry with its defaults, generation 0 and both time-outs [`TIMEOUT`].
///
/// Those of the attributes are [`Attr::new`]'s.
pub const fn entry(attr: Attr) -> Entry {
    Entry::new(attr, TIMEOUT)
}

/// What llfuse makes of the handle that `open` or `create` returns, and pyfuse3's `FileInfo()`: an open file with
/// [`keep_cache`](Opened::keep_cache).
///
/// The kernel then keeps what it has cached of the file, unless its size or mtime have changed
/// ([`AUTO_INVAL_DATA`](Capabilities::AUTO_INVAL_DATA), which libfuse asks for).
pub const fn opened(handle: Fh) -> Opened {
    Opened::new(handle).keep_cache(true)
}

/// What a port of an llfuse file system does in [`init`](Filesystem::init): O_TRUNC comes as a `setattr` of the size after
/// `open`, whose flags never have it.
///
/// libfuse 3 has the kernel leave it to `open` ([`ATOMIC_O_TRUNC`](Capabilities::ATOMIC_O_TRUNC)), and a handler that does
/// not look for [`TRUNC`](crate::OpenFlags::TRUNC) loses truncations.
///
/// ```
/// # use fuse3::{Concurrent, Connection, Filesystem};
/// # use fuse3::context::Guard;
/// # use fuse3::guide::parity;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn init(&self, _: &mut Guard<Self>, connection: &mut Connection) -> std::io::Result<()> {
///         parity::truncate_by_setattr(connection);
///         Ok(())
///     }
/// }
/// ```
pub fn truncate_by_setattr(connection: &mut Connection<'_>) {
    connection.unwant(Capabilities::ATOMIC_O_TRUNC);
}

/// What llfuse and pyfuse3 do before they call `setxattr`: XATTR_CREATE and XATTR_REPLACE, by way of `getxattr`, so that
/// the file system need not know of them.
///
/// `getxattr` is called under the lock that `cx` has. If it does not release the lock, nobody else runs before what comes
/// after.
///
/// ```
/// # use fuse3::{Answer, Context, Errno, Filesystem, GlobalLock, Ino, XattrFlags};
/// # use fuse3::guide::parity;
/// # use std::{collections::HashMap, ffi::{OsStr, OsString}, sync::Arc};
/// # type Xattrs = HashMap<(Ino, OsString), Vec<u8>>;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<Xattrs>>;
///
///     fn getxattr(&self, cx: &mut Context<'_, Self>, ino: Ino, name: &OsStr) -> Answer<Vec<u8>> {
///         let value = cx.get(&(ino, name.to_owned()));
///         Ok(value.ok_or(Errno::ENOATTR)?.clone())
///     }
///
///     fn setxattr(
///         &self,
///         cx: &mut Context<'_, Self>,
///         ino: Ino,
///         name: &OsStr,
///         value: &[u8],
///         flags: XattrFlags,
///     ) -> Answer<()> {
///         parity::check_xattr_flags(self, cx, ino, name, flags)?;
///         cx.insert((ino, name.to_owned()), value.to_owned());
///         Ok(())
///     }
/// }
/// ```
///
/// # Errors
///
/// EEXIST with [`CREATE`](XattrFlags::CREATE) and ENODATA with [`REPLACE`](XattrFlags::REPLACE), as setxattr(2) has them;
/// EINVAL for other flags (llfuse ends its main loop); what else `getxattr` fails with. EIO, and a line in the log, when
/// `getxattr` defers its answer, which then is nobody's.
pub fn check_xattr_flags<F: Filesystem>(
    fs: &F,
    cx: &mut Context<'_, F>,
    ino: Ino,
    name: &OsStr,
    flags: XattrFlags,
) -> Answer<()> {
    let (create, replace) = (XattrFlags::CREATE, XattrFlags::REPLACE);
    if flags.is_empty() {
        return Ok(());
    }
    if !(flags - create - replace).is_empty() {
        return Err(Errno::EINVAL.into());
    }
    match fs.getxattr(cx, ino, name) {
        Ok(_) if flags.contains(create) => Err(Errno::EEXIST.into()),
        Ok(_) => Ok(()),
        Err(Unanswered::Errno(Errno::ENODATA)) if !flags.contains(replace) => Ok(()),
        Err(Unanswered::Errno(errno)) => Err(errno.into()),
        Err(Unanswered::Deferred(_)) => {
            crate::base::log::error!("getxattr deferred its answer where setxattr called it");
            Err(Errno::EIO.into())
        }
    }
}

/// For a port of an llfuse file system, whose `rename` knows no flags: `parity::no_rename_flags(flags)?`.
///
/// # Errors
///
/// EINVAL when there are any, as renameat2(2) has it where the file system does not know a flag.
pub fn no_rename_flags(flags: RenameFlags) -> Result<(), Errno> {
    if flags.is_empty() {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_llfuse_s() {
        let entry = entry(Attr::new(Ino(2), libc::S_IFREG));
        assert_eq!(entry.entry_timeout.as_secs(), 300);
        assert_eq!(entry.attr_timeout.as_secs(), 300);
        assert_eq!((entry.generation, entry.attr.nlink), (0, 1));
        assert!(opened(Fh(1)).keep_cache);
    }

    #[test]
    fn rename_flags_are_refused() {
        assert_eq!(no_rename_flags(RenameFlags::empty()), Ok(()));
        for flags in [RenameFlags::NOREPLACE, RenameFlags::EXCHANGE] {
            assert_eq!(no_rename_flags(flags), Err(Errno::EINVAL));
        }
    }
}
