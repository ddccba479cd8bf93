//! systemd's store of descriptors (`FDSTORE=1`, sd_notify(3)) as a keeper.
//!
//! A deposit is a few descriptors, each with a name of its own, `fuse3.GENERATION.PROCESS.INDEX.COUNT`, since systemd gives them back in any
//! order: the connection, the record, the bytes of the [`Baggage`], its files. The one before is removed when the next is complete,
//! so that there always is one. What a server leaves for its next start may be more files than there can be names; it is
//! a socket, `fuse3.GENERATION.PROCESS.all`, that has all of it on its way.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{env, process};

use parking_lot::Mutex;
use sd_notify::NotifyState::{Custom, FdName, FdStore, FdStoreRemove};
use sd_notify::{listen_fds_with_names, notify, notify_with_fds};

use crate::session::handover::error::HandoverError;
use crate::session::handover::passing::{self, Parcel, Received, in_memory, unpack};

/// The most files that a deposit has: their names stand in one variable of the environment.
const MOST: usize = 64;
/// How long systemd has to take notice.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the next program of the same process is told of the store, after an execve(2).
const VARIABLE: &str = "FUSE3_STORE";

/// The names of what systemd has. There is one store for a process.
static STORED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// systemd has started this process, and may be told to keep descriptors.
pub(super) fn is_there() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// The generation of what a name is of, which grows, and the process that stored it: it may have been killed meanwhile, and the next
/// one not have seen all of it.
fn deposit(name: &str) -> (u64, u32) {
    let mut parts = name.split('.').skip(1);
    let generation = parts.next().and_then(|it| it.parse().ok());
    let process = parts.next().and_then(|it| it.parse().ok());
    (generation.unwrap_or(0), process.unwrap_or(0))
}

/// The names of now, and how those of the next deposit begin.
fn stored() -> (Vec<String>, String) {
    let mut stored = STORED.lock();
    if stored.is_empty() {
        let told = env::var(VARIABLE).unwrap_or_default();
        let mut told = told.split(',');
        // It is for no other process.
        if told
            .next()
            .is_some_and(|pid| pid == process::id().to_string())
        {
            stored.extend(told.map(str::to_owned));
        }
    }
    let newest = stored.iter().map(|name| deposit(name).0).max();
    let next = format!("fuse3.{}.{}", newest.unwrap_or(0) + 1, process::id());
    (stored.clone(), next)
}

/// What the program that replaces this one is to be told.
pub(super) fn go_on() -> (&'static str, String) {
    let (names, _) = stored();
    let pid = process::id().to_string();
    let told: Vec<_> = [pid].into_iter().chain(names).collect();
    (VARIABLE, told.join(","))
}

fn store(name: &str, file: BorrowedFd<'_>, is_watched: bool) -> io::Result<()> {
    let watched = if is_watched { "FDPOLL=1" } else { "FDPOLL=0" };
    notify_with_fds(&[FdStore, FdName(name), Custom(watched)], &[file])
}

/// In place of what systemd had, it has what `names` name, which it was given.
fn replace(names: Vec<String>, before: &[String]) -> io::Result<()> {
    *STORED.lock() = names;
    for name in before {
        notify(&[FdStoreRemove, FdName(name)])?;
    }
    Ok(())
}

/// Has systemd keep it in place of what it has.
pub(super) fn keep(parcel: &Parcel<'_>) -> io::Result<()> {
    let (before, next) = stored();
    let record = in_memory(parcel.record.as_bytes())?;
    let bytes = in_memory(&parcel.baggage.bytes)?;
    let mut files = vec![parcel.device.as_fd(), record.as_fd(), bytes.as_fd()];
    files.extend(parcel.baggage.files.iter().map(AsFd::as_fd));
    let count = files.len();
    if count > MOST {
        let what = format!("systemd is to keep {count} descriptors, and {MOST} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut names = Vec::new();
    for (index, file) in files.into_iter().enumerate() {
        let name = format!("{next}.{index}.{count}");
        // Of the connection it notices that it is gone, and forgets it.
        store(&name, file, index == 0)?;
        names.push(name);
    }
    replace(names, &before)
}

/// Leaves it for the next start, and waits until systemd has it. What was kept stays, in case that it gets lost.
pub(super) fn leave(parcel: &Parcel<'_>) -> io::Result<()> {
    let (mut names, next) = stored();
    let (ours, its) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    passing::send(&ours, parcel)?;
    let name = format!("{next}.all");
    // Its other end is closed soon.
    store(&name, its.as_fd(), false)?;
    names.push(name);
    *STORED.lock() = names;
    drop(its);
    barrier()
}

/// `BARRIER=1`: systemd closes the descriptor when it has taken notice of all before.
fn barrier() -> io::Result<()> {
    let (mut ours, its) = UnixStream::pair()?;
    ours.set_read_timeout(Some(PATIENCE))?;
    notify_with_fds(&[Custom("BARRIER=1")], &[its.as_fd()])?;
    drop(its);
    ours.read(&mut [0]).map(drop)
}

/// What an earlier process has left with systemd, or has had kept; once.
pub(super) fn take() -> Result<Option<Received>, HandoverError> {
    let mut stored = STORED.lock();
    if !stored.is_empty() {
        return Ok(None);
    }
    let listed = listen_fds_with_names().map_err(HandoverError::Io)?;
    let listed = listed.filter(|(_, name)| name.starts_with("fuse3."));
    let mut files: Vec<(String, OwnedFd)> = listed
        .map(|(number, name)| {
            // SAFETY: systemd has opened it for this process, under a name that is this crate's alone, and it is taken once, since
            // `stored` was empty and is not from now on.
            (name, unsafe { OwnedFd::from_raw_fd(number) })
        })
        .collect();
    // The newest comes last.
    files.sort_by_key(|(name, _)| deposit(name));
    *stored = files.iter().map(|(name, _)| name.clone()).collect();
    drop(stored);
    while let Some((name, _)) = files.last() {
        let newest = deposit(name);
        let start = files.partition_point(|(name, _)| deposit(name) < newest);
        if let Some(received) = whole(files.split_off(start))? {
            return Ok(Some(received));
        }
    }
    Ok(None)
}

/// What the descriptors of one deposit are; `None` where some are missing.
fn whole(files: Vec<(String, OwnedFd)>) -> Result<Option<Received>, HandoverError> {
    let mut numbered = Vec::new();
    for (name, file) in files {
        let mut parts = name.split('.').skip(3);
        let (index, count) = (parts.next().unwrap_or_default(), parts.next());
        if index == "all" {
            // What an earlier start has received is there no more.
            let stream = UnixStream::from(file);
            stream.set_nonblocking(true).map_err(HandoverError::Io)?;
            if let Ok(Some(received)) = passing::receive(&stream) {
                return Ok(Some(received));
            }
        } else if let (Ok(index), Some(Ok(count))) = (index.parse(), count.map(str::parse)) {
            let (index, count): (usize, usize) = (index, count);
            numbered.push((index, count, file));
        }
    }
    numbered.sort_by_key(|(index, ..)| *index);
    let length = numbered.len();
    let is_whole = length >= 3
        && numbered
            .iter()
            .enumerate()
            .all(|(at, (index, count, _))| *index == at && *count == length);
    if !is_whole {
        return Ok(None);
    }
    let files = numbered.into_iter().map(|(.., file)| file).collect();
    unpack(files, false).map(Some)
}
