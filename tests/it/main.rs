//! The integration tests: one binary, over a harness whose agents, servers and certificates the tests hold in their hands.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say where"
)]

mod oracle;

/// The codec against its goldens, its limits and the oracle.
mod codec;
/// The schema, the codec's table and the published tables, row by row.
mod schema;
