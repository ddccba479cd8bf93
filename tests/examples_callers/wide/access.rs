//! Who may do what: modes, ACLs, groups, sticky directories.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{chown, lchown};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};

use crate::attributes::{ACCESS, Of, acl, chmod, set_xattr};
use crate::place::{Call, Place};
use crate::user::{ONE, ROOT, TWO, User, user};

/// Files and directories are of user 2001 and group 50; ACLs name user 2003 and group 60.
const CALLERS: [(&str, User); 9] = [
    ("root", ROOT),
    ("the owner", ONE),
    ("one of the group", user(2005, 50, &[])),
    ("the named user", user(2003, 2003, &[])),
    ("one of the named group", user(2004, 60, &[])),
    ("another", TWO),
    ("another, also of the group", user(2006, 2006, &[70, 50])),
    ("another, also of the named", user(2006, 2006, &[60])),
    ("another, also of both", user(2006, 2006, &[50, 60])),
];

const MODES: [u32; 12] = [
    0, 0o400, 0o200, 0o040, 0o020, 0o004, 0o002, 0o640, 0o406, 0o067, 0o705, 0o777,
];

/// Permissions of the named user and the named group, and the mask; none for a file without an ACL.
const LISTS: [(&str, Option<[u16; 3]>); 5] = [
    ("no ACL", None),
    ("both", Some([6, 4, 7])),
    ("user only", Some([7, 0, 7])),
    ("denied", Some([0, 0, 7])),
    ("masked", Some([7, 7, 4])),
];

fn give(path: &Path, mode: u32, list: Option<[u16; 3]>) {
    chown(path, Some(2001), Some(50)).unwrap();
    chmod(path, mode).unwrap();
    if let Some([user, group, mask]) = list {
        use Of::{Group, Mask, Others, Owner, Owners, User};
        let [owner, owners, others] = [6, 3, 0].map(|shift| (mode >> shift & 7) as u16);
        let entries = [
            (Owner, owner),
            (User(2003), user),
            (Owners, owners),
            (Group(60), group),
            (Mask, mask),
            (Others, others),
        ];
        set_xattr(path, ACCESS, &acl(&entries)).unwrap();
    }
}

fn asked(path: &Path, access: Access) -> io::Result<()> {
    Ok(rustix::fs::accessat(CWD, path, access, AtFlags::empty())?)
}

const OF_FILES: &[(&str, Call)] = &[
    ("read", |path| File::open(path).map(drop)),
    ("write", |path| {
        File::options().write(true).open(path).map(drop)
    }),
    ("read and write", |path| {
        File::options().read(true).write(true).open(path).map(drop)
    }),
    ("append", |path| {
        File::options().append(true).open(path).map(drop)
    }),
    ("truncate", |path| {
        File::options()
            .write(true)
            .truncate(true)
            .open(path)
            .map(drop)
    }),
    ("access to execute", |path| asked(path, Access::EXEC_OK)),
    ("access to read", |path| asked(path, Access::READ_OK)),
    ("access to write", |path| asked(path, Access::WRITE_OK)),
    ("touch", |path| {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
    }),
];

const OF_DIRECTORIES: &[(&str, Call)] = &[
    ("list", |path| fs::read_dir(path).map(drop)),
    ("search", |path| fs::metadata(path.join("in")).map(drop)),
    ("make", |path| File::create_new(path.join("new")).map(drop)),
    ("rename", |path| {
        fs::rename(path.join("new"), path.join("newer"))
    }),
    ("remove", |path| fs::remove_file(path.join("newer"))),
    ("make a directory", |path| fs::create_dir(path.join("dir"))),
    ("remove a directory", |path| {
        fs::remove_dir(path.join("dir"))
    }),
    ("access to write", |path| {
        asked(path, Access::WRITE_OK | Access::EXEC_OK)
    }),
];

fn each(place: &mut Place, calls: &[(&str, Call)]) {
    for (who, user) in CALLERS {
        user.does(|| {
            for (list, _) in LISTS {
                for mode in MODES {
                    let path = place.seen.join(format!("{list} {mode:o}"));
                    for (what, call) in calls {
                        place.say_done(format!("{what} {list} {mode:o} by {who}"), call(&path));
                    }
                }
            }
        });
    }
}

pub(crate) fn files(place: &mut Place) {
    for (name, list) in LISTS {
        for mode in MODES {
            let name = format!("{name} {mode:o}");
            place.file(&name, (2001, 50), mode);
            give(&place.behind.join(name), mode, list);
        }
    }
    each(place, OF_FILES);
}

pub(crate) fn directories(place: &mut Place) {
    for (name, list) in LISTS {
        for mode in MODES {
            let path = place.behind.join(format!("{name} {mode:o}"));
            fs::create_dir(&path).unwrap();
            fs::write(path.join("in"), "").unwrap();
            give(&path, mode, list);
        }
    }
    each(place, OF_DIRECTORIES);
}

/// What only the owner may, or who is of the group.
const OF_OWNERS: &[(&str, Call)] = &[
    ("chmod", |path| chmod(path, 0o641)),
    ("chmod of set-group-id", |path| chmod(path, 0o2755)),
    ("chmod of set-user-id", |path| chmod(path, 0o4755)),
    ("chmod back", |path| chmod(path, 0o666)),
    ("chown to 2005", |path| chown(path, Some(2005), None)),
    ("chown to 2001", |path| chown(path, Some(2001), None)),
    ("chgrp to 60", |path| chown(path, None, Some(60))),
    ("chgrp to 50", |path| chown(path, None, Some(50))),
    ("chown to itself", |path| lchown(path, None, None)),
    ("link", |path| {
        fs::hard_link(path, path.with_extension("link"))
    }),
    ("ACL", |path| {
        use Of::{Mask, Others, Owner, Owners, User};
        let entries = [
            (Owner, 6),
            (User(2003), 6),
            (Owners, 4),
            (Mask, 6),
            (Others, 4),
        ];
        set_xattr(path, ACCESS, &acl(&entries))
    }),
];

pub(crate) fn owners(place: &mut Place) {
    if !place.xattrs {
        return place.leave_out();
    }
    for (who, user) in CALLERS {
        for mode in [0o644, 0o666, 0o6777] {
            let name = format!("{mode:o} {}", who.replace(' ', "-"));
            let path = place.file(&name, (2001, 50), mode);
            user.does(|| {
                for (what, call) in OF_OWNERS {
                    place.say_done(format!("{what} of {name}"), call(&path));
                    place.state(&name);
                }
            });
        }
    }
}

/// In a sticky directory only owners remove and rename.
pub(crate) fn sticky(place: &mut Place) {
    for (owner, mode) in [(0, 0o1777), (2001, 0o1777), (2001, 0o1770), (2001, 0o777)] {
        let dir = format!("{mode:o} of {owner}");
        let behind = place.behind.join(&dir);
        fs::create_dir(&behind).unwrap();
        chown(&behind, Some(owner), Some(50)).unwrap();
        chmod(&behind, mode).unwrap();
        for (who, user) in CALLERS {
            for of in [0, 2001, 2002] {
                for what in ["remove", "rename", "rename over", "list"] {
                    let name = format!("{dir}/{what} {of}'s, {who}");
                    place.file(&name, (of, 50), 0o666);
                    let path = place.seen.join(&name);
                    let to = path.with_extension("to");
                    if what == "rename over" {
                        place.file(&format!("{name}.to"), (of, 50), 0o666);
                    }
                    let done = user.does(|| match what {
                        "remove" => fs::remove_file(&path),
                        "list" => fs::metadata(&path).map(drop),
                        _ => fs::rename(&path, &to),
                    });
                    place.say_done(&name, done);
                }
            }
        }
    }
}
