//! fusermount3(1), through which an ordinary user mounts.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Whether it is there and setuid root. Without it, whom root becomes for a test cannot mount.
pub(crate) fn is_setuid() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .find_map(|dir| fs::metadata(dir.join("fusermount3")).ok())
        .is_some_and(|file| file.uid() == 0 && file.mode() & libc::S_ISUID != 0)
}
