//! Identity from an identity service: a key that is made here for each certificate and never leaves memory, a service account
//! token that is read anew each time, and bundles that the service tells.
//!
//! ```text
//! token, new key ─▶ Certifier::certify ─▶ chain, bundles ─▶ checked as a peer would ─▶ published
//!                   Certifier::bundles ─▶ bundles ─▶ checked with the chain in use ──▶ published
//! ```
//!
//! Whatever goes wrong, what is in use stays in use until it expires, and another attempt follows.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch as channel;
use tokio_util::task::AbortOnDropHandle;

use super::{Bundles, Clock, Metrics, State, TrustDomain};
use crate::task;

mod keeper;
mod store;
mod token;

use self::keeper::Keeper;
pub use self::token::{Token, TokenError};

/// Where certificates come from.
pub trait Certifier: Send + Sync + 'static {
    /// Has the key of `request` (PKCS #10, DER) certified for whom `token` names. The service must prove itself by `roots`.
    fn certify<'a>(
        &'a self,
        roots: &'a Bundles,
        request: Vec<u8>,
        token: &'a Token,
    ) -> BoxFuture<'a, Result<Granted, Refused>>;

    /// Asks whom to believe.
    fn bundles<'a>(&'a self, roots: &'a Bundles) -> BoxFuture<'a, Result<Told, Refused>>;
}

/// A certificate, just issued.
#[derive(Clone, Debug, Default)]
pub struct Granted {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Whom to believe from now on.
    pub told: Told,
    /// When to ask again, if that is sooner than by the certificate's lifetime.
    pub renew_in: Option<Duration>,
}

/// Whom to believe.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Roots by trust domain, as the service names it.
    pub bundles: Vec<(String, Vec<CertificateDer<'static>>)>,
    /// When to ask again.
    pub refresh_in: Option<Duration>,
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The service cannot be reached, does not prove itself, or is not able to answer.
    #[error("{0}")]
    Away(String),
    /// The service has had enough for now.
    #[error("the identity service takes no more requests for now: {reason}")]
    Busy {
        /// What it says.
        reason: String,
        /// When to come again.
        retry: Option<Duration>,
    },
    /// The service does not accept the request.
    #[error("the identity service refuses the request: {0}")]
    Invalid(String),
    /// The service does not accept the token.
    #[error("the identity service does not accept the token: {0}")]
    Unauthenticated(String),
}

/// What the loop is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The own trust domain.
    pub trust_domain: TrustDomain,
    /// Where the token is.
    pub token_file: PathBuf,
    /// By which roots the service is believed at first.
    pub roots: Roots,
    /// Where the latest bundles are kept over a restart.
    pub state: Option<PathBuf>,
}

/// By which roots the service is believed before it has told any.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Roots {
    /// Those in `ca.crt` beside the token, as they are at each attempt.
    Beside,
    /// These, PEM.
    Given(String),
    /// None: the service need not prove itself.
    Unneeded,
}

/// Keeps the own identity up to date by asking `certifier`. The task ends with the handle; the state is [`State::Missing`]
/// until a first certificate was issued, and never again after. `seed` decides all jitter.
pub fn watch(
    certifier: Arc<dyn Certifier>,
    settings: Settings,
    clock: Clock,
    metrics: Metrics,
    seed: u64,
) -> (channel::Receiver<State>, AbortOnDropHandle<()>) {
    let keeper = Keeper::new(certifier, settings, clock, metrics, seed);
    let states = keeper.subscribe();
    (states, task::spawn(keeper.run()))
}
