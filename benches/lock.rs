//! What the global lock costs, beside `parking_lot::Mutex`.
//!
//! Both are measured in turns in one run, so that a busy machine slows both.
//! Ends with an error if taking and dropping the uncontended lock takes more than
//! [`LIMIT`] times as long as the mutex.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use fuse3::GlobalLock;
use parking_lot::Mutex;

const LIMIT: f64 = 2.5;

/// Measurements of each, of which the median counts.
const ROUNDS: usize = 15;

static LOCK: GlobalLock<u64> = GlobalLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);

fn with_lock(section: impl FnOnce()) {
    match LOCK.lock() {
        Ok(mut state) => {
            *state = black_box(*state + 1);
            section();
        }
        Err(error) => unreachable!("{error}"),
    }
}

fn with_mutex(section: impl FnOnce()) {
    let mut state = MUTEX.lock();
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
    let bare: [fn(); 2] = [|| with_lock(|| ()), || with_mutex(|| ())];
    let requests: [fn(); 2] = [
        || request(|| with_lock(work)),
        || request(|| with_mutex(work)),
    ];

    let [lock, mutex] = in_turns(bare, 1, 200_000);
    let ratio = lock / mutex;
    println!("uncontended: lock {lock:.1} ns, mutex {mutex:.1} ns, ratio {ratio:.2}");
    for (what, threads, count, calls) in [
        ("2 threads, nothing else", 2, 500_000, bare),
        ("4 threads, nothing else", 4, 250_000, bare),
        ("2 threads, requests", 2, 20_000, requests),
        ("30 threads, requests", 30, 2_000, requests),
    ] {
        let [lock, mutex] = in_turns(calls, threads, count);
        println!(
            "{what}: lock {:.2} M/s, mutex {:.2} M/s, ratio {:.2}",
            1e3 / lock,
            1e3 / mutex,
            mutex / lock
        );
    }
    if ratio > LIMIT {
        eprintln!("the uncontended lock takes more than {LIMIT} times as long as the mutex");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The median times of both calls, each measured right after the other.
fn in_turns(calls: [fn(); 2], threads: u32, count: u32) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (times, call) in times.iter_mut().zip(calls) {
            times.push(time(threads, count, call));
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
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
