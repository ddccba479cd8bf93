//! Another directory, in the simplest way that is right: `passthrough_ll -o source=DIRECTORY MOUNTPOINT`, as libfuse's
//! example of this name, or `passthrough_ll DIRECTORY MOUNTPOINT`, as mount(8) calls it. The file system itself is in
//! `passthrough`, shared with passthrough_hp.
//!
//! Without a source it shows the whole system. What the program may do, every user may do who reaches the mount, unless
//! `-o default_permissions` has the kernel check, ACLs too.
//!
//! With `-o writeback`, files can only be written that can be read, since the kernel fills up pages that are written in
//! part.

#[path = "passthrough/mod.rs"]
mod passthrough;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use fuse3::{CommandLine, Concurrent};
use passthrough::{Passthrough, Settings};

/// What was asked for with `-o`.
struct Options {
    source: PathBuf,
    timeout: Option<f64>,
    cache: Cache,
    writeback: bool,
    flock: bool,
    xattr: bool,
}

/// `cache=`: what the kernel keeps, and whether it looks at it again when a file is opened.
#[derive(Clone, Copy, PartialEq)]
enum Cache {
    Never,
    Auto,
    Always,
}

impl Options {
    fn settings(&self, debug: bool, checked: bool) -> Result<Settings, String> {
        let timeout = match (self.timeout, self.cache) {
            (Some(seconds), _) => Duration::try_from_secs_f64(seconds)
                .map_err(|error| format!("timeout={seconds}: {error}"))?,
            (None, Cache::Never) => Duration::ZERO,
            (None, Cache::Auto) => Duration::from_secs(1),
            (None, Cache::Always) => Duration::from_secs(86_400),
        };
        Ok(Settings {
            timeout,
            negative_timeout: None,
            keep_cache: self.cache == Cache::Always,
            direct_io: self.cache == Cache::Never,
            cache_readdir: self.cache != Cache::Never,
            writeback: self.writeback,
            flock: self.flock,
            xattr: self.xattr,
            checked,
            hide_mounts: false,
            splice: true,
            passthrough: false,
            map_direct: false,
            debug,
        })
    }
}

fn main() -> ExitCode {
    let options = Options {
        source: "/".into(),
        timeout: None,
        cache: Cache::Auto,
        writeback: false,
        flock: false,
        xattr: false,
    };
    CommandLine::new(options)
        .source("source", |o, source| o.source = source)
        .flag("writeback", "have writes go to the page cache first", |o| {
            o.writeback = true
        })
        .flag("no_writeback", "and not so, as without it", |o| {
            o.writeback = false
        })
        .path(
            "source=DIRECTORY",
            "what to show, / unless given",
            |o, source| o.source = source,
        )
        .flag("flock", "take flock(2) locks in the source", |o| {
            o.flock = true
        })
        .flag("no_flock", "keep them to this mount", |o| o.flock = false)
        .flag("xattr", "show extended attributes", |o| o.xattr = true)
        .flag("no_xattr", "and not so, as without it", |o| o.xattr = false)
        .value(
            "timeout=SECONDS",
            "for how many seconds the kernel may keep names",
            |o, timeout| o.timeout = Some(timeout),
        )
        .flag(
            "cache=never",
            "pass the page cache by, and keep no names",
            |o| o.cache = Cache::Never,
        )
        .flag(
            "cache=auto",
            "keep names for a second, and data while a file is open",
            |o| o.cache = Cache::Auto,
        )
        .flag("cache=always", "keep names for a day, and data", |o| {
            o.cache = Cache::Always
        })
        .main(|command| {
            let mut options = command.mount_options.iter();
            let checked = options.any(|option| option == "default_permissions");
            let settings = command.options.settings(command.debug, checked)?;
            passthrough::prepare()?;
            let source = &command.options.source;
            let fs = Passthrough::new(source, settings)
                .map_err(|error| format!("source={}: {error}", source.display()))?;
            let session = command
                .builder(fs, Concurrent)
                .mount(&command.mount_point)?;
            Ok(session.daemonize(command.foreground)?.run()?.reason)
        })
}
