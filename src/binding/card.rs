//! The card by plain HTTP (specification §8.2): read from the agent of this pod, shown to callers and peers.

mod client;
mod server;

pub use client::Client;
use http::{HeaderMap, HeaderName, header};
pub use server::{Document, Server};

/// Where a card is, and where it was before A2A 0.3.
const PATHS: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];
/// Where the text is shown that the agent itself sent.
const ORIGINAL_PATH: &str = "/.well-known/agent-card.original.json";

/// What a caller says about the copy that it has: no business of who is asked next.
const CONDITIONS: [HeaderName; 8] = [
    header::CACHE_CONTROL,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::PRAGMA,
    header::RANGE,
];
/// What an agent says about the copy that it gives: it does not hold for a card that was rewritten.
const VALIDATORS: [HeaderName; 7] = [
    header::ACCEPT_RANGES,
    header::AGE,
    header::CACHE_CONTROL,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::VARY,
];

/// The headers without these.
fn without(mut headers: HeaderMap, names: &[HeaderName]) -> HeaderMap {
    for name in names {
        headers.remove(name);
    }
    headers
}
