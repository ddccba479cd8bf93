//! How many instructions a request takes in user space: a figure that does not depend on what else the machine does.
//!
//! The server runs under valgrind's callgrind and serves a socket in place of /dev/fuse. Two runs of different length
//! differ by what the requests take.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;

const INIT: Message = Message {
    name: "",
    opcode: 26,
    node: 0,
    // Protocol 7.31, read-ahead, no flags.
    body: Body::Words(&[7 | (31 << 32), 0x20000]),
};

/// What is measured. Each request is of the first file.
const MESSAGES: [Message; 6] = [
    Message {
        name: "lookup",
        opcode: 1,
        node: 1,
        body: Body::Name(b"0\0"),
    },
    Message {
        name: "getattr",
        opcode: 3,
        node: 2,
        body: Body::Words(&[0, 0]),
    },
    Message {
        name: "open",
        opcode: 14,
        node: 2,
        body: Body::Words(&[0]),
    },
    Message {
        name: "read 4 KiB",
        opcode: 15,
        node: 2,
        body: Body::Words(&[0, 0, 4096, 0, 0]),
    },
    Message {
        name: "write 4 KiB",
        opcode: 16,
        node: 2,
        body: Body::Data(&[0, 0, 4096, 0, 0], 4096),
    },
    Message {
        name: "release",
        opcode: 18,
        node: 2,
        body: Body::Words(&[0, 0, 0]),
    },
];

struct Message {
    name: &'static str,
    opcode: u32,
    node: u64,
    body: Body,
}

enum Body {
    Name(&'static [u8]),
    /// A structure of the kernel's, in words of 64 bits.
    Words(&'static [u64]),
    /// The same, and so many bytes.
    Data(&'static [u64], usize),
}

impl Message {
    /// `struct fuse_in_header`, and what follows it.
    fn bytes(&self, unique: u64) -> Vec<u8> {
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let body: Vec<u8> = match self.body {
            Body::Name(name) => name.to_vec(),
            Body::Words(body) => words(body),
            Body::Data(body, count) => {
                let mut all: Vec<u8> = words(body);
                all.resize(all.len() + count, b'x');
                all
            }
        };
        let length = 40 + u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::new();
        message.extend(length.to_ne_bytes());
        message.extend(self.opcode.to_ne_bytes());
        message.extend(unique.to_ne_bytes());
        message.extend(self.node.to_ne_bytes());
        message.extend([0; 16]); // who asks
        message.extend(body);
        message
    }
}

/// What a server executes from its start to its end when it serves `count` messages.
fn instructions(
    server: &[OsString],
    style: &str,
    message: &Message,
    count: u64,
) -> Result<f64, Failure> {
    let (ours, theirs) = UnixDatagram::pair()?;
    ours.set_read_timeout(Some(Duration::from_secs(60)))?;
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"])
        .args(server)
        .args([style, "/dev/fd/0"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let served = serve(&ours, message, count);
    // What is shorter than a header ends the session.
    ours.send(&[])?;
    let said = valgrind.wait_with_output()?.stderr;
    let said = String::from_utf8_lossy(&said);
    served.map_err(|error| format!("{server:?} {style}: {error}: {said}"))?;
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok());
    Ok(collected.ok_or_else(|| format!("callgrind collected nothing: {said}"))?)
}

fn serve(server: &UnixDatagram, message: &Message, count: u64) -> io::Result<()> {
    let mut reply = vec![0; 1 << 16];
    server.send(&INIT.bytes(1))?;
    server.recv(&mut reply)?;
    for unique in 2..count + 2 {
        server.send(&message.bytes(unique))?;
        server.recv(&mut reply)?;
        // `fuse_out_header::error` is zero.
        if reply[4..8] != [0; 4] {
            return Err(io::Error::other(format!("{} was refused", message.name)));
        }
    }
    Ok(())
}

/// One line for each request, one column for each server.
pub(crate) fn compare(servers: &[(&str, Vec<OsString>, &str)]) -> Result<(), Failure> {
    const FEW: u64 = 500;
    const MANY: u64 = 40_500;
    print!("{:<24}", "instructions per request");
    servers.iter().for_each(|(name, ..)| print!(" {name:>18}"));
    println!();
    for message in &MESSAGES {
        print!("{:<24}", message.name);
        for (_, command, style) in servers {
            let few = instructions(command, style, message, FEW)?;
            let many = instructions(command, style, message, MANY)?;
            print!(" {:>18.0}", (many - few) / (MANY - FEW) as f64);
        }
        println!();
    }
    Ok(())
}
