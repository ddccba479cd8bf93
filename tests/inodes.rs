//! The table of inodes: who is there, until when, and under which generation.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use fuse3::kit::InodeTable;
use fuse3::{Attr, Errno, Ino};

fn attr() -> Attr {
    Attr::new(Ino(0), libc::S_IFREG | 0o644)
}

#[test]
fn the_root_is_there_from_the_start_and_never_goes() {
    let mut inodes = InodeTable::new("root");
    assert_eq!(inodes.get(Ino::ROOT), Ok(&"root"));
    assert_eq!((inodes.lookups(Ino::ROOT), inodes.len()), (1, 1));
    assert_eq!(inodes.forget(Ino::ROOT, 1), None);
    assert_eq!(inodes.unlink(Ino::ROOT), None);
    inodes.open(Ino::ROOT).unwrap();
    assert_eq!(inodes.release(Ino::ROOT), None);
    assert_eq!(inodes.get(Ino::ROOT), Ok(&"root"));
}

#[test]
fn names_and_open_files_are_counted() {
    let mut inodes = InodeTable::new(0);
    let ino = inodes.insert(1);
    for count in 0..3 {
        assert_eq!((inodes.names(ino), inodes.opens(ino)), (count, count));
        inodes.link(ino).unwrap();
        inodes.open(ino).unwrap();
    }
    assert_eq!((inodes.unlink(ino), inodes.release(ino)), (None, None));
    assert_eq!((inodes.names(ino), inodes.opens(ino)), (2, 2));
    assert_eq!((inodes.names(Ino(9)), inodes.opens(Ino(9))), (0, 0));
    assert_eq!(format!("{inodes:?}"), "InodeTable { len: 2, .. }");
}

#[test]
fn an_entry_has_number_and_generation_and_is_counted() {
    let mut inodes = InodeTable::with_generation("root", 7 << 32);
    let ino = inodes.insert("file");
    assert_eq!(inodes.lookups(ino), 0);
    let entry = inodes.entry(ino, attr(), Duration::from_secs(3)).unwrap();
    assert_eq!((entry.attr.ino, entry.generation), (ino, 7 << 32));
    assert_eq!(entry.attr.mode, attr().mode);
    assert_eq!(
        (entry.entry_timeout, entry.attr_timeout),
        (Duration::from_secs(3), Duration::from_secs(3))
    );
    assert_eq!(inodes.lookups(ino), 1);
}

#[test]
fn the_root_has_generation_0_whatever_the_others_have() {
    let mut inodes = InodeTable::with_generation("root", 7 << 32);
    let entry = inodes
        .entry(Ino::ROOT, attr(), Duration::from_secs(1))
        .unwrap();
    assert_eq!((entry.attr.ino, entry.generation), (Ino::ROOT, 0));
    assert_eq!(inodes.lookup(Ino::ROOT), Ok(0));
    assert_eq!(inodes.lookups(Ino::ROOT), 3);
}

#[test]
fn what_was_never_given_out_can_be_removed_and_nothing_else() {
    let mut inodes = InodeTable::new("root");
    let ino = inodes.insert("file");
    assert_eq!(inodes.remove(ino), Some("file"));
    assert_eq!((inodes.get(ino), inodes.len()), (Err(Errno::ESTALE), 1));
    assert_eq!(inodes.remove(ino), None);
    assert_eq!(inodes.remove(Ino::ROOT), None);

    let known = inodes.insert("known");
    assert_eq!(known, ino, "the number is free again");
    assert_eq!(inodes.lookup(known), Ok(1));
    let named = inodes.insert("named");
    inodes.link(named).unwrap();
    let open = inodes.insert("open");
    inodes.open(open).unwrap();
    for ino in [known, named, open] {
        assert_eq!(inodes.remove(ino), None);
        assert!(inodes.get(ino).is_ok());
    }
}

#[test]
fn without_a_name_it_goes_with_the_last_lookup() {
    let mut inodes = InodeTable::new("root");
    let ino = inodes.insert("file");
    for _ in 0..3 {
        inodes.lookup(ino).unwrap();
    }
    assert_eq!(inodes.forget(ino, 2), None);
    assert_eq!(inodes.get(ino), Ok(&"file"));
    assert_eq!(inodes.forget(ino, 1), Some("file"));
    assert_eq!(inodes.get(ino), Err(Errno::ESTALE));
    assert_eq!(inodes.get_mut(ino), Err(Errno::ESTALE));
    assert_eq!(inodes.lookup(ino), Err(Errno::ESTALE));
    assert_eq!(inodes.open(ino), Err(Errno::ESTALE));
    assert_eq!(inodes.link(ino), Err(Errno::ESTALE));
    assert_eq!(inodes.len(), 1);
}

#[test]
fn with_a_name_it_outlives_the_kernel_s_memory() {
    let mut inodes = InodeTable::new("root");
    let ino = inodes.insert("file");
    inodes.link(ino).unwrap();
    inodes.link(ino).unwrap();
    inodes.lookup(ino).unwrap();
    assert_eq!(inodes.forget(ino, 1), None);
    assert_eq!(inodes.unlink(ino), None);
    assert_eq!((inodes.names(ino), inodes.lookups(ino)), (1, 0));
    assert_eq!(inodes.unlink(ino), Some("file"));
}

/// Whichever of the three is the last: with several workers, `release` may come after `forget`.
#[test]
fn unlinked_while_open_it_goes_with_the_last_of_whatever_holds_it() {
    type Step = fn(&mut InodeTable<u32>, Ino) -> Option<u32>;
    let steps: [Step; 3] = [
        |inodes, ino| inodes.unlink(ino),
        |inodes, ino| inodes.release(ino),
        |inodes, ino| inodes.forget(ino, 2),
    ];
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in orders {
        let mut inodes = InodeTable::new(0);
        let ino = inodes.insert(9);
        inodes.link(ino).unwrap();
        inodes.open(ino).unwrap();
        inodes.lookup(ino).unwrap();
        inodes.lookup(ino).unwrap();
        assert_eq!(steps[order[0]](&mut inodes, ino), None);
        assert_eq!(steps[order[1]](&mut inodes, ino), None);
        assert_eq!(inodes.get(ino), Ok(&9));
        assert_eq!(steps[order[2]](&mut inodes, ino), Some(9), "{order:?}");
        assert!(inodes.get(ino).is_err());
    }
}

#[test]
fn a_number_that_is_used_again_has_another_generation() {
    let mut inodes = InodeTable::new(0);
    let mut seen = HashSet::new();
    // More than a chunk at a time, so that memory is given back and taken again.
    for round in 0..6 {
        let made: Vec<Ino> = (0..2_000).map(|_| inodes.insert(round)).collect();
        for ino in &made {
            let generation = inodes.lookup(*ino).unwrap();
            assert!(
                seen.insert((*ino, generation)),
                "{ino} had {generation} before"
            );
        }
        // Numbers are used again, or there would be 12,000.
        assert!(made.iter().all(|ino| ino.0 < 3_000));
        let gone = inodes.forget_multi(made.iter().map(|ino| (*ino, 1)));
        assert_eq!(gone.len(), 2_000);
        assert_eq!(inodes.len(), 1);
    }
}

#[test]
fn what_was_never_given_is_not_taken_back() {
    let mut inodes = InodeTable::new(0);
    let ino = inodes.insert(1);
    inodes.link(ino).unwrap();
    assert_eq!(inodes.release(ino), None);
    assert_eq!(inodes.forget(Ino(0), 1), None);
    assert_eq!(inodes.forget(Ino(u64::MAX), 1), None);
    assert_eq!(inodes.unlink(Ino(77)), None);
    // One too many of the kernel's does not wrap, and does not end an inode that has a name.
    inodes.lookup(ino).unwrap();
    assert_eq!(inodes.forget(ino, 5), None);
    assert_eq!((inodes.lookups(ino), inodes.names(ino)), (0, 1));
    assert_eq!(inodes.forget_multi([(ino, 0), (Ino(4), 1)]), [0; 0]);
}

/// The table and a plain model of it, under random calls.
#[test]
fn it_is_what_a_map_with_counters_would_be() {
    #[derive(Default)]
    struct Model {
        lookups: u64,
        names: u32,
        opens: u32,
        value: u64,
        generation: u64,
    }
    let mut inodes = InodeTable::new(0);
    let mut model: HashMap<Ino, Model> = HashMap::new();
    let mut known: Vec<Ino> = Vec::new();
    let mut generations = HashSet::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for value in 0..200_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Now more are made, now fewer, so that chunks fill and empty.
        let makes = if value / 20_000 % 2 == 0 { 6 } else { 2 };
        if known.is_empty() || random % 16 < makes {
            let ino = inodes.insert(value);
            let generation = inodes.lookup(ino).unwrap();
            assert!(generations.insert((ino, generation)));
            let made = Model {
                lookups: 1,
                value,
                generation,
                ..Model::default()
            };
            assert!(model.insert(ino, made).is_none(), "{ino} was there");
            known.push(ino);
            continue;
        }
        let at = (random >> 32) as usize % known.len();
        let ino = known[at];
        let it = model.get_mut(&ino).unwrap();
        let gone = match random % 7 {
            0 => {
                it.lookups += 1;
                assert_eq!(inodes.lookup(ino), Ok(it.generation));
                None
            }
            1 => {
                it.names += 1;
                inodes.link(ino).unwrap();
                None
            }
            2 => {
                it.opens += 1;
                inodes.open(ino).unwrap();
                None
            }
            3 if it.names > 0 => {
                it.names -= 1;
                inodes.unlink(ino)
            }
            4 if it.opens > 0 => {
                it.opens -= 1;
                inodes.release(ino)
            }
            _ if it.lookups > 0 => {
                let count = it.lookups.min(1 + random % 3);
                it.lookups -= count;
                inodes.forget(ino, count)
            }
            _ => continue,
        };
        let is_lost = (it.lookups, it.names, it.opens) == (0, 0, 0);
        assert_eq!(gone, is_lost.then_some(it.value));
        if is_lost {
            model.remove(&ino);
            known.swap_remove(at);
        }
    }
    assert!(model.len() > 512, "the test is to need several chunks");
    assert_eq!(inodes.len(), model.len() + 1);
    let mut all: Vec<(Ino, u64)> = model.iter().map(|(ino, it)| (*ino, it.value)).collect();
    all.push((Ino::ROOT, 0));
    all.sort();
    assert!(inodes.iter().map(|(ino, value)| (ino, *value)).eq(all));
}

/// The table and what its successor makes of the bytes; a value is written as its digits.
fn handed_over(inodes: &InodeTable<u64>) -> InodeTable<u64> {
    load(&saved(inodes)).unwrap()
}

fn saved(inodes: &InodeTable<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let write = |value: &u64, out: &mut Vec<u8>| out.extend(value.to_string().bytes());
    inodes.save(&mut bytes, write).unwrap();
    bytes
}

fn load(bytes: &[u8]) -> io::Result<InodeTable<u64>> {
    InodeTable::load(bytes, |value| {
        let text = std::str::from_utf8(value).map_err(io::Error::other)?;
        text.parse().map_err(io::Error::other)
    })
}

/// All that there is to know of a table.
fn known(inodes: &InodeTable<u64>) -> Vec<(Ino, u64, u64, u32, u32)> {
    let counts = |ino| (inodes.lookups(ino), inodes.names(ino), inodes.opens(ino));
    let all = inodes.iter().map(|(ino, value)| {
        let (lookups, names, opens) = counts(ino);
        (ino, *value, lookups, names, opens)
    });
    all.collect()
}

/// Random calls, and now and then a successor goes on with what its predecessor has written.
#[test]
fn a_successor_goes_on_where_its_predecessor_was() {
    for seed in 1..=8_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut inodes = InodeTable::with_generation(0, seed << 40);
        let mut generations = HashMap::new();
        let mut ever = HashSet::new();
        for value in 0..6_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let makes = if value / 1_500 % 2 == 0 { 10 } else { 2 };
            let at = (random >> 32) as usize % inodes.len();
            let (ino, _) = inodes.iter().nth(at.min(700)).unwrap();
            match random % 16 {
                kind if kind < makes => {
                    let made = inodes.insert(random);
                    let generation = inodes.lookup(made).unwrap();
                    assert!(ever.insert((made, generation)), "{made} {generation}");
                    generations.insert(made, generation);
                }
                11 => inodes.link(ino).unwrap(),
                12 => inodes.open(ino).unwrap(),
                13 => assert!(inodes.lookup(ino).is_ok()),
                14 if inodes.names(ino) > 0 => _ = inodes.unlink(ino),
                14 if inodes.opens(ino) > 0 => _ = inodes.release(ino),
                _ => _ = inodes.forget(ino, inodes.lookups(ino)),
            }
            if value % 997 == 0 {
                let successor = handed_over(&inodes);
                assert_eq!(known(&successor), known(&inodes));
                assert_eq!(successor.len(), inodes.len());
                inodes = successor;
                for (ino, ..) in known(&inodes) {
                    if let Some(generation) = generations.get(&ino) {
                        assert_eq!(inodes.lookup(ino).as_ref(), Ok(generation));
                    }
                }
            }
        }
        assert!(ever.iter().any(|(_, generation)| *generation > seed << 40));
    }
}

/// Of each kind of slot one: inodes, a vacant slot, and a piece whose memory was given back.
fn varied() -> InodeTable<u64> {
    let mut inodes = InodeTable::with_generation(10, 0x1234_5678_9abc);
    let made: Vec<Ino> = (0..3 * 256).map(|value| inodes.insert(value)).collect();
    for ino in &made[2..] {
        assert!(inodes.remove(*ino).is_some());
    }
    inodes.link(made[0]).unwrap();
    inodes.open(made[0]).unwrap();
    inodes.lookup(made[1]).unwrap();
    handed_over(&inodes)
}

#[test]
fn a_table_that_is_cut_off_says_so() {
    let bytes = saved(&varied());
    for length in 0..bytes.len() {
        let error = load(&bytes[..length]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        let text = error.to_string();
        let what = "the table of inodes is cut off: at byte ";
        let at = text
            .strip_prefix(what)
            .and_then(|rest| rest.split_once(' '));
        let at: usize = at.unwrap().0.parse().unwrap();
        assert!(at <= length, "{length}: {text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let good = saved(&varied());
    let wrong = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let error = load(&bytes).unwrap_err();
        (error.kind(), error.to_string())
    };
    let [magic, version, slots, kind, value] = [0, 8, 32, 34, 59];
    let end = good.len();
    for (change, kind, says) in [
        (
            &(|bytes: &mut Vec<u8>| bytes[magic] = b'\n') as &dyn Fn(&mut Vec<u8>),
            io::ErrorKind::InvalidData,
            "this is no table of inodes: it begins with \"\\nuse3ino\", not \"fuse3ino\"",
        ),
        (
            &|bytes| bytes[version] = 2,
            io::ErrorKind::Unsupported,
            "the table of inodes has version 2, and this program knows version 1 and no newer one",
        ),
        (
            &|bytes| bytes[version] = 0,
            io::ErrorKind::InvalidData,
            "the table of inodes has version 0, which there is not",
        ),
        (
            &|bytes| bytes[slots..slots + 2].copy_from_slice(&257_u16.to_le_bytes()),
            io::ErrorKind::InvalidData,
            "the table of inodes is damaged before byte 34: a piece has 257 slots, and 256 is the most",
        ),
        (
            &|bytes| bytes[kind] = 7,
            io::ErrorKind::InvalidData,
            "the table of inodes is damaged before byte 35: a slot is of kind 7, and 2 is the highest",
        ),
        (
            &|bytes| bytes[value] = b'x',
            io::ErrorKind::Other,
            "the value of inode 1: invalid digit found in string",
        ),
        (
            &|bytes| bytes.push(0),
            io::ErrorKind::InvalidData,
            &format!(
                "the table of inodes is damaged before byte {end}: it should end there, and more follows"
            ),
        ),
    ] {
        assert_eq!(wrong(change), (kind, says.to_owned()));
    }
    let mut rootless = good[..28].to_vec();
    rootless[20..28].fill(0);
    let error = load(&rootless).unwrap_err().to_string();
    assert_eq!(error, "the table of inodes has no root");
}

/// Whatever the bytes are, they make a table that works, or an error.
#[test]
fn a_bit_that_flips_is_no_panic() {
    let good = saved(&varied());
    let mut loaded = 0;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(mut inodes) = load(&bytes) else {
            continue;
        };
        loaded += 1;
        let all = known(&inodes);
        assert_eq!(all.len(), inodes.len());
        for (ino, _, lookups, names, opens) in all {
            inodes.lookup(ino).unwrap();
            let _ = inodes.forget(ino, lookups.saturating_add(1));
            if opens == 1 {
                let _ = inodes.release(ino);
            }
            if names == 1 {
                let _ = inodes.unlink(ino);
            }
        }
        let made: HashSet<Ino> = (0..600).map(|value| inodes.insert(value)).collect();
        assert_eq!(made.len(), 600, "bit {bit}");
    }
    assert!(loaded > 0, "every bit is checked");
}
