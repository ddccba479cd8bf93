//! Keyed locks: in order, for threads and tasks, with nothing left of keys that nobody has.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::kit::{KeyWait, KeyedLocks, OwnedKeyGuard};
use fuse3::{Concurrent, GlobalLock};

use deadline::{message, until, within_a_minute};

#[path = "../common/deadline.rs"]
mod deadline;

/// Takes a key on a thread of the test, which holds no global lock.
fn lock(locks: &KeyedLocks<u64>, key: u64) -> OwnedKeyGuard<u64> {
    Concurrent.unlocked(|proof| locks.lock(key, proof).into_owned())
}

fn until_waiting(locks: &KeyedLocks<u64>, key: u64, count: usize) {
    until(|| locks.waiters(&key) == count);
}

/// A waker that counts.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll(wait: &mut KeyWait<u64>, woken: &Arc<Woken>) -> Poll<OwnedKeyGuard<u64>> {
    let waker = Waker::from(Arc::clone(woken));
    Pin::new(wait).poll(&mut Context::from_waker(&waker))
}

/// A wait that is in the queue, and what tells that it was woken.
fn queued(locks: &KeyedLocks<u64>, key: u64) -> (KeyWait<u64>, Arc<Woken>) {
    let woken = Arc::new(Woken::default());
    let mut wait = locks.lock_async(key);
    assert!(poll(&mut wait, &woken).is_pending());
    (wait, woken)
}

fn ready(wait: &mut KeyWait<u64>) -> Option<OwnedKeyGuard<u64>> {
    match poll(wait, &Arc::default()) {
        Poll::Ready(guard) => Some(guard),
        Poll::Pending => None,
    }
}

struct Unparks(thread::Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// So many rounds, or as many as there are in some seconds: how long one takes is up to the machine.
fn rounds(count: u64) -> impl Iterator<Item = u64> {
    let start = Instant::now();
    (0..count).take_while(move |_| start.elapsed() < Duration::from_secs(5))
}

mod threads;

mod tasks;

mod order;
