//! The outside forms of calls: a server turns its form into canonical bytes once, a client turns them into its own once.

mod answers;
pub mod card;
mod events;
pub mod grpc;
mod inflate;
pub mod jsonrpc;
mod refusal;
pub mod rest;
pub mod v0_3;

use std::sync::Arc;

use http::HeaderValue;
pub use refusal::refusal;

use crate::a2a::{Dialect, Fault, Name, Reason};
use crate::net::BodyError;
use crate::net::budget::Budget;
use crate::telemetry::{Direction, Metrics};

/// How many bytes of events that are ready leave in one piece.
const TOGETHER: usize = 16 << 10;

/// The media type of streams over HTTP.
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What every binding server of a listener shares.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Which way its calls go.
    pub direction: Direction,
    /// The most bytes of a message, as JSON and in canonical form.
    pub limit: usize,
    /// The memory that bodies of requests may take. A call may hold it until it is answered, so answers have their own.
    pub requests: Budget,
    /// The memory that bodies of answers may take.
    pub replies: Budget,
    /// Where bytes and refusals are counted.
    pub metrics: Metrics,
}

/// What is known of a request before it is read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who is asked.
    pub agent: Name,
    /// Who asks, as a verified SPIFFE ID; `None` is the agent of this pod.
    pub peer: Option<Arc<str>>,
    /// The base URL by which the caller has reached the agent here; `None` for peers.
    pub base: Option<Arc<str>>,
}

/// The dialect of a version that a caller has named; `None` if it has named none, which is fine: some forget to (specification
/// §3.6).
fn spoken(version: &str) -> Result<Option<Dialect>, Fault> {
    let version = version.trim();
    if version.is_empty() {
        return Ok(None);
    }
    Dialect::of_version(version).map(Some).ok_or_else(|| {
        let shown: String = version.chars().take(32).collect();
        Fault::new(Reason::VersionNotSupported, format!("A2A {shown:?} is not spoken here: 1.0 and 0.3 are"))
    })
}

/// The fault of a request whose body could not be read.
fn unread(error: &BodyError) -> Fault {
    match error {
        BodyError::Broken(_) => Fault::new(Reason::ParseError, error.to_string()),
        BodyError::Busy(_) => Fault::new(Reason::RateLimited, "too many bytes under way, try again")
            .because(error)
            .retry_after(std::time::Duration::from_secs(1)),
        BodyError::TooLarge(_) => Fault::new(Reason::MessageTooLarge, error.to_string()),
    }
}
