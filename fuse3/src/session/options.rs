use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::conn::{options::ConnOptions, uring::IoUring};
use crate::session::mountinfo::MountInfo;

/// The options of a mount: what `-o` takes, collected and checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// For libfuse.
    mount: Vec<OsString>,
    /// How many of them, the first ones, are names that the program has chosen.
    names: usize,
    /// For `init`.
    pub(crate) connection: ConnOptions,
    /// libfuse 2's `nonempty`: what is mounted there is mounted over.
    pub(crate) over_mount: bool,
    /// The socket of [`Builder::monitor`](crate::Builder::monitor).
    pub(crate) monitor: Option<PathBuf>,
    /// How many requests each ring of io_uring has, unless libfuse is to decide.
    pub(crate) queue_depth: Option<u32>,
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
    (
        "nonempty",
        "any directory can be mounted over, and with this option a file system, too",
    ),
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
            self.over_mount |= text == "nonempty";
            crate::base::log::info!(
                "the mount option {text:?} is of libfuse 2 and is left out: {why}"
            );
            return Ok(());
        }
        if let Some(path) = option.as_bytes().strip_prefix(b"monitor=") {
            self.monitor = Some(OsStr::from_bytes(path).into());
            return Ok(());
        }
        if let Some(taken) = self.connection.take(&text) {
            return taken.map_err(|()| OptionError::Number(text.into_owned()));
        }
        let noticed = self.connection.notice(&text);
        noticed.map_err(|_| OptionError::Number(text.into_owned()))?;
        self.mount.push(option.to_owned());
        Ok(())
    }

    /// `fsname` or `subtype` as the program has chosen it. It comes before what [`add`](Self::add) was given, and of two libfuse
    /// takes the last.
    pub(crate) fn name(&mut self, option: &OsStr) -> Result<(), OptionError> {
        self.add(option)?;
        self.mount[self.names..].rotate_right(1);
        self.names += 1;
        Ok(())
    }

    /// A string as given to `-o`.
    pub(crate) fn add_all(&mut self, options: &OsStr) -> Result<(), OptionError> {
        split(options.as_bytes()).try_for_each(|option| self.add(&option))
    }

    /// [`Builder::monitor`](crate::Builder::monitor) was asked for.
    pub(crate) fn is_monitored(&self) -> bool {
        self.monitor.is_some()
    }

    pub(crate) fn auto_unmount(&self) -> bool {
        self.mount.iter().any(|option| option == "auto_unmount")
    }

    /// One argument for each, `-oOPTION`, escaped as libfuse unescapes it.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> + '_ {
        let own = self.of_io_uring();
        own.chain(self.mount.iter().map(|option| escape(option)))
    }

    /// What the program asked for, where libfuse knows it. Of an option that is given twice libfuse takes the last.
    fn of_io_uring(&self) -> impl Iterator<Item = OsString> {
        let wanted = self.connection.io_uring() != IoUring::Off && IoUring::known().is_ok();
        let depth = self
            .queue_depth
            .map(|depth| format!("-oio_uring_q_depth={depth}"));
        let all = [Some("-oio_uring".to_owned()), depth];
        let all = all.into_iter().flatten().filter(move |_| wanted);
        all.map(OsString::from)
    }
}

/// What the kernel shows of a flag where it shows anything: the second, which is in effect where the first is not.
const SHOWN: [(&str, &str); 7] = [
    ("rw", "ro"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("exec", "noexec"),
    ("async", "sync"),
    ("atime", "noatime"),
    ("diratime", "nodiratime"),
];

/// What libfuse sees to by itself, names only, and what cannot be seen.
const NOT_SHOWN: [&str; 9] = [
    "fsname",
    "subtype",
    "debug",
    "io_uring",
    "io_uring_q_depth",
    "auto_unmount",
    "user",
    "norelatime",
    "nostrictatime",
];

impl Options {
    /// Those that are not in force on one of `mounts`, which somebody else has made; all of them where there is none.
    pub(crate) fn not_in_force(&self, mounts: &[MountInfo]) -> Vec<String> {
        let texts = self.mount.iter().map(|option| option.to_string_lossy());
        let options: Vec<_> = texts.collect();
        // What an option is about, and what is to be shown, or not, when it is in force.
        let parts = |option: &str| {
            let flag = SHOWN.iter().find(|(plain, _)| *plain == option);
            let shown = flag.map_or(option, |(_, shown)| shown);
            let name = shown.split_once('=').map_or(shown, |(name, _)| name);
            match option {
                "allow_root" => (name.to_owned(), "allow_other".to_owned(), true),
                _ => (name.to_owned(), shown.to_owned(), flag.is_none()),
            }
        };
        let lacking = options.iter().enumerate().filter(|(at, option)| {
            let (name, shown, is_shown) = parts(option);
            let mut later = options[at + 1..].iter();
            let is_in_force = |mount: &MountInfo| mount.options.contains(&shown) == is_shown;
            !NOT_SHOWN.contains(&&*name)
                && later.all(|later| parts(later).0 != name)
                && (mounts.is_empty() || !mounts.iter().all(is_in_force))
        });
        lacking.map(|(_, option)| option.to_string()).collect()
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
    fn io_uring_is_asked_of_a_libfuse_that_has_it() {
        let asked = |mode: IoUring, given: &str| {
            let mut all = Options::default();
            all.add_all(OsStr::new(given)).unwrap();
            all.connection.io_uring = mode;
            all.queue_depth = Some(3);
            let all = all.arguments().map(|all| all.into_string().unwrap());
            all.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(asked(IoUring::Off, "ro"), "-oro");
        let own = match IoUring::known() {
            Ok(()) => "-oio_uring -oio_uring_q_depth=3 ",
            Err(_) => "",
        };
        for mode in [IoUring::WhereOffered, IoUring::On] {
            assert_eq!(asked(mode, "ro"), format!("{own}-oro"));
        }
        let user_s = "io_uring,io_uring_q_depth=9";
        let given = "-oio_uring -oio_uring_q_depth=9";
        assert_eq!(asked(IoUring::Off, user_s), format!("{own}{given}"));
    }

    #[test]
    fn what_the_user_gave_comes_after_the_names_of_the_program() {
        let mut all = Options::default();
        all.name(OsStr::new("fsname=first")).unwrap();
        all.add_all(OsStr::new("ro,fsname=user")).unwrap();
        all.name(OsStr::new("fsname=second")).unwrap();
        let order = ["-ofsname=first", "-ofsname=second", "-oro", "-ofsname=user"];
        assert_eq!(all.arguments().collect::<Vec<_>>(), order);
        let comma = OptionError::Comma("subtype=a,b".to_owned());
        assert_eq!(all.name(OsStr::new("subtype=a,b")), Err(comma));
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
    fn what_others_have_mounted_without_is_named() {
        let lacking = |asked: &str, shown: &[&str]| {
            let mut all = Options::default();
            all.add_all(OsStr::new(asked)).unwrap();
            let mount = |options: &&str| {
                let line = format!("36 35 0:98 / /mnt {options} - fuse src rw,user_id=0");
                MountInfo::parse(line.as_bytes()).unwrap()
            };
            let mounts: Vec<_> = shown.iter().map(mount).collect();
            all.not_in_force(&mounts).join(" ")
        };
        let asked = "default_permissions,allow_root,ro,noexec,max_read=4096,odd=1";
        let shown = "ro,noexec,default_permissions,allow_other,max_read=4096,odd=1";
        assert_eq!(lacking(asked, &[shown]), "");
        assert_eq!(lacking(asked, &["rw"]), asked.replace(',', " "));
        // Where it is not known which mount it is, and where there is none.
        assert_eq!(lacking("noexec,ro", &[shown, "ro"]), "noexec");
        assert_eq!(lacking("noexec,rw", &[]), "noexec rw");
        // What is shown says the opposite, or the last one counts.
        assert_eq!(lacking("rw,suid,exec", &["ro,nosuid"]), "rw suid");
        assert_eq!(
            lacking("ro,rw,max_read=1,max_read=2", &["ro,max_read=2"]),
            "rw"
        );
        // What has no effect on the mount, or is libfuse's own.
        let own = "fsname=x,subtype=y,debug,io_uring,auto_unmount,max_write=4096,use_ino";
        assert_eq!(lacking(own, &["rw"]), "");
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
        assert_eq!(asked.notice("default_permissions"), Ok(()));
        assert_eq!(format!("{:?}", all.connection), format!("{asked:?}"));
    }
}
