use std::error::Error;
use std::fmt;

/// The options of a mount: what `-o` takes, collected and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options(Vec<String>);

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// There is nothing between two commas, or nothing at all.
    Empty,
    /// An option with a NUL in it, which C would cut off there.
    Nul(String),
    /// An option of libfuse 2 that libfuse 3 does not have: its name, and what to do instead.
    Obsolete(String, &'static str),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a mount option is empty; remove the comma, or the option"),
            Self::Nul(option) => write!(f, "the mount option {option:?} has a NUL byte in it"),
            Self::Obsolete(option, instead) => {
                write!(
                    f,
                    "the mount option {option:?} is of libfuse 2; with libfuse 3, {instead}"
                )
            }
        }
    }
}

impl Error for OptionError {}

/// llfuse's `default_options` that libfuse 3 dropped, and why nothing is lost.
const DROPPED: &[(&str, &str)] = &[
    ("big_writes", "writes are always big"),
    ("no_splice_read", "splicing is asked for in `init`"),
    ("no_splice_write", "splicing is asked for in `init`"),
    ("no_splice_move", "splicing is asked for in `init`"),
    ("splice_read", "ask for SPLICE_READ in `init`"),
    ("splice_write", "ask for SPLICE_WRITE in `init`"),
    ("splice_move", "ask for SPLICE_MOVE in `init`"),
];

/// Other options of libfuse 2's low-level API, and what takes their place.
const OBSOLETE: &[(&str, &str)] = &[
    (
        "nonempty",
        "any directory can be mounted over; leave it out",
    ),
    ("large_read", "leave it out"),
    ("atomic_o_trunc", "ask for ATOMIC_O_TRUNC in `init`"),
    ("async_read", "ask for ASYNC_READ in `init`"),
    ("sync_read", "do without ASYNC_READ in `init`"),
    ("max_write", "set it in `init`"),
    ("max_readahead", "set it in `init`"),
    ("max_background", "set it in `init`"),
    ("use_ino", "it is of the high-level API; leave it out"),
    ("readdir_ino", "it is of the high-level API; leave it out"),
    ("hard_remove", "it is of the high-level API; leave it out"),
    ("writeback_cache", "ask for WRITEBACK_CACHE in `init`"),
];

impl Options {
    /// One option, name or `name=value`, with nothing escaped.
    pub(crate) fn add(&mut self, option: &str) -> Result<(), OptionError> {
        if option.is_empty() {
            return Err(OptionError::Empty);
        }
        if option.contains('\0') {
            return Err(OptionError::Nul(option.to_owned()));
        }
        let name = option.split('=').next().unwrap_or(option);
        let find =
            |list: &'static [(&str, &'static str)]| list.iter().find(|(known, _)| *known == name);
        if let Some((_, why)) = find(DROPPED) {
            crate::log::info!("the mount option {option:?} is of libfuse 2 and is left out: {why}");
            return Ok(());
        }
        if let Some((_, instead)) = find(OBSOLETE) {
            return Err(OptionError::Obsolete(option.to_owned(), instead));
        }
        self.0.push(option.to_owned());
        Ok(())
    }

    /// A string as given to `-o`: options with commas between them; a backslash makes the next character plain.
    pub(crate) fn add_all(&mut self, options: &str) -> Result<(), OptionError> {
        let mut option = String::new();
        let mut chars = options.chars();
        while let Some(char) = chars.next() {
            match char {
                ',' => self.add(&std::mem::take(&mut option))?,
                '\\' => option.extend(chars.next()),
                plain => option.push(plain),
            }
        }
        self.add(&option)
    }

    /// One argument for each, `-oOPTION`, escaped as libfuse unescapes it.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|option| format!("-o{}", escape(option)))
    }
}

/// `fuse_opt_add_opt_escaped()`: a backslash before each comma and backslash.
fn escape(option: &str) -> String {
    let mut escaped = String::with_capacity(option.len());
    for char in option.chars() {
        if matches!(char, ',' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(options: &str) -> Result<Vec<String>, OptionError> {
        let mut all = Options::default();
        all.add_all(options)?;
        Ok(all.arguments().collect())
    }

    #[test]
    fn commas_and_backslashes_survive() {
        assert_eq!(
            arguments(r"ro,fsname=a\,b\\c").unwrap(),
            ["-oro", r"-ofsname=a\,b\\c"]
        );
        let mut all = Options::default();
        all.add(r"fsname=x,y\z").unwrap();
        assert_eq!(all.arguments().collect::<Vec<_>>(), [r"-ofsname=x\,y\\z"]);
    }

    #[test]
    fn bad_ones_are_named() {
        for empty in ["", "ro,", ",ro", "ro,,rw"] {
            assert_eq!(arguments(empty), Err(OptionError::Empty));
        }
        assert_eq!(
            arguments("fsname=a\0b"),
            Err(OptionError::Nul("fsname=a\0b".to_owned()))
        );
        assert!(
            matches!(arguments("ro,nonempty"), Err(OptionError::Obsolete(name, _)) if name == "nonempty")
        );
        assert!(
            arguments("max_write=4096")
                .unwrap_err()
                .to_string()
                .contains("max_write=4096")
        );
    }

    #[test]
    fn llfuse_s_defaults_are_taken() {
        let options = "big_writes,default_permissions,no_splice_read,splice_write,splice_move";
        assert_eq!(arguments(options).unwrap(), ["-odefault_permissions"]);
    }
}
