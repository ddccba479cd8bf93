//! Set-user-id and set-group-id bits, and file capabilities.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, chown};
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::attributes::{chmod, set_capability};
use crate::place::{Call, Place, WAYS, Way, believed, everywhere};
use crate::user::{ROOT, USERS, user};

fn write_only(path: &Path, flags: i32) -> io::Result<File> {
    File::options().write(true).custom_flags(flags).open(path)
}

/// Bytes at an address as O_DIRECT wants it.
#[repr(align(4096))]
struct Block([u8; 4096]);

/// What changes the data of a file.
const CHANGES: &[(&str, Call)] = &[
    ("write", |path| write_only(path, 0)?.write_all(b"evil")),
    ("append", |path| {
        File::options().append(true).open(path)?.write_all(b"evil")
    }),
    ("write with O_DIRECT", |path| {
        write_only(path, libc::O_DIRECT)?.write_all_at(&Block([1; 4096]).0, 0)
    }),
    ("write with O_SYNC", |path| {
        write_only(path, libc::O_SYNC)?.write_all(b"evil")
    }),
    ("open with O_TRUNC", |path| {
        write_only(path, libc::O_TRUNC).map(drop)
    }),
    ("open with O_CREAT and O_TRUNC", |path| {
        write_only(path, libc::O_CREAT | libc::O_TRUNC).map(drop)
    }),
    ("truncate", |path| {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: `path` lives and is NUL-terminated.
        match unsafe { libc::truncate(path.as_ptr(), 100) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }),
    ("ftruncate", |path| write_only(path, 0)?.set_len(100)),
    ("fallocate", |path| {
        Ok(rustix::fs::fallocate(
            write_only(path, 0)?,
            FallocateFlags::empty(),
            0,
            16_384,
        )?)
    }),
    ("punch a hole", |path| {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(write_only(path, 0)?, how, 0, 4096)?)
    }),
    ("copy_file_range", |path| {
        let from = File::open(path.with_file_name("from"))?;
        let copied = rustix::fs::copy_file_range(from, None, write_only(path, 0)?, None, 4096)?;
        assert_eq!(copied, 4096);
        Ok(())
    }),
];

pub(crate) fn bits_after_changes(place: &mut Place) {
    changes_of(place, &[0o4777, 0o2777, 0o6777, 0o777]);
}

/// A set-group-id bit without execution by the group, which is no bit to run by.
const NO_EXECUTION: u32 = 0o2767;

pub(crate) fn bits_without_execution(place: &mut Place) {
    changes_of(place, &[NO_EXECUTION]);
}

fn changes_of(place: &mut Place, modes: &[u32]) {
    place.file("from", (0, 0), 0o644);
    for (who, user) in USERS {
        for mode in modes {
            for (what, change) in CHANGES {
                let name = format!("{mode:o} after {what} by {who}");
                let path = place.file(&name, (2001, 50), *mode);
                set_capability(&place.behind.join(&name));
                let changed = user.does(|| change(&path));
                place.say_done(&name, changed);
                // Of the bit that nothing runs by, the kernel takes no care.
                if *mode != NO_EXECUTION {
                    let believed = believed(&path);
                    place.say(&name, believed);
                }
                place.state(&name);
            }
        }
    }
}

/// The bits are given to a file that somebody has open already.
pub(crate) fn bits_given_to_what_is_open(place: &mut Place) {
    for (who, user) in USERS {
        for flags in [0, libc::O_DIRECT] {
            let name = format!("changed by {who} with {flags:#o}");
            let path = place.file(&name, (2001, 50), 0o777);
            let file = user.does(|| write_only(&path, flags)).unwrap();
            chmod(&path, 0o6777).unwrap();
            set_capability(&place.behind.join(&name));
            place.state(&name);
            let written = user.does(|| file.write_all_at(&Block([1; 4096]).0, 0));
            // What is in the page cache reaches the source at last.
            drop(file);
            place.say_done(&name, written);
            place.state(&name);
        }
    }
}

/// Who gives a file away loses the bits, too.
pub(crate) fn bits_after_chown(place: &mut Place) {
    for mode in [0o6777, 0o2767] {
        for groups in [&[][..], &[50], &[50, 60]] {
            let name = format!("{mode:o}, given to 60 by one of {groups:?}");
            let path = place.file(&name, (2001, 50), mode);
            set_capability(&place.behind.join(&name));
            let given = user(2001, 2001, groups).does(|| chown(&path, None, Some(60)));
            place.say_done(&name, given);
            place.state(&name);
        }
    }
}

#[test]
fn bits_do_not_survive_a_change_by_others() {
    everywhere("bits after changes", WAYS, bits_after_changes);
}

#[test]
fn bits_without_execution_do_not_survive_a_change_by_others() {
    // The kernel says nothing of these, and what it writes from its cache, or by itself, it writes as nobody.
    let cached = [
        "--foreground",
        "--nopassthrough",
        "writeback",
        "--enable-writeback-cache",
    ];
    // From libfuse 3.17 on passthrough_hp has the kernel write to the source by itself unless told not to.
    let by_itself = fuse3::sys::header_version() >= [3, 17, 0];
    let of_the_kernel = |(example, options, _): &Way| {
        let last = options.last().unwrap_or(&"");
        cached.iter().any(|option| last.ends_with(option))
            || by_itself && *example == "passthrough_hp"
    };
    let ways: Vec<_> = WAYS
        .iter()
        .copied()
        .filter(|way| !of_the_kernel(way))
        .collect();
    assert_eq!(ways.len(), WAYS.len() - if by_itself { 7 } else { 5 });
    everywhere("bits without execution", &ways, bits_without_execution);
}

#[test]
fn bits_given_meanwhile_do_not_survive_a_change_by_others() {
    everywhere("bits given meanwhile", WAYS, bits_given_to_what_is_open);
}

#[test]
fn bits_do_not_survive_a_change_of_the_group() {
    everywhere("bits after chown", WAYS, bits_after_chown);
}

/// chmod(2) of the set-group-id bit is for who is of the group.
pub(crate) fn set_group_id(place: &mut Place) {
    for (gid, groups) in [(2001, &[][..]), (50, &[]), (2001, &[60, 50])] {
        let name = format!("by one of {gid} and {groups:?}");
        let path = place.file(&name, (2001, 50), 0o755);
        let changed = user(2001, gid, groups).does(|| chmod(&path, 0o2755));
        place.say_done(&name, changed);
        place.state(&name);
    }
    let path = place.file("by root", (2001, 50), 0o755);
    let changed = ROOT.does(|| chmod(&path, 0o6755));
    place.say_done("by root", changed);
    place.state("by root");
}

#[test]
fn set_group_id_is_for_the_group() {
    everywhere("chmod", WAYS, set_group_id);
}
