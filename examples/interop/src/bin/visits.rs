//! The Rust half of a program in C (c/visits.c): it runs the session that C has made, and has the lock and the state.
//!
//! Each function that C calls returns a negative errno, and lets no panic out.

#![no_main]

use std::ffi::{c_int, c_uint};
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, LazyLock};

use fuse3::lock::LockError;
use fuse3::session::ForeignSession;
use fuse3::{GlobalLock, Locked, Reason, sys};

/// What the lock guards.
#[derive(Default)]
struct State {
    visits: u64,
}

static LOCK: LazyLock<Arc<GlobalLock<State>>> = LazyLock::new(Arc::default);

/// What every call from C goes through.
fn border(f: impl FnOnce() -> Result<c_int, c_int>) -> c_int {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(errno)) => -errno,
        Err(_) => -libc::ENOTRECOVERABLE,
    }
}

/// The guard that [`visits_enter`] has forgotten. Dropped, it releases the lock.
fn guard() -> Result<Locked<'static, State>, c_int> {
    if !LOCK.is_held() {
        return Err(libc::EPERM);
    }
    // SAFETY: this thread holds the lock. Its guard was forgotten, and whoever calls this has the only other one.
    Ok(unsafe { LOCK.guard_unchecked() })
}

#[unsafe(no_mangle)]
extern "C" fn visits_enter() -> c_int {
    border(|| match LOCK.lock() {
        Ok(guard) => {
            mem::forget(guard);
            Ok(0)
        }
        Err(LockError::AlreadyHeld) => Err(libc::EDEADLK),
        Err(_) => Err(libc::EIO),
    })
}

#[unsafe(no_mangle)]
extern "C" fn visits_leave() -> c_int {
    border(|| {
        drop(guard()?);
        Ok(0)
    })
}

/// # Safety
///
/// `visits` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn visits_get(visits: *mut u64) -> c_int {
    border(|| {
        let count = ManuallyDrop::new(guard()?).visits;
        // SAFETY: the caller promises it.
        unsafe { visits.write(count) };
        Ok(0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn visits_set(visits: u64) -> c_int {
    border(|| {
        ManuallyDrop::new(guard()?).visits = visits;
        Ok(0)
    })
}

/// # Safety
///
/// `session` is NULL, or mounted, and nobody else uses it until this has returned.
#[unsafe(no_mangle)]
unsafe extern "C" fn visits_run(session: *mut sys::fuse_session, workers: c_uint) -> c_int {
    border(|| {
        let session = NonNull::new(session).ok_or(libc::EINVAL)?;
        // SAFETY: the caller promises it.
        let ended = unsafe { ForeignSession::new().run(session, &LOCK, workers, false) };
        let reason = ended.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
        // Once by each handler.
        let taken = LOCK.stats().acquisitions;
        let visits = LOCK.lock().map_err(|_| libc::EIO)?.visits;
        println!("{visits} visits, the lock taken {taken} times");
        Ok(match reason {
            Reason::Signal(signal) => signal,
            _ => 0,
        })
    })
}
