//! The operations of libfuse's low-level API, by name.

use std::fmt;

/// Writes the enum, its names and its list from one table, so that they
/// cannot disagree.
macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// `struct fuse_lowlevel_ops`: which of its slots a request goes to.
        ///
        /// It names a request where one is reported: in
        /// [`LockStats`](crate::lock::LockStats), in logs, in errors. The values are
        /// the positions in [`Operation::ALL`]; they are no part of the kernel's
        /// protocol.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Operation {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Operation {
            /// Every operation, in the order of their values.
            pub const ALL: &[Operation] = &[$(Operation::$variant,)+];

            /// The slot's name in `struct fuse_lowlevel_ops`, such as `copy_file_range`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Operation::$variant => $name,)+
                }
            }
        }
    };
}

operations! {
    /// The session begins: the kernel and libfuse agree on a protocol version.
    Init = "init",
    /// The session ends.
    Destroy = "destroy",
    /// Finds a name in a directory.
    Lookup = "lookup",
    /// The kernel drops references to an inode.
    Forget = "forget",
    /// Reads the attributes of an inode.
    Getattr = "getattr",
    /// Changes attributes of an inode.
    Setattr = "setattr",
    /// Reads the target of a symbolic link.
    Readlink = "readlink",
    /// Creates a file that is not opened.
    Mknod = "mknod",
    /// Creates a directory.
    Mkdir = "mkdir",
    /// Removes a file.
    Unlink = "unlink",
    /// Removes a directory.
    Rmdir = "rmdir",
    /// Creates a symbolic link.
    Symlink = "symlink",
    /// Renames a file or a directory.
    Rename = "rename",
    /// Creates a hard link.
    Link = "link",
    /// Opens a file.
    Open = "open",
    /// Reads from a file.
    Read = "read",
    /// Writes to a file, whether the data comes as memory or as a pipe.
    Write = "write",
    /// A descriptor of a file is closed.
    Flush = "flush",
    /// The last descriptor of an open file is gone.
    Release = "release",
    /// Brings a file to stable storage.
    Fsync = "fsync",
    /// Opens a directory.
    Opendir = "opendir",
    /// Reads a directory.
    Readdir = "readdir",
    /// The last descriptor of an open directory is gone.
    Releasedir = "releasedir",
    /// Brings a directory to stable storage.
    Fsyncdir = "fsyncdir",
    /// Reads the figures of the file system.
    Statfs = "statfs",
    /// Sets an extended attribute.
    Setxattr = "setxattr",
    /// Reads an extended attribute.
    Getxattr = "getxattr",
    /// Lists the names of the extended attributes.
    Listxattr = "listxattr",
    /// Removes an extended attribute.
    Removexattr = "removexattr",
    /// Checks the permissions of a file.
    Access = "access",
    /// Creates a file and opens it.
    Create = "create",
    /// Asks for a POSIX record lock.
    Getlk = "getlk",
    /// Takes or releases a POSIX record lock.
    Setlk = "setlk",
    /// Maps a block of a file to a block of the device.
    Bmap = "bmap",
    /// A device control call on an open file.
    Ioctl = "ioctl",
    /// Asks whether an open file is ready.
    Poll = "poll",
    /// The kernel answers a request for its cached data.
    RetrieveReply = "retrieve_reply",
    /// The kernel drops references to several inodes.
    ForgetMulti = "forget_multi",
    /// Takes or releases a BSD lock.
    Flock = "flock",
    /// Reserves or releases space of a file.
    Fallocate = "fallocate",
    /// Reads a directory together with the attributes of its entries.
    Readdirplus = "readdirplus",
    /// Copies from one file to another.
    CopyFileRange = "copy_file_range",
    /// Finds data or a hole in a file.
    Lseek = "lseek",
    /// Creates and opens a file without a name.
    Tmpfile = "tmpfile",
    /// Reads the attributes of an inode as `statx(2)` wants them.
    Statx = "statx",
    /// Brings the whole file system to stable storage.
    Syncfs = "syncfs",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_values() {
        for (position, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(usize::from(*operation as u8), position, "{operation}");
        }
    }

    #[test]
    fn a_name_is_the_variant_in_libfuses_case() {
        for operation in Operation::ALL {
            let camel: String = operation
                .name()
                .split('_')
                .map(|word| word[..1].to_uppercase() + &word[1..])
                .collect();
            assert_eq!(camel, format!("{operation:?}"));
        }
    }

    #[test]
    fn it_can_be_padded_in_a_table() {
        assert_eq!(format!("[{:<8}]", Operation::Read), "[read    ]");
    }
}
