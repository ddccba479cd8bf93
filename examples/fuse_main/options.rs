//! The options of libfuse's high-level API (`fuse_lib_help()`), for programs on the low-level one.

use std::str::FromStr;
use std::time::Duration;

use fuse3::{Answer, Attr, CommandLine, Entry, Errno, OpenFlags, Opened};

use super::cached::Cached;

/// `struct fuse_config`: what a file system's answers are changed by.
///
/// `remember=T` and `noforget` are taken and change nothing: they are about inodes that the library numbers, and here the
/// file system does, which knows the same ones all the time. Those of libfuse 3.17 are taken whatever the libfuse.
#[derive(Debug)]
pub(crate) struct Options {
    entry_timeout: Duration,
    negative_timeout: Duration,
    pub(crate) attr_timeout: Duration,
    /// `attr_timeout` unless given.
    ac_attr_timeout: Option<Duration>,
    kernel_cache: bool,
    auto_cache: bool,
    no_rofd_flush: bool,
    parallel_direct_writes: bool,
    umask: Option<Mask>,
    fmask: Option<Mask>,
    dmask: Option<Mask>,
    uid: Option<u32>,
    gid: Option<u32>,
    cached: Cached,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entry_timeout: Duration::from_secs(1),
            negative_timeout: Duration::ZERO,
            attr_timeout: Duration::from_secs(1),
            ac_attr_timeout: None,
            kernel_cache: false,
            auto_cache: false,
            no_rofd_flush: false,
            parallel_direct_writes: false,
            umask: None,
            fmask: None,
            dmask: None,
            uid: None,
            gid: None,
            cached: Cached::default(),
        }
    }
}

impl Options {
    /// In the order of libfuse's help text, and in its words, by which a user finds them again.
    pub(super) fn command_line(self) -> CommandLine<Self> {
        let attr_timeout = if self.attr_timeout.is_zero() {
            "cache timeout for attributes (0.0s)"
        } else {
            "cache timeout for attributes (1.0s)"
        };
        CommandLine::new(self)
            .flag("kernel_cache", "cache files in kernel", |o| {
                o.kernel_cache = true
            })
            .flag(
                "auto_cache",
                "enable caching based on modification times (off)",
                |o| o.auto_cache = true,
            )
            .flag("noauto_cache", "and disable it", |o| o.auto_cache = false)
            .flag(
                "no_rofd_flush",
                "disable flushing of read-only fd on close (off)",
                |o| o.no_rofd_flush = true,
            )
            .value("umask=M", "set file permissions (octal)", |o, mask| {
                o.umask = Some(mask)
            })
            .value("fmask=M", "set file permissions (octal)", |o, mask| {
                o.fmask = Some(mask)
            })
            .value("dmask=M", "set dir  permissions (octal)", |o, mask| {
                o.dmask = Some(mask)
            })
            .value("uid=N", "set file owner", |o, uid| o.uid = Some(uid))
            .value("gid=N", "set file group", |o, gid| o.gid = Some(gid))
            .value(
                "entry_timeout=T",
                "cache timeout for names (1.0s)",
                |o, Seconds(timeout)| o.entry_timeout = timeout,
            )
            .value(
                "negative_timeout=T",
                "cache timeout for deleted names (0.0s)",
                |o, Seconds(timeout)| o.negative_timeout = timeout,
            )
            .value("attr_timeout=T", attr_timeout, |o, Seconds(timeout)| {
                o.attr_timeout = timeout
            })
            .value(
                "ac_attr_timeout=T",
                "auto cache timeout for attributes (attr_timeout)",
                |o, Seconds(timeout)| o.ac_attr_timeout = Some(timeout),
            )
            .flag("noforget", "never forget cached inodes", |_| ())
            .value(
                "remember=T",
                "remember cached inodes for T seconds (0s)",
                |_, _: u32| (),
            )
            .value(
                "modules=M1[:M2...]",
                "refused: modules need the high-level API",
                |_, _: NoModules| (),
            )
            .value(
                "parallel_direct_write=N",
                "direct writes of one file need not wait for each other (0)",
                |o, on: i32| o.parallel_direct_writes = on != 0,
            )
    }

    /// The answer to `getattr` and `setattr`.
    pub(crate) fn attr(&self, attr: Attr) -> (Attr, Duration) {
        if self.auto_cache {
            self.cached.seen(&attr);
        }
        (self.shown(attr), self.attr_timeout)
    }

    /// The answer to `lookup`, and what a listing has.
    pub(crate) fn entry(&self, attr: Attr) -> Entry {
        let (attr, attr_timeout) = self.attr(attr);
        Entry {
            attr_timeout,
            ..Entry::new(attr, self.entry_timeout)
        }
    }

    /// The answer to `lookup` of a name that is not there.
    pub(crate) fn nothing(&self) -> Answer<Entry> {
        if self.negative_timeout.is_zero() {
            Err(Errno::ENOENT.into())
        } else {
            Ok(Entry::negative(self.negative_timeout))
        }
    }

    /// The answer to `open`, where the file system says `opened`, of a file whose attributes are `attr` now.
    pub(crate) fn opened(&self, opened: Opened, flags: OpenFlags, attr: &Attr) -> Opened {
        let fresh_for = self.ac_attr_timeout.unwrap_or(self.attr_timeout);
        let unchanged = self.auto_cache && self.cached.opened(attr, fresh_for);
        opened
            .keep_cache(opened.keep_cache || self.kernel_cache || unchanged)
            .noflush(opened.noflush || self.no_rofd_flush && !flags.writes())
            .parallel_direct_writes(opened.direct_io && self.parallel_direct_writes)
    }

    /// `set_stat()`: mode, owner and group that were given go before the file system's.
    fn shown(&self, attr: Attr) -> Attr {
        let masks = [self.umask, self.fmask, self.dmask];
        let mode = if masks == [None; 3] {
            attr.mode
        } else {
            attr.mode & libc::S_IFMT | 0o777 & !self.mask(attr.mode)
        };
        Attr {
            mode,
            uid: self.uid.unwrap_or(attr.uid),
            gid: self.gid.unwrap_or(attr.gid),
            ..attr
        }
    }

    /// As libfuse has it: `fmask` is of directories too where there is no `dmask`, and one that takes nothing is none.
    fn mask(&self, mode: u32) -> u32 {
        let directory = mode & libc::S_IFMT == libc::S_IFDIR;
        let dmask = self.dmask.filter(|_| directory);
        let masks = [dmask, self.fmask].into_iter().flatten();
        let some = masks.map(|Mask(mask)| mask).find(|mask| *mask != 0);
        some.or(self.umask.map(|Mask(mask)| mask)).unwrap_or(0)
    }
}

/// An octal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mask(u32);

impl FromStr for Mask {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u32::from_str_radix(text, 8).map(Self)
    }
}

/// Seconds with a fraction. Less than nothing is nothing, as in libfuse.
struct Seconds(Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds: f64 = text
            .parse()
            .map_err(|error: std::num::ParseFloatError| error.to_string())?;
        if seconds.is_nan() {
            return Err("it is not a number".to_owned());
        }
        let timeout = Duration::try_from_secs_f64(seconds.max(0.0));
        // There are more seconds than it has room for.
        Ok(Self(timeout.unwrap_or(Duration::MAX)))
    }
}

/// The empty list of modules.
struct NoModules;

impl FromStr for NoModules {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self),
            _ => Err(
                "libfuse's modules change the paths that its high-level API calls a file system with, \
                 and this one is made with the low-level API, which has none",
            ),
        }
    }
}
