//! Answers to requests that came over io_uring.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::base::{cancel::Uncancelled, os::spawn};
use crate::conn::{conn::Conn, pending::Parcel, request::Request};

/// A thread of libfuse that serves a ring: there is one for each processor.
///
/// Three things about it decide how a deferred answer leaves (lib/fuse_uring.c of libfuse, io_uring/cancel.c of Linux):
///
/// - The thread has `ring_lock` while it handles requests, and every other thread that answers one of the ring needs it. So
///   whoever gives an answer must not send it itself: the handler may be waiting for a lock that the answering thread has.
/// - With an answer the next request is asked for, and the kernel takes back what a thread has asked for when that thread
///   ends. So answers leave from a thread that lasts as long as the ring: its own, or a helper that waits for `ring_lock`.
/// - A request is memory of its ring, which libfuse frees once the thread has ended. So the thread waits, before it ends, for
///   its helper and for C code.
#[derive(Default)]
pub(crate) struct Ring {
    outbox: Mutex<Outbox>,
    filled: Condvar,
}

#[derive(Default)]
struct Outbox {
    parcels: VecDeque<(Request, Parcel)>,
    helper: Option<JoinHandle<()>>,
    closed: bool,
}

/// Dropped when its thread ends: libfuse cancels it, and both ways to end run destructors before pthread_join(3) returns.
struct Here {
    ring: Arc<Ring>,
    conn: Arc<Conn>,
}

thread_local! {
    static HERE: OnceCell<Here> = const { OnceCell::new() };
}

impl Ring {
    /// That of the calling thread, which is one of libfuse's for io_uring, of this connection, and serves a request.
    pub(super) fn here(conn: &Arc<Conn>) -> Arc<Self> {
        HERE.with(|here| {
            let here = here.get_or_init(|| Here {
                ring: Arc::default(),
                conn: Arc::clone(conn),
            });
            Arc::clone(&here.ring)
        })
    }

    /// The calling thread is the ring's own, which has `ring_lock` or does not need it.
    pub(super) fn is_here(&self) -> bool {
        let is_here = HERE.try_with(|here| {
            let here = here.get();
            here.is_some_and(|here| std::ptr::eq(&raw const *here.ring, self))
        });
        is_here.unwrap_or(false)
    }

    /// Has the helper send it. After an error it is sent when a helper could be started, at the latest when the ring ends.
    pub(super) fn post(self: &Arc<Self>, request: Request, parcel: Parcel) -> io::Result<()> {
        let mut outbox = self.outbox.lock();
        outbox.parcels.push_back((request, parcel));
        if outbox.helper.is_none() {
            let ring = Arc::clone(self);
            outbox.helper = Some(spawn("fuse3-ring", move || ring.send_all())?);
        }
        drop(outbox);
        self.filled.notify_one();
        Ok(())
    }

    /// Sends what there is and what comes, until the ring is closed.
    fn send_all(&self) {
        let mut outbox = self.outbox.lock();
        loop {
            while let Some((request, parcel)) = outbox.parcels.pop_front() {
                drop(outbox);
                parcel(request, false);
                outbox = self.outbox.lock();
            }
            if outbox.closed {
                return;
            }
            self.filled.wait(&mut outbox);
        }
    }

    /// Returns when everything has been sent. Nothing is posted any more.
    fn close(&self) {
        let mut outbox = self.outbox.lock();
        outbox.closed = true;
        let helper = outbox.helper.take();
        drop(outbox);
        self.filled.notify_one();
        match helper {
            // Parcels catch what the application panics with.
            Some(helper) => drop(helper.join()),
            // What no helper could be started for.
            None => self.send_all(),
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // For good: a thread that has ended by itself is cancelled all the same, and must not be where it waits, with nothing
        // left to unwind.
        mem::forget(Uncancelled::new());
        self.conn.pending.ring_ends(&self.ring);
        self.ring.close();
    }
}
