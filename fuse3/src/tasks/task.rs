use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::conn::conn::Conn;
use crate::reply::payload::Payload;
use crate::reply::{answer::Answer, deferred::Reply};
use crate::tasks::in_flight::Place;
use crate::types::errno::Errno;

/// What the log calls it.
const NAME: &str = "a spawned future";

/// A future, and the request that it answers.
///
/// The fields are in the order in which they are dropped when the runtime drops it: the place is left last, so that the end
/// of the session waits for the answer, too.
pub(crate) struct Task<T: Payload, Fut> {
    future: Option<Pin<Box<Fut>>>,
    /// `None` for a future that answers nothing.
    reply: Option<Reply<T>>,
    conn: Arc<Conn>,
    place: Option<Place>,
}

impl<T: Payload + 'static, Fut: Future<Output = Answer<T>>> Task<T, Fut> {
    pub(crate) fn new(
        future: Fut,
        reply: Option<Reply<T>>,
        conn: &Arc<Conn>,
        place: Place,
    ) -> Self {
        Self {
            future: Some(Box::pin(future)),
            reply,
            conn: Arc::clone(conn),
            place: Some(place),
        }
    }

    fn poll_future(&mut self, cx: &mut Context<'_>) -> Poll<Answer<T>> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(Err(Errno::EIO.into()));
        };
        if let Some(errno) = self.place.as_ref().and_then(|it| it.cancel.poll(cx)) {
            return Poll::Ready(Err(errno.into()));
        }
        let polled = self.conn.guarded(&NAME, || future.as_mut().poll(cx));
        polled.unwrap_or(Poll::Ready(Err(Errno::EIO.into())))
    }
}

impl<T: Payload + 'static, Fut: Future<Output = Answer<T>>> Future for Task<T, Fut> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let answer = ready!(self.poll_future(cx));
        // What the future has is dropped before its request is answered.
        let future = self.future.take();
        self.conn.guarded(&NAME, || drop(future));
        let reply = self.reply.take();
        self.conn.guarded(&NAME, || match reply {
            Some(reply) => reply.send(answer),
            None => drop(answer),
        });
        self.place = None;
        Poll::Ready(())
    }
}
