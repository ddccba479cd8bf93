use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The answer of `listxattr`: the names of an inode's extended attributes.
///
/// ```
/// use fuse3::XattrNames;
/// let names: XattrNames = ["user.one", "user.two"].into_iter().collect();
/// assert_eq!(names.as_bytes(), b"user.one\0user.two\0");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XattrNames(Vec<u8>);

impl XattrNames {
    /// No names.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a name. One with a NUL in it would be two; it is cut there, as C would.
    pub fn push(&mut self, name: impl AsRef<OsStr>) {
        let name = name.as_ref().as_bytes();
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        self.0.extend_from_slice(&name[..end]);
        self.0.push(0);
    }

    /// As the kernel wants them: each name with a NUL after it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<N: AsRef<OsStr>> FromIterator<N> for XattrNames {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let mut list = Self::new();
        names.into_iter().for_each(|name| list.push(name));
        list
    }
}
