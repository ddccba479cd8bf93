//! Misuses of keyed locks that do not compile.
//!
//! As in `lock/misuse.rs` each is followed by its twin, which compiles and differs in the misuse alone. It is compiled for
//! its doctests only.

/// k01: A thread waits for a key with the global lock held. Whoever has the key may be waiting for the global lock.
///
/// ```compile_fail,E0277
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::KeyedLocks;
/// let lock = GlobalLock::new(());
/// let inodes = KeyedLocks::new();
/// let mut fs = lock.lock().unwrap();
/// let key = inodes.lock(1, &mut fs);
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::KeyedLocks;
/// let lock = GlobalLock::new(());
/// let inodes = KeyedLocks::new();
/// let mut fs = lock.lock().unwrap();
/// let key = fs.released(|proof| inodes.lock(1, proof));
/// ```
mod k01 {}

/// k02: It waits after it took the global lock again.
///
/// ```compile_fail,E0499
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::KeyedLocks;
/// let lock = GlobalLock::new(1);
/// let inodes = KeyedLocks::new();
/// let mut fs = lock.lock().unwrap();
/// fs.released(|proof| {
///     let mut again = proof.lock();
///     let key = inodes.lock(1, proof);
///     *again = 2;
/// });
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::KeyedLocks;
/// let lock = GlobalLock::new(1);
/// let inodes = KeyedLocks::new();
/// let mut fs = lock.lock().unwrap();
/// fs.released(|proof| {
///     let key = inodes.lock(1, proof);
///     let mut again = proof.lock();
///     *again = 2;
/// });
/// ```
mod k02 {}

/// k03: A guard goes to another thread without saying so.
///
/// ```compile_fail,E0277
/// # use fuse3::kit::KeyedLocks;
/// let inodes = KeyedLocks::new();
/// let key = inodes.try_lock(1).unwrap();
/// std::thread::spawn(move || drop(key));
/// ```
///
/// ```
/// # use fuse3::kit::KeyedLocks;
/// let inodes = KeyedLocks::new();
/// let key = inodes.try_lock(1).unwrap().into_owned();
/// std::thread::spawn(move || drop(key));
/// ```
mod k03 {}

/// k04: A handler under the global lock gives its context for a proof. One without a lock may.
///
/// ```compile_fail,E0271
/// # use fuse3::{Answer, Concurrent, Context, Filesystem, GlobalLock, Ino};
/// # use fuse3::kit::KeyedLocks;
/// # use std::{ffi::OsStr, sync::Arc};
/// struct Fs(KeyedLocks<Ino>);
///
/// impl Filesystem for Fs {
///     type Lock = Arc<GlobalLock<()>>;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, _: &OsStr) -> Answer<()> {
///         drop(self.0.lock(parent, cx));
///         Ok(())
///     }
/// }
/// ```
///
/// ```
/// # use fuse3::{Answer, Concurrent, Context, Filesystem, GlobalLock, Ino};
/// # use fuse3::kit::KeyedLocks;
/// # use std::{ffi::OsStr, sync::Arc};
/// struct Fs(KeyedLocks<Ino>);
///
/// impl Filesystem for Fs {
///     type Lock = Concurrent;
///
///     fn unlink(&self, cx: &mut Context<'_, Self>, parent: Ino, _: &OsStr) -> Answer<()> {
///         drop(self.0.lock(parent, cx));
///         Ok(())
///     }
/// }
/// ```
mod k04 {}

/// k05: A task holds the guard of a thread across an `await`.
///
/// ```compile_fail
/// # use fuse3::kit::KeyedLocks;
/// fn spawn(task: impl Future<Output = ()> + Send) {}
/// spawn(async {
///     let key = KeyedLocks::new().try_lock(1).unwrap();
///     std::future::ready(()).await;
///     drop(key);
/// });
/// ```
///
/// ```
/// # use fuse3::kit::KeyedLocks;
/// fn spawn(task: impl Future<Output = ()> + Send) {}
/// spawn(async {
///     let key = KeyedLocks::new().lock_async(1).await;
///     std::future::ready(()).await;
///     drop(key);
/// });
/// ```
mod k05 {}
