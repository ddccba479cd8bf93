use std::fmt;

use crate::sys;

bitflags::bitflags! {
    /// `FUSE_CAP_*`: what the kernel offers and a file system may ask for in [`init`](crate::Filesystem::init).
    ///
    /// Bits that have no name here are kept. The numbers are libfuse's (fuse_common.h), the same in all its releases. Where
    /// nothing else is said, libfuse asks for nothing by itself. See [`Connection::want`](crate::Connection::want).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Several reads of one file at once, in any order. Libfuse asks for it.
        const ASYNC_READ = 1 << 0;
        /// fcntl(2) locks come to `getlk` and `setlk`; otherwise the kernel keeps them by itself.
        const POSIX_LOCKS = 1 << 1;
        /// O_TRUNC comes with `open`, no `setattr` follows. Libfuse asks for it. It comes even where the kernel then fails the
        /// open with ETXTBSY: a running program loses its text. Without it, that is checked before the `setattr`.
        ///
        /// Your file system then has to drop the set-user-id and set-group-id bits and the file capabilities of a file that is cut
        /// by a caller without CAP_FSETID. Without this capability the kernel does it, with the `setattr`.
        const ATOMIC_O_TRUNC = 1 << 3;
        /// `lookup` knows "." and "..", so that the mount can be exported over NFS.
        const EXPORT_SUPPORT = 1 << 4;
        /// The umask is not applied to the modes of `mknod`, `mkdir`, `create` and `tmpfile`.
        ///
        /// Your file system then has to apply [`Context::umask`](crate::Context::umask) itself, except where the directory has a
        /// default ACL: the umask does not count there (acl(5)). So a file system with ACLs has to ask for this.
        const DONT_MASK = 1 << 6;
        /// Replies may be spliced to the kernel: what [`ReadBuf::splice`](crate::ReadBuf::splice) answers with, from two pages on.
        const SPLICE_WRITE = 1 << 7;
        /// Pages of such replies may be moved.
        const SPLICE_MOVE = 1 << 8;
        /// Requests are spliced from the kernel, and written data reach [`write_buf`](crate::Filesystem::write_buf) as a pipe,
        /// from about a page on. Not offered on musl, where a worker that waits in splice(2) cannot be told to end.
        const SPLICE_READ = 1 << 9;
        /// flock(2) locks come to `flock`; otherwise the kernel keeps them by itself.
        const FLOCK_LOCKS = 1 << 10;
        /// ioctl(2) on directories. Libfuse asks for it.
        const IOCTL_DIR = 1 << 11;
        /// A changed size or mtime empties the page cache of a file. Libfuse asks for it.
        const AUTO_INVAL_DATA = 1 << 12;
        /// The kernel reads directories with attributes: [`DirBuf::is_plus`](crate::DirBuf::is_plus).
        const READDIRPLUS = 1 << 13;
        /// Only where it seems to be worth it; of effect together with `READDIRPLUS`.
        const READDIRPLUS_AUTO = 1 << 14;
        /// Direct reads and writes need not wait for each other. Libfuse asks for it.
        const ASYNC_DIO = 1 << 15;
        /// Writes go to the page cache first. The kernel then keeps size, mtime and ctime; files that were opened for writing
        /// alone are read, too; O_APPEND is the kernel's business.
        const WRITEBACK_CACHE = 1 << 16;
        /// `open` that answers ENOSYS is not asked again. The kernel is not told whether it is wanted: it has the default `open`
        /// answer so. `ATOMIC_O_TRUNC` is not wanted then. Who answers ENOSYS without this has to unwant it: the kernel drops
        /// O_TRUNC otherwise, in silence.
        const NO_OPEN_SUPPORT = 1 << 17;
        /// `lookup` and `readdir` of one directory at once. Needs libfuse 3.17: older ones never tell the kernel.
        const PARALLEL_DIROPS = 1 << 18;
        /// POSIX ACLs: the kernel checks permissions by them. It reads and writes them as the extended attributes
        /// `system.posix_acl_access` and `system.posix_acl_default`. This turns `default_permissions` on.
        ///
        /// A file system that has these attributes and does not ask for this stores ACLs that nobody checks: whom an ACL denies a
        /// file may open it, since its mode has the ACL's mask in place of the group's permissions. `default_permissions` alone
        /// checks the mode.
        ///
        /// Your file system then has to
        ///
        /// - answer `getxattr` with ENODATA where there is no ACL. EOPNOTSUPP becomes the error of the caller's open(2), and after
        ///   ENOSYS, to any name, the kernel checks no ACL any more;
        /// - keep mode and ACL in step: `setattr` of the mode changes the mask, and an ACL that is set changes the mode;
        /// - give new files and directories the default ACL of their directory, for which it needs `DONT_MASK`;
        /// - drop the set-group-id bit when an ACL is set by a caller who is neither in the group of the file nor has CAP_FSETID.
        ///   The kernel says when, but libfuse does not pass it on.
        const POSIX_ACL = 1 << 19;
        /// The file system drops set-user-id and set-group-id bits itself. Libfuse asks for it. Needs libfuse 3.17.
        ///
        /// Your file system then has to drop them, and file capabilities, whenever a file is written, cut or given away, unless the
        /// caller of a write or cut has CAP_FSETID. It is not told who has, nor who wrote what comes from the page cache
        /// ([`FileInfo::writepage`]). [`Connection::unwant`](crate::Connection::unwant) leaves it to the kernel, except for direct
        /// I/O ([`Opened::direct_io`](crate::Opened::direct_io)), of which the kernel sends nothing but the write.
        ///
        /// [`FileInfo::writepage`]: crate::FileInfo::writepage
        const HANDLE_KILLPRIV = 1 << 20;
        /// The file system drops set-user-id and set-group-id bits itself: whenever a file is given away, and where the kernel
        /// says so in what `write` ([`FileInfo::kill_suidgid`]), `setattr` ([`SetAttr::kill_suidgid`]), `open`
        /// ([`Open::kill_suidgid`]) and `create` ([`Create::kill_suidgid`]) are given. One that leaves out any of these lets users keep
        /// such bits on files that they have changed. File capabilities go with every change, whoever makes it; `fallocate` and
        /// `copy_file_range` carry no such word, and the file system has to go by the caller. Needs libfuse 3.18.3: older ones do
        /// not pass all of it on, and the capability is not offered.
        ///
        /// [`FileInfo::kill_suidgid`]: crate::FileInfo::kill_suidgid
        /// [`SetAttr::kill_suidgid`]: crate::SetAttr::kill_suidgid
        /// [`Open::kill_suidgid`]: crate::Open::kill_suidgid
        /// [`Create::kill_suidgid`]: crate::Create::kill_suidgid
        const HANDLE_KILLPRIV_V2 = 1 << 21;
        /// Targets of symbolic links are cached.
        const CACHE_SYMLINKS = 1 << 23;
        /// `opendir` that answers ENOSYS is not asked again. Wanted, it has the default `opendir` answer so.
        const NO_OPENDIR_SUPPORT = 1 << 24;
        /// Only notifications empty the page cache; `AUTO_INVAL_DATA`, which libfuse asks for, comes first.
        const EXPLICIT_INVAL_DATA = 1 << 25;
        /// Entries can be expired rather than invalidated. Offered only: there is nothing to ask for.
        const EXPIRE_ONLY = 1 << 26;
        /// `setxattr` has flags of its own beside those of setxattr(2); libfuse does not pass them on.
        const SETXATTR_EXT = 1 << 27;
        /// mmap(2) with MAP_SHARED of files that are open with `direct_io`.
        const DIRECT_IO_ALLOW_MMAP = 1 << 28;
        /// The kernel reads and writes a file that the file system has opened: [`Context::open_backing`]. Not together with
        /// `WRITEBACK_CACHE`. Needs libfuse 3.17 and Linux 6.9.
        ///
        /// [`Context::open_backing`]: crate::Context::open_backing
        const PASSTHROUGH = 1 << 29;
        /// File handles (name_to_handle_at(2), NFS) are refused.
        const NO_EXPORT_SUPPORT = 1 << 30;
        /// Requests come over io_uring. libfuse asks for it with the option `io_uring`. Needs libfuse 3.18 and Linux 6.14.
        const OVER_IO_URING = 1 << 31;
        /// The mount may be idmapped. Needs libfuse 3.19 and Linux 6.12.
        const ALLOW_IDMAP = 1 << 32;
        /// New files come with the security context they are to have. Needs libfuse 3.19 and Linux 5.17.
        const SECURITY_CTX = 1 << 33;
        const _ = !0;
    }
}

/// Since which Linux, and since which libfuse where 3.10 does not have it.
const SINCE: &[(Capabilities, &str, Option<[u32; 3]>)] = &[
    (Capabilities::ASYNC_READ, "2.6.20", None),
    (Capabilities::POSIX_LOCKS, "2.6.21", None),
    (Capabilities::ATOMIC_O_TRUNC, "2.6.24", None),
    (Capabilities::EXPORT_SUPPORT, "2.6.29", None),
    (Capabilities::DONT_MASK, "2.6.31", None),
    (Capabilities::SPLICE_WRITE, "2.6.35", None),
    (Capabilities::SPLICE_MOVE, "2.6.35", None),
    (Capabilities::SPLICE_READ, "2.6.35", None),
    (Capabilities::FLOCK_LOCKS, "3.1", None),
    (Capabilities::IOCTL_DIR, "3.3", None),
    (Capabilities::AUTO_INVAL_DATA, "3.6", None),
    (Capabilities::READDIRPLUS, "3.9", None),
    (Capabilities::READDIRPLUS_AUTO, "3.9", None),
    (Capabilities::ASYNC_DIO, "3.10", None),
    (Capabilities::WRITEBACK_CACHE, "3.15", None),
    (Capabilities::NO_OPEN_SUPPORT, "3.15", None),
    (Capabilities::PARALLEL_DIROPS, "4.7", Some([3, 17, 0])),
    (Capabilities::POSIX_ACL, "4.9", None),
    (Capabilities::HANDLE_KILLPRIV, "4.9", Some([3, 17, 0])),
    (Capabilities::HANDLE_KILLPRIV_V2, "5.11", Some([3, 18, 3])),
    (Capabilities::CACHE_SYMLINKS, "4.20", None),
    (Capabilities::NO_OPENDIR_SUPPORT, "5.1", None),
    (Capabilities::EXPLICIT_INVAL_DATA, "5.2", None),
    (Capabilities::EXPIRE_ONLY, "6.2", Some([3, 13, 0])),
    (Capabilities::SETXATTR_EXT, "5.12", Some([3, 15, 0])),
    (Capabilities::DIRECT_IO_ALLOW_MMAP, "6.6", Some([3, 17, 0])),
    (Capabilities::PASSTHROUGH, "6.9", Some([3, 17, 0])),
    (Capabilities::NO_EXPORT_SUPPORT, "6.9", Some([3, 17, 0])),
    (Capabilities::OVER_IO_URING, "6.14", Some([3, 18, 0])),
    (Capabilities::ALLOW_IDMAP, "6.12", Some([3, 19, 0])),
    (Capabilities::SECURITY_CTX, "5.17", Some([3, 19, 0])),
];

impl Capabilities {
    /// Those that libfuse can ask the kernel for, or heeds by itself: the libfuse whose headers this crate was built against,
    /// and the one that was loaded.
    pub fn known() -> Self {
        // SAFETY: no precondition.
        let in_headers = Self::from_bits_retain(unsafe { sys::fuse3_known_capabilities() });
        in_headers.in_library(sys::header_version(), sys::library_version())
    }

    /// These, which the headers have, without those that a library older than the headers does not have yet.
    ///
    /// Otherwise the headers decide, since distributions backport.
    fn in_library(self, headers: [u32; 3], library: [u32; 3]) -> Self {
        if library >= headers {
            return self;
        }
        let newer = SINCE.iter().filter(|(_, _, since)| *since > Some(library));
        self - newer.map(|(capability, ..)| *capability).collect()
    }

    /// Those that this libfuse sets by itself and never tells the kernel.
    pub(crate) fn unheeded() -> Self {
        let all: Self = SINCE.iter().map(|(capability, ..)| *capability).collect();
        all - Self::known()
    }

    /// Their names.
    pub(crate) fn names(self) -> Vec<String> {
        self.iter().map(|one| one.0.to_string()).collect()
    }

    /// Writes, for each, who does not offer it, and since when they do.
    pub(crate) fn explain(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.iter().map(Self::why_not_offered);
        f.write_str(&each.collect::<Vec<_>>().join("; "))
    }

    /// The same of one.
    fn why_not_offered(self) -> String {
        let name = self.0.to_string();
        let Some((_, linux, libfuse)) = SINCE.iter().find(|(known, ..)| *known == self) else {
            return format!("neither kernel nor libfuse are known to offer {name}");
        };
        if Self::known().contains(self) {
            return format!("the kernel does not offer {name}, which needs Linux {linux}");
        }
        let libfuse = match libfuse {
            // Only that of the C library is missing there.
            None if self == Self::SPLICE_READ => "3.10 on glibc".to_owned(),
            None => "3.10".to_owned(),
            Some([major, minor, 0]) => format!("{major}.{minor}"),
            Some([major, minor, patch]) => format!("{major}.{minor}.{patch}"),
        };
        format!(
            "this libfuse does not know {name}, which needs libfuse {libfuse} and Linux {linux}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_says_what_it_needs() {
        for (_, capability) in Capabilities::all().iter_names() {
            assert!(
                SINCE.iter().any(|(known, ..)| *known == capability),
                "{capability:?}"
            );
        }
        let unknown = Capabilities::known() - SINCE.iter().map(|(known, ..)| *known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn an_older_library_does_not_know_what_the_headers_have() {
        let all: Capabilities = SINCE.iter().map(|(known, ..)| *known).collect();
        let lacks = |headers, library| all - all.in_library(headers, library);
        assert_eq!(
            lacks([3, 18, 3], [3, 18, 2]),
            Capabilities::HANDLE_KILLPRIV_V2
                | Capabilities::ALLOW_IDMAP
                | Capabilities::SECURITY_CTX
        );
        assert!(lacks([3, 13, 0], [3, 12, 0]).contains(Capabilities::EXPIRE_ONLY));
        assert!(!lacks([3, 13, 0], [3, 12, 0]).contains(Capabilities::ASYNC_READ));
        // Backports are in the headers, too.
        assert!(lacks([3, 17, 2], [3, 17, 2]).is_empty());
        assert!(lacks([3, 17, 2], [3, 18, 0]).is_empty());
    }

    #[test]
    fn unknown_bits_are_kept() {
        let bits = Capabilities::from_bits_retain((1 << 63) | 1);
        assert_eq!(bits.bits(), (1 << 63) | 1);
        assert_eq!(bits.iter().count(), 2);
    }
}
