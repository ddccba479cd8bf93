//! Nothing is allocated for a request on the common paths.
//!
//! Counted is what Rust allocates on the one worker. libfuse allocates one `fuse_req` for each request, with malloc(3).

#[path = "common/skip.rs"]
mod skip;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use fuse3::lock::Locking;
use fuse3::testing::Wire;
use fuse3::testing::proto::{self, File, Request};
use fuse3::{
    Answer, Attr, Concurrent, Context, Data, Entry, Fh, FileInfo, Filesystem, GlobalLock, Ino,
    Open, Opened, ReadBuf,
};

thread_local! {
    /// How often this thread has allocated.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    COUNT.set(COUNT.get() + 1);
}

struct Counting;

// SAFETY: all four do what the system's allocator does. A thread-local cell that is a constant and needs no destructor
// allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller promises what `System` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System`, by the other three; the rest the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller promises what `System` wants.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: `memory` came from `System`, by the other three; the rest the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `getattr` of this inode tells how often its thread has allocated, as the size.
const COUNTER: Ino = Ino(2);

/// How a read gives its bytes: the handle of the file.
const COPIED: u64 = 1;
const LENT: u64 = 2;
const SHARED: u64 = 3;
const PUSHED: u64 = 4;

const TIMEOUT: Duration = Duration::from_secs(1);

struct Fs<L> {
    bytes: Arc<Vec<u8>>,
    lock: std::marker::PhantomData<fn() -> L>,
}

impl<L: Locking> Filesystem for Fs<L> {
    type Lock = L;

    fn lookup(&self, _: &mut Context<'_, Self>, _parent: Ino, _name: &OsStr) -> Answer<Entry> {
        let attr = Attr::new(Ino(7), libc::S_IFREG | 0o644);
        Ok(Entry::new(attr, TIMEOUT))
    }

    fn getattr(
        &self,
        _: &mut Context<'_, Self>,
        ino: Ino,
        _file: Option<&FileInfo>,
    ) -> Answer<(Attr, Duration)> {
        let size = if ino == COUNTER { COUNT.get() } else { 0 };
        let attr = Attr {
            size,
            ..Attr::new(ino, libc::S_IFREG | 0o644)
        };
        Ok((attr, TIMEOUT))
    }

    fn open(&self, _: &mut Context<'_, Self>, _ino: Ino, _how: Open) -> Answer<Opened> {
        Ok(Opened::new(Fh(1)))
    }

    fn read(
        &self,
        _: &mut Context<'_, Self>,
        _ino: Ino,
        file: &FileInfo,
        _offset: u64,
        mut out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let size = out.size();
        let bytes = &self.bytes[..size];
        Ok(match file.handle().0 {
            COPIED => out.copy_from(bytes),
            LENT => out.lend(bytes),
            SHARED => out.share(Arc::clone(&self.bytes), 0..size),
            _ => {
                out.push_with(size, |room| {
                    room.copy_from_slice(bytes);
                    Ok::<_, fuse3::Errno>(size)
                })?;
                out.finish()
            }
        })
    }

    fn write(
        &self,
        _: &mut Context<'_, Self>,
        _ino: Ino,
        _file: &FileInfo,
        _offset: u64,
        data: &[u8],
    ) -> Answer<usize> {
        Ok(data.len())
    }
}

/// How often the worker has allocated so far.
fn allocations<L: Locking>(wire: &mut Wire<Fs<L>>) -> u64 {
    wire.send(&proto::getattr(COUNTER.0, None));
    let reply = wire.receive();
    // The size comes after struct fuse_out_header, and 24 bytes of struct fuse_attr_out.
    u64::from_ne_bytes(reply[40..48].try_into().unwrap())
}

const REQUESTS: u32 = 10_000;

fn no_request_allocates<L: Locking>(test: &str, lock: L) {
    if !fuse3::sys::LIMITS_THREADS {
        skip::skip(test, "libfuse before 3.12 has no limit of its threads");
        return;
    }
    let fs = Fs {
        bytes: Arc::new(vec![0x5a; 1 << 17]),
        lock: std::marker::PhantomData,
    };
    let mut wire = Wire::with(fs, lock, |builder| builder.workers(1));
    let read = |how, size| proto::read(7, File::new(how), 0, size);
    let write = |size| proto::write(7, File::new(1), 0, &vec![0xa5; size]);
    let requests: [(&str, usize, Request); 12] = [
        ("lookup", 144, proto::lookup(1, b"a name")),
        ("getattr", 120, proto::getattr(7, None)),
        ("open", 32, proto::open(7, 0)),
        ("read 4 KiB, copied", 4112, read(COPIED, 1 << 12)),
        ("read 4 KiB, lent", 4112, read(LENT, 1 << 12)),
        ("read 4 KiB, shared", 4112, read(SHARED, 1 << 12)),
        ("read 4 KiB, pushed", 4112, read(PUSHED, 1 << 12)),
        ("read 128 KiB, copied", 131_088, read(COPIED, 1 << 17)),
        ("read 128 KiB, lent", 131_088, read(LENT, 1 << 17)),
        ("write 4 KiB", 24, write(1 << 12)),
        ("write 128 KiB", 24, write(1 << 17)),
        ("release", 16, proto::release(7, File::new(1))),
    ];
    let mut reply = vec![0; 1 << 18];
    let mut times = |wire: &mut Wire<Fs<L>>, count, length, request: &Request| {
        for _ in 0..count {
            wire.send(request);
            assert_eq!(wire.receive_into(&mut reply), length);
        }
    };
    // The first request of a thread may allocate what it keeps.
    for (_, length, request) in &requests {
        times(&mut wire, 2, *length, request);
    }
    for (name, length, request) in &requests {
        let before = allocations(&mut wire);
        times(&mut wire, REQUESTS, *length, request);
        let after = allocations(&mut wire);
        assert_eq!(after - before, 0, "allocations for {REQUESTS} of {name}");
    }
    wire.end();
}

#[test]
fn locked() {
    no_request_allocates("locked", Arc::new(GlobalLock::new(())));
}

#[test]
fn concurrent() {
    no_request_allocates("concurrent", Concurrent);
}

/// The count is of what is allocated.
#[test]
fn allocations_are_counted() {
    let before = COUNT.get();
    drop(Box::new(7));
    drop(vec![0; 100]);
    let mut bytes = Vec::with_capacity(1);
    bytes.push(1);
    bytes.reserve(1000);
    assert_eq!(COUNT.get() - before, 4, "{bytes:?}");
}
