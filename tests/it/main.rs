//! The integration tests: one binary, over a harness whose agents, servers and certificates the tests hold in their hands.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say where"
)]

mod harness;
mod oracle;

/// Every way to name an agent, and what the door turns away.
mod addressing;
/// Metrics, probes, and a look inside.
mod admin;
/// Cards through both sidecars.
mod cards;
/// What `dragoman check` finds.
mod check;
/// The commands, as somebody types them.
mod cli;
/// The codec against its goldens, its limits and the oracle.
mod codec;
/// Many streams at once.
mod crowds;
/// The demo, as a newcomer would start it.
mod demo;
/// The directory: gRPC, HTTPS, other directories, and what sidecars make of it.
mod directory;
/// Discovery over a DNS server of ours, whose records and moods the test changes.
mod discovery;
/// Discovery over a DNS server that others wrote.
mod dnsmasq;
/// Doors that anybody may knock at, and who means no good there.
mod doors;
/// What agents say when they cannot or will not.
mod faults;
/// Callers and agents that speak gRPC themselves.
mod grpc;
/// What travels beside the body.
mod headers;
/// The mesh hop with somebody else at the other end.
mod hop;
/// Who is believed, and who may do what.
mod identity;
/// The mesh door, and what peers may ask there.
mod inbound;
/// The injector: pods, the webhook, its certificate.
mod injector;
/// An identity from the identity service, over the wire.
mod issuer;
/// From start to end, and replicas that come and go.
mod lifecycle;
/// The own certificate, key and bundles.
mod material;
/// The eleven operations, member for member.
mod operations;
/// What callers do wrong, and whom they cannot reach.
mod refusals;
/// HTTP+JSON at both ends.
mod rest;
/// The same in 0.3.
mod rest_v0_3;
/// What is asked again elsewhere, and what never is.
mod retries;
/// The schema, the codec's table and the published tables, row by row.
mod schema;
/// The shape of the house: imports, sizes, first lines.
mod shape;
/// Streams of events, and how they end.
mod streams;
/// Everything that goes wrong between SDKs and dialects, and must not go wrong here.
mod traps;
/// An identity from a SPIFFE agent, over its Unix socket.
mod workload_api;
/// The directory's DNS over real sockets, by itself, behind another server, and as a sidecar asks it.
mod zone;
