//! What `init` sets: each capability by name, each number, what of it the kernel is told, and what is refused.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use fuse3::connection::{Agreement, SettingError};
use fuse3::context::Guard;
use fuse3::{Capabilities, Concurrent, Connection, Errno, Fh, Filesystem, Opened, Reason};

use crate::harness::Wire;
use crate::probe::{Probe, enoent};
use crate::proto::{self, InitIn, InitOut, fopen, init};
use crate::skip::skip;
use crate::transfer::Transfer;

/// INIT with an `init` that does this; the reply, what it returned, and what was agreed on.
fn negotiate(
    offer: InitIn,
    set: impl Fn(&mut Connection<'_>) -> Result<(), SettingError> + Send + Sync + 'static,
) -> (InitOut, Result<(), SettingError>, Agreement) {
    let result = Arc::new(Mutex::new(None));
    let told = Arc::clone(&result);
    let fs = Transfer::default().init(move |connection| {
        *told.lock().unwrap() = Some(set(connection));
        Ok(())
    });
    // ALLOW_IDMAP is refused without.
    let mut wire = Wire::connect(fs, Concurrent, |builder| builder.default_permissions());
    let reply = wire.init(offer);
    assert_eq!(wire.handle.connection(), None, "INIT may be under way");
    wire.expect(&proto::open(2, 0), &proto::open_out(1, 0));
    let handle = wire.handle.clone();
    let agreement = handle.connection().expect("INIT is done");
    wire.end();
    assert_eq!(handle.connection(), None, "the session has ended");
    let result = result.lock().unwrap().take().unwrap();
    (reply, result, agreement)
}

/// The 64 flags of a reply.
fn flags(reply: &InitOut) -> u64 {
    (u64::from(reply.flags2) << 32) | u64::from(reply.flags & !init::INIT_EXT)
}

/// Which flag of INIT the kernel is sent for a capability; `None` for what it is not told.
fn flag_of(capability: Capabilities) -> Option<u64> {
    use Capabilities as C;
    Some(match capability {
        C::HANDLE_KILLPRIV => 1 << 19,
        C::POSIX_ACL => 1 << 20,
        C::HANDLE_KILLPRIV_V2 => 1 << 28,
        C::SETXATTR_EXT => 1 << 29,
        C::SECURITY_CTX => 1 << 32,
        C::DIRECT_IO_ALLOW_MMAP => 1 << 36,
        C::PASSTHROUGH => 1 << 37,
        C::NO_EXPORT_SUPPORT => 1 << 38,
        C::ALLOW_IDMAP => 1 << 40,
        C::SPLICE_WRITE | C::SPLICE_MOVE | C::SPLICE_READ | C::IOCTL_DIR => return None,
        C::NO_OPEN_SUPPORT | C::NO_OPENDIR_SUPPORT | C::EXPIRE_ONLY => return None,
        same => same.bits(),
    })
}

#[test]
fn each_capability_is_told_or_refused() {
    let (plain, _, _) = negotiate(InitIn::default(), |_| Ok(()));
    let plain = flags(&plain);
    for (name, capability) in Capabilities::all().iter_names() {
        // What libfuse needs a ring for before it can be had.
        if capability == Capabilities::OVER_IO_URING && Capabilities::known().contains(capability) {
            continue;
        }
        let (reply, result, agreement) = negotiate(InitIn::default(), move |connection| {
            connection.want(capability)
        });
        if Capabilities::known().contains(capability) {
            assert_eq!(result, Ok(()), "{name}");
            let mut told = plain | flag_of(capability).unwrap_or(0);
            if capability == Capabilities::NO_OPEN_SUPPORT {
                told &= !Capabilities::ATOMIC_O_TRUNC.bits();
            }
            assert_eq!(flags(&reply), told, "{name}");
            assert!(agreement.granted.contains(capability), "{name}");
        } else {
            let error = result.unwrap_err();
            assert_eq!(error, SettingError::NotOffered(capability));
            let text = error.to_string();
            assert!(
                text.contains(name) && text.contains("needs libfuse 3."),
                "{text}"
            );
            assert_eq!(flags(&reply), plain, "{name}");
            assert!(!agreement.granted.contains(capability), "{name}");
        }
    }
}

/// libfuse wants it by itself, does not heed that unless told to by an option, and then may not be able to (3.18 without
/// liburing).
#[test]
fn io_uring_is_granted_where_it_is_told() {
    const FLAG: u64 = 1 << 41;
    let offer = InitIn {
        flags2: u32::MAX,
        ..InitIn::default()
    };
    let negotiate = |option: Option<&str>, want| {
        let fs = Transfer::default().init(move |connection| {
            if want {
                connection.want(Capabilities::OVER_IO_URING).unwrap();
            }
            Ok(())
        });
        let mut wire = Wire::connect(fs, Concurrent, |builder| match option {
            Some(option) => builder.option(option),
            None => builder,
        });
        let told = flags(&wire.init(offer)) & FLAG != 0;
        wire.expect(&proto::open(2, 0), &proto::open_out(1, 0));
        let granted = wire.handle.connection().unwrap().granted;
        wire.end();
        assert_eq!(granted.contains(Capabilities::OVER_IO_URING), told);
        told
    };
    assert!(!negotiate(None, false));
    if Capabilities::known().contains(Capabilities::OVER_IO_URING) {
        assert!(!negotiate(None, true));
        negotiate(Some("io_uring"), false);
    }
}

#[test]
fn a_kernel_without_says_which_has_it() {
    let offer = InitIn {
        minor: 31,
        flags: init::LINUX & !init::WRITEBACK_CACHE,
        flags2: 0,
        ..InitIn::default()
    };
    let (reply, result, agreement) = negotiate(offer, |connection| {
        connection.want(Capabilities::WRITEBACK_CACHE | Capabilities::EXPORT_SUPPORT)
    });
    let text = result.unwrap_err().to_string();
    assert!(text.contains("the kernel does not offer"), "{text}");
    assert!(
        text.contains("WRITEBACK_CACHE") && text.contains("Linux 3.15"),
        "{text}"
    );
    // The other one was asked for.
    assert_eq!(reply.flags & init::EXPORT_SUPPORT, init::EXPORT_SUPPORT);
    assert!(agreement.granted.contains(Capabilities::EXPORT_SUPPORT));
    let unknown = Capabilities::from_bits_retain(1 << 63);
    let (_, result, _) = negotiate(InitIn::default(), move |connection| {
        connection.want(unknown)
    });
    assert_eq!(result, Err(SettingError::NotOffered(unknown)));
}

#[test]
fn what_is_taken_back_is_not_told() {
    let (reply, _, agreement) = negotiate(InitIn::default(), |connection| {
        connection.unwant(Capabilities::all());
        assert_eq!(connection.wanted(), Capabilities::empty());
        Ok(())
    });
    assert_eq!(flags(&reply), u64::from(init::BIG_WRITES | init::MAX_PAGES));
    assert_eq!(agreement.granted, Capabilities::empty());
}

#[test]
fn what_is_offered_is_had() {
    use Capabilities as C;
    // The kernel of this INIT has no READDIRPLUS_AUTO.
    let offer = InitIn {
        flags: init::LINUX & !(1 << 14),
        ..InitIn::default()
    };
    let (reply, _, agreement) = negotiate(offer, |connection| {
        let got =
            connection.want_offered(C::READDIRPLUS | C::READDIRPLUS_AUTO | C::WRITEBACK_CACHE);
        assert_eq!(got, C::READDIRPLUS | C::WRITEBACK_CACHE);
        // What excludes the cache is left out, also where it is offered.
        assert_eq!(connection.want_offered(C::PASSTHROUGH), C::empty());
        Ok(())
    });
    assert!(
        agreement
            .granted
            .contains(C::READDIRPLUS | C::WRITEBACK_CACHE)
    );
    let told = flags(&reply);
    assert_eq!(told & (1 << 13 | 1 << 14 | 1 << 16), 1 << 13 | 1 << 16);
}

#[test]
fn what_leaves_no_duty() {
    use Capabilities as C;
    let (_, _, agreement) = negotiate(InitIn::default(), |connection| {
        let got = connection.want_without_duties();
        assert!(got.contains(C::ASYNC_READ | C::ASYNC_DIO | C::AUTO_INVAL_DATA | C::IOCTL_DIR));
        assert_eq!(connection.wanted() - C::OVER_IO_URING, got);
        Ok(())
    });
    assert!(
        !agreement
            .granted
            .intersects(C::ATOMIC_O_TRUNC | C::POSIX_LOCKS | C::READDIRPLUS)
    );
}

#[test]
fn the_numbers_that_the_kernel_is_told() {
    let (reply, result, agreement) = negotiate(InitIn::default(), |connection| {
        assert_eq!(connection.max_write() % 4096, 0);
        connection.set_max_write(64 << 10)?;
        connection.set_max_readahead(32 << 10)?;
        connection.set_max_background(100)?;
        connection.set_congestion_threshold(30)?;
        connection.set_time_granularity(1000)?;
        assert!(format!("{connection:?}").contains("max_background: 100"));
        Ok(())
    });
    assert_eq!(result, Ok(()));
    assert_eq!((reply.max_write, reply.max_pages), (64 << 10, 16));
    assert_eq!(reply.max_readahead, 32 << 10);
    assert_eq!(
        (reply.max_background, reply.congestion_threshold),
        (100, 30)
    );
    assert_eq!(reply.time_gran, 1000);
    assert_eq!(agreement.protocol, (7, 45));
    assert_eq!(
        (agreement.max_write, agreement.max_readahead),
        (64 << 10, 32 << 10)
    );
    assert_eq!(
        (agreement.max_background, agreement.congestion_threshold),
        (100, 30)
    );
    assert_eq!(agreement.time_granularity, 1000);

    let (reply, result, agreement) = negotiate(InitIn::default(), |connection| {
        connection.set_max_background(65_535)?;
        connection.set_congestion_threshold(65_535)?;
        connection.set_max_background(8)?;
        assert_eq!(connection.congestion_threshold(), 8);
        connection.set_congestion_threshold(0)
    });
    assert_eq!(result, Ok(()));
    // libfuse's default: three quarters.
    assert_eq!((reply.max_background, reply.congestion_threshold), (8, 6));
    assert_eq!(agreement.congestion_threshold, 6);
}

#[test]
fn numbers_out_of_range() {
    type Set = fn(&mut Connection<'_>) -> Result<(), SettingError>;
    let cases: [(Set, &str); 9] = [
        (
            |c| c.set_max_write(4095),
            "max_write cannot be 4095: it is from 4096 to ",
        ),
        (
            |c| c.set_max_write(u32::MAX),
            "max_write cannot be 4294967295: ",
        ),
        (
            |c| c.set_max_readahead((128 << 10) + 1),
            "max_readahead cannot be 131073: it is from 0 to 131072 bytes, what the kernel offers",
        ),
        (
            |c| c.set_max_background(65_536),
            "max_background cannot be 65536: it is from 0 to 65535",
        ),
        (
            |c| c.set_congestion_threshold(1),
            "congestion_threshold cannot be 1: it is from 0 to 0, the max_background that was set before",
        ),
        (
            |c| c.set_time_granularity(0),
            "time_gran cannot be 0: it is from 1 to 1000000000 nanoseconds, a power of 10",
        ),
        (
            |c| c.set_time_granularity(20),
            "time_gran cannot be 20: it is from 1 to 1000000000 nanoseconds, a power of 10",
        ),
        (
            |c| c.set_max_backing_stack_depth(2),
            "max_backing_stack_depth cannot be 2: it is from 0 to 1",
        ),
        (
            |c| c.set_request_timeout(65_536),
            "request_timeout cannot be 65536: it is from 0 to 65535 seconds",
        ),
    ];
    let (unset, _, agreed) = negotiate(InitIn::default(), |_| Ok(()));
    for (set, expected) in cases {
        let (reply, result, agreement) = negotiate(InitIn::default(), set);
        let error = result.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            (reply, agreement),
            (unset.clone(), agreed.clone()),
            "{expected}"
        );
    }
}

#[test]
fn what_some_libfuse_lacks() {
    let (reply, result, agreement) = negotiate(InitIn::default(), |connection| {
        connection.set_max_backing_stack_depth(1)?;
        connection.want(Capabilities::PASSTHROUGH)
    });
    if agreement.max_backing_stack_depth.is_some() {
        assert_eq!(result, Ok(()));
        // map_alignment, then max_stack_depth, which counts this file system.
        assert_eq!(reply.rest[2..6], 2_u32.to_ne_bytes());
        assert_eq!(agreement.max_backing_stack_depth, Some(1));
    } else {
        let text = "max_backing_stack_depth needs libfuse 3.17 and Linux 6.9";
        assert_eq!(result.unwrap_err().to_string(), text);
    }

    let (reply, result, agreement) = negotiate(InitIn::default(), |connection| {
        connection.set_request_timeout(77)
    });
    if agreement.request_timeout.is_some() {
        assert_eq!(result, Ok(()));
        assert_eq!(reply.rest[6..8], 77_u16.to_ne_bytes());
    } else {
        let text = "request_timeout needs libfuse 3.18 and Linux 6.15";
        assert_eq!(result.unwrap_err().to_string(), text);
    }

    let (_, result, agreement) = negotiate(InitIn::default(), |connection| {
        connection.set_no_interrupt(true)
    });
    match agreement.no_interrupt {
        Some(set) => assert_eq!((result, set), (Ok(()), true)),
        None => assert_eq!(
            result.unwrap_err().to_string(),
            "no_interrupt needs libfuse 3.17"
        ),
    }

    // An older kernel, whatever the libfuse.
    let old = InitIn {
        minor: 22,
        ..InitIn::default()
    };
    let fs = Transfer::default().init(|connection| {
        let error = connection.set_time_granularity(10).unwrap_err();
        assert_eq!(error.to_string(), "time_gran needs Linux 3.15");
        assert!(connection.set_max_backing_stack_depth(1).is_err());
        assert!(connection.set_request_timeout(1).is_err());
        Ok(())
    });
    let mut wire = fs.connect();
    let unique = wire.send(&proto::init(old));
    assert_eq!(wire.receive()[8..16], unique.to_ne_bytes());
    wire.end();
}

/// Both are refused, whether this libfuse knows the first or not: a program is not to find out with the next libfuse.
#[test]
fn passthrough_and_the_writeback_cache() {
    let known = Capabilities::known().contains(Capabilities::PASSTHROUGH);
    for (first, second) in [
        (Capabilities::PASSTHROUGH, Capabilities::WRITEBACK_CACHE),
        (Capabilities::WRITEBACK_CACHE, Capabilities::PASSTHROUGH),
        (
            Capabilities::PASSTHROUGH | Capabilities::WRITEBACK_CACHE,
            Capabilities::empty(),
        ),
    ] {
        let (_, result, agreement) = negotiate(InitIn::default(), move |connection| {
            match connection.want(first) {
                Err(SettingError::NotOffered(missing)) => {
                    assert!(!known && missing == Capabilities::PASSTHROUGH);
                    // It is not wanted then, and the other one may be.
                    connection.want(second)?;
                    connection.want(first | second)
                }
                result => result.and_then(|()| connection.want(second)),
            }
        });
        let error = result.unwrap_err();
        let refused = matches!(error, SettingError::Exclusive(_));
        assert!(refused, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("PASSTHROUGH") && text.contains("WRITEBACK_CACHE"),
            "{text}"
        );
        let both = Capabilities::PASSTHROUGH | Capabilities::WRITEBACK_CACHE;
        assert!(!agreement.granted.contains(both));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn flags_of_open_files() {
    let plain = Opened::new(Fh(1));
    let mut unknown = 0;
    for (opened, flag) in [
        (plain.noflush(true), fopen::NOFLUSH),
        (
            plain.direct_io(true).parallel_direct_writes(true),
            fopen::DIRECT_IO | fopen::PARALLEL_DIRECT_WRITES,
        ),
    ] {
        let mut wire = Transfer::default().open(move |_| Ok(opened)).wire();
        let flag = match opened.supported() {
            Ok(()) => flag,
            Err(SettingError::Missing { setting, needs }) => {
                assert!(needs.starts_with("libfuse 3."), "{setting} {needs}");
                unknown += 1;
                flag & fopen::DIRECT_IO
            }
            Err(error) => panic!("{error}"),
        };
        wire.expect(&proto::open(2, 0), &proto::open_out(1, flag));
        wire.end();
    }
    // What Debian has.
    match fuse3::sys::header_version() {
        [3, 14, 0] => assert_eq!(unknown, 1),
        version if version >= [3, 17, 0] => assert_eq!(unknown, 0),
        _ => {}
    }
}

/// The socket is not /dev/fuse.
#[test]
fn backing_files_are_refused_with_the_reason() {
    let reason = Arc::new(Mutex::new(None));
    for (want, with_libfuse) in [
        (Capabilities::empty(), "init did not ask for PASSTHROUGH"),
        (Capabilities::PASSTHROUGH, "(os error 25)"), // ENOTTY
    ] {
        let known = Capabilities::known().contains(Capabilities::PASSTHROUGH);
        let told = Arc::clone(&reason);
        let fs = Transfer::default()
            .init(move |connection| Ok(connection.want(want & Capabilities::known())?))
            .open(move |cx| {
                let error = cx.open_backing(io::stdin()).unwrap_err();
                *told.lock().unwrap() = Some(error.to_string());
                Ok(Opened::new(Fh(1)))
            });
        let mut wire = fs.wire();
        wire.expect(&proto::open(2, 0), &proto::open_out(1, 0));
        wire.end();
        let reason = reason.lock().unwrap().take().unwrap();
        if known {
            assert!(reason.contains(with_libfuse), "{reason}");
        } else {
            assert!(
                reason.contains("PASSTHROUGH, which needs libfuse 3.17"),
                "{reason}"
            );
        }
    }
}

/// As libfuse 3.18 answers where there is no handler.
#[test]
fn without_a_handler_open_answers_enosys_where_that_is_wanted() {
    struct Bare(Capabilities);
    impl Filesystem for Bare {
        type Lock = Concurrent;

        fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
            Ok(connection.want(self.0)?)
        }
    }
    let (open, opendir) = (proto::open(2, 0), proto::opendir(1, 0));
    let opened = proto::open_out(0, 0);
    let mut wire = Wire::new(Bare(Capabilities::empty()), Concurrent);
    wire.expect(&open, &opened);
    wire.expect(&opendir, &opened);
    wire.end();
    let mut wire = Wire::new(Bare(Capabilities::NO_OPEN_SUPPORT), Concurrent);
    wire.expect_error(&open, Errno::ENOSYS);
    wire.expect(&opendir, &opened);
    wire.end();
    let mut wire = Wire::new(Bare(Capabilities::NO_OPENDIR_SUPPORT), Concurrent);
    wire.expect(&open, &opened);
    wire.expect_error(&opendir, Errno::ENOSYS);
    wire.end();
}

/// libfuse splices no write at all if one of `max_write` bytes does not fit into a pipe.
#[test]
fn max_write_is_lowered_to_what_a_pipe_holds() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    if !Capabilities::known().contains(Capabilities::SPLICE_READ) {
        return skip("max_write_is_lowered_to_what_a_pipe_holds", "musl");
    }
    // The privilege is the thread's, and that of those that it starts: libfuse's loop, and the worker that calls `init`.
    let unprivileged = thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::SYS_RESOURCE);
        set_capabilities(None, sets).unwrap();
        [Capabilities::empty(), Capabilities::SPLICE_READ].map(|want| {
            let (reply, result, agreement) =
                negotiate(InitIn::default(), move |connection| connection.want(want));
            result.unwrap();
            assert_eq!(agreement.max_write, reply.max_write);
            reply.max_write
        })
    });
    let largest = std::fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap();
    let largest: u32 = largest.trim().parse().unwrap();
    // FUSE_BUFFER_HEADER_SIZE goes through the pipe, too.
    let fits = (largest - 4096).min(1 << 20);
    assert_eq!(unprivileged.join().unwrap(), [1 << 20, fits]);
}

/// libfuse ends a session where `max_read` of the mount and of the connection differ.
#[test]
fn a_largest_read_is_that_of_the_mount() {
    for options in [
        "max_read=65536",
        "max_read=8192",
        "max_read=1,max_read=0",
        "max_read=4294967295",
    ] {
        let fs = Probe::<Concurrent>::new(|_, _| enoent());
        let mut wire = Wire::with(fs, Concurrent, |builder| builder.options(options));
        wire.expect_error(&proto::lookup(1, b"name"), Errno::ENOENT);
        assert_eq!(wire.end().reason, Reason::Terminated, "{options}");
    }
}
