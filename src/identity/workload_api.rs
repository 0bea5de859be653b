//! Identity from a SPIFFE Workload API, such as a SPIRE agent's: a stream in which each message is the whole of what the
//! workload may be and whom it may believe (SPIFFE Workload API §5.2.1).
//!
//! ```text
//! Workload::updates ─▶ Update ─▶ checked as a peer would ─▶ published
//! ```
//!
//! Whatever goes wrong, what is in use stays in use until it expires, and the stream is asked for again.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{sync::watch as channel, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{
    Bundle, Bundles, Clock, Material, MaterialError, Metrics, Publisher, RootError, SpiffeId, State,
    TrustDomain, pace,
};
use crate::task;

/// The pause after an agent has said that it will never answer: another one may take its place.
const NEVER: Duration = Duration::from_mins(10);

/// What the workload may be, now and whenever that changes.
pub type Updates = BoxStream<'static, Result<Update, Refused>>;

/// Where identities come from.
pub trait Workload: Send + Sync + 'static {
    /// Asks for them.
    fn updates(&self) -> BoxFuture<'_, Result<Updates, Refused>>;
}

/// All that a workload may be, and whom it may believe.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Its identities, the default one first.
    pub svids: Vec<Given>,
    /// Roots of other trust domains, by their SPIFFE IDs: certificates in DER, one behind the other.
    pub federated: Vec<(String, Vec<u8>)>,
}

/// An identity, as it is given.
#[derive(Clone, Default)]
pub struct Given {
    /// The SPIFFE ID.
    pub id: String,
    /// The chain, leaf first: certificates in DER, one behind the other.
    pub chain: Vec<u8>,
    /// The key, PKCS #8 in DER.
    pub key: Vec<u8>,
    /// The roots of its trust domain: certificates in DER, one behind the other.
    pub bundle: Vec<u8>,
}

/// Why there are no updates.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The agent cannot be reached, or has nothing for this workload yet: registrations take their time.
    #[error("{0}")]
    Away(String),
    /// It does not offer this, and will not when it is asked again.
    #[error("{0}")]
    Never(String),
}

/// Why an update is no identity.
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error("{what} is not in DER")]
    Der { what: &'static str },
    #[error("the Workload API gives no identity of {domain}, only {given}")]
    Domain { domain: TrustDomain, given: String },
    #[error("the identity {id} that the Workload API gives: {cause}")]
    Material { id: String, cause: MaterialError },
    #[error("the identity that the Workload API gives has no {0}")]
    Missing(&'static str),
    #[error("the identity {given} that the Workload API gives has the certificate of {id}")]
    Other { given: String, id: SpiffeId },
    #[error("the roots that the Workload API gives: {0}")]
    Root(#[from] RootError),
}

struct Keeper {
    workload: Arc<dyn Workload>,
    trust_domain: TrustDomain,
    clock: Clock,
    publisher: Publisher,
    chance: SmallRng,
    /// How often in a row the stream has ended without an identity.
    failures: u32,
}

/// Keeps the own identity, which is of `trust_domain`, up to date by what `workload` gives. The task ends with the handle; the
/// state is [`State::Missing`] until there is a first identity, and never again after. `seed` decides all jitter.
pub fn watch(
    workload: Arc<dyn Workload>,
    trust_domain: TrustDomain,
    clock: Clock,
    metrics: Metrics,
    seed: u64,
) -> (channel::Receiver<State>, AbortOnDropHandle<()>) {
    let publisher = Publisher::new("the Workload API has not answered yet".to_owned(), metrics);
    let states = publisher.subscribe();
    let chance = SmallRng::seed_from_u64(seed);
    let keeper = Keeper { workload, trust_domain, clock, publisher, chance, failures: 0 };
    (states, task::spawn(keeper.run()))
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let refused = self.follow().await;
            self.publisher.refuse(refused.to_string());
            self.failures = self.failures.saturating_add(1);
            let left = self.publisher.material().map(|material| material.not_after - self.clock.now());
            let pause = match refused {
                Refused::Away(_) => pace::back_off(self.failures, left, self.chance.random()),
                Refused::Never(_) => NEVER,
            };
            sleep(pause).await;
        }
    }

    /// Takes what there is until the stream ends, and says why it did.
    async fn follow(&mut self) -> Refused {
        let mut updates = match self.workload.updates().await {
            Ok(updates) => updates,
            Err(refused) => return refused,
        };
        while let Some(update) = updates.next().await {
            let material = match update {
                Ok(update) => material(update, &self.trust_domain, self.clock.now()),
                Err(refused) => return refused,
            };
            match material {
                Ok(material) => {
                    self.failures = 0;
                    self.publisher.publish(material);
                }
                Err(useless) => self.publisher.refuse(useless.to_string()),
            }
        }
        Refused::Away("the Workload API has ended its answer".to_owned())
    }
}

/// The identity of an update that is of the own trust domain: the first if there are several.
fn material(update: Update, domain: &TrustDomain, now: i64) -> Result<Material, Useless> {
    let ids = || update.svids.iter().map(|svid| svid.id.as_str()).collect::<Vec<_>>().join(", ");
    let ours = |svid: &&Given| SpiffeId::parse(&svid.id).is_ok_and(|id| id.trust_domain() == domain);
    let Some(Given { id, chain, key, bundle }) = update.svids.iter().find(ours).cloned() else {
        return Err(Useless::Domain { domain: domain.clone(), given: ids() });
    };
    for (what, part) in [("certificate", &chain), ("key", &key), ("roots", &bundle)] {
        if part.is_empty() {
            return Err(Useless::Missing(what));
        }
    }
    let roots = certificates(&bundle).ok_or(Useless::Der { what: "the bundle" })?;
    let mut bundles = Bundles::from([(domain.clone(), Bundle::new(domain, roots)?)]);
    for (name, roots) in &update.federated {
        match foreign(name, roots, domain) {
            Ok((domain, bundle)) => drop(bundles.insert(domain, bundle)),
            // That costs nobody's identity.
            Err(error) => tracing::warn!(name, error, "A trust domain is not believed"),
        }
    }
    let chain = certificates(&chain).ok_or(Useless::Der { what: "the certificate" })?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let material = Material::new(domain, chain, key, bundles, now);
    let material = material.map_err(|cause| Useless::Material { id: id.clone(), cause })?;
    match material.id.as_str() == id {
        true => Ok(material),
        false => Err(Useless::Other { given: id, id: material.id }),
    }
}

/// The roots of another trust domain.
fn foreign(name: &str, roots: &[u8], own: &TrustDomain) -> Result<(TrustDomain, Bundle), String> {
    let domain = TrustDomain::parse(name.strip_prefix("spiffe://").unwrap_or(name));
    let domain = domain.map_err(|error| error.to_string())?;
    if domain == *own {
        return Err("it is the own one, whose roots come with the identity".to_owned());
    }
    let roots = certificates(roots).filter(|roots| !roots.is_empty()).ok_or("it is not in DER")?;
    let bundle = Bundle::new(&domain, roots).map_err(|error| error.to_string())?;
    Ok((domain, bundle))
}

/// Certificates in DER, one behind the other; none if that is no DER.
fn certificates(mut der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut certificates = Vec::new();
    while !der.is_empty() {
        let (rest, _) = X509Certificate::from_der(der).ok()?;
        let one = der.get(..der.len().checked_sub(rest.len())?)?;
        certificates.push(CertificateDer::from(one.to_vec()));
        der = rest;
    }
    Some(certificates)
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
