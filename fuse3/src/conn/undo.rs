use crate::types::{file::FileInfo, ino::Ino};

/// A reply that the kernel did not take has given out something that it will never give back: what the library is to
/// call in its stead.
#[derive(Debug)]
pub enum Undo {
    /// Nothing was given out.
    Nothing,
    /// `forget(ino, 1)`.
    Forget(Ino),
    /// `release(ino, file)`.
    Release(Ino, FileInfo),
    /// `releasedir(ino, file)`.
    Releasedir(Ino, FileInfo),
    /// `release(ino, file)`, then `forget(ino, 1)`.
    ReleaseAndForget(Ino, FileInfo),
    /// `forget(ino, 1)` of each.
    ForgetEach(Vec<Ino>),
}
