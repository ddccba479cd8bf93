//! What a panic of the file system does to its session.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::base::log;
use crate::base::panic::{discard, nested, text};
use crate::conn::conn::{Conn, TROUBLE};
use crate::conn::interrupt::Callback;
use crate::lock::meter;

/// What becomes of a session when one of its handlers panics. In any case the caller gets EIO, the lock is released, and the
/// worker goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPanic {
    /// The session ends, and [`Session::run`](crate::Session::run) resumes the panic, as llfuse does.
    #[default]
    End,
    /// The same, but the mount point stays, and fails with ENOTCONN, as with
    /// [`Builder::keep_mounted`](crate::Builder::keep_mounted). Programs that use llfuse do so after a crash, so that nobody (a
    /// backup, say) takes the empty directory below for the file system.
    EndMounted,
    /// The session goes on.
    Continue,
    /// The state may be broken: the session goes on, and answers every request with EIO until
    /// [`Handle::clear_poison`](crate::Handle::clear_poison). Handlers are not called meanwhile, and neither are those that
    /// waited for the lock when it happened. `forget`, `release`, `releasedir` and `destroy` are the exceptions, since the
    /// kernel gives back by them what it has.
    Poison,
}

/// Why a session ended by itself.
pub(crate) enum Trouble {
    /// A handler panicked with this.
    Panic(Box<dyn Any + Send>),
    /// `init` failed.
    Init(io::Error),
}

/// The policy, and the first trouble that there was.
#[derive(Default)]
pub(super) struct Troubles {
    pub(super) on_panic: OnPanic,
    first: Mutex<Option<Trouble>>,
}

/// See [`Conn::enclose`].
pub(crate) struct Enclosed<'c> {
    conn: &'c Conn,
    /// A panic poisons the session.
    pub(crate) poisons: bool,
}

impl Drop for Enclosed<'_> {
    fn drop(&mut self) {
        if self.poisons && thread::panicking() {
            self.conn.set_poisoned(true);
        }
        meter::given();
    }
}

impl Conn {
    /// Runs code of the file system. A panic ends here: it is counted, and by policy ends the session.
    #[inline]
    pub(crate) fn guarded<R>(&self, what: &dyn fmt::Display, run: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(run))
            .map_err(|payload| self.panicked(what, payload))
            .ok()
    }

    /// What is to be called when a request is interrupted: `run`, a panic of which is one of a handler.
    pub(crate) fn callback(self: &Arc<Self>, run: impl FnOnce() + Send + 'static) -> Arc<Callback> {
        let conn = Arc::clone(self);
        Callback::new(move || {
            conn.guarded(&"an interrupt callback", run);
        })
    }

    /// Code of the file system, called `what` in the log, has panicked with `payload`.
    #[cold]
    pub(crate) fn panicked(&self, what: &dyn fmt::Display, payload: Box<dyn Any + Send>) {
        self.counters().panics(1 + nested());
        log::error!("{what} panicked: {}", text(&*payload));
        match self.troubles.on_panic {
            OnPanic::End | OnPanic::EndMounted => self.trouble(Trouble::Panic(payload)),
            OnPanic::Continue => discard(payload),
            OnPanic::Poison => {
                self.set_poisoned(true);
                log::error!("every request gets EIO from now on, until Handle::clear_poison");
                discard(payload);
            }
        }
    }

    /// The session ends for this, unless it ends for something else already.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        let mut first = self.troubles.first.lock();
        let other = match &*first {
            None => first.replace(trouble),
            Some(_) => Some(trouble),
        };
        drop(first);
        if let Some(other) = other {
            log::warn!(
                "the session is ending for an earlier panic or error; this one is not returned"
            );
            discard(other);
        }
        self.end(TROUBLE);
    }

    pub(crate) fn is_in_trouble(&self) -> bool {
        self.troubles.first.lock().is_some()
    }

    pub(crate) fn take_trouble(&self) -> Option<Trouble> {
        self.troubles.first.lock().take()
    }

    /// The session is to be left mounted, since it ends by a panic.
    pub(crate) fn ends_mounted(&self) -> bool {
        let troubles = &self.troubles;
        troubles.on_panic == OnPanic::EndMounted
            && matches!(&*troubles.first.lock(), Some(Trouble::Panic(_)))
    }

    /// While the result lives, with the lock held, a panic poisons the session, and the time for which the lock is held is taken.
    /// `None` unless policy or an observer wants that.
    #[inline(always)]
    pub(crate) fn enclose(&self, is_lock: bool) -> Option<Enclosed<'_>> {
        if self.encloses {
            Some(self.enclosed(is_lock))
        } else {
            None
        }
    }

    #[cold]
    fn enclosed(&self, is_lock: bool) -> Enclosed<'_> {
        if is_lock {
            meter::taken();
        }
        Enclosed {
            conn: self,
            poisons: self.troubles.on_panic == OnPanic::Poison,
        }
    }
}
