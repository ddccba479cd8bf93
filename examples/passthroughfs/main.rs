//! Another directory, by its paths: llfuse's `passthroughfs.py` as a program of its own, `passthroughfs SOURCE MOUNTPOINT`.
//!
//! | file | |
//! |---|---|
//! | `fs`, `fs_async` | the handlers, in llfuse's style and, with `--async`, in pyfuse3's |
//! | `settings` | what both have in common |
//! | `mirror` | what the global lock guards: the tree, and what is open |
//! | `tree` | the names by which the kernel knows inodes |
//! | `reach` | the way from an inode to its file |
//! | `node` | what can be done to a file |
//! | `open` | the one descriptor of an inode that is open |
//! | `state`, `record`, `bytes` | what a successor is told |
//! | `kept`, `journal`, `drawer` | what outlives a crash |
//! | `repeated` | whether what is asked for once more has been done |
//! | `caller`, `attributes` | what depends on who asks, as in `examples/passthrough` |
//! | `identity`, `seek` | which file it is, and its holes, from there, too |
//!
//! passthrough_ll and passthrough_hp hold a descriptor for each inode that the kernel knows; this one keeps names, and goes from
//! the source to the file each time. What mirrors by path get wrong easily, and how it is right here:
//!
//! - *A directory is renamed, and the paths of all below it are others.* No path is kept: an inode has names, each of which is
//!   a directory's inode and a name in it.
//! - *One name of a file with several is removed.* The others lead to it.
//! - *The last name is removed while the kernel still knows the inode*: an open file, or a working directory. From then on, and
//!   only then, it is held by a descriptor, which also keeps its number from being given to another.
//! - *The source is changed behind its back, and another file has the name.* What is found has to be the device, the
//!   number and the type that were looked up; else the kernel is told ESTALE, and looks the name up anew.
//! - *It is changed so, and another file has the number, too*, which the source gives again. What is found also has to be the file
//!   of then (`identity`); another one is another inode.
//! - *A symbolic link takes the place of a directory.* None is followed on the way.
//! - *A file has taken the name that somebody is to make.* Only the kernel can say whether it may be opened: it looks anew.
//! - *An ACL, a default ACL, set-id bits.* They count as in the source, for each caller (`caller`, `attributes`).
//! - *A file that is open for reading is opened for writing.* The inode's descriptor is replaced by one for both.
//!
//! The global lock is held while names change, so that the tree here and the source's agree; it is released while data are written
//! or synced, and for what is read it is not needed. In pyfuse3's style there is no lock: what stands between two awaits is not
//! interrupted.
//!
//! With `--enable-writeback-cache`, as pyfuse3's has it, writes go to the page cache first. The kernel then has the last word on the
//! size and the times of a file as long as it knows the inode, and sends the times once it has written: what somebody else changes
//! of them in the source is not seen. It also reads of files that were opened only to be written: so they are opened for both,
//! which whoever mounts has to be allowed to.
//!
//! After SIGHUP the program that is now at this one's path goes on with the mount (`state`): in this process or, with `--spawn`, in
//! a new one. Clients notice a pause; what they have open, locks and working directories stay. If the new program cannot
//! go on, this one does. Started by `fuse3-keeper`, it outlives a crash as well (`kept`), and requests that were not answered are
//! answered right by the next server (`repeated`).
//!
//! It stays in the foreground. The mount point cannot be in the source: the way to it would go through the mount, whose handlers
//! need the lock that is held meanwhile.

#[path = "../passthrough/attributes.rs"]
mod attributes;
mod bytes;
#[path = "../passthrough/caller.rs"]
mod caller;
mod drawer;
mod fs;
mod fs_async;
#[path = "../passthrough/identity.rs"]
mod identity;
mod journal;
mod kept;
mod mirror;
mod node;
mod open;
mod reach;
mod record;
mod repeated;
#[path = "../passthrough/seek.rs"]
mod seek;
mod settings;
#[path = "../upgrade/spawn.rs"]
mod spawn;
mod state;
mod tree;
#[path = "../upgrade/mod.rs"]
mod upgrade;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fuse3::cmdline::Command;
use fuse3::handover::{Baggage, Handover, Keeper};
use fuse3::tasks::Local;
use fuse3::{CommandLine, Filesystem, GlobalLock, Reason};
use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit, umask};

use crate::fs::PassthroughFs;
use crate::fs_async::PassthroughAsync;
use crate::mirror::Mirror;
use crate::settings::Settings;

struct Options {
    source: Option<PathBuf>,
    timeout: f64,
    single: bool,
    is_async: bool,
    writeback: bool,
    debug: bool,
    debug_fuse: bool,
    spawn: bool,
}

fn main() -> ExitCode {
    let options = Options {
        source: None,
        timeout: 5.0,
        single: false,
        is_async: false,
        writeback: false,
        debug: false,
        debug_fuse: false,
        spawn: false,
    };
    CommandLine::new(options)
        .source("SOURCE", |options, source| options.source = Some(source))
        .flag("--single", "one request at a time", |options| {
            options.single = true
        })
        .flag("--async", "answer by futures, on one thread", |options| {
            options.is_async = true
        })
        .flag(
            "--enable-writeback-cache",
            "have writes go to the page cache first",
            |options| options.writeback = true,
        )
        .flag("--debug", "say what is looked up and opened", |options| {
            options.debug = true
        })
        .flag(
            "--debug-fuse",
            "have libfuse say what it is asked and answers",
            |options| options.debug_fuse = true,
        )
        .flag(
            "--spawn",
            "on SIGHUP hand the mount over to a new process, and end",
            |options| options.spawn = true,
        )
        .value(
            "timeout=SECONDS",
            "for how long the kernel may keep names and attributes (5)",
            |options, timeout| options.timeout = timeout,
        )
        .main(|command| {
            let options = &command.options;
            let source = options
                .source
                .as_ref()
                .ok_or("what to show is missing: passthroughfs SOURCE MOUNTPOINT")?;
            apart(source, &command.mount_point)?;
            // Before descriptors arrive, of which there may be many.
            prepare()?;
            let (mirror, mount) = Inherited::take(source, options.writeback)?;
            let settings = Settings {
                writeback: options.writeback,
                timeout: Duration::try_from_secs_f64(options.timeout)
                    .map_err(|error| format!("timeout={}: {error}", options.timeout))?,
                debug: options.debug,
            };
            if options.is_async {
                let lock = Local::new(move || mirror);
                serve(&command, PassthroughAsync(settings), lock, mount, |lock| {
                    let baggage = lock.call(|mirror| mirror.baggage());
                    baggage.map_err(io::Error::other)?
                })
            } else {
                let lock = Arc::new(GlobalLock::new(mirror));
                serve(&command, PassthroughFs(settings), lock, mount, |lock| {
                    lock.lock().map_err(io::Error::other)?.baggage()
                })
            }
        })
}

fn serve<F: Filesystem>(
    command: &Command<Options>,
    fs: F,
    lock: F::Lock,
    mount: Inherited,
    baggage: impl Fn(&F::Lock) -> io::Result<Baggage>,
) -> Result<Reason, Box<dyn Error>> {
    let options = &command.options;
    let mut builder = command
        .builder(fs, lock)
        .default_permissions()
        .debug(command.debug || options.debug_fuse);
    if let Some(source) = &options.source {
        builder = builder.fsname(source.display());
    }
    if options.single {
        builder = builder.workers(1);
    }
    let Inherited { handover, keeper } = mount;
    let session = upgrade::mount(builder, handover, keeper, &command.mount_point)?;
    let baggage = |_: &F, lock: &F::Lock| baggage(lock);
    let end = match options.spawn {
        true => spawn::run(session, baggage)?,
        false => upgrade::run(session, baggage)?,
    };
    Ok(end.reason)
}

/// What this process was started with.
struct Inherited {
    /// The mount that it is to go on with; where there is none it mounts.
    handover: Option<Handover>,
    keeper: Option<Keeper>,
}

impl Inherited {
    /// Finds it, and the file system: where there is a predecessor, as that left it. If that cannot be, the predecessor goes on.
    fn take(source: &Path, writeback: bool) -> Result<(Mirror, Self), Box<dyn Error>> {
        let (handover, keeper) = (upgrade::handover()?, upgrade::keeper()?);
        let mirror = match &handover {
            Some(handover) => Mirror::restored(handover.baggage(), writeback)
                .map_err(|error| format!("the predecessor's state: {error}")),
            None => Mirror::new(source, writeback)
                .map_err(|error| format!("{}: {error}", source.display())),
        };
        let kept = mirror.and_then(|mut mirror| {
            let baggage = keeper.as_ref().map(|_| mirror.keep()).transpose();
            let baggage =
                baggage.map_err(|error| format!("what the keeper is to keep: {error}"))?;
            Ok((mirror, baggage))
        });
        match (kept, handover) {
            (Ok((mirror, baggage)), handover) => {
                let keeper = keeper.map(|keeper| keeper.with(baggage.unwrap_or_default()));
                Ok((mirror, Self { handover, keeper }))
            }
            (Err(error), None) => Err(error.into()),
            (Err(error), Some(handover)) => {
                upgrade::say(&error);
                // Returns only where there is no program to give it back to, or that cannot be run. Whoever waits is told.
                Err(handover.give_back(keeper.as_ref()).into())
            }
        }
    }
}

/// That the mount point is not in the source.
fn apart(source: &Path, mount_point: &Path) -> Result<(), Box<dyn Error>> {
    match (source.canonicalize(), mount_point.canonicalize()) {
        (Ok(source), Ok(mount_point)) if mount_point.starts_with(&source) => Err(format!(
            "{} is in {}, which it would show",
            mount_point.display(),
            source.display()
        )
        .into()),
        // What is not there, others say.
        _ => Ok(()),
    }
}

/// What concerns the whole process, and is done before there are threads.
fn prepare() -> io::Result<()> {
    // The caller's is applied to each new file (`caller::mode_of_new`).
    umask(Mode::empty());
    // A descriptor for each open file, and each that has lost its names.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    caller::prepare()
}
