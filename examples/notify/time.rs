//! What the clock shows.

use std::mem::MaybeUninit;
use std::time::{SystemTime, UNIX_EPOCH};

/// Hours, minutes and seconds of now, where the program runs.
pub(crate) fn now() -> (i32, i32, i32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    let time = libc::time_t::try_from(seconds).unwrap_or(0);
    let mut tm = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: `time` lives, and `tm` has room for what is written.
    unsafe { libc::localtime_r(&raw const time, tm.as_mut_ptr()) };
    // SAFETY: `struct tm` is integers and a pointer that is not used, for which zeros are values, should the call have failed.
    let tm = unsafe { tm.assume_init() };
    (tm.tm_hour, tm.tm_min, tm.tm_sec)
}
