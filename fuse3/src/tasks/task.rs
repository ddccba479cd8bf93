use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::notify::current::Captured;
use crate::reply::answer::Payload;
use crate::reply::deferred::Outlived;
use crate::reply::{answer::Answer, deferred::Reply};
use crate::types::errno::Errno;

use crate::tasks::Place;

/// What the log calls it.
const NAME: &str = "a spawned future";

/// A future, and the request that it answers.
///
/// The fields are in the order in which they are dropped when the runtime drops it: the place is left last, so that the end
/// of the session waits for the answer, too.
pub(super) struct Task<T: Payload, Fut> {
    future: Option<Pin<Box<Fut>>>,
    /// `None` for a future that answers nothing.
    reply: Option<Reply<T>>,
    session: Arc<dyn Outlived>,
    /// What the handler was called for.
    captured: Captured,
    place: Option<Place>,
}

impl<T: Payload, Fut: Future<Output = Answer<T>>> Task<T, Fut> {
    pub(super) fn new(
        future: Fut,
        reply: Option<Reply<T>>,
        session: Arc<dyn Outlived>,
        captured: Captured,
        place: Place,
    ) -> Self {
        Self {
            future: Some(Box::pin(future)),
            reply,
            session,
            captured,
            place: Some(place),
        }
    }

    /// Runs code of the file system. A panic ends here: it is counted, and by policy ends the session.
    fn guarded<R>(session: &Arc<dyn Outlived>, run: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(run))
            .map_err(|payload| session.panicked(NAME, payload))
            .ok()
    }

    fn poll_future(&mut self, cx: &mut Context<'_>) -> Poll<Answer<T>> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(Err(Errno::EIO.into()));
        };
        if let Some(errno) = self.place.as_ref().and_then(|it| it.cancel.poll(cx)) {
            return Poll::Ready(Err(errno.into()));
        }
        let captured = self.captured;
        let polled = Self::guarded(&self.session, || {
            let _current = captured.enter();
            future.as_mut().poll(cx)
        });
        polled.unwrap_or(Poll::Ready(Err(Errno::EIO.into())))
    }
}

impl<T: Payload, Fut: Future<Output = Answer<T>>> Future for Task<T, Fut> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(answer) = self.poll_future(cx) else {
            return Poll::Pending;
        };
        // What the future has is dropped before its request is answered.
        let future = self.future.take();
        Self::guarded(&self.session, || drop(future));
        let reply = self.reply.take();
        Self::guarded(&self.session, || match reply {
            Some(reply) => reply.send(answer),
            None => drop(answer),
        });
        self.place = None;
        Poll::Ready(())
    }
}
