//! Keyed locks in futures that answer requests: in order, and with none left behind.

use std::sync::{Arc, Barrier};
use std::thread;

use fuse3::kit::{KeyedLocks, OwnedKeyGuard};
use parking_lot::Mutex;

use crate::harness::{Wire, until};
use crate::probe::Probe;
use crate::proto;
use crate::recorder::{ENTRY, Style, entry, in_both_styles};

in_both_styles! {
    in_the_order_of_the_requests a_key_and_an_interrupt_at_once released_by_another_request a_handler_waits
}

/// A lookup takes the key, writes its name down, and answers.
fn takes_the_key<L: Style>(keys: &KeyedLocks<u64>, order: &Arc<Mutex<Vec<u64>>>) -> Probe<L> {
    let (keys, order) = (keys.clone(), Arc::clone(order));
    Probe::<L>::new(move |cx, name| {
        let ino: u64 = name.to_str().unwrap().parse().unwrap();
        let (keys, order) = (keys.clone(), Arc::clone(&order));
        cx.spawn(move |_| async move {
            let _key = keys.lock_async(1).await;
            order.lock().push(ino);
            tokio::task::yield_now().await;
            Ok(entry(ino))
        })
    })
}

/// Which request it answers.
fn number_of(reply: &[u8]) -> u64 {
    u64::from_ne_bytes(reply[8..16].try_into().unwrap())
}

fn until_waiting(keys: &KeyedLocks<u64>, count: usize) {
    until("they wait for the key", || keys.waiters(&1) == count);
}

fn in_the_order_of_the_requests<L: Style>() {
    let (keys, order) = (KeyedLocks::new(), Arc::default());
    let mut wire = Wire::new(takes_the_key::<L>(&keys, &order), L::lock());
    let held = keys.try_lock(1).unwrap();
    let mut expected = Vec::new();
    for ino in 10..16 {
        let unique = wire.send(&proto::lookup(1, ino.to_string().as_bytes()));
        expected.push(proto::reply(unique, &proto::entry_out(&entry(ino))));
        until_waiting(&keys, expected.len());
    }
    // The third one's caller gives up.
    let unique = number_of(&expected[2]);
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    expected.remove(2);
    assert_eq!(keys.waiters(&1), 5);
    wire.assert_silent();
    drop(held);
    let mut received: Vec<_> = expected.iter().map(|_| wire.receive()).collect();
    received.sort();
    expected.sort();
    assert!(received == expected);
    assert_eq!(*order.lock(), [10, 11, 13, 14, 15]);
    wire.end();
    assert!(keys.is_empty());
}

/// For a key, with the lock released; an interrupt ends the wait, and leaves nothing.
fn a_handler_waits<L: Style>() {
    let keys = KeyedLocks::new();
    let its = keys.clone();
    let fs = Probe::<L>::new(move |cx, _| {
        let key = cx.block_on(its.lock_async(1))?;
        // One that is free is not waited for.
        let other = cx.block_on(its.lock_async(2))?;
        assert_eq!((*key.key(), *other.key()), (1, 2));
        Ok(ENTRY)
    });
    let mut wire = Wire::new(fs, L::lock());
    let held = keys.try_lock(1).unwrap();
    let sent = [1, 2].map(|count| {
        let unique = wire.send(&proto::lookup(1, b"name"));
        until_waiting(&keys, count);
        unique
    });
    // It is released a moment after they have queued.
    until("the lock is free", || {
        let stats = wire.lock.stats();
        stats.is_none_or(|stats| stats.holder.is_none())
    });
    wire.send(&proto::interrupt(sent[0]));
    assert_eq!(wire.receive(), proto::error(sent[0], libc::EINTR));
    until_waiting(&keys, 1);
    wire.assert_silent();
    drop(held);
    let found = proto::reply(sent[1], &proto::entry_out(&ENTRY));
    assert!(wire.receive() == found);
    assert_eq!(wire.end().stats.panics, 0);
    assert!(keys.is_empty());
}

/// Whichever comes first: the next one has the key, and nothing is left.
fn a_key_and_an_interrupt_at_once<L: Style>() {
    let (keys, order) = (KeyedLocks::new(), Arc::default());
    let mut wire = Wire::new(takes_the_key::<L>(&keys, &order), L::lock());
    for _ in 0..200 {
        let held = keys.try_lock(1).unwrap().into_owned();
        let first = wire.send(&proto::lookup(1, b"10"));
        until_waiting(&keys, 1);
        let second = wire.send(&proto::lookup(1, b"11"));
        until_waiting(&keys, 2);
        let together = Barrier::new(2);
        thread::scope(|threads| {
            threads.spawn(|| {
                together.wait();
                drop(held);
            });
            together.wait();
            wire.send(&proto::interrupt(first));
        });
        let taken = |unique, ino| proto::reply(unique, &proto::entry_out(&entry(ino)));
        let (mut of_first, mut of_second) = (None, None);
        while of_first.is_none() || of_second.is_none() {
            let reply = wire.receive();
            let number = number_of(&reply);
            if number == first {
                of_first = Some(reply);
            } else if number == second {
                of_second = Some(reply);
            } else {
                // An interrupt that came when there was nothing to interrupt any more.
                assert_eq!(reply, proto::error(number, libc::EAGAIN));
            }
        }
        let possible = [taken(first, 10), proto::error(first, libc::EINTR)];
        assert!(possible.contains(&of_first.unwrap_or_default()));
        assert_eq!(of_second.unwrap_or_default(), taken(second, 11));
        until("the key is free", || keys.is_empty());
    }
    wire.handle.terminate();
}

fn released_by_another_request<L: Style>() {
    let keys = KeyedLocks::new();
    let kept: Arc<Mutex<Option<OwnedKeyGuard<u64>>>> = Arc::default();
    let fs = {
        let (keys, kept) = (keys.clone(), Arc::clone(&kept));
        Probe::<L>::new(move |cx, name| {
            let (keys, kept, name) = (keys.clone(), Arc::clone(&kept), name.to_owned());
            cx.spawn(move |_| async move {
                match name.to_str() {
                    Some("keep") => *kept.lock() = Some(keys.lock_async(1).await),
                    Some("give") => drop(kept.lock().take()),
                    _ => drop(keys.lock_async(1).await),
                }
                Ok(ENTRY)
            })
        })
    };
    let mut wire = Wire::new(fs, L::lock());
    wire.expect(&proto::lookup(1, b"keep"), &proto::entry_out(&ENTRY));
    assert!(keys.is_locked(&1));
    let waits = wire.send(&proto::lookup(1, b"wait"));
    until_waiting(&keys, 1);
    wire.assert_silent();
    let gives = wire.send(&proto::lookup(1, b"give"));
    let mut replies = [wire.receive(), wire.receive()];
    replies.sort();
    assert_eq!(
        replies,
        [waits, gives].map(|unique| proto::reply(unique, &proto::entry_out(&ENTRY)))
    );
    wire.end();
    assert!(keys.is_empty());
}
