//! The high-level API from Rust: a file system of three functions through `fuse_main()`, in a process of its own.

#[path = "../../tests/common/skip.rs"]
mod skip;

use std::env;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::testing::{MountPoint, Watchdog, can_mount, force_unmount, is_mounted};
use fuse3_sys as sys;
use libc::{off_t, stat};

const TEXT: &[u8] = b"Hello from Rust\n";
/// Set in the process that serves: the mount point.
const SERVES: &str = "FUSE3_SYS_TEST_SERVES";

unsafe extern "C" fn getattr(
    path: *const c_char,
    out: *mut stat,
    _: *mut sys::fuse_file_info,
) -> c_int {
    // SAFETY: libfuse's paths end with a NUL, and live during the call.
    let path = unsafe { CStr::from_ptr(path) };
    let (mode, size) = match path.to_bytes() {
        b"/" => (libc::S_IFDIR | 0o755, 0),
        b"/hello" => (libc::S_IFREG | 0o444, TEXT.len()),
        _ => return -libc::ENOENT,
    };
    // SAFETY: libfuse has cleared the structure, and wants it filled in.
    let out = unsafe { &mut *out };
    out.st_mode = mode;
    out.st_nlink = 1;
    out.st_size = off_t::try_from(size).unwrap();
    0
}

unsafe extern "C" fn readdir(
    _: *const c_char,
    buf: *mut c_void,
    fill: sys::fuse_fill_dir_t,
    _: off_t,
    _: *mut sys::fuse_file_info,
    _: sys::fuse_readdir_flags,
) -> c_int {
    let fill = fill.expect("libfuse passes a function");
    for name in [c".", c"..", c"hello"] {
        // SAFETY: `buf` is what `fill` was passed with, and the name lives; attributes may be left out.
        unsafe { fill(buf, name.as_ptr(), std::ptr::null(), 0, 0) };
    }
    0
}

unsafe extern "C" fn read(
    _: *const c_char,
    out: *mut c_char,
    size: usize,
    offset: off_t,
    _: *mut sys::fuse_file_info,
) -> c_int {
    let start = TEXT.len().min(usize::try_from(offset).unwrap());
    let part = &TEXT[start..TEXT.len().min(start + size)];
    // SAFETY: there is room for `size` bytes, and `part` has no more.
    unsafe { out.cast::<u8>().copy_from(part.as_ptr(), part.len()) };
    c_int::try_from(part.len()).unwrap()
}

/// What `main` would be in C.
fn serve(mount_point: &Path) -> c_int {
    // SAFETY: each member is a nullable function pointer, a flag, or padding.
    let mut ops: sys::fuse_operations = unsafe { mem::zeroed() };
    ops.getattr = Some(getattr);
    ops.readdir = Some(readdir);
    ops.read = Some(read);
    let path = CString::new(mount_point.as_os_str().as_bytes()).unwrap();
    let arguments = [c"hello", c"-f", c"-s", &path];
    let mut argv: Vec<_> = arguments.iter().map(|it| it.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len()).unwrap();
    argv.push(std::ptr::null_mut());
    // SAFETY: `argv` has `argc` strings, of which libfuse makes copies, and a null; `ops` lives until it returns.
    unsafe {
        sys::fuse_main(
            argc,
            argv.as_mut_ptr(),
            &raw const ops,
            std::ptr::null_mut(),
        )
    }
}

/// Killed, whatever happens.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_system_of_paths_is_served() {
    if let Some(mount_point) = env::var_os(SERVES) {
        return assert_eq!(serve(Path::new(&mount_point)), 0);
    }
    if let Err(why) = can_mount() {
        return skip::skip("the high-level API", why);
    }
    assert_eq!(sys::check_layout(), Ok(()));
    let point = MountPoint::new();
    let _watchdog = Watchdog::new(point.path());
    let mut server = Command::new(env::current_exe().unwrap());
    server.args(["a_file_system_of_paths_is_served", "--exact", "--nocapture"]);
    let mut server = Server(server.env(SERVES, point.path()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_mounted(point.path()) {
        assert_eq!(server.0.try_wait().unwrap(), None, "it has ended");
        assert!(Instant::now() < deadline, "it is not mounted");
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(fs::read(point.path().join("hello")).unwrap(), TEXT);
    let names = fs::read_dir(point.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["hello"]);
    let missing = fs::metadata(point.path().join("missing")).unwrap_err();
    assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
    force_unmount(point.path());
    assert!(server.0.wait().unwrap().success());
}
