//! What is said at the end.

use std::fmt;
use std::time::Duration;

use fuse3::lock::{LockStats, LockUse};
use fuse3::session::SessionStats;
use fuse3::{End, Operation, Reason};

use crate::fs::Tmpfs;
use crate::inodes::Inodes;

/// How many operations are shown.
const SHOWN: usize = 12;

/// What is left of the file system, and whether it adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) inodes: u64,
    /// Inodes that no name leads to, but that are open or that the kernel has not forgotten.
    pub(crate) nameless: u64,
    /// What the kernel has been given and not given back.
    pub(crate) lookups: u64,
    pub(crate) handles: u64,
    pub(crate) blocks: u64,
}

impl Inodes {
    pub(crate) fn left(&self) -> Left {
        let nameless = self.iter().filter(|node| node.meta.nlink == 0).count();
        Left {
            inodes: self.len(),
            nameless: nameless as u64,
            lookups: self.counts.looked_up - self.counts.forgotten,
            handles: self.counts.opened - self.counts.released,
            blocks: self.space.used(),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            inodes,
            nameless,
            lookups,
            handles,
            blocks,
        } = self;
        write!(
            f,
            "{inodes} inodes, {nameless} nameless, {lookups} lookups, {handles} open, {blocks} blocks"
        )
    }
}

/// Prints what the session did. Returns what is wrong.
pub(crate) fn print(
    end: &End<Tmpfs>,
    lock: &LockStats,
    inodes: &Inodes,
    time: Duration,
) -> Vec<String> {
    let wrong = inodes.check();
    let left = inodes.left();
    let counts = inodes.counts;
    requests(&end.stats, time);
    println!();
    operations(&end.stats, lock);
    println!();
    println!(
        "lock: {} acquisitions, {} hand-overs, {} time-outs",
        lock.acquisitions, lock.hand_overs, lock.time_outs
    );
    println!(
        "handles: {} opened, {} released, {} open",
        counts.opened, counts.released, left.handles
    );
    println!(
        "lookups: {} counted, {} forgotten, {} left",
        counts.looked_up, counts.forgotten, left.lookups
    );
    println!(
        "inodes: {} left, {} of them without a name; {} blocks",
        left.inodes, left.nameless, left.blocks
    );
    if left.handles + left.nameless > 0 && end.reason == Reason::Unmounted {
        println!("(an unmount drops the releases and forgets that the kernel has not sent yet)");
    }
    if wrong.is_empty() {
        println!("accounting: everything adds up");
    } else {
        println!("accounting: OFF");
        wrong.iter().for_each(|what| println!("  {what}"));
    }
    wrong
}

fn requests(stats: &SessionStats, time: Duration) {
    let total = stats.total();
    // To print it, a float is good enough.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate to be printed without decimals"
    )]
    let rate = total as f64 / time.as_secs_f64().max(1e-3);
    println!(
        "{total} requests in {:.1} s, {rate:.0} a second; {} answers not taken, {} panics",
        time.as_secs_f64(),
        stats.not_taken,
        stats.panics
    );
}

/// A line for each of the operations that held the lock longest.
fn operations(stats: &SessionStats, lock: &LockStats) {
    let mut uses: Vec<&LockUse> = lock.operations.iter().collect();
    uses.sort_by_key(|used| std::cmp::Reverse(used.held));
    println!(
        "{:<16} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "operation", "requests", "held", "longest", "waited", "longest"
    );
    for used in uses.iter().take(SHOWN) {
        let requests = stats
            .requests
            .iter()
            .find(|(operation, _)| Some(*operation) == used.operation);
        let [held, held_max, waited, waited_max] =
            [used.held, used.held_max, used.waited, used.waited_max]
                .map(|time| format!("{time:.2?}"));
        println!(
            "{:<16} {:>10} {held:>10} {held_max:>10} {waited:>10} {waited_max:>10}",
            used.operation.map_or("(threads)", Operation::name),
            requests.map_or("-".to_owned(), |(_, count)| count.to_string()),
        );
    }
    if let Some(more) = uses.get(SHOWN..).filter(|more| !more.is_empty()) {
        println!("and {} more", more.len());
    }
}
