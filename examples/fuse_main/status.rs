//! The exit status of a program whose C counterpart is made with libfuse's high-level API.

use std::process::{ExitCode, Termination};

use fuse3::Reason;

/// As of C's `fuse_main()`: 0 after an unmount, 8 after a signal. Programs that are made with the low-level API have 1 there, as
/// [`Reason`] itself.
pub(crate) fn status(reason: Reason) -> ExitCode {
    match reason {
        Reason::Signal(_) => ExitCode::from(8),
        other => other.report(),
    }
}
