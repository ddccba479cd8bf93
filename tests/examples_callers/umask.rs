//! The umask, and default access control lists.

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt, chown};

use rustix::fs::{CWD, FileType, Mode};

use crate::attributes::{DEFAULT, Of, acl, chmod, set_xattr};
use crate::place::{Call, Place, WAYS, everywhere};
use crate::user::{ONE, ROOT, User, user};

/// New files of all kinds, in directories with and without a default ACL.
pub(crate) fn made_with_umask(place: &mut Place) {
    use Of::{Mask, Others, Owner, Owners, User};
    let entries = [
        (Owner, 7),
        (User(2002), 7),
        (Owners, 7),
        (Mask, 7),
        (Others, 5),
    ];
    for (dir, with_acl, mode) in [
        ("acl", true, 0o777),
        ("none", false, 0o777),
        ("acl and set-group-id", true, 0o2777),
        ("set-group-id", false, 0o2777),
    ] {
        let behind = place.behind.join(dir);
        fs::create_dir(&behind).unwrap();
        chown(&behind, Some(0), Some(50)).unwrap();
        chmod(&behind, mode).unwrap();
        if with_acl {
            set_xattr(&behind, DEFAULT, &acl(&entries)).unwrap();
        }
        for (who, user) in [ROOT, ONE, self::user(2002, 2002, &[50])]
            .into_iter()
            .enumerate()
        {
            for umask in [0o077, 0o022, 0o002, 0] {
                let user = self::User { umask, ..user };
                let name = |what: &str| format!("{dir}/{what} of {who} with {umask:o}");
                let path = |what: &str| place.seen.join(name(what));
                let kinds: [(&str, Call); 6] = [
                    ("file", |path| {
                        let mut open = File::options();
                        open.write(true)
                            .create_new(true)
                            .mode(0o666)
                            .open(path)
                            .map(drop)
                    }),
                    ("set-id", |path| {
                        let mut open = File::options();
                        open.write(true)
                            .create(true)
                            .mode(0o6777)
                            .open(path)
                            .map(drop)
                    }),
                    ("directory", |path| fs::create_dir(path)),
                    ("fifo", |path| {
                        let mode = Mode::from_raw_mode(0o666);
                        Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)?)
                    }),
                    ("node", |path| {
                        let mode = Mode::from_raw_mode(0o2777);
                        Ok(rustix::fs::mknodat(
                            CWD,
                            path,
                            FileType::RegularFile,
                            mode,
                            0,
                        )?)
                    }),
                    ("link", |path| std::os::unix::fs::symlink("x", path)),
                ];
                let mut made = Vec::new();
                for (kind, make) in kinds {
                    let path = path(kind);
                    made.push((name(kind), user.does(|| make(&path))));
                }
                for (name, result) in made {
                    place.say_done(&name, result);
                    place.state(&name);
                }
            }
        }
    }
}

#[test]
fn the_umask_counts_where_there_is_no_default_acl() {
    everywhere("umask and default ACLs", WAYS, made_with_umask);
}
