//! A file system of one file, which is set up, read and written as the test says.

use std::io;

use fuse3::context::Guard;
use fuse3::{
    Answer, Attr, Concurrent, Connection, Context, Create, Created, Data, Entry, Errno, Fh,
    FileInfo, Filesystem, Ino, Open, Opened, ReadBuf, WriteData,
};
use std::ffi::OsStr;
use std::time::Duration;

use crate::harness::Wire;

type Init = Box<dyn Fn(&mut Connection<'_>) -> io::Result<()> + Send + Sync>;
type Read = Box<dyn Fn(ReadBuf, u64) -> Data<'static> + Send + Sync>;
type WriteBuf = Box<dyn Fn(WriteData<'_>, u64) -> io::Result<usize> + Send + Sync>;
type Written = Box<dyn Fn(&[u8]) + Send + Sync>;
type OnOpen = Box<dyn Fn(&mut Context<'_, Transfer>) -> Answer<Opened> + Send + Sync>;

/// See the module.
pub(crate) struct Transfer {
    init: Init,
    read: Read,
    write: Option<WriteBuf>,
    written: Written,
    open: OnOpen,
}

impl Default for Transfer {
    fn default() -> Self {
        Self {
            init: Box::new(|_| Ok(())),
            read: Box::new(|out, _| out.finish()),
            write: None,
            written: Box::new(|_| ()),
            open: Box::new(|_| Ok(Opened::new(Fh(1)))),
        }
    }
}

impl Transfer {
    pub(crate) fn init(
        mut self,
        init: impl Fn(&mut Connection<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.init = Box::new(init);
        self
    }

    pub(crate) fn read(
        mut self,
        read: impl Fn(ReadBuf, u64) -> Data<'static> + Send + Sync + 'static,
    ) -> Self {
        self.read = Box::new(read);
        self
    }

    pub(crate) fn write_buf(
        mut self,
        write: impl Fn(WriteData<'_>, u64) -> io::Result<usize> + Send + Sync + 'static,
    ) -> Self {
        self.write = Some(Box::new(write));
        self
    }

    /// What `write` is given.
    pub(crate) fn write(mut self, write: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.written = Box::new(write);
        self
    }

    pub(crate) fn open(
        mut self,
        open: impl Fn(&mut Context<'_, Self>) -> Answer<Opened> + Send + Sync + 'static,
    ) -> Self {
        self.open = Box::new(open);
        self
    }

    pub(crate) fn wire(self) -> Wire<Self> {
        Wire::new(self, Concurrent)
    }

    /// Before INIT.
    pub(crate) fn connect(self) -> Wire<Self> {
        Wire::connect(self, Concurrent, |builder| builder)
    }
}

impl Filesystem for Transfer {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        (self.init)(connection)
    }

    fn open(&self, cx: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        (self.open)(cx)
    }

    fn create(&self, cx: &mut Context<'_, Self>, _: Ino, _: &OsStr, _: Create) -> Answer<Created> {
        let attr = Attr::new(Ino(2), libc::S_IFREG | 0o644);
        let Ok(opened) = (self.open)(cx) else {
            return Err(Errno::EIO.into());
        };
        Ok(Created {
            entry: Entry::new(attr, Duration::ZERO),
            opened,
        })
    }

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        offset: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        Ok((self.read)(out, offset))
    }

    fn write(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: u64,
        data: &[u8],
    ) -> Answer<usize> {
        (self.written)(data);
        Ok(data.len())
    }

    fn write_buf(
        &self,
        cx: &mut Context<'_, Self>,
        ino: Ino,
        file: &FileInfo,
        offset: u64,
        mut data: WriteData<'_>,
    ) -> Answer<usize> {
        match &self.write {
            Some(write) => Ok(write(data, offset)?),
            // As the trait's default.
            None => self.write(cx, ino, file, offset, data.bytes()?),
        }
    }
}
