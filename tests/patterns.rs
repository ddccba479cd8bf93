//! How llfuse's users use its lock (S3QL, Arvados), on the lock, the keyed locks, the queue and the table of inodes.
//!
//! Each is a small file system without a mount: the state under the global lock, and threads for its handlers.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fuse3::kit::{InodeTable, KeyedLocks, OwnedKeyGuard, work_queue};
use fuse3::lock::{Condvar, Woken};
use fuse3::{Errno, GlobalLock, Ino, Locked};

use deadline::within_a_minute;

#[path = "common/deadline.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod deadline;

/// P1: released around slow I/O, the inode is pinned, and everything else looked up anew.
#[test]
fn pinned_over_a_release_an_inode_is_still_there_and_not_what_it_was() {
    within_a_minute(|| {
        struct File {
            size: u64,
        }

        /// Waits for the disk with the lock released, and then has the size as it is now.
        fn write(
            fs: &mut Locked<'_, InodeTable<File>>,
            ino: Ino,
            end: u64,
            disk: &Barrier,
        ) -> Result<u64, Errno> {
            fs.open(ino)?; // the pin
            fs.released(|_| {
                disk.wait();
                disk.wait();
            });
            let file = fs.get_mut(ino)?;
            // Somebody may have written behind it meanwhile.
            file.size = file.size.max(end);
            let size = file.size;
            drop(fs.release(ino));
            Ok(size)
        }

        let mut inodes = InodeTable::new(File { size: 0 });
        let [pinned, other] = [1, 2].map(|size| inodes.insert(File { size }));
        for ino in [pinned, other] {
            inodes.lookup(ino).unwrap();
        }
        let lock = GlobalLock::new(inodes);
        let disk = Barrier::new(2);
        thread::scope(|threads| {
            let written = threads.spawn(|| write(&mut lock.lock().unwrap(), pinned, 10, &disk));
            disk.wait();
            let mut fs = lock.lock().unwrap();
            fs.get_mut(pinned).unwrap().size = 20;
            // The kernel forgets both, and one of them is pinned.
            assert!(fs.forget(pinned, 1).is_none());
            assert!(fs.forget(other, 1).is_some());
            drop(fs);
            disk.wait();
            assert_eq!(written.join().unwrap(), Ok(20));
        });
        let fs = lock.lock().unwrap();
        assert_eq!(
            fs.get(pinned).err(),
            Some(Errno::ESTALE),
            "the pin was kept"
        );
        assert_eq!(fs.get(other).err(), Some(Errno::ESTALE));
    });
}

/// P2: of all that ask for a block, one downloads it, and others do not wait for it.
#[test]
fn eight_clients_cause_one_download() {
    within_a_minute(|| {
        #[derive(Default)]
        struct Cache {
            blocks: HashMap<u64, u64>,
        }

        fn block(
            cache: &mut Locked<'_, Cache>,
            locks: &KeyedLocks<u64>,
            number: u64,
            download: &dyn Fn(u64) -> Result<u64, Errno>,
        ) -> Result<u64, Errno> {
            if let Some(block) = cache.blocks.get(&number) {
                return Ok(*block);
            }
            let _key = cache.released(|proof| locks.lock(number, proof));
            if let Some(block) = cache.blocks.get(&number) {
                return Ok(*block);
            }
            let block = cache.released(|_| download(number))?;
            cache.blocks.insert(number, block);
            Ok(block)
        }

        let (lock, locks) = (GlobalLock::new(Cache::default()), KeyedLocks::new());
        let downloads = AtomicU64::new(0);
        let fails = AtomicBool::new(true);
        let download = |number: u64| {
            thread::sleep(Duration::from_millis(20));
            downloads.fetch_add(1, Ordering::SeqCst);
            match number == 3 && fails.swap(false, Ordering::SeqCst) {
                true => Err(Errno::EIO),
                false => Ok(number * 100),
            }
        };
        // The first download of block 3 fails: one client has the error, and the next one tries again.
        for (number, expected_downloads, expected_errors) in [(1, 1, 0), (2, 1, 0), (3, 2, 1)] {
            let before = downloads.load(Ordering::SeqCst);
            let together = Barrier::new(8);
            let results = thread::scope(|threads| {
                let clients = [(); 8].map(|()| {
                    threads.spawn(|| {
                        together.wait();
                        block(&mut lock.lock().unwrap(), &locks, number, &download)
                    })
                });
                clients.map(|client| client.join().unwrap())
            });
            let errors = results.iter().filter(|result| result.is_err()).count();
            assert_eq!(errors, expected_errors);
            assert!(results.iter().flatten().all(|block| *block == number * 100));
            assert_eq!(
                downloads.load(Ordering::SeqCst) - before,
                expected_downloads
            );
            assert!(locks.is_empty());
        }
        // A block that somebody downloads stops nobody who wants another one.
        let key = locks.try_lock(9).unwrap();
        let other = thread::scope(|threads| {
            let other = threads.spawn(|| block(&mut lock.lock().unwrap(), &locks, 8, &download));
            other.join().unwrap()
        });
        assert_eq!(other, Ok(800));
        drop(key);
    });
}

/// P3: a thread that commits now and then, over a copy, and looks up each again; an unlink races with it.
#[test]
fn a_commit_thread_and_unlink_agree() {
    within_a_minute(|| {
        #[derive(Default)]
        struct State {
            /// What is dirty, and the version of it.
            dirty: BTreeMap<u64, u64>,
            backend: BTreeMap<u64, u64>,
            stopping: bool,
            commits: u64,
        }

        fn commit(fs: &mut Locked<'_, State>, keys: &KeyedLocks<u64>) {
            let copy: Vec<u64> = fs.dirty.keys().copied().collect();
            for file in copy {
                // Unlink waits for the key, so that it does not come between upload and note.
                let key = fs.released(|proof| keys.lock(file, proof));
                // It may have been unlinked, or committed, meanwhile.
                let Some(version) = fs.dirty.get(&file).copied() else {
                    continue;
                };
                fs.released(|_| thread::yield_now());
                fs.backend.insert(file, version);
                if fs.dirty.get(&file) == Some(&version) {
                    fs.dirty.remove(&file);
                }
                drop(key);
            }
            fs.commits += 1;
        }

        static STOP: Condvar = Condvar::new();
        let (lock, keys) = (GlobalLock::new(State::default()), KeyedLocks::new());
        thread::scope(|threads| {
            let committer = threads.spawn(|| {
                let mut fs = lock.lock().unwrap();
                while !fs.stopping {
                    commit(&mut fs, &keys);
                    // Now and then, and at once when it is to stop.
                    let woken = fs.wait(&STOP, Some(Duration::from_millis(1)));
                    assert!(woken == Woken::TimedOut || fs.stopping);
                }
                commit(&mut fs, &keys);
            });
            // Or they may be done before it has begun.
            while lock.lock().unwrap().commits == 0 {
                thread::yield_now();
            }
            let clients = [0, 1].map(|client| {
                let (lock, keys) = (&lock, &keys);
                threads.spawn(move || {
                    for round in 0..300 {
                        let file = client * 1000 + round;
                        lock.lock().unwrap().dirty.insert(file, 1);
                        lock.lock().unwrap().dirty.insert(file, 2);
                        if round % 2 == 0 {
                            let mut fs = lock.lock().unwrap();
                            let key = fs.released(|proof| keys.lock(file, proof));
                            fs.dirty.remove(&file);
                            fs.backend.remove(&file);
                            drop((fs, key));
                        }
                    }
                })
            });
            for client in clients {
                client.join().unwrap();
            }
            let mut fs = lock.lock().unwrap();
            fs.stopping = true;
            STOP.notify_all();
            drop(fs);
            committer.join().unwrap();
        });
        let state = lock.into_inner();
        assert!(state.dirty.is_empty() && state.commits > 1);
        assert!(
            state.backend.values().all(|version| *version == 2),
            "an old version won"
        );
        let expected = (0..300).filter(|round| round % 2 == 1);
        let expected = expected.flat_map(|round| [round, 1000 + round]);
        let mut expected: Vec<u64> = expected.collect();
        expected.sort_unstable();
        assert!(
            state.backend.into_keys().eq(expected),
            "unlinked, and in the backend"
        );
        assert!(keys.is_empty());
    });
}

/// P4: workers upload what handlers hand to them with its key, and release the key; some of them die.
#[test]
fn upload_workers_release_the_keys_that_handlers_took() {
    within_a_minute(|| {
        #[derive(Default)]
        struct State {
            uploaded: BTreeMap<u64, u64>,
            in_transit: u64,
        }

        struct Upload {
            key: OwnedKeyGuard<u64>,
            version: u64,
        }

        /// Counts the upload down, and tells, also when the worker panics.
        struct Done<'l>(&'l GlobalLock<State>, &'l Condvar);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.lock().unwrap().in_transit -= 1;
                self.1.notify_all();
            }
        }

        let (lock, keys) = (GlobalLock::new(State::default()), KeyedLocks::new());
        let done = Condvar::new();
        let (sender, receiver) = work_queue::<Upload>(2);
        let died = thread::scope(|threads| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    let (receiver, lock, done) = (receiver.clone(), &lock, &done);
                    threads.spawn(move || {
                        let run = AssertUnwindSafe(|| {
                            lock.unlocked(|proof| {
                                while let Some(upload) = receiver.recv(proof) {
                                    let done = Done(lock, done);
                                    thread::yield_now();
                                    let block = *upload.key.key();
                                    assert!(block != 13, "the backend refuses it");
                                    proof.lock().uploaded.insert(block, upload.version);
                                    drop(upload.key);
                                    drop(done);
                                }
                            })
                        });
                        catch_unwind(run).is_err()
                    })
                })
                .collect();
            drop(receiver);
            let mut fs = lock.lock().unwrap();
            for version in 1..=2 {
                for block in 0..40 {
                    if version == 2 && block == 13 {
                        continue;
                    }
                    fs.in_transit += 1;
                    let sent = fs.released(|proof| {
                        // The upload of the version before is waited for here.
                        let key = keys.lock(block, proof).into_owned();
                        let patience = Duration::from_secs(20);
                        sender.send_for(Upload { key, version }, patience, proof)
                    });
                    sent.expect("workers are left");
                }
            }
            // Whether all is uploaded is looked at again whenever something was.
            while fs.in_transit > 0 {
                fs.wait(&done, None);
            }
            drop((fs, sender));
            let died = workers.into_iter().map(|worker| worker.join().unwrap());
            died.filter(|died| *died).count()
        });
        assert_eq!(died, 1);
        assert!(keys.is_empty(), "the key of the worker that died is lost");
        let uploaded = lock.into_inner().uploaded;
        assert_eq!(uploaded.len(), 39);
        assert!(
            uploaded.values().all(|version| *version == 2),
            "out of order"
        );
    });
}

/// P5: a long computation yields after each batch, and whoever waits gets the lock before the next one.
#[test]
fn copying_a_tree_lets_others_in_after_each_batch() {
    within_a_minute(|| {
        const BATCH: u64 = 250;
        const ENTRIES: u64 = 50_000;

        #[derive(Default)]
        struct State {
            copied: u64,
            is_done: bool,
            /// After which batches a stat came in.
            stats: Vec<u64>,
        }

        let lock = GlobalLock::new(State::default());
        thread::scope(|threads| {
            let mut fs = lock.lock().unwrap();
            threads.spawn(|| {
                loop {
                    let mut fs = lock.lock().unwrap();
                    let batch = fs.copied / BATCH;
                    fs.stats.push(batch);
                    let is_done = fs.is_done;
                    drop(fs);
                    if is_done {
                        break;
                    }
                }
            });
            let mut handed_over = 0;
            while fs.copied < ENTRIES {
                fs.copied += BATCH;
                // A batch takes its time, so that the other thread is waiting when it ends.
                while lock.stats().waiters.is_empty() {
                    thread::yield_now();
                }
                handed_over += fs.yield_(100);
            }
            fs.is_done = true;
            assert!(handed_over as u64 >= ENTRIES / BATCH);
        });
        let stats = lock.into_inner().stats;
        // Each batch was followed by a stat: nobody waited for two.
        let mut batches = stats.clone();
        batches.dedup();
        assert!(
            batches.iter().copied().eq(1..=ENTRIES / BATCH),
            "{batches:?}"
        );
    });
}
