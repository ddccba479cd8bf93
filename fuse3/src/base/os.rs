//! What several folders ask of the system: system calls, files, threads.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::path::Path;
use std::thread::{self, JoinHandle};

/// The result of a system call; where it is -1, the error is `errno`.
pub(crate) fn checked(result: c_int) -> io::Result<c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Opens a device for reading and writing.
pub(crate) fn open_device(path: impl AsRef<Path>) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// Starts a thread of this name, which top(1) shows.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}
