use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::conn::options::ConnOptions;

/// The options of a mount: what `-o` takes, collected and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// For libfuse.
    mount: Vec<OsString>,
    /// For `init`.
    pub(crate) connection: ConnOptions,
}

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// There is nothing between two commas, or nothing at all.
    Empty,
    /// An option with a NUL in it, which C would cut off there.
    Nul(String),
    /// An option with a comma in it: whatever passes it on, to the kernel or to fusermount3, would take what follows for another
    /// option. Only `fsname` may have one.
    Comma(String),
    /// An option whose value is to be a number, and is none.
    Number(String),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a mount option is empty; remove the comma, or the option"),
            Self::Nul(option) => write!(f, "the mount option {option:?} has a NUL byte in it"),
            Self::Comma(option) => write!(
                f,
                "the mount option {option:?} has a comma in it, and what follows would be another option; leave it out"
            ),
            Self::Number(option) => {
                write!(
                    f,
                    "the mount option {option:?} wants a number, 0 to 4294967295"
                )
            }
        }
    }
}

impl Error for OptionError {}

/// Options of libfuse 2 that libfuse 3 refuses, and why nothing is lost without them.
const DROPPED: &[(&str, &str)] = &[
    ("big_writes", "writes are always big"),
    ("large_read", "reads are always large"),
    ("nonempty", "any directory can be mounted over"),
    ("use_ino", "inodes always have the file system's numbers"),
    (
        "readdir_ino",
        "listings always have the file system's numbers",
    ),
    (
        "hard_remove",
        "files that are open are removed like any other",
    ),
];

impl Options {
    /// One option, name or `name=value`, with nothing escaped.
    pub(crate) fn add(&mut self, option: &OsStr) -> Result<(), OptionError> {
        let text = option.to_string_lossy();
        if option.is_empty() {
            return Err(OptionError::Empty);
        }
        if option.as_bytes().contains(&0) {
            return Err(OptionError::Nul(text.into_owned()));
        }
        if option.as_bytes().contains(&b',') && !option.as_bytes().starts_with(b"fsname=") {
            return Err(OptionError::Comma(text.into_owned()));
        }
        if let Some((_, why)) = DROPPED.iter().find(|(known, _)| *known == text) {
            crate::base::log::info!(
                "the mount option {text:?} is of libfuse 2 and is left out: {why}"
            );
            return Ok(());
        }
        if let Some(taken) = self.connection.take(&text) {
            return taken.map_err(|()| OptionError::Number(text.into_owned()));
        }
        self.connection.notice(&text);
        self.mount.push(option.to_owned());
        Ok(())
    }

    /// A string as given to `-o`.
    pub(crate) fn add_all(&mut self, options: &OsStr) -> Result<(), OptionError> {
        split(options.as_bytes()).try_for_each(|option| self.add(&option))
    }

    /// One argument for each, `-oOPTION`, escaped as libfuse unescapes it.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> + '_ {
        self.mount.iter().map(|option| escape(option))
    }
}

/// The options of a string as given to `-o`: with commas between them. After a backslash a comma is part of an option,
/// three octal digits are a byte, and anything else is itself.
pub(crate) fn split(group: &[u8]) -> impl Iterator<Item = OsString> + '_ {
    let mut rest = Some(group);
    std::iter::from_fn(move || {
        let mut option = Vec::new();
        let mut bytes = rest.take()?;
        while let [first, after @ ..] = bytes {
            bytes = after;
            match (first, after) {
                (b',', _) => {
                    rest = Some(after);
                    break;
                }
                (
                    b'\\',
                    [
                        a @ b'0'..=b'3',
                        b @ b'0'..=b'7',
                        c @ b'0'..=b'7',
                        after @ ..,
                    ],
                ) => {
                    option.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                    bytes = after;
                }
                (b'\\', [plain, after @ ..]) => {
                    option.push(*plain);
                    bytes = after;
                }
                (plain, _) => option.push(*plain),
            }
        }
        Some(OsString::from_vec(option))
    })
}

/// `fuse_opt_add_opt_escaped()`: a backslash before each comma and backslash.
fn escape(option: &OsStr) -> OsString {
    let mut escaped = b"-o".to_vec();
    for byte in option.as_bytes() {
        if matches!(byte, b',' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    OsString::from_vec(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(options: &str) -> Result<Vec<String>, OptionError> {
        let mut all = Options::default();
        all.add_all(OsStr::new(options))?;
        Ok(all
            .arguments()
            .map(|all| all.into_string().unwrap())
            .collect())
    }

    #[test]
    fn groups_are_split_as_libfuse_splits_them() {
        for (group, options) in [
            (&br"a,b=c"[..], &[&b"a"[..], b"b=c"][..]),
            (br"", &[b""]),
            (br",a,", &[b"", b"a", b""]),
            (br"a\,b\\,c", &[br"a,b\", b"c"]),
            (br"\101\1012\400\18\377", &[b"AA240018\xff"]),
            (br"a\", &[br"a\"]),
        ] {
            let split: Vec<_> = split(group).map(OsString::into_vec).collect();
            assert_eq!(split, options, "{}", String::from_utf8_lossy(group));
        }
    }

    #[test]
    fn commas_and_backslashes_survive() {
        assert_eq!(
            arguments(r"ro,fsname=a\,b\\c").unwrap(),
            ["-oro", r"-ofsname=a\,b\\c"]
        );
        let mut all = Options::default();
        all.add(OsStr::new(r"fsname=x,y\z")).unwrap();
        assert_eq!(all.arguments().collect::<Vec<_>>(), [r"-ofsname=x\,y\\z"]);
    }

    #[test]
    fn bad_ones_are_named() {
        for injected in [
            "subtype=x,allow_other",
            "max_read=4096,allow_other",
            "ro,rw",
        ] {
            let mut all = Options::default();
            let comma = OptionError::Comma(injected.to_owned());
            assert_eq!(all.add(OsStr::new(injected)), Err(comma));
        }
        let escaped = arguments(r"subtype=x\,allow_other");
        assert_eq!(
            escaped,
            Err(OptionError::Comma("subtype=x,allow_other".to_owned()))
        );
        for empty in ["", "ro,", ",ro", "ro,,rw"] {
            assert_eq!(arguments(empty), Err(OptionError::Empty));
        }
        assert_eq!(
            arguments("fsname=a\0b"),
            Err(OptionError::Nul("fsname=a\0b".to_owned()))
        );
        assert_eq!(
            arguments("ro,max_write=many"),
            Err(OptionError::Number("max_write=many".to_owned()))
        );
    }

    #[test]
    fn libfuse_2_s_are_left_out() {
        let options = "nonempty,use_ino,ro,large_read,readdir_ino,hard_remove";
        assert_eq!(arguments(options).unwrap(), ["-oro"]);
    }

    #[test]
    fn llfuse_s_defaults_are_taken() {
        let options = "big_writes,default_permissions,no_splice_read,splice_write,splice_move";
        assert_eq!(arguments(options).unwrap(), ["-odefault_permissions"]);
        let mut all = Options::default();
        all.add_all(OsStr::new(options)).unwrap();
        let mut asked = ConnOptions::default();
        for option in ["no_splice_read", "splice_write", "splice_move"] {
            assert_eq!(asked.take(option), Some(Ok(())));
        }
        assert_eq!(all.connection, asked);
    }
}
