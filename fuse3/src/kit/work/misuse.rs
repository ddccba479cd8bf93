//! Misuses of the queue that do not compile, each with its twin, as in `lock/misuse.rs`. Compiled for its doctests only.

/// w01: A handler waits for room with the global lock held, which the workers want before they take the next item.
///
/// ```compile_fail,E0277
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::work_queue;
/// let lock = GlobalLock::new(());
/// let (sender, receiver) = work_queue(1);
/// let mut fs = lock.lock().unwrap();
/// sender.send(1, &mut fs).unwrap();
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::work_queue;
/// let lock = GlobalLock::new(());
/// let (sender, receiver) = work_queue(1);
/// let mut fs = lock.lock().unwrap();
/// fs.released(|proof| sender.send(1, proof)).unwrap();
/// ```
mod w01 {}

/// w02: A worker waits for the next item before it has released the lock.
///
/// ```compile_fail,E0499
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::work_queue;
/// let lock = GlobalLock::new(0);
/// let (sender, receiver) = work_queue(1);
/// # sender.try_send(1).unwrap();
/// # sender.close();
/// lock.unlocked(|proof| {
///     while let Some(number) = receiver.recv(proof) {
///         let mut fs = proof.lock();
///         *fs += number;
///         receiver.recv(proof);
///         drop(fs);
///     }
/// });
/// ```
///
/// ```
/// # use fuse3::GlobalLock;
/// # use fuse3::kit::work_queue;
/// let lock = GlobalLock::new(0);
/// let (sender, receiver) = work_queue(1);
/// # sender.try_send(1).unwrap();
/// # sender.close();
/// lock.unlocked(|proof| {
///     while let Some(number) = receiver.recv(proof) {
///         let mut fs = proof.lock();
///         *fs += number;
///         drop(fs);
///         receiver.recv(proof);
///     }
/// });
/// ```
mod w02 {}
