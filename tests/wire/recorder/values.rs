//! What the handlers of a recorder answer.

use super::*;

/// How the handlers of a [`Recorder`] answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// They return what they have.
    Answer,
    /// They return this error.
    Errno(Errno),
    /// They panic.
    Panic,
    /// Another thread answers.
    Defer,
    /// Another thread answers with this error.
    DeferErrno(Errno),
    /// Another thread drops the reply.
    DeferAndDrop,
    /// Another thread answers, and the handler returns an answer, too.
    DeferAndAnswer,
    /// Another thread answers, and the handler returns an error, too.
    DeferAndErrno(Errno),
    /// Another thread answers, and the handler panics.
    DeferAndPanic,
    /// The reply is dropped in the handler, and the handler panics.
    DropAndPanic,
}

/// What a read gives.
pub(crate) type Read = Arc<dyn Fn(ReadBuf) -> Data<'static> + Send + Sync>;

/// What the handlers of a [`Recorder`] have to answer with.
#[derive(Clone)]
pub(crate) struct Values {
    pub(crate) entry: Entry,
    /// What `mknod`, `mkdir` and `symlink` make is an inode of another type than `entry`'s: the right one.
    pub(crate) right_type: bool,
    pub(crate) opened: Opened,
    pub(crate) target: PathBuf,
    pub(crate) read: Read,
    /// Added to the bytes that were to be written.
    pub(crate) more_written: usize,
    pub(crate) entries: Vec<(Vec<u8>, Entry, u64)>,
    pub(crate) statfs: StatVfs,
    pub(crate) xattr: Vec<u8>,
    pub(crate) xattrs: Vec<Vec<u8>>,
    pub(crate) lock: Option<FileLock>,
    pub(crate) block: Block,
    pub(crate) ioctl: IoctlReply,
    pub(crate) events: PollEvents,
    /// Added to the bytes that were to be copied.
    pub(crate) more_copied: usize,
    pub(crate) offset: Offset,
    pub(crate) statx: Statx,
}

/// An entry in which no two numbers are the same.
pub(crate) const ENTRY: Entry = Entry {
    ino: Ino(0x1122_3344_5566_7788),
    attr: Attr {
        ino: Ino(0x5141_3121_1101_f1e1),
        mode: libc::S_IFREG | 0o4751,
        nlink: 3,
        uid: 0xffff_fff0,
        gid: 0x0002_0001,
        rdev: 0x1234_5678,
        size: 0x0102_0304_0506_0708,
        blksize: 65_536,
        blocks: 0x0080_8182_8384_8586,
        atime: Timestamp::new(-2, 999_999_999),
        mtime: Timestamp::new(0x1_0000_0001, 1),
        ctime: Timestamp::new(1_700_000_000, 123_456_789),
    },
    generation: 0x99aa_bbcc_ddee_ff01,
    entry_timeout: Duration::from_millis(1_500),
    attr_timeout: Duration::from_millis(86_400_250),
};

pub(crate) const HANDLE: Fh = Fh(0xfedc_ba98_7654_3210);

pub(crate) const STATFS: StatVfs = StatVfs {
    bsize: 4096,
    frsize: 512,
    blocks: 0x1_0000_0001,
    bfree: 0x1_0000_0002,
    bavail: 0x1_0000_0003,
    files: 0x1_0000_0004,
    ffree: 0x1_0000_0005,
    namemax: 254,
};

/// The same entry as another inode, whose number is shown.
pub(crate) fn entry(ino: u64) -> Entry {
    Entry {
        ino: Ino(ino),
        attr: Attr {
            ino: Ino(ino),
            ..ENTRY.attr
        },
        ..ENTRY
    }
}

/// The same entry as an inode of another type.
pub(crate) fn of_type(entry: Entry, kind: u32) -> Entry {
    let mode = (entry.attr.mode & !libc::S_IFMT) | kind;
    Entry {
        attr: Attr { mode, ..entry.attr },
        ..entry
    }
}

impl Values {
    pub(super) fn made(&self, kind: u32) -> Entry {
        if self.right_type {
            of_type(self.entry, kind)
        } else {
            self.entry
        }
    }
}

impl Default for Values {
    fn default() -> Self {
        Self {
            entry: ENTRY,
            right_type: true,
            opened: Opened::new(HANDLE).keep_cache(true),
            target: PathBuf::from("../the target"),
            read: Arc::new(|out| out.copy_from(b"what was read")),
            more_written: 0,
            entries: [(b".", 1, 1), (b"a", 7, 0x1_0000_0001)]
                .map(|(name, ino, next)| (name.to_vec(), entry(ino), next))
                .to_vec(),
            statfs: STATFS,
            xattr: b"a \0 value".to_vec(),
            xattrs: vec![b"user.one".to_vec(), b"user.two".to_vec()],
            lock: Some(FileLock::new(LockKind::Read, 0x1_0000_0002, 0x2_0000_0003).pid(815)),
            block: Block(0x1122_3344_5566_7788),
            ioctl: IoctlReply::new(0x1234_5678).data(*b"what is given"),
            events: PollEvents::IN | PollEvents::HUP,
            more_copied: 0,
            offset: Offset(0x1_2345_6789),
            statx: Statx::new(ENTRY.attr)
                .btime(Timestamp::new(0x1_0000_0007, 77))
                .attributes(
                    StatxAttributes::APPEND,
                    StatxAttributes::from_bits_retain(0x30),
                ),
        }
    }
}
