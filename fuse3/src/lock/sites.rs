//! Where in the code the threads are that hold the lock or wait for it: debug builds only.

#[cfg(debug_assertions)]
pub(super) use noted::Sites;
#[cfg(not(debug_assertions))]
pub(super) use unnoted::Sites;

#[cfg(debug_assertions)]
mod noted {
    use std::panic::Location;

    use parking_lot::Mutex;

    use crate::lock::order::Site;
    use crate::lock::thread::ThreadId;

    /// The sites of one lock, by thread. They are as many as threads want it at once: a few.
    #[derive(Debug)]
    pub(in crate::lock) struct Sites(Mutex<Vec<(ThreadId, Site)>>);

    impl Sites {
        pub(in crate::lock) const fn new() -> Sites {
            Sites(Mutex::new(Vec::new()))
        }

        /// Where the calling thread is from now on; `None` once it neither holds the lock nor waits. Returns where it was.
        pub(in crate::lock) fn set(&self, site: Option<Site>) -> Option<Site> {
            let me = ThreadId::current();
            let mut sites = self.0.lock();
            let place = sites.iter().position(|(thread, _)| *thread == me);
            let before = place.map(|place| sites.swap_remove(place).1);
            sites.extend(site.map(|site| (me, site)));
            before
        }

        /// Where the thread is. `None` as well if the library has the lock for its handler.
        pub(in crate::lock) fn of(&self, thread: ThreadId) -> Option<&'static Location<'static>> {
            let sites = self.0.lock();
            let found = sites.iter().find(|(other, _)| *other == thread)?;
            match found.1 {
                Site::Code(location) => Some(location),
                Site::Handler(_) => None,
            }
        }
    }
}

/// In release builds nothing is noted.
#[cfg(not(debug_assertions))]
mod unnoted {
    use std::panic::Location;

    use crate::lock::order::Site;
    use crate::lock::thread::ThreadId;

    #[derive(Debug)]
    pub(in crate::lock) struct Sites;

    impl Sites {
        pub(in crate::lock) const fn new() -> Sites {
            Sites
        }

        #[inline]
        pub(in crate::lock) fn set(&self, _: Option<Site>) -> Option<Site> {
            None
        }

        pub(in crate::lock) fn of(&self, _: ThreadId) -> Option<&'static Location<'static>> {
            None
        }
    }
}
