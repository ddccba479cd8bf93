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
pub struct XattrNames {
    bytes: Vec<u8>,
    /// The first mistake.
    wrong: Option<String>,
}

/// Longest name in bytes, `XATTR_NAME_MAX`.
const NAME_MAX: usize = 255;

impl XattrNames {
    /// No names.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            wrong: None,
        }
    }

    /// Appends a name.
    ///
    /// One that is empty, longer than 255 bytes or has a NUL in it is a mistake: the caller gets EIO, and the log says which.
    pub fn push(&mut self, name: impl AsRef<OsStr>) {
        let name = name.as_ref();
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() > NAME_MAX || bytes.contains(&0) {
            self.wrong.get_or_insert_with(|| {
                format!("listxattr gave the name {name:?}, which is not 1 to 255 bytes without NUL")
            });
            return;
        }
        self.bytes.extend_from_slice(bytes);
        self.bytes.push(0);
    }

    /// As the kernel wants them: each name with a NUL after it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What to send, or what is wrong with it.
    pub(crate) fn checked(&self) -> Result<&[u8], &str> {
        self.wrong.as_deref().map_or(Ok(&self.bytes), Err)
    }
}

impl<N: AsRef<OsStr>> FromIterator<N> for XattrNames {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let mut list = Self::new();
        names.into_iter().for_each(|name| list.push(name));
        list
    }
}
