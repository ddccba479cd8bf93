//! The life of a session: INIT and what it negotiates, DESTROY, and the ends.

use fuse3::{Capabilities, Concurrent};

use crate::harness::Wire;
use crate::proto::{InitIn, InitOut, init};
use crate::recorder::Recorder;

/// INIT with this offer, to a file system that wants this.
fn negotiate(offer: InitIn, wants: Capabilities) -> (InitOut, Capabilities) {
    let fs = Recorder::<Concurrent>::new();
    *fs.wants.lock() = wants;
    let mut wire = Wire::connect(fs.clone(), Concurrent, |builder| builder);
    let reply = wire.init(offer);
    let wanted = fs.wanted.lock().unwrap();
    wire.end();
    (reply, wanted)
}

/// What libfuse asks for without being asked.
const ASKED: u32 = init::BIG_WRITES
    | init::MAX_PAGES
    | init::ASYNC_READ
    | init::ATOMIC_O_TRUNC
    | init::AUTO_INVAL_DATA
    | init::ASYNC_DIO;

#[test]
fn init_asks_for_nothing_because_there_is_a_handler() {
    let (reply, wanted) = negotiate(InitIn::default(), Capabilities::empty());
    // libfuse 3.10 does not know of the second half.
    assert_eq!(reply.flags & !init::INIT_EXT, ASKED);
    assert_eq!(reply.flags2, 0);
    let by_slot = Capabilities::POSIX_LOCKS
        | Capabilities::FLOCK_LOCKS
        | Capabilities::READDIRPLUS
        | Capabilities::READDIRPLUS_AUTO
        | Capabilities::SPLICE_READ;
    assert!(!wanted.intersects(by_slot), "{wanted:?}");
}
