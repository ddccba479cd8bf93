//! The kernel's own tmpfs, which is the judge: the same script runs on it and on the example.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::fs::{Gid, Mode, Uid};
use rustix::thread::UnshareFlags;

use crate::mount::{is_root, skip};
use crate::on_tmpfs;

/// A mounted tmpfs of the kernel's. Dropped, it is unmounted.
struct Judge(PathBuf);

impl Judge {
    fn mount(options: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-judge-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        let judge = Self(path);
        mount("tmpfs", &judge.0, &format!("mode=755,{options}"));
        judge
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        unmount(&self.0);
        // What is left in the temporary directory is no failure.
        let _ = fs::remove_dir(&self.0);
    }
}

/// `mount -t KIND -o OPTIONS KIND PATH`, of which `noatime` and the like are no data of the file system.
pub(crate) fn mount(kind: &str, path: &Path, options: &str) {
    let mut flags = 0;
    let data: Vec<_> = options
        .split(',')
        .filter(|option| {
            let flag = match *option {
                "noatime" => libc::MS_NOATIME,
                "nodiratime" => libc::MS_NODIRATIME,
                "relatime" => libc::MS_RELATIME,
                "strictatime" => libc::MS_STRICTATIME,
                other => return !other.is_empty(),
            };
            flags |= flag;
            false
        })
        .collect();
    let (kind, data) = (CString::new(kind).unwrap(), CString::new(data.join(",")));
    let (path, data) = (
        CString::new(path.as_os_str().as_bytes()).unwrap(),
        data.unwrap(),
    );
    // SAFETY: all strings live and are NUL-terminated, and the data are a string for these file systems.
    let mounted = unsafe {
        libc::mount(
            kind.as_ptr(),
            path.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    };
    let error = std::io::Error::last_os_error();
    assert_eq!(mounted, 0, "{kind:?} on {path:?} with {data:?}: {error}");
}

/// Unmounts it, even if it is in use.
pub(crate) fn unmount(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path lives and is NUL-terminated.
    unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
}

/// Runs `script` on the kernel's tmpfs and on the example, both with `options`, and compares what it says of each step.
///
/// Only root can; others skip it.
pub(crate) fn beside(options: &str, script: impl Fn(&Path) -> Vec<String>) {
    if !is_root() {
        skip::skip("tmpfs next to the kernel's", "only root mounts that");
        return;
    }
    let judge = Judge::mount(options);
    let right = script(&judge.0);
    drop(judge);
    let ours = ["allow_other", options].join(",");
    on_tmpfs(&["-o", ours.trim_end_matches(',')], |root| {
        let answers = script(root);
        let differ: Vec<_> = right
            .iter()
            .zip(&answers)
            .filter(|(right, ours)| right != ours)
            .map(|(right, ours)| format!("the kernel's: {right}\n        ours: {ours}"))
            .collect();
        assert!(
            differ.is_empty(),
            "{} of {} answers differ:\n{}",
            differ.len(),
            right.len(),
            differ.join("\n")
        );
        assert_eq!(right.len(), answers.len());
    });
}

/// Runs `script` as this user, in the group `ids[0]` and those after it, with this umask.
pub(crate) fn as_user<R: Send>(
    uid: u32,
    gids: &[u32],
    umask: u32,
    script: impl FnOnce() -> R + Send,
) -> R {
    thread::scope(|threads| {
        let user = move || {
            // SAFETY: no file descriptors are unshared, but only this thread's umask and folders.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }.unwrap();
            rustix::process::umask(Mode::from_raw_mode(umask));
            let groups: Vec<_> = gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
            let (user, group) = (Uid::from_raw(uid), groups[0]);
            rustix::thread::set_thread_groups(&groups).unwrap();
            rustix::thread::set_thread_res_gid(group, group, group).unwrap();
            rustix::thread::set_thread_res_uid(user, user, user).unwrap();
            script()
        };
        threads.spawn(user).join().unwrap()
    })
}

/// What a call said: the number of its error, or `said`.
pub(crate) fn said<T, E: Into<std::io::Error>>(
    result: Result<T, E>,
    said: impl FnOnce(T) -> String,
) -> String {
    match result.map_err(Into::into) {
        Ok(value) => said(value),
        Err(error) => rustix::io::Errno::from_io_error(&error)
            .map_or_else(|| error.to_string(), |errno| format!("{errno:?}")),
    }
}
