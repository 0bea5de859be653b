//! The identity service: SVIDs for pods that can show a service account token.
//!
//! ```text
//! Secret ─▶ keeper ─▶ Issuing ─┬─▶ service ◀── CSR, token ── sidecars
//! ConfigMap ◀─▶ ledger         └─▶ own certificate
//! files of other meshes' roots ─▶ federation ─▶ Issuing, ConfigMap
//! ```
//!
//! Roots are rotated in two phases (`docs/adr/0006-roots-rotate-in-two-phases.md`): a new one is believed everywhere before it
//! signs anything, an old one until nothing that it signed can be in use.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::identity::{Authority, Bundles, Clock, IdError, State, TrustDomain};
use crate::proto::mesh;
use crate::task;

mod bundle;
mod claims;
mod federation;
mod keeper;
mod kept;
mod ledger;
mod metrics;
mod names;
mod own;
mod refused;
mod review;
mod secret;
mod service;
mod slices;

use self::keeper::Keeper;
pub use self::metrics::Metrics;
pub use self::service::Service;

/// When sidecars are to ask again whom to believe, at the latest.
const REFRESH: Duration = Duration::from_mins(5);

/// What the identity service is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The trust domain of the mesh.
    pub trust_domain: TrustDomain,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
    /// The own namespace, where Secret and ConfigMap are.
    pub namespace: String,
    /// The service account whose identity the service shows.
    pub account: String,
    /// The Secret with the issuer.
    pub secret: String,
    /// The ConfigMap with all bundles.
    pub bundle: String,
    /// What tokens must be for.
    pub audience: String,
    /// How long certificates are valid.
    pub lifetime: Duration,
    /// How long a new root is published before it signs.
    pub settle: Duration,
    /// DNS names by service account, `name.namespace`.
    pub names: BTreeMap<String, Vec<String>>,
    /// The files with other trust domains' roots.
    pub files: Vec<(TrustDomain, PathBuf)>,
}

/// An identity service that runs.
#[derive(Debug)]
pub struct Signing {
    /// What answers.
    pub service: Service,
    /// The certificate that the service shows.
    pub identity: watch::Receiver<State>,
    /// Whether certificates can be issued, else why not.
    pub ready: watch::Receiver<Result<(), String>>,
    /// What keeps all this up to date.
    pub tasks: Vec<AbortOnDropHandle<()>>,
}

/// Who signs at the moment, and whom to believe.
#[derive(Debug)]
struct Issuing {
    authority: Arc<Authority>,
    bundles: Bundles,
    /// The bundles as they go out.
    told: mesh::Bundles,
}

/// Why there is no issuer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
struct Unissued(String);

/// Starts the identity service. `seed` decides what is left to chance. Blocks on the files of other meshes' roots.
///
/// # Errors
///
/// When the service's own name cannot be a SPIFFE ID.
pub fn start(
    client: &kube::Client,
    mut settings: Settings,
    clock: Clock,
    seed: u64,
    metrics: Metrics,
) -> Result<Signing, IdError> {
    settings.files.retain(|(domain, path)| {
        let other = *domain != settings.trust_domain;
        if !other {
            let path = path.display();
            tracing::warn!(%path, %domain, "The own trust domain's roots are those of its issuer: the file is not read");
        }
        other
    });
    let (federated, polling) = federation::watch(settings.files.clone());
    let settings = Arc::new(settings);
    let keeper = Keeper::new(client, Arc::clone(&settings), clock.clone(), seed, metrics.clone(), federated);
    let issuing = keeper.subscribe();
    let (identity, renewing) = own::watch(Arc::clone(&settings), issuing.clone(), clock.clone())?;
    let service = Service::new(client, settings, issuing.clone(), clock, metrics);
    let (ready, judging) = readiness(issuing, identity.clone());
    Ok(Signing {
        service,
        identity,
        ready,
        tasks: vec![polling, task::spawn(keeper.run()), renewing, judging],
    })
}

impl Issuing {
    /// A new root signs when it has been published for `settle`: until then everybody has asked, more than once.
    fn new(authority: Arc<Authority>, bundles: Bundles, settle: Duration) -> Self {
        let bundle = |(domain, bundle): (&TrustDomain, &crate::identity::Bundle)| mesh::Bundle {
            trust_domain: domain.to_string(),
            roots: bundle.roots().iter().map(|der| der.to_vec()).collect(),
        };
        let refresh_in = REFRESH.min(settle / 3).try_into().ok();
        let told = mesh::Bundles { bundles: bundles.iter().map(bundle).collect(), refresh_in };
        Self { authority, bundles, told }
    }
}

/// Ready is who has an issuer and a certificate of its own.
fn readiness(
    mut issuing: watch::Receiver<Result<Arc<Issuing>, Unissued>>,
    mut identity: watch::Receiver<State>,
) -> (watch::Receiver<Result<(), String>>, AbortOnDropHandle<()>) {
    let (ready_tx, ready) = watch::channel(Err("not asked yet".to_owned()));
    let judging = task::spawn(async move {
        loop {
            let issuer = issuing.borrow_and_update().as_ref().map(drop).map_err(ToString::to_string);
            let own = match &*identity.borrow_and_update() {
                State::Loaded(_) => Ok(()),
                State::Missing(reason) => Err(format!("the service's own certificate: {reason}")),
            };
            drop(ready_tx.send_replace(issuer.and(own)));
            let changed = tokio::select! {
                changed = issuing.changed() => changed,
                changed = identity.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    });
    (ready, judging)
}

#[cfg(test)]
mod forge;
#[cfg(test)]
mod tests;
