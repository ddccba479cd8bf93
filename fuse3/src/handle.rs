use std::sync::{Arc, Weak};

use crate::control::{Control, TERMINATED};
use crate::notify::Hub;
use crate::report::Reporting;
use crate::stats::Counters;
use crate::{Agreement, Notifier, Report, SessionStats};

/// A handle on a session, from anywhere: cloned, sent, kept beyond its end.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) control: Arc<Control>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) notifications: Arc<Hub>,
    pub(crate) reporting: Weak<dyn Reporting>,
}

impl Handle {
    /// `fuse_session_exit()`, pyfuse3's `terminate`: makes [`Session::run`](crate::Session::run) return.
    ///
    /// From any thread, from a handler (which goes on, and is answered) and from a signal handler: it takes no lock and
    /// allocates nothing. Before `run` is called, it makes it return at once. After the end it does nothing.
    ///
    /// Handlers in flight run to their end, and are answered; so do [blocking notifications](crate::Blocking).
    pub fn terminate(&self) {
        self.control.end(TERMINATED);
    }

    /// A handler has panicked under [`OnPanic::Poison`](crate::OnPanic::Poison), and every request gets EIO.
    pub fn is_poisoned(&self) -> bool {
        self.control.is_poisoned()
    }

    /// Serves requests again: the state is sound, or has been repaired. Repair it and call this with the lock held, so that
    /// nobody comes in between.
    pub fn clear_poison(&self) {
        self.control.set_poisoned(false);
    }

    /// What tells the kernel that its caches are out of date.
    pub fn notifier(&self) -> Notifier {
        Notifier::new(Arc::clone(&self.notifications))
    }

    /// `struct fuse_conn_info`: what kernel and libfuse agreed on, above all what of it was granted.
    ///
    /// `None` before the kernel has sent a request after INIT, when libfuse has not settled it yet, and after the end of the
    /// session.
    pub fn connection(&self) -> Option<Agreement> {
        self.counters.settled().then(|| self.control.agreement())?
    }

    /// What the session has done so far.
    pub fn stats(&self) -> SessionStats {
        self.counters.stats()
    }

    /// What the threads of the process do, and who has the global lock: when "the mount hangs".
    ///
    /// It waits for no lock of the file system. Which request a thread serves it tells where
    /// [`Builder::stacktrace`](crate::Builder::stacktrace) was set.
    pub fn report(&self) -> Report {
        let session = self.reporting.upgrade();
        session.map_or_else(|| Report::new(None, None), |session| session.report())
    }
}
