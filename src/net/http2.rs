//! HTTP/2 connections that call: one for each place, kept, and shared by all calls to it.

mod connection;
mod pool;

use std::sync::Arc;
use std::time::Duration;

pub(super) use connection::Manner;
pub use connection::{Answer, Connection, Unanswered};
pub(super) use pool::Pool;

use crate::tls::Refusal;

/// Why nobody can be talked to at a place. Whatever was to be sent has not been sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unreachable {
    /// The peer's certificate, or the own one, stands in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer refuses our certificate.
    #[error("the peer refuses our certificate: {0}")]
    Rejected(Arc<str>),
    /// Nobody answers there, or nobody who speaks this.
    #[error("{0}")]
    Silent(Arc<str>),
}

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long connecting may take, TLS included.
    pub connect: Duration,
    /// The window of each stream, in bytes.
    pub stream_window: u32,
}
