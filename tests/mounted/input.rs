//! Bad input: mount points, options, /dev/fuse and libraries that cannot be used, and names that are odd. Each mistake
//! has an error that names it and says what to do; nothing is mounted then, and a good mount works afterwards.

mod options;
mod places;

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::Duration;

use fuse3::session::{OptionError, Unusable};
use fuse3::{
    Answer, Attr, Builder, Capabilities, Concurrent, Context, Data, End, FileInfo, Filesystem, Ino,
    MountError, ReadBuf, Reason, Session,
};

use crate::child::{self, this_test};
use crate::fixture::{
    Mount, MountPoint, TempDir, Watchdog, c_string, force_unmount, is_mounted, is_root, mounts_on,
    require_mount, skip,
};
use crate::fusermount3;
use crate::other::Other;
use crate::probe::Probe;

/// An ordinary user.
const NOBODY: u32 = 65534;

/// A mount that is to be refused, and then neither begins nor ends.
fn bad() -> Builder<Probe> {
    let probe = Probe::new().on_init(|| panic!("a refused mount began"));
    probe
        .on_destroy(|| panic!("a refused mount ended"))
        .builder()
}

/// The error of a mount, which is to contain each of `parts`.
#[track_caller]
fn refused<F: Filesystem>(builder: Builder<F>, path: &Path, parts: &[&str]) -> MountError {
    let before = mounts_on(path);
    let error = builder.mount(path).expect_err("it was mounted");
    assert_eq!(mounts_on(path), before, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    error
}

/// Serves `session`, which is mounted on `path`, while `what` is done, and ends it.
fn while_served<F: Filesystem>(path: &Path, session: Session<F>, what: impl FnOnce()) -> End<F> {
    let _watchdog = Watchdog::new(path);
    let handle = session.handle();
    let server = thread::spawn(move || session.run());
    let done = catch_unwind(AssertUnwindSafe(what));
    handle.terminate();
    let end = server.join().unwrap().unwrap();
    done.unwrap_or_else(|panic| resume_unwind(panic));
    assert_eq!(end.reason, Reason::Terminated);
    end
}

/// A good mount on `path` works.
#[track_caller]
fn works_on(path: &Path) {
    let session = Probe::new().builder().mount(path).unwrap();
    while_served(path, session, || {
        let mut file = File::open(path.join("file")).unwrap();
        assert_eq!(file.read(&mut [0; 7]).unwrap(), 7);
    });
    assert!(!is_mounted(path));
}

/// Type and source of what is mounted on `path`, as mountinfo has them, unescaped.
fn shown(path: &Path) -> (String, String) {
    let lines = mounts_on(path);
    let (_, fields) = lines.last().unwrap().split_once(" - ").unwrap();
    let mut fields = fields.split(' ').map(|field| {
        let field = field.replace(r"\040", " ").replace(r"\043", "#");
        field.replace(r"\134", r"\")
    });
    (fields.next().unwrap(), fields.next().unwrap())
}

// The mount point.

#[test]
fn a_mount_point_that_does_not_exist_is_refused() {
    require_mount!();
    let dir = TempDir::new();
    let missing = dir.path().join("missing");
    let parts = [missing.to_str().unwrap(), "No such file", "create"];
    let error = refused(bad(), &missing, &parts);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    refused(bad(), Path::new(""), &[r#""""#, "No such file"]);
    refused(bad(), &dir.path().join("no/where"), &["no/where"]);
    fs::create_dir(&missing).unwrap();
    works_on(&missing);
}

#[test]
fn a_mount_point_with_a_nul_is_refused() {
    require_mount!();
    let dir = TempDir::new();
    // C would take it for the directory itself.
    let path = dir.path().join("\0rest");
    let error = refused(bad(), &path, &[dir.path().to_str().unwrap(), "NUL"]);
    assert!(matches!(error, MountError::MountPoint(_, Unusable::Nul)));
    assert!(!is_mounted(dir.path()));
    works_on(dir.path());
}

/// A file system that is one file.
struct Lone;

impl Filesystem for Lone {
    type Lock = Concurrent;

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let attr = Attr {
            size: 5,
            ..Attr::new(ino, libc::S_IFREG | 0o444)
        };
        Ok((attr, Duration::ZERO))
    }

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        at: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok(out.lend_from(b"alone", at))
    }
}

#[test]
fn a_file_is_a_mount_point_only_when_it_is_said_to_be() {
    require_mount!();
    let dir = TempDir::new();
    let path = dir.path().join("file");
    fs::write(&path, "below").unwrap();
    let parts = [path.to_str().unwrap(), "not a directory", "over_file"];
    let error = refused(bad(), &path, &parts);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotADirectory);
    let below = path.join("below");
    refused(bad(), &below, &[below.to_str().unwrap(), "Not a directory"]);

    let builder = Session::builder(Lone, Concurrent).over_file(true);
    let session = builder.mount(&path).unwrap();
    while_served(&path, session, || {
        assert_eq!(fs::read_to_string(&path).unwrap(), "alone");
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), "below");

    // Why a file is refused unless the root is said to be one: the kernel has noted that the root is a file, and finds a
    // directory when it asks.
    let session = Probe::new().builder().over_file(true).mount(&path).unwrap();
    while_served(&path, session, || {
        let error = fs::metadata(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    });
    works_on(dir.path());
}

#[test]
fn a_mount_point_in_use_is_refused_with_what_is_mounted_there() {
    require_mount!();
    let mount = Mount::new(Probe::new().builder().subtype("first"));
    let parts = [mount.path().to_str().unwrap(), "fuse.first", "fusermount3"];
    let error = refused(bad(), mount.path(), &parts);
    assert!(
        matches!(&error, MountError::MountPoint(_, Unusable::Busy(kind)) if kind == "fuse.first")
    );
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ResourceBusy);
    // Nor through another name of it.
    let dir = TempDir::new();
    let link = dir.path().join("link");
    symlink(mount.path(), &link).unwrap();
    refused(bad(), &link, &["link", "fuse.first"]);

    File::open(mount.join("file")).expect("the first one lives");
    mount.end();
    works_on(dir.path());
}

#[test]
fn a_mount_point_whose_server_has_ended_is_refused_until_it_is_unmounted() {
    require_mount!(not over io_uring: "the kernel says ECONNABORTED");
    let dir = TempDir::new();
    let builder = Probe::new().builder().keep_mounted(true);
    let session = builder.mount(dir.path()).unwrap();
    while_served(dir.path(), session, || {
        dir.path().metadata().unwrap();
    });
    let error = dir.path().metadata().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));

    let said = format!("fusermount3 -u {}", dir.path().display());
    let error = refused(bad(), dir.path(), &["server has ended", &said]);
    assert!(matches!(error, MountError::MountPoint(_, Unusable::Dead)));
    force_unmount(dir.path());
    works_on(dir.path());
}

/// Not even one that is open: whoever owns it goes on using its number.
#[test]
fn a_descriptor_is_not_taken_by_its_path() {
    require_mount!();
    let file = fs::File::open("/dev/null").unwrap();
    for number in [987_654, file.as_raw_fd()] {
        let path = format!("/dev/fd/{number}");
        refused(bad(), Path::new(&path), &[&path, "Builder::mount_fd"]);
    }
    assert!(file.metadata().is_ok());
    works_on(TempDir::new().path());
}

/// Whether `own_mounts` can work, which `test` needs: in a chroot, whose root is no mount point, it cannot make mounts
/// private.
fn may_have_own_mounts(test: &str) -> bool {
    if !is_root() {
        skip(test, "only root has mounts of its own");
        return false;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let may = mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some("/"));
    if !may {
        skip(test, "the root is no mount point");
    }
    may
}

#[test]
fn mount_points_may_have_odd_names() {
    require_mount!();
    if !may_have_own_mounts(this_test!()) {
        return;
    }
    // Not UTF-8, it would be in the way of others that read the table of mounts.
    child::run_with(this_test!(), own_mounts, || {
        let dir = TempDir::new();
        let path = dir.path().join(OsStr::from_bytes(b"a b,c\\d\t\xff"));
        fs::create_dir(&path).unwrap();
        let session = Probe::new().builder().mount(&path).unwrap();
        while_served(&path, session, || {
            File::open(path.join("file")).unwrap();
            let error = bad().mount(&path).unwrap_err();
            assert!(matches!(
                error,
                MountError::MountPoint(_, Unusable::Busy(_))
            ));
        });
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    });
}

// Ordinary users.

/// Starts the command with mounts of its own, so that whatever it mounts is seen by nobody else.
fn own_mounts(command: &mut Command) {
    let unshare = || {
        // SAFETY: no memory is involved.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        mount_on(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE)
    };
    // SAFETY: between fork and exec `unshare` makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(unshare) };
}

fn mount_on(kind: &CStr, path: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the strings live and are NUL-terminated; there are no data.
    match unsafe {
        libc::mount(
            kind.as_ptr(),
            path.as_ptr(),
            kind.as_ptr(),
            flags,
            ptr::null(),
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A /dev of this process alone, taken away when it is dropped.
struct Dev;

impl Dev {
    fn new(flags: libc::c_ulong) -> Self {
        mount_on(c"tmpfs", c"/dev", flags).unwrap();
        node(c"/dev/null", 0o666, libc::makedev(1, 3));
        Self
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        force_unmount(Path::new("/dev"));
    }
}

fn node(path: &CStr, mode: libc::mode_t, device: libc::dev_t) {
    // SAFETY: `path` is NUL-terminated.
    let made = unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR, device) };
    assert_eq!(made, 0, "{path:?}: {}", io::Error::last_os_error());
    // SAFETY: as above; the umask is not asked.
    assert_eq!(unsafe { libc::chmod(path.as_ptr(), mode) }, 0);
}

/// The number of the kernel's own /dev/fuse.
fn fuse_device() -> libc::dev_t {
    fs::metadata("/dev/fuse").unwrap().rdev()
}

/// Makes this process, which is root's, an ordinary user's.
fn become_nobody() {
    let temp = std::env::temp_dir();
    chown(&temp, Some(NOBODY), Some(NOBODY)).unwrap();
    // SAFETY: there are no groups to read.
    assert_eq!(unsafe { libc::setgroups(0, ptr::null()) }, 0);
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::setgid(NOBODY) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setuid(NOBODY) }, 0);
}

/// Runs `test`, whose name is `name`, in a process of its own that is an ordinary user's, with a /dev of its own. `before` still
/// runs as root.
pub(crate) fn by_a_user(name: &str, before: impl FnOnce(), test: impl FnOnce()) {
    require_mount!();
    if !may_have_own_mounts(name) {
        return;
    }
    if !fusermount3::is_setuid() {
        return skip(name, "fusermount3 is not there, or is not setuid root");
    }
    child::run_with(name, own_mounts, || {
        let device = fuse_device();
        let _dev = Dev::new(0);
        node(c"/dev/fuse", 0o666, device);
        before();
        become_nobody();
        test();
    });
}

#[test]
fn a_user_mounts_only_on_directories_of_its_own() {
    let root = || std::env::temp_dir().join("root's");
    let before = || {
        fs::create_dir(root()).unwrap();
        fs::set_permissions(root(), fs::Permissions::from_mode(0o755)).unwrap();
    };
    by_a_user(this_test!(), before, || {
        let root = root();
        let parts = [root.to_str().unwrap(), "not writable", "of their own"];
        let error = refused(bad(), &root, &parts);
        assert_eq!(
            io::Error::from(error).kind(),
            io::ErrorKind::PermissionDenied
        );

        let dir = TempDir::new();
        works_on(dir.path());
        let name = r"a,b\c d";
        let builder = Probe::new().builder().fsname(name).subtype("probe");
        let session = builder.mount(dir.path()).unwrap();
        while_served(dir.path(), session, || {
            assert_eq!(
                shown(dir.path()),
                ("fuse.probe".to_owned(), name.to_owned())
            );
        });
        assert!(!is_mounted(dir.path()));
        // What fusermount3 says on stderr, libfuse does not repeat.
        let other = Probe::new().builder().allow_other();
        match fs::read_to_string("/etc/fuse.conf") {
            Ok(text) if text.lines().any(|line| line.trim() == "user_allow_other") => (),
            _ => drop(refused(other, dir.path(), &["fusermount3"])),
        }
        works_on(dir.path());
    });
}

// The device.

#[test]
fn a_device_that_is_missing_or_wrong_is_said_to_be() {
    require_mount!();
    if !may_have_own_mounts(this_test!()) {
        return;
    }
    child::run_with(this_test!(), own_mounts, || {
        let dir = TempDir::new();
        let device = fuse_device();
        let refused = |parts: &[&str]| {
            for builder in [bad(), bad().auto_unmount()] {
                let error = refused(builder, dir.path(), parts);
                assert!(matches!(error, MountError::Device(_)), "{error:?}");
            }
        };
        {
            let _dev = Dev::new(0);
            refused(&["/dev/fuse", "No such file", "modprobe fuse", "container"]);
            fs::write("/dev/fuse", "").unwrap();
            refused(&["/dev/fuse", "not a character device"]);
        }
        {
            // A number that no driver has taken: as when the module is not loaded.
            let _dev = Dev::new(0);
            node(c"/dev/fuse", 0o666, libc::makedev(10, 254));
            refused(&["/dev/fuse", "No such device", "modprobe fuse"]);
        }
        {
            // Nobody may open it, not even root.
            let _dev = Dev::new(libc::MS_NODEV);
            node(c"/dev/fuse", 0o666, device);
            refused(&["/dev/fuse", "Permission denied", "chmod", "container"]);
        }
        works_on(dir.path());
    });
}

#[test]
fn a_device_that_the_user_may_not_open_is_said_to_be() {
    require_mount!();
    if !may_have_own_mounts(this_test!()) {
        return;
    }
    child::run_with(this_test!(), own_mounts, || {
        let device = fuse_device();
        let _dev = Dev::new(0);
        node(c"/dev/fuse", 0o600, device);
        become_nobody();
        let dir = TempDir::new();
        for builder in [bad(), bad().auto_unmount()] {
            let error = refused(builder, dir.path(), &["/dev/fuse", "Permission", "chmod"]);
            assert!(matches!(error, MountError::Device(_)), "{error:?}");
            assert_eq!(
                io::Error::from(error).kind(),
                io::ErrorKind::PermissionDenied
            );
        }
    });
}

// Options.

// The library.

fn header_version() -> String {
    let [major, minor, patch] = fuse3::sys::header_version();
    format!("{major}.{minor}.{patch}")
}

#[test]
fn a_libfuse_of_another_layout_is_refused() {
    require_mount!();
    let temp = TempDir::new();
    let load = |command: &mut Command| {
        let other = Other::new(temp.path());
        command.env(other.variable, other.place);
    };
    child::run_with(this_test!(), load, || {
        let dir = TempDir::new();
        let [major, minor, patch] = fuse3::sys::library_version();
        let loaded = format!("{major}.{minor}.{patch}");
        let parts = [&header_version()[..], &loaded, "build it again"];
        let error = refused(bad(), dir.path(), &parts);
        assert!(matches!(error, MountError::Layout(_)), "{error:?}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Unsupported);
    });
}

#[test]
fn a_program_with_a_libfuse_of_another_layout_fails() {
    require_mount!();
    let deps = std::env::current_exe().unwrap();
    let hello = deps.ancestors().nth(2).unwrap().join("examples/hello");
    if !hello.exists() {
        skip(
            this_test!(),
            "cargo build --example hello has not been run for this profile",
        );
        return;
    }
    let (temp, dir) = (TempDir::new(), TempDir::new());
    let other = Other::new(temp.path());
    let mut command = Command::new(hello);
    command.arg(dir.path()).env(other.variable, other.place);
    let (success, said) = child::finish(&mut command, Duration::from_secs(10));
    assert!(!success, "{said}");
    for part in [&header_version()[..], &other.version, "build it again"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!is_mounted(dir.path()));
}

// Names.

/// Opens `name` in the directory `dir`, without the path to it, which would count.
fn open_in(dir: &File, name: &[u8]) -> Result<File, Option<i32>> {
    let name = c_string(Path::new(OsStr::from_bytes(name)));
    // SAFETY: `dir` is open, and `name` is NUL-terminated.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), libc::O_RDONLY) };
    if fd < 0 {
        return Err(io::Error::last_os_error().raw_os_error());
    }
    // SAFETY: the descriptor was just opened, and is in no other hands.
    Ok(unsafe { File::from_raw_fd(fd) })
}

#[test]
fn names_reach_the_file_system_as_they_are() {
    require_mount!();
    let mount = Probe::new().mount();
    let dir = File::open(mount.path()).unwrap();
    // FUSE itself has no limit at 255: each file system is to have its own. The kernel's is 1024 or, newer, 4095.
    let (long, longer, longest) = ([b'n'; 255], [b'o'; 256], [b'p'; 1024]);
    let good = [
        &long[..],
        &longer,
        &longest,
        b"\xff\xfe not \x80 UTF-8",
        b"a\nb\\c,d \x01",
        "\u{1f980}".as_bytes(),
    ];
    for name in good {
        open_in(&dir, name).unwrap();
        let path = mount.path().join(OsStr::from_bytes(name));
        assert_eq!(path.metadata().unwrap().len(), crate::probe::SIZE as u64);
    }
    assert_eq!(
        open_in(&dir, &[b'q'; 4096]).unwrap_err(),
        Some(libc::ENAMETOOLONG)
    );
    assert_eq!(open_in(&dir, b"").unwrap_err(), Some(libc::ENOENT));
    open_in(&dir, b"after").expect("the mount lives on");
    drop(dir);

    let books = mount.end().lock;
    let books = books.lock().unwrap();
    let mut seen: Vec<_> = books.names.keys().map(|name| name.as_bytes()).collect();
    let mut expected = good.to_vec();
    expected.push(b"after");
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}
