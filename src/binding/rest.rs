//! A2A over HTTP+JSON (specification §11): a path for each operation, and the messages as they are, without an envelope.
//! Routes of 0.3 are those below `v1/`.

mod client;
mod failure;
mod members;
mod route;
mod server;
#[cfg(test)]
mod tests;

pub use client::Client;
use http::HeaderValue;
pub use server::Server;

use crate::a2a::Dialect;
use crate::codec::Form;

/// The media type that every JSON parser knows: of requests, because servers in Java take nothing else, and of errors,
/// because clients in Go read nothing else.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The media type of answers in 1.0.
const A2A_JSON: HeaderValue = HeaderValue::from_static("application/a2a+json");

/// How messages of a dialect look over HTTP.
const fn form(dialect: Dialect) -> Form {
    match dialect {
        Dialect::V0_3 => Form::V0_3Rest,
        Dialect::V1_0 => Form::V1_0,
    }
}
