//! The messages of a gRPC body being read (gRPC over HTTP/2, "Length-Prefixed-Message").

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt as _;

use super::Compression;
use crate::binding::inflate::{Unreadable, gunzip};
use crate::net::budget::{Budget, Counted, Held, keeping};
use crate::net::{BodyError, BoxError};

/// A flag, and the length in four bytes.
const PREFIX: usize = 5;
/// How much room is made for a message before its bytes come: what a prefix says costs nothing.
const ROOM: usize = 1 << 20;

/// The messages of a body, one after the other.
pub(super) struct Messages<B> {
    body: Counted<B>,
    /// The memory of the message that is being read.
    held: Held,
    compression: Compression,
    limit: usize,
    /// What has come and is not read yet.
    unread: Bytes,
    trailers: Option<HeaderMap>,
}

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The body itself.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It ended within a message.
    #[error("a message was cut off")]
    CutOff,
    /// What came is no message.
    #[error("{0}")]
    Malformed(String),
}

impl<B: Body<Error: Into<BoxError>> + Unpin> Messages<B> {
    /// Reads messages of at most `limit` bytes, which count in `budget` until nobody holds them any more.
    pub(super) fn new(body: B, compression: Compression, limit: usize, budget: &Budget) -> Self {
        let (body, held) = budget.count(body);
        Self { body, held, compression, limit, unread: Bytes::new(), trailers: None }
    }

    /// The next message; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        let Some(prefix) = self.take(PREFIX).await? else { return Ok(None) };
        let Some([flag, length @ ..]) = prefix.first_chunk::<PREFIX>() else { return Err(Unread::CutOff) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(BodyError::TooLarge(self.limit).into());
        }
        let message = self.take(length).await?.ok_or(Unread::CutOff)?;
        let message = match (flag, self.compression) {
            (0, _) => message,
            (1, Compression::Gzip) => gunzip(&message, self.limit).map_err(|error| match error {
                Unreadable::TooLarge(limit) => BodyError::TooLarge(limit).into(),
                error => Unread::Malformed(error.to_string()),
            })?,
            (1, Compression::None) => {
                return Err(Unread::Malformed("a compressed message without grpc-encoding".to_owned()));
            }
            (flag, _) => return Err(Unread::Malformed(format!("a message with flag {flag}"))),
        };
        Ok(Some(keeping(message, self.held.split())))
    }

    /// The trailers, once there is no next message.
    pub(super) fn trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// So many bytes, uncopied if they came in one piece; `None` if the body has ended before the first of them.
    async fn take(&mut self, length: usize) -> Result<Option<Bytes>, Unread> {
        if self.unread.is_empty() && length > 0 && !self.more().await? {
            return Ok(None);
        }
        if self.unread.len() >= length {
            return Ok(Some(self.unread.split_to(length)));
        }
        let mut whole = BytesMut::with_capacity(length.min(ROOM));
        while whole.len() < length {
            if self.unread.is_empty() && !self.more().await? {
                return Err(Unread::CutOff);
            }
            let piece = self.unread.split_to(self.unread.len().min(length - whole.len()));
            whole.extend_from_slice(&piece);
        }
        Ok(Some(whole.freeze()))
    }

    /// Waits for more bytes; whether there are any.
    async fn more(&mut self) -> Result<bool, BodyError> {
        while let Some(frame) = self.body.frame().await {
            match frame?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.unread = data;
                    return Ok(true);
                }
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::super::framed;
    use super::*;

    const LIMIT: usize = 100_000;

    async fn read(bytes: &[u8], piece: usize, compression: Compression) -> Result<Vec<Bytes>, Unread> {
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice);
        let frames: Vec<_> = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))).collect();
        let body = StreamBody::new(stream::iter(frames));
        let mut messages = Messages::new(body, compression, LIMIT, &Budget::new(1 << 20));
        let mut read = Vec::new();
        while let Some(message) = messages.next().await? {
            read.push(message);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn messages_are_read_however_they_arrive() {
        let messages = [0, 1, 300, 0, 70_000].map(|length| Bytes::from(vec![7; length]));
        let bytes: Vec<u8> = messages.iter().cloned().flat_map(framed).flatten().collect();
        for piece in [1, 4, 5, 6, 301, 16_384, bytes.len()] {
            assert_eq!(read(&bytes, piece, Compression::None).await.unwrap(), messages, "{piece}");
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error() {
        use Compression::{Gzip, None};
        for (bytes, compression, error) in [
            (&b"\0\0\0"[..], None, "a message was cut off"),
            (b"\0\0\0\0\x02x", None, "a message was cut off"),
            (b"\x02\0\0\0\x01x", Gzip, "a message with flag 2"),
            (b"\x01\0\0\0\x01x", None, "a compressed message without grpc-encoding"),
            (b"\x01\0\0\0\x01x", Gzip, "the compressed body is broken: unexpected end of file"),
            (b"\0\0\xff\xff\xff", None, "a body of more than 100000 bytes"),
        ] {
            assert_eq!(read(bytes, 3, compression).await.unwrap_err().to_string(), error);
        }
    }
}
