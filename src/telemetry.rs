//! What an operator sees: metrics, and one log line for each finished call. Never a payload, never a credential.

pub mod log;
mod metrics;
mod observe;

use http::HeaderName;
pub use metrics::Metrics;
pub use observe::observe;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::a2a::Call;

/// The W3C trace context header.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Which way a call goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From a peer to the local agent.
    Inbound,
    /// From the local agent to a peer.
    Outbound,
}

impl Direction {
    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl EncodeLabelValue for Direction {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// The form in which bytes are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// JSON text, toward agents.
    Json,
    /// Canonical bytes, between sidecars.
    Protobuf,
}

/// The trace that a call belongs to, in hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct TraceId([u8; 32]);

impl TraceId {
    /// The second part of `traceparent`, if the call has one.
    fn of(call: &Call) -> Option<Self> {
        let traceparent = call.params.get(&TRACEPARENT)?.as_bytes();
        let version = traceparent.iter().position(|byte| *byte == b'-')?;
        let (id, rest) = traceparent.get(version + 1..)?.split_first_chunk()?;
        let whole = rest.first().is_none_or(|byte| *byte == b'-');
        (whole && id.iter().all(u8::is_ascii_hexdigit)).then_some(Self(*id))
    }

    fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::a2a::{Binding, Dialect, Home, Name, Operation, Params};

    fn traced(traceparent: &'static str) -> Option<String> {
        let home = Home { namespace: "travel".to_owned(), mesh: "east".to_owned() };
        let mut params = Params::default();
        params.set(TRACEPARENT, HeaderValue::from_static(traceparent));
        let call = Call {
            operation: Operation::GetTask,
            body: bytes::Bytes::new(),
            params,
            binding: Binding::Grpc,
            dialect: Dialect::V1_0,
            agent: Name::parse("currency", &home).unwrap(),
            peer: None,
            base: None,
            deadline: None,
        };
        TraceId::of(&call).and_then(|id| id.as_str().map(str::to_owned))
    }

    #[test]
    fn a_trace_is_the_second_part_of_its_header() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(), Some(id));
        assert_eq!(traced("00-0af7651916cd43dd8448eb211c80319c").as_deref(), Some(id));
        for other in [
            "",
            "00",
            "0af7651916cd43dd8448eb211c80319c",
            "00-0af7651916cd43dd8448eb211c80319",
            "00-0af7651916cd43dd8448eb211c80319c0-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
        ] {
            assert_eq!(traced(other), None, "{other}");
        }
    }
}
