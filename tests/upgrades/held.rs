//! What a client keeps while a file system goes on by another program.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::fs::{FlockOperation, fcntl_lock, flock};

use crate::loads::{Noticed, failed, same};

/// What a client keeps over all changes: open files, one of which has no name any more; locks of each kind; a directory that
/// is half read; and a process whose working directory is there, and one in a directory that was removed.
pub(crate) struct Held {
    dir: PathBuf,
    named: File,
    unnamed: File,
    locked: [File; 3],
    listing: fs::ReadDir,
    listed: Vec<String>,
    shell: Shell,
    removed: Shell,
}

const TEXT: &[u8] = b"This stays.";
const ENTRIES: usize = 600;

impl Held {
    pub(crate) fn new(mount: &Path) -> Self {
        let dir = mount.join("held");
        let sub = dir.join("sub");
        fs::create_dir_all(&sub).unwrap();
        let open = |name: &str| {
            let mut options = File::options();
            let options = options.read(true).write(true).create(true).truncate(true);
            let file = options.mode(0o600).open(dir.join(name)).unwrap();
            file.write_all_at(TEXT, 0).unwrap();
            file
        };
        let unnamed = open("unnamed");
        fs::remove_file(dir.join("unnamed")).unwrap();
        let locked = ["flock", "posix", "ofd"].map(open);
        flock(&locked[0], FlockOperation::LockExclusive).unwrap();
        fcntl_lock(&locked[1], FlockOperation::LockExclusive).unwrap();
        assert_eq!(record_lock(&locked[2], libc::F_OFD_SETLK).0, 0);
        let many = dir.join("many");
        fs::create_dir(&many).unwrap();
        for number in 0..ENTRIES {
            File::create(many.join(format!("a name that is long, and has the number {number}")))
                .unwrap();
        }
        let mut listing = fs::read_dir(&many).unwrap();
        let listed = vec![
            listing
                .next()
                .unwrap()
                .unwrap()
                .file_name()
                .into_string()
                .unwrap(),
        ];
        fs::write(sub.join("here"), TEXT).unwrap();
        let removed = dir.join("removed");
        fs::create_dir(&removed).unwrap();
        let it = Self {
            shell: Shell::new(&sub),
            removed: Shell::new(&removed),
            named: open("named"),
            dir,
            unnamed,
            locked,
            listing,
            listed,
        };
        fs::remove_dir(removed).unwrap();
        it
    }

    /// That all is as it was.
    pub(crate) fn check(&mut self) -> Result<(), Noticed> {
        for (name, file) in [("named", &self.named), ("unnamed", &self.unnamed)] {
            // Past the page cache.
            failed(name, file.write_all_at(TEXT, 0))?;
            failed(name, file.sync_all())?;
            failed(
                name,
                rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed),
            )?;
            let mut read = [0; TEXT.len()];
            failed(name, file.read_exact_at(&mut read, 0))?;
            same(name, &read, TEXT)?;
        }
        let again = |name: &str| {
            let file = File::options()
                .read(true)
                .write(true)
                .open(self.dir.join(name));
            failed(name, file)
        };
        let other = again("flock")?;
        if flock(&other, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Err(Noticed::Error("the lock of flock(2) is gone".to_owned()));
        }
        // Not of the file of the POSIX lock: closing it would release that.
        for (name, file) in [("POSIX", &self.locked[1]), ("OFD", &again("ofd")?)] {
            let (result, kind) = record_lock(file, libc::F_OFD_GETLK);
            if result != 0 || kind != libc::F_WRLCK {
                return Err(Noticed::Error(format!(
                    "the {name} lock is gone: {result}, {kind}"
                )));
            }
        }
        let here = failed("cat", self.shell.ask("cat here"))?;
        same("cat here", here.as_bytes(), TEXT)?;
        let nothing = failed("stat", self.removed.ask("stat -c %h ."))?;
        if nothing.trim() != "0" && nothing.trim() != "1" {
            let what = format!("the working directory that was removed has {nothing:?} links");
            return Err(Noticed::Error(what));
        }
        Ok(())
    }

    /// The rest of the directory, each name once.
    pub(crate) fn end(mut self) -> Result<(), Noticed> {
        for entry in self.listing.by_ref() {
            let name = failed("readdir", entry)?.file_name();
            self.listed.push(name.into_string().unwrap());
        }
        self.listed.sort();
        let all = self.listed.len();
        self.listed.dedup();
        if (all, self.listed.len()) != (ENTRIES, ENTRIES) {
            let what = format!(
                "{all} names, {} different ones, of {ENTRIES}",
                self.listed.len()
            );
            return Err(Noticed::Error(what));
        }
        self.check()
    }
}

/// fcntl(2) of a lock of the whole file, to write. The result, and the kind of the lock.
fn record_lock(file: &File, command: i32) -> (i32, i32) {
    // SAFETY: it has only numbers, for which 0 is one.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK.try_into().unwrap();
    // SAFETY: the descriptor is open, and the lock lives.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    (result, lock.l_type.into())
}

/// A shell that works where it was started.
struct Shell {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Shell {
    fn new(dir: &Path) -> Self {
        let mut shell = Command::new("sh");
        let shell = shell
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = shell.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from }
    }

    /// What a command prints, which ends without a NUL.
    fn ask(&mut self, command: &str) -> std::io::Result<String> {
        self.to
            .write_all(format!("{command} ; printf '\\0'\n").as_bytes())?;
        let (mut said, mut byte) = (Vec::new(), [0]);
        loop {
            self.from.read_exact(&mut byte)?;
            if byte == [0] {
                return Ok(String::from_utf8_lossy(&said).into_owned());
            }
            said.push(byte[0]);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
