use std::fmt;

use crate::dispatch::context::{Caller, Context, Duty};
use crate::dispatch::filesystem::Filesystem;
use crate::lock::locking::{Library, Locking};
use crate::reply::answer::{Answer, Asked, Unanswered};
use crate::reply::writedata::WriteData;
use crate::sys;
use crate::types::{errno::Errno, ino::Ino, operation::Operation};

/// A file system whose handlers are called directly, with the lock held and without a mount.
///
/// ```
/// use fuse3::testing::{Handlers, answered};
/// use fuse3::{Answer, Attr, Caller, Context, Entry, Errno, Filesystem, GlobalLock, Ino};
/// use std::{collections::HashMap, ffi::{OsStr, OsString}, sync::Arc, time::Duration};
///
/// struct Fs;
///
/// #[derive(Default)]
/// struct State {
///     names: HashMap<OsString, Attr>,
/// }
///
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<State>>;
///
///     fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<Entry> {
///         let attr = *cx.names.get(name).ok_or(Errno::ENOENT)?;
///         Ok(Entry::new(attr, Duration::ZERO))
///     }
///
///     fn mkdir(&self, cx: &mut Context<Self>, _: Ino, name: &OsStr, mode: u32) -> Answer<Entry> {
///         let ino = Ino(cx.names.len() as u64 + 2);
///         let (uid, gid) = cx.caller().owner()?;
///         let attr = Attr { uid, gid, ..Attr::new(ino, libc::S_IFDIR | mode) };
///         cx.names.insert(name.to_owned(), attr);
///         Ok(Entry::new(attr, Duration::ZERO))
///     }
/// }
///
/// let name = OsStr::new("dir");
/// let caller = Caller { uid: Some(1000), ..Caller::default() };
/// let handlers = Handlers::new(Fs, Arc::default()).caller(caller);
/// let missing = handlers.call(|fs, cx| fs.lookup(cx, Ino::ROOT, name));
/// assert_eq!(answered(missing), Err(Errno::ENOENT));
/// // Several under one hold of the lock, and the state itself.
/// handlers.call(|fs, cx| {
///     let made = answered(fs.mkdir(cx, Ino::ROOT, name, 0o755)).unwrap();
///     assert_eq!(answered(fs.lookup(cx, Ino::ROOT, name)), Ok(made));
///     assert_eq!((cx.names.len(), made.attr.uid), (1, 1000));
/// });
/// ```
///
/// The arguments can all be made: [`FileInfo::new`](crate::FileInfo::new), [`Create::new`](crate::Create::new),
/// [`SetAttr::default`](crate::SetAttr), [`ReadBuf::new`](crate::ReadBuf::new), [`DirBuf::new`](crate::DirBuf::new), and
/// [`with_write_data`]. Answers can be read: [`answered`], [`Data::to_vec`](crate::Data::to_vec),
/// [`entries`](super::entries).
///
/// There is no request, so that [`Context::defer`] panics, nobody is interrupted, and
/// [`Context::groups`] fails; for these, and for `init`, there is the [`Wire`](super::Wire). The lock's statistics take
/// the call for one of `init`.
pub struct Handlers<F: Filesystem> {
    fs: F,
    lock: F::Lock,
    caller: Caller,
}

impl<F: Filesystem> Handlers<F> {
    /// The handlers of `fs`, which run with `lock` held; the caller is root, of no process.
    pub fn new(fs: F, lock: F::Lock) -> Self {
        Self {
            fs,
            lock,
            caller: Caller::default(),
        }
    }

    /// The process that calls, as handlers see it.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// The file system.
    pub fn fs(&self) -> &F {
        &self.fs
    }

    /// Its lock, for other threads to take.
    pub fn lock(&self) -> &F::Lock {
        &self.lock
    }

    /// Takes the lock, and runs `call` with it, which calls handlers.
    ///
    /// # Panics
    ///
    /// When this thread holds the lock.
    #[track_caller]
    pub fn call<'a, R>(&'a self, call: impl FnOnce(&'a F, &mut Context<'_, F>) -> R) -> R {
        let mut duty = Duty::None(self.caller);
        let guard = match self.lock.enter(Operation::Init, Library(())) {
            Ok(guard) => guard,
            Err(error) => panic!("{error}"),
        };
        let asked = Asked::of(Ino(0));
        let mut cx = Context::new(guard, &mut duty, &asked, None);
        call(&self.fs, &mut cx)
    }

    /// The file system, and its lock.
    pub fn into_inner(self) -> (F, F::Lock) {
        (self.fs, self.lock)
    }
}

impl<F: Filesystem> fmt::Debug for Handlers<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// What a handler answered, or the error that it returned: what can be compared.
///
/// # Errors
///
/// The handler's.
///
/// # Panics
///
/// When it deferred its answer.
#[track_caller]
pub fn answered<T>(answer: Answer<T>) -> Result<T, Errno> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(Unanswered::Errno(errno)) => Err(errno),
        Err(Unanswered::Deferred(_)) => panic!("the answer was deferred"),
    }
}

/// Calls `write` with `data` in memory, for [`write_buf`](Filesystem::write_buf).
pub fn with_write_data<R>(data: &[u8], write: impl FnOnce(WriteData<'_>) -> R) -> R {
    let mut bufs = sys::FUSE_BUFVEC_INIT(data.len());
    // It is read from only.
    bufs.buf[0].mem = data.as_ptr().cast_mut().cast();
    // SAFETY: `bufs` has one buffer, of as many bytes as `data` has; both live until this returns, and nobody else uses it.
    let data = unsafe { WriteData::borrow(&raw mut bufs) };
    write(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_data_are_what_was_given() {
        with_write_data(b"some bytes", |mut data| {
            assert_eq!(
                (data.len(), data.as_slice()),
                (10, Some(&b"some bytes"[..]))
            );
            let mut room = [0; 4];
            assert_eq!(data.read_into(&mut room).unwrap(), 4);
            assert_eq!(&room, b"some");
            assert_eq!(data.bytes().unwrap(), b" bytes");
        });
        with_write_data(b"", |data| assert!(data.is_empty()));
    }
}
