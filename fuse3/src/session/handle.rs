use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use crate::conn::{conn::Conn, conn::TERMINATED, connection::Agreement, stats::SessionStats};
use crate::dispatch::{report::Report, report::Reporting};
use crate::notify::{hub::Hub, notifier::Notifier};
use crate::sys;

/// A handle on a session, from anywhere: cloned, sent, kept beyond its end.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) conn: Arc<Conn>,
    pub(crate) notifications: Arc<Hub>,
    pub(crate) reporting: Weak<dyn Reporting>,
}

impl Handle {
    /// `fuse_session_exit()`, pyfuse3's `terminate`: makes [`Session::run`](crate::Session::run) return.
    ///
    /// From any thread, from a handler (which goes on, and is answered) and from a signal handler: it takes no lock and
    /// allocates nothing. Before `run` is called, it makes it return at once. After the end it does nothing.
    ///
    /// Handlers in flight run to their end, and are answered; so do [blocking notifications](crate::notify::Blocking).
    pub fn terminate(&self) {
        self.conn.end(TERMINATED);
    }

    /// The session was told to end, by whomever: [`terminate`](Self::terminate), a signal, a panic, an unmount, `umount -f`. Or it
    /// has ended.
    ///
    /// From any thread, as often as one likes: it takes no lock and waits for nothing. So a program sees to it that what the end waits for
    /// comes to an end itself: C code that keeps requests ([`RawReply`](crate::reply::RawReply)), handlers that wait.
    ///
    /// It says the same when [`Session::serve`](crate::Session::serve) was told to return, and no longer so once it has,
    /// where the session may serve again.
    pub fn is_ending(&self) -> bool {
        self.conn.is_over()
    }

    /// A handler has panicked under [`OnPanic::Poison`](crate::session::OnPanic::Poison), and every request gets EIO.
    pub fn is_poisoned(&self) -> bool {
        self.conn.is_poisoned()
    }

    /// Serves requests again: the state is sound, or has been repaired. Repair it and call this with the lock held, so that
    /// nobody comes in between.
    pub fn clear_poison(&self) {
        self.conn.set_poisoned(false);
    }

    /// What tells the kernel that its caches are out of date.
    pub fn notifier(&self) -> Notifier {
        Notifier::new(Arc::clone(&self.notifications))
    }

    /// The `struct fuse_session` itself, for [`sys`](crate::sys) and for C code: `f` gets it, or it is `None` when the session
    /// is ending, and after its end.
    ///
    /// In `f` the session is there, and its descriptor is open; it may have been unmounted, or told to end, before. Afterwards the
    /// pointer may be anything: C code keeps no copy of it.
    ///
    /// ```no_run
    /// # use fuse3::{Handle, sys};
    /// # fn descriptor(handle: &Handle) -> Option<i32> {
    /// handle.with_raw_session(|session| {
    ///     // SAFETY: the session lives while this runs.
    ///     unsafe { sys::fuse_session_fd(session.as_ptr()) }
    /// })
    /// # }
    /// ```
    ///
    /// # What may be done with it
    ///
    /// - `fuse_session_fd()`, and reading what it says of the session.
    /// - `fuse_lowlevel_notify_*()`. They wait for the kernel, and that for handlers: from a thread that neither holds the global
    ///   lock nor handles a request of this directory or file, as [`Blocking`](crate::notify::Blocking) wants it proven. Not
    ///   `fuse_lowlevel_notify_retrieve()`, whose cookie is the library's, nor `fuse_lowlevel_notify_poll()`, whose handle is
    ///   [`PollHandle`](crate::poll::PollHandle).
    /// - `fuse_session_exit()` does, before libfuse 3.18, not end a loop that waits: [`terminate`](Self::terminate) does.
    ///
    /// # What may not
    ///
    /// `fuse_session_mount()`, `_unmount()`, `_destroy()`, `_loop()`, `_loop_mt()`, `_receive_buf()`, `_process_buf()`,
    /// `_custom_io()`, `_reset()`, `fuse_set_signal_handlers()`: these are the library's.
    pub fn with_raw_session<R>(
        &self,
        f: impl FnOnce(NonNull<sys::fuse_session>) -> R,
    ) -> Option<R> {
        let pass = self.conn.pass_to_notify()?;
        // What waits for the kernel waits for the loop; where that was told to end before, the end helps.
        let _hold = self.conn.hold();
        Some(f(pass.session()))
    }

    /// `struct fuse_conn_info`: what kernel and libfuse agreed on, above all what of it was granted.
    ///
    /// `None` before the kernel has sent a request after INIT, when libfuse has not settled it yet, and after the end of the
    /// session.
    pub fn connection(&self) -> Option<Agreement> {
        self.conn.agreement()
    }

    /// What the session has done so far.
    pub fn stats(&self) -> SessionStats {
        self.conn.stats()
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
