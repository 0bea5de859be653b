//! Sockets: listening, serving HTTP on them, connections to peers, and the memory that bodies may take.

pub mod budget;
mod listen;
pub mod peers;
pub mod serve;

use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
pub use listen::{listen, local};
use tonic::body::Body;

/// How often an HTTP/2 connection is asked whether it is alive, and how long the answer may take.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to a PING may take.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The window of a whole HTTP/2 connection: as wide as the protocol allows, so that only streams hold each other back.
pub const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// The most bytes of headers and trailers on the mesh hop: a long error detail still arrives.
pub const HEADERS_MAX: u32 = 1 << 20;
/// How many streams may be open on one connection.
pub const STREAMS_MAX: u32 = 100_000;

/// An error of whatever kind a body or a service has.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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

/// Reads a body whole, up to `limit` bytes.
///
/// # Errors
/// If it breaks off, is longer, or finds no memory.
pub async fn collect(body: Body, limit: usize) -> Result<bytes::Bytes, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge(limit)),
        Err(error) => {
            Err(budget::Exhausted::caused(&*error).map_or(BodyError::Broken(error), BodyError::Busy))
        }
    }
}
