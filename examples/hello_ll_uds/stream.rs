//! Messages of the FUSE protocol cut out of a stream, and put into one.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::thread;

use fuse3::Handle;

/// `struct fuse_in_header`, which begins with the length of the request, itself included.
const HEADER: usize = 40;
/// What a datagram socket takes at once, unless net.core.wmem_default was changed.
const LONGEST: usize = 200 << 10;

/// The peer's stream on one side, and on the other datagrams: one for each message, as /dev/fuse has it.
pub(crate) struct Bridge {
    stream: UnixStream,
    datagrams: UnixDatagram,
    served: UnixDatagram,
}

impl Bridge {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let (datagrams, served) = UnixDatagram::pair()?;
        Ok(Self {
            stream,
            datagrams,
            served,
        })
    }

    /// What libfuse reads and writes.
    pub(crate) fn served(&self) -> io::Result<OwnedFd> {
        Ok(self.served.try_clone()?.into())
    }

    /// Copies both ways from now on. When the peer is gone, the session ends.
    pub(crate) fn run(self, session: Handle) -> io::Result<()> {
        let (mut requests, mut replies) = (self.stream.try_clone()?, self.stream);
        let (to_libfuse, from_libfuse) = (self.datagrams.try_clone()?, self.datagrams);
        thread::spawn(move || {
            while let Ok(request) = next(&mut requests) {
                if to_libfuse.send(&request).is_err() {
                    break;
                }
            }
            session.terminate();
        });
        thread::spawn(move || {
            let mut reply = vec![0; LONGEST];
            while let Ok(length) = from_libfuse.recv(&mut reply) {
                if replies.write_all(&reply[..length]).is_err() {
                    break;
                }
            }
        });
        Ok(())
    }
}

/// The next request.
///
/// # Errors
///
/// The peer is gone, or what it sent is no request.
fn next(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let whole = usize::try_from(u32::from_ne_bytes(length)).unwrap_or(usize::MAX);
    if !(HEADER..=LONGEST).contains(&whole) {
        // In one write(2), since libfuse has lines, too.
        let line = format!("hello_ll_uds: a request of {whole} bytes; the connection ends\n");
        eprint!("{line}");
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; whole];
    request[..4].copy_from_slice(&length);
    stream.read_exact(&mut request[4..])?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_out_of_a_stream() {
        let request = |length: u32| {
            let mut bytes = vec![7; length as usize];
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes
        };
        let (one, two) = (request(40), request(1000));
        let stream = [&one[..], &two, &two[..999]].concat();
        let mut stream = &stream[..];
        assert_eq!(next(&mut stream).unwrap(), one);
        assert_eq!(next(&mut stream).unwrap(), two);
        let error = next(&mut stream).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(next(&mut &39u32.to_ne_bytes()[..]).is_err());
        assert!(next(&mut &u32::MAX.to_ne_bytes()[..]).is_err());
    }
}
