//! What this libfuse and this kernel can deliver.

use std::{fmt, mem};

use crate::sys;
use crate::types::operation::Operation;

/// What an operation needs to be delivered, and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// A program that was built against this release of libfuse or a newer one, and runs with one.
    Libfuse([u32; 2]),
    /// A kernel that speaks this version of the protocol or a newer one.
    Protocol((u32, u32)),
}

/// No request for this operation can arrive: its handler is never called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedOperation {
    /// Which.
    pub operation: Operation,
    /// Why.
    pub needs: Needs,
}

impl fmt::Display for UnsupportedOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation;
        match self.needs {
            Needs::Libfuse([major, minor]) => {
                let [h0, h1, h2] = sys::header_version();
                let [l0, l1, l2] = sys::library_version();
                write!(
                    f,
                    "{operation} needs libfuse {major}.{minor}; this program was built against {h0}.{h1}.{h2} and \
                     runs with {l0}.{l1}.{l2}"
                )
            }
            Needs::Protocol((major, minor)) => write!(
                f,
                "{operation} needs a kernel with version {major}.{minor} of the FUSE protocol"
            ),
        }
    }
}

impl std::error::Error for UnsupportedOperation {}

impl Operation {
    /// Whether this libfuse can deliver requests for the operation: its headers, when the program was built, and the
    /// library that was loaded.
    ///
    /// Of those that every supported libfuse has, it always can. What the kernel sends is another question:
    /// [`Connection::delivers`](crate::Connection::delivers).
    ///
    /// # Errors
    ///
    /// The release that it takes.
    pub fn delivered(self) -> Result<(), UnsupportedOperation> {
        // SAFETY: every member is a nullable function pointer.
        let mut ops: sys::fuse_lowlevel_ops = unsafe { mem::zeroed() };
        let ops = &raw mut ops;
        let (known, release) = match self {
            // SAFETY: `ops` lives; the call sets a member of it to null, or does nothing.
            Self::Tmpfile => (unsafe { sys::fuse3_ops_set_tmpfile(ops, None) }, [3, 17]),
            // SAFETY: as above.
            Self::Statx => (unsafe { sys::fuse3_ops_set_statx(ops, None) }, [3, 18]),
            // SAFETY: as above.
            Self::Syncfs => (unsafe { sys::fuse3_ops_set_syncfs(ops, None) }, [3, 19]),
            _ => return Ok(()),
        };
        // A library that is older than the headers cuts the table off at what it knows.
        let [header, library] = [sys::header_version(), sys::library_version()];
        let cut_off = library < header && library[..2] < release[..];
        if known == 1 && !cut_off {
            return Ok(());
        }
        Err(UnsupportedOperation {
            operation: self,
            needs: Needs::Libfuse(release),
        })
    }

    /// The minor version of the protocol that brought it (include/uapi/linux/fuse.h); 0 for what was there before 7.11.
    pub(crate) const fn minor(self) -> u32 {
        match self {
            Self::Ioctl | Self::Poll => 11,
            Self::RetrieveReply => 15,
            Self::ForgetMulti => 16,
            Self::Flock => 17,
            Self::Fallocate => 19,
            Self::Readdirplus => 21,
            Self::Lseek => 24,
            Self::CopyFileRange => 28,
            Self::Syncfs => 34,
            Self::Tmpfile => 37,
            Self::Statx => 39,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_libfuse_delivers() {
        let lacking = |operation: Operation| operation.delivered().err();
        let version = sys::library_version();
        for operation in Operation::ALL {
            let release = match operation {
                Operation::Tmpfile => [3, 17],
                Operation::Statx => [3, 18],
                Operation::Syncfs => [3, 19],
                _ => [3, 0],
            };
            let missing = version[..2] < release[..];
            assert_eq!(lacking(*operation).is_some(), missing, "{operation}");
            if let Some(error) = lacking(*operation) {
                assert_eq!(error.needs, Needs::Libfuse(release));
                let text = error.to_string();
                let [major, minor] = release;
                assert!(
                    text.starts_with(&format!("{operation} needs libfuse {major}.{minor};")),
                    "{text}"
                );
            }
        }
    }
}
