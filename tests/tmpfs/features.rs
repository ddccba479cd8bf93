//! What tmpfs can besides.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::calls::{
    errno, getxattr, list, listxattr, removexattr, rename, setxattr, statvfs, xattr_len,
};
use crate::mount::{Mounted, is_root, program, within};
use crate::{DEADLINE, on_tmpfs};

#[test]
fn sparse_files() {
    on_tmpfs(&[], |root| {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(root.join("sparse"))
            .unwrap();
        file.write_all_at(b"end", 1 << 40).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        let stat = file.metadata().unwrap();
        assert_eq!((stat.len(), stat.blocks()), ((1 << 40) + 3, 16));
        let mut bytes = [1; 8192];
        file.read_exact_at(&mut bytes, (1 << 40) - 8190).unwrap();
        assert!(bytes[..8190].iter().all(|byte| *byte == 0) && &bytes[8190..] == b"en");
        file.set_len(3).unwrap();
        assert_eq!(file.metadata().unwrap().blocks(), 8);
        // The largest file that there can be.
        let last = i64::MAX.unsigned_abs() - 1;
        assert_eq!(file.write_at(b"x", last).unwrap(), 1);
        assert_eq!(file.metadata().unwrap().len(), last + 1);
        assert_eq!(file.metadata().unwrap().blocks(), 16);
    });
}

#[test]
fn no_space_left() {
    on_tmpfs(&["-o", "size=8M"], |root| {
        let stat = statvfs(root).unwrap();
        assert_eq!(
            (stat.f_blocks, stat.f_bfree, stat.f_frsize),
            (2048, 2048, 4096)
        );
        let path = root.join("full");
        let mut file = File::create(&path).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[1; 1 << 20]) {
                break error;
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(statvfs(root).unwrap().f_bavail, 0);
        drop(file);
        // The space of a deleted file is there once it is closed, though it is freed in the background. The kernel says
        // that it is closed after close(2) has returned.
        for _ in 0..20 {
            fs::remove_file(&path).unwrap();
            let there = || statvfs(root).unwrap().f_bavail == 2048;
            assert!(within(Duration::from_secs(30), there));
            fs::write(&path, vec![2; 8 << 20]).unwrap();
        }
    });
}

#[test]
fn extended_attributes() {
    on_tmpfs(&[], |root| {
        let path = root.join("file");
        fs::write(&path, "x").unwrap();
        let before = path.metadata().unwrap();
        assert_eq!(errno(getxattr(&path, "user.one")), libc::ENODATA);
        setxattr(&path, "user.one", b"1", libc::XATTR_CREATE).unwrap();
        assert_eq!(
            errno(setxattr(&path, "user.one", b"", libc::XATTR_CREATE)),
            libc::EEXIST
        );
        assert_eq!(
            errno(setxattr(&path, "user.two", b"", libc::XATTR_REPLACE)),
            libc::ENODATA
        );
        setxattr(&path, "user.one", b"eleven\0", libc::XATTR_REPLACE).unwrap();
        setxattr(&path, "user.empty", b"", 0).unwrap();
        let large = vec![7; 60_000];
        setxattr(&path, "user.large", &large, 0).unwrap();
        assert_eq!(getxattr(&path, "user.one").unwrap(), b"eleven\0");
        assert_eq!(getxattr(&path, "user.empty").unwrap(), b"");
        assert_eq!(getxattr(&path, "user.large").unwrap(), large);
        assert_eq!(xattr_len(&path, Some("user.large")).unwrap(), 60_000);
        assert_eq!(
            listxattr(&path).unwrap(),
            ["user.empty", "user.large", "user.one"]
        );
        assert_eq!(xattr_len(&path, None).unwrap(), 11 + 11 + 9);
        let after = path.metadata().unwrap();
        assert!((after.ctime(), after.ctime_nsec()) > (before.ctime(), before.ctime_nsec()));
        assert_eq!(
            (after.mtime(), after.mtime_nsec()),
            (before.mtime(), before.mtime_nsec())
        );
        removexattr(&path, "user.one").unwrap();
        assert_eq!(errno(removexattr(&path, "user.one")), libc::ENODATA);
        assert_eq!(
            errno(setxattr(&path, "system.nfs4_acl", b"", 0)),
            libc::EOPNOTSUPP
        );
        assert_eq!(
            errno(setxattr(&path, "user.tmpfs.sha256", b"", 0)),
            libc::EPERM
        );
        if is_root() {
            setxattr(&path, "trusted.hidden", b"t", 0).unwrap();
            setxattr(&path, "security.known", b"s", 0).unwrap();
            assert_eq!(getxattr(&path, "trusted.hidden").unwrap(), b"t");
        }
    });
}

#[test]
fn renaming_with_flags() {
    on_tmpfs(&[], |root| {
        let [file, directory, none] = ["file", "directory", "none"].map(|name| root.join(name));
        fs::write(&file, "f").unwrap();
        fs::create_dir_all(directory.join("sub")).unwrap();
        let (noreplace, exchange) = (libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE);
        assert_eq!(errno(rename(&file, &directory, noreplace)), libc::EEXIST);
        assert_eq!(errno(rename(&file, &none, exchange)), libc::ENOENT);
        assert_eq!(errno(rename(&file, &directory, 0)), libc::EISDIR);
        assert_eq!(errno(rename(&directory, &file, 0)), libc::ENOTDIR);
        fs::create_dir(&none).unwrap();
        assert_eq!(errno(rename(&none, &directory, 0)), libc::ENOTEMPTY);
        fs::remove_dir(&none).unwrap();
        assert_eq!(
            errno(rename(&directory, &directory.join("sub/below"), 0)),
            libc::EINVAL
        );
        rename(&file, &none, noreplace).unwrap();
        rename(&none, &directory.join("sub"), exchange).unwrap();
        assert_eq!(fs::read(directory.join("sub")).unwrap(), b"f");
        assert_eq!(
            (
                none.metadata().unwrap().nlink(),
                directory.metadata().unwrap().nlink()
            ),
            (2, 2)
        );
        assert_eq!(root.metadata().unwrap().nlink(), 4);
    });
}

#[test]
fn long_names() {
    on_tmpfs(&[], |root| {
        let name = "ü".repeat(127) + "x";
        fs::write(root.join(&name), "").unwrap();
        assert_eq!(list(root), [name.as_str()]);
        let longer = root.join(name + "y");
        assert_eq!(errno(fs::write(&longer, "")), libc::ENAMETOOLONG);
        assert_eq!(errno(fs::create_dir(&longer)), libc::ENAMETOOLONG);
        assert_eq!(errno(longer.metadata()), libc::ENAMETOOLONG);
    });
}

#[test]
fn a_removed_directory_is_empty() {
    on_tmpfs(&[], |root| {
        let directory = root.join("directory");
        fs::create_dir(&directory).unwrap();
        let open = File::open(&directory).unwrap();
        fs::remove_dir(&directory).unwrap();
        assert_eq!(open.metadata().unwrap().nlink(), 0);
        let inside = format!(
            "/proc/self/fd/{}/file",
            std::os::fd::AsRawFd::as_raw_fd(&open)
        );
        assert_eq!(errno(fs::write(inside, "")), libc::ENOENT);
    });
}

/// In a directory with the set-group-id bit, what is new has its group, and directories have the bit.
#[test]
fn groups_are_inherited() {
    on_tmpfs(&[], |root| {
        if !is_root() {
            return;
        }
        let directory = root.join("directory");
        fs::create_dir(&directory).unwrap();
        chown(&directory, None, Some(77)).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o2775)).unwrap();
        fs::write(directory.join("file"), "").unwrap();
        fs::create_dir(directory.join("sub")).unwrap();
        assert_eq!(directory.join("file").metadata().unwrap().gid(), 77);
        let sub = directory.join("sub").metadata().unwrap();
        assert_eq!((sub.gid(), sub.mode() & libc::S_ISGID), (77, libc::S_ISGID));
    });
}

/// Writing, truncating and giving away take set-user-id bits off, unless it is root who writes or truncates.
#[test]
fn set_user_id_bits() {
    if !is_root() {
        return;
    }
    on_tmpfs(&["-o", "allow_other"], |root| {
        let path = root.join("program");
        let mode = |set| {
            fs::set_permissions(&path, Permissions::from_mode(set)).unwrap();
        };
        let run = |uid, script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script, "sh"]).arg(&path);
            assert!(
                shell.uid(uid).gid(uid).status().unwrap().success(),
                "{script}"
            );
            path.metadata().unwrap().mode() & 0o7777
        };
        fs::write(&path, "x").unwrap();
        for (uid, script, left) in [
            (1234, "echo more >>\"$1\"", 0o777),
            (1234, "echo anew >\"$1\"", 0o777),
            (1234, ": >\"$1\"", 0o777),
            (1234, "truncate -s 5 \"$1\"", 0o777),
            (1234, "cat \"$1\" >/dev/null", 0o6777),
            (0, "echo more >>\"$1\"", 0o6777),
            (0, "truncate -s 5 \"$1\"", 0o6777),
            (0, "chown 1234:1234 \"$1\"", 0o777),
            (0, "chgrp 77 \"$1\"", 0o777),
        ] {
            mode(0o6777);
            assert_eq!(run(uid, script), left, "{uid}: {script}");
        }
    });
}

/// Past the page cache, too, where the kernel leaves the bits to the file system.
#[test]
fn set_user_id_bits_in_memfs_ll() {
    if !is_root() {
        return;
    }
    for how in ["", ",writeback_cache", ",fuse_dio", ",fuse_dio,no_timeout"] {
        let options = format!("allow_other,default_permissions{how}");
        let Some(mounted) = Mounted::new("memfs_ll", &["-f", "-o", &options], DEADLINE) else {
            return;
        };
        let path = mounted.path().join("program");
        for script in [
            ": >\"$1\"",
            "echo more >>\"$1\"",
            "echo anew >\"$1\"",
            "truncate -s 5 \"$1\"",
            "fallocate -l 9000 \"$1\"",
        ] {
            for (set, left) in [(0o6777, 0o777), (0o4767, 0o767)] {
                fs::write(&path, "x").unwrap();
                fs::set_permissions(&path, Permissions::from_mode(set)).unwrap();
                let mut shell = Command::new("sh");
                shell.args(["-c", script, "sh"]).arg(&path);
                let status = shell.uid(1234).gid(1234).status().unwrap();
                assert!(status.success(), "{script}");
                let mode = path.metadata().unwrap().mode() & 0o7777;
                assert_eq!(mode, left, "{how}: {script}, after {set:o}: {mode:o}");
            }
        }
        assert!(mounted.unmount().status.success());
    }
}

/// Nobody truncates a program that runs, not even with the flag of open(2) that does it while opening.
#[test]
fn running_programs() {
    on_tmpfs(&[], |root| {
        let path = root.join("sleep");
        program::copy(Path::new("/bin/sleep"), &path);
        let size = path.metadata().unwrap().len();
        let mut program = Command::new(&path).arg("100").spawn().unwrap();
        let open = |writes, flags| {
            let mut options = OpenOptions::new();
            options.read(true).write(writes).custom_flags(flags);
            options.open(&path).map(drop)
        };
        let results = [open(false, libc::O_TRUNC), open(true, 0)];
        let alive = program.try_wait().unwrap().is_none();
        program.kill().unwrap();
        program.wait().unwrap();
        assert_eq!(results.map(errno), [libc::ETXTBSY; 2]);
        assert!(alive);
        assert_eq!(path.metadata().unwrap().len(), size);
    });
}

/// As with relatime: reading moves it on once after a change, and not with O_NOATIME.
#[test]
fn times_of_access() {
    on_tmpfs(&[], |root| {
        let path = root.join("file");
        fs::write(&path, "read").unwrap();
        let atime = || {
            let stat = path.metadata().unwrap();
            (stat.atime(), stat.atime_nsec())
        };
        // The kernel reads what is in its cache without asking.
        let read = |flags| {
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(flags | libc::O_DIRECT)
                .open(&path)
                .unwrap();
            file.read_at(&mut [0; 4], 0).unwrap();
        };
        let created = atime();
        read(libc::O_NOATIME);
        assert_eq!(atime(), created);
        read(0);
        let first = atime();
        assert!(first > created);
        read(0);
        assert_eq!(atime(), first);
    });
}

/// A large file that is deleted is freed in the background.
#[test]
fn large_files_are_freed() {
    on_tmpfs(&[], |root| {
        let path = root.join("large");
        fs::write(&path, vec![1; 64 << 20]).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(within(Duration::from_secs(10), || crate::left(root)
            .ends_with(" 0 blocks")));
    });
}
