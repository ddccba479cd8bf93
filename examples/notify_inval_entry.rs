//! A directory with one file, whose name is the current time, and a kernel that is told when the name has changed:
//! `notify_inval_entry [options] MOUNTPOINT`.
//!
//! The same options, file and exit status as libfuse's notify_inval_entry.c. Without `--no-notify` a name that is gone is
//! gone at once, with it after `--timeout`:
//!
//! ```text
//! $ notify_inval_entry --update-interval=1 --timeout=5 mnt
//! $ file=$(ls mnt/); stat mnt/$file; sleep 1; stat mnt/$file
//! ```
//!
//! `--only-expire` lets the kernel keep the name until it is used next, `--inc-epoch` does so with all names; not both.

#[path = "notify/gone.rs"]
mod gone;
#[path = "notify/options.rs"]
mod options;
#[path = "notify/supported.rs"]
mod supported;
#[path = "notify/time.rs"]
mod time;
#[path = "notify/updater.rs"]
mod updater;

use std::ffi::OsStr;
use std::mem;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::time::Duration;

use fuse3::notify::Blocking;
use fuse3::notify::NotifyError;
use fuse3::reply::Added;
use fuse3::{Answer, Attr, Context, DirBuf, Entry, Errno, FileInfo, Filesystem};
use fuse3::{GlobalLock, Ino, Listing};

use crate::options::{Options, command_line};

const FILE: Ino = Ino(2);

struct Names {
    timeout: Duration,
}

/// What the lock guards.
struct State {
    name: String,
    /// The lookup count of the file: while it is 0, the kernel does not know of it.
    lookups: u64,
}

fn name() -> String {
    let (hours, minutes, seconds) = time::now();
    format!("Time_is_{hours:02}h_{minutes:02}m_{seconds:02}s")
}

type Cx<'a> = Context<'a, Names>;

fn attr(ino: Ino) -> Result<Attr, Errno> {
    match ino {
        Ino::ROOT => Ok(Attr::new(ino, libc::S_IFDIR | 0o755)),
        FILE => Ok(Attr::new(ino, libc::S_IFREG)),
        _ => Err(Errno::ENOENT),
    }
}

impl Filesystem for Names {
    type Lock = Arc<GlobalLock<State>>;

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        if parent != Ino::ROOT || name != cx.name.as_str() {
            return Err(Errno::ENOENT.into());
        }
        cx.lookups += 1;
        Ok(Entry::new(attr(FILE)?, self.timeout))
    }

    fn forget(&self, cx: &mut Cx<'_>, ino: Ino, nlookup: u64) {
        if ino == FILE {
            cx.lookups -= nlookup;
        }
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((attr(ino)?, self.timeout))
    }

    fn readdir(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        if ino != Ino::ROOT {
            return Err(Errno::ENOTDIR.into());
        }
        let entry = Entry::new(attr(FILE)?, self.timeout);
        if offset == 0 && out.add(&cx.name, &entry, 1) == Added::Full {
            return Err(Errno::EINVAL.into());
        }
        Ok(out.finish())
    }
}

/// The command line's.
struct Own {
    common: Options,
    only_expire: bool,
    inc_epoch: bool,
}

/// What the kernel is told.
#[derive(Clone, Copy)]
enum How {
    Invalidate,
    Expire,
    IncrementEpoch,
}

impl How {
    fn tell(self, notify: &Blocking<'_>, old: &str) -> Result<(), NotifyError> {
        match self {
            Self::Invalidate => notify.inval_entry(Ino::ROOT, old),
            Self::Expire => notify.expire_entry(Ino::ROOT, old),
            Self::IncrementEpoch => notify.increment_epoch(),
        }
    }

    fn function(self) -> &'static str {
        match self {
            Self::Invalidate => "fuse_lowlevel_notify_inval_entry",
            Self::Expire => "fuse_lowlevel_notify_expire_entry",
            Self::IncrementEpoch => "fuse_lowlevel_notify_increment_epoch",
        }
    }
}

fn main() -> ExitCode {
    let options = Own {
        common: Options {
            no_notify: false,
            update_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
        },
        only_expire: false,
        inc_epoch: false,
    };
    command_line(options, |options| &mut options.common)
        .flag(
            "--only-expire",
            "Expire entries instead of invalidating them",
            |options| options.only_expire = true,
        )
        .flag(
            "--inc-epoch",
            "Increment epoch instead of invalidating",
            |options| options.inc_epoch = true,
        )
        .main(|command| {
            let Own { common, .. } = &command.options;
            let how = match (command.options.only_expire, command.options.inc_epoch) {
                (false, false) => How::Invalidate,
                (true, false) => How::Expire,
                (false, true) => How::IncrementEpoch,
                (true, true) => {
                    // As the C one says it, which calls it no failure.
                    println!("'only-expire' and 'inc-epoch' options are exclusive");
                    return Ok(ExitCode::SUCCESS);
                }
            };
            let (interval, no_notify) = (common.update_interval, common.no_notify);
            let fs = Names {
                timeout: common.timeout,
            };
            let lock = Arc::new(GlobalLock::new(State {
                name: name(),
                lookups: 0,
            }));
            let builder = command.builder(fs, Arc::clone(&lock));
            let session = builder.mount(&command.mount_point)?;
            let session = session.daemonize(command.foreground)?;
            let handle = session.handle();
            let notifier = handle.notifier();
            let step = move || {
                let Ok(mut state) = lock.lock() else { return };
                let old = mem::replace(&mut state.name, name());
                let notify = !no_notify && state.lookups > 0;
                drop(state);
                if !notify {
                    return;
                }
                // A lookup in the directory may be under way, and wait for the lock: this thread does not hold it.
                let told = lock.unlocked(|proof| how.tell(&notifier.blocking(proof), &old));
                let told = told.expect("the lock was just released");
                supported::check(told, how.function(), &handle);
            };
            Ok(updater::run(session, interval, step)?.report())
        })
}
