//! Holes in files.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{FallocateFlags, SeekFrom};

use crate::place::Place;

const BLOCK: u64 = 4096;

/// Where data and holes are.
fn map(file: &File) -> io::Result<String> {
    let size = file.metadata()?.size();
    let mut said = format!("{size} bytes:");
    let mut at = 0_u32;
    while u64::from(at) < size {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at.into())) {
            Err(rustix::io::Errno::NXIO) => break,
            data => u32::try_from(data?).unwrap(),
        };
        let hole = rustix::fs::seek(file, SeekFrom::Hole(data.into()))?;
        said += &format!(" {data} to {hole}");
        at = u32::try_from(hole).unwrap();
    }
    Ok(said)
}

/// The bytes, one for each block, and whether all of a block are the same.
fn bytes(file: &File) -> io::Result<String> {
    let mut said = String::new();
    let (mut block, mut at) = ([0; 4096], 0);
    loop {
        let length = file.read_at(&mut block, at)?;
        if length == 0 {
            return Ok(said);
        }
        let first = block[0];
        let same = block[..length].iter().all(|byte| *byte == first);
        said += &format!("{first}{}", if same { " " } else { ".. " });
        at += length as u64;
    }
}

fn state(place: &mut Place, what: &str, file: &File) {
    place.say(format!("{what}: data"), map(file));
    place.say(format!("{what}: bytes"), bytes(file));
}

pub(crate) fn seeks(place: &mut Place) {
    for synced in [false, true] {
        let name = if synced { "synced" } else { "not synced" };
        let path = place.seen.join(name);
        let mut open = File::options();
        let file = open
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        for block in [0, 4, 5, 20] {
            file.write_all_at(&[7; 4096], block * BLOCK).unwrap();
        }
        file.set_len(30 * BLOCK).unwrap();
        if synced {
            file.sync_all().unwrap();
        }
        state(place, name, &file);
        for at in [
            0_u32, 1, 4096, 16_384, 30_000, 86_016, 100_000, 122_879, 122_880, 200_000,
        ] {
            let data = rustix::fs::seek(&file, SeekFrom::Data(at.into()));
            place.say(format!("{name}: data from {at}"), data.map_err(Into::into));
            let hole = rustix::fs::seek(&file, SeekFrom::Hole(at.into()));
            place.say(format!("{name}: hole from {at}"), hole.map_err(Into::into));
        }
        let here = rustix::fs::seek(&file, SeekFrom::Current(0));
        place.say(format!("{name}: here"), here.map_err(Into::into));
        let end = rustix::fs::seek(&file, SeekFrom::End(-5));
        place.say(format!("{name}: the end"), end.map_err(Into::into));
    }
}

pub(crate) fn allocations(place: &mut Place) {
    let modes = [
        ("allocate", FallocateFlags::empty()),
        ("keep size", FallocateFlags::KEEP_SIZE),
        (
            "punch",
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        ),
        ("punch only", FallocateFlags::PUNCH_HOLE),
        ("zero", FallocateFlags::ZERO_RANGE),
        (
            "zero, keep size",
            FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        ),
        ("collapse", FallocateFlags::COLLAPSE_RANGE),
        ("insert", FallocateFlags::INSERT_RANGE),
        (
            "punch and zero",
            FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE,
        ),
    ];
    let ranges = [
        (0, BLOCK),
        (BLOCK, 2 * BLOCK),
        (100, 5000),
        (3 * BLOCK, 10 * BLOCK),
        (20 * BLOCK, BLOCK),
        (BLOCK, 0),
        (1 << 62, 1 << 61),
    ];
    for (what, mode) in modes {
        for (offset, length) in ranges {
            let name = format!("{what} {offset} {length}");
            let path = place.file(&name, (0, 0), 0o644);
            let file = File::options().read(true).write(true).open(&path).unwrap();
            for (block, byte) in (0..).zip([1, 2, 3, 4, 5, 6]) {
                file.write_all_at(&[byte; 4096], block * BLOCK).unwrap();
            }
            file.sync_all().unwrap();
            let done = rustix::fs::fallocate(&file, mode, offset, length);
            place.say_done(&name, done.map_err(Into::into));
            place.say(&name, file.metadata().map(|of| of.size()));
            // What is read is in the page cache, where the source looks for data, too.
            place.say(format!("{name}: data"), map(&file));
            place.say(&name, bytes(&file));
        }
        let path = place.file(&format!("{what} to read"), (0, 0), 0o644);
        let done = rustix::fs::fallocate(File::open(path).unwrap(), mode, 0, BLOCK);
        place.say_done(
            format!("{what} of a file that is only read"),
            done.map_err(Into::into),
        );
    }
}
