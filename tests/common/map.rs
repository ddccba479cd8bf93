//! Mapped files.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;

pub(crate) const PAGE: usize = 4096;

/// Some pages of a file. The kernel is asked to copy from it and to it, which gives an error where the processor would be
/// stopped by SIGBUS or SIGSEGV.
pub(crate) struct Map {
    start: *mut libc::c_void,
    length: usize,
    pipe: (UnixStream, UnixStream),
}

impl Map {
    pub(crate) fn new(file: &File, pages: usize, protection: i32, flags: i32) -> io::Result<Self> {
        let length = pages * PAGE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                protection,
                flags,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start,
            length,
            pipe: UnixStream::pair()?,
        })
    }

    pub(crate) fn get(&self, at: usize) -> io::Result<u8> {
        assert!(at < self.length);
        let address = self.start.wrapping_byte_add(at);
        // SAFETY: the kernel looks whether the byte can be read.
        let copied = unsafe { libc::write(self.pipe.1.as_raw_fd(), address, 1) };
        if copied != 1 {
            return Err(io::Error::last_os_error());
        }
        let mut byte = [0];
        rustix::io::read(&self.pipe.0, &mut byte)?;
        Ok(byte[0])
    }

    pub(crate) fn put(&self, at: usize, byte: u8) -> io::Result<()> {
        assert!(at < self.length);
        rustix::io::write(&self.pipe.1, &[byte])?;
        let address = self.start.wrapping_byte_add(at);
        // SAFETY: the kernel looks whether the byte can be written; nothing in this program refers to it.
        let copied = unsafe { libc::read(self.pipe.0.as_raw_fd(), address, 1) };
        if copied != 1 {
            let error = io::Error::last_os_error();
            rustix::io::read(&self.pipe.0, &mut [0])?;
            return Err(error);
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        // SAFETY: the mapping is this one's.
        match unsafe { libc::msync(self.start, self.length, libc::MS_SYNC) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and nothing refers to it.
        let unmapped = unsafe { libc::munmap(self.start, self.length) };
        assert_eq!(unmapped, 0);
    }
}
