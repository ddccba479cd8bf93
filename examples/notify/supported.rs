//! Notifications that not every kernel has.

use fuse3::Handle;
use fuse3::notify::NotifyError;

use crate::gone::unless_gone;

/// Looks at what a blocking notification returned, whose `function` libfuse has. An old kernel ends the program, as C's.
pub(crate) fn check(result: Result<(), NotifyError>, function: &str, handle: &Handle) {
    match unless_gone(result) {
        Ok(()) => {}
        Err(NotifyError::Unsupported { .. }) => {
            println!("{function} not supported by kernel");
            println!("Exiting...");
            handle.terminate();
        }
        Err(error) => panic!("{function}: {error}"),
    }
}
