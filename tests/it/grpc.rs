//! gRPC at both ends of the mesh: callers at the local door, and agents that serve it themselves.

use dragoman::a2a::Operation;
use dragoman::codec::wire::append;
use prost::Message as _;
use prost_types::Any;
use serde_json::{Value, json};
use tonic_types::pb;

use crate::harness::mesh::{Mesh, Sidecar, known};
use crate::harness::peer::{Answer, FarSide, Peer};

/// Agents on gRPC, and what becomes of their bytes.
mod agents;
/// What agents say on gRPC when they cannot or will not.
mod errors;
/// Every way in which a gRPC caller names an agent.
mod routing;
/// Health and reflection at the mesh door.
mod services;
/// Tenants there and back.
mod tenants;

/// `planner` calls `currency`, which the test holds and which speaks gRPC, through a sidecar at each end.
struct House {
    mesh: Mesh,
    planner: Sidecar,
    _currency: Sidecar,
    agent: FarSide,
}

impl House {
    async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// The same, with more about the agent.
    async fn with(more: Value) -> Self {
        let mesh = Mesh::new();
        let agent = FarSide::plain().await;
        let mut config =
            json!({"name": "currency", "url": format!("http://{}", agent.address), "binding": "GRPC"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let currency = mesh.sidecar("currency", json!({"agents": [config]})).await;
        let planner = mesh.sidecar("planner", known("currency", &[currency.inbound()])).await;
        Self { mesh, planner, _currency: currency, agent }
    }

    fn agent_name(&self) -> String {
        self.mesh.agent("currency")
    }

    /// A gRPC caller beside the planner.
    async fn caller(&self) -> Peer {
        Peer::plain(self.planner.outbound).await
    }
}

/// How a caller says whom it means.
const CURRENCY: (&str, &str) = ("dragoman-agent", "currency");

fn path(operation: Operation) -> String {
    format!("/lf.a2a.v1.A2AService/{operation}")
}

/// A message with a field that nobody knows at its end.
fn unknown(mut wire: Vec<u8>) -> Vec<u8> {
    append(&mut wire, 1000, b"\xffof tomorrow");
    wire
}

/// A detail of an error.
fn detail(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn info(domain: &str, reason: &str, metadata: &[(&str, &str)]) -> Any {
    let metadata = metadata.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
    let info =
        pb::ErrorInfo { reason: reason.to_owned(), domain: domain.to_owned(), metadata: metadata.collect() };
    detail("google.rpc.ErrorInfo", &info)
}

/// Details as they stand in `grpc-status-details-bin`.
fn encoded(code: i32, message: &str, details: &[Any]) -> String {
    let status = pb::Status { code, message: message.to_owned(), details: details.to_vec() };
    base64_simd::STANDARD_NO_PAD.encode_to_string(status.encode_to_vec())
}

/// The status of an answer, with its details.
fn told(answer: &Answer) -> pb::Status {
    let details = answer.header("grpc-status-details-bin").unwrap_or_else(|| panic!("{answer:?}"));
    let details = base64_simd::STANDARD_NO_PAD.decode_to_vec(details.trim_end_matches('=')).unwrap();
    let status = pb::Status::decode(&*details).unwrap();
    assert_eq!(status.code, answer.status());
    status
}

/// The first `ErrorInfo` of an answer.
fn reason(answer: &Answer) -> String {
    let status = told(answer);
    let first = status.details.first().unwrap_or_else(|| panic!("{status:?}"));
    pb::ErrorInfo::decode(&*first.value).unwrap().reason
}
