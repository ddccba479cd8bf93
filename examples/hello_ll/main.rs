//! One read-only file, with the command line that every libfuse program has: `hello_ll [options] MOUNTPOINT`.
//!
//! The same options, tree, answers and exit status as libfuse's hello_ll.c. `examples/hello.rs` is the same file system
//! without a command line.

mod fs;

use std::process::ExitCode;

use fuse3::{CommandLine, Concurrent};

use crate::fs::Hello;

fn main() -> ExitCode {
    CommandLine::new(()).main(|command| {
        let builder = command.builder(Hello { xattrs: true }, Concurrent);
        let session = builder.mount(&command.mount_point)?;
        let session = session.daemonize(command.foreground)?;
        Ok(session.run()?.reason)
    })
}
