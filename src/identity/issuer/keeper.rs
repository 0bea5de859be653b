//! The loop: asks, checks, publishes, and knows when to ask again.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use rustls_pki_types::CertificateDer;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Certifier, Granted, Refused, Roots, Settings, Token, TokenError, Told, store};
use crate::identity::{
    Bundle, Bundles, Clock, Material, MaterialError, Metrics, Publisher, Request, State, TrustDomain, pace,
    pem,
};

/// The certificate beside the token by which the service is believed at first.
const BESIDE: &str = "ca.crt";
/// How long to wait for the next attempt when bundles could not be asked for, at most.
const POLL_AGAIN: Duration = Duration::from_secs(60);

/// Asks, checks, publishes.
pub(super) struct Keeper {
    certifier: Arc<dyn Certifier>,
    settings: Settings,
    clock: Clock,
    publisher: Publisher,
    chance: SmallRng,
    /// The bundle of the own trust domain as it was told last, by which the service is believed.
    told: Option<Bundles>,
    /// How many attempts to get a certificate have failed in a row.
    failures: u32,
    /// What was wrong with the directory the last time, so that the log says it once.
    unkept: Option<String>,
}

/// When to do what.
struct Plan {
    certify: Instant,
    /// The same by the calendar, which goes on while a machine sleeps; none during a back-off.
    renewal: Option<i64>,
    /// Nothing to poll for before there is a certificate.
    poll: Option<Instant>,
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the identity service's answer is no good: {0}")]
    Answer(String),
    #[error("no key can be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the identity service's answer is no good: {0}")]
    Material(#[from] MaterialError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the identity service cannot be verified: {0}")]
    Roots(String),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{refused} ({token})")]
    Unauthenticated { refused: Refused, token: String },
}

impl Keeper {
    pub(super) fn new(
        certifier: Arc<dyn Certifier>,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        seed: u64,
    ) -> Self {
        let publisher = Publisher::new("the identity service has not answered yet".to_owned(), metrics);
        let chance = SmallRng::seed_from_u64(seed);
        Self { certifier, settings, clock, publisher, chance, told: None, failures: 0, unkept: None }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.publisher.subscribe()
    }

    pub(super) async fn run(mut self) {
        self.recall().await;
        let mut plan = Plan { certify: Instant::now(), renewal: None, poll: None };
        loop {
            if self.is_due(&plan) {
                plan = self.renew(plan.poll).await;
            } else if plan.poll.is_some_and(|poll| poll <= Instant::now()) {
                self.refresh(&mut plan).await;
            }
            sleep_until(plan.poll.map_or(plan.certify, |poll| poll.min(plan.certify))).await;
        }
    }

    fn is_due(&self, plan: &Plan) -> bool {
        plan.certify <= Instant::now() || plan.renewal.is_some_and(|renewal| renewal <= self.clock.now())
    }

    /// Gets a certificate, or says why not.
    async fn renew(&mut self, poll: Option<Instant>) -> Plan {
        match self.certify().await {
            Ok((renew_in, refresh_in)) => {
                self.failures = 0;
                let now = self.clock.now();
                let material = self.publisher.material();
                let life = material.map_or((now, now), |material| (material.not_before, material.not_after));
                let renewal = pace::renewal(life, renew_in, now, self.chance.random());
                let pause = u64::try_from(renewal.saturating_sub(now)).unwrap_or(0);
                Plan {
                    certify: Instant::now() + Duration::from_secs(pause),
                    renewal: Some(renewal),
                    poll: Some(Instant::now() + pace::refresh(refresh_in, self.chance.random())),
                }
            }
            Err(trouble) => {
                self.failures = self.failures.saturating_add(1);
                let left = self.publisher.material().map(|material| material.not_after - self.clock.now());
                let pause = match &trouble {
                    Trouble::Refused(Refused::Busy { retry: Some(retry), .. }) => {
                        pace::sent_away(*retry, self.chance.random())
                    }
                    _ => pace::back_off(self.failures, left, self.chance.random()),
                };
                self.publisher.refuse(trouble.to_string());
                Plan { certify: Instant::now() + pause, renewal: None, poll }
            }
        }
    }

    /// One attempt; when the service wants to be asked again for a certificate, and for bundles.
    async fn certify(&mut self) -> Result<(Option<Duration>, Option<Duration>), Trouble> {
        let token = Token::read(&self.settings.token_file).await?;
        let roots = self.roots().await?;
        let request = Request::new()?;
        let granted = self.certifier.certify(&roots, request.der.clone(), &token).await;
        let granted = granted.map_err(|refused| match refused {
            Refused::Unauthenticated(_) => {
                Trouble::Unauthenticated { refused, token: token.describe(self.clock.now()) }
            }
            other => Trouble::Refused(other),
        })?;
        let Granted { chain, told, renew_in } = granted;
        let bundles = believed(told.bundles, &self.settings.trust_domain)?;
        let domain = &self.settings.trust_domain;
        let material = Material::new(domain, chain, request.into_key(), bundles, self.clock.now())?;
        self.publish(material).await;
        Ok((renew_in, told.refresh_in))
    }

    /// Asks whom to believe, and when to do that again.
    async fn refresh(&mut self, plan: &mut Plan) {
        let pause = match self.poll().await {
            Ok(refresh_in) => pace::refresh(refresh_in, self.chance.random()),
            Err(trouble) => {
                // Bundles that would not have us believed: perhaps there is a new authority, and a certificate of it for us.
                if matches!(trouble, Trouble::Material(_)) && self.failures == 0 {
                    plan.certify = Instant::now();
                }
                self.publisher.refuse(trouble.to_string());
                POLL_AGAIN.mul_f64(self.chance.random_range(0.5..1.0))
            }
        };
        plan.poll = Some(Instant::now() + pause);
    }

    async fn poll(&mut self) -> Result<Option<Duration>, Trouble> {
        let roots = self.roots().await?;
        let Told { bundles, refresh_in } = self.certifier.bundles(&roots).await?;
        let bundles = believed(bundles, &self.settings.trust_domain)?;
        let Some(material) = self.publisher.material() else { return Ok(refresh_in) };
        if material.bundles != bundles {
            let material = material.with_bundles(bundles, self.clock.now())?;
            self.publish(material).await;
        } else if self.failures == 0 {
            self.publisher.content();
        }
        Ok(refresh_in)
    }

    async fn publish(&mut self, material: Material) {
        let bundles = material.bundles.clone();
        let own = bundles.iter().find(|(domain, _)| **domain == self.settings.trust_domain);
        self.told = own.map(|(domain, bundle)| BTreeMap::from([(domain.clone(), bundle.clone())]));
        self.publisher.publish(material);
        self.keep(bundles).await;
    }

    /// The roots by which the service must prove itself: what it told last, else what we were given. Who was away for long
    /// may have been told of none that are still in use: every other attempt then is by the file, which somebody else
    /// keeps up to date. Roots in the configuration are as old as the pod, and no way back to one that was withdrawn.
    async fn roots(&self) -> Result<Bundles, Trouble> {
        let by_file = self.settings.roots == Roots::Beside && self.failures % 2 == 1;
        if let Some(told) = self.told.as_ref().filter(|_| !by_file) {
            return Ok(told.clone());
        }
        let (place, text) = match &self.settings.roots {
            Roots::Unneeded => return Ok(Bundles::new()),
            Roots::Given(text) => ("identity.issuer.roots".to_owned(), text.clone().into_bytes()),
            Roots::Beside => {
                let path = self.settings.token_file.with_file_name(BESIDE);
                let text = tokio::fs::read(&path).await;
                let place = path.display().to_string();
                let text = text.map_err(|error| Trouble::Roots(format!("{place}: {error}")))?;
                (place, text)
            }
        };
        let domain = &self.settings.trust_domain;
        let wrong = |what: &dyn ToString| Trouble::Roots(format!("{place}: {}", what.to_string()));
        let roots = pem::read(&text).map_err(|what| wrong(&what))?;
        if roots.is_empty() {
            return Err(wrong(&"it is empty"));
        }
        let bundle = Bundle::new(domain, roots).map_err(|error| wrong(&error))?;
        Ok(BTreeMap::from([(domain.clone(), bundle)]))
    }

    /// Believes what was kept before a restart. What is broken is only worth a warning: there are other roots.
    async fn recall(&mut self) {
        let domain = self.settings.trust_domain.clone();
        let Some(dir) = self.state() else { return };
        let recalled = {
            let domain = domain.clone();
            tokio::task::spawn_blocking(move || store::recall(&dir, &domain)).await
        };
        match recalled {
            Ok(Ok(bundle)) => self.told = bundle.map(|bundle| BTreeMap::from([(domain, bundle)])),
            Ok(Err(reason)) => tracing::warn!(reason, "Kept bundles are not read"),
            // Only a runtime that shuts down gives this up.
            Err(error) => tracing::warn!(%error, "Kept bundles are not read"),
        }
    }

    /// Keeps bundles for a restart, or warns.
    async fn keep(&mut self, bundles: Bundles) {
        let Some(dir) = self.state() else { return };
        let place = dir.display().to_string();
        let kept = tokio::task::spawn_blocking(move || store::keep(&dir, &bundles)).await;
        let reason = match kept {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{place}: {error}")),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = reason.as_deref().filter(|reason| self.unkept.as_deref() != Some(reason)) {
            tracing::warn!(reason, "Bundles are not kept for a restart");
        }
        self.unkept = reason;
    }

    fn state(&self) -> Option<PathBuf> {
        // Without verification, what was told is not to be verified by either.
        self.settings.state.clone().filter(|_| self.settings.roots != Roots::Unneeded)
    }
}

/// What was told, as bundles. The own trust domain must be among them; another one that is broken is not believed, but
/// costs nobody's identity.
fn believed(
    told: Vec<(String, Vec<CertificateDer<'static>>)>,
    own: &TrustDomain,
) -> Result<Bundles, Trouble> {
    let mut bundles = Bundles::new();
    for (name, roots) in told {
        let domain = TrustDomain::parse(&name).map_err(|error| Trouble::Answer(error.to_string()))?;
        let bundle = match Bundle::new(&domain, roots) {
            Ok(bundle) => bundle,
            Err(error) if domain == *own => return Err(Trouble::Answer(error.to_string())),
            Err(error) => {
                tracing::warn!(%error, "A trust domain is not believed");
                continue;
            }
        };
        if bundle.roots().is_empty() {
            continue;
        }
        if bundles.insert(domain, bundle).is_some() {
            return Err(Trouble::Answer(format!("{name} is in it twice")));
        }
    }
    if !bundles.contains_key(own) {
        return Err(Trouble::Answer(format!("there is no bundle for {own}")));
    }
    Ok(bundles)
}

#[cfg(test)]
mod tests;
