use std::{fs, io};

use crate::sys;

/// Whether requests come over io_uring: [`Builder::io_uring`](crate::Builder::io_uring).
///
/// Over io_uring, kernel and file system exchange requests and answers in memory that they share, which saves the read(2) and
/// write(2) of each. It needs libfuse 3.18 that was built with liburing, Linux 6.14, and the kernel's permission, which root gives by
/// `echo Y > /sys/module/fuse/parameters/enable_uring`. [`Handle::connection`](crate::Handle::connection) says whether
/// [`OVER_IO_URING`](crate::Capabilities::OVER_IO_URING) was granted, [`Context::is_uring`](crate::Context::is_uring) how a
/// request came. What it is good for, and what it costs, is in the [guide](crate::guide::performance#io_uring).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IoUring {
    /// Requests come by the descriptor of /dev/fuse.
    #[default]
    Off,
    /// `-o io_uring`: over io_uring where libfuse and the kernel can, elsewhere by the descriptor.
    WhereOffered,
    /// Over io_uring or not at all. What is missing is an error: of [`mount`](crate::Builder::mount) where it can be known
    /// there; where only the kernel's first message tells, or libfuse was built without liburing, of
    /// [`run`](crate::Session::run).
    On,
}

impl IoUring {
    /// Whether libfuse takes the option.
    ///
    /// # Errors
    ///
    /// What it takes.
    pub(crate) fn known() -> Result<(), String> {
        let (header, library) = (sys::header_version(), sys::library_version());
        if sys::HAS_IO_URING && library >= [3, 18, 0] {
            return Ok(());
        }
        let [h0, h1, h2] = header;
        let [l0, l1, l2] = library;
        Err(format!(
            "io_uring needs libfuse 3.18; this program was built against {h0}.{h1}.{h2} and runs with {l0}.{l1}.{l2}"
        ))
    }

    /// Whether libfuse and kernel can, as far as that is known before the kernel's first message.
    ///
    /// # Errors
    ///
    /// What is missing, and what to do.
    pub(crate) fn offered() -> Result<(), String> {
        Self::known()?;
        permitted(fs::read_to_string(PARAMETER))
    }
}

const PARAMETER: &str = "/sys/module/fuse/parameters/enable_uring";

/// Whether the kernel's switch permits it. Where it cannot be read the kernel's first message says.
fn permitted(switch: io::Result<String>) -> Result<(), String> {
    match switch {
        Ok(value) if value.trim_end() == "N" => Err(format!(
            "io_uring is switched off in the kernel; root switches it on by `echo Y > {PARAMETER}`"
        )),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && fs::exists("/sys/module/fuse").unwrap_or(false) =>
        {
            Err(format!(
                "io_uring needs Linux 6.14 or later, built with CONFIG_FUSE_IO_URING: there is no {PARAMETER}"
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_of_the_kernel_decides() {
        assert_eq!(permitted(Ok("Y\n".to_owned())), Ok(()));
        let off = permitted(Ok("N\n".to_owned())).unwrap_err();
        assert!(
            off.contains("echo Y > /sys/module/fuse/parameters/enable_uring"),
            "{off}"
        );
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(permitted(Err(denied.into())), Ok(()));
    }

    #[test]
    fn what_libfuse_lacks_is_named() {
        let result = IoUring::known();
        assert_eq!(
            result.is_ok(),
            sys::HAS_IO_URING && sys::library_version() >= [3, 18, 0]
        );
        if let Err(error) = result {
            let [major, minor, patch] = sys::library_version();
            assert!(
                error.ends_with(&format!(" and runs with {major}.{minor}.{patch}")),
                "{error}"
            );
            assert_eq!(IoUring::offered(), Err(error));
        }
    }
}
