//! What is the same for every operation that has an answer.

use fuse3::{Concurrent, Errno, Operation};

use crate::harness::{Wire, until};
use crate::proto::{self, Request};
use crate::recorder::{Bare, How, Recorder, Style, in_both_styles};
use crate::{attributes, devices, directories, filelocks, files, names, newer, ranges, xattrs};

/// An operation: what the kernel sends, and what is to come of it with a [`Recorder`] that answers its default values.
pub(crate) struct Case {
    pub(crate) operation: Operation,
    pub(crate) request: Request,
    /// The call of the handler.
    pub(crate) called: String,
    /// The reply after its header.
    pub(crate) reply: Vec<u8>,
    /// What libfuse replies when the slot is NULL.
    pub(crate) default: Result<Vec<u8>, Errno>,
    /// What the library calls when the reply is not taken.
    pub(crate) undone: Vec<String>,
}

impl Case {
    /// Of an operation whose default is ENOSYS, and that gives nothing out.
    pub(crate) fn new(
        operation: Operation,
        request: Request,
        called: &str,
        reply: Vec<u8>,
    ) -> Self {
        Self {
            operation,
            request,
            called: called.to_owned(),
            reply,
            default: Err(Errno::ENOSYS),
            undone: Vec::new(),
        }
    }

    pub(crate) fn default(self, body: Vec<u8>) -> Self {
        Self {
            default: Ok(body),
            ..self
        }
    }

    pub(crate) fn undone(self, calls: &[&str]) -> Self {
        let undone = calls.iter().map(|call| format!("{call} (taken back)"));
        Self {
            undone: undone.collect(),
            ..self
        }
    }
}

fn cases() -> Vec<Case> {
    let groups = [
        names::cases(),
        attributes::cases(),
        files::cases(),
        directories::cases(),
        xattrs::cases(),
        filelocks::cases(),
        ranges::cases(),
        devices::cases(),
        newer::cases(),
    ];
    // Of those that this libfuse does not deliver, `newer` shows that they are not.
    let all = groups.into_iter().flatten();
    all.filter(|case| case.operation.delivered().is_ok())
        .collect()
}

/// A session of a recorder whose INIT is done.
pub(crate) fn recorded<L: Style>() -> (Recorder<L>, Wire<Recorder<L>>) {
    let fs = Recorder::<L>::new();
    let wire = Wire::new(fs.clone(), fs.lock.clone());
    assert_eq!(fs.calls(1), ["init"]);
    (fs, wire)
}

/// Ends the session, and asserts that nothing was called but what the test has seen, and `destroy`.
#[track_caller]
pub(crate) fn end<L: Style>(fs: &Recorder<L>, wire: Wire<Recorder<L>>) {
    fs.join();
    wire.end();
    assert_eq!(fs.further_calls(), ["destroy"]);
}

in_both_styles! {
    answers errors panics defaults deferred_answers deferred_errors dropped_replies deferred_and_answered
    deferred_and_failed deferred_and_panicked dropped_and_panicked replies_that_are_not_taken
    deferred_replies_that_are_not_taken
}

#[test]
fn no_operation_is_missing() {
    let mut missing: Vec<_> = Operation::ALL.to_vec();
    missing.retain(|operation| cases().iter().all(|case| case.operation != *operation));
    use Operation as O;
    let without_answer = [O::Init, O::Destroy, O::Forget, O::ForgetMulti];
    let without_handler = [O::RetrieveReply];
    missing.retain(|operation| !without_answer.contains(operation));
    missing.retain(|operation| !without_handler.contains(operation));
    missing.retain(|operation| operation.delivered().is_ok());
    assert_eq!(missing, []);
}

fn answers<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    for case in cases() {
        wire.expect(&case.request, &case.reply);
        wire.assert_lock_free();
        assert_eq!(fs.further_calls(), [case.called]);
    }
    fs.assert_log(&[]);
    end(&fs, wire);
}

fn errors<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    let least = Errno::new(1).unwrap();
    let largest = Errno::new(libc::EHWPOISON).unwrap();
    for errno in [Errno::EACCES, least, largest] {
        fs.answer(How::Errno(errno));
        for case in cases() {
            wire.expect_error(&case.request, errno);
            wire.assert_lock_free();
            assert_eq!(fs.further_calls(), [case.called]);
        }
    }
    fs.assert_log(&[]);
    end(&fs, wire);
}

fn panics<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::Panic);
    let mut log = Vec::new();
    for case in cases() {
        wire.expect_error(&case.request, Errno::EIO);
        wire.assert_lock_free();
        assert_eq!(fs.further_calls(), [case.called]);
        log.push(format!(
            "ERROR fuse3: {} panicked: a panic on purpose",
            case.operation
        ));
    }
    fs.answer(How::Answer);
    for case in cases() {
        wire.expect(&case.request, &case.reply);
    }
    fs.further_calls();
    log.sort();
    let mut logged = fs.log();
    logged.sort();
    assert_eq!(logged, log);
    let panicked = u64::try_from(log.len()).unwrap();
    assert_eq!(wire.end().stats.panics, panicked);
}

fn defaults<L: Style>() {
    let lock = L::lock();
    let mut wire = Wire::new(Bare::<L>::new(), lock);
    for case in cases() {
        match case.default {
            Ok(body) => wire.expect(&case.request, &body),
            Err(errno) => wire.expect_error(&case.request, errno),
        }
        wire.assert_lock_free();
    }
    wire.end();
}

fn deferred_answers<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::Defer);
    for case in cases() {
        wire.expect(&case.request, &case.reply);
        assert_eq!(fs.further_calls(), [case.called]);
    }
    fs.assert_log(&[]);
    end(&fs, wire);
}

fn deferred_errors<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::DeferErrno(Errno::ESTALE));
    for case in cases() {
        wire.expect_error(&case.request, Errno::ESTALE);
        assert_eq!(fs.further_calls(), [case.called]);
    }
    fs.assert_log(&[]);
    end(&fs, wire);
}

const DROPPED: &str =
    "WARN fuse3: a deferred reply was dropped without an answer; its caller gets EIO";

fn dropped_replies<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::DeferAndDrop);
    for case in cases() {
        wire.expect_error(&case.request, Errno::EIO);
        assert_eq!(fs.further_calls(), [case.called]);
    }
    fs.assert_log(&vec![DROPPED; cases().len()]);
    end(&fs, wire);
}

fn deferred_and_answered<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::DeferAndAnswer);
    let mut log = Vec::new();
    for case in cases() {
        wire.expect(&case.request, &case.reply);
        // The answer that was returned is nobody's: what it gave out is taken back.
        let calls = [vec![case.called], case.undone].concat();
        assert_eq!(fs.calls(calls.len()), calls);
        log.push(format!(
            "ERROR fuse3: {} both deferred its answer and returned one; the deferred one counts",
            case.operation
        ));
    }
    end(&fs, wire);
    let mut logged = fs.log();
    logged.sort();
    log.sort();
    assert_eq!(logged, log);
}

fn deferred_and_failed<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::DeferAndErrno(Errno::EBUSY));
    let mut log = Vec::new();
    for case in cases() {
        wire.expect(&case.request, &case.reply);
        assert_eq!(fs.further_calls(), [case.called]);
        log.push(format!(
            "ERROR fuse3: {} both deferred its answer and returned EBUSY; the deferred one counts",
            case.operation
        ));
    }
    end(&fs, wire);
    let mut logged = fs.log();
    logged.sort();
    log.sort();
    assert_eq!(logged, log);
}

fn deferred_and_panicked<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::DeferAndPanic);
    for case in cases() {
        wire.expect(&case.request, &case.reply);
        assert_eq!(fs.further_calls(), [case.called]);
    }
    end(&fs, wire);
    assert_eq!(fs.log().len(), cases().len());
}

fn dropped_and_panicked<L: Style>() {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(How::DropAndPanic);
    for case in cases() {
        wire.expect_error(&case.request, Errno::EIO);
        assert_eq!(fs.further_calls(), [case.called]);
    }
    end(&fs, wire);
}

/// The caller was interrupted while the handler ran: what it was given is taken back, and the session goes on.
fn replies_that_are_not_taken<L: Style>() {
    not_taken::<L>(How::Answer);
}

fn deferred_replies_that_are_not_taken<L: Style>() {
    not_taken::<L>(How::Defer);
}

fn not_taken<L: Style>(how: How) {
    let (fs, mut wire) = recorded::<L>();
    fs.answer(how);
    let mut count = 0;
    for case in cases() {
        // What gives nothing out is looked at below: here nobody knows when its reply has failed.
        if !case.undone.is_empty() {
            let stuffed = wire.refuse(false);
            wire.send(&case.request);
            let calls = [vec![case.called], case.undone].concat();
            assert_eq!(fs.calls(calls.len()), calls);
            wire.accept(stuffed);
            wire.expect(&proto::getattr(1, None), &attributes::reply());
            assert_eq!(fs.further_calls(), ["getattr 1"]);
            count += 1;
        }
    }
    wire.refuse_for_good();
    for case in cases() {
        wire.send(&case.request);
        let calls = [vec![case.called], case.undone].concat();
        assert_eq!(fs.calls(calls.len()), calls);
        count += 1;
    }
    let handle = wire.handle.clone();
    until("every reply has failed", || {
        handle.stats().not_taken == count
    });
    let stats = wire.end().stats;
    assert_eq!(fs.further_calls(), ["destroy"]);
    assert_eq!((stats.not_taken, stats.panics), (count, 0));
    fs.assert_log(&[]);
}

/// A session of a file system in which the callers of all requests are told EIO goes on.
#[test]
fn an_error_that_is_not_taken_undoes_nothing() {
    let (fs, mut wire) = recorded::<Concurrent>();
    fs.answer(How::Errno(Errno::EINTR));
    wire.refuse_for_good();
    for case in cases() {
        wire.send(&case.request);
        assert_eq!(fs.calls(1), [case.called]);
    }
    end(&fs, wire);
}
