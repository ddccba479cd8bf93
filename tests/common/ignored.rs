//! Signals that whoever started the tests has ignored, as nohup(1) and the background jobs of a shell do. A session leaves them so.

/// They end a session that this process runs, or one that it starts from now on.
pub(crate) fn heed_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        // SAFETY: no handler is called.
        let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
        assert_ne!(before, libc::SIG_ERR);
    }
}
