//! What the kernel offers to this libfuse: `printcap`, which mounts, prints and ends.

use std::process::ExitCode;
use std::sync::OnceLock;
use std::{env, fs, io, process};

use fuse3::{CommandLine, Concurrent, Connection, Filesystem, Guard, Handle, print_version};

/// A file system that is asked for nothing but `init`.
struct PrintCap(OnceLock<Handle>);

impl Filesystem for PrintCap {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let (major, minor) = connection.protocol();
        println!("Protocol version: {major}.{minor}");
        println!("Capabilities:");
        for (name, _) in connection.capable().iter_names() {
            println!("\tFUSE_CAP_{name}");
        }
        if let Some(session) = self.0.get() {
            session.terminate();
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    CommandLine::new(()).without_mount_point().main(|command| {
        print_version()?;
        let directory = env::temp_dir().join(format!("fuse_printcap_{}", process::id()));
        fs::create_dir(&directory)?;
        let result = command
            .builder(PrintCap(OnceLock::new()), Concurrent)
            .mount(&directory)
            .map_err(io::Error::from)
            .and_then(|session| {
                // `init` is called by `run`.
                session.fs().0.get_or_init(|| session.handle());
                session.run()
            });
        fs::remove_dir(&directory)?;
        Ok(result?.reason)
    })
}
