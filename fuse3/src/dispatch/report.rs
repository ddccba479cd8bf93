use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use crate::dispatch::activity::Activity;
use crate::lock::{stats::LockStats, thread::Tid};
use crate::types::{ino::Ino, operation::Operation};

/// llfuse's `stacktrace`: what every thread of the process is about, and who has the global lock.
///
/// Take it when "the mount hangs", with [`Handle::report`](crate::Handle::report), and print it; or have it logged from
/// outside, see [`Builder::stacktrace`](crate::Builder::stacktrace).
///
/// ```text
/// thread 4699 "hello"
/// thread 4711 "fuse_worker": lookup of inode 1 for 2.31s
/// thread 4712 "fuse_worker": getattr of inode 7 for 2.30s
/// global lock: held by thread 4699 (no request) for 2.31s, taken at src/commit.rs:41:27; 2 waiting
///   thread 4711 (lookup) waits 2.31s
///   thread 4712 (getattr) waits 2.30s
/// ...
/// ```
///
/// It says where in the code the lock was taken, and where threads wait for it. Where the library took it for a handler, or
/// waits for it for one, it names the operation instead.
///
/// It has no call stacks: a thread's can be had on that thread only, and one that is stopped anywhere cannot be asked for
/// it safely. A debugger stops it from outside: `gdb -p PID -batch -ex 'thread apply all backtrace'`, or `eu-stack -p PID`;
/// the numbers here are those that they show.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The threads of the process, by number.
    pub threads: Vec<ReportedThread>,
    /// The global lock; `None` where there is none, and after the end of the session.
    pub lock: Option<LockStats>,
}

/// A thread in a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportedThread {
    /// Its number.
    pub thread: Tid,
    /// Its name: pthread_setname_np(3), [`std::thread::Builder::name`].
    pub name: String,
    /// The request of the session that it serves: the operation, the inode, for names that of the directory, and for how
    /// long. It has the lock, waits for it, or has released it. `None` unless [`Builder::stacktrace`] was set.
    ///
    /// [`Builder::stacktrace`]: crate::Builder::stacktrace
    pub serves: Option<(Operation, Ino, Duration)>,
}

impl Report {
    pub(crate) fn new(activity: Option<&Activity>, lock: Option<LockStats>) -> Self {
        let now = Instant::now();
        let threads = threads(|thread| {
            let (operation, ino, since) = activity?.of(thread)?;
            Some((operation, ino, now.saturating_duration_since(since)))
        });
        Self { threads, lock }
    }
}

/// What /proc says of the threads of this process; none without /proc.
fn threads(serves: impl Fn(Tid) -> Option<(Operation, Ino, Duration)>) -> Vec<ReportedThread> {
    let tasks = fs::read_dir("/proc/self/task");
    let mut threads: Vec<_> = tasks
        .into_iter()
        .flatten()
        .filter_map(|task| {
            let task = task.ok()?;
            let number = task.file_name().to_str()?.parse().ok()?;
            // Of one that has ended meanwhile there is none.
            let name = fs::read(task.path().join("comm")).ok()?;
            let thread = Tid::from_raw(number);
            Some(ReportedThread {
                thread,
                name: String::from_utf8_lossy(&name).trim_end().to_owned(),
                serves: serves(thread),
            })
        })
        .collect();
    threads.sort_by_key(|thread| thread.thread);
    threads
}

impl fmt::Display for ReportedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} {:?}", self.thread, self.name)?;
        if let Some((operation, ino, time)) = self.serves {
            write!(f, ": {operation} of inode {ino} for {time:.2?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.threads.iter().map(ReportedThread::to_string);
        f.write_str(&threads.collect::<Vec<_>>().join("\n"))?;
        if let Some(lock) = &self.lock {
            write!(f, "\n{lock}")?;
        }
        Ok(())
    }
}

/// What can be asked of a session from outside.
pub(crate) trait Reporting: Send + Sync {
    fn report(&self) -> Report;
}
