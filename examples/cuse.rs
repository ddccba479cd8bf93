//! A character device in user space: `cuse [options] --name=NAME`, as root, makes `/dev/NAME` until it is ended.
//!
//! What is written to the device can be read again. Its size can be asked for and set by ioctl(2), and so can its contents
//! be read and written: by commands whose numbers say nothing about their data, so that the kernel cannot copy it by itself.
//! The device says, in answer to the first call, where the caller's structure is; in answer to the second, where the memory is
//! that this leads to; and the third does what was asked for.
//!
//! The same device as libfuse's cuse.c makes, for its client cuse_client.c, in llfuse's style. It needs a kernel with CUSE:
//! `modprobe cuse`.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use fuse3::ReadBuf;
use fuse3::cmdline::{Command, CommandLineError};
use fuse3::connection::SettingError;
use fuse3::context::Guard;
use fuse3::ioctl::CallerMemory;
use fuse3::ioctl::Ioctl;
use fuse3::ioctl::{IoctlCommand, IoctlFlags, IoctlReply};
use fuse3::session::CharDevice;
use fuse3::{Answer, CommandLine, Connection};
use fuse3::{Context, Data, Errno, FileInfo, Filesystem, GlobalLock, Ino};

/// `_IOR('E', 0, size_t)`.
const GET_SIZE: IoctlCommand = IoctlCommand::read::<usize>(b'E', 0);
/// `_IOW('E', 1, size_t)`.
const SET_SIZE: IoctlCommand = IoctlCommand::write::<usize>(b'E', 1);
/// `_IO('E', 2)`: of a [`Transfer`].
const READ: IoctlCommand = IoctlCommand::none(b'E', 2);
/// `_IO('E', 3)`: the same.
const WRITE: IoctlCommand = IoctlCommand::none(b'E', 3);

/// So that a client that sets a size does not take all memory there is.
const MOST: usize = 1 << 30;

/// A `size_t` or a pointer, in bytes.
const WORD: usize = size_of::<usize>();

/// `struct fioc_rw_arg`: offset, buffer, size; and, for the caller to be given, the size of the device before and after.
struct Transfer {
    offset: usize,
    buffer: CallerMemory,
}

impl Transfer {
    /// All of the structure; the `off_t` is as wide as a pointer on 64-bit machines.
    const SIZE: usize = size_of::<libc::off_t>() + 4 * WORD;
    /// Where the two sizes are that are given.
    const GIVEN: usize = Self::SIZE - 2 * WORD;

    /// What the caller's structure says, and what came after it.
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), Errno> {
        let (transfer, rest) = bytes.split_at_checked(Self::SIZE).ok_or(Errno::EINVAL)?;
        let (offset, words) = transfer.split_at(size_of::<libc::off_t>());
        let offset = offset.try_into().map_err(|_| Errno::EINVAL)?;
        let mut words = words.chunks_exact(WORD).map(word);
        let mut next = || words.next().unwrap_or(Err(Errno::EINVAL));
        let (address, length) = (next()?, next()?);
        let transfer = Self {
            offset: usize::try_from(libc::off_t::from_ne_bytes(offset))
                .map_err(|_| Errno::EINVAL)?,
            buffer: CallerMemory {
                address: address as u64,
                length,
            },
        };
        Ok((transfer, rest))
    }
}

/// A `size_t`.
fn word(bytes: &[u8]) -> Result<usize, Errno> {
    let bytes = bytes.try_into().map_err(|_| Errno::EINVAL)?;
    Ok(usize::from_ne_bytes(bytes))
}

/// What the lock guards: the contents of the device.
#[derive(Debug, Default)]
pub(crate) struct Contents(Vec<u8>);

impl Contents {
    /// Cuts them, or adds zeros.
    fn resize(&mut self, size: usize) -> Result<(), Errno> {
        let more = size.saturating_sub(self.0.len());
        if size > MOST || self.0.try_reserve(more).is_err() {
            return Err(Errno::ENOMEM);
        }
        self.0.resize(size, 0);
        Ok(())
    }

    /// At most `size` bytes from `offset` on.
    fn read(&self, offset: usize, size: usize) -> &[u8] {
        let rest = self.0.get(offset..).unwrap_or(&[]);
        &rest[..size.min(rest.len())]
    }

    fn write(&mut self, offset: usize, data: &[u8]) -> Result<(), Errno> {
        let end = offset.checked_add(data.len()).ok_or(Errno::ENOMEM)?;
        if end > self.0.len() {
            self.resize(end)?;
        }
        self.0[offset..end].copy_from_slice(data);
        Ok(())
    }

    /// The sizes that the caller of a [`Transfer`] is given.
    fn sizes(&self, before: usize) -> Vec<u8> {
        [before, self.0.len()].map(usize::to_ne_bytes).concat()
    }
}

pub(crate) struct Device;
type Cx<'a> = Context<'a, Device>;

impl Filesystem for Device {
    type Lock = Arc<GlobalLock<Contents>>;

    /// No handler here waits, so that nobody needs to interrupt one.
    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        match connection.set_no_interrupt(true) {
            // An older libfuse, which tells of each interrupt.
            Ok(()) | Err(SettingError::Missing { .. }) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let size = out.size();
        Ok(out.copy_from(cx.read(offset, size)))
    }

    fn write(
        &self,
        cx: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        let offset = usize::try_from(offset).map_err(|_| Errno::ENOMEM)?;
        cx.write(offset, data)?;
        Ok(data.len())
    }

    fn ioctl(&self, cx: &mut Cx<'_>, _: Ino, _: &FileInfo, call: &Ioctl<'_>) -> Answer<IoctlReply> {
        // The structures of a 32-bit program are others.
        if call.flags.contains(IoctlFlags::COMPAT) {
            return Err(Errno::ENOSYS.into());
        }
        let memory = |length| CallerMemory {
            address: call.argument,
            length,
        };
        match call.command {
            GET_SIZE if call.output_size == 0 => Ok(IoctlReply::retry([], [memory(WORD)])),
            GET_SIZE => Ok(IoctlReply::new(0).data(cx.0.len().to_ne_bytes())),
            SET_SIZE if call.input.is_empty() => Ok(IoctlReply::retry([memory(WORD)], [])),
            SET_SIZE => {
                cx.resize(word(call.input)?)?;
                Ok(IoctlReply::new(0))
            }
            READ | WRITE if call.input.is_empty() => {
                Ok(IoctlReply::retry([memory(Transfer::SIZE)], []))
            }
            READ | WRITE => transfer(cx, call),
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

/// A call that has brought the caller's structure.
fn transfer(contents: &mut Contents, call: &Ioctl<'_>) -> Answer<IoctlReply> {
    let (transfer, data) = Transfer::read(call.input)?;
    let structure = CallerMemory {
        address: call.argument,
        length: Transfer::SIZE,
    };
    let sizes = CallerMemory {
        address: call.argument.saturating_add(Transfer::GIVEN as u64),
        length: 2 * WORD,
    };
    if call.output_size == 0 {
        return Ok(if call.command == READ {
            IoctlReply::retry([structure], [sizes, transfer.buffer])
        } else {
            IoctlReply::retry([structure, transfer.buffer], [sizes])
        });
    }
    let before = contents.0.len();
    let (count, read) = if call.command == READ {
        // The caller may have changed its structure since the kernel made room.
        let room = call.output_size.saturating_sub(sizes.length);
        let size = transfer.buffer.length.min(room);
        let read = contents.read(transfer.offset, size).to_vec();
        (read.len(), read)
    } else {
        contents.write(transfer.offset, data)?;
        (data.len(), Vec::new())
    };
    let reply = [contents.sizes(before), read].concat();
    let count = i32::try_from(count).map_err(|_| Errno::EINVAL)?;
    Ok(IoctlReply::new(count).data(reply))
}

#[derive(Clone, Debug, Default)]
struct Options {
    major: u32,
    minor: u32,
    name: Option<OsString>,
}

const USAGE: &str = "\
usage: cuse [options]

options:
    --help|-h             print this help message
    --maj=MAJ|-M MAJ      device major number
    --min=MIN|-m MIN      device minor number
    --name=NAME|-n NAME   device name (mandatory)
    -d   -o debug         enable debug output (implies -f)
    -f                    foreground operation
    -s                    disable multi-threaded operation
";

fn serve(command: &Command<Options>) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Options { major, minor, name } = &command.options;
    let name = name.as_ref().ok_or("device name missing")?;
    let device = CharDevice::new(name)
        .number(*major, *minor)
        .unrestricted_ioctl(true);
    let builder = command.builder(Device, Arc::default());
    let session = builder.character_device(&device)?;
    session.daemonize(command.foreground)?.run()?;
    // A signal is how a device is ended.
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let line = CommandLine::new(Options::default())
        .without_mount_point()
        // As in C: of no effect, but that a program with a mount point would answer it.
        .flag("-V", "", |_| ())
        .flag("--version", "", |_| ())
        .value("--maj=MAJ", "", |options, major| options.major = major)
        .value("-M MAJ", "", |options, major| options.major = major)
        .value("--min=MIN", "", |options, minor| options.minor = minor)
        .value("-m MIN", "", |options, minor| options.minor = minor)
        .path("--name=NAME", "", |options, name| {
            options.name = Some(name.into())
        })
        .path("-n NAME", "", |options, name| {
            options.name = Some(name.into())
        });
    let result = match line.parse(std::env::args_os()) {
        Ok(command) => serve(&command),
        // To stderr, and no success: as the C one, which makes no device then.
        Err(CommandLineError::Help) => {
            eprint!("{USAGE}");
            return ExitCode::FAILURE;
        }
        Err(error) => Err(error.into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("cuse: {error}");
        ExitCode::FAILURE
    })
}
