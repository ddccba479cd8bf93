//! What many sessions leave behind in a process: nothing.

use std::fs;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use fuse3::testing::{Wire, proto};
use fuse3::{
    Answer, Capabilities, Concurrent, Connection, Context, Data, FileInfo, Filesystem, Ino,
    ReadBuf, Reply, context::Guard,
};

use crate::child::{self, this_test};
use crate::fixture::DEADLINE;

const SIZE: usize = 131_072;

/// Reads wait for the test.
struct Waiting(Mutex<Sender<Reply<Data<'static>>>>);

impl Filesystem for Waiting {
    type Lock = Concurrent;

    fn init(
        &self,
        _: &mut Guard<'_, Self>,
        connection: &mut Connection<'_>,
    ) -> std::io::Result<()> {
        Ok(connection.want(Capabilities::SPLICE_WRITE)?)
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        _: ReadBuf,
    ) -> Answer<Data<'_>> {
        let (reply, deferred) = cx.defer();
        self.0.lock().unwrap().send(reply).unwrap();
        Err(deferred.into())
    }
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A file without a name, which has nothing but zeros.
fn zeros() -> fs::File {
    // SAFETY: the name is NUL-terminated.
    let fd = unsafe { libc::memfd_create(c"zeros".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the call above opened it, and nobody else has it.
    let file = fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(SIZE as u64).unwrap();
    file
}

/// A pipe that libfuse made for a thread of the program's, to splice an answer, would stay as long as that thread: two descriptors
/// for each session.
#[test]
fn answers_by_splice_from_a_thread_that_lasts() {
    child::run(this_test!(), || {
        let file = Arc::new(zeros());
        let (queue, replies): (_, Receiver<Reply<Data<'static>>>) = mpsc::channel();
        let own = thread::spawn(move || {
            for reply in replies {
                let data = ReadBuf::new(SIZE).splice(Arc::clone(&file), 0, usize::MAX);
                reply.send(Ok(data));
            }
        });
        let one = || {
            let (sender, replies) = mpsc::channel();
            let fs = Waiting(Mutex::new(sender));
            let mut wire = Wire::with(fs, Concurrent, |builder| builder.workers(1));
            let size = u32::try_from(SIZE).unwrap();
            let unique = wire.send(&proto::read(2, proto::File::new(1), 0, size));
            let reply = replies.recv_timeout(DEADLINE).unwrap();
            // With one worker, the handler of the read has returned when this is answered.
            wire.expect_error(&proto::readlink(2), fuse3::Errno::ENOSYS);
            queue.send(reply).unwrap();
            assert!(wire.receive_spliced() == proto::reply(unique, &[0; SIZE]));
            wire.end();
        };
        // The first one opens what the process keeps.
        one();
        let before = descriptors();
        for _ in 0..50 {
            one();
        }
        assert_eq!(descriptors(), before);
        drop(queue);
        own.join().unwrap();
    });
}
