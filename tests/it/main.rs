//! The integration tests: one binary, over a harness whose agents, servers and certificates the tests hold in their hands.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say where"
)]

mod harness;
mod oracle;

/// The codec against its goldens, its limits and the oracle.
mod codec;
/// The demo, as a newcomer would start it.
mod demo;
/// Discovery over a DNS server of ours, whose records and moods the test changes.
mod discovery;
/// Discovery over a DNS server that others wrote.
mod dnsmasq;
/// The schema, the codec's table and the published tables, row by row.
mod schema;
/// The shape of the house: imports, sizes, first lines.
mod shape;
