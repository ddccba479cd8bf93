//! What a running session tells of itself over a socket.

use std::ffi::c_char;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{self, Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::os::{checked, spawn};
use crate::base::{action, log};
use crate::conn::stats::SessionStats;
use crate::dispatch::filesystem::Filesystem;
use crate::dispatch::report::Report;
use crate::lock::stats::{LockHolder, LockStats, LockWaiter};
use crate::observe::{histograms::Histograms, observer::Observer};
use crate::session::builder::Builder;
use crate::session::{handle::Handle, mount::MountError, options::Options};
use crate::types::operation::Operation;

impl<F: Filesystem> Builder<F> {
    /// Tells whoever connects to the Unix socket `path` what the session does: `fuse3-top`, or `socat - UNIX-CONNECT:path`. The mount
    /// option `monitor=PATH` is the same.
    ///
    /// The socket is there from [`mount`](Self::mount) on and has the mode 0600. It is removed when the session ends; one that a
    /// program has left behind is replaced. It is served on a thread of its own from [`run`](crate::Session::run) on, which waits
    /// for no lock and no worker, so that it answers when "the mount hangs".
    ///
    /// Each connection gets one snapshot and is closed. Nothing is read from it. A snapshot is lines of text in UTF-8, and each
    /// line is a word that says what it is and columns with a space between them. Times are seconds, and `-` stands for nothing:
    ///
    /// ```text
    /// fuse3-monitor 1
    /// program tmpfs
    /// pid 4698
    /// mount /mnt/tmp
    /// uptime 86.412093344
    /// workers 4
    /// not_taken 3
    /// panics 0
    /// notifications 2
    /// operation lookup 9034 12 0.000012410 0.000801000 0.000919000 0.002050000
    /// request 4711 lookup 1 2.310000000
    /// lock 20113 12 3
    /// holder 4699 - 2.310000000 src/commit.rs:41:27
    /// waiter 4711 lookup 2.310000000 -
    /// end
    /// ```
    ///
    /// | line | columns |
    /// |---|---|
    /// | `fuse3-monitor` | the version of the format, which grows when a line that is known changes |
    /// | `notifications` | how many are queued |
    /// | `operation` | name, requests that have ended, errors, p50, p99, p99.9, longest |
    /// | `request` | thread, operation, inode, for how long |
    /// | `lock` | acquisitions, hand-overs, time-outs; missing without a global lock |
    /// | `holder` | thread, operation, for how long, where in the code; missing while the lock is free |
    /// | `waiter` | the same of a thread that waits, the next one first |
    /// | `end` | none; a snapshot without it was cut off |
    ///
    /// Whoever reads it skips lines that it does not know, and further columns. The last column of `program`, `mount`, `holder` and
    /// `waiter` may have spaces in it.
    ///
    /// The session then measures each request, as with [`Histograms`](crate::observe::Histograms), and notes which thread serves
    /// it, as with [`stacktrace`](Self::stacktrace).
    pub fn monitor(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.change(|options| {
            options.monitor = Some(path);
            Ok(())
        })
    }
}

/// How long a client may take to read a snapshot, which mostly fits into its socket.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the thread rests when it cannot accept, for lack of descriptors, say.
const REST: Duration = Duration::from_millis(100);

/// The socket, and the thread that serves it. Dropped, both are gone.
pub(crate) struct Monitor {
    socket: Arc<Socket>,
    path: PathBuf,
    /// Device and inode of the socket: no other one is removed.
    node: (u64, u64),
    thread: Option<JoinHandle<()>>,
}

struct Socket {
    listener: UnixListener,
    mount: PathBuf,
    begun: Instant,
    over: AtomicBool,
}

impl Monitor {
    /// That of a session on `mount`, if it was asked for, and an observer that measures requests for it.
    pub(crate) fn new(
        options: &Options,
        mount: &Path,
        observers: &mut Vec<Box<dyn Observer>>,
    ) -> Result<Option<Box<Self>>, MountError> {
        let Some(path) = &options.monitor else {
            return Ok(None);
        };
        let monitor = Self::bind(path, mount);
        let monitor = monitor.map_err(|error| MountError::Monitor(path.clone(), error))?;
        observers.push(Box::new(Histograms::new()));
        Ok(Some(Box::new(monitor)))
    }

    /// For a session on `mount`. The process may fork before [`start`](Self::start).
    fn bind(path: &Path, mount: &Path) -> io::Result<Self> {
        // The session may change the working directory.
        let path = path::absolute(path)?;
        let listener = listen(&path).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse if is_left_behind(&path) => {
                fs::remove_file(&path)?;
                listen(&path)
            }
            _ => Err(error),
        })?;
        let node = node(&path)?;
        let socket = Socket {
            listener,
            mount: mount.to_owned(),
            begun: Instant::now(),
            over: AtomicBool::new(false),
        };
        Ok(Self {
            socket: Arc::new(socket),
            path,
            node,
            thread: None,
        })
    }

    /// Serves it on a thread, unless one does.
    pub(crate) fn start(&mut self, handle: Handle) -> io::Result<()> {
        if self.thread.is_none() {
            let socket = Arc::clone(&self.socket);
            self.thread = Some(spawn("fuse3-monitor", move || socket.serve(&handle))?);
        }
        Ok(())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.socket.over.store(true, Ordering::SeqCst);
        // SAFETY: the descriptor is that of `listener`, which lives. From now on accept(2) fails, also the one under way.
        unsafe { libc::shutdown(self.socket.listener.as_raw_fd(), libc::SHUT_RDWR) };
        // It catches nothing, and has nothing of the application's.
        let _ = self.thread.take().map(JoinHandle::join);
        if node(&self.path).is_ok_and(|node| node == self.node) {
            if let Err(error) = fs::remove_file(&self.path) {
                log::warn!("{} was not removed: {error}", self.path.display());
            }
        }
    }
}

impl Socket {
    fn serve(&self, handle: &Handle) {
        // Where the program has not ignored it, a client that is gone would end the process.
        let _ = action::mask(libc::SIG_BLOCK, &[libc::SIGPIPE]);
        while !self.over.load(Ordering::SeqCst) {
            match self.listener.accept() {
                Ok((client, _)) => self.tell(client, handle),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if self.over.load(Ordering::SeqCst) => {}
                Err(error) => {
                    log::debug!("the monitor accepts nobody: {error}");
                    thread::sleep(REST);
                }
            }
        }
    }

    fn tell(&self, mut client: UnixStream, handle: &Handle) {
        let program = std::env::args_os().next().map(PathBuf::from);
        let program = program.as_deref().and_then(Path::file_name);
        let snapshot = Snapshot {
            program: program.map_or_else(|| "-".into(), |it| it.to_string_lossy().into_owned()),
            mount: self.mount.to_string_lossy().into_owned(),
            uptime: self.begun.elapsed(),
            notifications: handle.notifications.queued(),
            stats: handle.stats(),
            report: handle.report(),
        };
        let text = snapshot.to_string();
        let told = client.set_write_timeout(Some(PATIENCE));
        // One that does not read, or is gone, wants nothing.
        let _ = told.and_then(|()| client.write_all(text.as_bytes()));
    }
}

/// Device and inode.
fn node(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// It is a socket that nobody serves any more. Other files refuse a connection, too.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).is_err_and(refused)
}

/// As [`UnixListener::bind`], with the mode 0600 from the beginning.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes numbers only.
    let fd = checked(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: the call above opened it, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // bind(2) gives the file the mode of the socket, without what umask(2) takes away.
    // SAFETY: the descriptor is open.
    checked(unsafe { libc::fchmod(fd, 0o600) })?;
    let address = address(path)?;
    let size = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: `address` lives, and has `size` bytes.
    checked(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    // SAFETY: the descriptor is open.
    checked(unsafe { libc::listen(fd, 16) })?;
    Ok(UnixListener::from(socket))
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: `sockaddr_un` is integers, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or(0);
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let what = "a socket's path has up to 107 bytes, and no NUL";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = c_char::from_ne_bytes([*from]);
    }
    Ok(address)
}

/// What a client is told.
struct Snapshot {
    program: String,
    mount: String,
    uptime: Duration,
    notifications: usize,
    stats: SessionStats,
    report: Report,
}

/// Seconds.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

/// What is in one line: a name may have anything in it.
fn line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn name(operation: Option<Operation>) -> &'static str {
    operation.map_or("-", Operation::name)
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stats, report, .. } = self;
        writeln!(f, "fuse3-monitor 1")?;
        writeln!(f, "program {}", line(&self.program))?;
        writeln!(f, "pid {}", process::id())?;
        writeln!(f, "mount {}", line(&self.mount))?;
        writeln!(f, "uptime {}", Seconds(self.uptime))?;
        writeln!(f, "workers {}", stats.workers)?;
        writeln!(f, "not_taken {}", stats.not_taken)?;
        writeln!(f, "panics {}", stats.panics)?;
        writeln!(f, "notifications {}", self.notifications)?;
        for it in &stats.latencies {
            let [p50, p99, p999, max] = [it.p50, it.p99, it.p999, it.max].map(Seconds);
            let (operation, count, errors) = (it.operation, it.count, it.errors);
            writeln!(
                f,
                "operation {operation} {count} {errors} {p50} {p99} {p999} {max}"
            )?;
        }
        for thread in &report.threads {
            if let Some((operation, ino, time)) = thread.serves {
                let number = thread.thread;
                writeln!(f, "request {number} {operation} {ino} {}", Seconds(time))?;
            }
        }
        if let Some(lock) = &report.lock {
            write_lock(f, lock)?;
        }
        writeln!(f, "end")
    }
}

fn write_lock(f: &mut fmt::Formatter<'_>, lock: &LockStats) -> fmt::Result {
    let LockStats {
        acquisitions,
        hand_overs,
        time_outs,
        ..
    } = lock;
    writeln!(f, "lock {acquisitions} {hand_overs} {time_outs}")?;
    let mut write = |what, thread, operation, time, site: Option<_>| {
        let (operation, time) = (name(operation), Seconds(time));
        write!(f, "{what} {thread} {operation} {time} ")?;
        match site {
            Some(site) => writeln!(f, "{site}"),
            None => writeln!(f, "-"),
        }
    };
    if let Some(LockHolder {
        thread,
        operation,
        held,
        site,
    }) = lock.holder
    {
        write("holder", thread, operation, held, site)?;
    }
    for waiter in &lock.waiters {
        let LockWaiter {
            thread,
            operation,
            waited,
            site,
        } = *waiter;
        write("waiter", thread, operation, waited, site)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::report::ReportedThread;
    use crate::lock::global::GlobalLock;
    use crate::lock::thread::Tid;
    use crate::observe::latency::Latency;
    use crate::types::ino::Ino;

    fn snapshot() -> Snapshot {
        let lookup = Latency {
            count: 9034,
            errors: 12,
            p50: Duration::from_nanos(12_410),
            max: Duration::from_millis(2050),
            ..Latency::new(Operation::Lookup)
        };
        let stats = SessionStats {
            not_taken: 3,
            workers: 4,
            latencies: vec![lookup],
            ..SessionStats::default()
        };
        let thread = |number, serves| ReportedThread {
            thread: Tid::from_raw(number),
            name: "fuse_worker".to_owned(),
            serves,
        };
        let serves = (Operation::Lookup, Ino(1), Duration::from_millis(2310));
        let report = Report {
            threads: vec![thread(4710, None), thread(4711, Some(serves))],
            lock: None,
        };
        Snapshot {
            program: "tmp\nfs".to_owned(),
            mount: "/mnt/a b".to_owned(),
            uptime: Duration::from_millis(86_412),
            notifications: 2,
            stats,
            report,
        }
    }

    #[test]
    fn a_snapshot_is_lines_of_columns() {
        let text = snapshot().to_string();
        let text = text.replace(&format!("pid {}", process::id()), "pid N");
        let expected = "fuse3-monitor 1\nprogram tmp?fs\npid N\nmount /mnt/a b\nuptime 86.412000000\nworkers 4\n\
            not_taken 3\npanics 0\nnotifications 2\n\
            operation lookup 9034 12 0.000012410 0.000000000 0.000000000 2.050000000\n\
            request 4711 lookup 1 2.310000000\nend\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn it_tells_who_holds_the_lock() {
        let lock = GlobalLock::new(());
        let guard = lock.lock().unwrap();
        let mut snapshot = snapshot();
        snapshot.report.lock = Some(lock.stats());
        let text = snapshot.to_string();
        drop(guard);
        let lines: Vec<_> = text.lines().rev().take(3).collect();
        let [end, holder, lock] = *lines else {
            panic!("{text}")
        };
        assert_eq!((end, lock), ("end", "lock 1 0 0"));
        let columns: Vec<_> = holder.splitn(5, ' ').collect();
        assert_eq!((columns[0], columns[2]), ("holder", "-"));
        assert!(columns[4].contains("monitor.rs:"), "{holder}");
    }
}
