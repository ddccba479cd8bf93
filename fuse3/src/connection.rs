use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::sys;

bitflags::bitflags! {
    /// `FUSE_CAP_*`: what the kernel offers and a file system may ask for in [`init`](crate::Filesystem::init).
    ///
    /// Bits that have no name here are kept. The numbers are libfuse's (fuse_common.h), the same in all its releases.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Several reads of one file at once, in any order. Libfuse asks for it.
        const ASYNC_READ = 1 << 0;
        /// fcntl(2) locks come to `getlk` and `setlk`.
        const POSIX_LOCKS = 1 << 1;
        /// O_TRUNC comes with `open`, no `setattr` follows. Libfuse asks for it. It comes even where the kernel then fails the
        /// open with ETXTBSY: a running program loses its text. Without it, that is checked before the `setattr`.
        const ATOMIC_O_TRUNC = 1 << 3;
        /// `lookup` knows "." and "..", so that the mount can be exported over NFS.
        const EXPORT_SUPPORT = 1 << 4;
        /// The umask is not applied to the modes of `mknod`, `mkdir` and `create`.
        const DONT_MASK = 1 << 6;
        /// Replies may be spliced to the kernel.
        const SPLICE_WRITE = 1 << 7;
        /// Pages of such replies may be moved.
        const SPLICE_MOVE = 1 << 8;
        /// Written data may be spliced from the kernel.
        const SPLICE_READ = 1 << 9;
        /// flock(2) locks come to `flock`.
        const FLOCK_LOCKS = 1 << 10;
        /// ioctl(2) on directories. Libfuse asks for it.
        const IOCTL_DIR = 1 << 11;
        /// A changed size or mtime empties the page cache of a file. Libfuse asks for it.
        const AUTO_INVAL_DATA = 1 << 12;
        /// The kernel reads directories with attributes: [`DirBuf::is_plus`](crate::DirBuf::is_plus).
        const READDIRPLUS = 1 << 13;
        /// Only where it seems to be worth it.
        const READDIRPLUS_AUTO = 1 << 14;
        /// Direct reads and writes need not wait for each other. Libfuse asks for it.
        const ASYNC_DIO = 1 << 15;
        /// Writes go to the page cache first.
        const WRITEBACK_CACHE = 1 << 16;
        /// `open` that answers ENOSYS is not asked again. Offered only.
        const NO_OPEN_SUPPORT = 1 << 17;
        /// `lookup` and `readdir` of one directory at once. libfuse before 3.17 never asks for it.
        const PARALLEL_DIROPS = 1 << 18;
        /// POSIX ACLs.
        const POSIX_ACL = 1 << 19;
        /// The file system drops set-user-id bits itself.
        const HANDLE_KILLPRIV = 1 << 20;
        /// Targets of symbolic links are cached.
        const CACHE_SYMLINKS = 1 << 23;
        /// `opendir` that answers ENOSYS is not asked again. Offered only.
        const NO_OPENDIR_SUPPORT = 1 << 24;
        /// Only notifications empty the page cache.
        const EXPLICIT_INVAL_DATA = 1 << 25;
        const _ = !0;
    }
}

/// `struct fuse_conn_info`: what kernel, libfuse and file system agree on in [`init`](crate::Filesystem::init).
pub struct Connection<'a> {
    conn: NonNull<sys::fuse_conn_info>,
    borrow: PhantomData<&'a mut sys::fuse_conn_info>,
}

/// The kernel does not offer what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported(pub Capabilities);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel or this libfuse does not offer {:?}", self.0)
    }
}

impl std::error::Error for Unsupported {}

/// What libfuse asks for because there is a handler, not because the file system wants it.
const BY_SLOT: Capabilities = Capabilities::POSIX_LOCKS
    .union(Capabilities::FLOCK_LOCKS)
    .union(Capabilities::READDIRPLUS)
    .union(Capabilities::READDIRPLUS_AUTO)
    .union(Capabilities::SPLICE_READ);

impl Connection<'_> {
    /// # Safety
    ///
    /// `conn` is the pointer that libfuse gave to `init`, itself and not a copy of what it points to, and `init` has not
    /// returned for `'a`.
    pub(crate) unsafe fn new(conn: NonNull<sys::fuse_conn_info>) -> Self {
        let mut connection = Self {
            conn,
            borrow: PhantomData,
        };
        connection.unwant(BY_SLOT);
        connection
    }

    fn info(&self) -> &sys::fuse_conn_info {
        // SAFETY: libfuse's `struct fuse_conn_info` lives until `init` returns (`new`), and only this value reaches it.
        unsafe { self.conn.as_ref() }
    }

    fn info_mut(&mut self) -> &mut sys::fuse_conn_info {
        // SAFETY: as in `info`.
        unsafe { self.conn.as_mut() }
    }

    /// `proto_major`, `proto_minor`: version of the protocol, 7 and 45 with Linux 6.18.
    pub fn protocol(&self) -> (u32, u32) {
        (self.info().proto_major, self.info().proto_minor)
    }

    /// What the kernel offers.
    pub fn capable(&self) -> Capabilities {
        // SAFETY: the connection lives (`new`).
        Capabilities::from_bits_retain(unsafe { sys::fuse3_conn_capable(self.conn.as_ptr()) })
    }

    /// What is asked for so far.
    pub fn wanted(&self) -> Capabilities {
        // SAFETY: the connection lives (`new`).
        Capabilities::from_bits_retain(unsafe { sys::fuse3_conn_want(self.conn.as_ptr()) })
    }

    /// `fuse_set_feature_flag()`: asks for each of these.
    ///
    /// # Errors
    ///
    /// Those that the kernel does not offer; the others are asked for all the same.
    pub fn want(&mut self, capabilities: Capabilities) -> Result<(), Unsupported> {
        let missing = capabilities - self.capable();
        for capability in (capabilities & self.capable()).iter() {
            // SAFETY: the connection is the one `init` was given (`new`).
            unsafe { sys::fuse_set_feature_flag(self.conn.as_ptr(), capability.bits()) };
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Unsupported(missing))
        }
    }

    /// `fuse_unset_feature_flag()`: asks for none of these.
    pub fn unwant(&mut self, capabilities: Capabilities) {
        for capability in capabilities.iter() {
            // SAFETY: the connection is the one `init` was given (`new`).
            unsafe { sys::fuse_unset_feature_flag(self.conn.as_ptr(), capability.bits()) };
        }
    }

    /// Largest write in bytes; libfuse allows 1 MiB.
    pub fn max_write(&self) -> u32 {
        self.info().max_write
    }

    /// Sets [`max_write`](Self::max_write).
    pub fn set_max_write(&mut self, bytes: u32) {
        self.info_mut().max_write = bytes;
    }

    /// Most bytes that are read ahead.
    pub fn max_readahead(&self) -> u32 {
        self.info().max_readahead
    }

    /// Sets [`max_readahead`](Self::max_readahead); no larger than it is.
    pub fn set_max_readahead(&mut self, bytes: u32) {
        self.info_mut().max_readahead = bytes;
    }

    /// Most requests in the background (read-ahead, direct) at once; 0 leaves it to the kernel.
    pub fn max_background(&self) -> u32 {
        self.info().max_background
    }

    /// Sets [`max_background`](Self::max_background); at most 65,535.
    pub fn set_max_background(&mut self, requests: u16) {
        self.info_mut().max_background = requests.into();
    }

    /// `time_gran`: nanoseconds that times are exact to; 1 unless set.
    pub fn time_granularity(&self) -> u32 {
        self.info().time_gran
    }

    /// Sets [`time_granularity`](Self::time_granularity): a power of 10 from 1 to 1,000,000,000.
    pub fn set_time_granularity(&mut self, nanos: u32) {
        self.info_mut().time_gran = nanos;
    }
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("protocol", &self.protocol())
            .field("capable", &self.capable())
            .field("wanted", &self.wanted())
            .field("max_write", &self.max_write())
            .finish_non_exhaustive()
    }
}
