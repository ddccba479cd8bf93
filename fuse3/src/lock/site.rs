//! Where in the code a lock was taken or is waited for.

use std::fmt;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::types::operation::Operation;

/// A place in the code. `None` is the library's, which has none to show: its callers know the operation.
pub(super) type Place = Option<&'static Location<'static>>;

/// Where a lock was taken or is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Site {
    Code(&'static Location<'static>),
    /// By the library, for a handler.
    Handler(Operation),
}

impl Site {
    #[inline]
    #[track_caller]
    pub(crate) fn caller() -> Site {
        Site::Code(Location::caller())
    }

    #[inline]
    pub(super) fn place(self) -> Place {
        match self {
            Site::Code(location) => Some(location),
            Site::Handler(_) => None,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Site::Code(location) => location.fmt(f),
            Site::Handler(operation) => write!(f, "the handler of {operation}"),
        }
    }
}

/// The place in the code that the holder of a lock took it at, for other threads to read.
///
/// # Invariants
///
/// The pointer is null or came from a `&'static Location<'static>`.
pub(super) struct PlaceCell(AtomicPtr<Location<'static>>);

impl PlaceCell {
    pub(super) const fn none() -> PlaceCell {
        PlaceCell(AtomicPtr::new(ptr::null_mut()))
    }

    /// A location is read-only data that is there from the program's start, so that the store orders nothing.
    #[inline]
    pub(super) fn set(&self, place: Place) {
        let pointer = place.map_or(ptr::null(), ptr::from_ref);
        self.0.store(pointer.cast_mut(), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Place {
        let pointer = self.0.load(Ordering::Relaxed);
        // SAFETY: by the invariant it is null or points to a `Location` that is never written to and is never freed.
        unsafe { pointer.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_shows_the_code_and_nothing_for_a_handler() {
        let cell = PlaceCell::none();
        assert_eq!(cell.get(), None);
        let site = Site::caller();
        cell.set(site.place());
        assert_eq!(cell.get().map(Location::line), Some(line!() - 2));
        cell.set(Site::Handler(Operation::Lookup).place());
        assert_eq!(cell.get(), None);
    }
}
