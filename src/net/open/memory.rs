//! The memory of an open door: what requests and answers take of it, and give back. Nobody waits for it: whoever takes it from
//! the others is somebody unknown.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;

use crate::net::BoxError;
use crate::net::budget::keeping;

/// So many bytes, of which some are taken.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    total: usize,
}

/// What one connection may take from.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// The whole door's.
    pub(super) all: Memory,
    /// What the connections of its address may take of it.
    pub(super) own: Memory,
}

/// Memory that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

/// What one request takes. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent(Arc<Mutex<Account>>);

#[derive(Debug, Default)]
struct Account {
    held: Option<Held>,
    exceeded: bool,
}

/// The body of a request, of which every piece counts.
pub(super) struct Measured<B> {
    body: B,
    room: Room,
    spent: Spent,
}

/// The body of an answer, which keeps something until its last byte is written.
pub(super) struct Kept<K> {
    body: Body,
    kept: Arc<K>,
}

/// There is no memory for a request.
#[derive(Debug, thiserror::Error)]
#[error("too much at once at this door")]
pub(super) struct Exceeded;

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        let total = bytes.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(bytes.try_into().ok()?).ok()
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }
}

impl Room {
    /// Takes memory for so many bytes, if it is there. What is larger than all that one address may have passes alone.
    pub(super) fn hold(&self, bytes: usize) -> Option<Held> {
        let bytes = bytes.min(self.own.total).min(self.all.total);
        let own = self.own.take(bytes)?;
        Some(Held { own, all: self.all.take(bytes)? })
    }
}

impl Spent {
    /// Takes more. Whether it was there.
    pub(super) fn add(&self, room: &Room, bytes: usize) -> bool {
        let Some(more) = room.hold(bytes) else {
            self.lock().exceeded = true;
            return false;
        };
        let mut account = self.lock();
        match &mut account.held {
            Some(held) => {
                held.own.merge(more.own);
                held.all.merge(more.all);
            }
            none => *none = Some(more),
        }
        true
    }

    /// Counts a body as it is read.
    pub(super) fn measure<B>(&self, body: B, room: &Room) -> Measured<B> {
        Measured { body, room: room.clone(), spent: self.clone() }
    }

    /// Whether there was not enough.
    pub(super) fn is_exceeded(&self) -> bool {
        self.lock().exceeded
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> HttpBody for Measured<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = frame.map_err(Into::into)?;
        let size = frame.data_ref().map_or(0, Bytes::len);
        let there = self.spent.add(&self.room, size);
        Poll::Ready(Some(if there { Ok(frame) } else { Err(Exceeded.into()) }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<K> Kept<K> {
    pub(super) fn new(body: Body, kept: K) -> Self {
        Self { body, kept: Arc::new(kept) }
    }
}

impl<K: Send + Sync + 'static> HttpBody for Kept<K> {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // HTTP/2 takes a piece as soon as there is room for its first byte, and has it until the caller takes the last.
        let keep = |data| keeping(data, Arc::clone(&self.kept));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(keep))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
