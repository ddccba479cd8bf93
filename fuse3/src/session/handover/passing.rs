//! A hand-over on its way, over a Unix socket.
//!
//! | from | what |
//! |---|---|
//! | predecessor | `fuse3ho1`, how many descriptors, whether the last two are a program; the descriptors, 253 with each byte |
//! | successor | a line: `ready`, or `no` and why |
//! | predecessor | a byte: `g`, it serves no more, or `n`, it goes on |
//!
//! The descriptors are the connection, the record and the bytes of the [`Baggage`], both in memory files, and its files. The
//! successor begins with `g`, or when the predecessor is gone; until then the mount is the predecessor's.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::session::handover::error::HandoverError;
use crate::session::handover::value::Baggage;

/// What is sent.
pub(super) struct Parcel<'p> {
    pub(super) device: &'p OwnedFd,
    pub(super) record: String,
    pub(super) baggage: &'p Baggage,
    /// The program that goes on if the one that replaces it does not.
    pub(super) program: Option<Program>,
}

/// What arrives.
pub(super) struct Received {
    pub(super) device: OwnedFd,
    pub(super) record: String,
    pub(super) baggage: Baggage,
    pub(super) program: Option<Program>,
}

/// A program and its arguments, with a NUL after each.
pub(super) struct Program {
    pub(super) executable: OwnedFd,
    pub(super) arguments: Vec<u8>,
}

const MAGIC: [u8; 8] = *b"fuse3ho1";
/// `SCM_MAX_FD` (include/net/scm.h).
const BATCH: usize = 253;
/// More descriptors than any process may have (`NR_OPEN`'s default).
const MOST: u32 = 1 << 20;
/// The longest record, and the longest line of an answer, in bytes.
const LONGEST_RECORD: u64 = 1 << 20;
const LONGEST_LINE: usize = 4096;

/// The other process has closed its end.
pub(super) fn ended() -> HandoverError {
    HandoverError::Io(ErrorKind::UnexpectedEof.into())
}

/// A file in memory that has these bytes.
pub(super) fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create("fuse3-handover", MemfdFlags::CLOEXEC)?);
    file.write_all_at(bytes, 0)?;
    Ok(file.into())
}

fn read_all(file: OwnedFd, most: u64) -> io::Result<Vec<u8>> {
    let file = File::from(file);
    let length = file.metadata()?.len();
    let room = usize::try_from(length).ok().filter(|_| length <= most);
    let room = room.ok_or_else(|| io::Error::from(ErrorKind::OutOfMemory))?;
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(room);
    reserved.map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    bytes.resize(room, 0);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Sends it, and waits for nothing but room in the socket.
pub(super) fn send(mut to: &UnixStream, parcel: &Parcel<'_>) -> io::Result<()> {
    let record = in_memory(parcel.record.as_bytes())?;
    let bytes = in_memory(&parcel.baggage.bytes)?;
    let program = parcel.program.as_ref();
    let arguments = program.map(|program| in_memory(&program.arguments));
    let arguments = arguments.transpose()?;
    let mut files = vec![parcel.device.as_fd(), record.as_fd(), bytes.as_fd()];
    files.extend(parcel.baggage.files.iter().map(AsFd::as_fd));
    if let (Some(program), Some(arguments)) = (program, &arguments) {
        files.extend([program.executable.as_fd(), arguments.as_fd()]);
    }
    let count = u32::try_from(files.len())
        .ok()
        .filter(|count| *count <= MOST);
    let count = count.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
    let mut head = MAGIC.to_vec();
    head.extend(count.to_ne_bytes());
    head.push(program.is_some().into());
    to.write_all(&head)?;
    files
        .chunks(BATCH)
        .try_for_each(|batch| send_batch(to, batch))
}

fn send_batch(to: &UnixStream, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // There is room for as many.
    let _ = control.push(SendAncillaryMessage::ScmRights(files));
    let mut send = || sendmsg(to, &[IoSlice::new(b"+")], &mut control, SendFlags::NOSIGNAL);
    retry_on_intr(&mut send)?;
    Ok(())
}

/// What has been sent; `None` when the other end was closed before it sent anything.
pub(super) fn receive(mut from: &UnixStream) -> Result<Option<Received>, HandoverError> {
    let mut head = [0; MAGIC.len() + 5];
    match from.read(&mut head[..1]) {
        Ok(0) => return Ok(None),
        read => read.map_err(HandoverError::Io)?,
    };
    from.read_exact(&mut head[1..]).map_err(HandoverError::Io)?;
    let (magic, rest) = head.split_at(MAGIC.len());
    let [a, b, c, d, has_program] = rest else {
        return Err(ended());
    };
    let count = u32::from_ne_bytes([*a, *b, *c, *d]);
    let fixed = if *has_program == 0 { 3 } else { 5 };
    if magic != MAGIC || !(fixed..=MOST).contains(&count) {
        let what = format!("it begins with the bytes {head:?}");
        return Err(HandoverError::Broken(what));
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut files = Vec::new();
    while files.len() < count {
        receive_batch(from, &mut files).map_err(HandoverError::Io)?;
    }
    if files.len() != count {
        let what = format!("{} descriptors came, and not {count}", files.len());
        return Err(HandoverError::Broken(what));
    }
    unpack(files, *has_program != 0).map(Some)
}

fn receive_batch(from: &UnixStream, files: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut receive = || {
        let into = &mut [IoSliceMut::new(&mut byte)];
        recvmsg(from, into, &mut control, RecvFlags::CMSG_CLOEXEC)
    };
    let received = retry_on_intr(&mut receive)?;
    let before = files.len();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            files.extend(more);
        }
    }
    match (received.bytes, files.len() - before) {
        (0, _) => Err(ErrorKind::UnexpectedEof.into()),
        // The kernel leaves out those that this process may not have.
        (_, 0) => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        _ => Ok(()),
    }
}

pub(super) fn unpack(
    mut files: Vec<OwnedFd>,
    has_program: bool,
) -> Result<Received, HandoverError> {
    let program = if has_program {
        let arguments = files.pop().ok_or_else(ended)?;
        let executable = files.pop().ok_or_else(ended)?;
        let arguments = read_all(arguments, LONGEST_RECORD).map_err(HandoverError::Io)?;
        Some(Program {
            executable,
            arguments,
        })
    } else {
        None
    };
    let mut files = files.into_iter();
    let mut next = || files.next().ok_or_else(ended);
    let (device, record, bytes) = (next()?, next()?, next()?);
    let record = read_all(record, LONGEST_RECORD).map_err(HandoverError::Io)?;
    let bytes = read_all(bytes, u64::MAX).map_err(HandoverError::Io)?;
    let record = String::from_utf8(record);
    let record = record.map_err(|error| HandoverError::Broken(error.to_string()))?;
    let baggage = Baggage {
        bytes,
        files: files.collect(),
    };
    Ok(Received {
        device,
        record,
        baggage,
        program,
    })
}

/// Sends it to a successor, and waits until that is ready. Where it is not, it is told that it will not be.
pub(super) fn offer(
    to: &UnixStream,
    parcel: &Parcel<'_>,
    patience: Duration,
) -> Result<(), HandoverError> {
    let limited = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => HandoverError::Silent(patience),
        _ => HandoverError::Io(error),
    };
    // One of zero is refused.
    let limit = Some(patience.max(Duration::from_millis(1)));
    let sent = to
        .set_write_timeout(limit)
        .and_then(|()| to.set_read_timeout(limit));
    let sent = sent.and_then(|()| send(to, parcel)).map_err(limited);
    let answered = sent.and_then(|()| {
        let line = read_line(to).map_err(limited)?;
        match &*line {
            "ready" => Ok(()),
            _ => {
                let why = line.strip_prefix("no ").unwrap_or(&line);
                Err(HandoverError::Refused(why.to_owned()))
            }
        }
    });
    if answered.is_err() {
        let mut to = to;
        // It may be gone.
        let _ = to.write_all(b"n");
    }
    answered
}

/// The predecessor serves no more.
pub(super) fn go(mut to: &UnixStream) -> Result<(), HandoverError> {
    to.write_all(b"g").map_err(HandoverError::Io)
}

/// The successor is ready, and waits for the predecessor to serve no more, or to be gone.
pub(super) fn ready(mut to: &UnixStream, patience: Duration) -> Result<(), HandoverError> {
    to.set_read_timeout(Some(patience))
        .map_err(HandoverError::Io)?;
    let mut word = [0];
    // Where the predecessor is gone, nobody else serves.
    let _ = to.write_all(b"ready\n");
    loop {
        return match to.read(&mut word) {
            Ok(1) if word == *b"n" => {
                let why = "the predecessor goes on".to_owned();
                Err(HandoverError::Refused(why))
            }
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => continue,
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(HandoverError::Silent(patience)),
                _ => Ok(()),
            },
        };
    }
}

/// The successor will not be: a line says why.
pub(super) fn refuse(mut to: &UnixStream, why: &dyn fmt::Display) {
    let line = format!("no {why}").replace('\n', " ");
    // The predecessor may be gone, or wait no more.
    let _ = to.write_all(format!("{line}\n").as_bytes());
}

fn read_line(mut from: &UnixStream) -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < LONGEST_LINE {
        match from.read(&mut byte) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
