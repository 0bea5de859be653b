//! Who we are and whom we believe: SPIFFE IDs, X.509-SVIDs, the bundles of trust domains, and where they come from.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

pub mod authority;
pub mod files;
#[cfg(test)]
pub(crate) mod forge;
pub mod issuer;
mod material;
mod metrics;
mod pace;
mod pattern;
pub mod pem;
mod publish;
mod replace;
mod spiffe_id;
mod svid;
pub mod workload_api;

pub use authority::{Authority, AuthorityError, Issued, PublicKey, Request, RequestError, Signed};
pub use material::{Bundle, Bundles, Material, MaterialError, RootError};
pub use metrics::Metrics;
pub use pattern::{Pattern, PatternError, PatternTemplate};
pub use publish::Publisher;
pub use spiffe_id::{IdError, SpiffeId, TrustDomain};
pub use svid::{IssuerRule, LeafRule, Svid, Untrusted, Usage};

/// What is known of the own identity, as every source publishes it through a `tokio::sync::watch`.
#[derive(Clone, Debug)]
pub enum State {
    /// In use.
    Loaded(Arc<Material>),
    /// Not there yet, and why.
    Missing(String),
}

impl State {
    /// The material, once it is there.
    #[must_use]
    pub fn material(&self) -> Option<&Arc<Material>> {
        match self {
            Self::Loaded(material) => Some(material),
            Self::Missing(_) => None,
        }
    }
}

/// The wall clock, as a value: certificates are valid by the calendar, not by a timer.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that tells what `read` gives, in Unix seconds.
    pub fn new(read: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The machine's clock.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge where wall time comes in; all else is given a Clock"
    )]
    pub fn system() -> Self {
        Self::new(|| match std::time::SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(_) => 0,
        })
    }

    /// The time, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        u64::try_from(self.now()).ok().map(|now| UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

/// A time in Unix seconds, as people read it.
fn date(unix: i64) -> String {
    let whole = u64::try_from(unix).ok();
    // The formatter knows the years up to 9999 only.
    match whole.filter(|seconds| *seconds < 253_402_300_800) {
        Some(seconds) => httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)),
        None => format!("{unix} seconds after 1970"),
    }
}
