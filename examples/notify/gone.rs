//! Notifications of what the kernel does not know any more.

use fuse3::notify::NotifyError;

/// What a blocking notification returned, without what is normal: the kernel did not know the inode or name any more, or
/// the file system is being unmounted.
pub(crate) fn unless_gone(result: Result<(), NotifyError>) -> Result<(), NotifyError> {
    match result {
        Err(error)
            if [libc::ENOENT, libc::EBADF, libc::ENODEV, libc::ENOTCONN]
                .contains(&error.errno().raw()) =>
        {
            Ok(())
        }
        other => other,
    }
}
