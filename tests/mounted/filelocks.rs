//! Locks of fcntl(2) and flock(2) between processes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use fuse3::filelock::{FileLock, LockKind};
use fuse3::{Capabilities, GlobalLock};

use crate::child::this_test;
use crate::client::{Client, part, say, wait_to_go_on};
use crate::fixture::{DEADLINE, Mount, require_mount, timed, until};
use crate::tools::{Shop, Tools};

fn open(mount: &Path) -> File {
    let mut options = File::options();
    options.read(true).write(true);
    options.open(mount.join("file")).unwrap()
}

/// The bytes 10 to 19.
fn flock_of(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind.try_into().unwrap(),
        l_whence: 0,
        l_start: 10,
        l_len: 10,
        l_pid: 0,
    }
}

/// The result of fcntl(2), and the lock as it is afterwards.
fn fcntl(file: &File, command: i32, kind: i32) -> (io::Result<()>, libc::flock) {
    let mut lock = flock_of(kind);
    // SAFETY: the descriptor is open, and `lock` lives.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    let result = match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    (result, lock)
}

fn flock(file: &File, operation: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    match unsafe { libc::flock(file.as_raw_fd(), operation) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A holder takes the lock, and gives it up when it is told to; a waiter looks, tries, and waits.
fn play_fcntl(part: &str, mount: &Path) {
    let file = open(mount);
    if part == "holder" {
        fcntl(&file, libc::F_SETLK, libc::F_WRLCK).0.unwrap();
        say("has it");
        wait_to_go_on();
        fcntl(&file, libc::F_SETLK, libc::F_UNLCK).0.unwrap();
        say("gave it up");
        return;
    }
    let (result, lock) = fcntl(&file, libc::F_GETLK, libc::F_RDLCK);
    result.unwrap();
    let (start, length, pid) = (lock.l_start, lock.l_len, lock.l_pid);
    say(format!("{} {start} {length} {pid}", lock.l_type));
    let error = fcntl(&file, libc::F_SETLK, libc::F_RDLCK).0.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
    fcntl(&file, libc::F_SETLKW, libc::F_RDLCK).0.unwrap();
    say("has it");
}

/// A holder that has the lock, and a waiter that waits for it.
fn holder_and_waiter(
    test: &str,
    mount: &Mount<Tools>,
    books: &GlobalLock<Shop>,
) -> (Client, Client) {
    let holder = Client::new(test, "holder", mount.path());
    assert_eq!(holder.says(), "has it");
    let waiter = Client::new(test, "waiter", mount.path());
    let pid = books.lock().unwrap().held[0].pid;
    assert_eq!(waiter.says(), format!("{} 10 10 {pid}", libc::F_WRLCK));
    until(|| books.lock().unwrap().waiting.len() == 1);
    waiter.is_silent();
    let shop = books.lock().unwrap();
    let (wanted, _) = &shop.waiting.values().next().unwrap();
    assert_eq!((wanted.start, wanted.end), (10, 19));
    assert_eq!(wanted.kind, LockKind::Read);
    assert_ne!(wanted.owner, shop.held[0].owner);
    drop(shop);
    (holder, waiter)
}

/// There is one worker, which serves the unlock while the other client waits.
#[test]
fn another_client_gives_the_lock_up() {
    if let Some((part, mount)) = part(this_test!()) {
        return play_fcntl(&part, &mount);
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::POSIX_LOCKS);
    let (mut holder, waiter) = holder_and_waiter(this_test!(), &mount, &books);
    holder.go_on();
    assert_eq!(holder.says(), "gave it up");
    assert_eq!(waiter.says(), "has it");
    holder.ends();
    waiter.ends();
    // The end of the waiter gave up its lock.
    assert_eq!(books.lock().unwrap().held, []);
    mount.end();
}

#[test]
fn the_other_client_is_killed() {
    if let Some((part, mount)) = part(this_test!()) {
        return play_fcntl(&part, &mount);
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::POSIX_LOCKS);
    let (holder, waiter) = holder_and_waiter(this_test!(), &mount, &books);
    holder.kill();
    assert_eq!(waiter.says(), "has it");
    waiter.ends();
    assert_eq!(books.lock().unwrap().held, []);
    mount.end();
}

/// It is freed at once, by EINTR, and takes no lock with it.
#[test]
fn the_waiting_client_is_killed() {
    if let Some((part, mount)) = part(this_test!()) {
        return play_fcntl(&part, &mount);
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::POSIX_LOCKS);
    let (mut holder, waiter) = holder_and_waiter(this_test!(), &mount, &books);
    let (took, ()) = timed(|| waiter.kill());
    // How soon is measured in `killed`, many times; here it is once, on a machine that may be busy.
    assert!(took < DEADLINE / 2, "{took:?}");
    assert!(books.lock().unwrap().waiting.is_empty());
    holder.go_on();
    assert_eq!(holder.says(), "gave it up");
    holder.ends();
    assert_eq!(books.lock().unwrap().held, []);
    mount.end();
}

fn play_flock(part: &str, mount: &Path) {
    let file = open(mount);
    if part == "holder" {
        flock(&file, libc::LOCK_EX).unwrap();
        // The other kind of lock is none of its business.
        fcntl(&file, libc::F_SETLK, libc::F_WRLCK).0.unwrap();
        fcntl(&file, libc::F_SETLK, libc::F_UNLCK).0.unwrap();
        say("has it");
        wait_to_go_on();
        // Shared from now on; what waits to share it gets it, too.
        flock(&file, libc::LOCK_SH).unwrap();
        say("shares it");
        wait_to_go_on();
        return;
    }
    let error = flock(&file, libc::LOCK_EX | libc::LOCK_NB).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EWOULDBLOCK));
    flock(&file, libc::LOCK_SH).unwrap();
    say("shares it");
    flock(&file, libc::LOCK_EX).unwrap();
    say("has it");
    flock(&file, libc::LOCK_UN).unwrap();
    say("gave it up");
}

#[test]
fn flock_waits_for_another_client() {
    if let Some((part, mount)) = part(this_test!()) {
        return play_flock(&part, &mount);
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::FLOCK_LOCKS);
    let waits = || books.lock().unwrap().flock_waiting.len() == 1;
    let mut holder = Client::new(this_test!(), "holder", mount.path());
    assert_eq!(holder.says(), "has it");
    let waiter = Client::new(this_test!(), "waiter", mount.path());
    until(waits);
    waiter.is_silent();
    holder.go_on();
    assert_eq!(holder.says(), "shares it");
    assert_eq!(waiter.says(), "shares it");
    until(waits);
    waiter.is_silent();
    // The end of the holder, and of its open file, is told by `release`.
    holder.go_on();
    holder.ends();
    assert_eq!(waiter.says(), "has it");
    assert_eq!(waiter.says(), "gave it up");
    waiter.ends();
    let shop = books.lock().unwrap();
    assert!(shop.flocks.is_empty());
    // fcntl's locks were not asked for: the kernel looked after them.
    assert_eq!(shop.held, []);
    drop(shop);
    mount.end();
}

/// Without being asked for, locks are the kernel's own: they work, and no handler hears of them.
#[test]
fn the_kernel_looks_after_them_by_itself() {
    if let Some((part, mount)) = part(this_test!()) {
        let file = open(&mount);
        if part == "holder" {
            flock(&file, libc::LOCK_EX).unwrap();
            return play_fcntl(&part, &mount);
        }
        let error = flock(&file, libc::LOCK_EX | libc::LOCK_NB).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EWOULDBLOCK));
        let error = fcntl(&file, libc::F_SETLK, libc::F_RDLCK).0.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
        say("has to wait");
        fcntl(&file, libc::F_SETLKW, libc::F_RDLCK).0.unwrap();
        return say("has it");
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::empty());
    let mut holder = Client::new(this_test!(), "holder", mount.path());
    assert_eq!(holder.says(), "has it");
    let waiter = Client::new(this_test!(), "waiter", mount.path());
    assert_eq!(waiter.says(), "has to wait");
    assert_eq!(books.lock().unwrap().held, []);
    assert!(books.lock().unwrap().flocks.is_empty());
    holder.go_on();
    assert_eq!(holder.says(), "gave it up");
    assert_eq!(waiter.says(), "has it");
    holder.ends();
    waiter.ends();
    mount.end();
}

/// fcntl(2) with `l_len` 0: to wherever the file may grow.
#[test]
fn a_lock_without_an_end() {
    if let Some((_, mount)) = part(this_test!()) {
        let file = open(&mount);
        let mut lock = flock_of(libc::F_WRLCK);
        lock.l_len = 0;
        // SAFETY: the descriptor is open, and `lock` lives.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
        assert_eq!(result, 0);
        say("has it");
        return wait_to_go_on();
    }
    require_mount!();
    let (mount, books) = Tools::mount(Capabilities::POSIX_LOCKS);
    let mut client = Client::new(this_test!(), "client", mount.path());
    assert_eq!(client.says(), "has it");
    let lock = books.lock().unwrap().held[0];
    assert_eq!((lock.start, lock.end), (10, FileLock::END));
    client.go_on();
    client.ends();
    mount.end();
}
