//! In what passthrough_ll and passthrough_hp differ.

use std::time::Duration;

/// How a [`Passthrough`](super::Passthrough) behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For how long the kernel may answer for names and attributes by itself.
    pub(crate) timeout: Duration,
    /// For how long it may do so for names that there are not; `None` not to tell it.
    pub(crate) negative_timeout: Option<Duration>,
    /// What the page cache has of a file is kept when the file is opened again.
    pub(crate) keep_cache: bool,
    /// The page cache is not used.
    pub(crate) direct_io: bool,
    /// Listings of directories are cached, and if `keep_cache`, kept.
    pub(crate) cache_readdir: bool,
    /// Writes go to the page cache first.
    pub(crate) writeback: bool,
    /// flock(2) locks are taken in the source, where others see them.
    pub(crate) flock: bool,
    /// There are extended attributes.
    pub(crate) xattr: bool,
    /// The kernel checks permissions (`default_permissions`), and with them ACLs, whether attributes are shown or not.
    pub(crate) checked: bool,
    /// What is mounted in the source is hidden, rather than shown.
    pub(crate) hide_mounts: bool,
    /// Data are moved by splice(2).
    pub(crate) splice: bool,
    /// The kernel reads and writes the files of the source by itself. Takes the place of `writeback`.
    pub(crate) passthrough: bool,
    /// Files that pass the page cache by can be mapped and shared: nobody else changes them.
    pub(crate) map_direct: bool,
    /// Says on stderr what is looked up and opened.
    pub(crate) debug: bool,
}
