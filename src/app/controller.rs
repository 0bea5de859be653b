//! The controller as a whole: the roles that its configuration names, in one process.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::listeners::{Bound, Listeners};
use super::{Addresses, StartError, assemble};
use crate::admin::{Admin, Subject};
use crate::config::{ControllerConfig, Role};
use crate::directory::Found;
use crate::drain::{Drain, Trigger, drain};
use crate::identity::{Clock, State, TrustDomain};
use crate::kube;
use crate::net::open;
use crate::net::serve::{Callers, Http};
use crate::task;

mod directory;
mod identity;
mod injector;
mod services;

pub use self::injector::READER;

/// How long calls in flight may take to end.
const PATIENCE: Duration = Duration::from_secs(25);
/// What a peer may send ahead on one stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// How long a role may hold up the other roles of the process. A rollout that went wrong is told before (a Deployment gives
/// up after ten minutes); certificates last for hours longer, and nobody could renew one while this pod is not ready.
const HELD_UP: Duration = Duration::from_mins(15);

/// A controller that runs.
#[derive(Debug)]
pub struct Controller {
    /// Where it listens: the first address of each door, by the name of the door.
    pub addresses: Value,
    gates: Vec<Gate>,
    trigger: Trigger,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// What roles are built from, and what they leave behind.
pub(super) struct Ground<'a> {
    pub(super) config: &'a ControllerConfig,
    pub(super) trust_domain: TrustDomain,
    pub(super) kubernetes: ::kube::Client,
    pub(super) clock: Clock,
    pub(super) drain: Drain,
    pub(super) seed: u64,
    pub(super) registry: Registry,
    /// Counts who is turned away at doors that are open to anybody.
    pub(super) refusals: open::Metrics,
    /// The certificate that the identity role of this process issues to itself.
    pub(super) issued: Option<watch::Receiver<State>>,
    /// The doors that are open, by name.
    pub(super) doors: BTreeMap<&'static str, SocketAddr>,
    /// What has to be ready.
    pub(super) gates: Vec<Gate>,
    pub(super) tasks: Vec<AbortOnDropHandle<()>>,
}

/// A part that gets ready in its own time.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Whose part it is.
    pub(super) role: Role,
    /// What it is called.
    pub(super) name: &'static str,
    /// Whether it is ready, else what is missing.
    pub(super) state: watch::Receiver<Result<(), String>>,
}

impl<'a> Ground<'a> {
    fn new(
        config: &'a ControllerConfig,
        kubernetes: ::kube::Client,
        clock: Clock,
        drain: Drain,
        seed: u64,
    ) -> Result<Self, StartError> {
        let (mut registry, refusals) = (Registry::default(), open::Metrics::default());
        refusals.register(&mut registry);
        Ok(Self {
            config,
            trust_domain: assemble::trust_domain(&config.mesh.trust_domain)?,
            kubernetes,
            clock,
            drain,
            seed,
            registry,
            refusals,
            issued: None,
            doors: BTreeMap::new(),
            gates: Vec::new(),
            tasks: Vec::new(),
        })
    }

    /// Nothing listens yet.
    pub(super) fn listeners(&self) -> Listeners {
        Listeners {
            addresses: Addresses::default(),
            tasks: Vec::new(),
            http: Http::new(Callers::Known { stream_window: STREAM_WINDOW }),
            drain: self.drain.clone(),
            refusals: self.refusals.clone(),
        }
    }
}

impl Controller {
    /// Starts a controller: when this returns, everything listens.
    ///
    /// # Errors
    /// If something cannot be built, an address cannot be listened on, or the API server cannot be named.
    pub async fn start(config: &ControllerConfig, clock: Clock, seed: u64) -> Result<Self, StartError> {
        let (trigger, drain) = drain();
        let kubernetes = kube::client(config.kubeconfig.as_deref()).await;
        let kubernetes = kubernetes.map_err(|error| StartError::Kubernetes(error.to_string()))?;
        let mut ground = Ground::new(config, kubernetes, clock, drain, seed)?;
        let has = |role| config.roles.contains(&role);
        // The first of all: the directory may show what it issues.
        if has(Role::Identity) {
            identity::start(&mut ground)?;
        }
        if has(Role::Directory) {
            directory::start(&mut ground).await?;
        }
        if has(Role::Injector) {
            injector::start(&mut ground)?;
        }
        Self::over(ground, trigger)
    }

    /// Starts a directory alone, of agents that somebody else finds: no API server is asked. As long as they are not
    /// `complete`, nothing is told of them.
    ///
    /// # Errors
    /// If something cannot be built, or an address cannot be listened on.
    pub async fn directory(
        config: &ControllerConfig,
        found: watch::Receiver<Arc<Found>>,
        complete: watch::Receiver<Result<(), String>>,
        clock: Clock,
        seed: u64,
    ) -> Result<Self, StartError> {
        let (trigger, drain) = drain();
        let mut ground = Ground::new(config, kube::nowhere(), clock, drain, seed)?;
        directory::serve(&mut ground, found, complete).await?;
        Self::over(ground, trigger)
    }

    fn over(ground: Ground<'_>, trigger: Trigger) -> Result<Self, StartError> {
        let mut listeners = ground.listeners();
        let Ground { config, drain, registry, mut doors, gates, mut tasks, .. } = ground;
        let subject = Gates { gates: gates.clone(), begun: Instant::now() };
        tasks.push(task::spawn(subject.clone().watch()));
        let subject = Box::new(subject);
        let admin = Arc::new(Admin { registry, drain, subject });
        listeners.admin(Bound::to(&config.admin.listen)?, &admin);
        doors.extend(listeners.addresses.admin.first().map(|address| ("admin", *address)));
        let addresses: Map<String, Value> =
            doors.into_iter().map(|(door, address)| (door.to_owned(), address.to_string().into())).collect();
        tasks.extend(listeners.tasks);
        Ok(Self { addresses: addresses.into(), gates, trigger, _tasks: tasks })
    }

    /// Waits until every role is ready.
    pub async fn ready(&mut self) {
        for gate in &mut self.gates {
            // A role that is gone means that the controller is ending.
            drop(gate.state.wait_for(Result::is_ok).await);
        }
    }

    /// Ends in order; whether all calls under way have finished.
    pub async fn drain(self) -> bool {
        self.trigger.pull(PATIENCE).await
    }
}

/// What a controller tells of itself.
#[derive(Clone, Debug)]
struct Gates {
    gates: Vec<Gate>,
    begun: Instant,
}

impl Gates {
    /// What is not ready, of which role and why.
    fn missing(&self) -> Vec<(Role, String)> {
        let missing = self.gates.iter().filter_map(|gate| {
            let state = gate.state.borrow();
            let reason = state.as_ref().err()?;
            Some((gate.role, format!("{}: {}: {reason}", word(gate.role), gate.name)))
        });
        missing.collect()
    }

    /// Whether what is missing no longer holds up the roles that are ready: whoever is not refuses for itself what it is
    /// asked, and is no worse off with an address than without.
    fn given_up(&self, missing: &[(Role, String)]) -> bool {
        let ready = |gate: &Gate| missing.iter().all(|(role, _)| *role != gate.role);
        self.begun.elapsed() >= HELD_UP && self.gates.iter().any(ready)
    }

    /// Says once who has been given up.
    async fn watch(self) {
        sleep_until(self.begun + HELD_UP).await;
        let missing = self.missing();
        if !missing.is_empty() && self.given_up(&missing) {
            let missing = lines(missing);
            tracing::warn!(missing, "Ready without this: it holds up the other roles no longer");
        }
    }
}

fn lines(missing: Vec<(Role, String)>) -> String {
    missing.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// The word in the configuration.
const fn word(role: Role) -> &'static str {
    match role {
        Role::Directory => "directory",
        Role::Identity => "identity",
        Role::Injector => "injector",
    }
}

impl Subject for Gates {
    fn started(&self) -> Result<(), String> {
        let missing = self.missing();
        if missing.is_empty() || self.given_up(&missing) { Ok(()) } else { Err(lines(missing)) }
    }

    fn page(&self, _: &str) -> Option<Value> {
        None
    }

    fn overview(&self) -> String {
        let missing = self.missing().into_iter().map(|(_, line)| format!("missing: {line}\n"));
        missing.chain(["see /metrics\n".to_owned()]).collect()
    }
}

impl fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground")
            .field("doors", &self.doors)
            .field("gates", &self.gates)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type State = Result<(), String>;

    fn gate(role: Role, name: &'static str) -> (watch::Sender<State>, Gate) {
        let (state_tx, state) = watch::channel(Err("not yet".to_owned()));
        (state_tx, Gate { role, name, state })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_told_with_its_role_and_holds_up_the_others_for_a_while_only() {
        let (issuer, first) = gate(Role::Identity, "issuer");
        let (certificate, second) = gate(Role::Injector, "certificate");
        let (_roots, third) = gate(Role::Injector, "roots");
        let gates = Gates { gates: vec![first, second, third], begun: Instant::now() };
        assert_eq!(
            gates.started().unwrap_err(),
            "identity: issuer: not yet\ninjector: certificate: not yet\ninjector: roots: not yet"
        );
        tokio::time::advance(HELD_UP).await;
        assert!(gates.started().is_err(), "nobody is ready");
        certificate.send(Ok(())).unwrap();
        assert!(gates.started().is_err(), "no role is ready as a whole");
        issuer.send(Ok(())).unwrap();
        assert_eq!(gates.started(), Ok(()));
        assert!(gates.overview().starts_with("missing: injector: roots: not yet\n"), "{}", gates.overview());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_or_has_only_begun_waits() {
        let (issuer, first) = gate(Role::Identity, "issuer");
        let (_roots, second) = gate(Role::Injector, "roots");
        let both = Gates { gates: vec![first, second.clone()], begun: Instant::now() };
        issuer.send(Ok(())).unwrap();
        tokio::time::advance(HELD_UP - Duration::from_secs(1)).await;
        assert_eq!(both.started(), Err("injector: roots: not yet".to_owned()));
        let alone = Gates { gates: vec![second], begun: both.begun };
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((both.started(), alone.started().is_err()), (Ok(()), true));
    }
}
