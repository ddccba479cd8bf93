//! Which mount is where: /proc/self/mountinfo, and what the kernel tells of an open path.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, mem};

use crate::session::handover::record::Mounted;
use crate::session::options::Options;

/// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
pub(crate) struct MountInfo {
    pub(crate) id: u64,
    /// `major:minor`.
    pub(crate) device: String,
    pub(crate) point: PathBuf,
    /// Of the mount, and of the file system.
    pub(crate) options: Vec<String>,
    pub(crate) kind: String,
}

impl MountInfo {
    /// All mounts that this process sees; none without /proc.
    pub(crate) fn all() -> Vec<Self> {
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let lines = mounts.split(|byte| *byte == b'\n');
        lines.filter_map(Self::parse).collect()
    }

    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let mut fields = line.split(|byte| *byte == b' ');
        let id = text(fields.next()?).parse().ok()?;
        let device = text(fields.nth(1)?);
        let point = PathBuf::from(OsStr::from_bytes(&unescape(fields.nth(1)?)));
        let of_mount = text(fields.next()?);
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = text(fields.next()?);
        let of_all = format!("{of_mount},{}", text(fields.nth(1)?));
        let options = of_all.split(',').map(str::to_owned).collect();
        Some(Self {
            id,
            device,
            point,
            options,
            kind,
        })
    }

    pub(crate) fn is_fuse(&self) -> bool {
        matches!(&*self.kind, "fuse" | "fuseblk") || self.kind.starts_with("fuse.")
    }
}

/// What is mounted right on `path`, which is absolute; the last one is on top.
pub(crate) fn mounts_on(path: &Path) -> Vec<MountInfo> {
    let mut all = MountInfo::all();
    all.retain(|mount| mount.point == path);
    all
}

/// The mounts that `device` may serve; `None` when it is no /dev/fuse. Linux before 6.16 does not tell which it is; there they are
/// all that there are of FUSE.
pub(crate) fn served_by(device: &OwnedFd) -> Option<Vec<MountInfo>> {
    /// `FUSE_MINOR` of the kernel's `MISC_MAJOR`.
    const FUSE: libc::dev_t = libc::makedev(10, 229);
    let Ok(copy) = device.try_clone() else {
        // Then nothing is known to be in force.
        return Some(Vec::new());
    };
    let metadata = fs::File::from(copy).metadata().ok()?;
    if !metadata.file_type().is_char_device() || metadata.rdev() != FUSE {
        return None;
    }
    let number: Option<u32> = fdinfo(device, "fuse_connection:");
    // A `dev_t` of the kernel.
    let connection = number.map(|number| format!("{}:{}", number >> 20, number & 0xf_ffff));
    let mut all = MountInfo::all();
    all.retain(|mount| mount.is_fuse() && connection.as_ref().is_none_or(|it| *it == mount.device));
    Some(all)
}

/// The number that /proc has in this line on a descriptor, if it has one.
fn fdinfo<N: FromStr>(of: &impl AsRawFd, line: &str) -> Option<N> {
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", of.as_raw_fd())).ok()?;
    let number = told.lines().find_map(|told| told.strip_prefix(line));
    number?.trim().parse().ok()
}

/// A path that was opened without asking its file system for anything.
pub(crate) struct Place(fs::File);

impl Place {
    /// `None` where there is no such path.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let mut options = fs::File::options();
        let options = options.read(true).custom_flags(libc::O_PATH);
        options.open(path).ok().map(Self)
    }

    /// The mount that it is in, which is on top there.
    pub(crate) fn mount_id(&self) -> Option<u64> {
        fdinfo(&self.0, "mnt_id:")
    }

    /// The number of that mount which no other has ever had, from Linux 6.8 on. (Those of mountinfo are given out again.)
    fn unique_id(&self) -> Option<u64> {
        // SAFETY: `struct statx` is integers, for which zero is a value.
        let mut told: libc::statx = unsafe { mem::zeroed() };
        let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
        let (fd, unique) = (self.0.as_raw_fd(), libc::STATX_MNT_ID_UNIQUE);
        // SAFETY: the descriptor is open, the path NUL-terminated, and `told` lives.
        let result = unsafe { libc::statx(fd, c"".as_ptr(), flags, unique, &raw mut told) };
        (result == 0 && told.stx_mask & unique != 0).then_some(told.stx_mnt_id)
    }

    /// umount2(2) of what is mounted there, and of nothing that has taken its place meanwhile; it goes once nobody uses it.
    fn unmount(&self) -> bool {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        // A number has no NUL.
        let path = CString::new(path).unwrap_or_default();
        // SAFETY: `path` is NUL-terminated.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) == 0 }
    }
}

/// A mount that is this process's to unmount.
pub(crate) struct Own {
    mount: MountInfo,
    unique: Option<u64>,
}

impl Own {
    /// What has just been mounted on `point`; `None` without /proc, and where it is the descriptor of a mount of others.
    pub(crate) fn on(point: &Path) -> Option<Self> {
        let place = Place::open(point)?;
        let id = place.mount_id()?;
        let is_own = |it: &MountInfo| it.id == id && it.is_fuse();
        let mount = MountInfo::all().into_iter().find(is_own)?;
        let unique = place.unique_id();
        Some(Self { mount, unique })
    }

    /// For a process that is to have it.
    pub(crate) fn recorded(&self) -> Mounted {
        Mounted {
            id: self.mount.id,
            device: self.mount.device.clone(),
            point: self.mount.point.clone(),
            unique: self.unique,
        }
    }

    /// The mount that another process has recorded. The error says what was wrong.
    pub(crate) fn find(recorded: &Mounted) -> Result<Self, String> {
        let (id, device, point) = (recorded.id, &recorded.device, recorded.point.display());
        let is_it = |it: &MountInfo| it.is_fuse() && it.id == id && it.device == *device;
        let found = MountInfo::all().into_iter().find(is_it);
        let mount =
            found.ok_or_else(|| format!("mount {id} ({device}) on {point} is not there"))?;
        let place = Place::open(&mount.point).filter(|it| it.mount_id() == Some(id));
        let unique = place.and_then(|place| place.unique_id());
        match recorded.unique.zip(unique) {
            Some((was, is)) if was != is => Err(format!("another is mounted on {point}")),
            _ => Ok(Self {
                mount,
                unique: recorded.unique,
            }),
        }
    }

    pub(crate) fn is(&self, mount: &MountInfo) -> bool {
        mount.id == self.mount.id && mount.device == self.mount.device
    }

    /// Which of the options are not in force there.
    pub(crate) fn lacking(&self, options: &Options) -> Vec<String> {
        options.not_in_force(std::slice::from_ref(&self.mount))
    }

    /// Unmounts it, wherever it is by now, and nothing else. False where it is in its place, and this process may not.
    pub(crate) fn unmount(&self) -> bool {
        let Self { mount, unique } = self;
        let is_own =
            |it: &MountInfo| it.is_fuse() && it.id == mount.id && it.device == mount.device;
        let Some(now) = MountInfo::all().into_iter().find(&is_own) else {
            // Somebody has unmounted it.
            return true;
        };
        let on_top = Place::open(&now.point).filter(|it| it.mount_id() == Some(mount.id));
        if let Some(place) = &on_top {
            let ids = unique.zip(place.unique_id());
            if ids.is_some_and(|(was, is)| was != is) {
                return true;
            }
            let unmounted = place.unmount();
            if unmounted || now.point == mount.point {
                return unmounted;
            }
        }
        if !MountInfo::all().iter().any(is_own) {
            // Somebody has unmounted it meanwhile.
            return true;
        }
        crate::base::log::warn!(
            "the file system is left mounted on {}: {}",
            now.point.display(),
            if on_top.is_some() {
                "it was moved there"
            } else {
                "something else is mounted on top"
            }
        );
        true
    }
}

/// `\040` and the like, as the kernel writes white space and backslashes in mountinfo.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        let code = after.get(..3).filter(|_| *byte == b'\\').and_then(octal);
        out.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_unescaped() {
        assert_eq!(unescape(br"/a\040b\134c"), b"/a b\\c");
        assert_eq!(unescape(br"/a\0"), br"/a\0");
    }

    #[test]
    fn a_line_is_taken_apart() {
        let line = br"36 35 0:98 /of /mnt\0402 rw,noatime master:1 shared:2 - fuse.x src rw,user_id=0,max_read=4096";
        let mount = MountInfo::parse(line).unwrap();
        assert_eq!((mount.id, &*mount.device), (36, "0:98"));
        assert_eq!(mount.point, Path::new("/mnt 2"));
        assert!(mount.is_fuse());
        let options = ["rw", "noatime", "rw", "user_id=0", "max_read=4096"];
        assert_eq!(mount.options, options);
        assert!(MountInfo::parse(b"").is_none());
    }
}
