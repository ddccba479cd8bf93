//! Places in directories: telldir(3), seekdir(3), rewinddir(3), and changes meanwhile.
//!
//! In which order names come is each file system's own affair: what is said is how listings relate.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;

use rustix::fs::{RawDir, SeekFrom, seek};

use crate::place::Place;

/// A name, and the place after it.
type Entry = (String, u64);

/// At most `most` entries from where `dir` is, a few for each system call.
fn read(dir: &File, most: usize) -> io::Result<Vec<Entry>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 512];
    let mut entries = Vec::new();
    let mut raw = RawDir::new(dir, &mut buffer);
    while entries.len() < most {
        let Some(entry) = raw.next() else {
            break;
        };
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap().to_owned();
        entries.push((name, entry.next_entry_cookie()));
    }
    Ok(entries)
}

fn go(dir: &File, to: u64) -> io::Result<()> {
    seek(dir, SeekFrom::Start(to))?;
    Ok(())
}

fn names(entries: &[Entry]) -> BTreeSet<&str> {
    entries.iter().map(|(name, _)| name.as_str()).collect()
}

/// How many of `expected` were listed once, and what else.
fn counted(entries: &[Entry], expected: &BTreeSet<String>) -> String {
    let times = |name: &str| entries.iter().filter(|(listed, _)| listed == name).count();
    let once = expected.iter().filter(|name| times(name) == 1).count();
    let others = names(entries)
        .into_iter()
        .filter(|name| !expected.contains(*name))
        .count();
    format!("{once} of {} once, {others} others", expected.len())
}

pub(crate) fn places(place: &mut Place) {
    for (what, count) in [("empty", 0), ("few", 5), ("many", 700)] {
        let behind = place.behind.join(what);
        fs::create_dir(&behind).unwrap();
        let mut all: BTreeSet<_> = [".", ".."].map(str::to_owned).into();
        for number in 0..count {
            let name = format!("a name of some length, number {number}");
            fs::write(behind.join(&name), "").unwrap();
            all.insert(name);
        }
        let dir = File::open(place.seen.join(what)).unwrap();
        let first = read(&dir, usize::MAX).unwrap();
        place.say(format!("{what}: all"), Ok(counted(&first, &all)));
        place.say(
            format!("{what}: at the end"),
            read(&dir, 1).map(|rest| rest.len()),
        );
        place.say_done(format!("{what}: rewound"), go(&dir, 0));
        let second = read(&dir, usize::MAX).unwrap();
        place.say(format!("{what}: all again"), Ok(first == second));
        let mut cookies: Vec<_> = first.iter().map(|(_, cookie)| *cookie).collect();
        let positive = cookies
            .iter()
            .all(|cookie| i64::try_from(*cookie).is_ok_and(|it| it > 0));
        place.say(format!("{what}: places are positive"), Ok(positive));
        cookies.sort_unstable();
        cookies.dedup();
        place.say(
            format!("{what}: a place for each"),
            Ok(cookies.len() == first.len()),
        );
        // From each place the rest follows, backwards, too.
        let mut right = 0;
        for (index, (_, cookie)) in first.iter().enumerate().rev().step_by(67) {
            go(&dir, *cookie).unwrap();
            let rest = read(&dir, usize::MAX).unwrap();
            right += usize::from(rest == first[index + 1..]);
        }
        let of = first.len().div_ceil(67);
        place.say(format!("{what}: the rest from a place"), Ok(right == of));
        // In another open directory the places are the same, as NFS servers need them.
        let other = File::open(place.seen.join(what)).unwrap();
        read(&other, 3).unwrap();
        let middle = first.get(first.len() / 2).map_or(0, |entry| entry.1);
        go(&other, middle).unwrap();
        let rest = read(&other, usize::MAX).unwrap();
        place.say(
            format!("{what}: in another open one"),
            Ok(rest[..] == *first.get(first.len() / 2 + 1..).unwrap_or_default()),
        );
        let end = seek(&dir, SeekFrom::Current(0)).map_err(io::Error::from);
        place.say(
            format!("{what}: the last place is here"),
            end.map(|end| Some(end) == first.last().map(|entry| entry.1)),
        );
    }
}

pub(crate) fn changes(place: &mut Place) {
    for (what, count, before) in [("few", 8, 3), ("many", 600, 200), ("many, late", 600, 590)] {
        let root = place.seen.join(what);
        fs::create_dir(&root).unwrap();
        let name = |number: usize| format!("a name of some length, number {number}");
        for number in 0..count {
            fs::write(root.join(name(number)), "").unwrap();
        }
        let dir = File::open(&root).unwrap();
        let mut listed = read(&dir, before).unwrap();
        // The kernel's buffer was read further than what was taken of it: from there on again.
        go(&dir, listed.last().unwrap().1).unwrap();
        let seen: BTreeSet<_> = names(&listed).into_iter().map(str::to_owned).collect();
        let mut untouched: BTreeSet<_> = [".", ".."].map(str::to_owned).into();
        for number in 0..count {
            let old = root.join(name(number));
            match number % 5 {
                0 => fs::remove_file(old).unwrap(),
                1 => fs::rename(&old, root.join(format!("renamed {number}"))).unwrap(),
                2 => {
                    untouched.insert(name(number));
                    fs::write(root.join(format!("new {number}")), "").unwrap();
                }
                _ => drop(untouched.insert(name(number))),
            }
        }
        listed.extend(read(&dir, usize::MAX).unwrap());
        let times = |name: &String| listed.iter().filter(|(listed, _)| listed == name).count();
        let once = untouched.iter().filter(|name| times(name) == 1).count();
        place.say(
            format!("{what}: untouched, once each"),
            Ok(once == untouched.len()),
        );
        let twice = seen.iter().filter(|name| times(name) > 1).count();
        place.say(format!("{what}: listed before, and again"), Ok(twice));
        place.say_done(format!("{what}: rewound"), go(&dir, 0));
        let now = read(&dir, usize::MAX).unwrap();
        let other = File::open(&root).unwrap();
        let anew = read(&other, usize::MAX).unwrap();
        let mut expected = untouched.clone();
        for number in 0..count {
            match number % 5 {
                1 => drop(expected.insert(format!("renamed {number}"))),
                2 => drop(expected.insert(format!("new {number}"))),
                _ => {}
            }
        }
        place.say(
            format!("{what}: after rewinding"),
            Ok(counted(&now, &expected)),
        );
        place.say(
            format!("{what}: opened anew"),
            Ok(counted(&anew, &expected)),
        );
        for entry in fs::read_dir(&root).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        place.say_done(format!("{what}: rewound once more"), go(&dir, 0));
        place.say(
            format!("{what}: emptied"),
            read(&dir, usize::MAX).map(|left| left.len()),
        );
        fs::remove_dir(&root).unwrap();
        place.say_done(format!("{what}: removed"), go(&dir, 0));
        place.say(
            format!("{what}: listing what was removed"),
            read(&dir, usize::MAX).map(|left| left.len()),
        );
    }
}
