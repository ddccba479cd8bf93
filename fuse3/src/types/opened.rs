use std::sync::Once;

use crate::sys;
use crate::types::{file::FileInfo, flags::OpenFlags, ino::Fh, setting::SettingError};

/// The answer of `open`, `opendir` and `create`, pyfuse3's `FileInfo`: a handle, and how the kernel is to treat it.
///
/// ```
/// use fuse3::{Fh, Opened};
/// let opened = Opened::new(Fh(7)).keep_cache(true);
/// # assert_eq!(opened.handle, Fh(7));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// What the file system calls the open file.
    pub handle: Fh,
    /// Reads and writes of this file pass the page cache by.
    pub direct_io: bool,
    /// What the page cache holds of the file stays valid. llfuse always said so.
    pub keep_cache: bool,
    /// lseek(2) fails with ESPIPE.
    pub nonseekable: bool,
    /// Of `opendir`: the kernel may cache the listing.
    pub cache_readdir: bool,
    /// `flush` is not called for it. Needs libfuse 3.11 and Linux 5.16, see [`supported`](Self::supported).
    pub noflush: bool,
    /// With `direct_io`, writes that do not extend the file need not wait for each other. Needs libfuse 3.14.1 and Linux 6.2, see
    /// [`supported`](Self::supported).
    pub parallel_direct_writes: bool,
    /// The number of the [`BackingId`]; 0 for none.
    backing: i32,
}

impl Opened {
    /// The open file `handle`, without any of the flags.
    pub const fn new(handle: Fh) -> Self {
        Self {
            handle,
            direct_io: false,
            keep_cache: false,
            nonseekable: false,
            cache_readdir: false,
            noflush: false,
            parallel_direct_writes: false,
            backing: 0,
        }
    }

    /// Sets [`direct_io`](Self::direct_io).
    pub const fn direct_io(mut self, direct_io: bool) -> Self {
        self.direct_io = direct_io;
        self
    }

    /// Sets [`keep_cache`](Self::keep_cache).
    pub const fn keep_cache(mut self, keep_cache: bool) -> Self {
        self.keep_cache = keep_cache;
        self
    }

    /// Sets [`nonseekable`](Self::nonseekable).
    pub const fn nonseekable(mut self, nonseekable: bool) -> Self {
        self.nonseekable = nonseekable;
        self
    }

    /// Sets [`cache_readdir`](Self::cache_readdir).
    pub const fn cache_readdir(mut self, cache_readdir: bool) -> Self {
        self.cache_readdir = cache_readdir;
        self
    }

    /// Sets [`noflush`](Self::noflush).
    pub const fn noflush(mut self, noflush: bool) -> Self {
        self.noflush = noflush;
        self
    }

    /// Sets [`parallel_direct_writes`](Self::parallel_direct_writes).
    pub const fn parallel_direct_writes(mut self, parallel_direct_writes: bool) -> Self {
        self.parallel_direct_writes = parallel_direct_writes;
        self
    }

    /// With the number of a backing file.
    pub(crate) fn backed_by(self, backing: i32) -> Self {
        Self { backing, ..self }
    }

    /// Whether the libfuse this crate was built against knows all of its flags.
    ///
    /// Flags that it does not know are not sent, and the log says so once for each: they save work, and change nothing else.
    ///
    /// # Errors
    ///
    /// [`SettingError::Missing`] has the first that it does not know, and what does.
    pub fn supported(&self) -> Result<(), SettingError> {
        let mut first = None;
        self.fill(|_, missing| {
            first.get_or_insert(missing);
        });
        first.map_or(Ok(()), Err)
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        // fuse_file_passthrough_open(), fs/fuse/iomode.c
        if self.backing != 0 && (self.keep_cache || self.nonseekable || self.cache_readdir) {
            return Err(
                "a backing file was opened with keep_cache, nonseekable or cache_readdir, which the kernel refuses",
            );
        }
        Ok(())
    }

    /// Calls `missing` with the place in [`FLAGS`] of each flag that is set and not known here.
    #[inline(always)]
    fn fill(&self, mut missing: impl FnMut(usize, SettingError)) -> sys::fuse_file_info {
        let mut fi = FileInfo::new(self.handle, OpenFlags::empty()).0;
        let mut set = |flag: usize, wanted: bool| {
            let (set, setting, needs) = FLAGS[flag];
            // SAFETY: `fi` lives, and `set` is one of wrapper.h's accessors.
            if wanted && unsafe { set(&raw mut fi, 1) } == 0 {
                missing(flag, SettingError::Missing { setting, needs });
            }
        };
        set(0, self.direct_io);
        set(1, self.keep_cache);
        set(2, self.nonseekable);
        set(3, self.cache_readdir);
        set(4, self.noflush);
        set(5, self.parallel_direct_writes);
        if self.backing != 0 {
            // There is no `BackingId` where the header does not know it.
            // SAFETY: `fi` lives.
            unsafe { sys::fuse3_fi_set_backing_id(&raw mut fi, self.backing) };
        }
        fi
    }

    #[inline]
    pub(crate) fn to_file_info(self) -> sys::fuse_file_info {
        static TOLD: [Once; FLAGS.len()] = [const { Once::new() }; FLAGS.len()];
        self.fill(|flag, missing| {
            TOLD[flag].call_once(|| {
                crate::base::log::warn!("a file was opened without a flag: {missing}")
            });
        })
    }
}

type Set = unsafe extern "C" fn(*mut sys::fuse_file_info, i32) -> i32;

/// The flags of `struct fuse_file_info`: what sets each, what it is called, and which libfuse has it.
const FLAGS: [(Set, &str, &str); 6] = [
    (sys::fuse3_fi_set_direct_io, "direct_io", "libfuse 3.0"),
    (sys::fuse3_fi_set_keep_cache, "keep_cache", "libfuse 3.0"),
    (sys::fuse3_fi_set_nonseekable, "nonseekable", "libfuse 3.0"),
    (
        sys::fuse3_fi_set_cache_readdir,
        "cache_readdir",
        "libfuse 3.5",
    ),
    (sys::fuse3_fi_set_noflush, "noflush", "libfuse 3.11"),
    (
        sys::fuse3_fi_set_parallel_direct_writes,
        "parallel_direct_writes",
        "libfuse 3.14.1",
    ),
];

impl From<Fh> for Opened {
    fn from(handle: Fh) -> Self {
        Self::new(handle)
    }
}
