//! Sockets: listening, serving HTTP on them, connections to peers, and the memory that bodies may take.

pub mod budget;
pub mod channel;
pub mod crowd;
pub mod details;
mod gather;
pub mod h2c;
pub mod http1;
pub mod http2;
pub mod issuer;
mod listen;
pub mod open;
pub mod peers;
pub mod serve;
mod single;
pub mod workload_api;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
pub use listen::{listen, local};
use tokio::time::timeout;

/// How long a caller whose request is refused may take to send the rest of it.
const DISCARD: Duration = Duration::from_secs(2);

/// How often an HTTP/2 connection is asked whether it is alive, and how long the answer may take.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to a PING may take.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The window of a whole HTTP/2 connection between those who know each other: as wide as the protocol allows, so that only
/// streams hold each other back.
pub const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// The most bytes of an HTTP/2 frame: a message that fits into one is not copied together, and a longer one takes few. A
/// connection may keep as much memory.
pub const FRAME_MAX: u32 = 128 << 10;
/// The most bytes of headers and trailers on the mesh hop: a long error detail still arrives.
pub const HEADERS_MAX: u32 = 1 << 20;
/// How many streams may be open on one connection between those who know each other.
pub const STREAMS_MAX: u32 = 100_000;

/// An error of whatever kind a body or a service has.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke, or the other side gave up.
    #[error("the body broke off: {0}")]
    Broken(BoxError),
    /// There is no memory for it now.
    #[error(transparent)]
    Busy(#[from] budget::Exhausted),
    /// It is longer than allowed.
    #[error("a body of more than {0} bytes")]
    TooLarge(usize),
}

/// An error with all its causes.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl From<BoxError> for BodyError {
    fn from(error: BoxError) -> Self {
        budget::Exhausted::caused(&*error).map_or(Self::Broken(error), Self::Busy)
    }
}

/// Reads a body whole, up to `limit` bytes. Of a longer one as much again is read and thrown away, because a caller who
/// is still sending does not hear the answer.
///
/// # Errors
/// If it breaks off, is longer, or finds no memory.
pub async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let (mut whole, mut first) = (Vec::new(), Bytes::new());
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::from(error.into()))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit.saturating_mul(2) {
            break;
        }
        if length > limit {
            whole = Vec::new();
        } else if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                whole = Vec::with_capacity(size(&body, length, limit));
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&data);
        }
    }
    match length {
        length if length > limit => Err(BodyError::TooLarge(limit)),
        // A body in one piece is not copied.
        _ if whole.is_empty() => Ok(first),
        _ => Ok(whole.into()),
    }
}

/// How large a body of which `read` bytes are there will be, as far as it says.
fn size(body: &impl Body, read: usize, limit: usize) -> usize {
    let rest = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    read.saturating_add(rest).min(limit)
}

/// Reads what is left of a body and throws it away, within bounds.
pub async fn discard<B>(body: B, limit: usize)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    // Whatever goes wrong, the answer is the same.
    drop(timeout(DISCARD, collect(body, limit)).await);
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    fn body(pieces: &[usize]) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|size| Ok::<_, BoxError>(http_body::Frame::data(Bytes::from(vec![b'x'; *size]))))
            .collect();
        StreamBody::new(futures_util::stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        for pieces in [&[][..], &[10], &[4, 6], &[1, 0, 9]] {
            let length = pieces.iter().sum::<usize>();
            assert_eq!(collect(body(pieces), 10).await.unwrap().len(), length);
        }
        for pieces in [&[11][..], &[10, 1], &[4, 4, 4], &[5, 50, 5]] {
            assert!(matches!(collect(body(pieces), 10).await, Err(BodyError::TooLarge(10))));
        }
    }
}
