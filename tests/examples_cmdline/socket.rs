//! hello_ll_uds, which serves whoever connects.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::place::{Place, within};

const INIT: u32 = 26;
const LOOKUP: u32 = 1;

/// A request as the kernel sends it.
fn request(opcode: u32, unique: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(40 + body.len()).unwrap();
    let mut bytes = [length, opcode].map(u32::to_ne_bytes).concat();
    bytes.extend([unique, 1].map(u64::to_ne_bytes).concat());
    bytes.extend([0; 16]);
    bytes.extend(body);
    bytes
}

/// The body of INIT: protocol 7.38, and nothing offered.
fn init() -> Vec<u8> {
    let mut body = [7_u32, 38, 0, 0, 0].map(u32::to_ne_bytes).concat();
    body.resize(64, 0);
    body
}

/// The error and the body of the reply to `unique`.
#[track_caller]
fn reply(stream: &mut UnixStream, unique: u64) -> (i32, Vec<u8>) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header[8..], unique.to_ne_bytes());
    let length = u32::from_ne_bytes(header[..4].try_into().unwrap());
    let mut body = vec![0; length as usize - 16];
    stream.read_exact(&mut body).unwrap();
    (i32::from_ne_bytes(header[4..8].try_into().unwrap()), body)
}

#[test]
fn hello_ll_uds_serves_a_stream() {
    let Some(place) = Place::new("hello_ll_uds") else {
        return;
    };
    let path = place.path("socket");
    // What an earlier one left is replaced.
    std::fs::write(&path, "").unwrap();
    let mut server = place.example(["-f", "--socket=socket"]).spawn().unwrap();
    let mut stream = None;
    assert!(within(|| {
        stream = UnixStream::connect(&path).ok();
        stream.is_some()
    }));
    let mut stream = stream.unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();

    stream.write_all(&request(INIT, 10, &init())).unwrap();
    let (error, body) = reply(&mut stream, 10);
    assert_eq!((error, &body[..4]), (0, &7_u32.to_ne_bytes()[..]));
    // In pieces, and two at once: a stream has no bounds.
    let (one, two) = (
        request(LOOKUP, 12, b"hello\0"),
        request(LOOKUP, 14, b"other\0"),
    );
    stream.write_all(&one[..17]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(&[&one[17..], &two[..]].concat()).unwrap();
    // Two workers: in any order.
    let mut replies = Vec::new();
    for _ in 0..2 {
        let mut header = [0; 16];
        stream.read_exact(&mut header).unwrap();
        let length = u32::from_ne_bytes(header[..4].try_into().unwrap());
        let mut body = vec![0; length as usize - 16];
        stream.read_exact(&mut body).unwrap();
        replies.push((
            header[8],
            i32::from_ne_bytes(header[4..8].try_into().unwrap()),
            body,
        ));
    }
    replies.sort();
    assert_eq!((replies[0].0, replies[0].1), (12, 0));
    assert_eq!(replies[0].2[..8], 2_u64.to_ne_bytes());
    assert_eq!((replies[1].0, replies[1].1), (14, -libc::ENOENT));

    drop(stream);
    let ended = place.ended(&mut server);
    ended.well();
    assert!(
        ended
            .stdout
            .starts_with("Awaiting connection on socket at socket...\nAccepted connection!\n")
    );
}
