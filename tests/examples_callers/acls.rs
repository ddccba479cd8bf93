//! Access control lists.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::attributes::{ACCESS, Of, acl, chmod, set_xattr};
use crate::mount::{is_root, skip::skip};
use crate::place::{Place, Source, WAYS, everywhere};
use crate::user::{ONE, ROOT, TWO, User, user};

/// Read, write and execute permission of each user, by access(2)'s rules for the effective ids and by open(2).
fn may(place: &mut Place, name: &str, user: User) {
    let path = place.seen.join(name);
    let may = user.does(|| {
        [(true, false), (false, true)]
            .map(
                |(read, write)| match File::options().read(read).write(write).open(&path) {
                    Ok(_) => "yes".to_owned(),
                    Err(error) => format!("{:?}", error.raw_os_error()),
                },
            )
            .join(", ")
    });
    let who = (user.uid, user.gid, user.groups);
    place.say(format!("{name} by {who:?}"), Ok(may));
}

const ASKING: [User; 7] = [
    ROOT,
    ONE,
    TWO,
    user(2002, 50, &[]),
    user(2002, 2002, &[50]),
    user(2002, 2002, &[60]),
    user(2002, 2002, &[60, 50]),
];

pub(crate) fn acls(place: &mut Place) {
    use Of::{Group, Mask, Others, Owner, Owners, User};
    let lists: [(&str, &[(Of, u16)]); 4] = [
        (
            "a user",
            &[
                (Owner, 6),
                (User(2001), 4),
                (Owners, 0),
                (Mask, 6),
                (Others, 0),
            ],
        ),
        (
            "a group",
            &[
                (Owner, 6),
                (Owners, 0),
                (Group(60), 6),
                (Mask, 6),
                (Others, 0),
            ],
        ),
        (
            "masked",
            &[
                (Owner, 6),
                (User(2001), 6),
                (Owners, 6),
                (Mask, 4),
                (Others, 0),
            ],
        ),
        (
            "denied",
            &[
                (Owner, 6),
                (User(2002), 0),
                (Owners, 6),
                (Mask, 6),
                (Others, 6),
            ],
        ),
    ];
    for (name, entries) in lists {
        place.file(name, (0, 50), 0o600);
        set_xattr(&place.behind.join(name), ACCESS, &acl(entries)).unwrap();
        for user in ASKING {
            may(place, name, user);
        }
        // The mask is what chmod(2) changes of it.
        let changed = chmod(&place.seen.join(name), 0o640);
        place.say_done("chmod", changed);
        for user in ASKING {
            may(place, name, user);
        }
        place.state(name);
    }
    // Files without one, and a directory that one user may search and write.
    place.file("plain", (0, 50), 0o640);
    for user in ASKING {
        may(place, "plain", user);
    }
    let dir = place.behind.join("dir");
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(0), Some(50)).unwrap();
    let entries = [
        (Owner, 7),
        (User(2001), 7),
        (Owners, 0),
        (Mask, 7),
        (Others, 0),
    ];
    set_xattr(&dir, ACCESS, &acl(&entries)).unwrap();
    for user in ASKING {
        let name = format!("dir/of {:?}", (user.uid, user.gid, user.groups));
        let path = place.seen.join(&name);
        let made = user.does(|| File::create_new(&path).map(drop));
        place.say_done(&name, made);
        place.state(&name);
    }
}

/// The owner gives a file an ACL, which drops the set-group-id bit unless the owner is of the group.
pub(crate) fn acls_that_are_set(place: &mut Place) {
    if !place.xattrs {
        return place.leave_out();
    }
    use Of::{Mask, Others, Owner, Owners, User};
    let entries = [
        (Owner, 7),
        (User(2002), 7),
        (Owners, 5),
        (Mask, 7),
        (Others, 5),
    ];
    let value = acl(&entries);
    for (gid, groups) in [(2001, &[][..]), (50, &[]), (2001, &[60]), (2001, &[60, 50])] {
        for mode in [0o2755, 0o6745, 0o755] {
            let name = format!("{mode:o} by one of {gid} and {groups:?}");
            let path = place.file(&name, (2001, 50), mode);
            let owner = user(2001, gid, groups);
            let set = owner.does(|| set_xattr(&path, ACCESS, &value));
            place.say_done(&name, set);
            place.state(&name);
            may(place, &name, TWO);
            let removed = owner.does(|| rustix::fs::removexattr(&path, ACCESS));
            place.say_done(&name, removed.map_err(Into::into));
            may(place, &name, TWO);
            let by_another = TWO.does(|| set_xattr(&path, ACCESS, &value));
            place.say_done(&name, by_another);
            place.state(&name);
        }
    }
    let path = place.file("root's", (0, 50), 0o2755);
    let set = ROOT.does(|| set_xattr(&path, ACCESS, &value));
    place.say_done("by root", set);
    place.state("root's");
}

#[test]
fn acls_are_checked() {
    everywhere("ACLs", WAYS, acls);
}

#[test]
fn acls_are_set_as_by_the_caller() {
    everywhere("ACLs that are set", WAYS, acls_that_are_set);
}

/// A source that knows no ACLs has no fewer permissions.
#[test]
fn a_source_without_acls() {
    if !is_root() {
        return skip("a source without ACLs", "only root can mount one");
    }
    let source = Source::new();
    let _ramfs = Ramfs::new(&source.0);
    chmod(&source.0, 0o755).unwrap();
    for way in WAYS {
        let Some(mounted) = source.mounted(*way) else {
            return;
        };
        let mut there = Place::new(&source, "there", None, way.2);
        let mut here = Place::new(&source, "here", Some(&mounted), way.2);
        for place in [&mut there, &mut here] {
            for mode in [0o640, 0o660, 0o604] {
                let name = format!("{mode:o}");
                place.file(&name, (0, 50), mode);
                for user in ASKING {
                    may(place, &name, user);
                }
            }
        }
        assert_eq!(there.said, here.said, "{way:?}");
        mounted.unmount();
        for name in ["here", "there"] {
            fs::remove_dir_all(source.0.join(name)).unwrap();
        }
    }
}

/// A mounted file system without extended attributes.
struct Ramfs(CString);

impl Ramfs {
    fn new(at: &Path) -> Self {
        let at = CString::new(at.as_os_str().as_bytes()).unwrap();
        let kind = c"ramfs".as_ptr();
        // SAFETY: the strings live and are NUL-terminated, and this file system takes no data.
        let mounted = unsafe { libc::mount(kind, at.as_ptr(), kind, 0, std::ptr::null()) };
        assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
        Self(at)
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        // SAFETY: the path lives and is NUL-terminated.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}
