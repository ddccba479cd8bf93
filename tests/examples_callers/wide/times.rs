//! Times of access, change and attribute change.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, chown, symlink};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags,
};

use crate::attributes::chmod;
use crate::place::{Call, Place};
use crate::user::{ONE, ROOT, TWO, user};

const LONG_AGO: i64 = 1_000_000_000;

fn at(tv_sec: i64, tv_nsec: i64) -> Timespec {
    Timespec { tv_sec, tv_nsec }
}

fn set(path: &Path, last_access: Timespec, last_modification: Timespec) -> io::Result<()> {
    let times = Timestamps {
        last_access,
        last_modification,
    };
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(CWD, path, &times, flags)?)
}

fn reads(path: &Path, flags: i32) -> io::Result<()> {
    let mut file = File::options().read(true).custom_flags(flags).open(path)?;
    file.read_exact(&mut [0; 100])
}

fn writes(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

fn allocates(path: &Path, how: FallocateFlags, offset: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(writes(path)?, how, offset, 4096)?)
}

/// Of a file.
const OF_FILES: &[(&str, Call)] = &[
    ("nothing", |_| Ok(())),
    ("stat", |path| fs::metadata(path).map(drop)),
    ("open", |path| File::open(path).map(drop)),
    ("open to write", |path| writes(path).map(drop)),
    ("read", |path| reads(path, 0)),
    ("read with O_NOATIME", |path| reads(path, libc::O_NOATIME)),
    ("read nothing", |path| File::open(path)?.read_exact(&mut [])),
    ("read at the end", |path| {
        File::open(path)?.read_at(&mut [0; 10], 1 << 20).map(drop)
    }),
    ("write", |path| writes(path)?.write_all(b"x")),
    ("write and sync", |path| {
        let mut file = writes(path)?;
        file.write_all(b"x")?;
        file.sync_all()
    }),
    ("write nothing", |path| writes(path)?.write_all(b"")),
    ("append", |path| {
        File::options().append(true).open(path)?.write_all(b"x")
    }),
    ("truncate", |path| writes(path)?.set_len(10)),
    ("truncate to the same", |path| writes(path)?.set_len(8192)),
    ("extend", |path| writes(path)?.set_len(10_000)),
    ("O_TRUNC", |path| File::create(path).map(drop)),
    ("fallocate", |path| {
        allocates(path, FallocateFlags::empty(), 8192)
    }),
    ("fallocate beyond the end", |path| {
        allocates(path, FallocateFlags::KEEP_SIZE, 8192)
    }),
    ("punch a hole", |path| {
        allocates(
            path,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            0,
        )
    }),
    ("chmod", |path| chmod(path, 0o600)),
    ("chmod to the same", |path| chmod(path, 0o644)),
    ("chown", |path| chown(path, Some(2001), Some(60))),
    ("chown of nothing", |path| chown(path, None, None)),
    ("setxattr", |path| {
        Ok(rustix::fs::setxattr(
            path,
            "user.x",
            b"x",
            XattrFlags::empty(),
        )?)
    }),
    ("link", |path| {
        fs::hard_link(path, path.with_extension("link"))
    }),
    ("unlink of another name", |path| {
        fs::remove_file(path.with_extension("other"))
    }),
    ("access times now", |path| {
        set(path, at(0, UTIME_NOW), at(0, UTIME_OMIT))
    }),
    ("modification times now", |path| {
        set(path, at(0, UTIME_OMIT), at(0, UTIME_NOW))
    }),
    ("both now", |path| {
        set(path, at(0, UTIME_NOW), at(0, UTIME_NOW))
    }),
    ("neither", |path| {
        set(path, at(0, UTIME_OMIT), at(0, UTIME_OMIT))
    }),
    ("access time", |path| set(path, at(5, 7), at(0, UTIME_OMIT))),
    ("modification time", |path| {
        set(path, at(0, UTIME_OMIT), at(5, 7))
    }),
    ("both", |path| {
        set(path, at(2_000_000_001, 999_999_999), at(-3, 1))
    }),
];

/// Of a directory in which there are a file and a directory.
const OF_DIRECTORIES: &[(&str, Call)] = &[
    ("nothing", |_| Ok(())),
    ("list", |path| {
        fs::read_dir(path).map(|entries| entries.for_each(drop))
    }),
    ("look up", |path| fs::metadata(path.join("file")).map(drop)),
    ("make a file", |path| {
        File::create_new(path.join("new")).map(drop)
    }),
    ("open what is there", |path| {
        File::open(path.join("file")).map(drop)
    }),
    ("write to what is there", |path| {
        writes(&path.join("file"))?.write_all(b"x")
    }),
    ("make a directory", |path| fs::create_dir(path.join("new"))),
    ("make what is there", |path| {
        fs::create_dir(path.join("dir"))
    }),
    ("make a link", |path| symlink("x", path.join("new"))),
    ("link", |path| {
        fs::hard_link(path.join("file"), path.join("new"))
    }),
    ("remove a file", |path| fs::remove_file(path.join("file"))),
    ("remove a directory", |path| {
        fs::remove_dir(path.join("dir"))
    }),
    ("rename", |path| {
        fs::rename(path.join("file"), path.join("new"))
    }),
    ("rename into another", |path| {
        fs::rename(path.join("file"), path.join("dir").join("new"))
    }),
    ("chmod", |path| chmod(path, 0o700)),
];

/// Which of the three times are other ones than before.
fn changed(before: &fs::Metadata, after: &fs::Metadata) -> String {
    let times = |of: &fs::Metadata| {
        [
            (of.atime(), of.atime_nsec()),
            (of.mtime(), of.mtime_nsec()),
            (of.ctime(), of.ctime_nsec()),
        ]
    };
    let names = ["access", "modification", "attributes"];
    let pairs = times(before).into_iter().zip(times(after));
    let changed = pairs
        .zip(names)
        .filter(|((before, after), _)| before != after);
    let mut said = String::from("changed:");
    for ((_, (seconds, nanos)), name) in changed {
        said += " ";
        said += name;
        // What was given, and not the clock's.
        if !(1_600_000_000..2_000_000_000).contains(&seconds) {
            said += &format!(" to {seconds}.{nanos:09}");
        }
    }
    said
}

/// The time of a change is one of the clock's ticks.
fn later() {
    sleep(Duration::from_millis(12));
}

fn after(place: &mut Place, name: &str, call: Call) {
    let path = place.seen.join(name);
    let before = fs::symlink_metadata(&path).unwrap();
    later();
    let done = call(&path);
    let after = fs::symlink_metadata(&path).unwrap();
    place.say_done(name, done);
    place.say(name, Ok(changed(&before, &after)));
}

pub(crate) fn rules(place: &mut Place) {
    for (what, call) in OF_FILES {
        if *what == "setxattr" && !place.xattrs {
            continue;
        }
        let path = place.behind.join(what);
        place.file(what, (2001, 50), 0o644);
        fs::hard_link(&path, path.with_extension("other")).unwrap();
        set(&path, at(LONG_AGO, 5), at(LONG_AGO, 6)).unwrap();
        after(place, what, *call);
    }
    for (what, call) in OF_DIRECTORIES {
        let name = format!("directory: {what}");
        let path = place.behind.join(&name);
        fs::create_dir_all(path.join("dir")).unwrap();
        fs::write(path.join("file"), "text").unwrap();
        set(&path, at(LONG_AGO, 5), at(LONG_AGO, 6)).unwrap();
        after(place, &name, *call);
    }
    for (name, call) in [
        ("readlink", (|path| fs::read_link(path).map(drop)) as Call),
        ("lstat", |path| fs::symlink_metadata(path).map(drop)),
        ("times of the link", |path| set(path, at(5, 7), at(6, 8))),
    ] {
        let path = place.behind.join(name);
        symlink("nowhere", &path).unwrap();
        set(&path, at(LONG_AGO, 5), at(LONG_AGO, 6)).unwrap();
        after(place, name, call);
    }
}

/// What was written here a moment ago is read again: relatime moves the time of access then, too.
pub(crate) fn read_after_write(place: &mut Place) {
    let path = place.seen.join("file");
    fs::write(&path, [1; 8192]).unwrap();
    for what in ["read", "read again", "read after write"] {
        later();
        if what == "read after write" {
            writes(&path).unwrap().write_all(b"x").unwrap();
            later();
        }
        let before = fs::metadata(&path).unwrap();
        let done = reads(&path, 0);
        place.say_done(what, done);
        place.say(what, Ok(changed(&before, &fs::metadata(&path).unwrap())));
    }
}

/// Who may set them, and to what.
pub(crate) fn setters(place: &mut Place) {
    let given = [
        ("both now", [at(0, UTIME_NOW); 2]),
        ("one now", [at(0, UTIME_NOW), at(0, UTIME_OMIT)]),
        ("neither", [at(0, UTIME_OMIT); 2]),
        ("set", [at(100, 200); 2]),
        ("set and now", [at(100, 200), at(0, UTIME_NOW)]),
        ("set and kept", [at(0, UTIME_OMIT), at(100, 200)]),
        ("out of range", [at(100, 1_000_000_000); 2]),
    ];
    let callers = [
        ("root", ROOT),
        ("the owner", ONE),
        ("one of the group", user(2005, 50, &[])),
        ("another, also of the group", user(2005, 2005, &[50])),
        ("another", TWO),
    ];
    for (who, user) in callers {
        for mode in [0o600, 0o620, 0o602] {
            for (what, [access, modification]) in given {
                let name = format!("{what} of {mode:o} by {who}");
                let path = place.file(&name, (2001, 50), mode);
                let behind = place.behind.join(&name);
                set(&behind, at(LONG_AGO, 5), at(LONG_AGO, 6)).unwrap();
                let before = fs::metadata(&path).unwrap();
                let done = user.does(|| set(&path, access, modification));
                place.say_done(&name, done);
                let kept = |now: i64, then: i64| if now == then { "kept" } else { "moved" };
                let now = fs::metadata(&path).unwrap();
                let said = format!(
                    "{} {}",
                    kept(now.atime(), before.atime()),
                    kept(now.mtime(), before.mtime())
                );
                place.say(&name, Ok(said));
            }
            let name = format!("O_NOATIME of {mode:o} by {who}");
            let path = place.file(&name, (2001, 50), mode | 0o044);
            let done = user.does(|| reads(&path, libc::O_NOATIME));
            place.say_done(&name, done);
        }
    }
}
