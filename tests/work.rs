//! The queue to worker threads: bounded, with an end that everyone is told of.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fuse3::kit::{KeyedLocks, NoMoreWork, UnsentReason, WorkSender, work_queue};
use fuse3::{Concurrent, GlobalLock};

use deadline::{message, until, within_a_minute};

#[path = "common/deadline.rs"]
mod deadline;

fn send<T: std::fmt::Debug>(sender: &WorkSender<T>, item: T) -> Result<(), UnsentReason> {
    Concurrent.unlocked(|proof| sender.send(item, proof).map_err(|unsent| unsent.reason))
}

#[test]
fn items_come_out_in_order_and_no_more_than_the_capacity_are_kept() {
    let (sender, receiver) = work_queue(2);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    let unsent = sender.try_send(3).unwrap_err();
    assert_eq!((unsent.item, unsent.reason), (3, UnsentReason::Full));
    assert_eq!((sender.len(), sender.is_empty()), (2, false));
    Concurrent.unlocked(|proof| {
        assert_eq!(receiver.recv(proof), Some(1));
        assert_eq!(receiver.recv(proof), Some(2));
        assert_eq!(receiver.recv_for(Duration::ZERO, proof), Ok(None));
    });
    assert!(sender.is_empty());
}

#[test]
fn a_sender_waits_for_room_and_a_receiver_for_an_item() {
    within_a_minute(|| {
        let (sender, receiver) = work_queue(3);
        let received = thread::scope(|threads| {
            let workers = [0; 3].map(|_| {
                let receiver = receiver.clone();
                threads.spawn(move || {
                    let mut received = Vec::new();
                    Concurrent.unlocked(|proof| {
                        while let Some(item) = receiver.recv(proof) {
                            received.push(item);
                        }
                    });
                    received
                })
            });
            for first in [0, 1_000] {
                let sender = sender.clone();
                threads.spawn(move || {
                    for item in first..first + 1_000 {
                        send(&sender, item).unwrap();
                    }
                });
            }
            drop(sender);
            workers.map(|worker| worker.join().unwrap())
        });
        for received in &received {
            let (low, high): (Vec<i32>, Vec<i32>) =
                received.iter().partition(|item| **item < 1_000);
            assert!(low.is_sorted() && high.is_sorted(), "out of order");
        }
        let mut all = received.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..2_000));
    });
}

#[test]
fn time_outs_are_kept_and_the_item_comes_back() {
    within_a_minute(|| {
        let (sender, receiver) = work_queue(1);
        sender.try_send(1).unwrap();
        let timeout = Duration::from_millis(30);
        let start = Instant::now();
        let unsent = Concurrent.unlocked(|proof| sender.send_for(2, timeout, proof).unwrap_err());
        assert!(start.elapsed() >= timeout);
        assert_eq!((unsent.item, unsent.reason), (2, UnsentReason::Full));
        Concurrent.unlocked(|proof| {
            assert_eq!(receiver.recv_for(timeout, proof), Ok(Some(1)));
            let start = Instant::now();
            assert_eq!(receiver.recv_for(timeout, proof), Ok(None));
            assert!(start.elapsed() >= timeout);
        });
    });
}

#[test]
fn after_close_the_rest_is_served_and_nothing_more_is_sent() {
    within_a_minute(|| {
        let (sender, receiver) = work_queue(2);
        sender.try_send(1).unwrap();
        sender.clone().close();
        assert_eq!(send(&sender, 2), Err(UnsentReason::Closed));
        Concurrent.unlocked(|proof| {
            assert_eq!(receiver.recv(proof), Some(1));
            assert_eq!(receiver.recv(proof), None);
            assert_eq!(receiver.recv_for(Duration::MAX, proof), Err(NoMoreWork));
        });
    });
}

#[test]
fn close_wakes_those_that_wait() {
    within_a_minute(|| {
        let (sender, receiver) = work_queue(1);
        thread::scope(|threads| {
            let waits = threads.spawn(|| Concurrent.unlocked(|proof| receiver.recv(proof)));
            thread::sleep(Duration::from_millis(20));
            sender.close();
            assert_eq!(waits.join().unwrap(), None::<u32>);
        });
        let (sender, receiver) = work_queue(1);
        sender.try_send(1).unwrap();
        thread::scope(|threads| {
            let waits = threads.spawn(|| send(&sender, 2));
            thread::sleep(Duration::from_millis(20));
            receiver.close();
            assert_eq!(waits.join().unwrap(), Err(UnsentReason::Closed));
        });
    });
}

#[test]
fn without_senders_a_receiver_does_not_wait() {
    within_a_minute(|| {
        let (sender, receiver) = work_queue::<u32>(1);
        thread::scope(|threads| {
            let waits = threads.spawn(|| Concurrent.unlocked(|proof| receiver.recv(proof)));
            thread::sleep(Duration::from_millis(20));
            drop(sender);
            assert_eq!(waits.join().unwrap(), None);
        });
    });
}

/// S3QL's `test_thread_hang`: a handler that waits for workers that have died waits for ever.
#[test]
fn workers_that_died_are_noticed_by_one_that_waits_and_their_keys_are_released() {
    within_a_minute(|| {
        let blocks = KeyedLocks::new();
        let (sender, receiver) = work_queue(1);
        let died = AtomicUsize::new(0);
        let key = |block| blocks.try_lock(block).expect("free").into_owned();
        thread::scope(|threads| {
            for _ in 0..2 {
                let (receiver, died) = (receiver.clone(), &died);
                threads.spawn(move || {
                    let panic = catch_unwind(AssertUnwindSafe(|| {
                        let receiver = receiver;
                        let _key = Concurrent.unlocked(|proof| receiver.recv(proof));
                        panic!("the backend is gone");
                    }));
                    assert!(panic.is_err());
                    died.fetch_add(1, Ordering::SeqCst);
                });
            }
            drop(receiver);
            assert_eq!(sender.workers(), 2);
            let mut sent = 0;
            let reason = loop {
                match send(&sender, key(sent)) {
                    Ok(()) => sent += 1,
                    Err(reason) => break reason,
                }
            };
            assert_eq!(reason, UnsentReason::NoWorkers);
            assert!((2..=3).contains(&sent), "{sent}");
        });
        assert_eq!((sender.workers(), died.into_inner()), (0, 2));
        assert!(blocks.is_empty(), "a key was lost with a worker");
    });
}

#[test]
fn what_nobody_will_take_is_dropped_at_once() {
    let blocks = KeyedLocks::new();
    let (sender, receiver) = work_queue(1);
    sender
        .try_send(blocks.try_lock(1).unwrap().into_owned())
        .unwrap();
    drop(receiver);
    assert!(blocks.is_empty());
}

#[test]
fn waiting_with_the_lock_taken_beside_the_proof_panics() {
    let lock = GlobalLock::new(());
    let (sender, receiver) = work_queue(1);
    for what in ["WorkSender::send", "WorkReceiver::recv"] {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let told = lock.unlocked(|proof| {
                let _beside = lock.lock().unwrap();
                match what {
                    "WorkSender::send" => drop(sender.send(1, proof)),
                    _ => drop(receiver.recv(proof)),
                }
            });
            told.unwrap();
        }));
        let panic = panic.unwrap_err();
        assert!(message(&*panic).contains(what), "{}", message(&*panic));
    }
    until(|| !lock.is_held());
}

#[test]
fn the_ends_say_how_much_waits_and_errors_say_why() {
    let (sender, receiver) = work_queue(1);
    sender.try_send("item").unwrap();
    let text = format!("{sender:?}");
    assert_eq!(text, "WorkSender { len: 1, workers: 1, .. }");
    assert_eq!(format!("{receiver:?}"), "WorkReceiver { len: 1, .. }");
    let full = sender.try_send("another").unwrap_err();
    assert_eq!(full.to_string(), "the queue of the workers is full");
    assert_eq!(format!("{full:?}"), "Unsent { reason: Full, .. }");
    receiver.close();
    let closed = sender.try_send("another").unwrap_err();
    assert_eq!(closed.to_string(), "the queue of the workers is closed");
    let ended = UnsentReason::NoWorkers.to_string();
    assert_eq!(ended, "all workers have ended");
    let no_more = NoMoreWork.to_string();
    assert!(no_more.starts_with("the queue has ended"), "{no_more}");
}
