//! A character device as that of uinput, in user space: readers that wait for events, poll(2) with a notification, and ioctl(2) that
//! reaches the caller's memory, or has a value for an argument.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;

use fuse3::ioctl::{CallerMemory, Ioctl, IoctlCommand, IoctlReply};
use fuse3::poll::{PollEvents, PollHandle};
use fuse3::session::CharDevice;
use fuse3::{
    Answer, Context, Data, Errno, Fh, FileInfo, Filesystem, GlobalLock, Ino, Open, Opened, ReadBuf,
    Reply,
};

use crate::cuse::{UNRESTRICTED, connect};
use crate::harness::until;
use crate::proto::{self, IoctlIn};

/// `struct input_event`.
type Event = [u8; 24];

/// `UI_SET_EVBIT`: its argument is a number and not an address, whatever the command says.
const SET_BIT: IoctlCommand = IoctlCommand::write::<i32>(b'U', 100);
/// `UI_DEV_SETUP`: of a `struct uinput_setup`, which has the name at 8.
const SETUP: IoctlCommand = IoctlCommand::write::<[u8; 92]>(b'U', 3);
/// `UI_GET_SYSNAME(0)`; the size is the caller's.
const SYSTEM_NAME: IoctlCommand = IoctlCommand::read::<[u8; 0]>(b'U', 44);
const SIZE: u32 = 0x3fff << 16;

#[derive(Default)]
struct Events {
    queued: VecDeque<Event>,
    readers: VecDeque<Reply<Data<'static>>>,
    polls: HashMap<Fh, PollHandle>,
    setup: Vec<u8>,
    opened: u64,
}

/// An event comes: for a reader that waits, or to be read when the clients that poll have been told.
fn arrive(lock: &GlobalLock<Events>, event: Event) {
    let mut events = lock.lock().unwrap();
    if let Some(reader) = events.readers.pop_front() {
        return reader.send(Ok(ReadBuf::new(event.len()).copy_from(&event)));
    }
    events.queued.push_back(event);
    for handle in mem::take(&mut events.polls).into_values() {
        handle.notify().unwrap();
    }
}

struct Uinput;

impl Filesystem for Uinput {
    type Lock = Arc<GlobalLock<Events>>;

    fn open(&self, cx: &mut Context<'_, Self>, _: Ino, _: Open) -> Answer<Opened> {
        cx.opened += 1;
        Ok(Opened::new(Fh(cx.opened)))
    }

    fn read(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        file: &FileInfo,
        _: u64,
        out: ReadBuf,
    ) -> Answer<Data<'_>> {
        if let Some(event) = cx.queued.pop_front() {
            return Ok(out.copy_from(&event));
        }
        if file.flags().bits() & libc::O_NONBLOCK != 0 {
            return Err(Errno::EAGAIN.into());
        }
        let (reply, deferred) = cx.defer();
        cx.readers.push_back(reply);
        Err(deferred.into())
    }

    fn poll(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        file: &FileInfo,
        _: PollEvents,
        handle: Option<PollHandle>,
    ) -> Answer<PollEvents> {
        if let Some(handle) = handle {
            cx.polls.insert(file.handle(), handle);
        }
        let ready = if cx.queued.is_empty() {
            PollEvents::empty()
        } else {
            PollEvents::IN
        };
        Ok(ready)
    }

    fn ioctl(
        &self,
        cx: &mut Context<'_, Self>,
        _: Ino,
        _: &FileInfo,
        ioctl: &Ioctl<'_>,
    ) -> Answer<IoctlReply> {
        let address = ioctl.argument;
        let part = |length| CallerMemory { address, length };
        let IoctlCommand(command) = ioctl.command;
        match (ioctl.command, ioctl.input, ioctl.output_size) {
            (SET_BIT, ..) => Ok(IoctlReply::new(i32::try_from(address).unwrap())),
            (SETUP, [], _) => Ok(IoctlReply::retry([part(92)], [])),
            (SETUP, setup, _) => {
                cx.setup = setup.to_vec();
                Ok(IoctlReply::new(0))
            }
            _ if command & !SIZE == SYSTEM_NAME.0 => {
                let name = b"input7\0";
                let length = name.len().min((command & SIZE) as usize >> 16);
                match ioctl.output_size {
                    0 => Ok(IoctlReply::retry([], [part(length)])),
                    _ => Ok(IoctlReply::new(7).data(&name[..length])),
                }
            }
            _ => Err(Errno::ENOTTY.into()),
        }
    }
}

#[test]
fn events_are_read_polled_for_and_set_up() {
    let lock: Arc<GlobalLock<Events>> = Arc::default();
    let device = CharDevice::new("uinput").unrestricted_ioctl(true);
    let mut wire = connect(Uinput, Arc::clone(&lock), device);
    wire.send(&proto::cuse_init(7, 45));
    wire.receive();

    // One that does not wait is told so, polls, and is told when there is something.
    let nonblock = u32::try_from(libc::O_NONBLOCK).unwrap();
    wire.expect(&proto::open(0, nonblock), &proto::open_out(1, 0));
    let file = proto::File {
        flags: nonblock,
        ..proto::File::new(1)
    };
    wire.expect_error(&proto::read(0, file, 0, 24), Errno::EAGAIN);
    wire.expect(&proto::poll(0, 1, 11, true, 1), &proto::poll_out(0));
    arrive(&lock, [1; 24]);
    assert_eq!(wire.receive(), proto::notify_poll(11));
    wire.expect(&proto::poll(0, 1, 11, false, 1), &proto::poll_out(1));
    wire.expect(&proto::read(0, file, 0, 24), &[1; 24]);
    wire.expect(&proto::poll(0, 1, 11, true, 1), &proto::poll_out(0));

    // One that waits gets the next event; then another, that both wait for.
    wire.expect(&proto::open(0, 0), &proto::open_out(2, 0));
    let unique = wire.send(&proto::read(0, proto::File::new(2), 0, 24));
    until("the reader waits", || {
        !lock.lock().unwrap().readers.is_empty()
    });
    arrive(&lock, [2; 24]);
    assert_eq!(wire.receive(), proto::reply(unique, &[2; 24]));
    arrive(&lock, [3; 24]);
    assert_eq!(wire.receive(), proto::notify_poll(11));
    wire.expect(&proto::read(0, proto::File::new(2), 0, 24), &[3; 24]);

    // An argument that is a value; a structure that is read in a second round; a text of the length that the caller has room for.
    let call = |command: u32, argument, output_size, input: &[u8]| {
        let ioctl = IoctlIn {
            fh: 1,
            flags: UNRESTRICTED,
            command,
            argument,
            output_size,
        };
        proto::ioctl(0, ioctl, input)
    };
    wire.expect(&call(SET_BIT.0, 0x11, 0, b""), &proto::ioctl_out(0x11, b""));
    let again = proto::ioctl_retry(&[(0x7ffc_0000_1000, 92)], &[]);
    wire.expect(&call(SETUP.0, 0x7ffc_0000_1000, 0, b""), &again);
    let setup = [9; 92];
    wire.expect(
        &call(SETUP.0, 0x7ffc_0000_1000, 0, &setup),
        &proto::ioctl_out(0, b""),
    );
    assert_eq!(lock.lock().unwrap().setup, setup);
    for (room, text) in [(64, &b"input7\0"[..]), (4, b"inpu")] {
        let command = SYSTEM_NAME.0 | room << 16;
        let length = u32::try_from(text.len()).unwrap();
        let again = proto::ioctl_retry(&[], &[(0x2000, u64::from(length))]);
        wire.expect(&call(command, 0x2000, 0, b""), &again);
        wire.expect(
            &call(command, 0x2000, length, b""),
            &proto::ioctl_out(7, text),
        );
    }
    wire.expect_error(&call(0x5401, 0, 0, b""), Errno::ENOTTY);
    wire.end();
}
