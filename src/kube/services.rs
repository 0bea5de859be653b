//! Mesh Services: in front of every agent that has a sidecar stands a headless Service `<agent>-a2a`, so that it is found
//! by name with nothing else written.
//!
//! - The agents of a pod are those that its labels `agent.dragoman.dev/<name>` name; only pods with `dragoman.dev/injected`
//!   are looked at.
//! - A Service belongs to what its pods belong to: the Deployment above a ReplicaSet, the CronJob above a Job, else whatever
//!   controls the pod, else the pod itself. Kubernetes' garbage collector takes it away with the last of them, and takes off
//!   who is gone before. So an agent that is scaled to zero keeps its Service.
//! - Who changes our Service finds it mended. Only Services with the label `app.kubernetes.io/managed-by: dragoman` are ours:
//!   any other of that name is left alone (an Event on it says so, once), and so is ours once somebody takes the label off.
//!   A user's Service `<agent>`, with whatever ports, does not matter here.
//! - An agent that was renamed leaves a Service behind that its owner would keep: it is deleted when for some minutes no pod
//!   has had the agent while all of its owners had ready pods of other names.
//!
//! There is no leader. Several controllers may do the same: applies are idempotent, each waits a moment of its own first,
//! and an object that is there already is not applied again. Whoever is fought by another program grows patient.

use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::{Api, Client, core::metadata::PartialObjectMeta, runtime::watcher::Config};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{mirror::follow, words::INJECTED};
use crate::{identity::Clock, task};

mod keeper;
mod pod;
mod queue;
mod server;
mod service;

use self::{keeper::Keeper, server::Server};

/// Whose fields the API server shows ours as.
const MANAGER: &str = "dragoman-services";

/// The task that keeps all mesh Services.
#[derive(Debug)]
pub struct MeshServices {
    /// Whether all pods and Services are known; else what is missing. Once good it stays so.
    pub state: watch::Receiver<Result<(), String>>,
    /// Ends with the handle.
    pub task: AbortOnDropHandle<()>,
}

/// The metrics of mesh Services. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    results: Family<[(&'static str, &'static str); 1], Counter>,
    failures: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_mesh_services",
            "What was done about Services of agents",
            self.results.clone(),
        );
        registry.register(
            "dragoman_mesh_services_watch_failures",
            "Attempts to list or watch that failed",
            self.failures.clone(),
        );
    }

    fn did(&self, result: &'static str) {
        self.results.get_or_create(&[("result", result)]).inc();
    }

    fn watch_failed(&self, resource: &'static str) {
        self.failures.get_or_create(&[("resource", resource)]).inc();
    }
}

/// Starts to keep the mesh Services of all namespaces. `seed` keeps several controllers from acting in step.
pub fn start(client: &Client, clock: Clock, seed: u64, metrics: Metrics) -> MeshServices {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut part = || SmallRng::seed_from_u64(chance.random());
    let services =
        follow(Api::all(client.clone()), Config::default(), part(), |object| service::standing(&object));
    // Of pods the metadata is enough.
    let pods: Api<PartialObjectMeta<v1::Pod>> = Api::all(client.clone());
    let pods = follow(pods, Config::default().labels(&format!("{INJECTED}=true")), part(), pod::trim);
    let (state, receiver) = watch::channel(Err("the pods are not known yet".to_owned()));
    let server = Server { client: client.clone(), clock };
    let keeper = Keeper::new(server, part(), metrics, state);
    MeshServices { state: receiver, task: task::spawn(keeper.run(services, pods)) }
}

/// How long changes are gathered before they are looked at.
const SETTLE: Duration = Duration::from_millis(100);
/// Over how long several controllers spread what they do.
const SPREAD: Duration = Duration::from_millis(400);
/// How long there has to have been no pod of an agent, before its Service may go.
const GRACE: Duration = Duration::from_mins(5);
/// The longest pause after something was written that did not last.
const QUARREL: Duration = Duration::from_mins(1);
/// The longest pause after a Service was given one more owner, which may happen often.
const HASTE: Duration = Duration::from_secs(5);
/// The longest pause after something failed.
const TROUBLE: Duration = Duration::from_mins(5);
/// How many agents are seen to at the same time.
const PARALLEL: usize = 8;

#[cfg(test)]
mod tests;
