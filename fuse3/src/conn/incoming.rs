//! Requests that are read from the session's descriptor outside of libfuse's loop: one message each, by one read(2).

use std::ffi::c_int;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::base::os::checked;

/// In words of eight bytes, `struct fuse_in_header`.
const HEADER: usize = 5;
/// The kernel wants room for the largest write, `max_write` and a header, or returns EINVAL: 1 MiB with small pages, unless
/// /proc/sys/fs/fuse/max_pages_limit was raised, and never more than 65,535 pages.
const ROOM: usize = ((1 << 20) + (1 << 16)) / 8;
const MOST_ROOM: usize = (1 << 29) / 8;

/// While it lives, reading the descriptor of a session waits for nothing.
///
pub(super) struct Incoming<'p> {
    fd: BorrowedFd<'p>,
    flags: c_int,
    buffer: Vec<u64>,
}

/// A message of the kernel: a `struct fuse_in_header`, and what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Words, so that it is aligned as libfuse expects it.
    words: Vec<u64>,
    length: usize,
}

impl<'p> Incoming<'p> {
    pub(super) fn of(fd: BorrowedFd<'p>) -> io::Result<Self> {
        // SAFETY: the descriptor is open while it is borrowed.
        let flags = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
        // A request may be interrupted, and gone, after poll(2) has told of it.
        // SAFETY: as above.
        checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
        // Not zeros, which would be pages that are not there yet: the kernel finds none for a process that is being killed, and
        // answers EIO to the request.
        let buffer = vec![u64::MAX; ROOM];
        Ok(Self { fd, flags, buffer })
    }

    /// The next one; `None` when none is there.
    pub(super) fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            let (room, size) = (self.buffer.as_mut_ptr(), self.buffer.len() * 8);
            // SAFETY: the descriptor is open while it is borrowed, and `room` has `size` bytes.
            let length = unsafe { libc::read(self.fd.as_raw_fd(), room.cast(), size) };
            let Ok(length) = usize::try_from(length) else {
                let error = io::Error::last_os_error();
                match (error.kind(), error.raw_os_error()) {
                    (ErrorKind::WouldBlock, _) => return Ok(None),
                    // A request was interrupted while it was being read.
                    (ErrorKind::Interrupted | ErrorKind::NotFound, _) => continue,
                    (_, Some(libc::EINVAL)) if self.buffer.len() < MOST_ROOM => {
                        let more = self.buffer.len() * 2;
                        self.buffer.resize(more, 0);
                        continue;
                    }
                    _ => return Err(error),
                }
            };
            let words = self.buffer[..length.div_ceil(8)].to_vec();
            if words.len() < HEADER {
                // Nobody is there any more, or whoever is speaks no such protocol.
                return Err(ErrorKind::UnexpectedEof.into());
            }
            return Ok(Some(Message { words, length }));
        }
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        // A server that was killed here has left the flag behind; libfuse's loop would end.
        let flags = self.flags & !libc::O_NONBLOCK;
        // SAFETY: the descriptor is open while it is borrowed.
        unsafe { libc::fcntl(self.fd.as_raw_fd(), libc::F_SETFL, flags) };
    }
}

/// `FUSE_UNIQUE_RESEND`: the kernel has sent the request before.
const RESENT: u64 = 1 << 63;
/// `FUSE_FORGET`, `FUSE_INTERRUPT`, `FUSE_NOTIFY_REPLY`, `FUSE_BATCH_FORGET`.
const UNANSWERED: [u32; 4] = [2, 36, 41, 42];

impl Message {
    /// What was recorded of one; `None` where it is too short.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        };
        let words: Vec<_> = bytes.chunks(8).map(word).collect();
        let length = bytes.len();
        (words.len() >= HEADER).then_some(Self { words, length })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.words.iter().flat_map(|word| word.to_ne_bytes());
        bytes.take(self.length).collect()
    }

    /// Its number, by which it is answered.
    pub(super) fn unique(&self) -> u64 {
        self.words[1]
    }

    pub(super) fn opcode(&self) -> u32 {
        let [_, _, _, _, opcode @ ..] = self.words[0].to_ne_bytes();
        u32::from_ne_bytes(opcode)
    }

    /// `FUSE_INIT`.
    pub(crate) fn is_init(&self) -> bool {
        self.opcode() == 26
    }

    /// The kernel waits for an answer.
    pub(super) fn is_answered(&self) -> bool {
        !UNANSWERED.contains(&self.opcode())
    }

    /// The kernel has sent it before, and got no answer.
    pub(super) fn is_resent(&self) -> bool {
        self.is_answered() && self.unique() & RESENT != 0
    }

    /// For libfuse, which may write to it.
    pub(super) fn as_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_bytes_that_it_was() {
        let mut bytes: Vec<u8> = (0..47).collect();
        bytes[4..8].copy_from_slice(&26_u32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&(RESENT | 6).to_ne_bytes());
        let request = Message::from_bytes(&bytes).unwrap();
        assert_eq!(request.to_bytes(), bytes);
        assert_eq!((request.opcode(), request.unique()), (26, RESENT | 6));
        assert!(request.is_resent());
        assert!(Message::from_bytes(&bytes[..32]).is_none());
        // An interrupt names the request, and is none itself.
        bytes[4..8].copy_from_slice(&36_u32.to_ne_bytes());
        let interrupt = Message::from_bytes(&bytes).unwrap();
        assert!(!interrupt.is_resent() && !interrupt.is_answered());
    }
}
