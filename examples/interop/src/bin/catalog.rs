//! A file system in Rust whose requests are answered by a C library: `catalog MOUNTPOINT`, then `cat MOUNTPOINT/rhyme`.
//!
//! The library (c/catalog.h) is given the raw `fuse_req_t`, and with it the duty to answer: [`Reply::into_raw`]. Some functions
//! answer before they return; one answers later, from a thread of the library's own, and then calls back.

use std::error::Error;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use fuse3::reply::{Added, Payload, RawReply};
use fuse3::{
    Answer, Attr, Context, Data, DirBuf, Entry, Errno, FileInfo, Filesystem, GlobalLock, Ino,
    Listing, ReadBuf, Reply, Session, sys,
};

/// `struct catalog`.
#[repr(C)]
struct Library([u8; 0]);

unsafe extern "C" {
    fn catalog_new() -> *mut Library;
    fn catalog_free(catalog: *mut Library);
    safe fn catalog_name(ino: sys::fuse_ino_t) -> *const c_char;
    fn catalog_lookup(
        req: sys::fuse_req_t,
        parent: sys::fuse_ino_t,
        name: *const c_char,
        given: *mut sys::fuse_ino_t,
    ) -> c_int;
    fn catalog_getattr(req: sys::fuse_req_t, ino: sys::fuse_ino_t) -> c_int;
    fn catalog_read(
        catalog: *mut Library,
        req: sys::fuse_req_t,
        ino: sys::fuse_ino_t,
        size: usize,
        offset: libc::off_t,
        done: unsafe extern "C" fn(*mut c_void, c_int),
        data: *mut c_void,
    ) -> c_int;
}

/// # Invariants
///
/// The pointer came from `catalog_new()`, and is freed with this value.
struct Catalog(NonNull<Library>);

// SAFETY: the library has a mutex of its own, and says nothing of threads that it wants to be called by.
unsafe impl Send for Catalog {}
// SAFETY: as for `Send`.
unsafe impl Sync for Catalog {}

/// What the lock guards.
#[derive(Default)]
struct State {
    /// How many names the kernel knows, each as often as it was looked up.
    lookups: u64,
}

type Cx<'a> = Context<'a, Catalog>;

/// The answer of a read, which borrows nothing of the file system.
type Read = Data<'static>;

/// Has C answer, and returns whether the kernel took it.
fn answer<T: Payload>(reply: Reply<T>, c: impl FnOnce(sys::fuse_req_t) -> c_int) -> bool {
    // Else the session has ended, and nobody waits.
    let Some(raw) = reply.into_raw() else {
        return false;
    };
    let result = c(raw.as_ptr());
    raw.answered(result);
    result == 0
}

/// The library has answered a read.
///
/// # Safety
///
/// `data` is what `catalog_read()` was given, and this is called once.
unsafe extern "C" fn read_answered(data: *mut c_void, result: c_int) {
    // SAFETY: `read` has made it so, and the library calls this once.
    let raw = unsafe { Box::from_raw(data.cast::<RawReply<Read>>()) };
    raw.answered(result);
}

impl Filesystem for Catalog {
    type Lock = Arc<GlobalLock<State>>;

    fn lookup(&self, cx: &mut Cx<'_>, parent: Ino, name: &OsStr) -> Answer<Entry> {
        let name = CString::new(name.as_bytes()).map_err(|_| Errno::ENOENT)?;
        // Counted before the kernel knows it, which may forget it at once.
        cx.lookups += 1;
        let (reply, deferred) = cx.defer();
        let mut given = 0;
        // What C answers need not be answered with the lock held.
        let taken = cx.released(|_| {
            answer(reply, |req| {
                // SAFETY: the request is there to be answered, `name` and `given` live.
                unsafe { catalog_lookup(req, parent.0, name.as_ptr(), &raw mut given) }
            })
        });
        // No `forget` comes for what the kernel did not take.
        if given == 0 || !taken {
            cx.lookups -= 1;
        }
        Err(deferred.into())
    }

    fn forget(&self, cx: &mut Cx<'_>, _: Ino, nlookup: u64) {
        cx.lookups -= nlookup;
    }

    fn getattr(&self, cx: &mut Cx<'_>, ino: Ino, _: Option<&FileInfo>) -> Answer<(Attr, Duration)> {
        let (reply, deferred) = cx.defer();
        cx.released(|_| {
            answer(reply, |req| {
                // SAFETY: the request is there to be answered.
                unsafe { catalog_getattr(req, ino.0) }
            })
        });
        Err(deferred.into())
    }

    fn read(
        &self,
        cx: &mut Cx<'_>,
        ino: Ino,
        _: &FileInfo,
        at: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        let offset = libc::off_t::try_from(at).map_err(|_| Errno::EINVAL)?;
        let (reply, deferred) = cx.defer::<Read>();
        if let Some(raw) = reply.into_raw() {
            let (library, req) = (self.0.as_ptr(), raw.as_ptr());
            let data = Box::into_raw(Box::new(raw));
            // SAFETY: the library lives, the request is there to be answered until `read_answered` is called, and that
            // may be with `data`.
            let refused = unsafe {
                catalog_read(
                    library,
                    req,
                    ino.0,
                    out.size(),
                    offset,
                    read_answered,
                    data.cast(),
                )
            };
            if refused != 0 {
                // SAFETY: the library has not taken it, so that it is this function's again.
                let raw = unsafe { Box::from_raw(data) };
                // SAFETY: the library has not answered, and does not use the request any more.
                let reply = unsafe { raw.take_back() };
                reply.send(Err(Errno::from_raw(refused).into()));
            }
        }
        Err(deferred.into())
    }

    /// Answered in Rust, with the names that the library has.
    fn readdir(
        &self,
        _: &mut Cx<'_>,
        _: Ino,
        _: &FileInfo,
        at: u64,
        mut out: DirBuf,
    ) -> Answer<Listing> {
        for (ino, name) in (2..).map_while(text) {
            let entry = Entry::new(Attr::new(Ino(ino), libc::S_IFREG), Duration::ZERO);
            let name = OsStr::from_bytes(name.to_bytes());
            if ino > at && out.add(name, &entry, ino) == Added::Full {
                break;
            }
        }
        Ok(out.finish())
    }
}

/// An inode and its name, if the library has it.
fn text(ino: u64) -> Option<(u64, &'static CStr)> {
    let name = NonNull::new(catalog_name(ino).cast_mut())?;
    // SAFETY: names are literals of the library.
    Some((ino, unsafe { CStr::from_ptr(name.as_ptr()) }))
}

impl Drop for Catalog {
    fn drop(&mut self) {
        // SAFETY: it came from `catalog_new()` (invariant). No request waits: the session has ended, which it does after the
        // last `RawReply`.
        unsafe { catalog_free(self.0.as_ptr()) };
    }
}

fn main() {
    if let Err(error) = serve() {
        eprintln!("catalog: {error}");
        std::process::exit(1);
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("usage: catalog MOUNTPOINT")?;
    // SAFETY: it has no precondition.
    let library = unsafe { catalog_new() };
    let catalog = Catalog(NonNull::new(library).ok_or("no memory, or no thread")?);
    let lock = Arc::new(GlobalLock::new(State::default()));
    let builder = Session::builder(catalog, lock)
        .fsname("catalog")
        .read_only();
    let end = builder.handle_signals(true).mount(path)?.run()?;
    let stats = &end.stats;
    let lookups = end.lock.lock()?.lookups;
    println!(
        "{} requests, {} answers not taken, {lookups} lookups not forgotten",
        stats.total(),
        stats.not_taken
    );
    Ok(())
}
