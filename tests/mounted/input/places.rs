//! Where a mount is on top of another, and whose right it is to mount there.

use super::*;

/// Binds `from` on `to`.
fn bind(from: &Path, to: &Path) {
    let (from, to) = (c_string(from), c_string(to));
    // SAFETY: the strings are NUL-terminated; neither type nor data are looked at.
    let bound = unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            ptr::null(),
            libc::MS_BIND,
            ptr::null(),
        )
    };
    assert_eq!(bound, 0, "{}", io::Error::last_os_error());
}

/// A FUSE volume of a container is one.
#[test]
fn a_file_system_is_mounted_over_where_that_is_allowed() {
    require_mount!();
    if !is_root() {
        return skip(this_test!(), "only root may bind");
    }
    let below = Mount::new(Probe::new().builder().subtype("below"));
    let volume = MountPoint::new();
    bind(below.path(), volume.path());
    for path in [below.path(), volume.path()] {
        let parts = ["fuse.below", "over_mount(true)", "-o nonempty"];
        refused(bad(), path, &parts);
        let allowed: [fn(Builder<Probe>) -> Builder<Probe>; 2] =
            [|it| it.over_mount(true), |it| it.options("ro,nonempty")];
        for allow in allowed {
            let session = allow(Probe::new().builder()).mount(path).unwrap();
            while_served(path, session, || {
                assert_eq!(mounts_on(path).len(), 2);
                File::open(path.join("file")).unwrap();
            });
            assert_eq!(mounts_on(path).len(), 1);
        }
    }
    // By force, it would end the connection.
    let volume_s = c_string(volume.path());
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::umount2(volume_s.as_ptr(), 0) }, 0);
    below.end();
}

/// The kernel's list still has it.
#[test]
fn what_is_hidden_by_a_mount_above_is_not_there() {
    require_mount!();
    if !is_root() {
        return skip(this_test!(), "only root may bind");
    }
    let dir = TempDir::new();
    let path = dir.path().join("mnt");
    fs::create_dir(&path).unwrap();
    let hidden = Probe::new().builder().mount(&path).unwrap();
    mount_on(c"tmpfs", &c_string(dir.path()), 0).unwrap();
    fs::create_dir(&path).unwrap();
    let session = Probe::new().builder().mount(&path).unwrap();
    while_served(&path, session, || {
        File::open(path.join("file")).unwrap();
    });
    force_unmount(dir.path());
    hidden.close();
}

/// The right is a capability, which a user may have, and root may lack.
#[test]
fn a_user_with_the_capability_mounts_on_a_directory_of_root_s() {
    const CAP_SYS_ADMIN: u64 = 21;
    require_mount!();
    if !may_have_own_mounts(this_test!()) {
        return;
    }
    child::run_with(this_test!(), own_mounts, || {
        let device = fuse_device();
        let _dev = Dev::new(0);
        node(c"/dev/fuse", 0o666, device);
        let root = std::env::temp_dir().join("root's");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        // SAFETY: no memory is involved; what is permitted stays when the user changes.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }, 0);
        become_nobody();
        // `_LINUX_CAPABILITY_VERSION_3`, this thread; effective, permitted, inheritable of the lower 32, and of the upper.
        let bit = 1_u32 << CAP_SYS_ADMIN;
        let (header, data) = ([0x2008_0522_u32, 0], [bit, bit, 0, 0, 0, 0]);
        // SAFETY: both arrays are as the kernel wants them.
        let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
        works_on(&root);
    });
}
