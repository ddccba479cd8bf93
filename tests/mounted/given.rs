//! Mounts that somebody else has made, and whose descriptor the program is given.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use fuse3::testing::{Mount, MountPoint};
use fuse3::{Builder, Concurrent, Errno, Filesystem, Session};

use crate::fixture::{c_string, force_unmount, is_root, require_mount, skip};
use crate::probe::Probe;

/// Mounts on `path`, as mount.fuse3(8) does with `drop_privileges`, and returns what is to be served.
pub(crate) fn mounted_on(path: &Path, kind: &str, flags: libc::c_ulong, options: &str) -> OwnedFd {
    let mut open = fs::OpenOptions::new();
    let device = open.read(true).write(true).open("/dev/fuse").unwrap();
    let data = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0{options}",
        device.as_raw_fd()
    );
    let (path, data) = (c_string(path), CString::new(data).unwrap());
    let kind = CString::new(kind).unwrap();
    // SAFETY: all four strings live and are NUL-terminated.
    let result = unsafe {
        libc::mount(
            c"given".as_ptr(),
            path.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    device.into()
}

struct Nothing;
impl Filesystem for Nothing {
    type Lock = Concurrent;
}

/// What one asks for of the builder; what the mount is to have for it; what of the error names it.
type Asked = (
    fn(Builder<Nothing>) -> Builder<Nothing>,
    libc::c_ulong,
    &'static str,
    &'static str,
);

const ASKED: [Asked; 9] = [
    (
        Builder::default_permissions,
        0,
        ",default_permissions",
        "default_permissions",
    ),
    (Builder::allow_other, 0, ",allow_other", "allow_other"),
    (Builder::allow_root, 0, ",allow_other", "allow_root"),
    (Builder::read_only, libc::MS_RDONLY, "", "ro"),
    (|b| b.option("noatime"), libc::MS_NOATIME, "", "noatime"),
    (|b| b.option("nosuid"), libc::MS_NOSUID, "", "nosuid"),
    (|b| b.option("sync"), libc::MS_SYNCHRONOUS, "", "sync"),
    (|b| b.max_read(8192), 0, ",max_read=8192", "max_read=8192"),
    (
        |b| b.options("max_read=1,rw,ro,max_read=65536"),
        libc::MS_RDONLY,
        ",max_read=65536",
        "ro, max_read=65536",
    ),
];

/// Without `default_permissions`, say, every user could do everything.
#[test]
fn what_is_asked_for_and_not_in_force_is_an_error_that_names_it() {
    require_mount!();
    if !is_root() {
        return skip("mounts by hand", "only root may");
    }
    for (ask, flags, options, named) in ASKED {
        let point = MountPoint::new();
        let asked = || ask(Session::builder(Nothing, Concurrent));
        let device = mounted_on(point.path(), "fuse.given", 0, "");
        let place = format!("/dev/fd/{}", device.as_raw_fd());
        let error = asked().mount_fd(device);
        let error = error.expect_err(named).to_string();
        assert!(error.contains(named), "{named}: {error}");
        assert!(error.contains(&place), "{named}: {error}");
        force_unmount(point.path());
        // The descriptor is closed, and with it the connection.
        let device = mounted_on(point.path(), "fuse.given", flags, options);
        asked().mount_fd(device).expect(named);
        force_unmount(point.path());
    }
}

#[test]
fn what_is_in_force_is_served_whatever_else_is_mounted() {
    require_mount!();
    if !is_root() {
        return skip("mounts by hand", "only root may");
    }
    let other = Probe::new().mount();
    let point = MountPoint::new();
    let device = mounted_on(
        point.path(),
        "fuse.given",
        libc::MS_NOSUID,
        ",default_permissions",
    );
    let builder = Probe::new().builder().default_permissions();
    // A name is no right, and what the library does itself is in force.
    let options = "nosuid,dev,exec,rw,fsname=x,subtype=y,max_write=65536";
    let session = builder
        .options(options)
        .debug(false)
        .mount_fd(device)
        .unwrap();
    let path = point.path().to_owned();
    let mut mount = Mount::run(point, session);
    File::open(path.join("file")).unwrap();
    let missing = fs::metadata(path.join("missing")).unwrap_err();
    assert_eq!(missing.raw_os_error(), Some(Errno::ENOENT.raw()));
    force_unmount(&path);
    mount.ended();
    other.end();
}
