//! A2A over JSON-RPC (specification §9): one POST for each call, answered with JSON or with a stream of events.

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
use http::HeaderValue;
pub use server::Server;

use crate::a2a::Dialect;
use crate::codec::Form;

/// The media type of requests and of single answers.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How JSON-RPC looks in a dialect.
fn form(dialect: Dialect) -> Form {
    match dialect {
        Dialect::V0_3 => Form::V0_3,
        Dialect::V1_0 => Form::V1_0,
    }
}
