//! Extended attributes of the root that tell what happens, and change it: `setfattr -n user.cachefs.backend -v down ROOT`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

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
            (b"user.cachefs.copy", name) => {
                let name = OsStr::from_bytes(name);
                let is_name = Path::new(name).file_name() == Some(name);
                if ino == Ino::ROOT || !state.get(ino)?.is_directory() || !is_name {
                    return Err(Errno::EINVAL);
                }
                return self.copy_tree(state, ino, name);
            }
            _ if ino != Ino::ROOT => return Err(Errno::EOPNOTSUPP),
            (b"user.cachefs.backend", b"down") => self.backend.down.store(true, Relaxed),
            (b"user.cachefs.backend", b"up") => self.backend.down.store(false, Relaxed),
            // The next upload ends the worker that does it.
            (b"user.cachefs.backend", b"deadly") => self.backend.deadly.store(true, Relaxed),
            _ => return Err(Errno::EOPNOTSUPP),
        }
        Ok(())
    }

    /// `getxattr`.
    pub(crate) fn report(&self, state: &State, ino: Ino, name: &OsStr) -> Result<Vec<u8>, Errno> {
        let text = match name.as_bytes() {
            _ if ino != Ino::ROOT => return Err(Errno::ENODATA),
            b"user.cachefs.downloads" => self.backend.downloads.load(Relaxed).to_string(),
            b"user.cachefs.uploads" => self.backend.uploads.load(Relaxed).to_string(),
            b"user.cachefs.cached" => state.blocks.cached_len().to_string(),
            // Blocks and records that the backend does not have.
            b"user.cachefs.dirty" => (state.blocks.dirty_len() + state.dirty.len()).to_string(),
            _ => return Err(Errno::ENODATA),
        };
        Ok(text.into_bytes())
    }
}
