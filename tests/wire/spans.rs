//! The spans of `TracingObserver`, as a subscriber sees them.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc;
use std::thread::{self, ThreadId};

use fuse3::observe::TracingObserver;
use fuse3::{Concurrent, Errno};
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::harness::{Wire, until};
use crate::probe::{Probe, await_from, enoent};
use crate::proto;
use crate::recorder::ENTRY;

/// What has become of each span of these tests.
static SPANS: Mutex<Vec<Span>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, Default)]
struct Span {
    fields: HashMap<&'static str, String>,
    /// What was logged in it.
    events: Vec<String>,
    /// Where it was entered, and has not been left.
    inside: Vec<ThreadId>,
    entered: usize,
    handles: usize,
}

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

struct Spans;

/// The number of a span is its place, from 1 on.
fn with<R>(id: &Id, change: impl FnOnce(&mut Span) -> R) -> R {
    let index = usize::try_from(id.into_u64()).unwrap() - 1;
    change(&mut SPANS.lock()[index])
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "fuse3" || metadata.target() == "spans"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        assert_eq!(attributes.metadata().name(), "request");
        let mut span = Span::default();
        attributes.record(&mut span);
        span.handles = 1;
        let mut spans = SPANS.lock();
        spans.push(span);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        with(id, |span| values.record(span));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
                self.0 = format!("{value:?}");
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let here = thread::current().id();
        let mut spans = SPANS.lock();
        let inside = |span: &&mut Span| span.inside.contains(&here);
        let span = spans
            .iter_mut()
            .find(inside)
            .expect("it is logged in a span");
        span.events.push(message.0);
    }

    fn enter(&self, id: &Id) {
        with(id, |span| {
            span.inside.push(thread::current().id());
            span.entered += 1;
        });
    }

    fn exit(&self, id: &Id) {
        let here = thread::current().id();
        with(id, |span| span.inside.retain(|it| *it != here));
    }

    fn clone_span(&self, id: &Id) -> Id {
        with(id, |span| span.handles += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        with(&id, |span| {
            span.handles -= 1;
            span.handles == 0
        })
    }
}

/// One test, since there is one subscriber for all threads of the process; the requests of other tests have no spans.
#[test]
fn each_request_has_a_span() {
    tracing::subscriber::set_global_default(Spans).unwrap();
    let (sender, receiver) = mpsc::channel();
    let fs = Probe::<Concurrent>::new(move |cx, name| {
        tracing::info!(target: "spans", "{}", name.to_string_lossy());
        if name == "later" {
            let (reply, deferred) = cx.defer();
            sender.send(reply).unwrap();
            return Err(deferred.into());
        }
        enoent()
    });
    let mut wire = Wire::with(fs, Concurrent, |builder| {
        builder.workers(1).observe(TracingObserver::new())
    });
    wire.expect_error(&proto::lookup(5, b"now"), Errno::ENOENT);
    let later = wire.send(&proto::lookup(6, b"later"));
    let reply = await_from(&receiver);
    // The same worker serves another one meanwhile.
    wire.expect_error(&proto::lookup(7, b"between"), Errno::ENOENT);
    reply.send(Ok(ENTRY));
    assert_eq!(
        wire.receive(),
        proto::reply(later, &proto::entry_out(&ENTRY))
    );
    until("all are closed", || {
        let spans = SPANS.lock();
        spans.len() == 3 && spans.iter().all(|span| span.handles == 0)
    });
    wire.end();
    let spans = SPANS.lock().clone();
    assert_eq!(spans.len(), 3);
    let expected = [
        ("1", "5", "now", Some("ENOENT")),
        ("2", "6", "later", None),
        ("3", "7", "between", Some("ENOENT")),
    ];
    for (span, (number, ino, event, errno)) in spans.iter().zip(expected) {
        let field = |name| span.fields.get(name).map(String::as_str);
        assert_eq!(field("operation"), Some("\"lookup\""));
        assert_eq!((field("number"), field("ino")), (Some(number), Some(ino)));
        assert_eq!(field("pid"), Some(&*proto::CALLER.pid.to_string()));
        assert_eq!(field("errno"), errno);
        assert_eq!(field("taken"), None);
        let took: u64 = field("took_ns").unwrap().parse().unwrap();
        assert!(took > 0);
        assert_eq!(
            (field("waited_ns"), field("held_ns")),
            (Some("0"), Some("0"))
        );
        assert_eq!(span.events, [event]);
        assert_eq!((span.entered, span.inside.len()), (1, 0));
    }
}
