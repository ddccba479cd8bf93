//! Extended attributes: sizes, flags, names, and what may have them.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use crate::attributes::chmod;
use crate::place::Place;
use crate::user::{ONE, TWO, USERS, User, user};

fn set(path: &Path, name: &str, value: &[u8], how: XattrFlags) -> io::Result<()> {
    Ok(rustix::fs::lsetxattr(path, name, value, how)?)
}

/// The length, or as much as there is room for.
fn get(path: &Path, name: &str, room: usize) -> io::Result<String> {
    let (path, name) = (
        CString::new(path.as_os_str().as_bytes())?,
        CString::new(name)?,
    );
    let mut value = vec![0_u8; room];
    let start = value.as_mut_ptr().cast();
    // SAFETY: both strings are NUL-terminated, and there is `room` at `start`.
    let length = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), start, room) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    value.truncate(length);
    let head = String::from_utf8_lossy(&value[..value.len().min(8)]);
    Ok(format!("{length} {head:?}"))
}

fn list(path: &Path, room: usize) -> io::Result<String> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut names = vec![0_u8; room];
    let start = names.as_mut_ptr().cast();
    // SAFETY: the path is NUL-terminated, and there is `room` at `start`.
    let length = unsafe { libc::llistxattr(path.as_ptr(), start, room) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    names.truncate(length);
    let mut names: Vec<_> = names
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    names.sort();
    Ok(format!("{length} {}", names.join(" ").trim()))
}

pub(crate) fn edges(place: &mut Place) {
    if !place.xattrs {
        return place.leave_out();
    }
    let path = place.file("file", (2001, 50), 0o644);
    let (create, replace) = (XattrFlags::CREATE, XattrFlags::REPLACE);
    let any = XattrFlags::empty();
    let long = |length: usize| format!("user.{}", "n".repeat(length - 5));
    place.say("nothing is listed", list(&path, 1000));
    place.say("room for no names", list(&path, 0));
    place.say("none is there", get(&path, "user.a", 100));
    place.say("none is there, the size", get(&path, "user.a", 0));
    place.say_done("replaced, none", set(&path, "user.a", b"1", replace));
    place.say_done("created", set(&path, "user.a", b"12345678", create));
    place.say_done("created again", set(&path, "user.a", b"2", create));
    place.say_done("replaced", set(&path, "user.a", b"123456", replace));
    place.say_done("both flags", set(&path, "user.a", b"3", create | replace));
    let unknown = XattrFlags::from_bits_retain(0x80);
    place.say_done("an unknown flag", set(&path, "user.a", b"3", unknown));
    for room in [0, 1, 5, 6, 7, 65_536, 70_000] {
        place.say(format!("room for {room}"), get(&path, "user.a", room));
    }
    place.say_done("empty", set(&path, "user.empty", b"", any));
    for room in [0, 1] {
        place.say(
            format!("empty, room for {room}"),
            get(&path, "user.empty", room),
        );
    }
    for room in [0, 1, 7, 18, 19, 65_536, 70_000] {
        place.say(format!("names, room for {room}"), list(&path, room));
    }
    for length in [6, 254, 255, 256, 1000] {
        let name = long(length);
        place.say_done(format!("a name of {length}"), set(&path, &name, b"v", any));
        place.say(
            format!("value of a name of {length}"),
            get(&path, &name, 10),
        );
        let removed = rustix::fs::lremovexattr(&path, name.as_str());
        place.say_done(
            format!("removed, a name of {length}"),
            removed.map_err(Into::into),
        );
    }
    for name in [
        "",
        "user.",
        "user",
        "nothing",
        "none.x",
        "trusted.",
        "system.",
        "system.x",
        "security.",
        "security.x",
        "trusted.x",
        "user.\u{e4}",
        "user.a.b",
        "USER.a",
        "system.posix_acl_access",
        "system.posix_acl_default",
        "system.data",
    ] {
        place.say_done(format!("set {name:?}"), set(&path, name, b"v", any));
        place.say(format!("get {name:?}"), get(&path, name, 10));
        let removed = rustix::fs::lremovexattr(&path, name);
        place.say_done(format!("removed {name:?}"), removed.map_err(Into::into));
    }
    for size in [100, 3000, 4096, 65_535, 65_536, 65_537, 100_000] {
        let name = format!("user.{size}");
        let value = vec![b'v'; size];
        place.say_done(format!("{size} bytes"), set(&path, &name, &value, any));
        place.say(format!("{size} bytes, the size"), get(&path, &name, 0));
        place.say(format!("{size} bytes, all"), get(&path, &name, size));
        place.say(
            format!("{size} bytes, less room"),
            get(&path, &name, size - 1),
        );
        let removed = rustix::fs::lremovexattr(&path, name.as_str());
        place.say_done(format!("{size} bytes removed"), removed.map_err(Into::into));
    }
    place.say("the rest", list(&path, 1000));
}

/// Files of each type, and each caller.
pub(crate) fn holders(place: &mut Place) {
    if !place.xattrs {
        return place.leave_out();
    }
    let behind = place.behind.clone();
    let mode = Mode::from_raw_mode(0o666);
    let make = |name: &str, kind, device| {
        rustix::fs::mknodat(CWD, behind.join(name), kind, mode, device).unwrap();
    };
    fs::create_dir(behind.join("directory")).unwrap();
    fs::create_dir(behind.join("sticky")).unwrap();
    fs::write(behind.join("file"), "").unwrap();
    fs::write(behind.join("read-only"), "").unwrap();
    symlink("file", behind.join("link")).unwrap();
    make("fifo", FileType::Fifo, 0);
    make("socket", FileType::Socket, 0);
    make(
        "device",
        FileType::CharacterDevice,
        rustix::fs::makedev(1, 3),
    );
    let kinds = [
        "directory",
        "sticky",
        "file",
        "read-only",
        "link",
        "fifo",
        "socket",
        "device",
    ];
    for name in kinds.into_iter().filter(|name| *name != "link") {
        let mode = match name {
            "sticky" => 0o1777,
            "read-only" => 0o444,
            _ => 0o666 | if name == "directory" { 0o111 } else { 0 },
        };
        chmod(&behind.join(name), mode).unwrap();
        chown(behind.join(name), Some(2001), Some(50)).unwrap();
    }
    let group: User = user(2005, 50, &[]);
    for (who, user) in USERS.into_iter().chain([("one of the group", group)]) {
        for name in kinds {
            let path = place.seen.join(name);
            for attribute in [
                "user.x",
                "trusted.x",
                "security.x",
                "security.capability",
                "system.x",
            ] {
                let any = XattrFlags::empty();
                let what = format!("{attribute} of {name} by {who}");
                user.does(|| {
                    place.say_done(format!("set {what}"), set(&path, attribute, b"v", any));
                    place.say(format!("get {what}"), get(&path, attribute, 100));
                    place.say(format!("list {what}"), list(&path, 1000));
                });
                let by = if user.uid == 2001 { TWO } else { ONE };
                by.does(|| {
                    let removed = rustix::fs::lremovexattr(&path, attribute);
                    place.say_done(
                        format!("removed by somebody else, {what}"),
                        removed.map_err(Into::into),
                    );
                });
                user.does(|| {
                    let removed = rustix::fs::lremovexattr(&path, attribute);
                    place.say_done(format!("removed, {what}"), removed.map_err(Into::into));
                });
            }
        }
    }
}
