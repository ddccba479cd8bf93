//! What the crate `rustix` knows of files, as answers.

use rustix::fs;

use crate::types::attr::{Attr, Timestamp};
use crate::types::{ino::Ino, statfs::StatVfs};

/// As from [`Metadata`](std::fs::Metadata), with the feature `rustix`.
impl From<&fs::Stat> for Attr {
    fn from(of: &fs::Stat) -> Self {
        // The types of the members differ from one architecture to the next.
        Self {
            nlink: u32::try_from(of.st_nlink).unwrap_or(u32::MAX),
            uid: of.st_uid,
            gid: of.st_gid,
            rdev: of.st_rdev,
            size: u64::try_from(of.st_size).unwrap_or(0),
            blksize: u32::try_from(of.st_blksize).unwrap_or(0),
            blocks: u64::try_from(of.st_blocks).unwrap_or(0),
            atime: Timestamp::new(of.st_atime, u32::try_from(of.st_atime_nsec).unwrap_or(0)),
            mtime: Timestamp::new(of.st_mtime, u32::try_from(of.st_mtime_nsec).unwrap_or(0)),
            ctime: Timestamp::new(of.st_ctime, u32::try_from(of.st_ctime_nsec).unwrap_or(0)),
            ..Self::new(Ino(of.st_ino), of.st_mode)
        }
    }
}

/// What statvfs(3) says of the file system that is shown, with the feature `rustix`. Numbers that 32 bits do not hold become the
/// largest that they do.
impl From<&fs::StatVfs> for StatVfs {
    fn from(of: &fs::StatVfs) -> Self {
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            bsize: small(of.f_bsize),
            frsize: small(of.f_frsize),
            blocks: of.f_blocks,
            bfree: of.f_bfree,
            bavail: of.f_bavail,
            files: of.f_files,
            ffree: of.f_ffree,
            namemax: small(of.f_namemax),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn rustix_and_std_see_the_same() {
        for path in ["/", "/dev/null", "/proc/self/status", "/etc/passwd"] {
            let file = File::open(path).unwrap();
            let stat = fs::fstat(&file).unwrap();
            let by_std = Attr::from(&file.metadata().unwrap());
            assert_eq!(Attr::from(&stat), by_std, "{path}");
            assert_eq!(by_std.ino.0, stat.st_ino);
        }
    }

    #[test]
    fn a_file_system_is_as_large_as_it_is() {
        let of = fs::statvfs("/proc").unwrap();
        let shown = StatVfs::from(&of);
        assert_eq!(u64::from(shown.bsize), of.f_bsize);
        assert_eq!((shown.blocks, shown.ffree), (of.f_blocks, of.f_ffree));
        let huge = fs::StatVfs {
            f_bsize: u64::MAX,
            ..of
        };
        assert_eq!(StatVfs::from(&huge).bsize, u32::MAX);
    }
}
