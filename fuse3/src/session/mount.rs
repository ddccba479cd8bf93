//! The checks before a mount, so that each mistake has an error that says what to do.

use std::error::Error;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use parking_lot::Mutex;

use crate::base::os::open_device;
use crate::session::mountinfo::{MountInfo, Place, mounts_on};
use crate::session::options::OptionError;
use crate::sys::LayoutMismatch;

/// Why a file system was not mounted. Nothing was mounted then, and nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum MountError {
    /// The mount point cannot be used: its path, and why.
    MountPoint(PathBuf, Unusable),
    /// An option cannot be used.
    Option(OptionError),
    /// libfuse took the options for wrong; what it said names the one.
    Refused(String),
    /// /dev/fuse cannot be opened, or is something else.
    Device(io::Error),
    /// /dev/cuse, or what was set in its stead, cannot be opened: the kernel has no CUSE, or not for this user.
    Cuse(PathBuf, io::Error),
    /// A character device cannot have this name, or this number: why.
    CharDevice(String),
    /// The libfuse that was loaded is not one that this program can call.
    Layout(LayoutMismatch),
    /// No handler of signals could be installed, which [`Builder::handle_signals`](crate::Builder::handle_signals) asks for.
    Signals(io::Error),
    /// The socket of [`Builder::monitor`](crate::Builder::monitor) cannot be made.
    Monitor(PathBuf, io::Error),
    /// The mount on this descriptor was made by somebody else, and without these options, which the session asks for.
    NotInForce(PathBuf, Vec<String>),
    /// libfuse or the kernel refused the mount: what it said.
    Failed(PathBuf, String),
}

/// Why a mount point cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unusable {
    /// It has a NUL byte in it.
    Nul,
    /// It is not there, or cannot be reached.
    Io(io::Error),
    /// It is no directory, and [`Builder::over_file`](crate::Builder::over_file) was not called.
    NotADirectory,
    /// A file system that is mounted there has lost its server.
    Dead,
    /// A FUSE file system is mounted there already: its type. [`Builder::over_mount`](crate::Builder::over_mount) mounts over it.
    Busy(String),
    /// The user may not write to it, and so (fusermount3) not mount on it.
    NotWritable,
    /// It is `/dev/fd/N`, which is no argument of this process, was opened by the program itself, or was mounted on before:
    /// somebody in the program owns the descriptor. [`Builder::mount_fd`](crate::Builder::mount_fd) takes it.
    Descriptor,
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MountPoint(path, why) => {
                let path = path.display();
                match why {
                    Unusable::Nul => write!(f, "the mount point {path:?} has a NUL byte in it"),
                    Unusable::Io(error) if error.kind() == io::ErrorKind::NotFound => write!(
                        f,
                        "the mount point {path:?} cannot be used: {error}; create the directory first"
                    ),
                    Unusable::Io(error) => {
                        write!(f, "the mount point {path:?} cannot be used: {error}")
                    }
                    Unusable::NotADirectory => write!(
                        f,
                        "the mount point {path} is not a directory; over_file(true) mounts on a file"
                    ),
                    Unusable::Dead => write!(
                        f,
                        "a file system whose server has ended is mounted on {path}; unmount it with `fusermount3 -u {path}`"
                    ),
                    Unusable::Busy(kind) => write!(
                        f,
                        "a file system of type {kind} is mounted on {path} already; unmount it with `fusermount3 -u {path}`, \
                         or mount over it with over_mount(true) or -o nonempty"
                    ),
                    Unusable::NotWritable => write!(
                        f,
                        "the mount point {path} is not writable for you; users mount only on directories of their own"
                    ),
                    Unusable::Descriptor => write!(
                        f,
                        "the mount point {path} is a descriptor of this program, which a path does not hand over; \
                         Builder::mount_fd takes the descriptor itself"
                    ),
                }
            }
            Self::Option(error) => error.fmt(f),
            Self::Monitor(path, error) => write!(
                f,
                "the monitor's socket {path:?} cannot be made: {error}; choose another path, or remove what is there"
            ),
            Self::Refused(said) => write!(f, "the mount options were refused: {said}"),
            Self::Device(error) => {
                let what = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "let its users read and write it with `chmod 666 /dev/fuse`"
                    }
                    _ => "load the kernel's module with `modprobe fuse`",
                };
                write!(
                    f,
                    "/dev/fuse cannot be opened: {error}; {what}, or give the container the device"
                )
            }
            Self::Cuse(path, error) => {
                let what = match error.kind() {
                    io::ErrorKind::PermissionDenied => "only root may make character devices",
                    _ => {
                        "load the kernel's module with `modprobe cuse`; a kernel without CONFIG_CUSE cannot make \
                         character devices in user space"
                    }
                };
                write!(f, "{} cannot be opened: {error}; {what}", path.display())
            }
            Self::CharDevice(why) => write!(f, "the character device cannot be made: {why}"),
            Self::Layout(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "no signals can be handled: {error}"),
            Self::NotInForce(path, options) => write!(
                f,
                "the mount on {} was made without {}, which the file system asks for; give what mounts it the same options",
                path.display(),
                options.join(", ")
            ),
            Self::Failed(path, said) => write!(f, "mounting on {} failed: {said}", path.display()),
        }
    }
}

impl Error for MountError {}

impl From<MountError> for io::Error {
    fn from(error: MountError) -> Self {
        let kind = match &error {
            MountError::MountPoint(_, Unusable::Io(error))
            | MountError::Device(error)
            | MountError::Cuse(_, error)
            | MountError::Monitor(_, error) => error.kind(),
            MountError::MountPoint(_, Unusable::NotWritable) => io::ErrorKind::PermissionDenied,
            MountError::MountPoint(_, Unusable::NotADirectory) => io::ErrorKind::NotADirectory,
            MountError::MountPoint(_, Unusable::Busy(_) | Unusable::Dead) => {
                io::ErrorKind::ResourceBusy
            }
            MountError::MountPoint(_, Unusable::Nul | Unusable::Descriptor)
            | MountError::CharDevice(_)
            | MountError::Option(_)
            | MountError::NotInForce(..)
            | MountError::Refused(_) => io::ErrorKind::InvalidInput,
            MountError::Layout(_) => io::ErrorKind::Unsupported,
            MountError::Signals(_) | MountError::Failed(..) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The number N, when `path` is `/dev/fd/N`: libfuse then takes that descriptor, of a mount made by somebody else.
pub(crate) fn descriptor(path: &Path) -> Option<RawFd> {
    path.to_str()?.strip_prefix("/dev/fd/")?.parse().ok()
}

/// `device` as libfuse is to be told of it.
pub(crate) fn place(device: &OwnedFd) -> (PathBuf, CString) {
    let place = format!("/dev/fd/{}", device.as_raw_fd());
    // A number has no NUL.
    let c_place = CString::new(&*place).unwrap_or_default();
    (place.into(), c_place)
}

/// The descriptor `number`, which `path` names, if that is one of the `arguments` of this process; once.
pub(crate) fn inherited(
    path: &Path,
    number: RawFd,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<OwnedFd, MountError> {
    static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());
    let unusable = |why| MountError::MountPoint(path.to_owned(), why);
    // The first is the name of the program.
    let mut arguments = arguments.into_iter().skip(1);
    let mut taken = TAKEN.lock();
    if !arguments.any(|argument| argument == path) || taken.contains(&number) {
        return Err(unusable(Unusable::Descriptor));
    }
    // SAFETY: the call looks at a number, whatever it is.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => return Err(unusable(Unusable::Io(io::Error::last_os_error()))),
        // What execve(2) left open does not have it; what the program has opened itself does, from `std` at least.
        flags if flags & libc::FD_CLOEXEC != 0 => return Err(unusable(Unusable::Descriptor)),
        _ => {}
    }
    taken.push(number);
    // SAFETY: it is open, and was before the program began, for the session to own: whoever ran the program said so on its
    // command line. It has not been taken before.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The mount point as libfuse is to have it, absolute and with no links in it.
pub(crate) fn check(path: &Path, over_file: bool, over_mount: bool) -> Result<CString, MountError> {
    let unusable = |why| MountError::MountPoint(path.to_owned(), why);
    let c_path = |path: &OsStr| CString::new(path.as_bytes()).map_err(|_| unusable(Unusable::Nul));
    c_path(path.as_os_str())?;
    let io = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOTCONN) => unusable(Unusable::Dead),
        _ => unusable(Unusable::Io(error)),
    };
    let metadata = fs::metadata(path).map_err(io)?;
    let path = path.canonicalize().map_err(io)?;
    if !metadata.is_dir() && !over_file {
        return Err(unusable(Unusable::NotADirectory));
    }
    if !over_mount {
        // The last one is on top, unless all of them are hidden by a mount on a directory above. Without /proc nobody knows.
        let on_top = Place::open(&path).and_then(|place| place.mount_id());
        let mut mounts = mounts_on(&path).into_iter().rev();
        let top = mounts.find(|mount| on_top.is_none_or(|id| id == mount.id));
        if let Some(top) = top.filter(MountInfo::is_fuse) {
            return Err(unusable(Unusable::Busy(top.kind)));
        }
    }
    let c_path = c_path(path.as_os_str())?;
    // SAFETY: `c_path` is NUL-terminated.
    if !may_mount() && unsafe { libc::access(c_path.as_ptr(), libc::W_OK) } != 0 {
        return Err(unusable(Unusable::NotWritable));
    }
    // libfuse opens it first of all, and fusermount3 with the rights of the user.
    check_device().map_err(MountError::Device)?;
    Ok(c_path)
}

/// CAP_SYS_ADMIN is in effect, with which the kernel asks for no right to the mount point.
fn may_mount() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    effective.is_some_and(|bits| (bits >> CAP_SYS_ADMIN) & 1 == 1)
}

fn check_device() -> io::Result<()> {
    let kind = open_device("/dev/fuse")?.metadata()?.file_type();
    let other = || io::Error::other("it is not a character device");
    kind.is_char_device().then_some(()).ok_or_else(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn descriptors_are_told_from_paths() {
        assert_eq!(descriptor(Path::new("/dev/fd/7")), Some(7));
        assert_eq!(descriptor(Path::new("/dev/fd/x")), None);
        assert_eq!(descriptor(Path::new("/dev/fd")), None);
    }

    /// Another owner's number would be closed, and hit what is opened next.
    #[test]
    fn only_what_the_command_line_named_is_taken_and_once() {
        let file = fs::File::open("/dev/null").unwrap();
        let number = OwnedFd::from(file).into_raw_fd();
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        let arguments = |names: &[&str]| names.iter().map(OsString::from).collect::<Vec<_>>();
        let named = arguments(&["fs", "-f", path.to_str().unwrap()]);
        let refused = |arguments: &[OsString]| {
            let error = inherited(&path, number, arguments.iter().cloned()).unwrap_err();
            assert!(
                matches!(error, MountError::MountPoint(_, Unusable::Descriptor)),
                "{error}"
            );
            assert!(error.to_string().contains("Builder::mount_fd"), "{error}");
        };
        refused(&[]);
        refused(&named[2..]);
        refused(&arguments(&[
            "fs",
            "/mnt",
            "/dev/fd/",
            &format!("/dev/fd/{number}0"),
        ]));
        // The program has opened it.
        refused(&named);
        // SAFETY: the test has the descriptor; it now looks as one that was there before the program.
        assert_eq!(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }, 0);
        let taken = inherited(&path, number, named.clone()).unwrap();
        assert_eq!(taken.as_raw_fd(), number);
        refused(&named);
        drop(taken);
        refused(&named);
        let path = "/dev/fd/98765";
        let closed = inherited(Path::new(path), 98765, arguments(&["fs", path])).unwrap_err();
        assert!(closed.to_string().contains("/dev/fd/98765"), "{closed}");
    }
}
