//! Which signals of a caller count: processes that signals are pending for stand behind the requests.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fuse3::Errno;
use fuse3::context::Caller;
use fuse3::lock::Condvar;
use fuse3::session::Interruption;

use crate::harness::{Wire, until};
use crate::probe::{Probe, await_from, enoent};
use crate::proto::{self, CALLER};
use crate::recorder::{Style, in_both_styles};

in_both_styles! { waits asks registers defers spawns never any changes }

/// It catches SIGUSR1 and stands still, so that signals stay pending, as they do for a caller that waits for an answer.
struct Still(Child);

impl Still {
    fn new() -> Self {
        let shell = "trap : USR1; kill -STOP $$; sleep 60";
        let child = Command::new("sh")
            .args(["-c", shell])
            .stdin(Stdio::null())
            .spawn();
        let still = Self(child.unwrap());
        until("it stands still", || still.status().contains("State:\tT"));
        still
    }

    fn status(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap()
    }

    fn get(&self, signal: i32) {
        let pid = self.0.id().try_into().unwrap();
        // SAFETY: no memory is involved; the process is a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        let bit = 1_u64 << (signal - 1);
        assert!(
            self.status().contains(&format!("ShdPnd:\t{bit:016x}")),
            "{}",
            self.status()
        );
    }

    fn caller(&self) -> Caller {
        let pid = self.0.id().try_into().unwrap();
        Caller { pid, ..CALLER }
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Longer than it takes to find out that a signal is fatal.
const A_WHILE: Duration = Duration::from_millis(150);

/// `lookup` waits for an interrupt, says EINTR, and sends to `ready` when it begins. SIGUSR1, which is caught, is no reason;
/// SIGTERM is one, though the kernel sends no second interrupt.
fn fatal<L: Style>(wire: &mut Wire<Probe<L>>, ready: &mpsc::Receiver<()>) {
    let still = Still::new();
    let unique = wire.send(&proto::lookup(1, b"name").from(still.caller()));
    await_from(ready);
    still.get(libc::SIGUSR1);
    wire.send(&proto::interrupt(unique));
    thread::sleep(A_WHILE);
    wire.assert_silent();
    drop(still);
    // A process that is gone counts as well.
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    // Another, which is sent a fatal signal first.
    let still = Still::new();
    let unique = wire.send(&proto::lookup(1, b"name").from(still.caller()));
    await_from(ready);
    still.get(libc::SIGTERM);
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
}

fn wire<L: Style>(fs: Probe<L>, by: Interruption) -> Wire<Probe<L>> {
    Wire::with(fs, L::lock(), |builder| builder.interruption(by))
}

/// What `lookup` does in a session without further settings.
fn fatal_in<L: Style>(fs: Probe<L>, ready: &mpsc::Receiver<()>) {
    let mut wire = wire(fs, Interruption::default());
    fatal(&mut wire, ready);
    assert_eq!(wire.end().stats.panics, 0);
}

fn waits<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let never = Condvar::new();
    let fs = Probe::<L>::new(move |cx, _| {
        ready.send(()).unwrap();
        Err(cx.wait_while(&never, None, |_| true).unwrap_err().into())
    });
    fatal_in(fs, &is_ready);
}

fn asks<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        assert!(!cx.interrupted());
        ready.send(()).unwrap();
        until("the caller dies", || cx.interrupted());
        Err(Errno::EINTR.into())
    });
    fatal_in(fs, &is_ready);
}

fn registers<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (tell, told) = mpsc::channel();
        cx.on_interrupt(move || tell.send(()).unwrap());
        ready.send(()).unwrap();
        await_from(&told);
        // Once only.
        assert!(told.recv().is_err());
        Err(Errno::EINTR.into())
    });
    fatal_in(fs, &is_ready);
}

fn defers<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        let (mut reply, deferred) = cx.defer();
        let (tell, told) = mpsc::channel();
        reply.on_interrupt(move || tell.send(()).unwrap());
        let ready = ready.clone();
        thread::spawn(move || {
            assert!(!reply.interrupted());
            ready.send(()).unwrap();
            until("the caller dies", || reply.interrupted());
            await_from(&told);
            reply.send(Err(Errno::EINTR.into()));
        });
        Err(deferred.into())
    });
    fatal_in(fs, &is_ready);
}

fn spawns<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let fs = Probe::<L>::new(move |cx, _| {
        ready.send(()).unwrap();
        cx.spawn(|_| std::future::pending())
    });
    fatal_in(fs, &is_ready);
}

/// A caller that is killed waits for the answer.
fn never<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let goes = parking_lot::Mutex::new(goes);
    let fs = Probe::<L>::new(move |cx, _| {
        cx.on_interrupt(|| unreachable!("nobody is told"));
        ready.send(()).unwrap();
        await_from(&goes.lock());
        let waited = cx.wait_while(&Condvar::new(), Some(A_WHILE), |_| true);
        assert!(waited.is_ok() && !cx.interrupted());
        enoent()
    });
    let mut wire = wire(fs, Interruption::Never);
    let still = Still::new();
    let unique = wire.send(&proto::lookup(1, b"name").from(still.caller()));
    await_from(&is_ready);
    still.get(libc::SIGTERM);
    wire.send(&proto::interrupt(unique));
    go.send(()).unwrap();
    assert_eq!(wire.receive(), proto::error(unique, libc::ENOENT));
    assert_eq!(wire.end().stats.panics, 0);
}

fn any<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let never = Condvar::new();
    let fs = Probe::<L>::new(move |cx, _| {
        ready.send(()).unwrap();
        let waited = cx.wait_while(&never, None, |_| true);
        assert!(cx.interrupted());
        Err(waited.unwrap_err().into())
    });
    let mut wire = wire(fs, Interruption::Any);
    let still = Still::new();
    let unique = wire.send(&proto::lookup(1, b"name").from(still.caller()));
    await_from(&is_ready);
    still.get(libc::SIGUSR1);
    wire.send(&proto::interrupt(unique));
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    assert_eq!(wire.end().stats.panics, 0);
}

/// A request says otherwise than its session, before and after the interrupt has come; its reply goes by that, too.
fn changes<L: Style>() {
    let (ready, is_ready) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let goes = parking_lot::Mutex::new(goes);
    let fs = Probe::<L>::new(move |cx, _| {
        cx.set_interruption(Interruption::Never);
        ready.send(()).unwrap();
        await_from(&goes.lock());
        let waited = cx.wait_while(&Condvar::new(), Some(A_WHILE), |_| true);
        assert!(waited.is_ok() && !cx.interrupted());
        cx.set_interruption(Interruption::Fatal);
        let waited = cx.wait_while(&Condvar::new(), Some(A_WHILE), |_| true);
        assert!(waited.is_ok() && !cx.interrupted());
        cx.set_interruption(Interruption::Any);
        assert!(cx.interrupted());
        let (mut reply, deferred) = cx.defer();
        cx.set_interruption(Interruption::Never); // not its request any more
        assert!(reply.interrupted());
        let (tell, told) = mpsc::channel();
        reply.on_interrupt(move || tell.send(()).unwrap());
        L::released(cx, || await_from(&told));
        reply.send(Err(Errno::EINTR.into()));
        Err(deferred.into())
    });
    let mut wire = wire(fs, Interruption::Fatal);
    let still = Still::new();
    let unique = wire.send(&proto::lookup(1, b"name").from(still.caller()));
    await_from(&is_ready);
    still.get(libc::SIGUSR1);
    wire.send(&proto::interrupt(unique));
    go.send(()).unwrap();
    assert_eq!(wire.receive(), proto::error(unique, libc::EINTR));
    assert_eq!(wire.end().stats.panics, 0);
}
