//! Who has what takes long computed.

use std::collections::BTreeSet;

use fuse3::Errno;

/// How many may at a time: each takes a worker, of which there are 10 unless `-o max_threads` says otherwise.
const AT_ONCE: usize = 3;

/// The users for whom something is computed that takes long.
#[derive(Debug, Default)]
pub(crate) struct Computing(BTreeSet<Option<u32>>);

impl Computing {
    /// Something is computed for this user, until [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// EAGAIN when something is for this user already, or for too many others.
    pub(crate) fn begin(&mut self, uid: Option<u32>) -> Result<(), Errno> {
        if self.0.len() >= AT_ONCE || !self.0.insert(uid) {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, uid: Option<u32>) {
        self.0.remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_each_user_and_three_in_all() {
        let mut computing = Computing::default();
        let mut begin = |uid| computing.begin(Some(uid)).is_ok();
        assert_eq!(
            [1, 1, 2, 3, 4].map(&mut begin),
            [true, false, true, true, false]
        );
        computing.end(Some(1));
        assert!(computing.begin(Some(4)).is_ok());
    }
}
