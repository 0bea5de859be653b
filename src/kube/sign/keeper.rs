//! The task that keeps the issuer: reads the Secret, makes it where there is none, publishes roots, and decides who signs.
//!
//! Any number of replicas do the same. What they have to agree on is in the Secret and in the ConfigMap; each write names the
//! version that it was decided upon, and a conflict means to look again.

use std::{fmt, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Issuing, Metrics, Settings, Unissued,
    bundle::document,
    kept::{Failed, Kept},
    ledger::{Ledger, Rules},
    secret,
};
use crate::identity::{Authority, AuthorityError, Bundle, Bundles, Clock, RootError};

/// How often everything is looked at without being told to: clocks go on, and files of bundles differ between replicas for a
/// while, so that nobody may insist on his own at once.
const TICK: Duration = Duration::from_secs(60);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);
/// How often one look starts again because somebody else was faster.
const TRIES: usize = 5;

/// Keeps the issuer.
pub(super) struct Keeper {
    settings: Arc<Settings>,
    clock: Clock,
    chance: SmallRng,
    metrics: Metrics,
    federated: watch::Receiver<Bundles>,
    /// When this replica may publish its view of other trust domains.
    turn: Instant,
    secret: Kept<Secret>,
    map: Kept<ConfigMap>,
    /// What the Secret held when it was good last, and its version then.
    current: Option<(String, Arc<Authority>)>,
    /// Who signs.
    signer: Option<Arc<Authority>>,
    issuing: watch::Sender<Result<Arc<Issuing>, Unissued>>,
    /// What was wrong the last time, so that the log says it once.
    complaint: Option<String>,
}

/// Why there is nothing new to publish.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Kubernetes(#[from] Failed),
    #[error("the API server changes its mind faster than it can be followed")]
    Moving,
    #[error("the roots cannot be written down: {0}")]
    Notes(#[from] serde_json::Error),
    #[error("{0}")]
    Root(#[from] RootError),
    #[error("the API server has not told yet whether there is a {0}")]
    Waiting(&'static str),
}

/// What one step of a look came to.
enum Step {
    Done,
    /// Somebody else has changed something meanwhile.
    Again,
}

impl Keeper {
    pub(super) fn new(
        client: &kube::Client,
        settings: Arc<Settings>,
        clock: Clock,
        seed: u64,
        metrics: Metrics,
        federated: watch::Receiver<Bundles>,
    ) -> Self {
        let waiting = Unissued("the API server has not answered yet".to_owned());
        let secrets = Api::namespaced(client.clone(), &settings.namespace);
        let maps = Api::namespaced(client.clone(), &settings.namespace);
        Self {
            secret: Kept::new(secrets, "Secret", &settings.secret),
            map: Kept::new(maps, "ConfigMap", &settings.bundle),
            settings,
            clock,
            chance: SmallRng::seed_from_u64(seed),
            metrics,
            federated,
            turn: Instant::now(),
            current: None,
            signer: None,
            issuing: watch::Sender::new(Err(waiting)),
            complaint: None,
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Result<Arc<Issuing>, Unissued>> {
        self.issuing.subscribe()
    }

    pub(super) async fn run(mut self) {
        let mut next = Instant::now() + TICK;
        loop {
            let told = tokio::select! {
                told = self.secret.hear() => told,
                told = self.map.hear() => told,
                Ok(()) = self.federated.changed() => {
                    self.turn = Instant::now();
                    Ok(())
                }
                () = sleep_until(next) => Ok(()),
            };
            next = match told {
                Ok(()) => self.look().await,
                Err(failed) => self.complain(&failed.into()),
            };
        }
    }

    /// Looks at everything, does what is to be done, and says when to look again.
    async fn look(&mut self) -> Instant {
        for _ in 0..TRIES {
            match self.step().await {
                Ok(Step::Done) => {
                    self.complaint = None;
                    return self.next();
                }
                Ok(Step::Again) => {}
                Err(trouble) => return self.complain(&trouble),
            }
        }
        self.complain(&Trouble::Moving)
    }

    /// The next time at which something happens by itself.
    fn next(&self) -> Instant {
        let now = self.clock.now();
        let ledger = self.ledger(now);
        let settled =
            self.current.as_ref().map(|(_, current)| ledger.signs_at(current.roots(), self.rules()));
        let moments = [settled, ledger.retires_at()].into_iter().flatten().filter(|moment| *moment > now);
        let soonest = moments.min().and_then(|moment| u64::try_from(moment - now).ok());
        Instant::now() + soonest.map_or(TICK, |seconds| TICK.min(Duration::from_secs(seconds)))
    }

    fn complain(&mut self, trouble: &Trouble) -> Instant {
        // Before the first answers it is no news that there are none.
        if matches!(trouble, Trouble::Waiting(_)) {
            return Instant::now() + PAUSE;
        }
        let reason = trouble.to_string();
        if self.complaint.as_ref() != Some(&reason) {
            tracing::warn!(reason, issuing = self.signer.is_some(), "The issuer is not up to date");
            self.complaint = Some(reason.clone());
        }
        self.issuing.send_if_modified(|issuing| match issuing {
            Err(Unissued(old)) if *old != reason => {
                *old = reason;
                true
            }
            _ => false,
        });
        Instant::now() + PAUSE
    }

    async fn step(&mut self) -> Result<Step, Trouble> {
        let now = self.clock.now();
        let mut broken = None;
        if self.secret.is_unknown() {
            return Err(Trouble::Waiting("Secret"));
        }
        let Some(secret) = self.secret.there() else { return self.make(None, now).await };
        let version = self.secret.version().unwrap_or_default();
        if self.current.as_ref().is_none_or(|(known, _)| *known != version) {
            match secret::read(secret, &self.settings.trust_domain, now) {
                Ok(read) => self.current = Some((version, Arc::new(read))),
                Err(error) => broken = Some(error),
            }
        }
        let Some((_, current)) = &self.current else {
            return Err(broken.map_or(Trouble::Waiting("Secret"), Trouble::Authority));
        };
        let current = Arc::clone(current);
        let ledger = self.ledger(now).advance(current.roots(), self.rules(), now);
        match self.publish(&ledger).await? {
            Step::Done => {}
            Step::Again => return Ok(Step::Again),
        }
        let signer = self.elect(&current, &ledger, now);
        self.issue(signer, &ledger)?;
        // What was good last goes on, but somebody has to hear of it.
        if let Some(error) = broken {
            return Err(error.into());
        }
        // Only now, that the old root is known to all.
        match self.secret.there().filter(|secret| secret::is_due(secret, &current, now)).cloned() {
            Some(old) => self.make(Some(&old), now).await,
            None => Ok(Step::Done),
        }
    }

    fn rules(&self) -> Rules {
        Rules { settle: self.settings.settle, lifetime: self.settings.lifetime }
    }

    fn ledger(&self, now: i64) -> Ledger {
        Ledger::read(self.map.there(), &self.settings.trust_domain, self.rules(), now)
    }

    /// Makes an authority, in the place of an old one or of none.
    async fn make(&mut self, old: Option<&Secret>, now: i64) -> Result<Step, Trouble> {
        let authority = Authority::new(&self.settings.trust_domain, now)?;
        let made = secret::write(&self.settings.secret, &authority, old);
        if self.secret.write(&made).await? {
            let name = &self.settings.secret;
            tracing::info!(name, domain = %self.settings.trust_domain, "Issuer made");
        }
        Ok(Step::Again)
    }

    /// Brings the ConfigMap up to date.
    async fn publish(&mut self, ledger: &Ledger) -> Result<Step, Trouble> {
        if self.map.is_unknown() {
            return Err(Trouble::Waiting("ConfigMap"));
        }
        let (domain, name) = (&self.settings.trust_domain, &self.settings.bundle);
        let turn = self.turn <= Instant::now();
        let map = self.map.there();
        let federated = self.federated.borrow_and_update().clone();
        let wanted = document(map, name, domain, ledger, Some(&federated).filter(|_| turn))?;
        if map == Some(&wanted) {
            self.turn_over();
            return Ok(Step::Done);
        }
        // A root is not to be counted out, or in, because a watch lags behind.
        let known = self.secret.version();
        self.secret.read().await?;
        if self.secret.version() != known || !self.map.write(&wanted).await? {
            return Ok(Step::Again);
        }
        tracing::info!(name = self.settings.bundle, roots = ledger.roots().count(), "Bundles published");
        self.turn_over();
        Ok(Step::Done)
    }

    /// Others may see other files for a while: nobody insists on his own at once.
    fn turn_over(&mut self) {
        if self.turn <= Instant::now() {
            self.turn = Instant::now() + TICK.mul_f64(self.chance.random_range(1.0..1.5));
        }
    }

    /// Who signs: whoever is in the Secret, once everybody had the time to hear of its root.
    fn elect(&self, current: &Arc<Authority>, ledger: &Ledger, now: i64) -> Arc<Authority> {
        let settled = ledger.signs_at(current.roots(), self.rules());
        match &self.signer {
            Some(signer) if signer.certificate() == current.certificate() => Arc::clone(current),
            Some(signer) if now < settled && now < signer.not_after() => Arc::clone(signer),
            Some(_) => {
                tracing::info!("Another issuer signs from now on");
                Arc::clone(current)
            }
            None => {
                if now < settled && ledger.has_others(current.roots()) {
                    tracing::warn!(
                        seconds = settled - now,
                        "A new root signs before everybody can know it: the old issuer's key is gone"
                    );
                }
                Arc::clone(current)
            }
        }
    }

    fn issue(&mut self, signer: Arc<Authority>, ledger: &Ledger) -> Result<(), Trouble> {
        let domain = &self.settings.trust_domain;
        let mut bundles = self.federated.borrow().clone();
        bundles.insert(domain.clone(), Bundle::new(domain, ledger.roots().cloned().collect())?);
        self.metrics.expiry(signer.not_after());
        self.signer = Some(Arc::clone(&signer));
        self.issuing.send_if_modified(|issuing| {
            let same = issuing.as_ref().is_ok_and(|issuing| {
                issuing.bundles == bundles && issuing.authority.certificate() == signer.certificate()
            });
            if !same {
                *issuing = Ok(Arc::new(Issuing::new(signer, bundles, self.settings.settle)));
            }
            !same
        });
        Ok(())
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("settings", &self.settings).finish_non_exhaustive()
    }
}
