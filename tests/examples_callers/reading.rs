//! What reading leaves behind, and where there is nothing to read.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, chown};

use rustix::fs::{AtFlags, CWD, SeekFrom, Timespec, Timestamps, seek};

use crate::mount::skip::skip;
use crate::mount::{Mounted, NOBODY, is_root};
use crate::place::{DEADLINE, Place, Source, WAYS, everywhere};
use crate::user::user;

const LONG_AGO: i64 = 1_000_000_000;

/// One file is read by whom its time of access is to stay for, another by somebody else, and a third by both.
fn times_of_access(place: &mut Place) {
    for (name, how) in [
        ("quiet", &[libc::O_NOATIME][..]),
        ("plain", &[0]),
        (
            "quiet twice",
            &[libc::O_NOATIME, libc::O_NOATIME | libc::O_RDWR],
        ),
        ("plain while quiet", &[libc::O_NOATIME, 0]),
        (
            "quiet while open to write",
            &[libc::O_WRONLY, libc::O_NOATIME],
        ),
    ] {
        let path = place.file(name, (0, 0), 0o644);
        let then = Timespec {
            tv_sec: LONG_AGO,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: then,
            last_modification: then,
        };
        let behind = place.behind.join(name);
        rustix::fs::utimensat(CWD, &behind, &times, AtFlags::empty()).unwrap();
        let open = |flags: &i32| {
            let mut open = File::options();
            let access = flags & libc::O_ACCMODE;
            open.read(access != libc::O_WRONLY)
                .write(access != libc::O_RDONLY);
            open.custom_flags(flags & !libc::O_ACCMODE).open(&path)
        };
        let mut files: Vec<_> = how.iter().map(|flags| open(flags).unwrap()).collect();
        // The last one alone reads.
        let read = files.last_mut().unwrap().read(&mut [0; 100]);
        place.say(format!("{name} reads"), read);
        drop(files);
        let stays = fs::metadata(&path).map(|of| of.atime() == LONG_AGO);
        place.say(format!("{name}: the time of access stays"), stays);
        let stays = fs::metadata(&behind).map(|of| of.atime() == LONG_AGO);
        place.say(format!("{name}: in the source, too"), stays);
    }
}

fn holes(place: &mut Place) {
    let path = place.file("file", (0, 0), 0o644);
    let file = File::options().read(true).write(true).open(path).unwrap();
    file.write_all_at(b"text", 65_536).unwrap();
    file.sync_all().unwrap();
    for at in [0_u32, 8192, 10_000, 65_540, 100_000] {
        let data = seek(&file, SeekFrom::Data(at.into()));
        place.say(format!("data from {at}"), data.map_err(Into::into));
        let hole = seek(&file, SeekFrom::Hole(at.into()));
        place.say(format!("a hole from {at}"), hole.map_err(Into::into));
    }
}

#[test]
fn the_time_of_access_stays_where_it_is_to() {
    everywhere("times of access", WAYS, times_of_access);
}

#[test]
fn holes_are_found() {
    everywhere("holes", WAYS, holes);
}

/// Whoever mounts is no root either, and may not open the file once more with its mode.
#[test]
fn a_file_is_made_that_its_maker_may_not_read() {
    if !is_root() {
        return skip("an unreadable file", "only root can be another user");
    }
    for options in [&[][..], &["--async"]] {
        let source = Source::new();
        chown(&source.0, Some(NOBODY), Some(NOBODY)).unwrap();
        let arguments = [options, &[source.0.to_str().unwrap()]].concat();
        let Some(mounted) = Mounted::by_nobody("passthroughfs", &arguments, DEADLINE) else {
            return;
        };
        let path = mounted.path().join("file");
        let make = || -> std::io::Result<()> {
            let mut open = File::options();
            open.read(true).write(true).create_new(true).mode(0o200);
            let mut file = open.custom_flags(libc::O_NOATIME).open(&path)?;
            file.write_all_at(b"text", 0)?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            assert_eq!(text, "text");
            Ok(())
        };
        user(NOBODY, NOBODY, &[]).does(make).unwrap();
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
    }
}
