//! Mapped files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::map::{Map, PAGE};
use crate::place::Place;

const READ: i32 = libc::PROT_READ;
const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn byte(file: &File, at: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(byte[0])
}

/// Where there can be no such map, there is nothing more to say.
fn mapped(place: &mut Place, what: &str, map: io::Result<Map>) -> Option<Map> {
    match map {
        Ok(map) => {
            place.say_done(what, Ok(()));
            Some(map)
        }
        Err(error) => {
            place.say_done(what, Err(error));
            None
        }
    }
}

pub(crate) fn shared(place: &mut Place) {
    let path = place.file("shared", (0, 0), 0o644);
    let behind = place.behind.join("shared");
    let (file, other) = (open(&path), open(&path));
    let Some(map) = mapped(place, "shared", Map::new(&file, 4, BOTH, libc::MAP_SHARED)) else {
        return;
    };
    let two = Map::new(&other, 4, BOTH, libc::MAP_SHARED).unwrap();
    place.say("get", map.get(0));
    place.say_done("put", map.put(10, 1));
    place.say("seen by read", byte(&file, 10));
    place.say("seen by another's read", byte(&other, 10));
    place.say("seen by another map", two.get(10));
    place.say_done("written", file.write_all_at(&[2], 11));
    place.say("seen by the map", map.get(11));
    place.say("seen by the other map", two.get(11));
    place.say_done("synced", map.sync());
    let source = File::open(&behind).unwrap();
    place.say("in the source", byte(&source, 10));
    place.say("in the source, what was written", byte(&source, 11));
    // Two pages are data, of which the second ends with the file.
    place.say("the last byte", map.get(2 * PAGE - 1));
    place.say("past the end", map.get(2 * PAGE));
    place.say_done("put past the end", map.put(3 * PAGE, 1));
    place.say_done("longer", file.set_len(10_000));
    place.say("the new page", map.get(2 * PAGE));
    place.say_done("put in the new page", map.put(2 * PAGE + 100, 3));
    place.say_done("put behind the end, in its page", map.put(10_500, 4));
    place.say("the page after", map.get(3 * PAGE));
    place.say_done("synced again", map.sync());
    place.say("the length", file.metadata().map(|of| of.len()));
    place.say_done("longer once more", file.set_len(12_288));
    place.say("what was behind the end", byte(&file, 10_500));
    place.say("in the new page", byte(&file, 2 * PAGE as u64 + 100));
    place.say_done("shorter", file.set_len(100));
    place.say("what is left", map.get(10));
    place.say("the rest of the page", map.get(200));
    place.say("a page that is gone", map.get(PAGE));
    place.say_done("put in a page that is gone", map.put(PAGE, 1));
    place.say_done("long again", file.set_len(8192));
    place.say("a page that was gone", map.get(PAGE));
    place.say("the rest of the page now", map.get(200));
    // The map stays when the file is closed, and without a name.
    drop((file, other));
    place.say_done("put when closed", map.put(20, 5));
    place.say("seen by who opens it", byte(&open(&path), 20));
    let left = open(&path);
    place.say_done("removed", fs::remove_file(&path));
    place.say_done("put when removed", map.put(21, 6));
    place.say("read when removed", byte(&left, 21));
    place.say("got when removed", two.get(21));
    place.say_done("synced when removed", map.sync());
}

pub(crate) fn private(place: &mut Place) {
    let path = place.file("private", (0, 0), 0o644);
    let file = open(&path);
    let Some(map) = mapped(
        place,
        "private",
        Map::new(&file, 3, BOTH, libc::MAP_PRIVATE),
    ) else {
        return;
    };
    place.say("get", map.get(0));
    place.say_done("put", map.put(10, 1));
    place.say("seen by the map", map.get(10));
    place.say("not by read", byte(&file, 10));
    place.say_done(
        "written to a page that was not touched",
        file.write_all_at(&[2], 5000),
    );
    place.say("seen", map.get(5000));
    place.say_done(
        "written to a page that was copied",
        file.write_all_at(&[3], 20),
    );
    place.say("not seen", map.get(20));
    place.say("past the end", map.get(2 * PAGE));
    place.say_done("shorter", file.set_len(0));
    place.say("a copied page", map.get(10));
    place.say("another page", map.get(5000));
}

pub(crate) fn opened(place: &mut Place) {
    let path = place.file("opened", (0, 0), 0o644);
    let writing = File::options().write(true).open(&path).unwrap();
    let reading = File::open(&path).unwrap();
    for (how, file) in [("to read", &reading), ("to write", &writing)] {
        for (what, protection) in [("read", READ), ("written", BOTH)] {
            for (kind, flags) in [("private", libc::MAP_PRIVATE), ("shared", libc::MAP_SHARED)] {
                let map = Map::new(file, 1, protection, flags);
                let got = map.and_then(|map| map.get(0));
                place.say(format!("opened {how}, {what}, {kind}"), got);
            }
        }
    }
    // A program is mapped, too.
    let program = place.behind.join("program");
    fs::copy("/bin/true", &program).unwrap();
    let status = std::process::Command::new(place.seen.join("program")).status();
    place.say("run", status.map(|status| status.to_string()));
    let empty = place.seen.join("empty");
    fs::write(&empty, "").unwrap();
    let Some(map) = mapped(
        place,
        "empty",
        Map::new(&open(&empty), 1, BOTH, libc::MAP_SHARED),
    ) else {
        return;
    };
    place.say("of an empty file", map.get(0));
    place.say_done("no longer empty", fs::write(&empty, "text"));
    place.say("its first byte", map.get(0));
}
