//! What the kernel, libfuse and the file system agree on when a session begins.
//!
//! [`Filesystem::init`](crate::Filesystem::init) is given a [`Connection`], and asks it for [`Capabilities`] and limits. What the
//! installed libfuse or the running kernel does not have is a [`SettingError`], or an [`UnsupportedOperation`], and says what it
//! [needs](Needs). Afterwards [`Handle::connection`](crate::Handle::connection) has the [`Agreement`].

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::conn::pipe::{most_spliced, number_in};
use crate::sys;
use crate::types::operation::Operation;
use crate::types::setting::{in_range, out_of_range};

pub use crate::types::capabilities::Capabilities;
pub use crate::types::setting::SettingError;
pub use crate::types::support::{Needs, UnsupportedOperation};

/// `struct fuse_conn_info`: what kernel, libfuse and file system agree on in [`init`](crate::Filesystem::init).
///
/// What came of it is told by [`Handle::connection`](crate::Handle::connection).
///
/// # Invariants
///
/// `conn` is the pointer that libfuse gave to `init`, and its session lives.
pub struct Connection<'a> {
    /// Never made a reference of: libfuse before 3.18 may read members on another worker meanwhile.
    conn: NonNull<sys::fuse_conn_info>,
    /// What the kernel offered of it.
    most_readahead: u32,
    borrow: PhantomData<&'a mut sys::fuse_conn_info>,
}

/// What libfuse asks for because there is a handler, not because the file system wants it.
const BY_SLOT: Capabilities = Capabilities::POSIX_LOCKS
    .union(Capabilities::FLOCK_LOCKS)
    .union(Capabilities::READDIRPLUS)
    .union(Capabilities::READDIRPLUS_AUTO)
    .union(Capabilities::SPLICE_READ);

/// What the kernel silently drops the first of (process_init_reply(), fs/fuse/inode.c).
const EXCLUSIVE: Capabilities = Capabilities::PASSTHROUGH.union(Capabilities::WRITEBACK_CACHE);

/// Nothing that a handler does is other with these than without.
const WITHOUT_DUTIES: Capabilities = Capabilities::ASYNC_READ
    .union(Capabilities::ASYNC_DIO)
    .union(Capabilities::IOCTL_DIR)
    .union(Capabilities::AUTO_INVAL_DATA)
    .union(Capabilities::SPLICE_WRITE)
    .union(Capabilities::SPLICE_MOVE);

/// Reads a member; `None` where this libfuse does not have it.
macro_rules! member {
    ($self:ident, $get:ident) => {{
        // SAFETY: the connection lives (invariant), and C reads this one member.
        let value = unsafe { sys::$get($self.conn.as_ptr()) };
        u32::try_from(value).ok()
    }};
}

/// Writes a member, and returns 1; 0 where this libfuse does not have it.
macro_rules! set_member {
    ($self:ident, $set:ident, $value:expr) => {{
        // SAFETY: the connection lives (invariant), and C writes this one member.
        unsafe { sys::$set($self.conn.as_ptr(), $value) }
    }};
}

impl Connection<'_> {
    /// # Safety
    ///
    /// `conn` is the pointer that libfuse gave to `init`, itself and not a copy of what it points to, and `init` has not
    /// returned for `'a`.
    pub(crate) unsafe fn new(conn: NonNull<sys::fuse_conn_info>) -> Self {
        let mut connection = Self {
            conn,
            most_readahead: 0,
            borrow: PhantomData,
        };
        connection.most_readahead = connection.max_readahead();
        connection.unwant(BY_SLOT);
        if !sys::HAS_IO_URING {
            // A newer library would begin to use it by an option or FUSE_URING_ENABLE, and requests could not be told apart.
            connection.unwant(Capabilities::OVER_IO_URING);
        }
        connection
    }

    /// `proto_major`, `proto_minor`: version of the protocol, 7 and 45 with Linux 6.18.
    pub fn protocol(&self) -> (u32, u32) {
        (
            member!(self, fuse3_conn_get_proto_major).unwrap_or(0),
            member!(self, fuse3_conn_get_proto_minor).unwrap_or(0),
        )
    }

    /// `capable`: what may be [wanted](Self::want). The kernel offers it, and libfuse passes on [all of it](Capabilities::known).
    pub fn capable(&self) -> Capabilities {
        self.kernel_capable() & Capabilities::known()
    }

    /// `capable` as libfuse has it: what the kernel offers, also where libfuse does not pass it on and
    /// [`capable`](Self::capable) leaves it out.
    pub fn kernel_capable(&self) -> Capabilities {
        // SAFETY: the connection lives (invariant).
        Capabilities::from_bits_retain(unsafe { sys::fuse3_conn_capable(self.conn.as_ptr()) })
    }

    /// `want`: what is asked for so far.
    pub fn wanted(&self) -> Capabilities {
        // SAFETY: the connection lives (invariant).
        let wanted = unsafe { sys::fuse3_conn_want(self.conn.as_ptr()) };
        Capabilities::from_bits_retain(wanted) - Capabilities::unheeded()
    }

    /// `fuse_set_feature_flag()`: asks for each of these.
    ///
    /// With [`SPLICE_READ`](Capabilities::SPLICE_READ), a [`max_write`](Self::max_write) whose requests no pipe holds is taken down
    /// to one that fits, since libfuse would splice nothing: without CAP_SYS_RESOURCE to 4 KiB less than
    /// /proc/sys/fs/pipe-max-size. With [`NO_OPEN_SUPPORT`](Capabilities::NO_OPEN_SUPPORT) there is no
    /// [`ATOMIC_O_TRUNC`](Capabilities::ATOMIC_O_TRUNC): the kernel would tell nobody of a truncation.
    ///
    /// # Errors
    ///
    /// [`SettingError::NotOffered`] has those that kernel or libfuse do not offer; the others are asked for all the same.
    /// [`SettingError::Exclusive`] for passthrough together with the writeback cache, also where one of them is not offered;
    /// nothing is asked for then.
    pub fn want(&mut self, capabilities: Capabilities) -> Result<(), SettingError> {
        let offered = self.capable();
        let missing = capabilities - offered;
        let possible = capabilities & offered;
        if (self.wanted() | capabilities).contains(EXCLUSIVE) {
            return Err(SettingError::Exclusive(EXCLUSIVE));
        }
        for capability in possible.iter() {
            // SAFETY: the connection is the one `init` was given (`new`).
            unsafe { sys::fuse_set_feature_flag(self.conn.as_ptr(), capability.bits()) };
        }
        if self.wanted().contains(Capabilities::NO_OPEN_SUPPORT) {
            self.unwant(Capabilities::ATOMIC_O_TRUNC);
        }
        if possible.contains(Capabilities::SPLICE_READ) {
            let max_write = most_spliced(self.max_write());
            set_member!(self, fuse3_conn_set_max_write, max_write);
        }
        let refused = SettingError::NotOffered(missing);
        missing.is_empty().then_some(()).ok_or(refused)
    }

    /// Asks for those of `capabilities` that are [offered](Self::capable), and returns which are wanted then.
    ///
    /// Passthrough is left out where the writeback cache is wanted: the kernel does not do both. What each one has you do is in
    /// the [guide](crate::guide::capabilities).
    pub fn want_offered(&mut self, capabilities: Capabilities) -> Capabilities {
        let mut offered = capabilities & self.capable();
        if (self.wanted() | offered).contains(EXCLUSIVE) {
            offered -= Capabilities::PASSTHROUGH;
        }
        // Nothing is left that it could fail for.
        let _ = self.want(offered);
        self.wanted() & capabilities
    }

    /// Wants what is offered and leaves nothing for the file system to do, and nothing else; returns what that is.
    ///
    /// These are ASYNC_READ, ASYNC_DIO, IOCTL_DIR, AUTO_INVAL_DATA and what splices replies. ATOMIC_O_TRUNC, which libfuse asks
    /// for, is not among them. The [guide](crate::guide::capabilities) has the duties of all capabilities. Whether requests come
    /// over io_uring is left to the option.
    pub fn want_without_duties(&mut self) -> Capabilities {
        self.unwant(Capabilities::all() - Capabilities::OVER_IO_URING);
        self.want_offered(WITHOUT_DUTIES)
    }

    /// `fuse_unset_feature_flag()`: asks for none of these.
    pub fn unwant(&mut self, capabilities: Capabilities) {
        for capability in capabilities.iter() {
            // SAFETY: the connection is the one `init` was given (`new`).
            unsafe { sys::fuse_unset_feature_flag(self.conn.as_ptr(), capability.bits()) };
        }
    }

    /// `max_write`: largest write, and in effect largest read, in bytes. 1 MiB unless set.
    pub fn max_write(&self) -> u32 {
        member!(self, fuse3_conn_get_max_write).unwrap_or(0)
    }

    /// Sets [`max_write`](Self::max_write).
    ///
    /// # Errors
    ///
    /// From 4,096 to 1 MiB (256 pages). With libfuse 3.17.2 and Linux 6.13 to as many pages as /proc/sys/fs/fuse/max_pages_limit
    /// says.
    pub fn set_max_write(&mut self, bytes: u32) -> Result<(), SettingError> {
        let max = most_pages().saturating_mul(page_size());
        in_range("max_write", bytes, 4096, max, " bytes")?;
        set_member!(self, fuse3_conn_set_max_write, bytes);
        Ok(())
    }

    /// `max_read`: what the mount has for it, or 0.
    pub(super) fn set_max_read(&mut self, bytes: u32) {
        // SAFETY: the connection lives (invariant), and has this member in each libfuse.
        let member = unsafe { &raw mut (*self.conn.as_ptr()).max_read };
        // SAFETY: as above; `init`, which this is a part of, may write to it.
        unsafe { member.write(bytes) };
    }

    /// `max_readahead`: most bytes that are read ahead; at first what the kernel offers, 128 KiB mostly.
    pub fn max_readahead(&self) -> u32 {
        member!(self, fuse3_conn_get_max_readahead).unwrap_or(0)
    }

    /// Sets [`max_readahead`](Self::max_readahead); 0 for none.
    ///
    /// # Errors
    ///
    /// When it is more than the kernel offered.
    pub fn set_max_readahead(&mut self, bytes: u32) -> Result<(), SettingError> {
        let note = " bytes, what the kernel offers";
        in_range("max_readahead", bytes, 0, self.most_readahead, note)?;
        set_member!(self, fuse3_conn_set_max_readahead, bytes);
        Ok(())
    }

    /// `max_background`: most requests in the background (read-ahead, asynchronous direct) at once; 0, the default, leaves it
    /// to the kernel, which takes 12.
    pub fn max_background(&self) -> u32 {
        member!(self, fuse3_conn_get_max_background).unwrap_or(0)
    }

    /// Sets [`max_background`](Self::max_background), and takes a larger congestion threshold down to it.
    ///
    /// Without CAP_SYS_ADMIN the kernel takes no more than /sys/module/fuse/parameters/max_user_bgreq.
    ///
    /// # Errors
    ///
    /// When it is more than 65,535.
    pub fn set_max_background(&mut self, requests: u32) -> Result<(), SettingError> {
        in_range("max_background", requests, 0, u16::MAX.into(), "")?;
        set_member!(self, fuse3_conn_set_max_background, requests);
        let threshold = self.congestion_threshold().min(requests);
        set_member!(self, fuse3_conn_set_congestion_threshold, threshold);
        Ok(())
    }

    /// `congestion_threshold`: from how many requests in the background on the file system counts as congested; 0, the default,
    /// is three quarters of [`max_background`](Self::max_background).
    pub fn congestion_threshold(&self) -> u32 {
        member!(self, fuse3_conn_get_congestion_threshold).unwrap_or(0)
    }

    /// Sets [`congestion_threshold`](Self::congestion_threshold).
    ///
    /// # Errors
    ///
    /// When it is more than `max_background`, which is to be set first.
    pub fn set_congestion_threshold(&mut self, requests: u32) -> Result<(), SettingError> {
        let note = ", the max_background that was set before";
        let max = self.max_background();
        in_range("congestion_threshold", requests, 0, max, note)?;
        set_member!(self, fuse3_conn_set_congestion_threshold, requests);
        Ok(())
    }

    /// `time_gran`: nanoseconds that times are exact to; 1 unless set. Of use with the writeback cache, where the kernel sets
    /// the times.
    pub fn time_granularity(&self) -> u32 {
        member!(self, fuse3_conn_get_time_gran).unwrap_or(0)
    }

    /// Sets [`time_granularity`](Self::time_granularity).
    ///
    /// # Errors
    ///
    /// When it is no power of 10 from 1 to 1,000,000,000, and with Linux before 3.15.
    pub fn set_time_granularity(&mut self, nanos: u32) -> Result<(), SettingError> {
        const MAX: u32 = 1_000_000_000;
        let note = " nanoseconds, a power of 10";
        in_range("time_gran", nanos, 1, MAX, note)?;
        if 10_u32.pow(nanos.ilog10()) != nanos {
            return Err(out_of_range("time_gran", nanos, 1, MAX, note));
        }
        needs(self.protocol() >= (7, 23), "time_gran", "Linux 3.15")?;
        set_member!(self, fuse3_conn_set_time_gran, nanos);
        Ok(())
    }

    /// `max_backing_stack_depth`: how many layers (overlayfs, another passthrough) a backing file may be above its disk. 0, the
    /// default, for none; then a layer may be put above this file system. `None` where this libfuse has none.
    pub fn max_backing_stack_depth(&self) -> Option<u32> {
        member!(self, fuse3_conn_get_max_backing_stack_depth)
    }

    /// Sets [`max_backing_stack_depth`](Self::max_backing_stack_depth). The kernel is told so if
    /// [`PASSTHROUGH`](Capabilities::PASSTHROUGH) is wanted, too.
    ///
    /// # Errors
    ///
    /// When it is more than 1, and where libfuse, the kernel's version, or how the kernel was built, leaves out passthrough.
    pub fn set_max_backing_stack_depth(&mut self, depth: u32) -> Result<(), SettingError> {
        let setting = "max_backing_stack_depth";
        in_range(setting, depth, 0, 1, "")?;
        let is_set = self.protocol() >= (7, 40)
            && set_member!(self, fuse3_conn_set_max_backing_stack_depth, depth) == 1;
        needs(is_set, setting, "libfuse 3.17 and Linux 6.9")?;
        if !self.capable().contains(Capabilities::PASSTHROUGH) {
            return Err(SettingError::NotOffered(Capabilities::PASSTHROUGH));
        }
        Ok(())
    }

    /// `request_timeout`: after how many seconds without an answer the kernel ends the connection; 0, the default, for never
    /// unless /proc/sys/fs/fuse/default_request_timeout says otherwise. `None` where this libfuse has none.
    pub fn request_timeout(&self) -> Option<u32> {
        member!(self, fuse3_conn_get_request_timeout)
    }

    /// Sets [`request_timeout`](Self::request_timeout).
    ///
    /// # Errors
    ///
    /// When it is more than 65,535, and with libfuse before 3.18 or Linux before 6.15.
    pub fn set_request_timeout(&mut self, seconds: u32) -> Result<(), SettingError> {
        in_range("request_timeout", seconds, 0, u16::MAX.into(), " seconds")?;
        let is_set = self.protocol() >= (7, 43)
            && set_member!(self, fuse3_conn_set_request_timeout, seconds) == 1;
        needs(is_set, "request_timeout", "libfuse 3.18 and Linux 6.15")
    }

    /// `no_interrupt`: the kernel does not tell when callers are interrupted, which saves libfuse a lock per request. `None`
    /// where this libfuse has no such setting.
    pub fn no_interrupt(&self) -> Option<bool> {
        member!(self, fuse3_conn_get_no_interrupt).map(|set| set != 0)
    }

    /// Sets [`no_interrupt`](Self::no_interrupt): [`Context::interrupted`](crate::Context::interrupted) never is then.
    ///
    /// # Errors
    ///
    /// With libfuse before 3.17.
    pub fn set_no_interrupt(&mut self, no_interrupt: bool) -> Result<(), SettingError> {
        let is_set = set_member!(self, fuse3_conn_set_no_interrupt, no_interrupt.into()) == 1;
        needs(is_set, "no_interrupt", "libfuse 3.17")
    }

    /// Whether libfuse *and* the kernel can deliver requests for the operation.
    ///
    /// Outside of `init`, [`Operation::delivered`] tells about libfuse.
    ///
    /// # Errors
    ///
    /// What is missing: the release of libfuse, or else the version of the kernel's protocol, that it takes.
    pub fn delivers(&self, operation: Operation) -> Result<(), UnsupportedOperation> {
        operation.delivered()?;
        let needed = (7, operation.minor());
        if self.protocol() < needed {
            return Err(UnsupportedOperation {
                operation,
                needs: Needs::Protocol(needed),
            });
        }
        Ok(())
    }

    /// What there is now.
    pub(crate) fn agreement(&self) -> Agreement {
        Agreement {
            protocol: self.protocol(),
            capable: self.capable(),
            granted: self.wanted(),
            max_write: self.max_write(),
            max_readahead: self.max_readahead(),
            max_background: self.max_background(),
            congestion_threshold: self.congestion_threshold(),
            time_granularity: self.time_granularity(),
            max_backing_stack_depth: self.max_backing_stack_depth(),
            request_timeout: self.request_timeout(),
            no_interrupt: self.no_interrupt(),
        }
    }

    /// The same, of a connection whose INIT has been answered.
    ///
    /// # Safety
    ///
    /// `conn` is the pointer that libfuse gave to `init`. Until this returns its session lives, and INIT is not being handled.
    pub(crate) unsafe fn agreed(conn: NonNull<sys::fuse_conn_info>) -> Agreement {
        let connection = Self {
            conn,
            most_readahead: 0,
            borrow: PhantomData,
        };
        connection.agreement()
    }
}

/// An error unless `setting` is there.
fn needs(is_there: bool, setting: &'static str, needs: &'static str) -> Result<(), SettingError> {
    let missing = SettingError::Missing { setting, needs };
    is_there.then_some(()).ok_or(missing)
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.agreement().fmt(f)
    }
}

/// `struct fuse_conn_info` once INIT was answered: what the session runs with.
///
/// libfuse cuts values down to what it can do. That it could not begin to use io_uring it says in its log alone, which is
/// heeded, unless the program has set a function of its own for that log (`fuse_set_log_func()`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreement {
    /// Version of the protocol.
    pub protocol: (u32, u32),
    /// What kernel and libfuse offered.
    pub capable: Capabilities,
    /// What was asked for, of what was offered.
    pub granted: Capabilities,
    /// As [`Connection::max_write`].
    pub max_write: u32,
    /// As [`Connection::max_readahead`].
    pub max_readahead: u32,
    /// As [`Connection::max_background`].
    pub max_background: u32,
    /// As [`Connection::congestion_threshold`].
    pub congestion_threshold: u32,
    /// As [`Connection::time_granularity`].
    pub time_granularity: u32,
    /// As [`Connection::max_backing_stack_depth`].
    pub max_backing_stack_depth: Option<u32>,
    /// As [`Connection::request_timeout`].
    pub request_timeout: Option<u32>,
    /// As [`Connection::no_interrupt`].
    pub no_interrupt: Option<bool>,
}

/// Most pages of a request (`fuse_max_pages_limit`, fs/fuse/inode.c).
fn most_pages() -> u32 {
    const FIXED: u32 = 256;
    // SAFETY: no precondition.
    if unsafe { sys::fuse3_has_large_writes() } == 0 {
        return FIXED;
    }
    // Linux before 6.13 has no such file, and the fixed limit.
    number_in("/proc/sys/fs/fuse/max_pages_limit").unwrap_or(FIXED)
}

fn page_size() -> u32 {
    // SAFETY: no precondition.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u32::try_from(size).unwrap_or(4096)
}
