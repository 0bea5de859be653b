//! The memory that bodies of one kind, requests or answers, may take over all calls together: who finds none waits, and is
//! told so when it takes too long.
//!
//! Bodies that are half read could wait for each other for ever. So one of them at a time may overdraw: it is read to its
//! end whatever that takes, and gives all of it back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::BoxError;

/// How long a body waits for memory before its call is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a body waits before it asks to overdraw.
const BEFORE_OVERDRAWING: Duration = Duration::from_millis(10);

/// Memory for bodies, counted in KiB.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
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
pub struct Held(Arc<Mutex<Permits>>);

#[derive(Debug, Default)]
struct Permits {
    within: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedSemaphorePermit>,
}

/// What a piece of a body is read with.
enum Taken {
    Overdraft(OwnedSemaphorePermit),
    Within(OwnedSemaphorePermit),
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).max(1);
        let (free, overdraft) = (Semaphore::new(total as usize), Semaphore::new(1));
        Self { free: Arc::new(free), overdraft: Arc::new(overdraft), total }
    }

    /// Takes memory for so many bytes, if it is there and nobody waits for it.
    fn at_once(&self, bytes: usize) -> Option<Taken> {
        Arc::clone(&self.free).try_acquire_many_owned(self.amount(bytes)).ok().map(Taken::Within)
    }

    /// What so many bytes count.
    fn amount(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(self.total)
    }

    /// Takes memory for so many bytes, or the overdraft.
    async fn take(self, bytes: usize) -> Result<Taken, Exhausted> {
        let amount = self.amount(bytes);
        let within = self.free.acquire_many_owned(amount);
        let beyond = async {
            sleep(BEFORE_OVERDRAWING).await;
            self.overdraft.acquire_owned().await
        };
        let taken = async {
            tokio::select! {
                permit = within => permit.map(Taken::Within),
                permit = beyond => permit.map(Taken::Overdraft),
            }
        };
        match timeout(PATIENCE, taken).await {
            Ok(Ok(taken)) => Ok(taken),
            // The semaphores are never closed.
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
    #[must_use]
    pub fn split(&self) -> Self {
        Self(Arc::new(Mutex::new(std::mem::take(&mut *self.lock()))))
    }

    fn add(&self, taken: Taken) {
        let mut held = self.lock();
        match (taken, &mut held.within) {
            (Taken::Overdraft(permit), _) => held.overdraft = Some(permit),
            (Taken::Within(permit), Some(within)) => within.merge(permit),
            (Taken::Within(permit), within) => *within = Some(permit),
        }
    }

    fn overdraws(&self) -> bool {
        self.lock().overdraft.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Permits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    taken: BoxFuture<'static, Result<Taken, Exhausted>>,
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
                    if self.held.overdraws() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    if let Some(taken) = self.budget.at_once(data.len()) {
                        self.held.add(taken);
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    let taken = self.budget.clone().take(data.len()).boxed();
                    self.waiting = Some(Waiting { data, taken });
                }
                Err(frame) => {
                    return Poll::Ready(
                        frame.into_trailers().ok().map(|trailers| Ok(Frame::trailers(trailers))),
                    );
                }
            }
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(None) };
        let taken = ready!(waiting.taken.poll_unpin(cx))?;
        self.held.add(taken);
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
    use futures_util::{Stream, StreamExt as _};
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn one_byte() -> Full<Bytes> {
        Full::new(Bytes::from_static(b"x"))
    }

    /// A body of so many KiB, of which others get their turn between two pieces.
    fn in_pieces(pieces: usize) -> StreamBody<impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Unpin> {
        let piece = |()| async {
            tokio::task::yield_now().await;
            Ok(Frame::data(Bytes::from(vec![0; 1024])))
        };
        StreamBody::new(Box::pin(futures_util::stream::iter(vec![(); pieces]).then(piece)))
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_memory_waits_and_is_refused_in_the_end() {
        let budget = Budget::new(4096);
        let (first, held) = budget.count(Full::new(Bytes::from(vec![0; 4096])));
        first.collect().await.unwrap();
        let (second, overdraft) = budget.count(one_byte());
        second.collect().await.unwrap();
        let (third, _held) = budget.count(one_byte());
        let error = third.collect().await.unwrap_err();
        assert!(Exhausted::caused(&*error).is_some());
        drop((held, overdraft));
        let (fourth, _held) = budget.count(one_byte());
        assert_eq!(fourth.collect().await.unwrap().to_bytes(), "x");
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_are_half_read_do_not_wait_for_each_other_for_ever() {
        let budget = Budget::new(64 << 10);
        let bodies = (0..16).map(|_| async {
            let (body, held) = budget.count(in_pieces(60));
            let length = body.collect().await.map(|body| body.to_bytes().len());
            drop(held);
            length.unwrap()
        });
        assert_eq!(futures_util::future::join_all(bodies).await, [60 << 10; 16]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_handed_on_counts_until_it_is_dropped_while_the_body_goes_on() {
        let budget = Budget::new(1024);
        // Somebody else overdraws.
        let _overdraft = budget.overdraft.acquire().await.unwrap();
        let (mut body, held) = budget.count(in_pieces(3));
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
