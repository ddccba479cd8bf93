//! Which processors threads run on.
//!
//! One client and its server take turns, on one processor or on two as the scheduler likes. On two, each waits for an idle
//! processor to be woken, which takes many times as long as the request and hides what is compared. So they are kept on one.

use std::io;
use std::mem;

/// A set of processors.
#[derive(Clone, Copy)]
pub(crate) struct Processors(libc::cpu_set_t);

impl Processors {
    /// Those that the calling thread may use.
    pub(crate) fn allowed() -> io::Result<Self> {
        let mut set = Self::none();
        // SAFETY: `set` lives and is as large as said.
        match unsafe { libc::sched_getaffinity(0, size_of_val(&set.0), &raw mut set.0) } {
            0 => Ok(set),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn none() -> Self {
        // SAFETY: a set is bits, for which zero is a value.
        Self(unsafe { mem::zeroed() })
    }

    /// Each processor as a set of its own.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        let numbers = 0..usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
        // SAFETY: the numbers are below the size of a set.
        let numbers = numbers.filter(move |&number| unsafe { libc::CPU_ISSET(number, &self.0) });
        numbers.map(|number| {
            let mut set = Self::none();
            // SAFETY: the number is below the size of a set.
            unsafe { libc::CPU_SET(number, &mut set.0) };
            set
        })
    }

    /// sched_setaffinity(2): from now on the thread, 0 for the calling one, and those that it starts run on these.
    pub(crate) fn keep(&self, thread: libc::pid_t) -> io::Result<()> {
        // SAFETY: the set lives and is as large as said.
        match unsafe { libc::sched_setaffinity(thread, size_of_val(&self.0), &raw const self.0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
