//! Answers that are wrong: EIO to the caller, a line in the log that names what is wrong, and the session goes on.

use std::io;
use std::sync::Arc;

use fuse3::reply::Unanswered;
use fuse3::{Attr, Concurrent, Data, Entry, Errno, ReadBuf};

use crate::attributes;
use crate::every::{end, recorded};
use crate::harness::Wire;
use crate::probe::Probe;
use crate::proto::{self, File, Request};
use crate::recorder::{Recorder, Values, entry};

/// The request gets EIO; the log says this; the session goes on; and these calls were made, after the handler's.
#[track_caller]
pub(crate) fn mistake(
    request: &Request,
    answer: impl FnOnce(&mut Values),
    log: &str,
    undone: &[&str],
) -> Recorder<Concurrent> {
    let (fs, mut wire) = recorded::<Concurrent>();
    answer(&mut fs.values());
    wire.expect_error(request, Errno::EIO);
    let calls = fs.calls(1 + undone.len());
    assert_eq!(calls[1..], *undone);
    *fs.values() = Values::default();
    wire.expect(&proto::getattr(1, None), &attributes::reply());
    assert_eq!(fs.further_calls(), ["getattr 1"]);
    fs.assert_log(&[&format!("ERROR fuse3: {log}; the caller gets EIO")]);
    end(&fs, wire);
    fs
}

/// The kernel takes 1 to 511. libfuse sends what is above up to 999, and the caller waits for good; others as ERANGE.
#[test]
fn error_numbers_that_there_are_none_of() {
    let fs = Probe::<Concurrent>::new(|_, name| {
        let number = name.to_str().unwrap().parse().unwrap();
        Err(Unanswered::Errno(Errno::from_raw(number)))
    });
    let mut wire = Wire::new(fs, Concurrent);
    for number in [i32::MIN, -2, -1, 0, 512, 524, 999, 1000, 1001, i32::MAX] {
        let name = number.to_string();
        wire.expect_error(&proto::lookup(1, name.as_bytes()), Errno::EIO);
        let line = format!("ERROR fuse3: {number} is not an errno (1 to 511); the caller gets EIO");
        assert_eq!(crate::logger::count(&line), 1);
    }
    for number in [libc::EPERM, libc::ENOENT, libc::EHWPOISON] {
        let name = number.to_string();
        let errno = Errno::new(number).unwrap();
        wire.expect_error(&proto::lookup(1, name.as_bytes()), errno);
    }
    // libfuse from 3.17 on sends ERANGE for a number that the C library has no text for.
    let unique = wire.send(&proto::lookup(1, b"511"));
    let possible = [511, libc::ERANGE].map(|errno| proto::error(unique, errno));
    assert!(possible.contains(&wire.receive()));
    wire.end();
}

/// An `io::Error` that has no number which the kernel takes: EIO, and the log has what it said.
#[test]
fn errors_without_a_number() {
    let fs = Probe::<Concurrent>::new(|_, name| {
        Err(match name.to_str().unwrap() {
            "numbered" => io::Error::from_raw_os_error(libc::ESTALE),
            "kind" => io::Error::new(io::ErrorKind::NotFound, "no such block"),
            "other" => io::Error::other("the backend is on fire"),
            // ENOTSUPP, of the kernel's own.
            "leaked" => io::Error::from_raw_os_error(524),
            _ => io::Error::from_raw_os_error(54_321),
        }
        .into())
    });
    let mut wire = Wire::new(fs, Concurrent);
    wire.expect_error(&proto::lookup(1, b"numbered"), Errno::ESTALE);
    wire.expect_error(&proto::lookup(1, b"kind"), Errno::ENOENT);
    wire.expect_error(&proto::lookup(1, b"other"), Errno::EIO);
    wire.expect_error(&proto::lookup(1, b"unknown"), Errno::EIO);
    wire.expect_error(&proto::lookup(1, b"leaked"), Errno::EIO);
    assert_eq!(crate::logger::count("the backend is on fire"), 1);
    assert_eq!(crate::logger::count("54321"), 1);
    assert_eq!(crate::logger::count("(os error 524)"), 1);
    wire.end();
}

#[test]
fn reads_of_more_than_asked() {
    let shared: Arc<Vec<u8>> = Arc::new(vec![7; 100]);
    let [whole, beyond] = [Arc::clone(&shared), shared];
    type Way = Box<dyn Fn(ReadBuf) -> Data<'static> + Send + Sync>;
    let ways: [(Way, &str); 9] = [
        (
            Box::new(|out| out.copy_from(&[7; 11])),
            "gave 11 bytes where 10 were asked for",
        ),
        (
            Box::new(|out| out.lend(&[7; 12])),
            "gave 12 bytes where 10 were asked for",
        ),
        (
            Box::new(move |out| out.share(Arc::clone(&whole), 0..13)),
            "gave 13 bytes where 10 were asked for",
        ),
        (
            Box::new(move |out| out.share(Arc::clone(&beyond), 95..105)),
            "shared the bytes 95..105 of 100",
        ),
        (
            Box::new(|mut out| {
                out.push(&[7; 8]);
                out.push(&[7; 6]);
                out.finish()
            }),
            "gave 14 bytes where 10 were asked for",
        ),
        (
            Box::new(|mut out| {
                out.push_zeros(15);
                out.finish()
            }),
            "gave 15 bytes where 10 were asked for",
        ),
        (
            Box::new(|mut out| {
                let claimed = out.push_with(100, |room| Ok::<_, ()>(room.len() + 6));
                assert_eq!(claimed, Ok(16));
                out.finish()
            }),
            "gave 16 bytes where 10 were asked for",
        ),
        (
            Box::new(|mut out| {
                out.push_zeros(usize::MAX);
                out.push_zeros(usize::MAX);
                out.finish()
            }),
            "gave 18446744073709551615 bytes where 10 were asked for",
        ),
        (
            Box::new(|mut out| {
                // What fits after what did not does not make it right.
                out.push(&[7; 11]);
                out.push(&[7; 3]);
                out.finish()
            }),
            "gave 11 bytes where 10 were asked for",
        ),
    ];
    for (way, log) in ways {
        mistake(
            &proto::read(22, File::new(9), 0, 10),
            |values| values.read = Arc::from(way),
            &format!("read {log}"),
            &[],
        );
    }
}

#[test]
fn a_write_of_more_than_given() {
    mistake(
        &proto::write(23, File::new(9), 0, b"data"),
        |values| values.more_written = 3,
        "write took 7 bytes of 4",
        &[],
    );
}

#[test]
fn a_target_that_is_too_long() {
    mistake(
        &proto::readlink(9),
        |values| values.target = "x".repeat(4096).into(),
        "readlink gave a target of 4096 bytes, where 4095 are allowed",
        &[],
    );
    let (fs, mut wire) = recorded::<Concurrent>();
    fs.values().target = "x".repeat(4095).into();
    wire.expect(&proto::readlink(9), &[b'x'; 4095]);
    fs.calls(1);
    end(&fs, wire);
}

#[test]
fn a_target_with_a_nul() {
    mistake(
        &proto::readlink(9),
        |values| values.target = "to\0where".into(),
        "readlink gave a target with a NUL in it: nul byte found in provided data at position: 2",
        &[],
    );
}

/// Those before the wrong one raised the lookup count, in the eyes of the file system.
#[test]
fn names_that_are_none() {
    let long = [b'x'; 4096];
    for name in [&b""[..], b"a/b", b"/", b"nul\0", &long] {
        use std::os::unix::ffi::OsStrExt;
        let shown = std::ffi::OsStr::from_bytes(name);
        let log = format!(
            "readdir gave the name {shown:?}, which is not 1 to 4095 bytes without / and NUL"
        );
        let list = |values: &mut Values| {
            values.entries = vec![
                (b"good".to_vec(), entry(7), 1),
                (name.to_vec(), entry(8), 2),
            ];
        };
        mistake(&proto::readdir(31, 9, 0, 4096), list, &log, &[]);
        mistake(
            &proto::readdirplus(31, 9, 0, 4096),
            list,
            &log,
            &["forget 7 1 (taken back)"],
        );
    }
}

#[test]
fn offsets_that_do_not_grow() {
    for (from, offsets, said) in [
        (0, vec![0], "\"0\" the offset 0 after 0"),
        (0, vec![5, 5], "\"1\" the offset 5 after 5"),
        (0, vec![5, 4], "\"1\" the offset 4 after 5"),
        (9, vec![9], "\"0\" the offset 9 after 9"),
        (9, vec![3], "\"0\" the offset 3 after 9"),
    ] {
        let list = |values: &mut Values| {
            let names = (0..).map(|n: u64| n.to_string().into_bytes());
            values.entries = names
                .zip(&offsets)
                .map(|(name, next)| (name, entry(100 + *next), *next))
                .collect();
        };
        let log = format!("readdir gave {said}; offsets have to grow");
        mistake(&proto::readdir(31, 9, from, 4096), list, &log, &[]);
        let undone: &[&str] = match offsets.len() {
            1 => &[],
            _ => &["forget 105 1 (taken back)"],
        };
        mistake(&proto::readdirplus(31, 9, from, 4096), list, &log, undone);
    }
}

#[test]
fn attribute_names_that_are_none() {
    let long = [b'x'; 256];
    for name in [&b""[..], b"user.a\0b", &long] {
        use std::os::unix::ffi::OsStrExt;
        let shown = std::ffi::OsStr::from_bytes(name);
        for size in [0, 1, 100] {
            mistake(
                &proto::listxattr(42, size),
                |values| values.xattrs = vec![b"user.good".to_vec(), name.to_vec()],
                &format!(
                    "listxattr gave the name {shown:?}, which is not 1 to 255 bytes without NUL"
                ),
                &[],
            );
        }
    }
}

fn with_mode(ino: u64, mode: u32) -> Entry {
    let entry = entry(ino);
    let attr = Attr { mode, ..entry.attr };
    Entry { attr, ..entry }
}

/// The kernel answers EIO by itself then, and never forgets what it was given; an inode that it knows stays broken.
#[test]
fn inodes_without_a_type() {
    let log = "inode 7 was given the mode 0o755, which has no type of file";
    let forget = &["forget 7 1 (taken back)"][..];
    for (request, undone) in [
        (proto::lookup(1, b"name"), forget),
        (proto::link(7, 1, b"name"), forget),
        (proto::getattr(7, None), &[]),
        (proto::setattr(7, proto::SetattrIn::default()), &[]),
    ] {
        mistake(&request, |to| to.entry = with_mode(7, 0o755), log, undone);
    }
    // The type is masked out of the mode, not looked for in it.
    let log = "inode 7 was given the mode 0o170755, which has no type of file";
    let none = with_mode(7, libc::S_IFMT | 0o755);
    mistake(
        &proto::lookup(1, b"name"),
        |to| to.entry = none,
        log,
        forget,
    );
}

#[test]
fn inodes_of_another_type_than_was_to_be_made() {
    let forget = "forget 7 1 (taken back)";
    let release = "release 7 fh=0xfedcba9876543210 flags=0x41 (taken back)";
    for (request, kind, undone) in [
        (
            proto::mknod(1, b"n", libc::S_IFIFO, 0, 0),
            "0o10000",
            vec![forget],
        ),
        (proto::mkdir(1, b"n", 0, 0), "0o40000", vec![forget]),
        (proto::symlink(1, b"n", b"to"), "0o120000", vec![forget]),
        (
            proto::create(1, b"n", libc::S_IFREG, 0, 0o101),
            "0o100000",
            vec![release, forget],
        ),
    ] {
        let socket = libc::S_IFSOCK | 0o600;
        let wrong = |values: &mut Values| {
            values.entry = with_mode(7, socket);
            values.right_type = false;
        };
        let log =
            format!("inode 7 was given the mode 0o140600, where the type {kind} was to be made");
        mistake(&request, wrong, &log, &undone);
    }
}

/// Negative entries are for `lookup`, and the root is made by nobody.
#[test]
fn new_names_without_an_inode_of_their_own() {
    let create = proto::create(1, b"n", libc::S_IFREG, 0, 0o101);
    for ino in [0, 1] {
        let log = format!("a new name was given the inode {ino}");
        let forget = format!("forget {ino} 1 (taken back)");
        let forget = if ino == 0 {
            None
        } else {
            Some(forget.as_str())
        };
        for request in [
            proto::mknod(1, b"n", libc::S_IFREG, 0, 0),
            proto::mkdir(1, b"n", 0, 0),
            proto::symlink(1, b"n", b"to"),
            proto::link(7, 1, b"n"),
        ] {
            let wrong = |values: &mut Values| values.entry = entry(ino);
            mistake(&request, wrong, &log, forget.as_slice());
        }
        let release = format!("release {ino} fh=0xfedcba9876543210 flags=0x41 (taken back)");
        let undone = [Some(release.as_str()), forget];
        let undone: Vec<_> = undone.into_iter().flatten().collect();
        mistake(&create, |values| values.entry = entry(ino), &log, &undone);
    }
}
