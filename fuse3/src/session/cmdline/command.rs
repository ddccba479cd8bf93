use std::ffi::OsString;
use std::path::PathBuf;

use crate::dispatch::filesystem::Filesystem;
use crate::session::cmdline::help::base_name;
use crate::session::{builder::Builder, session::Session};

/// `struct fuse_cmdline_opts`: what a [`CommandLine`](crate::CommandLine) asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Command<T> {
    /// The program's own options.
    pub options: T,
    /// The name that the program was called by.
    pub program: OsString,
    /// Where to mount, as it was given. `/dev/fd/N` is a descriptor that the program was started with, of a file system that
    /// is mounted already (mount.fuse3(8) with `drop_privileges`).
    pub mount_point: PathBuf,
    /// `-f`, `-d`: for [`Session::daemonize`](crate::Session::daemonize).
    pub foreground: bool,
    /// `-s`: one handler at a time.
    pub single: bool,
    /// `-d`, `-o debug`: libfuse logs each request.
    pub debug: bool,
    /// `-o clone_fd`: each worker has a descriptor of its own.
    pub clone_fd: bool,
    /// `-o max_threads=N`.
    pub max_threads: Option<u32>,
    /// `-o max_idle_threads=N`; `-1` is [`u32::MAX`].
    pub max_idle_threads: Option<u32>,
    /// The options of the mount, with nothing escaped in them; besides those of `-o` the `subtype` that libfuse sets: the
    /// program's name, when neither `fsname` nor `subtype` is given.
    pub mount_options: Vec<OsString>,
    /// `fsname` or `subtype` was given.
    pub(super) named: bool,
}

/// libfuse's default for `max_threads`, which its help text names.
const MAX_THREADS: u32 = 10;

impl<T> Command<T> {
    pub(super) fn new(options: T) -> Self {
        Self {
            options,
            program: OsString::new(),
            mount_point: PathBuf::new(),
            foreground: false,
            single: false,
            debug: false,
            clone_fd: false,
            max_threads: None,
            max_idle_threads: None,
            mount_options: Vec::new(),
            named: false,
        }
    }

    /// A [`Builder`] of a session of `fs`, with what the command line asks for; 10 workers unless it says otherwise, as
    /// libfuse's help has it. SIGINT, SIGTERM and SIGHUP end the session.
    ///
    /// What is set on the builder afterwards takes precedence over the command line, except that the user's `fsname` and `subtype`
    /// take precedence over those of the builder.
    pub fn builder<F: Filesystem>(&self, fs: F, lock: F::Lock) -> Builder<F> {
        let workers = match self.max_threads {
            _ if self.single => 1,
            threads => threads.unwrap_or(MAX_THREADS),
        };
        let builder = Session::builder(fs, lock)
            .workers(workers)
            .max_idle_workers(self.max_idle_threads)
            .clone_fd(self.clone_fd)
            .debug(self.debug)
            .handle_signals(true);
        let default = (!self.named).then(|| self.default_subtype());
        let add = |builder: Builder<F>, option: &OsString| match Some(option) == default.as_ref() {
            true => builder.change(|options| options.name(option)),
            false => builder.option(option),
        };
        self.mount_options.iter().fold(builder, add)
    }

    /// What libfuse sets when neither `fsname` nor `subtype` is given.
    pub(super) fn default_subtype(&self) -> OsString {
        let mut subtype = OsString::from("subtype=");
        subtype.push(base_name(&self.program));
        subtype
    }
}
