//! Misuses of handlers and sessions that do not compile.
//!
//! As in `lock/misuse.rs` each is followed by its twin, which compiles and differs in the misuse alone. It is compiled for
//! its doctests only.

/// c13: A handler answers with a reference into the state, which is other threads' once the lock is released.
///
/// ```compile_fail
/// # use fuse3::{Answer, Context, Data, FileInfo, Filesystem, GlobalLock, Ino, ReadBuf};
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<Vec<u8>>>;
///
///     fn read(&self, cx: &mut Context<'_, Self>, _: Ino, _: &FileInfo, _: u64, out: ReadBuf) -> Answer<Data<'_>> {
///         Ok(out.lend(cx))
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Context, Data, FileInfo, Filesystem, GlobalLock, Ino, ReadBuf};
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<Vec<u8>>>;
///
///     fn read(&self, cx: &mut Context<'_, Self>, _: Ino, _: &FileInfo, _: u64, out: ReadBuf) -> Answer<Data<'_>> {
///         Ok(out.copy_from(cx))
///     }
/// }
/// ```
mod c13 {}

/// c14: A deferred request is answered twice.
///
/// ```compile_fail,E0382
/// # use fuse3::{Entry, Errno, Reply};
/// fn answer(reply: Reply<Entry>) {
///     reply.send(Err(Errno::ENOENT.into()));
///     reply.send(Err(Errno::EIO.into()));
/// }
/// ```
///
/// ```
/// # use fuse3::{Entry, Errno, Reply};
/// fn answer(reply: Reply<Entry>) {
///     reply.send(Err(Errno::ENOENT.into()));
/// }
/// ```
mod c14 {}

/// c14b: A handler both answers and defers.
///
/// ```compile_fail,E0308
/// # use fuse3::{Answer, Concurrent, Context, Filesystem, Ino};
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         let (reply, deferred) = cx.defer::<()>();
///         std::thread::spawn(move || reply.send(Ok(())));
///         Ok(deferred)
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Concurrent, Context, Filesystem, Ino};
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         let (reply, deferred) = cx.defer::<()>();
///         std::thread::spawn(move || reply.send(Ok(())));
///         Err(deferred.into())
///     }
/// }
/// ```
mod c14b {}

/// c14c: A handler defers another kind of answer than its own.
///
/// ```compile_fail,E0277
/// # use fuse3::{Answer, Concurrent, Context, Entry, Filesystem, Ino};
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
///         let (reply, deferred) = cx.defer::<()>();
/// #       drop(reply);
///         Err(deferred.into())
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Concurrent, Context, Entry, Filesystem, Ino};
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn lookup(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<Entry> {
///         let (reply, deferred) = cx.defer::<Entry>();
/// #       drop(reply);
///         Err(deferred.into())
///     }
/// }
/// ```
mod c14c {}

/// c15: A session is run again, or after its end.
///
/// ```compile_fail,E0382
/// # use fuse3::{Filesystem, Session};
/// fn main_loop<F: Filesystem>(session: Session<F>) -> std::io::Result<()> {
///     session.run()?;
///     session.run()?;
///     Ok(())
/// }
/// ```
///
/// ```
/// # use fuse3::{Filesystem, Session};
/// fn main_loop<F: Filesystem>(session: Session<F>) -> std::io::Result<()> {
///     session.run()?;
///     Ok(())
/// }
/// ```
mod c15 {}

/// c12b: A future holds the global lock across an await.
///
/// ```compile_fail
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// struct Fs {
///     lock: Arc<GlobalLock<u32>>,
/// }
///
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         cx.spawn(|fs: Arc<Self>| async move {
///             let mut state = fs.lock.lock().unwrap();
///             tokio::task::yield_now().await;
///             *state += 1;
///             Ok(())
///         })
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// struct Fs {
///     lock: Arc<GlobalLock<u32>>,
/// }
///
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         cx.spawn(|fs: Arc<Self>| async move {
///             tokio::task::yield_now().await;
///             let mut state = fs.lock.lock().unwrap();
///             *state += 1;
///             Ok(())
///         })
///     }
/// }
/// ```
#[cfg(feature = "tokio")]
mod c12b {}

/// c12c: A future keeps what the request lends to the handler.
///
/// ```compile_fail,E0521
/// # use fuse3::{Answer, Concurrent, Context, Filesystem, Ino};
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<()> {
///         cx.spawn(|_| async move {
///             drop(name);
///             Ok(())
///         })
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Concurrent, Context, Filesystem, Ino};
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, name: &OsStr) -> Answer<()> {
///         let name = name.to_owned();
///         cx.spawn(|_| async move {
///             drop(name);
///             Ok(())
///         })
///     }
/// }
/// ```
#[cfg(feature = "tokio")]
mod c12c {}

/// c12d: A future of the single thread keeps a reference into the state across an await.
///
/// ```compile_fail
/// # use fuse3::{Answer, Context, Filesystem, Ino};
/// # use fuse3::tasks::Local;
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Local<Vec<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         cx.spawn_local(|_, mut state| async move {
///             let first = state.with(|all| all.first());
///             tokio::task::yield_now().await;
///             drop(first.copied());
///             Ok(())
///         })
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Context, Filesystem, Ino};
/// # use fuse3::tasks::Local;
/// # use std::ffi::OsStr;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Local<Vec<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         cx.spawn_local(|_, mut state| async move {
///             let first = state.with(|all| all.first().copied());
///             tokio::task::yield_now().await;
///             drop(first);
///             Ok(())
///         })
///     }
/// }
/// ```
#[cfg(feature = "tokio")]
mod c12d {}

/// c12e: The state of the single thread is taken to another one.
///
/// ```compile_fail,E0277
/// # use fuse3::tasks::LocalState;
/// fn elsewhere(mut state: LocalState<u32>) {
///     std::thread::spawn(move || state.with(|it| *it += 1));
/// }
/// ```
///
/// ```
/// # use fuse3::tasks::LocalState;
/// fn elsewhere(mut state: LocalState<u32>) {
///     state.with(|it| *it += 1);
/// }
/// ```
#[cfg(feature = "tokio")]
mod c12e {}

/// c16: A handler releases the lock and does not take it again: llfuse's `lock.release()`.
///
/// ```compile_fail,E0599
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         cx.release();
///         Ok(())
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         cx.released(|_| ());
///         Ok(())
///     }
/// }
/// ```
mod c16 {}

/// c16b: A handler that is given the state alone releases the lock; it would have to be given the guard.
///
/// ```compile_fail,E0308
/// # use fuse3::{Context, Filesystem, GlobalLock, Locked};
/// # use std::sync::Arc;
/// # struct Fs;
/// # impl Filesystem for Fs { type Lock = Arc<GlobalLock<u32>>; }
/// fn evict(cache: &mut Locked<'_, u32>) { cache.released(|_| ()) }
/// fn insert(cache: &mut u32) { evict(cache) }
/// fn handler(cx: &mut Context<'_, Fs>) { insert(cx) }
/// ```
///
/// ```
/// # use fuse3::{Context, Filesystem, GlobalLock, Locked};
/// # use std::sync::Arc;
/// # struct Fs;
/// # impl Filesystem for Fs { type Lock = Arc<GlobalLock<u32>>; }
/// fn evict(cache: &mut Locked<'_, u32>) { cache.released(|_| ()) }
/// fn insert(cache: &mut u32) { *cache += 1 }
/// fn handler(cx: &mut Context<'_, Fs>) { insert(cx); evict(cx) }
/// ```
mod c16b {}

/// c01, in a handler: a reference into the state is kept across `released`.
///
/// ```compile_fail,E0499
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<Vec<u32>>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         let first = cx.iter_mut().next();
///         cx.released(|_| ());
///         drop(first);
///         Ok(())
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<Vec<u32>>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         let first = cx.iter_mut().next();
///         drop(first);
///         cx.released(|_| ());
///         Ok(())
///     }
/// }
/// ```
mod c01 {}

/// c20: A handler takes the lock that it holds: it is not given the lock, only the guard.
///
/// ```compile_fail,E0599
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         **cx.lock() += 1;
///         Ok(())
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Context, Filesystem, GlobalLock, Ino};
/// # use std::ffi::OsStr;
/// # use std::sync::Arc;
/// # struct Fs;
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<u32>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr) -> Answer<()> {
///         ***cx += 1;
///         Ok(())
///     }
/// }
/// ```
mod c20 {}
