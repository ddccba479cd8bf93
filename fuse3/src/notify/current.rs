//! Which request a thread handles, in debug builds, so that a notification that would wait for it is caught.
//!
//! Only what would wait is: as far as a request does not tell it apart, what the kernel does for it in the usual case counts.
//! A `lookup` of a new name has its directory locked; one of a known name has not, and looks the same.
//!
//! Not known here, and so not caught: the inode that a removed or renamed name had, which is locked as well; what the kernel
//! has locked for other requests of the same caller.

use std::cell::Cell;

use crate::conn::connection::page_size;
use crate::dispatch::{context::Context, filesystem::Filesystem};
use crate::notify::notification::Notification;
use crate::types::{
    attr::SetAttr, capabilities::Capabilities, file::FileInfo, flags::OpenFlags, ino::Ino,
    ioctl::IoctlCommand, operation::Operation,
};

/// The first byte, and the one behind the last.
type Bytes = (u64, u64);

const NONE: Bytes = (0, 0);
const ALL: Bytes = (0, u64::MAX);

/// A request, and what the kernel holds until it is answered.
#[derive(Clone, Copy, Debug)]
struct Handled {
    session: usize,
    operation: Operation,
    ino: Ino,
    /// The inodes that are locked (`i_rwsem`).
    inodes: [Option<Ino>; 2],
    /// Data of `ino` whose pages are locked.
    pages: Bytes,
    /// Data of `ino` that is being written back, or that cannot be meanwhile.
    writeback: Bytes,
}

thread_local! {
    static HANDLED: Cell<Option<Handled>> = const { Cell::new(None) };
}

/// While it lives, the thread handles this request.
#[derive(Debug)]
pub(crate) struct Current {
    #[cfg(debug_assertions)]
    before: Option<Handled>,
}

impl Current {
    #[inline(always)]
    pub(crate) fn enter(session: usize, operation: Operation, ino: Ino) -> Self {
        let handled = Handled {
            session,
            operation,
            ino,
            inodes: [locks_inode(operation).then_some(ino), None],
            pages: NONE,
            writeback: NONE,
        };
        #[cfg(not(debug_assertions))]
        let _ = handled;
        Self {
            #[cfg(debug_assertions)]
            before: HANDLED.replace(Some(handled)),
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Current {
    fn drop(&mut self) {
        HANDLED.set(self.before);
    }
}

/// What a thread handles, to be taken to another one.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Captured {
    #[cfg(debug_assertions)]
    handled: Option<Handled>,
}

#[cfg(feature = "tokio")]
impl Captured {
    /// What this thread handles.
    pub(crate) fn here() -> Self {
        Self {
            #[cfg(debug_assertions)]
            handled: HANDLED.get(),
        }
    }

    /// While the result lives, this thread handles it.
    pub(crate) fn enter(self) -> Current {
        Current {
            #[cfg(debug_assertions)]
            before: HANDLED.replace(self.handled),
        }
    }
}

/// The kernel keeps the inode of the request locked (fs/namei.c, fs/readdir.c, fs/xattr.c, fs/fuse/). Those whose arguments
/// decide it are below.
const fn locks_inode(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Lookup
            | Operation::Readdir
            | Operation::Readdirplus
            | Operation::Mknod
            | Operation::Mkdir
            | Operation::Unlink
            | Operation::Rmdir
            | Operation::Symlink
            | Operation::Rename
            | Operation::Link
            | Operation::Create
            | Operation::Setxattr
            | Operation::Removexattr
            | Operation::Fallocate
            | Operation::Lseek
            | Operation::Fsync
            | Operation::Fsyncdir
    )
}

#[inline(always)]
fn note(note: impl FnOnce(&mut Handled)) {
    if cfg!(debug_assertions) {
        if let Some(mut handled) = HANDLED.get() {
            note(&mut handled);
            HANDLED.set(Some(handled));
        }
    }
}

fn granted<F: Filesystem>(cx: &Context<'_, F>, capability: Capabilities) -> bool {
    let agreement = cx.core().and_then(|core| core.control.agreement());
    agreement.is_some_and(|it| it.granted.contains(capability))
}

/// This inode is locked too: the new directory of `rename` and `link`, and what `copy_file_range` writes to.
#[inline(always)]
pub(crate) fn locks(ino: Ino) {
    note(|handled| handled.inodes[1] = Some(ino));
}

/// The handler has given its answer away: who sends it, and when, is not known here.
#[inline(always)]
pub(crate) fn deferred() {
    if cfg!(debug_assertions) {
        HANDLED.set(None);
    }
}

/// `read`: the pages are locked that the data comes into, unless it goes to the caller's memory. Then the kernel says who
/// asks.
#[inline(always)]
pub(crate) fn reads(file: &FileInfo, offset: u64, size: usize) {
    note(|handled| {
        if file.lock_owner().0 == 0 {
            handled.pages = pages(offset, size as u64);
        }
    });
}

/// `write`: the inode is locked, and the last page where it is written in part. Pages that are written whole are unlocked
/// before. From the writeback cache neither: there the pages are waited for, since Linux 6.16 (7.44), which does not copy them.
#[inline(always)]
pub(crate) fn writes<F: Filesystem>(
    cx: &Context<'_, F>,
    file: &FileInfo,
    offset: u64,
    size: usize,
) {
    note(|handled| {
        let all = pages(offset, size as u64);
        if file.writepage() {
            let agreement = cx.core().and_then(|core| core.control.agreement());
            if agreement.is_some_and(|it| it.protocol >= (7, 44)) {
                handled.writeback = all;
            }
            return;
        }
        handled.inodes[0] = Some(handled.ino);
        let end = offset.saturating_add(size as u64);
        let last = pages(end.saturating_sub(1), 1);
        if file.lock_owner().0 == 0 && (last.0 < offset || last.1 > end) {
            handled.pages = last;
        }
    });
}

/// `setattr`: the inode is locked, unless the kernel sends by itself what it knew of the times. While a file is truncated,
/// what its writeback cache has is not written.
#[inline(always)]
pub(crate) fn changes<F: Filesystem>(cx: &Context<'_, F>, to: &SetAttr) {
    note(|handled| {
        let others = [to.mode, to.uid, to.gid].iter().any(Option::is_some);
        let others = others || to.size.is_some() || to.atime.is_some();
        if others || to.ctime.is_none() {
            handled.inodes[0] = Some(handled.ino);
        }
        if to.size.is_some() && granted(cx, Capabilities::WRITEBACK_CACHE) {
            handled.writeback = ALL;
        }
    });
}

/// `open` with O_TRUNC, with the writeback cache: as `setattr` that truncates.
#[inline(always)]
pub(crate) fn opens<F: Filesystem>(cx: &Context<'_, F>, flags: OpenFlags) {
    note(|handled| {
        if flags.bits() & libc::O_TRUNC != 0 && granted(cx, Capabilities::WRITEBACK_CACHE) {
            handled.inodes[0] = Some(handled.ino);
            handled.writeback = ALL;
        }
    });
}

/// `readlink`: the target comes into the page cache, where that is to keep it.
#[inline(always)]
pub(crate) fn reads_link<F: Filesystem>(cx: &Context<'_, F>) {
    note(|handled| {
        if granted(cx, Capabilities::CACHE_SYMLINKS) {
            handled.pages = pages(0, 1);
        }
    });
}

/// `ioctl` that sets attributes of an inode (chattr(1)): it is locked. So it is while the kernel asks for them first, by
/// FS_IOC_FSGETXATTR; but a caller asks by that without a lock.
#[inline(always)]
pub(crate) fn controls(command: IoctlCommand) {
    /// Of a `long`.
    const FS_IOC_SETFLAGS: IoctlCommand = IoctlCommand::write::<isize>(b'f', 2);
    /// Of a `struct fsxattr`.
    const FS_IOC_FSSETXATTR: IoctlCommand = IoctlCommand::write::<[u8; 28]>(b'X', 32);
    note(|handled| {
        if [FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR].contains(&command) {
            handled.inodes[0] = Some(handled.ino);
        }
    });
}

/// The pages that these bytes are in.
fn pages(offset: u64, size: u64) -> Bytes {
    if size == 0 {
        return NONE;
    }
    let page = u64::from(page_size());
    let end = offset.saturating_add(size).checked_next_multiple_of(page);
    (offset - offset % page, end.unwrap_or(u64::MAX))
}

fn overlap(one: Bytes, other: Bytes) -> bool {
    one.0.max(other.0) < one.1.min(other.1)
}

impl Handled {
    /// The kernel does nothing for `notification` until this is answered.
    fn blocks(&self, notification: &Notification) -> bool {
        let locked = |ino: &Ino| self.inodes.contains(&Some(*ino));
        match notification {
            Notification::InvalInode {
                ino,
                offset,
                length,
            } => {
                let length = if *length > 0 { *length } else { i64::MAX };
                let data = match (u64::try_from(*offset), u64::try_from(length)) {
                    (Ok(offset), Ok(length)) => pages(offset, length),
                    // Attributes alone.
                    _ => NONE,
                };
                *ino == self.ino && (overlap(data, self.pages) || overlap(data, self.writeback))
            }
            Notification::Store { ino, offset, data } => {
                *ino == self.ino && overlap(pages(*offset, data.len() as u64), self.pages)
            }
            Notification::InvalEntry { parent, .. } | Notification::ExpireEntry { parent, .. } => {
                locked(parent)
            }
            Notification::Delete { parent, child, .. } => locked(parent) || locked(child),
            // It looks for pages, and does not wait for those that are locked.
            Notification::Retrieve { .. }
            | Notification::IncrementEpoch
            | Notification::Prune { .. }
            | Notification::Resend => false,
        }
    }
}

/// Panics when `notification` would wait for the request that this thread handles.
#[inline(always)]
#[track_caller]
pub(super) fn check(session: usize, notification: &Notification) {
    if cfg!(debug_assertions) {
        let Some(handled) = HANDLED.get().filter(|it| it.session == session) else {
            return;
        };
        assert!(
            !handled.blocks(notification),
            "a blocking {notification}, sent while {} of inode {} is handled, waits for that {} in \
             the kernel, for ever: queue it (Notifier::{}), or send it from another thread",
            handled.operation,
            handled.ino,
            handled.operation,
            notification.name(),
        );
    }
}
