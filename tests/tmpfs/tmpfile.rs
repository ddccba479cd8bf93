//! Files without a name: open(2) with O_TMPFILE.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use fuse3::Operation;
use rustix::fs::{AtFlags, CWD, linkat};

use crate::beside::{as_user, beside, said};
use crate::calls::{getxattr, list, setxattr, statvfs};
use crate::mount::skip;

fn open(directory: &Path, flags: i32, mode: u32) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(mode);
    options
        .custom_flags(libc::O_TMPFILE | flags)
        .open(directory)
}

/// Gives it a name.
fn link(file: &File, path: &Path) -> String {
    let magic = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let result = linkat(CWD, magic, CWD, path, AtFlags::SYMLINK_FOLLOW);
    said(result, |()| "linked".to_owned())
}

fn shown(file: &File) -> String {
    let stat = file.metadata().unwrap();
    let (mode, links) = (stat.mode(), stat.nlink());
    format!(
        "{mode:o} {}:{}, {links} links, {} bytes",
        stat.uid(),
        stat.gid(),
        stat.len()
    )
}

#[test]
fn files_without_a_name() {
    if let Err(why) = Operation::Tmpfile.delivered() {
        skip::skip("O_TMPFILE on tmpfs", why);
        return;
    }
    beside("", |root| {
        let mut answers = Vec::new();
        let all = statvfs(root).unwrap().f_files;
        let used = || all - statvfs(root).unwrap().f_ffree;
        fs::set_permissions(root, PermissionsExt::from_mode(0o2777)).unwrap();
        chown(root, None, Some(77)).unwrap();
        for flags in [0, libc::O_EXCL] {
            let mut file = as_user(1234, &[1234], 0o027, || open(root, flags, 0o2777)).unwrap();
            file.write_all(b"text").unwrap();
            answers.push(format!(
                "{}, {} used, {:?}",
                shown(&file),
                used(),
                list(root)
            ));
            for name in ["one", "other", "one"] {
                let linked = link(&file, &root.join(name));
                answers.push(format!("{linked}: {}, {} used", shown(&file), used()));
            }
            for name in ["one", "other"] {
                // Where O_EXCL was given, there is none.
                let _ = fs::remove_file(root.join(name));
            }
            answers.push(format!("{}, {} used", shown(&file), used()));
            answers.push(link(&file, &root.join("again")));
        }
        // The default ACL is inherited, and the umask does not count.
        let directory = root.join("directory");
        fs::create_dir(&directory).unwrap();
        let mut acl = 2_u32.to_le_bytes().to_vec();
        for (tag, bits) in [(1_u16, 7_u16), (4, 5), (0x10, 6), (0x20, 4)] {
            acl.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
            acl.extend([0xff; 4]);
        }
        setxattr(&directory, "system.posix_acl_default", &acl, 0).unwrap();
        let file = as_user(0, &[0], 0o077, || open(&directory, 0, 0o666)).unwrap();
        answers.push(shown(&file));
        link(&file, &root.join("kept"));
        let acl = getxattr(&root.join("kept"), "system.posix_acl_access");
        answers.push(said(acl, |acl| format!("{acl:?}")));
        let result = open(&root.join("kept"), 0, 0o600);
        answers.push(said(result, |_| "opened".to_owned()));
        fs::remove_dir(&directory).unwrap();
        answers
    });
}
