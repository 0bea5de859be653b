//! The certificate that the identity service itself shows: issued here by the issuer of the moment, renewed in time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Issuing, Settings, Unissued};
use crate::identity::{Clock, IdError, Material, Metrics, Publisher, SpiffeId, State};
use crate::task;

/// The Service in front of the identity service.
const SERVICE: &str = "dragoman-identity";
/// The pause after a failure, and how soon after another a certificate is made.
const PAUSE: Duration = Duration::from_secs(10);

struct Own {
    id: SpiffeId,
    names: Vec<String>,
    settings: Arc<Settings>,
    clock: Clock,
    publisher: Publisher,
}

/// Keeps the own certificate up to date. The task ends with the handle.
pub(super) fn watch(
    settings: Arc<Settings>,
    issuing: watch::Receiver<Result<Arc<Issuing>, Unissued>>,
    clock: Clock,
) -> Result<(watch::Receiver<State>, AbortOnDropHandle<()>), IdError> {
    let Settings { trust_domain, namespace, account, cluster_domain, .. } = &*settings;
    let id = SpiffeId::parse(&format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}"))?;
    let service = format!("{SERVICE}.{namespace}.svc");
    let given = settings.names.get(&format!("{account}.{namespace}")).into_iter().flatten().cloned();
    let names = [format!("{service}.{cluster_domain}"), service].into_iter().chain(given).collect();
    // What expires here is renewed here within seconds: the metric is the issuer's.
    let publisher = Publisher::new("there is no issuer yet".to_owned(), Metrics::default());
    let states = publisher.subscribe();
    let own = Own { id, names, settings, clock, publisher };
    Ok((states, task::spawn(own.run(issuing))))
}

impl Own {
    async fn run(mut self, mut issuing: watch::Receiver<Result<Arc<Issuing>, Unissued>>) {
        loop {
            let latest = issuing.borrow_and_update().clone();
            let pause = match latest {
                Ok(issuing) => self.renew(&issuing),
                // Whoever keeps the issuer says what is wrong.
                Err(_) => Duration::from_hours(1),
            };
            tokio::select! {
                changed = issuing.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep(pause) => {}
            }
        }
    }

    /// Has a certificate issued, and says when to do that again.
    fn renew(&mut self, issuing: &Issuing) -> Duration {
        let now = self.clock.now();
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let issued = issuing.authority.issue(&self.id, &names, self.settings.lifetime, now);
        let material = issued.map_err(|error| error.to_string()).and_then(|issued| {
            let (domain, bundles) = (&self.settings.trust_domain, issuing.bundles.clone());
            Material::new(domain, issued.chain(), issued.key(), bundles, now)
                .map_err(|error| error.to_string())
        });
        match material {
            Ok(material) => {
                let left = u64::try_from(material.not_after - now).unwrap_or(0);
                self.publisher.publish(material);
                (Duration::from_secs(left) * 2 / 3).max(PAUSE)
            }
            Err(reason) => {
                self.publisher.refuse(reason);
                PAUSE
            }
        }
    }
}
