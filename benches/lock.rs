//! What the global lock costs, beside `parking_lot::Mutex` and `parking_lot::FairMutex`.
//!
//! All are measured in turns in one run, so that a busy machine slows all. Ends
//! with an error if taking and dropping the uncontended lock takes more than
//! [`COST`] times as long as the mutex, or if threads that do nothing else get less
//! than [`SHARE`] of what they get of the fair mutex.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use fuse3::{GlobalLock, Operation};
use parking_lot::{FairMutex, Mutex};

const COST: f64 = 1.5;
const SHARE: f64 = 0.5;

/// Measurements of each contended case, of which the median counts.
const ROUNDS: usize = 9;

/// Measurements of the uncontended case, of which the shortest counts: the rest is what else the machine did.
const SHORT_ROUNDS: usize = 300;

static LOCK: GlobalLock<u64> = GlobalLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);
static FAIR: FairMutex<u64> = FairMutex::new(0);

fn with_lock(section: impl FnOnce()) {
    match LOCK.lock() {
        Ok(mut state) => {
            *state = black_box(*state + 1);
            section();
        }
        Err(error) => unreachable!("{error}"),
    }
}

/// As the library does around a handler.
fn with_lock_for() {
    match LOCK.lock_for(Operation::Lookup) {
        Ok(mut state) => *state = black_box(*state + 1),
        Err(error) => unreachable!("{error}"),
    }
}

fn with_mutex(section: impl FnOnce()) {
    let mut state = MUTEX.lock();
    *state = black_box(*state + 1);
    section();
}

fn with_fair(section: impl FnOnce()) {
    let mut state = FAIR.lock();
    *state = black_box(*state + 1);
    section();
}

/// A microsecond or so.
fn work() {
    (0..3000).for_each(|n| {
        black_box(n);
    });
}

/// As a request of a file system: a bit of work under the lock, more without it.
fn request(section: impl FnOnce()) {
    section();
    (0..5).for_each(|_| work());
}

fn main() -> ExitCode {
    let bare: [fn(); 3] = [
        || with_lock(|| ()),
        || with_mutex(|| ()),
        || with_fair(|| ()),
    ];
    let requests: [fn(); 3] = [
        || request(|| with_lock(work)),
        || request(|| with_mutex(work)),
        || request(|| with_fair(work)),
    ];
    let alone: [fn(); 3] = [bare[0], bare[1], with_lock_for];

    let times = in_turns(alone, SHORT_ROUNDS, 1, 20_000);
    let [lock, mutex, request] = times.map(|times| times[0]);
    let cost = lock / mutex;
    println!(
        "uncontended: lock {lock:.1} ns, mutex {mutex:.1} ns, ratio {cost:.2}; for a request {request:.1} ns"
    );
    let mut share = f64::INFINITY;
    for (what, threads, count, calls) in [
        ("2 threads, nothing else", 2, 5_000_000, bare),
        ("4 threads, nothing else", 4, 5_000_000, bare),
        ("2 threads, requests", 2, 20_000, requests),
        ("30 threads, requests", 30, 2_000, requests),
    ] {
        let times = in_turns(calls, ROUNDS, threads, count);
        let [lock, mutex, fair] = times.map(|times| times[times.len() / 2]);
        println!(
            "{what}: lock {:.2} M/s, mutex {:.2} M/s, fair mutex {:.2} M/s, ratios {:.2} and {:.2}",
            1e3 / lock,
            1e3 / mutex,
            1e3 / fair,
            mutex / lock,
            fair / lock
        );
        share = share.min(fair / lock);
    }
    if cost > COST {
        eprintln!("the uncontended lock takes more than {COST} times as long as the mutex");
        return ExitCode::FAILURE;
    }
    if share < SHARE {
        eprintln!("contending threads get less than {SHARE} of what the fair mutex gives them");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The times of the calls in order of their length, each measured right after the other.
fn in_turns(calls: [fn(); 3], rounds: usize, threads: u32, count: u32) -> [Vec<f64>; 3] {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (times, call) in times.iter_mut().zip(calls) {
            times.push(time(threads, count, call));
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    times
}

/// Nanoseconds per call when `threads` threads make `count` calls each, from the
/// first one's start to the last one's end.
fn time(threads: u32, count: u32, f: fn()) -> f64 {
    let start = Barrier::new(threads as usize);
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let since = Instant::now();
                    (0..count).for_each(|_| f());
                    (since, Instant::now())
                })
            })
            .collect();
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok())
            .collect()
    });
    let first = times.iter().map(|(since, _)| *since).min();
    let last = times.iter().map(|(_, until)| *until).max();
    let total = last.zip(first).map_or(Duration::ZERO, |(l, f)| l - f);
    total.as_secs_f64() * 1e9 / f64::from(threads * count)
}
