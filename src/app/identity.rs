//! Where the own certificate comes from, as the configuration says it.

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::StartError;
use crate::config::Source;
use crate::identity::{Clock, Metrics, State, TrustDomain, files};

/// Starts to keep the own identity up to date. The task ends with the handle.
pub(super) fn source(
    source: &Source,
    trust_domain: TrustDomain,
    clock: Clock,
    metrics: Metrics,
) -> Result<(watch::Receiver<State>, AbortOnDropHandle<()>), StartError> {
    match source {
        Source::Files { dir } => Ok(files::watch(dir.clone(), trust_domain, clock, metrics)),
        Source::Issuer { .. } => Err(StartError::Unsupported("identity.issuer")),
        Source::WorkloadApi { .. } => Err(StartError::Unsupported("identity.workloadApi")),
    }
}
