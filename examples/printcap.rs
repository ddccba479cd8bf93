//! What the kernel offers to this libfuse: `printcap`, which mounts, prints and ends.
//!
//! The lines are those of libfuse's printcap, in its order; capabilities that it says nothing of come after them. So are the
//! arguments: none, or `-d` and options of mounts.

use std::error::Error;
use std::path::Path;
use std::process::{ExitCode, Termination};
use std::sync::OnceLock;
use std::{env, fs, io, process};

use fuse3::cmdline::print_version;
use fuse3::context::Guard;
use fuse3::{Builder, Capabilities, Concurrent, Connection, Filesystem, Handle};
use fuse3::{Reason, Session};

/// The order of libfuse's printcap.
const ORDER: [Capabilities; 28] = [
    Capabilities::ASYNC_READ,
    Capabilities::POSIX_LOCKS,
    Capabilities::ATOMIC_O_TRUNC,
    Capabilities::EXPORT_SUPPORT,
    Capabilities::DONT_MASK,
    Capabilities::SPLICE_MOVE,
    Capabilities::SPLICE_READ,
    Capabilities::SPLICE_WRITE,
    Capabilities::FLOCK_LOCKS,
    Capabilities::IOCTL_DIR,
    Capabilities::AUTO_INVAL_DATA,
    Capabilities::READDIRPLUS,
    Capabilities::READDIRPLUS_AUTO,
    Capabilities::ASYNC_DIO,
    Capabilities::WRITEBACK_CACHE,
    Capabilities::NO_OPEN_SUPPORT,
    Capabilities::PARALLEL_DIROPS,
    Capabilities::POSIX_ACL,
    Capabilities::CACHE_SYMLINKS,
    Capabilities::NO_OPENDIR_SUPPORT,
    Capabilities::EXPLICIT_INVAL_DATA,
    Capabilities::EXPIRE_ONLY,
    Capabilities::SETXATTR_EXT,
    Capabilities::HANDLE_KILLPRIV,
    Capabilities::HANDLE_KILLPRIV_V2,
    Capabilities::DIRECT_IO_ALLOW_MMAP,
    Capabilities::NO_EXPORT_SUPPORT,
    Capabilities::PASSTHROUGH,
];

/// A file system that is asked for nothing but `init`.
#[derive(Default)]
struct PrintCap {
    session: OnceLock<Handle>,
    offered: OnceLock<((u32, u32), Capabilities)>,
}

impl Filesystem for PrintCap {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let offered = (connection.protocol(), connection.kernel_capable());
        self.offered.get_or_init(|| offered);
        if let Some(session) = self.session.get() {
            session.terminate();
        }
        Ok(())
    }
}

/// What `fuse_session_new()` takes, and no more: as in C, not even `--help`.
fn options(mut builder: Builder<PrintCap>) -> Result<Builder<PrintCap>, String> {
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        builder = match argument.to_str() {
            Some("-d" | "--debug") => builder.debug(true),
            Some("-o") => builder.options(arguments.next().ok_or("the option -o needs a value")?),
            Some(group) if group.starts_with("-o") => builder.options(&group[2..]),
            _ => return Err(format!("unknown option {}", Path::new(&argument).display())),
        };
    }
    Ok(builder)
}

fn print_capabilities() -> Result<Reason, Box<dyn Error>> {
    print_version()?;
    let builder = Session::builder(PrintCap::default(), Concurrent);
    let builder = options(builder)?.handle_signals(true);
    let directory = env::temp_dir().join(format!("fuse_printcap_{}", process::id()));
    fs::create_dir(&directory)?;
    let result = builder
        .mount(&directory)
        .map_err(io::Error::from)
        .and_then(|session| {
            // `init` is called by `run`.
            session.fs().session.get_or_init(|| session.handle());
            session.run()
        });
    fs::remove_dir(&directory)?;
    let end = result?;
    // Not before the mount is gone: whoever reads this may go away, and the program ends by SIGPIPE then.
    if let Some(((major, minor), capable)) = end.fs.offered.get() {
        println!("Protocol version: {major}.{minor}");
        println!("Capabilities:");
        let listed = ORDER.into_iter().filter(|known| capable.contains(*known));
        let others = (*capable - Capabilities::from_iter(ORDER)).iter();
        for (name, _) in listed.chain(others).flat_map(|one| one.iter_names()) {
            println!("\tFUSE_CAP_{name}");
        }
    }
    Ok(end.reason)
}

fn main() -> ExitCode {
    // As every filter: Rust's programs ignore it, and `println!` panics then.
    // SAFETY: the program has one thread here, and the default action runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    print_capabilities().map_or_else(
        |error| {
            eprintln!("printcap: {error}");
            ExitCode::FAILURE
        },
        Termination::report,
    )
}
