//! A source, the same directory through a mount, and a script of calls in both.

use std::fmt::Display;
use std::fs::{self};
use std::io;
use std::os::unix::fs::chown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, StatxFlags};

use crate::attributes::{ACCESS, CAPABILITY, DEFAULT, chmod, xattr};
use crate::mount::skip::skip;
use crate::mount::{Mounted, is_root};

/// After so long a file system is killed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A program, its options, and whether extended attributes are seen through it.
pub(crate) type Way = (&'static str, &'static [&'static str], bool);

/// What is done to a path.
pub(crate) type Call = fn(&Path) -> io::Result<()>;

/// The programs, each in each of its ways to cache.
pub(crate) const WAYS: &[Way] = &[
    ("passthrough_hp", &["--foreground"], true),
    ("passthrough_hp", &["--foreground", "--nocache"], true),
    ("passthrough_hp", &["--foreground", "--direct-io"], true),
    ("passthrough_hp", &["--foreground", "--nopassthrough"], true),
    (
        "passthrough_ll",
        &["-f", "-o", "xattr,default_permissions,cache=never"],
        true,
    ),
    (
        "passthrough_ll",
        &["-f", "-o", "xattr,default_permissions,cache=auto"],
        true,
    ),
    (
        "passthrough_ll",
        &["-f", "-o", "xattr,default_permissions,cache=always"],
        true,
    ),
    (
        "passthrough_ll",
        &["-f", "-o", "xattr,default_permissions,writeback"],
        true,
    ),
    (
        "passthrough_ll",
        &["-f", "-o", "default_permissions,cache=never"],
        false,
    ),
    (
        "passthrough_ll",
        &["-f", "-o", "default_permissions,writeback"],
        false,
    ),
    ("passthroughfs", &[], true),
    ("passthroughfs", &["-o", "timeout=0"], true),
    ("passthroughfs", &["--async"], true),
    ("passthroughfs", &["--enable-writeback-cache"], true),
];

/// A directory to show, which is deleted in the end.
pub(crate) struct Source(pub(crate) PathBuf);

impl Source {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-callers-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn mounted(&self, (program, options, _): Way) -> Option<Mounted> {
        self.mounted_with(program, options)
    }

    pub(crate) fn mounted_with(&self, program: &str, options: &[&str]) -> Option<Mounted> {
        let source = self.0.to_str().unwrap();
        let arguments = [options, &["-o", "allow_other", source]].concat();
        Mounted::new(program, &arguments, DEADLINE)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // What is left in the temporary directory is no failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A directory that a script works in: where its calls go, and where the same directory is in the source.
pub(crate) struct Place {
    pub(crate) seen: PathBuf,
    pub(crate) behind: PathBuf,
    pub(crate) xattrs: bool,
    pub(crate) said: Vec<String>,
}

impl Place {
    /// A new directory, which the mount, where there is one, has not been asked for yet.
    pub(crate) fn new(
        source: &Source,
        name: &str,
        mounted: Option<&Mounted>,
        xattrs: bool,
    ) -> Self {
        let behind = source.0.join(name);
        fs::create_dir(&behind).unwrap();
        chmod(&behind, 0o777).unwrap();
        Self {
            seen: mounted.map_or(&*source.0, Mounted::path).join(name),
            behind,
            xattrs,
            said: Vec::new(),
        }
    }

    /// A new file of the source, with the owner and the mode.
    pub(crate) fn file(&self, name: &str, (uid, gid): (u32, u32), mode: u32) -> PathBuf {
        let path = self.behind.join(name);
        fs::write(&path, [7; 8192]).unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        chmod(&path, mode).unwrap();
        self.seen.join(name)
    }

    pub(crate) fn say<T: Display>(&mut self, what: impl Display, result: io::Result<T>) {
        self.said.push(match result {
            Ok(value) => format!("{what}: {value}"),
            Err(error) => format!("{what}: {error}"),
        });
    }

    /// There is nothing to compare.
    pub(crate) fn leave_out(&mut self) {
        self.said.clear();
    }

    pub(crate) fn say_done(&mut self, what: impl Display, result: io::Result<()>) {
        self.say(what, result.map(|()| "done"));
    }

    /// Owner, mode and attributes of `name`: what the kernel believes without asking more than it has to, and what there is.
    pub(crate) fn state(&mut self, name: &str) {
        let mut said = name.to_owned();
        for dir in [&self.seen, &self.behind] {
            // The mode alone, as exec(2) looks at it: other members that are out of date would have it asked for.
            let of = rustix::fs::statx(
                CWD,
                dir.join(name),
                AtFlags::SYMLINK_NOFOLLOW,
                StatxFlags::MODE | StatxFlags::TYPE | StatxFlags::UID | StatxFlags::GID,
            );
            said += &match of {
                Ok(of) => format!(" {:o} of {}:{}", of.stx_mode, of.stx_uid, of.stx_gid),
                Err(error) => format!(" {error:?}"),
            };
        }
        for attribute in [ACCESS, DEFAULT, CAPABILITY] {
            let value = xattr(&self.behind.join(name), attribute);
            said += &format!(" {attribute}={value:?}");
            if self.xattrs {
                let seen = xattr(&self.seen.join(name), attribute);
                said += if seen == value { "" } else { ", not seen" };
            }
        }
        self.said.push(said);
    }
}

/// The mode that the kernel would run `path` by, without asking for it once more: exec(2) asks before it opens the program, and
/// looks at the mode when it has.
pub(crate) fn believed(path: &Path) -> io::Result<String> {
    let how = AtFlags::from_bits_retain(libc::AT_STATX_DONT_SYNC.unsigned_abs());
    let of = rustix::fs::statx(CWD, path, how, StatxFlags::MODE)?;
    Ok(format!("{:o}", of.stx_mode))
}

/// What a script says, in the source and through a mount of it.
pub(crate) struct Compared {
    pub(crate) answers: usize,
    /// What differs: what the source says, and what the mount says.
    pub(crate) different: Vec<[String; 2]>,
    /// It has nothing to ask where there are no extended attributes.
    pub(crate) left_out: bool,
}

impl Compared {
    /// Runs `script` in directories with `name` in theirs.
    pub(crate) fn new(
        source: &Source,
        mounted: &Mounted,
        xattrs: bool,
        name: &str,
        script: fn(&mut Place),
    ) -> Self {
        let mut there = Place::new(source, &format!("there {name}"), None, xattrs);
        let mut here = Place::new(source, &format!("here {name}"), Some(mounted), xattrs);
        script(&mut there);
        // Where a script cannot go on, that is an answer, too.
        if catch_unwind(AssertUnwindSafe(|| script(&mut here))).is_err() {
            here.said.push("it cannot go on".to_owned());
        }
        let answers = there.said.len().max(here.said.len());
        let pairs = there.said.iter().zip(&here.said);
        let mut different: Vec<_> = pairs
            .filter(|(right, said)| right != said)
            .map(|(right, said)| [right.clone(), said.clone()])
            .collect();
        // A script ends where what follows would depend on the last answer.
        if there.said.len() != here.said.len() {
            different.push([&there, &here].map(|place| format!("{} answers", place.said.len())));
        }
        Self {
            answers,
            different,
            left_out: !xattrs && answers == 0,
        }
    }
}

/// Runs `script` in the source and through each of `ways`, and compares.
pub(crate) fn everywhere(what: &str, ways: &[Way], script: fn(&mut Place)) {
    if !is_root() {
        return skip(what, "only root can act as other users");
    }
    let mut wrong = String::new();
    for way in ways {
        let source = Source::new();
        let Some(mounted) = source.mounted(*way) else {
            return;
        };
        let compared = Compared::new(&source, &mounted, way.2, "", script);
        assert!(compared.answers > 1 || compared.left_out, "{way:?}");
        for [right, said] in compared.different {
            wrong += &format!("{way:?}\n    source: {right}\n    mount:  {said}\n");
        }
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
    }
    let count = wrong.lines().count() / 3;
    assert!(wrong.is_empty(), "{count} differences:\n{wrong}");
}
