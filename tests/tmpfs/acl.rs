//! POSIX ACLs, acl(5): who may, and what becomes of modes.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink,
};
use std::path::Path;

use crate::beside::{as_user, beside, said};
use crate::calls::{getxattr, listxattr, mknod, removexattr, setxattr};

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// The attribute of an ACL that is written as setfacl(1) writes it, with numbers: `u::rw-,u:1001:r--,g::---,m::rw-,o::---`.
fn acl(text: &str) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for entry in text.split(',') {
        let parts: Vec<_> = entry.split(':').collect();
        let tag = match (parts[0], parts[1]) {
            ("u", "") => 0x01_u16,
            ("u", _) => 0x02,
            ("g", "") => 0x04,
            ("g", _) => 0x08,
            ("m", _) => 0x10,
            _ => 0x20,
        };
        let bits = "rwx".chars().fold(0_u16, |bits, one| {
            bits << 1 | u16::from(parts[2].contains(one))
        });
        let id = parts[1].parse().unwrap_or(u32::MAX);
        value.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
        value.extend(id.to_le_bytes());
    }
    value
}

/// Mode, owner and ACLs.
fn shown(path: &Path) -> String {
    let stat = said(fs::symlink_metadata(path), |stat| {
        format!("{:o} {}:{}", stat.mode(), stat.uid(), stat.gid())
    });
    let acl = |name| said(getxattr(path, name), |value| format!("{:x?}", &value[4..]));
    let names = said(listxattr(path), |names| format!("{names:?}"));
    format!(
        "{stat}, access {}, default {}, {names}",
        acl(ACCESS),
        acl(DEFAULT)
    )
}

/// Who may read and who may write.
fn access(path: &Path) -> String {
    let users: [(u32, &[u32]); 5] = [
        (1001, &[1001]),
        (1002, &[1002]),
        (2002, &[50]),
        (2003, &[2003, 50]),
        (3003, &[77]),
    ];
    let open = |uid, gids, write: bool| {
        let opened = as_user(uid, gids, 0, || {
            File::options().read(!write).write(write).open(path)
        });
        opened.is_ok()
    };
    let may = users
        .map(|(uid, gids)| format!("{uid} {} {}", open(uid, gids, false), open(uid, gids, true)));
    may.join(", ")
}

fn done<E: Into<std::io::Error>>(result: Result<(), E>) -> String {
    said(result, |()| "done".to_owned())
}

fn chmod(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[test]
fn they_say_who_may() {
    beside("", |root| {
        let mut answers = Vec::new();
        let file = root.join("file");
        fs::write(&file, "text").unwrap();
        chown(&file, Some(0), Some(50)).unwrap();
        for text in [
            "u::rw-,u:1001:r--,g::---,m::rw-,o::---",
            "u::rw-,u:1001:rw-,u:1002:-w-,g::r--,g:77:rw-,m::r--,o::---",
            "u::r--,g::rw-,m::r--,o::rw-",
            "u::rw-,g::r--,o::-w-",
            "u::rw-,u:1001:rw-,g::rw-,o::---",
            "u::rw-,g::---",
            "g::---,u::rw-,o::---",
            "u::rw-,u:1001:r--,g::---,m::rw-,o::---",
        ] {
            answers.push(format!(
                "{text}: {}",
                done(setxattr(&file, ACCESS, &acl(text), 0))
            ));
            answers.push(shown(&file));
            answers.push(access(&file));
        }
        for mode in [0o640, 0o4604, 0o777, 0o600] {
            answers.push(format!("{mode:o}: {}", done(chmod(&file, mode))));
            answers.push(shown(&file));
            answers.push(access(&file));
        }
        answers.push(done(setxattr(&file, ACCESS, b"", 0)));
        answers.push(shown(&file));
        let named = acl("u::rw-,u:1001:r--,g::---,m::rw-,o::---");
        for flags in [libc::XATTR_REPLACE, libc::XATTR_CREATE, 0] {
            answers.push(done(setxattr(&file, ACCESS, &named, flags)));
        }
        answers.push(done(setxattr(&file, ACCESS, &named[1..], 0)));
        answers.push(done(setxattr(&file, DEFAULT, &named, 0)));
        answers.push(done(removexattr(&file, ACCESS)));
        answers.push(done(removexattr(&file, ACCESS)));
        answers.push(shown(&file));
        // Only its owner gives it one.
        for (uid, owner) in [(1001, 1001), (1001, 0)] {
            chown(&file, Some(owner), None).unwrap();
            let set = || setxattr(&file, ACCESS, &named, 0);
            answers.push(done(as_user(uid, &[uid], 0, set)));
            let remove = || removexattr(&file, ACCESS);
            answers.push(done(as_user(uid, &[uid], 0, remove)));
            answers.push(shown(&file));
        }
        symlink("file", root.join("link")).unwrap();
        answers.push(done(setxattr(&root.join("link"), ACCESS, &named, 0)));
        answers
    });
}

#[test]
fn what_is_new_inherits_them() {
    beside("", |root| {
        let mut answers = Vec::new();
        let directory = root.join("directory");
        for (text, mode) in [
            ("", 0o777),
            ("u::rwx,g::rwx,m::rwx,o::---", 0o777),
            ("u::rwx,u:1001:rwx,g::r-x,g:50:-wx,m::rwx,o::r--", 0o777),
            ("u::rwx,u:1001:rwx,g::r-x,m::--x,o::rwx", 0o2777),
            ("u::rw-,g::r-x,o::-wx", 0o2777),
        ] {
            fs::create_dir(&directory).unwrap();
            chown(&directory, Some(0), Some(77)).unwrap();
            chmod(&directory, mode).unwrap();
            if !text.is_empty() {
                let set = setxattr(&directory, DEFAULT, &acl(text), 0);
                answers.push(format!("{text}: {}", done(set)));
            }
            answers.push(shown(&directory));
            for umask in [0o077, 0o002] {
                let make = || {
                    let mut file = File::options();
                    file.write(true).create_new(true);
                    let mut made = fs::DirBuilder::new();
                    let results = [
                        file.mode(0o666).open(directory.join("file")).map(drop),
                        file.mode(0o2751).open(directory.join("program")).map(drop),
                        made.mode(0o777).create(directory.join("sub")),
                        made.mode(0o1700).create(directory.join("private")),
                        mknod(&directory.join("pipe"), libc::S_IFIFO | 0o666),
                        symlink("file", directory.join("link")),
                    ];
                    results.map(done).join(" ")
                };
                answers.push(as_user(1001, &[1001], umask, make));
                for name in ["file", "program", "sub", "private", "pipe", "link"] {
                    answers.push(format!("{name}: {}", shown(&directory.join(name))));
                }
                fs::remove_dir(directory.join("sub")).unwrap();
                fs::remove_dir(directory.join("private")).unwrap();
                for name in ["file", "program", "pipe", "link"] {
                    fs::remove_file(directory.join(name)).unwrap();
                }
            }
            answers.push(done(removexattr(&directory, DEFAULT)));
            answers.push(done(removexattr(&directory, DEFAULT)));
            answers.push(shown(&directory));
            fs::remove_dir(&directory).unwrap();
        }
        answers
    });
}

/// Who is not of the group takes its set-group-id bit off.
#[test]
fn the_set_group_id_bit_goes() {
    beside("", |root| {
        let file = root.join("file");
        fs::write(&file, "text").unwrap();
        let mut answers = Vec::new();
        let named = acl("u::rwx,u:1002:r--,g::r-x,m::rwx,o::---");
        let plain = acl("u::rwx,g::r-x,o::---");
        let users: [(u32, &[u32]); 4] = [
            (1001, &[1001]),
            (1001, &[77]),
            (1001, &[1001, 77]),
            (0, &[0]),
        ];
        for (uid, gids) in users {
            for value in [Some(&named), Some(&plain), None] {
                chown(&file, Some(1001), Some(77)).unwrap();
                chmod(&file, 0o6755).unwrap();
                let change = || match value {
                    Some(value) => setxattr(&file, ACCESS, value, 0),
                    None => removexattr(&file, ACCESS),
                };
                let result = done(as_user(uid, gids, 0, change));
                answers.push(format!("{uid} {gids:?}: {result}, {}", shown(&file)));
                let result = done(as_user(uid, gids, 0, || chmod(&file, 0o6770)));
                answers.push(format!("{uid} {gids:?}: {result}, {}", shown(&file)));
            }
        }
        answers
    });
}
