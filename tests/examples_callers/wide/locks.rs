//! flock(2), and record locks of processes and of open files, over close(2), dup(2) and fork(2).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::mount::within;
use crate::place::Place;

use FlockOperation::{NonBlockingLockExclusive as EXCLUSIVE, NonBlockingLockShared as SHARED};

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn locked(file: &File, how: FlockOperation) -> io::Result<()> {
    Ok(flock(file, how)?)
}

/// The same, when somebody has closed a file that was locked: a mount tells the file system a little later.
fn soon(file: &File, how: FlockOperation) -> io::Result<()> {
    within(Duration::from_secs(5), || locked(file, how).is_ok());
    locked(file, how)
}

/// flock(1) in another process, of a descriptor that it gets from this one.
fn in_child(file: &File, how: &str) -> io::Result<String> {
    let status = Command::new("flock")
        .args([how, "--nonblock", "0"])
        .stdin(Stdio::from(file.try_clone()?))
        .status()?;
    Ok(format!("{:?}", status.code()))
}

pub(crate) fn whole_files(place: &mut Place) {
    let path = place.file("file", (0, 0), 0o644);
    let [a, b] = [(); 2].map(|()| open(&path));
    place.say_done("a exclusive", locked(&a, EXCLUSIVE));
    place.say_done("a again", locked(&a, EXCLUSIVE));
    place.say_done("b exclusive", locked(&b, EXCLUSIVE));
    place.say_done("b shared", locked(&b, SHARED));
    drop(a);
    place.say_done("b exclusive after a is closed", soon(&b, EXCLUSIVE));
    let c = open(&path);
    place.say_done("c shared", locked(&c, SHARED));
    place.say_done("b becomes shared", locked(&b, SHARED));
    place.say_done("c shared now", locked(&c, SHARED));
    place.say_done("c becomes exclusive", locked(&c, EXCLUSIVE));
    place.say_done("b gives it up", locked(&b, FlockOperation::Unlock));
    place.say_done("c exclusive now", locked(&c, EXCLUSIVE));
    let duplicate = c.try_clone().unwrap();
    drop(c);
    place.say_done("b while a duplicate is open", locked(&b, EXCLUSIVE));
    place.say_done("the duplicate again", locked(&duplicate, EXCLUSIVE));
    drop(duplicate);
    place.say_done("b when none is open", soon(&b, EXCLUSIVE));
    place.say("a child with b's", in_child(&b, "--exclusive"));
    let d = open(&path);
    place.say("a child with d's", in_child(&d, "--exclusive"));
    place.say("a child gives b's up", in_child(&b, "--unlock"));
    place.say("a child locks d's", in_child(&d, "--exclusive"));
    place.say_done("b after the child", locked(&b, EXCLUSIVE));
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(d.try_clone().unwrap()))
        .spawn()
        .unwrap();
    drop(d);
    place.say_done("b while the child has d", locked(&b, EXCLUSIVE));
    drop(child.stdin.take());
    child.wait().unwrap();
    place.say_done("b when the child has ended", soon(&b, EXCLUSIVE));
    // A file that is only read may be locked so, too.
    drop(b);
    let [e, f] = [(); 2].map(|()| File::open(&path).unwrap());
    place.say_done("to read, exclusive", soon(&e, EXCLUSIVE));
    place.say_done("to read, another", locked(&f, EXCLUSIVE));
    place.say_done("the next open", locked(&open(&path), SHARED));
}

/// A lock in the mount, as the source sees it, and the other way round.
pub(crate) fn seen_from_the_source(place: &mut Place) {
    let path = place.file("file", (0, 0), 0o644);
    let (a, b) = (open(&path), open(&place.behind.join("file")));
    place.say_done("here", locked(&a, EXCLUSIVE));
    place.say_done("there meanwhile", locked(&b, EXCLUSIVE));
    drop(a);
    place.say_done("there, after it is closed", soon(&b, EXCLUSIVE));
    let c = open(&path);
    place.say_done("here meanwhile", locked(&c, SHARED));
    drop(b);
    place.say_done("here, after it is closed", soon(&c, SHARED));
}

/// A lock of bytes `start` to `start + len`, whose owner is the open file or the process.
fn record(file: &File, command: i32, kind: i32, start: i64, len: i64) -> io::Result<String> {
    let mut lock = libc::flock {
        l_type: kind.try_into().unwrap(),
        l_whence: libc::SEEK_SET.try_into().unwrap(),
        l_start: start,
        l_len: len,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and `lock` lives.
    if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(match command {
        libc::F_GETLK | libc::F_OFD_GETLK => {
            let kind = ["read", "write", "none"].get(usize::try_from(lock.l_type).unwrap());
            format!("{kind:?} {} {}", lock.l_start, lock.l_len)
        }
        _ => "done".to_owned(),
    })
}

pub(crate) fn records(place: &mut Place) {
    use libc::{F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_RDLCK, F_SETLK, F_UNLCK, F_WRLCK};
    let path = place.file("file", (0, 0), 0o644);
    let [a, b] = [(); 2].map(|()| open(&path));
    let mut say = |what: &str, result| place.say(what, result);
    say("a locks 0 to 10", record(&a, F_OFD_SETLK, F_WRLCK, 0, 10));
    say("b asks at 5", record(&b, F_OFD_GETLK, F_WRLCK, 5, 1));
    say("b locks 5", record(&b, F_OFD_SETLK, F_RDLCK, 5, 1));
    say(
        "b locks 10 to the end",
        record(&b, F_OFD_SETLK, F_WRLCK, 10, 0),
    );
    say("a asks at 1000", record(&a, F_OFD_GETLK, F_RDLCK, 1000, 1));
    say(
        "a reads only 0 to 5",
        record(&a, F_OFD_SETLK, F_RDLCK, 0, 5),
    );
    say("b reads 0 to 3", record(&b, F_OFD_SETLK, F_RDLCK, 0, 3));
    say("b writes 5", record(&b, F_OFD_SETLK, F_WRLCK, 5, 1));
    say("b asks for 0", record(&b, F_OFD_GETLK, F_WRLCK, 0, 0));
    let duplicate = a.try_clone().unwrap();
    drop(a);
    say(
        "b while a duplicate is open",
        record(&b, F_OFD_SETLK, F_WRLCK, 0, 3),
    );
    drop(duplicate);
    say(
        "b when none is open",
        record(&b, F_OFD_SETLK, F_WRLCK, 0, 3),
    );
    say("the process asks", record(&b, F_GETLK, F_WRLCK, 0, 1));
    say(
        "the process locks what b has",
        record(&b, F_SETLK, F_WRLCK, 0, 1),
    );
    say(
        "the process locks the rest",
        record(&b, F_SETLK, F_WRLCK, 3, 2),
    );
    let c = open(&path);
    say(
        "c locks what the process has",
        record(&c, F_OFD_SETLK, F_WRLCK, 4, 1),
    );
    say(
        "c asks what the process has",
        record(&c, F_OFD_GETLK, F_WRLCK, 4, 1),
    );
    say("the process locks more", record(&c, F_SETLK, F_RDLCK, 3, 1));
    // All of a process's locks of a file go when it closes any of its descriptors, even a duplicate.
    drop(c.try_clone().unwrap());
    say(
        "c after another was closed",
        record(&c, F_OFD_SETLK, F_WRLCK, 3, 2),
    );
    say("c unlocks", record(&c, F_OFD_SETLK, F_UNLCK, 0, 0));
    say("b unlocks", record(&b, F_OFD_SETLK, F_UNLCK, 0, 0));
    say("nothing is locked", record(&c, F_OFD_GETLK, F_WRLCK, 0, 0));
    say("the process locks all", record(&c, F_SETLK, F_WRLCK, 0, 0));
    // A child has the descriptor, and none of the locks; when it ends, the parent's stay.
    let child = Command::new("true")
        .stdin(Stdio::from(c.try_clone().unwrap()))
        .status();
    say("a child", child.map(|status| status.to_string()));
    // What std has closed of the duplicate took this process's own locks along.
    say("the process once more", record(&c, F_SETLK, F_WRLCK, 0, 0));
    say("b meanwhile", record(&b, F_OFD_SETLK, F_WRLCK, 0, 1));
    let reader = File::open(&path).unwrap();
    say(
        "to read, a write lock",
        record(&reader, F_OFD_SETLK, F_WRLCK, 0, 1),
    );
    say(
        "the lock of a reader",
        record(&reader, F_OFD_GETLK, F_RDLCK, 0, 1),
    );
}
