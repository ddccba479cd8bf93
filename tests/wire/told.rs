//! Handlers that wait when the session ends, or its connection is gone: they are told.

use std::sync::mpsc;
use std::time::Duration;

use fuse3::Errno;
use fuse3::lock::Condvar;

use crate::harness::{Wire, until};
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::{Style, in_both_styles};

in_both_styles! { waits_while asks deferred }

/// With three that wait at once, for one notification that never comes.
fn waits_while<L: Style>() {
    for close in [false, true] {
        let (ready, is_ready) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let never = Condvar::new();
        let fs = Probe::<L>::new(move |cx, _| {
            ready.send(()).unwrap();
            let waited = cx.wait_while(&never, None, |_| true);
            // Nor does it wait any more.
            let again = cx.wait_while(&never, Some(Duration::from_secs(60)), |_| true);
            tell.send((waited, again)).unwrap();
            Err(Errno::EINTR.into())
        });
        let mut wire = Wire::new(fs, L::lock());
        let sent = [(); 3].map(|()| wire.send(&proto::lookup(1, b"name")));
        for _ in sent {
            await_from(&is_ready);
        }
        if close {
            // How the session ends is not at issue.
            drop(wire.close());
        } else {
            wire.handle.terminate();
            let mut replies = [(); 3].map(|()| wire.receive());
            replies.sort();
            assert_eq!(replies, sent.map(|it| proto::error(it, libc::EINTR)));
            assert_eq!(wire.wait().unwrap().stats.panics, 0);
        }
        for _ in sent {
            assert_eq!(await_from(&told), (Err(Errno::EINTR), Err(Errno::EINTR)));
        }
    }
}

fn asks<L: Style>() {
    for close in [false, true] {
        let (ready, is_ready) = mpsc::channel();
        let fs = Probe::<L>::new(move |cx, _| {
            assert!(!cx.interrupted());
            ready.send(()).unwrap();
            until("the end is told", || cx.interrupted());
            enoent()
        });
        let mut wire = Wire::new(fs, L::lock());
        let unique = wire.send(&proto::lookup(1, b"name"));
        await_from(&is_ready);
        if close {
            // How the session ends is not at issue.
            drop(wire.close());
        } else {
            wire.handle.terminate();
            assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
            assert_eq!(wire.wait().unwrap().stats.panics, 0);
        }
    }
}

/// Whoever has the reply is told, too, and also after the end.
fn deferred<L: Style>() {
    let (give, given) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (reply, deferred) = cx.defer();
        give.send(reply).unwrap();
        Err(deferred.into())
    });
    let mut wire = Wire::new(fs, L::lock());
    wire.send(&proto::lookup(1, b"name"));
    let reply = await_from(&given);
    assert!(!reply.interrupted());
    wire.handle.terminate();
    until("the end is told", || reply.interrupted());
    wire.end();
    assert!(reply.interrupted());
    reply.send(enoent());
}
