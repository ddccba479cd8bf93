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

const ROUNDS: usize = 31;
const UNCONTENDED: u32 = 200_000;
const CONTENDED: u32 = 400_000;

static LOCK: GlobalLock<u64> = GlobalLock::new(0);
static MUTEX: Mutex<u64> = Mutex::new(0);

fn with_lock() {
    match LOCK.lock() {
        Ok(mut state) => *state = black_box(*state + 1),
        Err(error) => unreachable!("{error}"),
    }
}

fn with_mutex() {
    let mut state = MUTEX.lock();
    *state = black_box(*state + 1);
}

fn main() -> ExitCode {
    let [lock, mutex] = in_turns(|f| time(1, UNCONTENDED, f));
    let ratio = lock / mutex;
    println!("uncontended: lock {lock:.1} ns, mutex {mutex:.1} ns, ratio {ratio:.2}");
    for threads in [2, 4] {
        let [lock, mutex] = in_turns(|f| time(threads, CONTENDED / threads, f));
        println!(
            "{threads} threads: lock {:.1} M/s, mutex {:.1} M/s, ratio {:.2}",
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

/// The medians of both, each measured right after the other.
fn in_turns(measure: impl Fn(fn()) -> f64) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (times, f) in times.iter_mut().zip([with_lock as fn(), with_mutex]) {
            times.push(measure(f));
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
