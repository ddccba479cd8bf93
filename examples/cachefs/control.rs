//! Extended attributes of the root that tell what happens, and change it: `setfattr -n user.cachefs.backend -v down ROOT`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

use fuse3::{Errno, Ino};

use crate::cache::{Cache, Held};
use crate::state::State;

impl Cache {
    /// `setxattr`. Yields the lock.
    pub(crate) fn control(
        &self,
        state: &mut Held<'_>,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
    ) -> Result<(), Errno> {
        match (name.as_bytes(), value) {
            (b"user.cachefs.copy", _) if !state.get(ino)?.is_directory() => {
                return Err(Errno::ENOTDIR);
            }
            (b"user.cachefs.copy", name) => {
                let valid = !matches!(name, b"" | b"." | b"..")
                    && !name.contains(&b'/')
                    && ino != Ino::ROOT;
                let name = valid
                    .then(|| OsStr::from_bytes(name))
                    .ok_or(Errno::EINVAL)?;
                return self.copy_tree(state, ino, name);
            }
            _ if ino != Ino::ROOT => return Err(Errno::EOPNOTSUPP),
            (b"user.cachefs.backend", b"down") => self.backend.down.store(true, Ordering::Relaxed),
            (b"user.cachefs.backend", b"up") => self.backend.down.store(false, Ordering::Relaxed),
            // The next upload ends the worker that does it.
            (b"user.cachefs.backend", b"deadly") => {
                self.backend.deadly.store(true, Ordering::Relaxed)
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        Ok(())
    }

    /// `getxattr`.
    pub(crate) fn report(&self, state: &State, ino: Ino, name: &OsStr) -> Result<Vec<u8>, Errno> {
        let text = match name.as_bytes() {
            _ if ino != Ino::ROOT => return Err(Errno::ENODATA),
            b"user.cachefs.downloads" => self.backend.downloads.load(Ordering::Relaxed).to_string(),
            b"user.cachefs.uploads" => self.backend.uploads.load(Ordering::Relaxed).to_string(),
            b"user.cachefs.cached" => state.blocks.cached_len().to_string(),
            // Blocks and records that the backend does not have.
            b"user.cachefs.dirty" => (state.blocks.dirty_len() + state.dirty.len()).to_string(),
            _ => return Err(Errno::ENODATA),
        };
        Ok(text.into_bytes())
    }
}
