//! How long calls may take: the caller's deadline, and the limits that an operator may set.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tower::service_fn;

use crate::a2a::{Body, Call, Event, Fault, Reason, Reply, Stage};

/// What an operator may set; by default a call may take for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// For a single answer.
    pub unary: Option<Duration>,
    /// For the silence between two events of a stream.
    pub stream_idle: Option<Duration>,
}

/// Ends calls to `inner` that take too long.
pub fn limit(mut inner: impl Stage, limits: Limits) -> impl Stage {
    service_fn(move |mut call: Call| {
        if let Some(unary) = limits.unary.filter(|_| !call.operation.is_streaming()) {
            let limit = Instant::now() + unary;
            call.deadline = Some(call.deadline.map_or(limit, |deadline| deadline.min(limit)));
        }
        let deadline = call.deadline;
        let idle = limits.stream_idle.filter(|_| call.operation.is_streaming());
        let reply = inner.call(call);
        async move {
            let Reply { params, body } = match deadline {
                Some(deadline) => timeout_at(deadline, reply).await.map_err(|_| exceeded())??,
                None => reply.await?,
            };
            let body = match body {
                Body::Events(events) if deadline.is_some() || idle.is_some() => {
                    Body::Events(limited(events, deadline, idle))
                }
                body => body,
            };
            Ok(Reply { params, body })
        }
    })
}

fn exceeded() -> Fault {
    Fault::new(Reason::DeadlineExceeded, "the call took longer than its deadline allows")
}

/// A stream that ends at its deadline, and when it has been silent for too long.
struct Limited {
    events: BoxStream<'static, Result<Event, Fault>>,
    deadline: Option<Pin<Box<Sleep>>>,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
    over: bool,
}

fn limited(
    events: BoxStream<'static, Result<Event, Fault>>,
    deadline: Option<Instant>,
    idle: Option<Duration>,
) -> BoxStream<'static, Result<Event, Fault>> {
    let mut limited = Limited {
        events,
        deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
        idle: idle.map(|idle| (idle, Box::pin(sleep(idle)))),
        over: false,
    };
    stream::poll_fn(move |cx| limited.poll(cx)).boxed()
}

impl Limited {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Fault>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.deadline.as_mut().is_some_and(|deadline| deadline.poll_unpin(cx).is_ready()) {
            self.over = true;
            return Poll::Ready(Some(Err(exceeded())));
        }
        if let Poll::Ready(event) = self.events.poll_next_unpin(cx) {
            if let Some((idle, sleep)) = &mut self.idle {
                sleep.as_mut().reset(Instant::now() + *idle);
            }
            return Poll::Ready(event);
        }
        if self.idle.as_mut().is_some_and(|(_, sleep)| sleep.poll_unpin(cx).is_ready()) {
            self.over = true;
            let fault = Fault::new(
                Reason::DeadlineExceeded,
                "the stream was silent for longer than limits.streamIdle",
            );
            return Poll::Ready(Some(Err(fault)));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(every: u64) -> BoxStream<'static, Result<Event, Fault>> {
        stream::unfold((), move |()| async move {
            sleep(Duration::from_secs(every)).await;
            Some((Ok(Event::Data(bytes::Bytes::new())), ()))
        })
        .boxed()
    }

    async fn count(events: BoxStream<'static, Result<Event, Fault>>) -> (usize, Reason) {
        let events: Vec<_> = events.collect().await;
        let fault = events.last().unwrap().as_ref().unwrap_err().reason();
        (events.len() - 1, fault)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_at_its_deadline_and_not_before() {
        let deadline = Instant::now() + Duration::from_millis(3500);
        assert_eq!(count(limited(ticks(1), Some(deadline), None)).await, (3, Reason::DeadlineExceeded));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_event() {
        let slow = ticks(2).take(2).chain(stream::pending()).boxed();
        let started = Instant::now();
        assert_eq!(
            count(limited(slow, None, Some(Duration::from_secs(3)))).await,
            (2, Reason::DeadlineExceeded)
        );
        assert_eq!(started.elapsed(), Duration::from_secs(7));
    }
}
