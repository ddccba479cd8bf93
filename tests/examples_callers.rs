//! What a caller may do through the passthrough examples is what it may do in their source.
//!
//! Each script of calls runs twice: in a directory of the source, and in another one as the mount shows it. Both have to say the
//! same, and to leave the same behind. Only root can act as the users of the scripts: others skip these tests.

#[path = "common/mount.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod mount;

use std::ffi::CString;
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use mount::skip::skip;
use mount::{Mounted, is_root, within};
use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, StatxFlags, Uid, XattrFlags};

/// After so long a file system is killed.
const DEADLINE: Duration = Duration::from_secs(120);

/// A program, its options, and whether extended attributes are seen through it.
type Way = (&'static str, &'static [&'static str], bool);

/// The programs, each in each of its ways to cache.
const WAYS: &[Way] = &[
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
struct Source(PathBuf);

impl Source {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuse3-callers-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn mounted(&self, (program, options, _): Way) -> Option<Mounted> {
        self.mounted_with(program, options)
    }

    fn mounted_with(&self, program: &str, options: &[&str]) -> Option<Mounted> {
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
struct Place {
    seen: PathBuf,
    behind: PathBuf,
    xattrs: bool,
    said: Vec<String>,
}

impl Place {
    /// A new directory, which the mount, where there is one, has not been asked for yet.
    fn new(source: &Source, name: &str, mounted: Option<&Mounted>, xattrs: bool) -> Self {
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
    fn file(&self, name: &str, (uid, gid): (u32, u32), mode: u32) -> PathBuf {
        let path = self.behind.join(name);
        fs::write(&path, [7; 8192]).unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        chmod(&path, mode).unwrap();
        self.seen.join(name)
    }

    fn say<T: Display>(&mut self, what: impl Display, result: io::Result<T>) {
        self.said.push(match result {
            Ok(value) => format!("{what}: {value}"),
            Err(error) => format!("{what}: {:?}", rustix::io::Errno::from_io_error(&error)),
        });
    }

    fn say_done(&mut self, what: impl Display, result: io::Result<()>) {
        self.say(what, result.map(|()| "done"));
    }

    /// Owner, mode and attributes of `name`: what the kernel believes without asking more than it has to, and what there is.
    fn state(&mut self, name: &str) {
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
fn believed(path: &Path) -> io::Result<String> {
    let how = AtFlags::from_bits_retain(libc::AT_STATX_DONT_SYNC.unsigned_abs());
    let of = rustix::fs::statx(CWD, path, how, StatxFlags::MODE)?;
    Ok(format!("{:o}", of.stx_mode))
}

/// Runs `script` in the source and through each of `ways`, and compares.
fn everywhere(what: &str, ways: &[Way], script: fn(&mut Place)) {
    if !is_root() {
        return skip(what, "only root can act as other users");
    }
    let mut wrong = String::new();
    for way in ways {
        let source = Source::new();
        let Some(mounted) = source.mounted(*way) else {
            return;
        };
        let mut there = Place::new(&source, "there", None, way.2);
        let mut here = Place::new(&source, "here", Some(&mounted), way.2);
        script(&mut there);
        script(&mut here);
        assert!(there.said.len() > 1, "{:?}", there.said);
        assert_eq!(there.said.len(), here.said.len());
        for (right, said) in there.said.iter().zip(&here.said) {
            if right != said {
                wrong += &format!("{way:?}\n    source: {right}\n    mount:  {said}\n");
            }
        }
        let ended = mounted.unmount();
        assert!(ended.status.success(), "{ended:?}");
    }
    let count = wrong.lines().count() / 3;
    assert!(wrong.is_empty(), "{count} differences:\n{wrong}");
}

/// Who does something.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
    groups: &'static [u32],
    umask: u32,
}

const ROOT: User = user(0, 0, &[]);
const ONE: User = user(2001, 2001, &[]);
const TWO: User = user(2002, 2002, &[]);
const USERS: [(&str, User); 3] = [("root", ROOT), ("the owner", ONE), ("another", TWO)];

const fn user(uid: u32, gid: u32, groups: &'static [u32]) -> User {
    User {
        uid,
        gid,
        groups,
        umask: 0o022,
    }
}

impl User {
    /// Does `what` on a thread that is this user's.
    fn does<T: Send>(self, what: impl FnOnce() -> T + Send) -> T {
        let thread = || {
            // SAFETY: it has no precondition.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0);
            rustix::process::umask(Mode::from_raw_mode(self.umask));
            let groups: Vec<_> = self.groups.iter().copied().map(Gid::from_raw).collect();
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            rustix::thread::set_thread_groups(&groups).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            what()
        };
        thread::scope(|scope| scope.spawn(thread).join().unwrap())
    }
}

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPABILITY: &str = "security.capability";

fn chmod(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::setxattr(
        path,
        name,
        value,
        XattrFlags::empty(),
    )?)
}

/// What file capabilities are: CAP_NET_RAW, permitted and effective (`struct vfs_cap_data`, revision 2).
fn set_capability(path: &Path) {
    let words = [0x0200_0001_u32, 1 << 13, 0, 0, 0];
    let value: Vec<_> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    set_xattr(path, CAPABILITY, &value).unwrap();
}

/// Whom an entry of an ACL is for, in the order in which they have to be.
#[derive(Clone, Copy)]
enum Of {
    Owner,
    User(u32),
    Owners,
    Group(u32),
    Mask,
    Others,
}

/// An ACL, as its extended attribute is.
fn acl(entries: &[(Of, u16)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (of, permissions) in entries {
        let (tag, id) = match of {
            Of::Owner => (1_u16, u32::MAX),
            Of::User(id) => (2, *id),
            Of::Owners => (4, u32::MAX),
            Of::Group(id) => (8, *id),
            Of::Mask => (16, u32::MAX),
            Of::Others => (32, u32::MAX),
        };
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn write_only(path: &Path, flags: i32) -> io::Result<File> {
    File::options().write(true).custom_flags(flags).open(path)
}

/// Bytes at an address as O_DIRECT wants it.
#[repr(align(4096))]
struct Block([u8; 4096]);

/// What is done to a path.
type Call = fn(&Path) -> io::Result<()>;

/// What changes the data of a file.
const CHANGES: &[(&str, Call)] = &[
    ("write", |path| write_only(path, 0)?.write_all(b"evil")),
    ("append", |path| {
        File::options().append(true).open(path)?.write_all(b"evil")
    }),
    ("write with O_DIRECT", |path| {
        write_only(path, libc::O_DIRECT)?.write_all_at(&Block([1; 4096]).0, 0)
    }),
    ("write with O_SYNC", |path| {
        write_only(path, libc::O_SYNC)?.write_all(b"evil")
    }),
    ("open with O_TRUNC", |path| {
        write_only(path, libc::O_TRUNC).map(drop)
    }),
    ("open with O_CREAT and O_TRUNC", |path| {
        write_only(path, libc::O_CREAT | libc::O_TRUNC).map(drop)
    }),
    ("truncate", |path| {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: `path` lives and is NUL-terminated.
        match unsafe { libc::truncate(path.as_ptr(), 100) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }),
    ("ftruncate", |path| write_only(path, 0)?.set_len(100)),
    ("fallocate", |path| {
        Ok(rustix::fs::fallocate(
            write_only(path, 0)?,
            FallocateFlags::empty(),
            0,
            16_384,
        )?)
    }),
    ("punch a hole", |path| {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(write_only(path, 0)?, how, 0, 4096)?)
    }),
    ("copy_file_range", |path| {
        let from = File::open(path.with_file_name("from"))?;
        let copied = rustix::fs::copy_file_range(from, None, write_only(path, 0)?, None, 4096)?;
        assert_eq!(copied, 4096);
        Ok(())
    }),
];

fn bits_after_changes(place: &mut Place) {
    changes_of(place, &[0o4777, 0o2777, 0o6777, 0o777]);
}

/// A set-group-id bit without execution by the group, which is no bit to run by.
const NO_EXECUTION: u32 = 0o2767;

fn bits_without_execution(place: &mut Place) {
    changes_of(place, &[NO_EXECUTION]);
}

fn changes_of(place: &mut Place, modes: &[u32]) {
    place.file("from", (0, 0), 0o644);
    for (who, user) in USERS {
        for mode in modes {
            for (what, change) in CHANGES {
                let name = format!("{mode:o} after {what} by {who}");
                let path = place.file(&name, (2001, 50), *mode);
                set_capability(&place.behind.join(&name));
                let changed = user.does(|| change(&path));
                place.say_done(&name, changed);
                // Of the bit that nothing runs by, the kernel takes no care.
                if *mode != NO_EXECUTION {
                    let believed = believed(&path);
                    place.say(&name, believed);
                }
                place.state(&name);
            }
        }
    }
}

/// The bits are given to a file that somebody has open already.
fn bits_given_to_what_is_open(place: &mut Place) {
    for (who, user) in USERS {
        for flags in [0, libc::O_DIRECT] {
            let name = format!("changed by {who} with {flags:#o}");
            let path = place.file(&name, (2001, 50), 0o777);
            let file = user.does(|| write_only(&path, flags)).unwrap();
            chmod(&path, 0o6777).unwrap();
            set_capability(&place.behind.join(&name));
            place.state(&name);
            let written = user.does(|| file.write_all_at(&Block([1; 4096]).0, 0));
            // What is in the page cache reaches the source at last.
            drop(file);
            place.say_done(&name, written);
            place.state(&name);
        }
    }
}

/// Who gives a file away loses the bits, too.
fn bits_after_chown(place: &mut Place) {
    for mode in [0o6777, 0o2767] {
        for groups in [&[][..], &[50], &[50, 60]] {
            let name = format!("{mode:o}, given to 60 by one of {groups:?}");
            let path = place.file(&name, (2001, 50), mode);
            set_capability(&place.behind.join(&name));
            let given = user(2001, 2001, groups).does(|| chown(&path, None, Some(60)));
            place.say_done(&name, given);
            place.state(&name);
        }
    }
}

#[test]
fn bits_do_not_survive_a_change_by_others() {
    everywhere("bits after changes", WAYS, bits_after_changes);
}

#[test]
fn bits_without_execution_do_not_survive_a_change_by_others() {
    // The kernel says nothing of these, and what it writes from its cache, or by itself, it writes as nobody.
    let cached = [
        "--foreground",
        "--nopassthrough",
        "writeback",
        "--enable-writeback-cache",
    ];
    let cached = |(_, options, _): &Way| {
        let last = options.last().unwrap_or(&"");
        cached.iter().any(|option| last.ends_with(option))
    };
    let ways: Vec<_> = WAYS.iter().copied().filter(|way| !cached(way)).collect();
    assert_eq!(ways.len(), WAYS.len() - 5);
    everywhere("bits without execution", &ways, bits_without_execution);
}

#[test]
fn bits_given_meanwhile_do_not_survive_a_change_by_others() {
    everywhere("bits given meanwhile", WAYS, bits_given_to_what_is_open);
}

#[test]
fn bits_do_not_survive_a_change_of_the_group() {
    everywhere("bits after chown", WAYS, bits_after_chown);
}

/// A name that the kernel has looked up in vain has a file when it is opened.
fn made_meanwhile(place: &mut Place) {
    for (mode, what) in [(0o600, "private"), (0o666, "public"), (0o644, "readable")] {
        for (flags, how) in [
            (libc::O_CREAT, "O_CREAT"),
            (libc::O_CREAT | libc::O_TRUNC, "O_CREAT and O_TRUNC"),
            (libc::O_CREAT | libc::O_EXCL, "O_CREAT and O_EXCL"),
        ] {
            for (who, user) in USERS {
                let name = format!("{what} opened with {how} by {who}");
                let path = place.seen.join(&name);
                assert!(!path.exists());
                place.file(&name, (0, 0), mode);
                let opened = user.does(|| {
                    let file = File::options()
                        .read(true)
                        .write(true)
                        .custom_flags(flags)
                        .open(&path)?;
                    let mut bytes = [0; 4];
                    let count = file.read_at(&mut bytes, 0)?;
                    file.write_all_at(b"mine", 0)?;
                    Ok(format!("{:?}", &bytes[..count]))
                });
                place.say(&name, opened);
                place.state(&name);
            }
        }
    }
}

#[test]
fn what_was_made_meanwhile_is_not_opened_unchecked() {
    everywhere("made meanwhile", WAYS, made_meanwhile);
}

/// The same as a race: root makes the file and takes it away, and another user opens it.
///
/// What is taken away is kept elsewhere: its number is not to be another file's, which the kernel could take for this one.
#[test]
fn the_race_for_a_name_gives_nobody_a_file_of_another() {
    if !is_root() {
        return skip("a race for a name", "only root can act as other users");
    }
    let mut all = 0;
    for way in WAYS {
        let source = Source::new();
        let Some(mounted) = source.mounted(*way) else {
            return;
        };
        let place = Place::new(&source, "here", Some(&mounted), way.2);
        let (seen, behind) = (place.seen.join("x"), place.behind.join("x"));
        let kept = source.0.join("kept");
        fs::create_dir(&kept).unwrap();
        let over = AtomicBool::new(false);
        let (mut own, mut refused, mut stale) = (0, 0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0_u32.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let made = File::options()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(&behind);
                    if let Ok(mut file) = made {
                        file.write_all(b"root's").unwrap();
                    }
                    // Either this one, or what the user has made, or nothing.
                    let _ = fs::rename(&behind, kept.join(number.to_string()));
                }
            });
            ONE.does(|| {
                for _ in 0..1500 {
                    let mut open = File::options();
                    let open = open
                        .read(true)
                        .write(true)
                        .custom_flags(libc::O_CREAT)
                        .mode(0o600);
                    let opened = open.open(&seen);
                    match opened.map(|file| file.metadata().unwrap()) {
                        Ok(of) => {
                            use std::os::unix::fs::MetadataExt;
                            if of.uid() != 2001 {
                                over.store(true, Ordering::Relaxed);
                            }
                            assert_eq!(of.uid(), 2001, "{way:?}");
                            own += 1;
                        }
                        Err(error) => match error.raw_os_error() {
                            Some(libc::EACCES | libc::ENOENT) => refused += 1,
                            // The name changed hands twice while it was opened once.
                            Some(libc::ESTALE) => stale += 1,
                            _ => panic!("{way:?}: {error}"),
                        },
                    }
                }
            });
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(own + refused + stale, 1500);
        all += own;
        mounted.unmount();
    }
    assert!(all > 0);
}

/// Read, write and execute permission of each user, by access(2)'s rules for the effective ids and by open(2).
fn may(place: &mut Place, name: &str, user: User) {
    let path = place.seen.join(name);
    let may = user.does(|| {
        [(true, false), (false, true)]
            .map(
                |(read, write)| match File::options().read(read).write(write).open(&path) {
                    Ok(_) => "yes".to_owned(),
                    Err(error) => format!("{:?}", error.raw_os_error()),
                },
            )
            .join(", ")
    });
    let who = (user.uid, user.gid, user.groups);
    place.say(format!("{name} by {who:?}"), Ok(may));
}

const ASKING: [User; 7] = [
    ROOT,
    ONE,
    TWO,
    user(2002, 50, &[]),
    user(2002, 2002, &[50]),
    user(2002, 2002, &[60]),
    user(2002, 2002, &[60, 50]),
];

fn acls(place: &mut Place) {
    use Of::{Group, Mask, Others, Owner, Owners, User};
    let lists: [(&str, &[(Of, u16)]); 4] = [
        (
            "a user",
            &[
                (Owner, 6),
                (User(2001), 4),
                (Owners, 0),
                (Mask, 6),
                (Others, 0),
            ],
        ),
        (
            "a group",
            &[
                (Owner, 6),
                (Owners, 0),
                (Group(60), 6),
                (Mask, 6),
                (Others, 0),
            ],
        ),
        (
            "masked",
            &[
                (Owner, 6),
                (User(2001), 6),
                (Owners, 6),
                (Mask, 4),
                (Others, 0),
            ],
        ),
        (
            "denied",
            &[
                (Owner, 6),
                (User(2002), 0),
                (Owners, 6),
                (Mask, 6),
                (Others, 6),
            ],
        ),
    ];
    for (name, entries) in lists {
        place.file(name, (0, 50), 0o600);
        set_xattr(&place.behind.join(name), ACCESS, &acl(entries)).unwrap();
        for user in ASKING {
            may(place, name, user);
        }
        // The mask is what chmod(2) changes of it.
        let changed = chmod(&place.seen.join(name), 0o640);
        place.say_done("chmod", changed);
        for user in ASKING {
            may(place, name, user);
        }
        place.state(name);
    }
    // Files without one, and a directory that one user may search and write.
    place.file("plain", (0, 50), 0o640);
    for user in ASKING {
        may(place, "plain", user);
    }
    let dir = place.behind.join("dir");
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(0), Some(50)).unwrap();
    let entries = [
        (Owner, 7),
        (User(2001), 7),
        (Owners, 0),
        (Mask, 7),
        (Others, 0),
    ];
    set_xattr(&dir, ACCESS, &acl(&entries)).unwrap();
    for user in ASKING {
        let name = format!("dir/of {:?}", (user.uid, user.gid, user.groups));
        let path = place.seen.join(&name);
        let made = user.does(|| File::create_new(&path).map(drop));
        place.say_done(&name, made);
        place.state(&name);
    }
}

/// The owner gives a file an ACL, which drops the set-group-id bit unless the owner is of the group.
fn acls_that_are_set(place: &mut Place) {
    if !place.xattrs {
        place.said = vec![String::new(); 2];
        return;
    }
    use Of::{Mask, Others, Owner, Owners, User};
    let entries = [
        (Owner, 7),
        (User(2002), 7),
        (Owners, 5),
        (Mask, 7),
        (Others, 5),
    ];
    let value = acl(&entries);
    for (gid, groups) in [(2001, &[][..]), (50, &[]), (2001, &[60]), (2001, &[60, 50])] {
        for mode in [0o2755, 0o6745, 0o755] {
            let name = format!("{mode:o} by one of {gid} and {groups:?}");
            let path = place.file(&name, (2001, 50), mode);
            let owner = user(2001, gid, groups);
            let set = owner.does(|| set_xattr(&path, ACCESS, &value));
            place.say_done(&name, set);
            place.state(&name);
            may(place, &name, TWO);
            let removed = owner.does(|| rustix::fs::removexattr(&path, ACCESS));
            place.say_done(&name, removed.map_err(Into::into));
            may(place, &name, TWO);
            let by_another = TWO.does(|| set_xattr(&path, ACCESS, &value));
            place.say_done(&name, by_another);
            place.state(&name);
        }
    }
    let path = place.file("root's", (0, 50), 0o2755);
    let set = ROOT.does(|| set_xattr(&path, ACCESS, &value));
    place.say_done("by root", set);
    place.state("root's");
}

#[test]
fn acls_are_checked() {
    everywhere("ACLs", WAYS, acls);
}

#[test]
fn acls_are_set_as_by_the_caller() {
    everywhere("ACLs that are set", WAYS, acls_that_are_set);
}

/// A source that knows no ACLs has no fewer permissions.
#[test]
fn a_source_without_acls() {
    if !is_root() {
        return skip("a source without ACLs", "only root can mount one");
    }
    let source = Source::new();
    let _ramfs = Ramfs::new(&source.0);
    chmod(&source.0, 0o755).unwrap();
    for way in WAYS {
        let Some(mounted) = source.mounted(*way) else {
            return;
        };
        let mut there = Place::new(&source, "there", None, way.2);
        let mut here = Place::new(&source, "here", Some(&mounted), way.2);
        for place in [&mut there, &mut here] {
            for mode in [0o640, 0o660, 0o604] {
                let name = format!("{mode:o}");
                place.file(&name, (0, 50), mode);
                for user in ASKING {
                    may(place, &name, user);
                }
            }
        }
        assert_eq!(there.said, here.said, "{way:?}");
        mounted.unmount();
        for name in ["here", "there"] {
            fs::remove_dir_all(source.0.join(name)).unwrap();
        }
    }
}

/// A mounted file system without extended attributes.
struct Ramfs(CString);

impl Ramfs {
    fn new(at: &Path) -> Self {
        let at = CString::new(at.as_os_str().as_bytes()).unwrap();
        let kind = c"ramfs".as_ptr();
        // SAFETY: the strings live and are NUL-terminated, and this file system takes no data.
        let mounted = unsafe { libc::mount(kind, at.as_ptr(), kind, 0, std::ptr::null()) };
        assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
        Self(at)
    }
}

impl Drop for Ramfs {
    fn drop(&mut self) {
        // SAFETY: the path lives and is NUL-terminated.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

/// New files of all kinds, in directories with and without a default ACL.
fn made_with_umask(place: &mut Place) {
    use Of::{Mask, Others, Owner, Owners, User};
    let entries = [
        (Owner, 7),
        (User(2002), 7),
        (Owners, 7),
        (Mask, 7),
        (Others, 5),
    ];
    for (dir, with_acl, mode) in [
        ("acl", true, 0o777),
        ("none", false, 0o777),
        ("acl and set-group-id", true, 0o2777),
        ("set-group-id", false, 0o2777),
    ] {
        let behind = place.behind.join(dir);
        fs::create_dir(&behind).unwrap();
        chown(&behind, Some(0), Some(50)).unwrap();
        chmod(&behind, mode).unwrap();
        if with_acl {
            set_xattr(&behind, DEFAULT, &acl(&entries)).unwrap();
        }
        for (who, user) in [ROOT, ONE, self::user(2002, 2002, &[50])]
            .into_iter()
            .enumerate()
        {
            for umask in [0o077, 0o022, 0o002, 0] {
                let user = self::User { umask, ..user };
                let name = |what: &str| format!("{dir}/{what} of {who} with {umask:o}");
                let path = |what: &str| place.seen.join(name(what));
                let kinds: [(&str, Call); 6] = [
                    ("file", |path| {
                        let mut open = File::options();
                        open.write(true)
                            .create_new(true)
                            .mode(0o666)
                            .open(path)
                            .map(drop)
                    }),
                    ("set-id", |path| {
                        let mut open = File::options();
                        open.write(true)
                            .create(true)
                            .mode(0o6777)
                            .open(path)
                            .map(drop)
                    }),
                    ("directory", |path| fs::create_dir(path)),
                    ("fifo", |path| {
                        let mode = Mode::from_raw_mode(0o666);
                        Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)?)
                    }),
                    ("node", |path| {
                        let mode = Mode::from_raw_mode(0o2777);
                        Ok(rustix::fs::mknodat(
                            CWD,
                            path,
                            FileType::RegularFile,
                            mode,
                            0,
                        )?)
                    }),
                    ("link", |path| std::os::unix::fs::symlink("x", path)),
                ];
                let mut made = Vec::new();
                for (kind, make) in kinds {
                    let path = path(kind);
                    made.push((name(kind), user.does(|| make(&path))));
                }
                for (name, result) in made {
                    place.say_done(&name, result);
                    place.state(&name);
                }
            }
        }
    }
}

#[test]
fn the_umask_counts_where_there_is_no_default_acl() {
    everywhere("umask and default ACLs", WAYS, made_with_umask);
}

/// chmod(2) of the set-group-id bit is for who is of the group.
fn set_group_id(place: &mut Place) {
    for (gid, groups) in [(2001, &[][..]), (50, &[]), (2001, &[60, 50])] {
        let name = format!("by one of {gid} and {groups:?}");
        let path = place.file(&name, (2001, 50), 0o755);
        let changed = user(2001, gid, groups).does(|| chmod(&path, 0o2755));
        place.say_done(&name, changed);
        place.state(&name);
    }
    let path = place.file("by root", (2001, 50), 0o755);
    let changed = ROOT.does(|| chmod(&path, 0o6755));
    place.say_done("by root", changed);
    place.state("by root");
}

#[test]
fn set_group_id_is_for_the_group() {
    everywhere("chmod", WAYS, set_group_id);
}

fn length_of_names(path: &Path) -> usize {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `path` lives and is NUL-terminated, and no byte is written.
    let length = unsafe { libc::listxattr(path.as_ptr(), std::ptr::null_mut(), 0) };
    usize::try_from(length).unwrap()
}

fn names_of_attributes(place: &mut Place) {
    if !place.xattrs {
        place.said = vec![String::new(); 2];
        return;
    }
    let path = place.file("file", (2001, 50), 0o644);
    let behind = place.behind.join("file");
    for name in ["user.one", "trusted.two", "user.three", "trusted.four"] {
        set_xattr(&behind, name, b"value").unwrap();
    }
    for (who, user) in USERS {
        let listed = user.does(|| {
            let mut names = vec![0; 4096];
            let length = rustix::fs::listxattr(&path, &mut names[..])?;
            // The length alone is what a caller asks for first.
            assert_eq!(length_of_names(&path), length);
            let mut names: Vec<_> = names[..length]
                .split(|byte| *byte == 0)
                .map(String::from_utf8_lossy)
                .collect();
            names.sort();
            Ok(names.join(" "))
        });
        place.say(format!("names for {who}"), listed);
        let read = user.does(|| xattr(&path, "trusted.two"));
        place.say(format!("value for {who}"), Ok(format!("{read:?}")));
    }
}

#[test]
fn names_of_trusted_attributes_are_for_root() {
    everywhere("names of attributes", WAYS, names_of_attributes);
}

/// flock(2) of a file that somebody else has locked, a hundred times at once.
#[test]
fn who_waits_for_a_lock_needs_no_thread() {
    if !is_root() {
        return skip("waiting for a lock", "only root sets limits of others");
    }
    let source = Source::new();
    fs::write(source.0.join("file"), "").unwrap();
    let Some(mounted) = source.mounted_with("passthrough_hp", &["--foreground", "--single"]) else {
        return;
    };
    let path = mounted.path().join("file");
    let holder = File::open(&path).unwrap();
    holder.lock().unwrap();
    let threads = || {
        let status = fs::read_to_string(format!("/proc/{}/status", mounted.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Threads:"));
        line.unwrap().trim().parse::<usize>().unwrap()
    };
    let before = threads();
    let files: Vec<_> = (0..100).map(|_| File::open(&path).unwrap()).collect();

    // No thread can be started: whoever would wait is told so, and the file system goes on.
    limit_address_space(mounted.id(), Some(1 << 20));
    let refused = files[0].lock().unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EAGAIN));
    assert_eq!(fs::read(&path).unwrap(), b"");
    limit_address_space(mounted.id(), None);

    let got = AtomicU32::new(0);
    thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| {
                file.lock().unwrap();
                got.fetch_add(1, Ordering::SeqCst);
                file.unlock().unwrap();
            });
        }
        let waiting = within(Duration::from_secs(10), || waiters() >= 100);
        let most = threads();
        holder.unlock().unwrap();
        assert!(waiting, "{} wait", waiters());
        assert!(most <= before + 2, "{most} threads, {before} before");
    });
    assert_eq!(got.load(Ordering::SeqCst), 100);
    drop((holder, files));
    let ended = mounted.unmount();
    assert!(ended.status.success(), "{ended:?}");
}

/// How many threads of this process are in flock(2).
fn waiters() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let calls =
        tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("syscall")).ok());
    calls
        .filter(|call| call.starts_with(&format!("{} ", libc::SYS_flock)))
        .count()
}

/// What the process `id` may have mapped: so much more than it has, or anything.
fn limit_address_space(id: u32, more: Option<u64>) {
    let statm = fs::read_to_string(format!("/proc/{id}/statm")).unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let current = more.map_or(libc::RLIM_INFINITY, |more| pages * 4096 + more);
    let limit = libc::rlimit {
        rlim_cur: current,
        rlim_max: libc::RLIM_INFINITY,
    };
    let id = id.try_into().unwrap();
    // SAFETY: the new limit lives, and the old one is not asked for.
    let set = unsafe { libc::prlimit(id, libc::RLIMIT_AS, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}
