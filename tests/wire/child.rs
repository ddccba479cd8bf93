//! Processes that handlers start.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fuse3::session::prepare_child;
use fuse3::{Concurrent, Errno};

use crate::harness::Wire;
use crate::probe::{Probe, await_from};
use crate::proto;

/// Starts `sleep` in a handler, with a file open that is not closed on execve(2), and returns it and how many descriptors it has.
fn started(prepared: bool) -> (Child, usize) {
    let (give, given) = mpsc::channel();
    let fs = Probe::<Concurrent>::new(move |_, _| {
        let open = fs::File::open("/dev/null").unwrap();
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
    let open = || {
        fs::read_dir(format!("/proc/{}/fd", child.id()))
            .unwrap()
            .count()
    };
    // For a moment it has its libraries open.
    let mut tries = 0..1000;
    while open() > 3 && tries.next().is_some() {
        thread::sleep(Duration::from_millis(1));
    }
    let open = open();
    (child, open)
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

    let (mut plain, open) = started(false);
    assert_eq!(blocked(&plain) & ends, ends);
    assert!(open > 3, "{open}");
    plain.kill().unwrap();
    plain.wait().unwrap();

    let (mut prepared, open) = started(true);
    assert_eq!(blocked(&prepared) & ends, 0);
    assert_eq!(open, 3);
    let pid = i32::try_from(prepared.id()).unwrap();
    // SAFETY: no memory is involved; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    assert_eq!(prepared.wait().unwrap().signal(), Some(libc::SIGTERM));
}
