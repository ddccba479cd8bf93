//! What is kept per key and per inode, in bytes that the allocator has given out.
//!
//! Each test counts what its own thread allocates and frees.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use fuse3::kit::{InodeTable, KeyedLocks};

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// The most that these have been.
    static MOST: Cell<i64> = const { Cell::new(0) };
}

fn add(size: usize) {
    LIVE.set(LIVE.get() + size as i64);
    MOST.set(MOST.get().max(LIVE.get()));
}

fn subtract(size: usize) {
    LIVE.set(LIVE.get() - size as i64);
}

struct Counting;

// SAFETY: all three do what the system's allocator does. A thread-local cell that is a constant and needs no destructor
// allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller promises what `System` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        subtract(layout.size());
        // SAFETY: `memory` came from `System`, by the other two; the rest the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        subtract(layout.size());
        add(size);
        // SAFETY: as for `dealloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `make` leaves allocated while its result lives.
fn bytes_of<R>(make: impl FnOnce() -> R) -> (i64, R) {
    let before = LIVE.get();
    let result = make();
    (LIVE.get() - before, result)
}

#[test]
fn ten_million_keys_used_once_leave_an_empty_table() {
    let locks = KeyedLocks::new();
    let (bytes, ()) = bytes_of(|| {
        for key in 0..10_000_000_u64 {
            drop(locks.try_lock(key));
        }
    });
    assert!(locks.is_empty());
    assert!(bytes < 256, "{bytes} bytes are left");
}

#[test]
fn a_million_keys_held_at_once_leave_an_empty_table() {
    const KEYS: u64 = 1_000_000;
    let locks = KeyedLocks::new();
    let (held, guards) = bytes_of(|| {
        let take = |key| locks.try_lock(key).map(|key| key.into_owned());
        (0..KEYS).map(take).collect::<Option<Vec<_>>>()
    });
    let guards = guards.expect("all are free");
    // The guards themselves are the caller's.
    let table = held - (guards.capacity() * size_of_val(&guards[0])) as i64;
    assert!(
        table <= 80 * KEYS as i64,
        "{} bytes each",
        table / KEYS as i64
    );
    let ((), left) = {
        let (bytes, ()) = bytes_of(|| drop(guards));
        ((), held + bytes)
    };
    assert!(locks.is_empty());
    assert!(
        left < 4096,
        "{left} bytes are left, room for {}",
        locks.capacity()
    );
}

/// Bytes of a table of so many inodes with values of 8 bytes, and what is left of it when they have gone.
fn inodes(count: u64) -> (i64, i64) {
    let mut inodes = InodeTable::new(0_u64);
    let before = LIVE.get();
    let mut last = fuse3::Ino::ROOT;
    for value in 1..=count {
        last = inodes.insert(value);
        inodes.lookup(last).expect("it was just made");
    }
    let bytes = LIVE.get() - before;
    assert_eq!(inodes.len() as u64, count + 1);
    for ino in 2..=last.0 {
        assert_eq!(inodes.forget(fuse3::Ino(ino), 1), Some(ino - 1));
    }
    assert_eq!(inodes.len(), 1);
    (bytes, LIVE.get() - before)
}

#[test]
fn an_inode_costs_24_bytes_beside_its_value() {
    const COUNT: u64 = 200_000;
    let (bytes, left) = inodes(COUNT);
    // The list of chunks doubles: at worst half of it is unused.
    let most = COUNT as i64 * 33;
    assert!(bytes <= most, "{} bytes each", bytes as f64 / COUNT as f64);
    assert!(left < most / 50, "{left} bytes are left");
}

/// Of a table that is read in: how many pieces it has, and how long a value is.
#[test]
fn what_a_forged_length_promises_takes_no_memory() {
    let mut bytes = Vec::new();
    let table = InodeTable::new(7_u8);
    table
        .save(&mut bytes, |value, out| out.push(*value))
        .unwrap();
    let end = bytes.len();
    for length in [20..28, end - 5..end - 1] {
        let mut forged = bytes.clone();
        forged[length].fill(0xff);
        let before = LIVE.get();
        MOST.set(before);
        let loaded = InodeTable::load(&forged[..], |value| Ok(value[0]));
        let error = loaded.unwrap_err();
        let most = MOST.get() - before;
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
        assert!(most < 64 << 10, "{most} bytes");
    }
}

/// `cargo test --release --test memory -- --ignored --nocapture`
#[test]
#[ignore = "takes 350 MB"]
fn ten_million_inodes() {
    for count in [10_000, 100_000, 1_000_000, 10_000_000] {
        let start = std::time::Instant::now();
        let (bytes, left) = inodes(count);
        let each = bytes as f64 / count as f64;
        let time = start.elapsed().as_nanos() as f64 / count as f64;
        println!(
            "{count:>9} inodes: {each:.1} bytes each, {left} bytes left, {time:.0} ns for insert, lookup and forget"
        );
        assert!(each < 33.0, "{each}");
    }
}
