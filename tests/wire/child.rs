//! Processes that handlers start.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use fuse3::session::prepare_child;
use fuse3::{Concurrent, Errno};

use crate::harness::{Wire, until};
use crate::probe::{Probe, await_from};
use crate::proto;

/// Starts `sleep` in a handler, with a file open that is not closed on execve(2).
fn started(prepared: bool) -> Child {
    let (give, given) = mpsc::channel();
    let fs = Probe::<Concurrent>::new(move |_, _| {
        let open = fs::File::open("/dev/zero").unwrap();
        // SAFETY: the descriptor is open.
        unsafe { libc::fcntl(open.as_raw_fd(), libc::F_SETFD, 0) };
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null()).stdout(Stdio::null());
        if prepared {
            prepare_child(&mut command);
        }
        give.send(command.spawn().unwrap()).unwrap();
        Err(Errno::ENOENT.into())
    });
    let mut wire = Wire::new(fs, Concurrent);
    wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
    let child = await_from(&given);
    wire.end();
    child
}

/// What it has open.
fn open(child: &Child) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    let file = |it: io::Result<fs::DirEntry>| fs::read_link(it.unwrap().path());
    // What is closed meanwhile is not open.
    open.filter_map(|it| file(it).ok()).collect()
}

/// SIGTERM is among the signals that a worker has blocked.
#[test]
fn a_child_of_a_handler_can_be_terminated_and_has_no_descriptor_of_the_session() {
    let blocked = |child: &Child| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    let of_ends = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    let ends: u64 = of_ends.iter().map(|signal| 1 << (signal - 1)).sum();

    let mut plain = started(false);
    assert_eq!(blocked(&plain) & ends, ends);
    assert!(open(&plain).contains(&"/dev/zero".into()));
    plain.kill().unwrap();
    plain.wait().unwrap();

    let mut prepared = started(true);
    assert_eq!(blocked(&prepared) & ends, 0);
    // While it begins it has its libraries open.
    until("three descriptors are open", || open(&prepared).len() == 3);
    assert!(!open(&prepared).contains(&"/dev/zero".into()));
    let pid = i32::try_from(prepared.id()).unwrap();
    // SAFETY: no memory is involved; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    assert_eq!(prepared.wait().unwrap().signal(), Some(libc::SIGTERM));
}
