//! `hello_ll` without its extended attributes, served over a Unix socket instead of a mount:
//! `hello_ll_uds [--socket=PATH] [MOUNTPOINT]`.
//!
//! As libfuse's hello_ll_uds.c, whoever connects to the socket is the kernel's side of the protocol: it sends INIT and
//! then requests. The program ends when the connection does. A mount point has to be there if it is given, and is used for
//! nothing.
//!
//! libfuse wants one request for each read(2), as /dev/fuse gives them, and a stream has no such bounds. C's example
//! replaces libfuse's reads and writes (`fuse_session_custom_io()`), which newer libfuses are built without. Here two
//! threads cut the stream up (`stream`), and libfuse gets the other end of a pair of sockets, in place of a mount point.

#[path = "../hello_ll/fs.rs"]
mod fs;
mod stream;

use std::error::Error;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fuse3::{CommandLine, Concurrent};

use crate::fs::Hello;

fn main() -> ExitCode {
    CommandLine::new(PathBuf::from("/tmp/libfuse-hello-ll.sock"))
        .path(
            "--socket=PATH",
            "where to listen (default: /tmp/libfuse-hello-ll.sock)",
            |socket, path| *socket = path,
        )
        .optional_mount_point()
        .main(|command| {
            let unused = &command.mount_point;
            if !unused.as_os_str().is_empty() {
                std::fs::metadata(unused).map_err(|error| told(unused, error))?;
            }
            let peer = accept(&command.options)?;
            let bridge = stream::Bridge::new(peer)?;
            let session = command
                .builder(Hello { xattrs: false }, Concurrent)
                .mount_fd(bridge.served()?)?;
            bridge.run(session.handle())?;
            Ok(session.run()?.reason)
        })
}

fn told(path: &Path, error: io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Waits for the peer.
fn accept(path: &Path) -> Result<UnixStream, Box<dyn Error>> {
    let told = |error| told(path, error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(error).into()),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(told)?;
    println!("Awaiting connection on socket at {}...", path.display());
    let (peer, _) = listener.accept().map_err(told)?;
    println!("Accepted connection!");
    Ok(peer)
}
