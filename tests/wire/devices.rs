//! What is mostly sent to devices: `ioctl`, `poll`.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};

use fuse3::ioctl::IoctlReply;
use fuse3::notify::NotifyError;
use fuse3::poll::{PollEvents, PollHandle};
use fuse3::{Answer, Concurrent, Context, FileInfo, Filesystem, Ino, Operation};

use crate::every::{Case, end, recorded};
use crate::harness::Wire;
use crate::mistakes::mistake;
use crate::probe::await_from;
use crate::proto::{self, IoctlIn};
use crate::recorder::{Style, in_both_styles};

const FH: u64 = 0xdddd_0000_0000_000d;

const IOCTL: IoctlIn = IoctlIn {
    fh: FH,
    flags: 0,
    command: 0xc00e_4502,
    argument: 0x7ffc_1122_3344_5566,
    output_size: 14,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Operation::Ioctl,
            proto::ioctl(70, IOCTL, b"what \0\xff asked"),
            "ioctl 70 fh=0xdddd00000000000d 0xc00e4502 0x7ffc112233445566 flags=0x0 \
             \"what \\0\\xFF asked\" -> 14",
            proto::ioctl_out(0x1234_5678, b"what is given"),
        ),
        Case::new(
            Operation::Poll,
            proto::poll(71, FH, 0x1122_3344_5566_7788, true, 0x8000_0041),
            "poll 71 fh=0xdddd00000000000d 0x80000041 Some(PollHandle)",
            proto::poll_out(0x11),
        ),
        Case::new(
            Operation::Poll,
            proto::poll(71, FH, 0, false, 0),
            "poll 71 fh=0xdddd00000000000d 0x0 None",
            proto::poll_out(0x11),
        ),
    ]
}

/// 32-bit programs, directories, and flags that nobody knows.
#[test]
fn the_flags_of_an_ioctl() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for flags in [1, 1 << 3, 1 << 4, 1 << 5, 0x8000_0039] {
        let request = proto::ioctl(70, IoctlIn { flags, ..IOCTL }, b"");
        wire.expect(&request, &proto::ioctl_out(0x1234_5678, b"what is given"));
        let call = format!(
            "ioctl 70 fh=0xdddd00000000000d 0xc00e4502 0x7ffc112233445566 flags={flags:#x} \"\" -> 14"
        );
        assert_eq!(fs.further_calls(), [call]);
    }
    end(&fs, wire);
}

#[test]
fn as_much_as_an_ioctl_has_room_for() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for (size, data) in [
        (0, vec![]),
        (5, vec![]),
        (5, vec![7; 5]),
        (16_383, vec![8; 16_383]),
    ] {
        let ioctl = IoctlIn {
            output_size: size,
            ..IOCTL
        };
        fs.values().ioctl = IoctlReply::new(i32::MAX).data(data.clone());
        let request = proto::ioctl(70, ioctl, &vec![9; 16_383]);
        wire.expect(&request, &proto::ioctl_out(i32::MAX, &data));
        fs.further_calls();
    }
    end(&fs, wire);
    mistake(
        &proto::ioctl(70, IOCTL, b""),
        |to| to.ioctl = IoctlReply::new(0).data([7; 15]),
        "ioctl gave 15 bytes where the caller has room for 14",
        &[],
    );
    mistake(
        &proto::ioctl(70, IOCTL, b""),
        |to| to.ioctl = IoctlReply::new(-5),
        "ioctl gave the result -5",
        &[],
    );
}

/// Gives the handles that it gets to the test, and is ready for nothing.
struct Polled<L>(
    Sender<Option<PollHandle>>,
    std::marker::PhantomData<fn() -> L>,
);

impl<L: Style> Filesystem for Polled<L> {
    type Lock = L;

    fn poll(
        &self,
        _: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        _: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        self.0.send(handle).unwrap();
        Ok(PollEvents::empty())
    }
}

in_both_styles! { handles_are_kept_and_notify_once a_handle_outlives_its_session notified_in_the_handler }

fn polled<L: Style>() -> (Wire<Polled<L>>, mpsc::Receiver<Option<PollHandle>>) {
    let (sender, handles) = mpsc::channel();
    let wire = Wire::new(Polled(sender, std::marker::PhantomData), L::lock());
    (wire, handles)
}

fn handles_are_kept_and_notify_once<L: Style>() {
    let (mut wire, handles) = polled::<L>();
    let mut kept = Vec::new();
    for kh in [5, u64::MAX, 7] {
        wire.expect(&proto::poll(2, 1, kh, true, 1), &proto::poll_out(0));
        kept.push(await_from(&handles).unwrap());
    }
    wire.expect(&proto::poll(2, 1, 9, false, 1), &proto::poll_out(0));
    assert!(await_from(&handles).is_none());
    // The last one first, from another thread; the second one is dropped, and says nothing.
    let last = kept.pop().unwrap();
    std::thread::spawn(|| last.notify().unwrap())
        .join()
        .unwrap();
    assert_eq!(wire.receive(), proto::notify_poll(7));
    drop(kept.pop());
    kept.pop().unwrap().notify().unwrap();
    assert_eq!(wire.receive(), proto::notify_poll(5));
    wire.end();
}

fn a_handle_outlives_its_session<L: Style>() {
    let (mut wire, handles) = polled::<L>();
    for kh in 0..3 {
        wire.expect(&proto::poll(2, 1, kh, true, 1), &proto::poll_out(0));
    }
    let kept: Vec<_> = (0..3).map(|_| await_from(&handles).unwrap()).collect();
    let mut kept = kept.into_iter();
    // The session is over, but there is still what is left of it; then there is nothing; the last one is just dropped.
    let end = wire.end();
    let told = kept.next().unwrap().notify();
    assert_eq!(told, Err(NotifyError::Ended));
    drop(end);
    let told = kept.next().unwrap().notify();
    assert_eq!(told, Err(NotifyError::Ended));
    drop(kept);
}

/// With the lock held, and before the answer.
fn notified_in_the_handler<L: Style>() {
    struct Eager<L>(std::marker::PhantomData<fn() -> L>);

    impl<L: Style> Filesystem for Eager<L> {
        type Lock = L;

        fn poll(
            &self,
            _: &mut Context<'_, Self>,
            _: Ino,
            _: &FileInfo,
            _: PollEvents,
            handle: Option<PollHandle>,
        ) -> Answer<PollEvents> {
            handle.unwrap().notify().unwrap();
            Ok(PollEvents::OUT)
        }
    }

    let mut wire = Wire::new(Eager::<L>(std::marker::PhantomData), L::lock());
    let unique = wire.send(&proto::poll(2, 1, 77, true, 4));
    assert_eq!(wire.receive(), proto::notify_poll(77));
    assert_eq!(wire.receive(), proto::reply(unique, &proto::poll_out(4)));
    wire.end();
}

/// What the file system keeps of a session does not keep the session.
#[test]
fn a_kept_handle_keeps_nothing() {
    let (mut wire, handles) = polled::<Concurrent>();
    wire.expect(&proto::poll(2, 1, 5, true, 1), &proto::poll_out(0));
    let handle = await_from(&handles).unwrap();
    let fs = Arc::downgrade(&wire.end().fs);
    assert!(fs.upgrade().is_none());
    drop(handle);
}
