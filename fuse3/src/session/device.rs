//! CUSE: character devices in user space.

use std::ffi::{CString, OsStr, c_char};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::os::open_device;
use crate::session::{mount, mount::MountError};
use crate::sys;

/// `struct cuse_info`: a character device in user space, for [`Builder::character_device`](crate::Builder::character_device).
///
/// A device is a [`Filesystem`](crate::Filesystem) of one file: the kernel calls `open`, `read`, `write`, `flush`, `release`,
/// `fsync`, `ioctl` and `poll`, each with inode 0, and nothing else. Reads and writes come as the program makes them, past
/// any cache, up to 128 KiB at once and several at a time; the offset is that of the open file, or of pread(2).
///
/// What drivers do is there: a `read` that waits for an event takes its answer away ([`Context::defer`](crate::Context::defer)), or
/// answers EAGAIN where the file was opened with O_NONBLOCK; [`PollHandle::notify`](crate::poll::PollHandle::notify) wakes those who
/// wait in poll(2); [unrestricted](Self::unrestricted_ioctl) calls of ioctl(2) reach what a structure points to, too.
///
/// ```no_run
/// use fuse3::{
///     Answer, Concurrent, Context, Data, FileInfo, Filesystem, Ino, OpenFlags, Opened, ReadBuf,
///     Session,
/// };
/// use fuse3::session::CharDevice;
///
/// struct Zero;
///
/// impl Filesystem for Zero {
///     type Lock = Concurrent;
///
///     fn read(
///         &self, _: &mut Context<'_, Self>, _: Ino, _: &FileInfo, _: u64, mut out: ReadBuf,
///     ) -> Answer<Data<'_>> {
///         out.push_zeros(out.size());
///         Ok(out.finish())
///     }
/// }
///
/// // As root, and with `modprobe cuse`: /dev/myzero, until the session ends.
/// let session = Session::builder(Zero, Concurrent).character_device(&CharDevice::new("myzero"))?;
/// session.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharDevice {
    /// What the kernel is told: `DEVNAME=name`.
    info: Vec<u8>,
    major: u32,
    minor: u32,
    unrestricted: bool,
    server: PathBuf,
}

/// In front of the name.
const KEY: &[u8] = b"DEVNAME=";
/// `CUSE_INIT_INFO_MAX`, with the NUL.
const INFO_MAX: usize = 4096;

impl CharDevice {
    /// A device that becomes `/dev/NAME`.
    ///
    /// The kernel strips white space around the name, and refuses one that another device has: then the session ends as soon
    /// as it runs.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        Self {
            info: [KEY, name.as_ref().as_bytes()].concat(),
            major: 0,
            minor: 0,
            unrestricted: false,
            server: PathBuf::from("/dev/cuse"),
        }
    }

    /// `dev_major`, `dev_minor`: the number of the device. With 0 for `major`, the default, the kernel chooses one.
    pub fn number(mut self, major: u32, minor: u32) -> Self {
        (self.major, self.minor) = (major, minor);
        self
    }

    /// `CUSE_UNRESTRICTED_IOCTL`: calls of ioctl(2) may reach any memory of the caller, whatever their command says of itself.
    ///
    /// Each then comes with no data, and the handler says by [`IoctlReply::retry`](crate::ioctl::IoctlReply::retry) what it wants to
    /// have read and where it is going to write. The kernel makes the call again, with that as
    /// [`input`](crate::ioctl::Ioctl::input) and with room for [`output_size`](crate::ioctl::Ioctl::output_size) bytes; a structure
    /// that points to others takes one round more. A command whose argument is a number, whatever it says of itself (many of
    /// uinput's), is answered in the first round. Without this, calls are those of a file system.
    pub fn unrestricted_ioctl(mut self, unrestricted: bool) -> Self {
        self.unrestricted = unrestricted;
        self
    }

    /// The kernel's end of CUSE: `/dev/cuse` unless set. A descriptor of it that was opened before goes to
    /// [`Builder::character_device_fd`](crate::Builder::character_device_fd).
    pub fn server(mut self, path: impl Into<PathBuf>) -> Self {
        self.server = path.into();
        self
    }

    /// What `cuse_lowlevel_new()` takes, with the pointer to [`info`](Self::info) in `strings`.
    pub(crate) fn to_cuse_info(&self, strings: &mut [*const c_char; 1]) -> sys::cuse_info {
        sys::cuse_info {
            dev_major: self.major,
            dev_minor: self.minor,
            dev_info_argc: 1,
            dev_info_argv: strings.as_mut_ptr(),
            flags: if self.unrestricted {
                sys::CUSE_UNRESTRICTED_IOCTL
            } else {
                0
            },
        }
    }

    /// The string that the kernel is told.
    pub(crate) fn info(&self) -> Result<CString, MountError> {
        let wrong = |what: &str| Err(MountError::CharDevice(what.to_owned()));
        if self.info.len() == KEY.len() {
            return wrong("its name is empty");
        }
        if self.info.len() >= INFO_MAX {
            return wrong("its name is longer than 4087 bytes");
        }
        // MAJOR() and MINOR() of the kernel have 12 and 20 bits.
        if self.major >= 1 << 12 || self.minor >= 1 << 20 {
            return wrong("its number is out of 0 to 4095 and 0 to 1048575");
        }
        CString::new(&*self.info).or_else(|_| wrong("its name has a NUL byte in it"))
    }

    /// The descriptor that requests come by.
    pub(crate) fn open(&self) -> Result<OwnedFd, MountError> {
        if mount::descriptor(&self.server).is_some() {
            let what = format!(
                "its server is {}, a descriptor; Builder::character_device_fd takes the descriptor itself",
                self.server.display()
            );
            return Err(MountError::CharDevice(what));
        }
        let file = open_device(&self.server).map(OwnedFd::from);
        file.map_err(|error| MountError::Cuse(self.server.clone(), error))
    }

    /// For errors.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev").join(OsStr::from_bytes(&self.info[KEY.len()..]))
    }
}
