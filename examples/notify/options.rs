//! The command line that the notify_* examples share.

use std::time::Duration;

use fuse3::CommandLine;

#[derive(Debug)]
pub(crate) struct Options {
    /// The kernel is not told of changes, so that it goes on showing what it has cached.
    pub(crate) no_notify: bool,
    pub(crate) update_interval: Duration,
    /// How long the kernel may cache.
    pub(crate) timeout: Duration,
}

/// `--update-interval=N --timeout=N --no-notify`.
pub(crate) fn command_line<T: 'static>(
    options: T,
    common: impl Fn(&mut T) -> &mut Options + Copy + 'static,
) -> CommandLine<T> {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
    CommandLine::new(options)
        .value(
            "--update-interval=<secs>",
            "Update-rate of file system contents",
            move |options, secs: u32| {
                common(options).update_interval = Duration::from_secs(secs.into());
            },
        )
        .value(
            "--timeout=<secs>",
            "Timeout for kernel caches",
            move |options, secs: f64| common(options).timeout = seconds(secs),
        )
        .flag(
            "--no-notify",
            "Disable kernel notifications",
            move |options| common(options).no_notify = true,
        )
}
