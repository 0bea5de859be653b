//! The webhook's certificate, kept by the injectors themselves.
//!
//! There is no leader. Every replica looks at the Secret, does what is due, and writes it only if nobody else has in the
//! meantime; then it makes sure that API servers believe the CAs in it, and only then shows the leaf. A replica that was
//! slower takes over what the other one wrote.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::Serving;
use super::certificate::{Kept, KeptError, Step};
use super::metrics::Metrics;
use crate::identity::Clock;
use crate::kube::words::{MANAGED_BY, US};
use crate::task;

/// How long API servers are given to hear of a new CA before it signs.
pub const SETTLE: Duration = Duration::from_mins(5);
/// How often everything is looked at without being told to.
const RESYNC: Duration = Duration::from_mins(10);
/// How long to wait after a failure, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often in a row a step may lead to the next: making, replacing, issuing, and losing against other replicas.
const STEPS: usize = 8;
/// Whose fields they are in server-side apply: nobody's chart, so nobody takes them away.
const MANAGER: &str = "dragoman-injector";

/// Keeps the certificate.
pub struct Keeper {
    /// The API server.
    pub client: Client,
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// The name of the MutatingWebhookConfiguration.
    pub webhook: String,
    /// The DNS names under which API servers call.
    pub names: Vec<String>,
    /// The time.
    pub clock: Clock,
    /// Chance, so that replicas do not act at once.
    pub seed: u64,
    /// What operators see.
    pub metrics: Metrics,
}

/// Why the certificate is not in order.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{what}: {error}")]
    Api {
        what: String,
        #[source]
        error: kube::Error,
    },
    #[error("{0}")]
    Certificate(#[from] KeptError),
    #[error("other replicas keep changing the Secret")]
    Contested,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("secret", &self.secret)
            .field("webhook", &self.webhook)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Starts to keep it: the certificate to show, once API servers believe it. The task ends with the handle.
    pub fn start(self) -> (watch::Receiver<Serving>, AbortOnDropHandle<()>) {
        let serving =
            watch::Sender::new(Err("the webhook's certificate has not been looked at yet".to_owned()));
        let receiver = serving.subscribe();
        (receiver, task::spawn(self.run(serving)))
    }

    async fn run(self, serving: watch::Sender<Serving>) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let webhooks: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let changed = Arc::new(Notify::new());
        let _watching =
            task::spawn(watch_both(secrets.clone(), webhooks.clone(), &self, Arc::clone(&changed)));
        let mut chance = StdRng::seed_from_u64(self.seed);
        let mut pause = PAUSE;
        let mut round = Round { keeper: &self, secrets, webhooks, last: None, absent: false };
        loop {
            let wait = match round.go().await {
                Ok((kept, due)) => {
                    pause = PAUSE;
                    self.show(&kept, &serving);
                    let due = u64::try_from(due - self.clock.now()).unwrap_or_default();
                    RESYNC.min(Duration::from_secs(due))
                }
                Err(trouble) => {
                    complain(&trouble, &serving);
                    let wait = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    wait
                }
            };
            // Whoever comes first does the work, and the others find it done. Nor do replicas that are not of one mind
            // keep an API server busy.
            sleep(Duration::from_millis(chance.random_range(0..1000))).await;
            tokio::select! {
                () = changed.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn show(&self, kept: &Kept, serving: &watch::Sender<Serving>) {
        match kept.certified() {
            Ok(certified) => {
                let new = |now: &Serving| now.as_ref().is_ok_and(|now| now.cert == certified.cert);
                if !new(&serving.borrow()) {
                    tracing::info!(secret = self.secret, "Webhook certificate in use");
                    self.metrics.shows(kept.until());
                    drop(serving.send_replace(Ok(certified)));
                }
            }
            Err(error) => complain(&error.into(), serving),
        }
    }
}

/// One look at everything.
struct Round<'a> {
    keeper: &'a Keeper,
    secrets: Api<Secret>,
    webhooks: Api<MutatingWebhookConfiguration>,
    /// What was kept the last time: a Secret that is gone takes its CAs along, which API servers may still go by.
    last: Option<Kept>,
    /// Whether there was no webhook's configuration the last time.
    absent: bool,
}

impl Round<'_> {
    /// Does what is due; what is kept then, and when to look again (Unix seconds).
    async fn go(&mut self) -> Result<(Kept, i64), Trouble> {
        for _ in 0..STEPS {
            let now = self.keeper.clock.now();
            let secret = self.secrets.get_opt(&self.keeper.secret).await;
            let secret = secret.map_err(|error| self.trouble("cannot read", error))?;
            let kept = match secret.as_ref().map(|secret| Kept::read(secret.data.as_ref())) {
                Some(Ok(kept)) => kept,
                outcome => {
                    if let Some(Err(reason)) = outcome {
                        tracing::warn!(secret = self.keeper.secret, %reason, "The Secret is no good and is made anew");
                    }
                    let made = match &self.last {
                        Some(last) => last.replaced(now)?,
                        None => Kept::new(&self.keeper.names, now)?,
                    };
                    self.write(secret, &made).await?;
                    continue;
                }
            };
            let next = match kept.step(&self.keeper.names, now) {
                Step::Rest(due) => {
                    self.believed(&kept).await?;
                    self.last = Some(kept.clone());
                    return Ok((kept, due));
                }
                Step::Replace => kept.replaced(now)?,
                Step::Issue => kept.issued(&self.keeper.names, now)?,
                Step::IssueOnceKnown => {
                    self.believed(&kept).await?;
                    kept.issued(&self.keeper.names, now)?
                }
                Step::Retire => kept.retired(),
            };
            self.write(secret, &next).await?;
        }
        Err(Trouble::Contested)
    }

    /// Writes the Secret, unless somebody else has written it since.
    async fn write(&self, before: Option<Secret>, kept: &Kept) -> Result<(), Trouble> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let written = match before {
            Some(mut secret) => {
                secret.data = Some(kept.data());
                secret.metadata.managed_fields = None;
                self.secrets.replace(&self.keeper.secret, &params, &secret).await
            }
            None => {
                let metadata = ObjectMeta {
                    name: Some(self.keeper.secret.clone()),
                    labels: Some([(MANAGED_BY.to_owned(), US.to_owned())].into()),
                    ..ObjectMeta::default()
                };
                let secret = Secret {
                    metadata,
                    type_: Some("kubernetes.io/tls".to_owned()),
                    data: Some(kept.data()),
                    ..Secret::default()
                };
                self.secrets.create(&params, &secret).await
            }
        };
        match written {
            Ok(_) => {
                tracing::info!(secret = self.keeper.secret, "Webhook certificate written");
                Ok(())
            }
            // Somebody else was faster, or has deleted it: look again.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
            Err(error) => Err(self.trouble("cannot write", error)),
        }
    }

    /// Sees to it that API servers believe every CA that is kept. Without the webhook's configuration no API server asks, so
    /// there is nobody to tell: whoever took it away, perhaps in an emergency, must not lose the controller as well. Once it
    /// is there the watch says so.
    async fn believed(&mut self, kept: &Kept) -> Result<(), Trouble> {
        let name = &self.keeper.webhook;
        let what = |doing: &str| format!("cannot {doing} MutatingWebhookConfiguration {name}");
        let found = self.webhooks.get_opt(name).await;
        let found = found.map_err(|error| Trouble::Api { what: what("read"), error })?;
        let absent = found.is_none();
        if absent && !self.absent {
            tracing::warn!(webhook = name, "There is no MutatingWebhookConfiguration: pods get no sidecars");
        }
        self.absent = absent;
        let webhooks = found.and_then(|found| found.webhooks).unwrap_or_default();
        let bundle = ByteString(kept.bundle().into_bytes());
        if webhooks.iter().all(|webhook| webhook.client_config.ca_bundle.as_ref() == Some(&bundle)) {
            return Ok(());
        }
        let each = webhooks.iter();
        let each = each.map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}));
        let apply = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": each.collect::<Vec<_>>(),
        });
        let params = PatchParams::apply(MANAGER).force();
        let applied = self.webhooks.patch(name, &params, &Patch::Apply(&apply)).await;
        applied.map_err(|error| Trouble::Api { what: what("patch"), error })?;
        tracing::info!(webhook = name, "API servers were told whom to believe");
        Ok(())
    }

    fn trouble(&self, doing: &str, error: kube::Error) -> Trouble {
        let (namespace, secret) = (&self.keeper.namespace, &self.keeper.secret);
        Trouble::Api { what: format!("{doing} Secret {namespace}/{secret}"), error }
    }
}

/// Says what is wrong; a certificate that is in use stays.
fn complain(trouble: &Trouble, serving: &watch::Sender<Serving>) {
    let reason = trouble.to_string();
    let loaded = serving.borrow().is_ok();
    if loaded {
        tracing::warn!(
            reason,
            "The webhook's certificate cannot be looked after; what there is stays in use"
        );
    } else if serving.borrow().as_ref().is_err_and(|old| *old != reason) {
        tracing::warn!(reason, "No webhook certificate yet");
        drop(serving.send_replace(Err(reason)));
    }
}

/// Tells of every change of the two objects, whoever makes it.
fn watch_both(
    secrets: Api<Secret>,
    webhooks: Api<MutatingWebhookConfiguration>,
    keeper: &Keeper,
    changed: Arc<Notify>,
) -> impl Future<Output = ()> + Send + use<> {
    let secret = watch_object(secrets, &keeper.secret).default_backoff().map(|state| state.map(drop));
    let webhook = watch_object(webhooks, &keeper.webhook).default_backoff().map(|state| state.map(drop));
    async move {
        let mut both = stream::select(secret.boxed(), webhook.boxed());
        while let Some(state) = both.next().await {
            match state {
                Ok(()) => changed.notify_one(),
                // The look from time to time does without it.
                Err(error) => tracing::debug!(%error, "A watch broke"),
            }
        }
    }
}
