//! A question to a sidecar about itself: is it well, which version is it, what time is it there.

use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;

use super::client::{unanswered, unreachable};
use super::{CONTENT_TYPE_GRPC, Client, GRPC_STATUS, USER_AGENT, framed};
use crate::a2a::{Fault, Name, Reason};
use crate::identity::Pattern;
use crate::net::describe;

/// Asked of every server that speaks gRPC (`grpc.health.v1`).
const CHECK: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
/// `HealthCheckResponse {status: SERVING}`.
const SERVING: &[u8] = &[8, 1];

/// What a sidecar says of itself.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Whether it takes calls; one that is about to end does not.
    pub serving: bool,
    /// Its version, if it is a Dragoman.
    pub version: Option<String>,
    /// Its clock, to a second.
    pub date: Option<SystemTime>,
}

impl Client {
    /// Asks the sidecar of `name` at `address`, where an identity that `expected` matches must answer.
    ///
    /// # Errors
    /// If it cannot be reached, or is the sidecar of another agent.
    pub async fn probe(&self, name: &Name, address: SocketAddr, expected: &Pattern) -> Result<Probe, Fault> {
        let connection = self.peers.connection(address, name, expected).await;
        let connection = connection.map_err(|reason| unreachable(&reason))?;
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, CONTENT_TYPE_GRPC),
            (header::TE, HeaderValue::from_static("trailers")),
            (header::USER_AGENT, USER_AGENT),
        ]);
        let sent = connection.send(CHECK, headers, framed(Bytes::new())).await;
        let (head, body) = sent.map_err(|error| unanswered(&error, unreachable))?.into_parts();
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let version = text(header::SERVER).and_then(|server| server.strip_prefix("dragoman/"));
        let date = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        // Without a message it has refused the question: it is the sidecar of somebody else.
        if head.headers.get(GRPC_STATUS).is_some_and(|status| status != "0") {
            let fault = Fault::new(Reason::AgentNotFound, format!("no agent {name} at {address}"));
            return Err(fault.never_processed());
        }
        let body = body.collect().await.map_err(|error| {
            Fault::new(Reason::AgentUnreachable, "the answer broke off").because(describe(&error))
        })?;
        let serving = body.to_bytes().get(5..) == Some(SERVING);
        Ok(Probe { serving, version: version.map(str::to_owned), date })
    }
}
