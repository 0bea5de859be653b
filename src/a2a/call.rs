//! What flows through the house: a [`Call`] down, a [`Reply`] or a fault back.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::time::Instant;
use tower::{Service, util::BoxCloneSyncService};

use super::{Fault, Name, Operation, Params};

/// One request of a caller to an agent.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is asked.
    pub operation: Operation,
    /// The canonical form: protobuf wire bytes of the operation's request message. Empty for the card.
    pub body: Bytes,
    /// What travels beside the body.
    pub params: Params,
    /// How it was asked.
    pub binding: Binding,
    /// In which version of A2A it was asked.
    pub dialect: Dialect,
    /// Who is asked.
    pub agent: Name,
    /// Who asks, as a verified SPIFFE ID; `None` is the agent of this pod.
    pub peer: Option<Arc<str>>,
    /// The base URL by which the caller has reached this agent here, without a slash at its end: what a card must say.
    /// Calls from peers have none.
    pub base: Option<Arc<str>>,
    /// Until when the caller waits, if it said so.
    pub deadline: Option<Instant>,
}

/// The bindings of A2A (specification §5), by which a call arrives.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Binding {
    /// Protobuf over gRPC.
    Grpc,
    /// JSON over HTTP, with a path for each operation.
    HttpJson,
    /// JSON-RPC 2.0 over HTTP.
    Jsonrpc,
}

impl Binding {
    /// Every binding.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::HttpJson, Self::Jsonrpc];

    /// The name in cards, configuration, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "GRPC",
            Self::HttpJson => "HTTP+JSON",
            Self::Jsonrpc => "JSONRPC",
        }
    }
}

/// The versions of A2A, of which each has a JSON of its own. The canonical form is that of 1.0.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Dialect {
    /// 0.3, and what of 0.2 it has kept.
    V0_3,
    /// 1.0.
    V1_0,
}

impl Dialect {
    /// The name in cards, headers, configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3 => "0.3",
            Self::V1_0 => "1.0",
        }
    }

    /// The dialect of a version as cards and headers spell it; `None` if nobody here speaks it.
    pub fn of_version(version: &str) -> Option<Self> {
        let mut numbers = version.trim().split('.');
        match (numbers.next()?, numbers.next()) {
            ("1", _) => Some(Self::V1_0),
            ("0", Some("2" | "3")) => Some(Self::V0_3),
            _ => None,
        }
    }
}

/// An agent's answer.
#[derive(Debug)]
pub struct Reply {
    /// What travels beside the body: activated extensions, trace context.
    pub params: Params,
    /// The answer itself.
    pub body: Body,
}

/// One message, or one after the other.
pub enum Body {
    /// The whole answer, in canonical form.
    Once(Bytes),
    /// Events as they happen. What must last as long as the stream lives inside it and ends with it.
    Events(BoxStream<'static, Result<Event, Fault>>),
}

/// What a stream brings.
#[derive(Clone, Debug)]
pub enum Event {
    /// One event, in canonical form.
    Data(Bytes),
    /// The end, with what travels beside it.
    End(Params),
}

/// Anything that answers calls: an agent, or a stage before it. A stage is made of the one behind it, as
/// [`tower::service_fn`] makes a service of a function, and is always ready.
pub trait Stage:
    Service<Call, Response = Reply, Error = Fault, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

impl<S> Stage for S where
    S: Service<Call, Response = Reply, Error = Fault, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

/// A whole stack, boxed once, at its end.
pub type Agent = BoxCloneSyncService<Call, Reply, Fault>;

impl Reply {
    /// An answer with nothing beside it.
    pub fn once(body: impl Into<Bytes>) -> Self {
        Self { params: Params::default(), body: Body::Once(body.into()) }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(bytes) => write!(f, "Once({} bytes)", bytes.len()),
            Self::Events(_) => f.write_str("Events"),
        }
    }
}
