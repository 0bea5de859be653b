//! The sidecar as a whole: everything is built and listens before anything runs, and ends in order.

mod assemble;
mod check;
mod controller;
mod identity;
mod listeners;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::assemble::Parts;
pub use self::check::{Doctor, Finding, Verdict};
pub use self::controller::{Controller, READER};
use self::identity::Origin;
use crate::a2a::Name;
use crate::binding::grpc;
use crate::config::Config;
use crate::drain::{Trigger, drain};
use crate::identity::{Clock, Metrics, State};

/// How long an examination waits for the own identity.
const IDENTITY_PATIENCE: Duration = Duration::from_secs(10);

/// A sidecar that runs.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub addresses: Addresses,
    identity: watch::Receiver<State>,
    trigger: Trigger,
    patience: Duration,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// Where a sidecar listens, ports as they were bound.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// For the local agent.
    pub outbound: Vec<SocketAddr>,
    /// For the local agent, one agent each.
    pub ports: Vec<(String, SocketAddr)>,
    /// For peers; nothing where there is no agent.
    pub inbound: Vec<SocketAddr>,
    /// For operators.
    pub admin: Vec<SocketAddr>,
}

/// Why a sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A part of the configuration does not fit another one.
    #[error("the configuration cannot be used: {0}")]
    Config(String),
    /// A socket.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// What is compiled in.
    #[error(transparent)]
    Undescribed(#[from] grpc::Undescribed),
    /// The API server cannot be used.
    #[error("Kubernetes: {0}")]
    Kubernetes(String),
}

/// A sidecar that is only looked at: it listens nowhere.
#[derive(Debug)]
pub struct Patient {
    identity: watch::Receiver<State>,
    doctor: Doctor,
    _task: AbortOnDropHandle<()>,
}

impl Patient {
    /// Takes up what a sidecar with this configuration would be.
    ///
    /// # Errors
    /// If something cannot be built.
    pub fn new(config: &Config, clock: Clock, seed: u64) -> Result<Self, StartError> {
        let (identity, task) = identity_of(config, clock.clone(), Metrics::default(), seed)?;
        let (_, drain) = drain();
        let parts = Parts { identity: identity.clone(), clock, drain, registry: Registry::default(), seed };
        Ok(Self { identity, doctor: parts.doctor_alone(config)?, _task: task })
    }

    /// Looks at it, and at `names` as it reaches them. An identity may take a while to come.
    pub async fn examine(mut self, names: &[Name]) -> Vec<Finding> {
        let loaded = self.identity.wait_for(|state| state.material().is_some());
        // What is missing then is among the findings.
        drop(timeout(IDENTITY_PATIENCE, loaded).await.map(drop));
        self.doctor.examine(names).await
    }
}

impl App {
    /// Starts a sidecar: when this returns, everything listens. `clock` tells the time, `seed` decides what is left to
    /// chance.
    ///
    /// # Errors
    /// If something cannot be built or an address cannot be listened on.
    pub fn start(config: &Config, clock: Clock, seed: u64) -> Result<Self, StartError> {
        let mut registry = Registry::default();
        let metrics = Metrics::default();
        metrics.register(&mut registry);
        let (identity, watching) = identity_of(config, clock.clone(), metrics, seed)?;
        let (trigger, drain) = drain();
        let parts = Parts { identity: identity.clone(), clock, drain, registry, seed };
        let mut listeners = parts.build(config)?;
        listeners.tasks.push(watching);
        Ok(Self {
            addresses: listeners.addresses,
            identity,
            trigger,
            patience: config.limits.drain,
            _tasks: listeners.tasks,
        })
    }

    /// Waits until the own identity is there.
    pub async fn ready(&mut self) {
        // A watcher that is gone means that the sidecar is ending.
        drop(self.identity.wait_for(|state| state.material().is_some()).await);
    }

    /// Ends in order; whether all calls under way have finished.
    pub async fn drain(self) -> bool {
        self.trigger.pull(self.patience).await
    }
}

/// Starts to keep the identity of a sidecar up to date.
fn identity_of(
    config: &Config,
    clock: Clock,
    metrics: Metrics,
    seed: u64,
) -> Result<(watch::Receiver<State>, AbortOnDropHandle<()>), StartError> {
    let trust_domain = assemble::trust_domain(&config.mesh.trust_domain)?;
    let nameservers = assemble::nameservers(config.discovery.nameservers.as_deref());
    identity::source(&config.identity.source, Origin { trust_domain, nameservers, clock, metrics, seed })
}

impl Addresses {
    /// What the ready file says: the first address of each door.
    pub fn to_json(&self) -> serde_json::Value {
        let first = |addresses: &[SocketAddr]| addresses.first().map(ToString::to_string);
        json!({
            "outbound": first(&self.outbound),
            "inbound": first(&self.inbound),
            "admin": first(&self.admin),
        })
    }
}

/// Writes the ready file with the addresses at once, by rename: who sees it sees all of it.
///
/// # Errors
/// If the file cannot be written.
pub fn write_ready_file(path: &Path, addresses: &serde_json::Value) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, format!("{addresses}\n"))?;
    std::fs::rename(&beside, path)
}
