//! The bytes of a read, from wherever they are.

use std::slice;

use crate::conn::request::{Request, Sent};
use crate::reply::data::{Data, Fill, Source, too_many};
use crate::reply::readbuf::{give_spare, take_spare};
use crate::reply::{answer::Asked, payload::mistake, piece::Piece};
use crate::sys;
use crate::types::errno::Errno;

/// Sends it, or EIO when it is a mistake.
#[inline(always)]
pub(super) fn send(data: &Data<'_>, request: Request, asked: &Asked) -> Sent {
    match data.ready(asked.size) {
        Some(bytes) => request.buf(bytes),
        None => send_otherwise(data, request, asked),
    }
}

#[inline(never)]
fn send_otherwise(data: &Data<'_>, request: Request, asked: &Asked) -> Sent {
    match data.memory(asked.size) {
        Some(Ok(bytes)) => request.buf(bytes),
        Some(Err(what)) => mistake(request, what),
        None => send_from_elsewhere(data, request, asked),
    }
}

fn send_from_elsewhere(data: &Data<'_>, request: Request, asked: &Asked) -> Sent {
    match &*data.0 {
        Source::File(range) => {
            let mut bufs = sys::FUSE_BUFVEC_INIT(0);
            bufs.buf[0] = range.to_buf(range.length.min(asked.size));
            request.data(slice::from_mut(&mut bufs), asked.may_splice)
        }
        Source::Pieces(pieces) => send_pieces(pieces, request, asked),
        Source::Later(fill) => send_later(fill, request, asked.size),
        _ => unreachable!("it is in memory"),
    }
}

/// Lets `fill` write into the request's payload over io_uring, into the thread's spare memory elsewhere.
fn send_later(fill: &Fill<'_>, request: Request, size: usize) -> Sent {
    if let Some(payload) = request.payload() {
        // SAFETY: the payload is the request's alone until it is answered, which `request` is not yet; and its handler, which may
        // have borrowed from there, has returned (`deliver`).
        let payload = unsafe { &mut *payload.as_ptr() };
        let room = size.min(payload.len());
        return send_filled(fill, request, &mut payload[..room]);
    }
    let mut memory = take_spare(size);
    memory.resize(memory.len().max(size), 0);
    let sent = send_filled(fill, request, &mut memory[..size]);
    give_spare(memory);
    sent
}

fn send_filled(fill: &Fill<'_>, request: Request, room: &mut [u8]) -> Sent {
    match fill(room) {
        Ok(count) if count <= room.len() => request.buf(&room[..count]),
        Ok(count) => mistake(request, too_many(count, room.len())),
        Err(error) => request.err(Errno::from(error)),
    }
}

/// writev(2) takes at most 1024 parts, one of which is the header.
const MOST_PIECES: usize = 1000;

fn send_pieces(pieces: &[Piece<'_>], request: Request, asked: &Asked) -> Sent {
    let size = asked.size;
    let mut total = 0_usize;
    for piece in pieces {
        match piece.length() {
            Ok(length) => total = total.saturating_add(length),
            Err(what) => return mistake(request, what),
        }
    }
    if total > size {
        return mistake(request, too_many(total, size));
    }
    let parts = pieces.iter().filter(|piece| piece.length() != Ok(0));
    let in_memory: Option<Vec<&[u8]>> = parts.clone().map(Piece::memory).collect();
    match in_memory {
        Some(slices) if slices.len() <= MOST_PIECES => request.slices(&slices),
        Some(slices) => request.buf(&slices.concat()),
        None => request.data(
            &mut bufvec(parts.map(Piece::to_buf).collect()),
            asked.may_splice,
        ),
    }
}

/// `struct fuse_bufvec` with as many buffers: it has room for one, and the others follow it.
fn bufvec(bufs: Vec<sys::fuse_buf>) -> Vec<sys::fuse_bufvec> {
    let bytes = size_of::<sys::fuse_bufvec>() + size_of_val(&*bufs);
    let count = bytes.div_ceil(size_of::<sys::fuse_bufvec>());
    let mut vec: Vec<_> = (0..count).map(|_| sys::FUSE_BUFVEC_INIT(0)).collect();
    vec[0].count = bufs.len();
    let start = vec.as_mut_ptr();
    // SAFETY: `start` points to a `fuse_bufvec`; no reference is made, so that what follows it is still in reach.
    let first = unsafe { &raw mut (*start).buf }.cast::<sys::fuse_buf>();
    for (position, buf) in bufs.into_iter().enumerate() {
        // SAFETY: `vec` has room for all of them after its first member, since it has `bytes` bytes.
        let place = unsafe { first.add(position) };
        // SAFETY: there is room, as above, and `place` is aligned: `first` is a member of this type.
        unsafe { place.write(buf) };
    }
    vec
}
