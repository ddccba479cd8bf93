//! Every operation that a program can make the kernel send without more ado comes to its handler, and is counted.
//!
//! What takes more is tested elsewhere: locks (`filelocks`), devices and ranges (`operations`), `retrieve` (`notify`).
//! `syncfs` comes through no kernel here: fs/fuse/inode.c (`fuse_sync_fs()`) sends it where `fc->sync_fs` is set, which
//! virtiofs does for itself, and a mount of /dev/fuse only as `fuseblk` and from Linux 6.18 on, where libfuse has a slot for it
//! from 3.19 on. Its bytes are tested over the wire.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fuse3::context::Guard;
use fuse3::reply::Added;
use fuse3::{
    AccessMode, Answer, Attr, Builder, Capabilities, Connection, Context, Create, Created, Data,
    DirBuf, Entry, Errno, FileInfo, Filesystem, GlobalLock, Ino, Listing, Open, OpenFlags, Opened,
    Operation, ReadBuf, RenameFlags, Session, SetAttr, StatVfs, XattrFlags, XattrNames,
};

use crate::child::this_test;
use crate::client::{Client, part, say};
use crate::fixture::{Mount, require_mount, until};

/// It has a file, a directory and a link, and whatever is made, for as long as the kernel knows it.
struct Everything {
    wants: Capabilities,
    made: AtomicU64,
}

const FILE: Ino = Ino(2);
const DIRECTORY: Ino = Ino(3);
const LINK: Ino = Ino(4);
const TIMEOUT: Duration = Duration::from_secs(60);

type Cx<'a> = Context<'a, Everything>;

fn attr(ino: Ino) -> Attr {
    let mode = match ino {
        Ino::ROOT | DIRECTORY => libc::S_IFDIR | 0o777,
        LINK => libc::S_IFLNK | 0o777,
        _ => libc::S_IFREG | 0o666,
    };
    Attr::new(ino, mode)
}

impl Everything {
    fn builder(wants: Capabilities) -> Builder<Self> {
        let made = AtomicU64::new(100);
        Session::builder(Self { wants, made }, Arc::default()).workers(1)
    }

    fn make(&self, mode: u32) -> Entry {
        let ino = Ino(self.made.fetch_add(1, Ordering::SeqCst));
        Entry::new(Attr::new(ino, mode), TIMEOUT)
    }
}

impl Filesystem for Everything {
    type Lock = Arc<GlobalLock<()>>;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        connection.want(self.wants).map_err(io::Error::other)
    }

    fn lookup(&self, _: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Entry> {
        let ino = match name.as_bytes() {
            b"file" => FILE,
            b"directory" => DIRECTORY,
            b"link" => LINK,
            [b'n', ..] => return Ok(self.make(libc::S_IFREG | 0o666)),
            _ => return Err(Errno::ENOENT.into()),
        };
        Ok(Entry::new(attr(ino), TIMEOUT))
    }

    fn forget(&self, _: &mut Cx<'_>, _: Ino, _: u64) {
        // While the only worker is here, others queue up.
        thread::sleep(Duration::from_millis(20));
    }

    fn getattr(&self, _: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::ZERO))
    }

    fn setattr(&self, _: &mut Cx<'_>, ino: Ino, _: &SetAttr) -> Answer<(Attr, Duration)> {
        Ok((attr(ino), Duration::ZERO))
    }

    fn readlink(&self, _: &mut Cx<'_>, _: Ino) -> Answer<PathBuf> {
        Ok("file".into())
    }

    fn mknod(&self, _: &mut Cx<'_>, _: Ino, _: &OsStr, mode: u32, _: u64) -> Answer<Entry> {
        Ok(self.make(mode))
    }

    fn mkdir(&self, _: &mut Cx<'_>, _: Ino, _: &OsStr, mode: u32) -> Answer<Entry> {
        Ok(self.make(libc::S_IFDIR | mode))
    }

    fn unlink(&self, _: &mut Cx<'_>, _: Ino, _: &OsStr) -> Answer<()> {
        Ok(())
    }

    fn rmdir(&self, _: &mut Cx<'_>, _: Ino, _: &OsStr) -> Answer<()> {
        Ok(())
    }

    fn symlink(&self, _: &mut Cx<'_>, _: &OsStr, _: Ino, _: &OsStr) -> Answer<Entry> {
        Ok(self.make(libc::S_IFLNK | 0o777))
    }

    fn rename(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &OsStr,
        _: Ino,
        _: &OsStr,
        _: RenameFlags,
    ) -> Answer<()> {
        Ok(())
    }

    fn link(&self, _: &mut Cx<'_>, ino: Ino, _: Ino, _: &OsStr) -> Answer<Entry> {
        Ok(Entry::new(attr(ino), TIMEOUT))
    }

    fn create(&self, _: &mut Cx<'_>, _: Ino, _: &OsStr, to: Create) -> Answer<Created> {
        let entry = self.make(libc::S_IFREG | to.mode);
        let opened = Opened::default();
        Ok(Created { entry, opened })
    }

    fn open(&self, _: &mut Cx<'_>, _: Ino, _: Open) -> Answer<Opened> {
        Ok(Opened::default().direct_io(true))
    }

    fn read(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo, _: u64, out: ReadBuf) -> Answer<Data<'_>> {
        Ok(out.copy_from(b""))
    }

    fn write(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo, _: u64, data: &[u8]) -> Answer<usize> {
        Ok(data.len())
    }

    fn flush(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo) -> Answer<()> {
        Ok(())
    }

    fn release(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo) -> Answer<()> {
        Ok(())
    }

    fn fsync(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo, _: bool) -> Answer<()> {
        Ok(())
    }

    fn opendir(&self, _: &mut Cx<'_>, _: Ino, _: OpenFlags) -> Answer<Opened> {
        Ok(Opened::default())
    }

    fn readdir(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        for (name, ino, next) in [("file", FILE, 1), ("directory", DIRECTORY, 2)] {
            let entry = Entry::new(attr(ino), TIMEOUT);
            if next > offset && out.add(name, &entry, next) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }

    fn releasedir(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo) -> Answer<()> {
        Ok(())
    }

    fn fsyncdir(&self, _: &mut Cx<'_>, _: Ino, _: &FileInfo, _: bool) -> Answer<()> {
        Ok(())
    }

    fn statfs(&self, _: &mut Cx<'_>, _: Ino) -> Answer<StatVfs> {
        Ok(StatVfs {
            blocks: 12_345,
            ..StatVfs::default()
        })
    }

    fn setxattr(&self, _: &mut Cx<'_>, _: Ino, _: &OsStr, _: &[u8], _: XattrFlags) -> Answer<()> {
        Ok(())
    }

    fn getxattr(&self, _: &mut Cx<'_>, _: Ino, name: &OsStr) -> Answer<Vec<u8>> {
        if name != "user.x" {
            return Err(Errno::ENODATA.into());
        }
        Ok(b"value".to_vec())
    }

    fn listxattr(&self, _: &mut Cx<'_>, _: Ino) -> Answer<XattrNames> {
        let mut names = XattrNames::new();
        names.push("user.x");
        Ok(names)
    }

    fn removexattr(&self, _: &mut Cx<'_>, _: Ino, _: &OsStr) -> Answer<()> {
        Ok(())
    }

    fn access(&self, _: &mut Cx<'_>, _: Ino, _: AccessMode) -> Answer<()> {
        Ok(())
    }
}

/// A call of the C library that has to succeed.
#[track_caller]
fn done(result: impl Into<i64>) -> i64 {
    let result = result.into();
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

fn path(mount: &Path, name: &str) -> CString {
    CString::new(mount.join(name).as_os_str().as_bytes()).unwrap()
}

fn everything(mount: &Path) {
    let at = |name: &str| mount.join(name);
    let c = |name| path(mount, name);
    fs::metadata(at("file")).unwrap();
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("file"));
    // SAFETY: the path is NUL-terminated.
    done(unsafe { libc::mknod(c("made").as_ptr(), libc::S_IFREG | 0o644, 0) });
    fs::create_dir(at("other")).unwrap();
    fs::remove_dir(at("other")).unwrap();
    fs::remove_file(at("made")).unwrap();
    symlink("target", at("symlink")).unwrap();
    fs::rename(at("symlink"), at("renamed")).unwrap();
    fs::hard_link(at("file"), at("hard")).unwrap();
    drop(File::create(at("created")).unwrap());
    fs::write(at("file"), "data").unwrap();
    assert_eq!(fs::read(at("file")).unwrap(), b"");
    File::open(at("file")).unwrap().sync_all().unwrap();
    let names = fs::read_dir(mount).unwrap().count();
    assert_eq!(names, 2);
    File::open(mount).unwrap().sync_all().unwrap();
    // SAFETY: `statvfs` is integers, for which zero is a value.
    let mut figures: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and `figures` lives.
    done(unsafe { libc::statvfs(c("").as_ptr(), &raw mut figures) });
    assert_eq!(figures.f_blocks, 12_345);
    let file = File::open(at("file")).unwrap();
    let (fd, name) = (file.as_raw_fd(), c"user.x".as_ptr());
    let mut value = [0_u8; 64];
    let to = value.as_mut_ptr();
    // SAFETY: the descriptor is open, the name is NUL-terminated, and the value has a byte.
    done(unsafe { libc::fsetxattr(fd, name, to.cast(), 1, 0) });
    // SAFETY: as above, and there is room for 64 bytes.
    let length = done(unsafe { libc::fgetxattr(fd, name, to.cast(), 64) } as i64);
    assert_eq!(length, 5);
    // SAFETY: as above.
    let length = done(unsafe { libc::flistxattr(fd, to.cast(), 64) } as i64);
    assert_eq!(length, 7);
    // SAFETY: as above.
    done(unsafe { libc::fremovexattr(fd, name) });
    // SAFETY: the path is NUL-terminated.
    done(unsafe { libc::access(c("file").as_ptr(), libc::W_OK) });
    for number in 0..50 {
        fs::metadata(at(&format!("n{number}"))).unwrap();
    }
    say("done");
}

#[test]
fn every_operation_comes() {
    if let Some((_, mount)) = part(this_test!()) {
        return everything(&mount);
    }
    require_mount!();
    use Operation as O;
    let plus = Capabilities::READDIRPLUS;
    for (wants, listed) in [(Capabilities::empty(), O::Readdir), (plus, O::Readdirplus)] {
        let mount = Mount::new(Everything::builder(wants));
        let client = Client::new(this_test!(), "client", mount.path());
        assert_eq!(client.says(), "done");
        client.ends();
        let handle = mount.handle();
        let count = move |operation| {
            let stats = handle.stats();
            let requests = stats.requests.iter();
            let of_it = |(other, count): &(O, u64)| (*other == operation).then_some(*count);
            requests.clone().find_map(of_it).unwrap_or(0)
        };
        // Of what the kernel forgets, as much comes at once as has gathered before the server looks, which may be one alone: then
        // once more.
        let mut tries = 0;
        while count(O::ForgetMulti) == 0 && fs::write("/proc/sys/vm/drop_caches", "2").is_ok() {
            tries += 1;
            assert!(tries < 100, "the kernel forgets one by one");
            until(|| count(O::Forget) + count(O::ForgetMulti) > 0);
            Command::new("ls")
                .arg("-l")
                .arg(mount.path())
                .output()
                .unwrap();
        }
        let expected = [
            O::Init,
            O::Lookup,
            O::Getattr,
            O::Setattr,
            O::Readlink,
            O::Mknod,
            O::Mkdir,
            O::Unlink,
            O::Rmdir,
            O::Symlink,
            O::Rename,
            O::Link,
            O::Open,
            O::Read,
            O::Write,
            O::Flush,
            O::Release,
            O::Fsync,
            O::Opendir,
            listed,
            O::Releasedir,
            O::Fsyncdir,
            O::Statfs,
            O::Setxattr,
            O::Getxattr,
            O::Listxattr,
            O::Removexattr,
            O::Access,
            O::Create,
        ];
        // RELEASE comes after close(2) has returned.
        until(|| count(O::Release) > 0 && count(O::Releasedir) > 0);
        for operation in expected {
            assert!(count(operation) > 0, "{operation} never came");
        }
        let end = mount.end();
        assert_eq!(end.stats.panics, 0);
    }
}
