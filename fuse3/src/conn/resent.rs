//! What libfuse's loop is not to read: INIT, which is kept for a successor of the session, and requests that the kernel sends
//! again, whose handlers are told so.
//!
//! libfuse tells no handler the number of its request, in which the kernel marks a repetition. So they are read here, before the
//! loop begins, and given to libfuse on threads that know.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread::{self, Scope};

use parking_lot::{Condvar, Mutex};

use crate::base::log;
use crate::conn::{conn::Conn, drain::resend, incoming::Incoming, incoming::Message};
use crate::sys;

thread_local! {
    /// The request that this thread serves has been sent before.
    static IS_RESENT: Cell<bool> = const { Cell::new(false) };
}

/// How often a session that waits for INIT looks whether it was told to end, in milliseconds.
const PATIENCE: i32 = 20;

/// Whether the request that this thread serves has been sent before.
pub(crate) fn is_resent() -> bool {
    IS_RESENT.get()
}

/// How many threads serve, of those that may.
#[derive(Default)]
struct Places {
    taken: Mutex<u32>,
    free: Condvar,
}

impl Places {
    fn take(&self, most: u32) {
        let mut taken = self.taken.lock();
        self.free.wait_while(&mut taken, |taken| *taken >= most);
        *taken += 1;
    }

    fn give(&self) {
        *self.taken.lock() -= 1;
        self.free.notify_one();
    }
}

impl Conn {
    /// Waits for the first message, INIT, for [`process`](Self::process). `None` when the session is told to end before, and
    /// where nothing can be read, which the loop is to find out.
    pub(crate) fn first(&self) -> Option<Message> {
        while !self.is_over() {
            let pass = self.pass()?;
            let mut poll = libc::pollfd {
                fd: pass.descriptor(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: `poll` is one structure, and lives.
            let ready = unsafe { libc::poll(&raw mut poll, 1, PATIENCE) };
            if ready > 0 {
                let message = Incoming::of(pass.fd()).and_then(|mut incoming| incoming.next());
                match message {
                    Ok(None) => {}
                    message => return message.ok()?,
                }
            }
        }
        None
    }

    /// `fuse_session_process_buf()`: calls the handler on this thread. Only for whoever owns the session, and the threads that it
    /// waits for.
    pub(crate) fn process(&self, message: &mut Message) {
        let Some(session) = self.session() else {
            return;
        };
        let [mut buffer] = sys::FUSE_BUFVEC_INIT(message.len()).buf;
        buffer.mem = message.as_mut().as_mut_ptr().cast();
        // SAFETY: the session lives, since its owner waits for this call, and is mounted; `buffer` has as many bytes, aligned,
        // which live until this returns, and nothing of the request is used after its handler has returned.
        unsafe { sys::fuse_session_process_buf(session.as_ptr(), &raw const buffer) };
    }

    /// Has the kernel send what it has got no answer for once more, and begins to serve that, on threads of `scope`, up to
    /// `workers` at a time: such a request may wait for another. What comes after it is left to the loop.
    pub(crate) fn serve_again<'s>(
        self: &'s Arc<Self>,
        scope: &'s Scope<'s, '_>,
        workers: u32,
    ) -> io::Result<()> {
        let Some(pass) = self.pass() else {
            return Ok(());
        };
        // INIT was answered. A kernel that cannot says EINVAL, and nothing can be done about it.
        if resend(pass.descriptor()).is_err() {
            return Ok(());
        }
        let mut incoming = Incoming::of(pass.fd())?;
        let places = Arc::<Places>::default();
        // The kernel puts them before all others. Interrupts and what is forgotten come in between.
        loop {
            let message = match incoming.next() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                // It was unmounted, or nobody is at the other end, which the loop is to find out.
                Err(error)
                    if error.raw_os_error() == Some(libc::ENODEV)
                        || error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let is_last = message.is_answered() && !message.is_resent();
            places.take(workers);
            let message = Arc::new(Mutex::new(message));
            let (given, taken) = (Arc::clone(&message), Arc::clone(&places));
            let serve = move || {
                let mut message = given.lock();
                IS_RESENT.set(message.is_resent());
                self.process(&mut message);
                IS_RESENT.set(false);
                taken.give();
            };
            let thread = thread::Builder::new().name("fuse3-resent".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, serve) {
                log::warn!("requests that were sent again are served one after the other: {error}");
                self.process(&mut message.lock());
                places.give();
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
