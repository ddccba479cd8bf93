use crate::types::{file::FileInfo, ino::Ino};

/// A reply that the kernel did not take has given out something that it will never give back: what the library is to
/// call in its stead.
#[derive(Debug, Default)]
pub struct Undo {
    /// `release(ino, file)`, or `releasedir` where it is a directory.
    pub(crate) release: Option<(Ino, FileInfo)>,
    pub(crate) is_directory: bool,
    /// `forget(ino, 1)` of each, after that.
    pub(crate) forget: Vec<Ino>,
}

impl Undo {
    /// Forgets these. A number that is 0 stands for no inode, and is left out.
    pub(crate) fn forget(inos: impl IntoIterator<Item = Ino>) -> Self {
        let given_out = inos.into_iter().filter(|ino| *ino != Ino(0));
        Self {
            forget: given_out.collect(),
            ..Self::default()
        }
    }

    /// Nothing was given out.
    pub(crate) fn is_nothing(&self) -> bool {
        self.release.is_none() && self.forget.is_empty()
    }
}
