//! ioctl(2): commands, their arguments, and their answers.
//!
//! [`Filesystem::ioctl`](crate::Filesystem::ioctl) is given an [`Ioctl`] with its [`IoctlCommand`] and [`IoctlFlags`], and answers with
//! an [`IoctlReply`]. Over CUSE the reply may ask for parts of the [`CallerMemory`] first.

use std::ffi::{c_int, c_uint};
use std::{fmt, mem};

bitflags::bitflags! {
    /// `FUSE_IOCTL_*`: what the kernel says about a call of ioctl(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct IoctlFlags: c_uint {
        /// `FUSE_IOCTL_COMPAT`: by a 32-bit program on a 64-bit kernel.
        const COMPAT = 1 << 0;
        /// `FUSE_IOCTL_UNRESTRICTED`: not restricted to what the command says; only over CUSE.
        const UNRESTRICTED = 1 << 1;
        /// `FUSE_IOCTL_RETRY`: of answers over CUSE.
        const RETRY = 1 << 2;
        /// `FUSE_IOCTL_32BIT`: the structures are those of a 32-bit program.
        const BITS_32 = 1 << 3;
        /// `FUSE_IOCTL_DIR`: on a directory.
        const DIR = 1 << 4;
        /// `FUSE_IOCTL_COMPAT_X32`: by an x32 program, whose `time_t` has 64 bits.
        const COMPAT_X32 = 1 << 5;
        const _ = !0;
    }
}

/// The second argument of ioctl(2): `_IO(type, nr)`, `_IOR(type, nr, T)`, `_IOW(type, nr, T)`, `_IOWR(type, nr, T)`.
///
/// What the caller's pointer leads to has the size of `T`. The kernel copies it to the file system for `_IOW`, and back
/// for `_IOR`. The numbers are those of most architectures (include/uapi/asm-generic/ioctl.h): alpha, mips, powerpc and
/// sparc have others.
///
/// ```
/// use fuse3::ioctl::IoctlCommand;
/// const GET_SIZE: IoctlCommand = IoctlCommand::read::<usize>(b'E', 0);
/// # #[cfg(target_pointer_width = "64")]
/// assert_eq!(GET_SIZE, IoctlCommand(0x8008_4500));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IoctlCommand(pub u32);

impl IoctlCommand {
    const WRITE: u32 = 1;
    const READ: u32 = 2;

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the size has 14 bits, as asserted; `try_from` is not const"
    )]
    const fn encode<T>(direction: u32, kind: u8, number: u8) -> Self {
        let size = mem::size_of::<T>();
        assert!(size < 1 << 14, "ioctl commands have 14 bits for the size");
        Self((direction << 30) | ((size as u32) << 16) | ((kind as u32) << 8) | number as u32)
    }

    /// `_IO`: nothing is copied; the argument is a number.
    pub const fn none(kind: u8, number: u8) -> Self {
        Self::encode::<()>(0, kind, number)
    }

    /// `_IOR`: the caller gets a `T`.
    pub const fn read<T>(kind: u8, number: u8) -> Self {
        Self::encode::<T>(Self::READ, kind, number)
    }

    /// `_IOW`: the caller gives a `T`.
    pub const fn write<T>(kind: u8, number: u8) -> Self {
        Self::encode::<T>(Self::WRITE, kind, number)
    }

    /// `_IOWR`: the caller gives a `T`, and gets one.
    pub const fn read_write<T>(kind: u8, number: u8) -> Self {
        Self::encode::<T>(Self::READ | Self::WRITE, kind, number)
    }
}

impl fmt::Debug for IoctlCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoctlCommand({:#x})", self.0)
    }
}

/// A call of ioctl(2).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ioctl<'a> {
    /// The second argument of ioctl(2).
    pub command: IoctlCommand,
    /// The third argument as it is: a number, or an address in the caller, of no use here.
    pub argument: u64,
    /// 32-bit callers, directories.
    pub flags: IoctlFlags,
    /// What the caller's pointer leads to, where the command says that the caller gives something; else empty. It need
    /// not be aligned.
    pub input: &'a [u8],
    /// How many bytes the caller may be given.
    pub output_size: usize,
}

impl<'a> Ioctl<'a> {
    /// What a handler gets; for tests of handlers.
    pub const fn new(command: IoctlCommand, input: &'a [u8], output_size: usize) -> Self {
        Self {
            command,
            argument: 0,
            flags: IoctlFlags::empty(),
            input,
            output_size,
        }
    }

    /// Sets [`argument`](Self::argument).
    pub const fn argument(self, argument: u64) -> Self {
        Self { argument, ..self }
    }

    /// Sets [`flags`](Self::flags).
    pub const fn flags(self, flags: IoctlFlags) -> Self {
        Self { flags, ..self }
    }
}

/// The answer of `ioctl`: what ioctl(2) returns, and what is copied to where the caller's pointer leads.
///
/// ```
/// use fuse3::ioctl::IoctlReply;
/// let reply = IoctlReply::new(0).data(42_usize.to_ne_bytes());
/// # assert_eq!(reply.data.len(), size_of::<usize>());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IoctlReply {
    /// 0 or more; what is negative is a mistake, since an error is an [`Errno`](crate::Errno).
    pub result: c_int,
    /// At most [`Ioctl::output_size`] bytes.
    pub data: Vec<u8>,
    /// The call is to come once more.
    pub(crate) retry: Option<Box<Retry>>,
}

/// `struct iovec` of another process: memory of the process that called ioctl(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerMemory {
    /// Where it begins: [`Ioctl::argument`], or what was found in the memory that this leads to.
    pub address: u64,
    /// How many bytes it has.
    pub length: usize,
}

/// What is to be read and to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) input: Vec<CallerMemory>,
    pub(crate) output: Vec<CallerMemory>,
}

/// `FUSE_IOCTL_MAX_IOV`.
pub(crate) const MOST_PARTS: usize = 256;

impl IoctlReply {
    /// ioctl(2) returns `result`.
    pub const fn new(result: c_int) -> Self {
        Self {
            result,
            data: Vec::new(),
            retry: None,
        }
    }

    /// `fuse_reply_ioctl_retry()`: the call is to come once more, with what `input` has, one part after the other, as
    /// [`Ioctl::input`], and with room for `output`, where the data of its answer then goes, one part after the other.
    ///
    /// Where there is no such memory, the caller gets EFAULT. This is for character devices with
    /// [`unrestricted_ioctl`](crate::session::CharDevice::unrestricted_ioctl), whose calls have the flag
    /// [`UNRESTRICTED`](IoctlFlags::UNRESTRICTED), and come first with no input and no room:
    ///
    /// ```
    /// use fuse3::ioctl::{CallerMemory, Ioctl, IoctlReply};
    ///
    /// fn get_size(call: &Ioctl<'_>, size: usize) -> IoctlReply {
    ///     if call.output_size == 0 {
    ///         let to = CallerMemory { address: call.argument, length: size_of::<usize>() };
    ///         return IoctlReply::retry([], [to]);
    ///     }
    ///     IoctlReply::new(0).data(size.to_ne_bytes())
    /// }
    /// ```
    pub fn retry(
        input: impl Into<Vec<CallerMemory>>,
        output: impl Into<Vec<CallerMemory>>,
    ) -> Self {
        let (input, output) = (input.into(), output.into());
        Self {
            retry: Some(Box::new(Retry { input, output })),
            ..Self::new(0)
        }
    }

    /// Sets [`data`](Self::data).
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_linux() {
        // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FIEMAP, FIOCLEX.
        assert_eq!(IoctlCommand::read::<libc::c_long>(b'f', 1).0, 0x8008_6601);
        assert_eq!(IoctlCommand::write::<libc::c_long>(b'f', 2).0, 0x4008_6602);
        assert_eq!(
            IoctlCommand::read_write::<[u8; 32]>(b'f', 11).0,
            0xc020_660b
        );
        assert_eq!(IoctlCommand::none(b'T', 0x51).0, 0x5451);
    }
}
