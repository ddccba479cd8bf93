//! Requests whose answers were taken away from their handlers.

use std::collections::{HashMap, hash_map::Entry};
use std::mem;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::base::{log, panic::discard};
use crate::conn::interruption::Standing;
use crate::conn::{conn::Conn, interrupt::Interrupts, request::Request, ring::Ring};
use crate::observe::record::Record;
use crate::sys;
use crate::types::errno::Errno;

/// After so long, the log says what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What sends an answer, which is told whether it does so on the worker that has handled the request.
pub(super) type Parcel = Box<dyn FnOnce(Request, bool) + Send>;

/// Which of the deferred requests of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// The deferred requests of a connection, which owns them: whoever is to answer has a [`Ticket`].
///
/// # Invariants
///
/// A request is here from [`Conn::defer`] on until it is answered; at the latest [`free_all`](Self::free_all) frees it, or
/// [`ring_ends`](Self::ring_ends), when it came over io_uring.
#[derive(Default)]
pub(crate) struct Pending {
    table: Mutex<Table>,
    /// C code has answered.
    returned: Condvar,
}

#[derive(Default)]
struct Table {
    last: u64,
    held: HashMap<Ticket, Held>,
    /// Of requests that C code has answered before their handlers have returned, and that are observed.
    answered: HashMap<Ticket, Record>,
    closed_to_c: bool,
}

struct Held {
    request: Request,
    /// Of a request that came over io_uring.
    ring: Option<Arc<Ring>>,
    /// Its handler has returned. Until then it may be using what the request has, and an answer waits.
    is_handled: bool,
    by: By,
}

/// Who answers a request.
enum By {
    /// Whoever has the ticket.
    Ticket,
    /// Somebody has answered it, while its handler had not returned.
    Parcel(Parcel),
    /// C code, which answers by itself.
    C,
}

impl Conn {
    /// Takes over a request, whose handler has not returned.
    pub(crate) fn defer(self: &Arc<Self>, request: Request) -> Ticket {
        let ring = request.is_uring().then(|| Ring::here(self));
        let mut table = self.pending.table.lock();
        table.last += 1;
        let ticket = Ticket(table.last);
        let held = Held {
            request,
            ring,
            is_handled: false,
            by: By::Ticket,
        };
        table.held.insert(ticket, held);
        ticket
    }

    /// The handler that deferred it has returned, on this thread, and nothing that it was given is in use any more: sends the
    /// answer, if there is one.
    pub(crate) fn handled(&self, ticket: Ticket) {
        if self.observers.is_some() {
            self.tell_handled(ticket);
        }
        let mut table = self.pending.table.lock();
        let Entry::Occupied(mut held) = table.held.entry(ticket) else {
            // C code has answered it.
            let record = table.answered.remove(&ticket);
            drop(table);
            if let Some(record) = record {
                record.ended(None, true);
            }
            return;
        };
        held.get_mut().is_handled = true;
        if !matches!(held.get().by, By::Parcel(_)) {
            return;
        }
        let Held { request, by, .. } = held.remove();
        drop(table);
        if let By::Parcel(parcel) = by {
            parcel(request, true);
        }
    }

    /// Tells observers that the handler has returned, before an answer can be sent.
    #[cold]
    fn tell_handled(&self, ticket: Ticket) {
        let mut table = self.pending.table.lock();
        let Table { held, answered, .. } = &mut *table;
        let held = held.get_mut(&ticket).and_then(|it| it.request.record());
        let record = held.or_else(|| answered.get_mut(&ticket));
        let handled = record.and_then(Record::stop);
        drop(table);
        if let Some(handled) = handled {
            handled.tell(true);
        }
    }

    /// Answers it by `send`. This waits for no handler: where the request's own has not returned, the answer leaves after it,
    /// and over io_uring it leaves from a thread of the library's. Where nobody waits any more, `send` is dropped; its
    /// destructor is the application's.
    pub(crate) fn answer(&self, ticket: Ticket, send: impl FnOnce(Request, bool) + Send + 'static) {
        let pass = self.pass();
        let mut table = self.pending.table.lock();
        let held = table.held.get_mut(&ticket);
        let Some(held) = held.filter(|_| pass.is_some()) else {
            drop(table);
            self.guarded(&"an answer", || drop(send));
            return;
        };
        if !held.is_handled {
            held.by = By::Parcel(Box::new(send));
            return;
        }
        let Some(Held { request, ring, .. }) = table.held.remove(&ticket) else {
            return;
        };
        match ring {
            Some(ring) if !ring.is_here() => {
                // With the table locked: the ring does not end in between.
                let posted = ring.post(request, Box::new(send));
                drop(table);
                if let Err(error) = posted {
                    log::error!(
                        "answers over io_uring wait, since no thread could be started: {error}"
                    );
                }
            }
            _ => {
                drop(table);
                send(request, false);
            }
        }
    }

    /// `fuse_req_interrupted()` of a deferred request, or the session is over.
    pub(crate) fn is_interrupted(&self, ticket: Ticket) -> bool {
        let _pass = self.pass();
        if self.is_lost() {
            return true;
        }
        let table = self.pending.table.lock();
        let held = table.held.get(&ticket);
        let standing = held.map(|held| held.request.standing(&self.watch));
        drop(table);
        standing.is_some_and(Standing::counts)
    }

    /// Who is told of its interruption; `None` when it was answered.
    pub(crate) fn interrupts(&self, ticket: Ticket) -> Option<Arc<Interrupts>> {
        let _pass = self.pass()?;
        let mut table = self.pending.table.lock();
        let held = table.held.get_mut(&ticket)?;
        Some(Arc::clone(held.request.interrupts(&self.watch)))
    }

    /// From now on C code answers it, and [`close`](Self::close) waits for that; `None` when it is too late.
    pub(crate) fn lend(&self, ticket: Ticket) -> Option<NonNull<sys::fuse_req>> {
        let _pass = self.pass()?;
        let mut table = self.pending.table.lock();
        if table.closed_to_c {
            return None;
        }
        let held = table.held.get_mut(&ticket)?;
        held.by = By::C;
        let req = held.request.as_ptr();
        let told = held.request.forget_interrupts();
        drop(table);
        discard(told.map(|told| told.take()));
        NonNull::new(req)
    }

    /// C code has answered it, or says that it has; or gives it back.
    pub(crate) fn returned(&self, ticket: Ticket, is_answered: bool) {
        let mut table = self.pending.table.lock();
        let mut record = None;
        if is_answered {
            if let Some(mut held) = table.held.remove(&ticket) {
                record = held.request.take_record();
                held.request.abandon(None);
                if let Some(record) = record.take_if(|_| !held.is_handled) {
                    table.answered.insert(ticket, record);
                }
            }
        } else if let Some(held) = table.held.get_mut(&ticket) {
            held.by = By::Ticket;
        }
        drop(table);
        self.pending.returned.notify_all();
        if let Some(record) = record {
            record.ended(None, true);
        }
    }

    /// Waits until everything is answered, or the time is up: then forgets what is not, for the kernel to send again.
    ///
    /// # Errors
    ///
    /// How many requests there are that C code has, or that a kernel before 6.9 would not send again. They are kept.
    pub(crate) fn leave_unanswered(&self, patience: Duration) -> Result<(), usize> {
        let deadline = Instant::now() + patience;
        while !self.is_all_answered() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let mut table = self.pending.table.lock();
        let has_c = table.held.values().any(|held| matches!(held.by, By::C));
        if !table.held.is_empty() && (has_c || self.minor() < 40) {
            return Err(table.held.len());
        }
        let held = mem::take(&mut table.held);
        drop(table);
        free(held);
        Ok(())
    }

    /// No answer is outstanding.
    pub(crate) fn is_all_answered(&self) -> bool {
        self.pending.table.lock().held.is_empty()
    }
}

impl Pending {
    /// Waits until C code has answered everything that it was lent, and lends nothing any more.
    pub(super) fn close_to_c(&self) {
        let mut table = self.table.lock();
        table.closed_to_c = true;
        drop(self.wait_for_c(table, |_| true));
    }

    /// The calling thread, which is that of `ring`, ends, and its memory is freed after that: waits for C code, and answers
    /// to what was deferred what the kernel answers when the connection is closed.
    ///
    /// Nobody could answer any more, and the kernel would keep the clients waiting until the connection is closed; which a
    /// notification would keep open that waits for a directory or page of such a client.
    pub(super) fn ring_ends(&self, ring: &Arc<Ring>) {
        let its = |held: &Held| held.ring.as_ref().is_some_and(|it| Arc::ptr_eq(it, ring));
        let mut table = self.wait_for_c(self.table.lock(), its);
        let (gone, held) = mem::take(&mut table.held)
            .into_iter()
            .partition::<HashMap<_, _>, _>(|(_, held)| its(held));
        table.held = held;
        drop(table);
        for held in gone.into_values() {
            // Whether the client takes it or is gone makes no difference.
            let _ = held.request.err(Errno::ECONNABORTED);
        }
    }

    /// Waits until C code has none of the requests that `which` are meant.
    fn wait_for_c<'t>(
        &'t self,
        mut table: MutexGuard<'t, Table>,
        which: impl Fn(&Held) -> bool,
    ) -> MutexGuard<'t, Table> {
        let mut said = false;
        loop {
            let is_lent = |it: &&Held| matches!(it.by, By::C) && which(it);
            let count = table.held.values().filter(is_lent).count();
            if count == 0 {
                return table;
            }
            if said {
                self.returned.wait(&mut table);
            } else if self.returned.wait_for(&mut table, PATIENCE).timed_out() {
                said = true;
                // The logger is the application's, and may have to do with a RawReply.
                MutexGuard::unlocked(&mut table, || {
                    log::warn!(
                        "the session ends when the last RawReply is gone; there are still {count}"
                    );
                });
            }
        }
    }

    /// Nobody passes any more: frees what was deferred and not answered.
    pub(super) fn free_all(&self) {
        let held = mem::take(&mut self.table.lock().held);
        free(held);
    }
}

/// Frees requests that are not answered.
fn free(held: HashMap<Ticket, Held>) {
    for held in held.into_values() {
        if held.ring.is_some() {
            held.request.abandon(Some(Errno::ECONNABORTED));
        } else {
            held.request.none(Some(Errno::ECONNABORTED));
        }
    }
}
