//! What a connection writes in one go leaves in one go. HTTP/2 flushes behind each frame that is not quite small; with many
//! calls at once each would be a TLS record and a system call of its own.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes that wait.
const WAITING_MAX: usize = 64 << 10;
/// As much as a TLS record holds: nothing is gained by making such a write wait.
const LARGE: usize = 16 << 10;

/// A stream whose flushes wait until [`Gathered::drive`] has done all that it can. Clones are the same stream.
#[derive(Debug)]
pub(super) struct Gathered<I>(Arc<Mutex<Inner<I>>>);

#[derive(Debug)]
struct Inner<I> {
    io: I,
    waiting: BytesMut,
    /// Why what waited could not be written.
    failed: Option<io::Error>,
}

impl<I> Clone for Gathered<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Gathered<I> {
    /// Gathers what is written to `io`.
    pub(super) fn new(io: I) -> Self {
        Self(Arc::new(Mutex::new(Inner { io, waiting: BytesMut::new(), failed: None })))
    }

    /// Runs what reads and writes this stream, and writes what it leaves behind each time.
    pub(super) async fn drive<F: Future + Unpin>(&self, mut work: F) -> F::Output {
        std::future::poll_fn(|cx| {
            let done = Pin::new(&mut work).poll(cx);
            // Work may also end without shutting the stream down.
            self.inner().leave(cx);
            done
        })
        .await
    }

    fn inner(&self) -> MutexGuard<'_, Inner<I>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Inner<I> {
    /// Writes what waits, as far as it goes now.
    fn leave(&mut self, cx: &mut Context<'_>) {
        if self.failed.is_none()
            && let Poll::Ready(Err(error)) = self.flush(cx)
        {
            // Whoever reads or writes next is told; until then there is nothing to try again.
            self.failed = Some(error);
            cx.waker().wake_by_ref();
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.empty(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.waiting.advance(written),
            }
        }
        // A connection that rests keeps nothing.
        drop(mem::take(&mut self.waiting));
        Poll::Ready(Ok(()))
    }

    /// Takes pieces with `length` bytes in all.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if length >= LARGE || self.waiting.len() + length > WAITING_MAX {
            ready!(self.empty(cx))?;
        }
        if length >= LARGE {
            return Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        }
        pieces.iter().for_each(|piece| self.waiting.extend_from_slice(piece));
        Poll::Ready(Ok(length))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        match inner.failed.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut inner.io).poll_read(cx, buffer),
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gathered<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().write(cx, bytes.len(), &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        self.inner().write(cx, length, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.inner().failed.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        ready!(inner.flush(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// A stream that notes each write, and that breaks when it is told to.
    #[derive(Clone, Default)]
    struct Noted {
        writes: Arc<Mutex<Vec<Vec<u8>>>>,
        broken: Arc<AtomicBool>,
    }

    impl AsyncRead for Noted {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Noted {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.broken.load(Ordering::Relaxed) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            self.writes.lock().unwrap().push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes and flushes each piece, then lets others run, then writes once more.
    async fn write(mut to: Gathered<Noted>, pieces: &[usize]) -> io::Result<()> {
        for piece in pieces {
            to.write_all(&vec![b'x'; *piece]).await?;
            to.flush().await?;
        }
        tokio::task::yield_now().await;
        to.write_all(b"end").await
    }

    async fn writes(pieces: &[usize]) -> Vec<usize> {
        let noted = Noted::default();
        let stream = Gathered::new(noted.clone());
        stream.drive(Box::pin(write(stream.clone(), pieces))).await.unwrap();
        noted.writes.lock().unwrap().iter().map(Vec::len).collect()
    }

    #[tokio::test]
    async fn what_is_written_in_one_go_leaves_in_one_go_and_in_order() {
        assert_eq!(writes(&[10, 300, 1000]).await, [1310, 3]);
        assert_eq!(writes(&[10, LARGE, 20]).await, [10, LARGE, 20, 3], "what is large waits for nothing");
        assert_eq!(writes(&[10_000; 8]).await, [60_000, 20_000, 3], "not too much waits");
    }

    #[tokio::test]
    async fn who_reads_or_writes_next_is_told_what_went_wrong() {
        let noted = Noted::default();
        let stream = Gathered::new(noted.clone());
        noted.broken.store(true, Ordering::Relaxed);
        let error = stream.drive(Box::pin(write(stream.clone(), &[10]))).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut reading = stream.clone();
        let work = async {
            let mut writing = stream.clone();
            writing.write_all(b"x").await?;
            reading.read_u8().await
        };
        assert_eq!(stream.drive(Box::pin(work)).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_ask_what_went_wrong_is_woken_once_and_no_more() {
        let noted = Noted::default();
        noted.broken.store(true, Ordering::Relaxed);
        let stream = Gathered::new(noted);
        let mut writing = stream.clone();
        writing.write_all(b"x").await.unwrap();
        let mut polls = 0;
        let work = std::future::poll_fn(|_| {
            polls += 1;
            if polls > 10 { Poll::Ready(()) } else { Poll::Pending }
        });
        let waited = tokio::time::timeout(std::time::Duration::from_secs(1), stream.drive(work)).await;
        assert!(waited.is_err(), "it was woken again and again");
        assert_eq!(polls, 2 + 1, "at first, because of the error, and when time is up");
    }

    #[tokio::test]
    async fn who_is_slow_to_read_gets_everything_in_the_end() {
        let (near, mut far) = duplex(100);
        let mut stream = Gathered::new(near);
        let driven = stream.clone();
        let sent: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let writing = async {
            for piece in sent.chunks(5000) {
                stream.write_all(piece).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(driven.drive(Box::pin(writing)), far.read_to_end(&mut received));
        assert_eq!((read.unwrap(), received), (sent.len(), sent));
    }
}
