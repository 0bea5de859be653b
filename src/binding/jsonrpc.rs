//! A2A over JSON-RPC (specification §9): one POST for each call, answered with JSON or with a stream of events.

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
use http::HeaderValue;
pub use server::Server;

/// The media type of requests and of single answers.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
