//! Telling a response that has ended from one that was cut off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};

use super::{GRPC_STATUS, status};
use crate::net::BoxError;

/// A body that breaks where it ends without a status: what is missing then may be more than the status.
pub(super) struct Concluded<B> {
    body: B,
    /// A status that stood in the head, where an answer without messages has it.
    in_head: Option<HeaderValue>,
    concluded: Arc<AtomicBool>,
}

impl<B> Concluded<B> {
    /// The body, and whether a status has come.
    pub(super) fn new(body: B, in_head: Option<HeaderValue>) -> (Self, Arc<AtomicBool>) {
        let concluded = Arc::<AtomicBool>::default();
        (Self { body, in_head, concluded: Arc::clone(&concluded) }, concluded)
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for Concluded<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose().map_err(Into::into)? {
            Some(frame) => frame,
            None => match self.in_head.take() {
                Some(status) => Frame::trailers(HeaderMap::from_iter([(GRPC_STATUS, status)])),
                None if self.concluded.load(Ordering::Relaxed) => return Poll::Ready(None),
                None => {
                    let broken = "the stream ended without a status";
                    return Poll::Ready(Some(Err(
                        io::Error::new(io::ErrorKind::UnexpectedEof, broken).into()
                    )));
                }
            },
        };
        Poll::Ready(Some(Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
                self.concluded.fetch_or(trailers.contains_key(GRPC_STATUS), Ordering::Relaxed);
                status::sanitize(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        })))
    }
}
