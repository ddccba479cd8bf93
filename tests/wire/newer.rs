//! Operations that not every libfuse delivers: `tmpfile`, `statx`, `syncfs`.

use std::io;
use std::sync::Arc;

use fuse3::connection::{Needs, UnsupportedOperation};
use fuse3::context::Guard;
use fuse3::{Concurrent, Connection, Errno, Filesystem, Operation};
use parking_lot::Mutex;

use crate::every::{Case, end, recorded};
use crate::harness::Wire;
use crate::mistakes::mistake;
use crate::proto::{self, InitIn, fopen};
use crate::recorder::{ENTRY, HANDLE, Values, entry};

/// O_TMPFILE and O_RDWR.
const FLAGS: u32 = 0x41_0002;

pub(crate) fn cases() -> Vec<Case> {
    let statx = Values::default().statx;
    vec![
        Case::new(
            Operation::Tmpfile,
            proto::tmpfile(80, libc::S_IFREG | 0o640, 0o26, FLAGS),
            "tmpfile 80 0o100640 0x410002 umask=0o26",
            [
                proto::entry_out(&ENTRY),
                proto::open_out(HANDLE.0, fopen::KEEP_CACHE),
            ]
            .concat(),
        )
        .undone(&[
            "release 1234605616436508552 fh=0xfedcba9876543210 flags=0x410002",
            "forget 1234605616436508552 1",
        ]),
        Case::new(
            Operation::Statx,
            proto::statx(81, Some(9), 0x2000, 0xfff),
            "statx 81 fh=0x9 0x2000 0xfff",
            proto::statx_out(&statx, ENTRY.attr_timeout),
        ),
        Case::new(
            Operation::Statx,
            proto::statx(81, None, 0, 0x8000_0800),
            "statx 81 0x0 0x80000800",
            proto::statx_out(&statx, ENTRY.attr_timeout),
        ),
        Case::new(Operation::Syncfs, proto::syncfs(82), "syncfs 82", vec![]),
    ]
}

/// libfuse answers by itself what it does not know.
#[test]
fn what_is_not_delivered() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for case in cases() {
        if case.operation.delivered().is_err() {
            wire.expect_error(&case.request, Errno::ENOSYS);
        }
    }
    end(&fs, wire);
}

/// What `init` is told about each operation.
#[derive(Clone, Default)]
struct Asks(Arc<Mutex<Vec<Result<(), UnsupportedOperation>>>>);

impl Filesystem for Asks {
    type Lock = Concurrent;

    fn init(&self, _: &mut Guard<'_, Self>, connection: &mut Connection<'_>) -> io::Result<()> {
        let all = Operation::ALL.iter();
        *self.0.lock() = all.map(|each| connection.delivers(*each)).collect();
        Ok(())
    }
}

/// By libfuse first, and then by the kernel.
#[test]
fn what_init_is_told() {
    use Operation as O;
    for (minor, lacking) in [
        (45, vec![]),
        (38, vec![(O::Statx, 39)]),
        (
            23,
            vec![
                (O::CopyFileRange, 28),
                (O::Lseek, 24),
                (O::Tmpfile, 37),
                (O::Statx, 39),
                (O::Syncfs, 34),
            ],
        ),
    ] {
        let fs = Asks::default();
        let mut wire = Wire::connect(fs.clone(), Concurrent, |builder| builder);
        wire.init(InitIn {
            minor,
            ..InitIn::default()
        });
        wire.end();
        for (operation, told) in O::ALL.iter().zip(&*fs.0.lock()) {
            let by_kernel = lacking.iter().find(|(lacking, _)| lacking == operation);
            let by_kernel =
                by_kernel.map_or(Ok(()), |(_, minor)| Err(Needs::Protocol((7, *minor))));
            let expected = match operation.delivered() {
                Ok(()) => by_kernel,
                Err(error) => Err(error.needs),
            };
            assert_eq!(
                told.map_err(|error| error.needs),
                expected,
                "{operation} {minor}"
            );
            if let Err(error) = told {
                assert!(error.to_string().starts_with(operation.name()), "{error}");
            }
        }
    }
}

/// A file without a name is new, and no root.
#[test]
fn files_without_an_inode_of_their_own() {
    if Operation::Tmpfile.delivered().is_err() {
        return;
    }
    let request = proto::tmpfile(1, libc::S_IFREG | 0o600, 0, FLAGS);
    mistake(
        &request,
        |to| to.entry = entry(1),
        "a new name was given the inode 1",
        &[
            "release 1 fh=0xfedcba9876543210 flags=0x410002 (taken back)",
            "forget 1 1 (taken back)",
        ],
    );
}
