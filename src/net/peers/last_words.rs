//! Why reading from a peer failed. HTTP/2 keeps only the text of such an error, and with it goes what the peer said last:
//! that it refuses our certificate.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that notes why reading from it failed.
pub(super) struct LastWords<I> {
    io: I,
    heard: Heard,
}

/// The note; empty while nothing has failed. Clones share it.
pub(super) type Heard = Arc<OnceLock<io::Error>>;

impl<I> LastWords<I> {
    pub(super) fn new(io: I) -> (Self, Heard) {
        let heard = Heard::default();
        (Self { io, heard: Arc::clone(&heard) }, heard)
    }
}

impl<I: AsyncRead + Unpin> LastWords<I> {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = read {
            // HTTP/2 gets what it would make of the error itself.
            let left = io::Error::new(error.kind(), error.to_string());
            self.heard.get_or_init(|| error);
            return Poll::Ready(Err(left));
        }
        read
    }

    /// Who cannot write any more may still have something to read: the reason. What else is there is lost with the
    /// connection.
    fn listen(&mut self, cx: &mut Context<'_>) {
        let mut scratch = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match self.read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                _ => return,
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for LastWords<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read(cx, buffer)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LastWords<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Err(_)) = written {
            self.listen(cx);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if let Poll::Ready(Err(_)) = flushed {
            self.listen(cx);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        if let Poll::Ready(Err(_)) = written {
            self.listen(cx);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A stream that cannot be written to, with a few bytes and then an error to read.
    struct Dying(bool);

    impl AsyncRead for Dying {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    rustls::Error::DecryptError,
                )));
            }
            buffer.put_slice(b"rest");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Dying {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn is_the_reason(heard: &Heard) -> bool {
        let error = heard.get().unwrap();
        matches!(error.get_ref().unwrap().downcast_ref(), Some(rustls::Error::DecryptError))
    }

    #[tokio::test]
    async fn the_reason_is_kept_whether_reading_or_writing_fails_first() {
        let (mut io, heard) = LastWords::new(Dying(false));
        assert!(heard.get().is_none());
        assert_eq!(io.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(is_the_reason(&heard));

        let (mut io, heard) = LastWords::new(Dying(false));
        let error = io.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(is_the_reason(&heard));
    }
}
