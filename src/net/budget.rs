//! The memory that bodies may take over all calls together: who finds none waits, and is told so when it takes too long.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::BoxError;

/// How long a body waits for memory before its call is refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// Memory for bodies, counted in KiB.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    total: u32,
}

/// No memory came free in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("limits.buffered is used up")]
pub struct Exhausted;

impl Exhausted {
    /// Whether an error is this one, or was caused by it.
    pub fn caused(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut error = Some(error);
        while let Some(cause) = error {
            if let Some(exhausted) = cause.downcast_ref() {
                return Some(*exhausted);
            }
            error = cause.source();
        }
        None
    }
}

/// Memory that a body has taken: free again once this and the body are dropped.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).max(1);
        Self { free: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Takes memory for so many bytes, at most all there is.
    async fn take(self, bytes: usize) -> Result<OwnedSemaphorePermit, Exhausted> {
        let amount = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(self.total);
        match timeout(PATIENCE, self.free.acquire_many_owned(amount)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Exhausted),
        }
    }

    /// Counts a body as it is read.
    pub fn count<B>(&self, body: B) -> (Counted<B>, Held) {
        let held = Held::default();
        (Counted { body, budget: self.clone(), held: held.clone(), waiting: None }, held)
    }
}

/// Bytes that keep something with them as long as anybody holds a piece of them: memory that they count for, or the
/// bytes that they were made of.
pub fn keeping<K: Send + 'static>(bytes: impl AsRef<[u8]> + Send + 'static, kept: K) -> Bytes {
    struct Keeping<B, K> {
        bytes: B,
        _kept: K,
    }

    impl<B: AsRef<[u8]>, K> AsRef<[u8]> for Keeping<B, K> {
        fn as_ref(&self) -> &[u8] {
            self.bytes.as_ref()
        }
    }

    Bytes::from_owner(Keeping { bytes, _kept: kept })
}

impl Held {
    /// What was taken so far, in a [`Held`] of its own; this one begins anew.
    pub fn split(&self) -> Self {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Self(Arc::new(Mutex::new(taken)))
    }

    fn add(&self, permit: OwnedSemaphorePermit) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
    }
}

/// A body of which each piece is handed on only once there is memory for it.
pub struct Counted<B> {
    body: B,
    budget: Budget,
    held: Held,
    waiting: Option<Waiting>,
}

/// A piece for which there is no memory yet.
struct Waiting {
    data: Bytes,
    permit: BoxFuture<'static, Result<OwnedSemaphorePermit, Exhausted>>,
}

impl<B> std::fmt::Debug for Counted<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counted").field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl<B: Body<Error: Into<BoxError>> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.waiting.is_none() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(frame) => frame.map_err(Into::into)?,
                None => return Poll::Ready(None),
            };
            match frame.into_data() {
                Ok(mut data) => {
                    let data = data.copy_to_bytes(data.remaining());
                    let permit = self.budget.clone().take(data.len()).boxed();
                    self.waiting = Some(Waiting { data, permit });
                }
                Err(frame) => {
                    return Poll::Ready(
                        frame.into_trailers().ok().map(|trailers| Ok(Frame::trailers(trailers))),
                    );
                }
            }
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(None) };
        let permit = ready!(waiting.permit.poll_unpin(cx))?;
        self.held.add(permit);
        Poll::Ready(self.waiting.take().map(|waiting| Ok(Frame::data(waiting.data))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_memory_waits_and_is_refused_in_the_end() {
        let budget = Budget::new(4096);
        let (first, held) = budget.count(Full::new(Bytes::from(vec![0; 4096])));
        first.collect().await.unwrap();
        let (second, _held) = budget.count(Full::new(Bytes::from_static(b"x")));
        let error = second.collect().await.unwrap_err();
        assert!(Exhausted::caused(&*error).is_some());
        drop(held);
        let (third, _held) = budget.count(Full::new(Bytes::from_static(b"x")));
        assert_eq!(third.collect().await.unwrap().to_bytes(), "x");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_handed_on_counts_until_it_is_dropped_while_the_body_goes_on() {
        let budget = Budget::new(1024);
        let pieces = futures_util::stream::iter(
            [1, 2, 3].map(|_| Ok::<_, BoxError>(Frame::data(Bytes::from(vec![0; 1024])))),
        );
        let (mut body, held) = budget.count(http_body_util::StreamBody::new(pieces));
        let mut handed_on = None;
        for _ in 0..2 {
            drop(handed_on.take());
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            handed_on = Some(keeping(piece, held.split()).slice(1..));
        }
        assert!(Exhausted::caused(&*body.frame().await.unwrap().unwrap_err()).is_some());
        assert_eq!(handed_on.unwrap().len(), 1023);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_as_large_as_everything_passes_alone() {
        let (body, _held) = Budget::new(1024).count(Full::new(Bytes::from(vec![0; 5000])));
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 5000);
    }
}
