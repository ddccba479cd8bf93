//! Misuses of the global lock that do not compile.
//!
//! llfuse can only ask its users not to. Each is followed by its twin, which
//! compiles and differs in the misuse alone, so that it is the misuse that is
//! refused. `rustdoc` of a nightly toolchain also checks that the error is the
//! one given; a lifetime that does not live long enough has no number.
//!
//! It is compiled for its doctests only.

/// c01: A mutable reference into the state is kept across `released`.
///
/// ```compile_fail,E0499
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1]);
/// let mut fs = lock.lock().unwrap();
/// let first = &mut fs[0];
/// fs.released(|_| ());
/// *first = 2;
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1]);
/// let mut fs = lock.lock().unwrap();
/// let first = &mut fs[0];
/// *first = 2;
/// fs.released(|_| ());
/// ```
mod c01 {}

/// c02: A shared reference is kept across it: S3QL's evicted inode.
///
/// ```compile_fail,E0502
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![String::from("inode")]);
/// let mut fs = lock.lock().unwrap();
/// let name = &fs[0];
/// fs.released(|_| ());
/// println!("{name}");
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![String::from("inode")]);
/// let mut fs = lock.lock().unwrap();
/// let name = &fs[0];
/// println!("{name}");
/// fs.released(|_| ());
/// ```
mod c02 {}

/// c03: The guard of a mutex in the state is kept across it.
///
/// ```compile_fail,E0502
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(std::sync::Mutex::new(1));
/// let mut fs = lock.lock().unwrap();
/// let inner = fs.lock().unwrap();
/// fs.released(|_| ());
/// drop(inner);
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(std::sync::Mutex::new(1));
/// let mut fs = lock.lock().unwrap();
/// let inner = fs.lock().unwrap();
/// drop(inner);
/// fs.released(|_| ());
/// ```
mod c03 {}

/// c04: A [`SubLock`](crate::lock::SubLock) outside the state is held across it:
/// llfuse's "prior locks".
///
/// ```compile_fail,E0502
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::SubLock;
/// # use std::sync::Arc;
/// let buffer = Arc::new(SubLock::new(1));
/// let lock = GlobalLock::new(());
/// let mut fs = lock.lock().unwrap();
/// let held = buffer.lock(&fs);
/// fs.released(|_| ());
/// drop(held);
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::SubLock;
/// # use std::sync::Arc;
/// let buffer = Arc::new(SubLock::new(1));
/// let lock = GlobalLock::new(());
/// let mut fs = lock.lock().unwrap();
/// let held = buffer.lock(&fs);
/// drop(held);
/// fs.released(|_| ());
/// ```
mod c04 {}

/// c05: The guard goes to another thread. The state may.
///
/// ```compile_fail,E0277
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// std::thread::scope(|threads| {
///     threads.spawn(|| drop(fs));
/// });
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// std::thread::scope(|threads| {
///     let state: &mut i32 = &mut fs;
///     threads.spawn(|| *state = 2);
/// });
/// ```
mod c05 {}

/// c06: A function that takes the state releases the lock. One that takes the
/// guard may.
///
/// ```compile_fail,E0599
/// # use fuse3::GlobalLock;
/// fn rename(fs: &mut Vec<u32>) {
///     fs.released(|_| ());
/// }
/// rename(&mut GlobalLock::new(Vec::new()).lock().unwrap());
/// ```
///
/// ```
/// # use fuse3::{GlobalLock, Locked};
/// fn rename(fs: &mut Locked<'_, Vec<u32>>) {
///     fs.released(|_| ());
/// }
/// rename(&mut GlobalLock::new(Vec::new()).lock().unwrap());
/// ```
mod c06 {}

/// c07: The state is used while the lock is released: Arvados 025e6f91c1.
///
/// ```compile_fail,E0499
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1]);
/// let mut fs = lock.lock().unwrap();
/// fs.released(|_| fs.push(2));
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1]);
/// let mut fs = lock.lock().unwrap();
/// fs.released(|_| ());
/// fs.push(2);
/// ```
mod c07 {}

/// c08: What would deadlock under the lock is called without the proof.
///
/// ```compile_fail,E0061
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::Unlocked;
/// /// As a blocking notification.
/// fn store<S>(_: &mut Unlocked<'_, S>, _data: &[u8]) {}
///
/// let lock = GlobalLock::new(vec![1]);
/// let mut fs = lock.lock().unwrap();
/// store(b"data");
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::Unlocked;
/// /// As a blocking notification.
/// fn store<S>(_: &mut Unlocked<'_, S>, _data: &[u8]) {}
///
/// let lock = GlobalLock::new(vec![1]);
/// let mut fs = lock.lock().unwrap();
/// fs.released(|unlocked| store(unlocked, b"data"));
/// ```
mod c08 {}

/// c09: The proof leaves the closure.
///
/// ```compile_fail
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// let mut kept = None;
/// fs.released(|unlocked| kept = Some(unlocked));
/// drop(kept);
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// let kept = fs.released(|unlocked| *unlocked.lock());
/// drop(kept);
/// ```
mod c09 {}

/// c09b: So does a guard that was taken through the proof.
///
/// ```compile_fail
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// let inner = fs.released(|unlocked| unlocked.lock());
/// drop(inner);
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// let inner = fs.released(|unlocked| *unlocked.lock());
/// drop(inner);
/// ```
mod c09b {}

/// c10: `released` inside `released`. Taking the lock and releasing it inside
/// may be.
///
/// ```compile_fail,E0499
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(());
/// let mut fs = lock.lock().unwrap();
/// fs.released(|_| fs.released(|_| ()));
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(());
/// let mut fs = lock.lock().unwrap();
/// fs.released(|unlocked| unlocked.lock().released(|_| ()));
/// ```
mod c10 {}

/// c11: `yield_` while the state is iterated over: S3QL's open cursor.
///
/// ```compile_fail,E0502
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1, 2]);
/// let mut fs = lock.lock().unwrap();
/// for row in fs.iter() {
///     fs.yield_(100);
///     println!("{row}");
/// }
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1, 2]);
/// let mut fs = lock.lock().unwrap();
/// for row in fs.clone() {
///     fs.yield_(100);
///     println!("{row}");
/// }
/// ```
mod c11 {}

/// c11b: `wait` while something of the state is borrowed.
///
/// ```compile_fail,E0502
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::Condvar;
/// # use std::time::Duration;
/// let event = Condvar::new();
/// let lock = GlobalLock::new(vec![1, 2]);
/// let mut fs = lock.lock().unwrap();
/// let last = fs.last();
/// fs.wait(&event, Some(Duration::ZERO));
/// println!("{last:?}");
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::Condvar;
/// # use std::time::Duration;
/// let event = Condvar::new();
/// let lock = GlobalLock::new(vec![1, 2]);
/// let mut fs = lock.lock().unwrap();
/// let last = fs.last();
/// println!("{last:?}");
/// fs.wait(&event, Some(Duration::ZERO));
/// ```
mod c11b {}

/// c12: The guard is held across an await in a future that changes threads.
///
/// ```compile_fail
/// # use fuse3::GlobalLock;
/// fn spawn(_: impl Future + Send) {}
///
/// let lock = GlobalLock::new(1);
/// spawn(async {
///     let fs = lock.lock().unwrap();
///     std::future::ready(()).await;
///     println!("{}", *fs);
/// });
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// fn spawn(_: impl Future + Send) {}
///
/// let lock = GlobalLock::new(1);
/// spawn(async {
///     let value = *lock.lock().unwrap();
///     std::future::ready(()).await;
///     println!("{value}");
/// });
/// ```
mod c12 {}

/// c17: The proof goes to another thread.
///
/// ```compile_fail,E0277
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(());
/// lock.unlocked(|unlocked| {
///     std::thread::scope(|threads| {
///         threads.spawn(|| drop(unlocked.lock()));
///     });
/// })
/// .unwrap();
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(());
/// lock.unlocked(|unlocked| {
///     std::thread::scope(|threads| {
///         threads.spawn(|| drop(lock.lock()));
///     });
///     drop(unlocked.lock());
/// })
/// .unwrap();
/// ```
mod c17 {}

/// c17b: So does a shared reference to the guard, as if that thread held the
/// lock.
///
/// ```compile_fail,E0277
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::SubLock;
/// let buffer = SubLock::new(1);
/// let lock = GlobalLock::new(1);
/// let fs = lock.lock().unwrap();
/// let held = &fs;
/// std::thread::scope(|threads| {
///     threads.spawn(|| drop(buffer.lock(held)));
/// });
/// drop(buffer.lock(held));
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::SubLock;
/// let buffer = SubLock::new(1);
/// let lock = GlobalLock::new(1);
/// let fs = lock.lock().unwrap();
/// let held = &fs;
/// std::thread::scope(|threads| {
///     let state: &i32 = held;
///     threads.spawn(move || println!("{state}"));
/// });
/// drop(buffer.lock(held));
/// ```
mod c17b {}

/// c17c: So does the guard of a [`SubLock`](crate::lock::SubLock).
///
/// ```compile_fail,E0277
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::SubLock;
/// let buffer = SubLock::new(1);
/// let lock = GlobalLock::new(());
/// let fs = lock.lock().unwrap();
/// let mut held = buffer.lock(&fs);
/// std::thread::scope(|threads| {
///     threads.spawn(|| drop(held));
/// });
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::SubLock;
/// let buffer = SubLock::new(1);
/// let lock = GlobalLock::new(());
/// let fs = lock.lock().unwrap();
/// let mut held = buffer.lock(&fs);
/// std::thread::scope(|threads| {
///     let data: &mut i32 = &mut held;
///     threads.spawn(|| *data = 2);
/// });
/// ```
mod c17c {}

/// c17d: So does the guard of a [`sync::Mutex`](crate::lock::sync::Mutex).
///
/// ```compile_fail,E0277
/// # use fuse3::lock::sync;
/// let mutex = sync::Mutex::new(1);
/// let mut held = mutex.lock();
/// std::thread::scope(|threads| {
///     threads.spawn(|| drop(held));
/// });
/// ```
///
/// ```
/// # use fuse3::lock::sync;
/// let mutex = sync::Mutex::new(1);
/// let mut held = mutex.lock();
/// std::thread::scope(|threads| {
///     let data: &mut i32 = &mut held;
///     threads.spawn(|| *data = 2);
/// });
/// ```
mod c17d {}

/// c18b: The proof is used after the lock was taken again. A shared one would
/// let that through.
///
/// ```compile_fail,E0499
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::Unlocked;
/// /// As a blocking notification.
/// fn store<S>(_: &mut Unlocked<'_, S>) {}
///
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// fs.released(|unlocked| {
///     let inner = unlocked.lock();
///     store(unlocked);
///     drop(inner);
/// });
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::lock::Unlocked;
/// /// As a blocking notification.
/// fn store<S>(_: &mut Unlocked<'_, S>) {}
///
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// fs.released(|unlocked| {
///     let inner = unlocked.lock();
///     drop(inner);
///     store(unlocked);
/// });
/// ```
mod c18b {}

/// c21: The lock is taken twice with one proof.
///
/// ```compile_fail,E0499
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// lock.unlocked(|unlocked| {
///     let first = unlocked.lock();
///     let second = unlocked.lock();
///     drop(first);
///     drop(second);
/// })
/// .unwrap();
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(1);
/// lock.unlocked(|unlocked| {
///     let first = unlocked.lock();
///     drop(first);
///     let second = unlocked.lock();
///     drop(second);
/// })
/// .unwrap();
/// ```
mod c21 {}

/// c22: The proofs of two locks are exchanged.
///
/// ```compile_fail
/// # use fuse3::GlobalLock;
/// let (first, second) = (GlobalLock::new(1), GlobalLock::new(2));
/// first
///     .unlocked(|one| {
///         second.unlocked(|two| {
///             std::mem::swap(one, two);
///         })
///     })
///     .unwrap()
///     .unwrap();
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let (first, second) = (GlobalLock::new(1), GlobalLock::new(2));
/// first
///     .unlocked(|one| {
///         second.unlocked(|two| {
///             let value = *two.lock(); // one lock at a time
///             *one.lock() = value;
///         })
///     })
///     .unwrap()
///     .unwrap();
/// ```
mod c22 {}

/// c23: What must not release the lock does: S3QL 1637d74d. It is given the
/// state instead of the guard.
///
/// ```compile_fail,E0599
/// # use fuse3::{GlobalLock, Locked};
/// fn atomically(fs: &mut Locked<'_, Vec<u32>>, block: impl FnOnce(&mut Vec<u32>)) {
///     block(fs);
/// }
///
/// let lock = GlobalLock::new(Vec::new());
/// let mut fs = lock.lock().unwrap();
/// atomically(&mut fs, |state| drop(state.yield_(1)));
/// fs.yield_(1);
/// ```
///
/// ```
/// # use fuse3::{GlobalLock, Locked};
/// fn atomically(fs: &mut Locked<'_, Vec<u32>>, block: impl FnOnce(&mut Vec<u32>)) {
///     block(fs);
/// }
///
/// let lock = GlobalLock::new(Vec::new());
/// let mut fs = lock.lock().unwrap();
/// atomically(&mut fs, |state| state.push(1));
/// fs.yield_(1);
/// ```
mod c23 {}

/// c24: A reference into the state outlives the guard.
///
/// ```compile_fail,E0597
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1]);
/// let first: &u32;
/// {
///     let fs = lock.lock().unwrap();
///     first = &fs[0];
/// }
/// println!("{first}");
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// let lock = GlobalLock::new(vec![1]);
/// let first: u32;
/// {
///     let fs = lock.lock().unwrap();
///     first = fs[0];
/// }
/// println!("{first}");
/// ```
mod c24 {}

/// c25: The state is changed through a guard that is only borrowed.
///
/// ```compile_fail,E0596
/// # use fuse3::{GlobalLock, Locked};
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// let look = |fs: &Locked<'_, i32>| **fs = 2;
/// look(&fs);
/// *fs = 3;
/// ```
///
/// ```
/// # use fuse3::{GlobalLock, Locked};
/// let lock = GlobalLock::new(1);
/// let mut fs = lock.lock().unwrap();
/// let look = |fs: &Locked<'_, i32>| println!("{}", **fs);
/// look(&fs);
/// *fs = 3;
/// ```
mod c25 {}
