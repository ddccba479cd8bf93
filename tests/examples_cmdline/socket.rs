//! hello_ll_uds, which serves whoever connects.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::thread;
use std::time::Duration;

use fuse3::testing::proto;

use crate::place::{Place, within};

/// `hello_ll_uds -f --socket=socket ARGUMENTS`, and a stream to it.
#[track_caller]
fn connected(place: &Place, arguments: &[&str]) -> (Child, UnixStream) {
    let path = place.path("socket");
    let arguments = [&["-f", "--socket=socket"], arguments].concat();
    let mut server = place.example(arguments).spawn().unwrap();
    let mut stream = None;
    let connected = within(|| {
        stream = UnixStream::connect(&path).ok();
        stream.is_some() || server.try_wait().unwrap().is_some()
    });
    let Some(stream) = stream.filter(|_| connected) else {
        panic!("nobody listens: {:?}", place.ended(&mut server));
    };
    let deadline = Some(Duration::from_secs(10));
    stream.set_read_timeout(deadline).unwrap();
    (server, stream)
}

/// The number, the error and the body of the next reply.
#[track_caller]
fn reply(stream: &mut UnixStream) -> (u64, i32, Vec<u8>) {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_ne_bytes(header[..4].try_into().unwrap());
    let mut body = vec![0; length as usize - 16];
    stream.read_exact(&mut body).unwrap();
    let error = i32::from_ne_bytes(header[4..8].try_into().unwrap());
    let unique = u64::from_ne_bytes(header[8..].try_into().unwrap());
    (unique, error, body)
}

/// INIT, which is taken.
#[track_caller]
fn init(stream: &mut UnixStream) {
    let request = proto::init(proto::InitIn::default());
    stream.write_all(&request.bytes(10)).unwrap();
    let (unique, error, body) = reply(stream);
    assert_eq!((unique, error), (10, 0));
    assert_eq!(body[..4], 7_u32.to_ne_bytes());
}

/// It has ended with the connection.
#[track_caller]
fn ends(place: &Place, mut server: Child, stream: UnixStream) {
    drop(stream);
    let ended = place.ended(&mut server);
    ended.well();
    let said = "Awaiting connection on socket at socket...\nAccepted connection!\n";
    assert_eq!((&*ended.stdout, &*ended.stderr), (said, ""));
}

#[test]
fn hello_ll_uds_serves_a_stream() {
    for place in [Place::new as fn(&str) -> _, Place::of_nobody] {
        let Some(place) = place("hello_ll_uds") else {
            continue;
        };
        // What an earlier one left is replaced.
        std::fs::write(place.path("socket"), "").unwrap();
        let (server, mut stream) = connected(&place, &[]);
        init(&mut stream);
        // In pieces, and two at once: a stream has no bounds.
        let [one, two] = [(12, b"hello"), (14, b"other")];
        let [one, two] = [one, two].map(|(unique, name)| proto::lookup(1, name).bytes(unique));
        stream.write_all(&one[..17]).unwrap();
        thread::sleep(Duration::from_millis(20));
        stream.write_all(&[&one[17..], &two[..]].concat()).unwrap();
        // Two workers: in any order.
        let mut replies = [reply(&mut stream), reply(&mut stream)];
        replies.sort();
        assert_eq!((replies[0].0, replies[0].1), (12, 0));
        assert_eq!(replies[0].2[..8], 2_u64.to_ne_bytes());
        assert_eq!((replies[1].0, replies[1].1), (14, -libc::ENOENT));
        ends(&place, server, stream);
    }
}

/// As C's, which has no handlers of them. hello_ll has.
#[test]
fn hello_ll_uds_has_no_attributes() {
    let Some(place) = Place::new("hello_ll_uds") else {
        return;
    };
    let (server, mut stream) = connected(&place, &[]);
    init(&mut stream);
    let requests = [
        proto::setxattr(2, b"hello_ll_setxattr_name", b"hello_ll_setxattr_value", 0),
        proto::getxattr(2, b"hello_ll_getxattr_name", 64),
        proto::listxattr(2, 64),
        proto::removexattr(2, b"hello_ll_removexattr_name"),
    ];
    for (request, unique) in requests.iter().zip((12..).step_by(2)) {
        stream.write_all(&request.bytes(unique)).unwrap();
        let expected = (unique, -libc::ENOSYS, Vec::new());
        assert_eq!(reply(&mut stream), expected, "{request:?}");
    }
    ends(&place, server, stream);
}

/// As C's, which looks whether it is there, and does nothing with it.
#[test]
fn hello_ll_uds_takes_a_mount_point() {
    let Some(place) = Place::new("hello_ll_uds") else {
        return;
    };
    for mount_point in ["mnt", "file"] {
        let (server, mut stream) = connected(&place, &[mount_point]);
        init(&mut stream);
        assert!(place.mount(&place.path(mount_point)).is_empty());
        ends(&place, server, stream);
    }
    for (arguments, part) in [(&["nowhere"][..], "nowhere"), (&["mnt", "file"], "file")] {
        let ended = place.run(place.example(arguments));
        assert_eq!((ended.status, &*ended.stdout), (1, ""), "{ended:?}");
        assert!(ended.stderr.starts_with("hello_ll_uds: "), "{ended:?}");
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
}
