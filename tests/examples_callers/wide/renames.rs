//! rename(2) with each of its flags, of everything to everything.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, chown, symlink};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

use crate::attributes::chmod;
use crate::place::Place;
use crate::user::{ONE, ROOT, TWO};

const KINDS: [&str; 10] = [
    "file",
    "link",
    "directory",
    "full",
    "fifo",
    "nothing",
    "same",
    "own child",
    "own parent",
    "hard link",
];

/// What is made at `path`.
fn make(path: &Path, kind: &str) {
    match kind {
        "file" => fs::write(path, format!("of {:?}", path.file_name().unwrap())).unwrap(),
        "link" => symlink("file", path).unwrap(),
        "directory" => fs::create_dir(path).unwrap(),
        "full" => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("in"), "in").unwrap();
        }
        "fifo" => rustix::fs::mknodat(
            CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap(),
        _ => {}
    }
}

/// What is in `dir` now, by name.
fn there(dir: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let names = names.iter().map(|path| {
        let of = fs::symlink_metadata(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let kind = of.file_type();
        let what = if kind.is_dir() {
            format!("[{}]", there(path))
        } else if kind.is_symlink() {
            format!("-> {:?}", fs::read_link(path).unwrap())
        } else if kind.is_char_device() {
            format!("device {:#x}, {:o}", of.rdev(), of.mode())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            fs::read_to_string(path).unwrap()
        };
        format!(
            "{name} {what} {}",
            if kind.is_dir() { 0 } else { of.nlink() }
        )
    });
    names.collect::<Vec<_>>().join(", ")
}

pub(crate) fn kinds(place: &mut Place) {
    let ways = [
        ("", RenameFlags::empty()),
        ("no replacing", RenameFlags::NOREPLACE),
        ("exchange", RenameFlags::EXCHANGE),
        ("whiteout", RenameFlags::WHITEOUT),
        (
            "whiteout, no replacing",
            RenameFlags::WHITEOUT | RenameFlags::NOREPLACE,
        ),
        (
            "exchange, no replacing",
            RenameFlags::EXCHANGE | RenameFlags::NOREPLACE,
        ),
        ("an unknown flag", RenameFlags::from_bits_retain(0x80)),
    ];
    for (way, flags) in ways {
        for from in KINDS.iter().take(6) {
            for to in KINDS {
                for known in [false, true] {
                    // What is refused without a look at the names it is enough to try once.
                    if known && way.contains(',') {
                        continue;
                    }
                    let dir = format!("{from} to {to} {way}{}", if known { ", known" } else { "" });
                    let behind = place.behind.join(&dir);
                    fs::create_dir(&behind).unwrap();
                    make(&behind.join("a"), from);
                    make(&behind.join("b"), to);
                    if to == "hard link" && *from == "file" {
                        fs::hard_link(behind.join("a"), behind.join("b")).unwrap();
                    }
                    let seen = place.seen.join(&dir);
                    let (old, new) = match to {
                        "same" => (seen.join("a"), seen.join("a")),
                        "own child" => (seen.join("a"), seen.join("a/b")),
                        "own parent" => (seen.join("a/in"), seen.join("a")),
                        _ => (seen.join("a"), seen.join("b")),
                    };
                    if known {
                        // What is there is no matter, only that it was looked at.
                        let _ = [fs::symlink_metadata(&old), fs::symlink_metadata(&new)];
                        there(&seen);
                    }
                    let done = rustix::fs::renameat_with(CWD, &old, CWD, &new, flags);
                    place.say_done(&dir, done.map_err(Into::into));
                    place.say(&dir, Ok(there(&seen)));
                    place.say(format!("{dir}, in the source"), Ok(there(&behind)));
                }
            }
        }
    }
}

/// What is open, or is somebody's working directory, goes along.
pub(crate) fn open_ones(place: &mut Place) {
    let flags = [
        ("", RenameFlags::empty()),
        ("exchange", RenameFlags::EXCHANGE),
        ("whiteout", RenameFlags::WHITEOUT),
    ];
    for (way, flags) in flags {
        let dir = format!("open {way}");
        for below in ["one/deep", "other"] {
            fs::create_dir_all(place.behind.join(&dir).join(below)).unwrap();
        }
        let seen = place.seen.join(&dir);
        fs::write(seen.join("one/deep/file"), "first").unwrap();
        fs::write(seen.join("other/file"), "second").unwrap();
        let [first, second] =
            ["one/deep/file", "other/file"].map(|name| fs::File::open(seen.join(name)).unwrap());
        let inside = fs::File::open(seen.join("one/deep")).unwrap();
        // A whiteout is a device, which a mount of FUSE does not let anybody open.
        let via = |fd: &fs::File, name: &str| {
            let path = format!("/proc/self/fd/{}/{name}", fd.as_raw_fd());
            let is_device = fs::symlink_metadata(&path)?.file_type().is_char_device();
            if is_device {
                Ok("a device".to_owned())
            } else {
                fs::read_to_string(path)
            }
        };
        let done = rustix::fs::renameat_with(
            CWD,
            seen.join("one/deep/file"),
            CWD,
            seen.join("other/file"),
            flags,
        );
        place.say_done(&dir, done.map_err(Into::into));
        place.say(format!("{dir}: first"), std::io::read_to_string(&first));
        place.say(format!("{dir}: second"), std::io::read_to_string(&second));
        for (what, file) in [("first", &first), ("second", &second)] {
            place.say(
                format!("{dir}: names of the {what}"),
                file.metadata().map(|of| of.nlink()),
            );
        }
        place.say(format!("{dir}: by the directory"), via(&inside, "file"));
        let done = rustix::fs::renameat_with(
            CWD,
            seen.join("one"),
            CWD,
            seen.join("third"),
            RenameFlags::empty(),
        );
        place.say_done(format!("{dir}: the directory"), done.map_err(Into::into));
        place.say(
            format!("{dir}: by the moved directory"),
            via(&inside, "file"),
        );
        place.say(format!("{dir}: made in the moved directory"), {
            let path = format!("/proc/self/fd/{}/made", inside.as_raw_fd());
            fs::write(path, "made").map(|()| "done")
        });
        place.say(format!("{dir}: in the end"), Ok(there(&seen)));
        place.say(
            format!("{dir}: in the end, in the source"),
            Ok(there(&place.behind.join(&dir))),
        );
    }
}

/// By whom.
pub(crate) fn renamers(place: &mut Place) {
    let flags = [
        ("", RenameFlags::empty()),
        ("exchange", RenameFlags::EXCHANGE),
        ("whiteout", RenameFlags::WHITEOUT),
    ];
    for (who, user) in [("root", ROOT), ("the owner", ONE), ("another", TWO)] {
        for mode in [0o755, 0o777, 0o1777] {
            for (way, flags) in flags {
                for target in [0o755, 0o777] {
                    for directory in [false, true] {
                        let dir = format!("{mode:o} {target:o} {directory} {way} by {who}");
                        let behind = place.behind.join(&dir);
                        for (name, mode) in [("from", mode), ("to", target)] {
                            let path = behind.join(name);
                            fs::create_dir_all(&path).unwrap();
                            let inside = path.join("x");
                            make(&inside, if directory { "directory" } else { "file" });
                            for path in [&path, &inside] {
                                chown(path, Some(2001), Some(50)).unwrap();
                            }
                            chmod(&path, mode).unwrap();
                        }
                        let seen = place.seen.join(&dir);
                        let [from, to] = ["from/x", "to/x"].map(|name| seen.join(name));
                        let done =
                            user.does(|| rustix::fs::renameat_with(CWD, &from, CWD, &to, flags));
                        place.say_done(&dir, done.map_err(Into::into));
                        place.say(&dir, Ok(there(&behind)));
                    }
                }
            }
        }
    }
}
