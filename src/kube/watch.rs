//! Which agents the cluster has: its Services and EndpointSlices, watched in all namespaces.
//!
//! - An agent is a Service with a port **named** `a2a`, of any kind but an alias (`ExternalName`). The name of the agent is
//!   that of the Service, without `-a2a` at its end. Its endpoints are those of the Service's EndpointSlices, on that port,
//!   also where the Service has a cluster address of its own.
//! - A port with the `appProtocol` `agentgateway.dev/a2a` or `kgateway.dev/a2a` and another name is an agent's plain port.
//!   It cannot be reached with mutual TLS, so it alone lists no agent: there has to be a mesh port as well, on the same
//!   Service or on the mesh Service of a pod with a sidecar. Services with only a plain port are counted.
//! - `<x>` and `<x>-a2a` are the same agent; which one counts is decided as sidecars decide it: see `found`.
//!
//! Of 10 000 agents little more is held than their endpoints. Changes are gathered for a moment, so that a rollout is not
//! told pod by pod. While the API server cannot be reached, the last state stays.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use kube::{Api, Client, runtime::watcher::Config};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::mirror::{Key, Mirror, News, follow};
use crate::{directory::Found, task};

mod found;

use self::found::{Ports, Service, Slice, found};

/// For how long changes are gathered before they are told.
const SETTLE: Duration = Duration::from_millis(50);
/// How much longer for each Service: whatever is told is told as a whole, which is work for everybody.
const SETTLE_EACH: Duration = Duration::from_micros(20);

/// What is known of agents, and the task that keeps it so.
#[derive(Debug)]
pub struct Watch {
    /// All agents. Empty until [`Watch::state`] is good.
    pub found: watch::Receiver<Arc<Found>>,
    /// Whether all agents are known; else what is missing. Once good it stays so.
    pub state: watch::Receiver<Result<(), String>>,
    /// Ends with the handle.
    pub task: AbortOnDropHandle<()>,
}

/// Where the watch is at home.
#[derive(Clone, Debug)]
pub struct Place {
    /// The mesh of all agents here.
    pub mesh: String,
    /// The namespace of the directory.
    pub namespace: String,
    /// The Service in front of the directory.
    pub service: String,
}

/// The metrics of the watch. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    failures: Family<[(&'static str, &'static str); 1], Counter>,
    plain: Gauge,
}

impl Metrics {
    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_directory_watch_failures",
            "Attempts to list or watch that failed",
            self.failures.clone(),
        );
        registry.register(
            "dragoman_directory_plain_services",
            "Services of agents that have no mesh port and are not listed",
            self.plain.clone(),
        );
    }
}

/// Starts to watch. `seed` keeps several controllers from asking in step.
pub fn start(client: &Client, place: Place, seed: u64, metrics: Metrics) -> Watch {
    let chance = |salt| SmallRng::seed_from_u64(seed.wrapping_add(salt));
    let directory = Key::new(&place.namespace, &place.service);
    let services = follow(Api::all(client.clone()), Config::default(), chance(0), move |object| {
        found::service(object, &directory)
    });
    let slices = follow(Api::all(client.clone()), Config::default(), chance(1), found::slice);
    let (found, found_receiver) = watch::channel(Arc::default());
    let (state, state_receiver) = watch::channel(Err("the agents are not known yet".to_owned()));
    let (services_mirror, slices_mirror) = (Mirror::new("Services"), Mirror::new("EndpointSlices"));
    let keeper = Keeper {
        mesh: place.mesh,
        services: services_mirror,
        slices: slices_mirror,
        due: None,
        found,
        state,
        metrics,
    };
    let task = task::spawn(keeper.run(services, slices));
    Watch { found: found_receiver, state: state_receiver, task }
}

/// The one who writes what is known.
#[derive(Debug)]
struct Keeper {
    mesh: String,
    services: Mirror<Service>,
    slices: Mirror<Slice>,
    /// When what has changed is to be told.
    due: Option<Instant>,
    found: watch::Sender<Arc<Found>>,
    state: watch::Sender<Result<(), String>>,
    metrics: Metrics,
}

impl Keeper {
    async fn run(
        mut self,
        services: impl Stream<Item = News<Service>>,
        slices: impl Stream<Item = News<Slice>>,
    ) {
        let (mut services, mut slices) = (pin!(services), pin!(slices));
        loop {
            let due = self.due;
            tokio::select! {
                Some(news) = services.next() => self.service(news),
                Some(news) = slices.next() => self.slice(news),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.tell(),
                // Neither ends by itself.
                else => return,
            }
        }
    }

    fn service(&mut self, news: News<Service>) {
        self.heard(&news, "services");
        let (mut changed, metrics) = (false, &self.metrics);
        self.services.absorb(news, |key, old, new| {
            changed = true;
            let plain = |service: Option<&Service>| service.is_some_and(|is| is.ports == Ports::Plain);
            match (plain(old), plain(new)) {
                (false, true) => {
                    metrics.plain.inc();
                    tracing::debug!(
                        namespace = key.namespace,
                        service = key.name,
                        "An agent without a mesh port is not listed"
                    );
                }
                (true, false) => drop(metrics.plain.dec()),
                _ => {}
            }
        });
        self.absorbed(changed);
    }

    fn slice(&mut self, news: News<Slice>) {
        self.heard(&news, "endpointslices");
        let mut changed = false;
        self.slices.absorb(news, |_, _, _| changed = true);
        self.absorbed(changed);
    }

    fn heard<V>(&self, news: &News<V>, resource: &'static str) {
        if matches!(news, News::Failed { expired: false, .. }) {
            self.metrics.failures.get_or_create(&[("resource", resource)]).inc();
        }
    }

    /// Whether all is known is told once; what changes after that, in a moment.
    fn absorbed(&mut self, changed: bool) {
        let known = self.state.borrow().is_ok();
        if known {
            if changed {
                let services = u32::try_from(self.services.objects().len()).unwrap_or(u32::MAX);
                let moment = SETTLE + SETTLE_EACH.saturating_mul(services);
                self.due.get_or_insert_with(|| Instant::now() + moment);
            }
            return;
        }
        let missing =
            [(self.services.what, self.services.missing()), (self.slices.what, self.slices.missing())];
        let missing: Vec<String> =
            missing.iter().filter_map(|(what, why)| why.map(|why| format!("{what}: {why}"))).collect();
        if missing.is_empty() {
            self.tell();
            drop(self.state.send_replace(Ok(())));
            return;
        }
        let missing = missing.join("; ");
        self.state.send_if_modified(|state| {
            let news = state.as_ref().is_err_and(|old| *old != missing);
            if news {
                *state = Err(missing);
            }
            news
        });
    }

    fn tell(&mut self) {
        self.due = None;
        let new = found(self.services.objects(), self.slices.objects(), &self.mesh);
        self.found.send_if_modified(|found| {
            let news = **found != new;
            if news {
                *found = Arc::new(new);
            }
            news
        });
    }
}

#[cfg(test)]
mod tests;
