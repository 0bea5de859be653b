//! Discovery: where the replicas of an agent are, found by DNS and kept up to date in the background.
//!
//! A call never waits for DNS, except the first one for a name. From then on one task per name asks again and again,
//! whatever the state of the connections, and readers take the latest [`Endpoints`]. DNS is trusted for nothing but
//! addresses: who answers there proves its identity itself.

pub mod directory;
mod dns;
mod hosts;
mod keeper;
mod metrics;
mod second;
mod servers;
mod set;
mod table;
mod words;

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

pub use dns::Dns;
pub use hosts::Hosts;
pub use metrics::Metrics;
pub use second::Zone;
pub use servers::Source;
pub use set::{Answer, Endpoints, Freshness};
pub use table::Kept;
pub use words::Words;

use crate::{
    a2a::{Home, Name},
    task,
};
use keeper::Keeper;
use metrics::Gauges;
use table::{Entry, Table};

/// One lookup of one name, without memory: DNS, or what a test says.
pub trait Lookup: Send + Sync + 'static {
    /// Looks `name` up. It may take its time; it is given up after [`Bounds::lookup`].
    fn lookup<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Answer>;
}

/// What discovery is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which mesh is ours.
    pub home: Home,
    /// The DNS zone of our cluster, such as `cluster.local`.
    pub cluster_domain: String,
    /// The port of agents that DNS knows without one.
    pub port: u16,
    /// Who is asked about our cluster, and about other meshes that name no servers of their own.
    pub nameservers: Source,
    /// The other meshes, by name.
    pub meshes: HashMap<String, Remote>,
    /// The directory of our mesh, which is asked about what DNS does not know.
    pub directory: Option<Zone>,
    /// Agents that DNS is not asked about.
    pub fixed: HashMap<Name, Vec<SocketAddr>>,
    /// Times and sizes.
    pub bounds: Bounds,
}

/// Another mesh.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The DNS zone of its cluster.
    pub cluster_domain: String,
    /// Who is asked about it. Empty: the same as at home.
    pub nameservers: Vec<SocketAddr>,
}

/// The times and sizes of discovery. The defaults are meant for everybody but tests.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How long the first call for a name waits (2 s).
    pub first: Duration,
    /// How often a name is asked about at most, however short its TTL (5 s, less a jitter of up to a fifth).
    pub shortest: Duration,
    /// How often a name is asked about at least, however long its TTL, and the longest back-off (30 s).
    pub longest: Duration,
    /// The first back-off after a failure (1 s).
    pub backoff: Duration,
    /// After which time a denial is confirmed (2 s).
    pub recheck: Duration,
    /// How long a name without endpoints is believed to have none while somebody asks for it (3 s).
    pub negative: Duration,
    /// How long the last good set is kept while DNS cannot be asked (10 min).
    pub stale: Duration,
    /// After which time without a call a name is forgotten (5 min).
    pub idle: Duration,
    /// The time between two lookups that refused connections bring about (1 s).
    pub refused: Duration,
    /// How long one lookup, with all its questions, may take (10 s).
    pub lookup: Duration,
    /// How long one nameserver has to answer one question (2 s).
    pub query: Duration,
    /// When the next nameserver is asked too, and how long a better answer is waited for (250 ms).
    pub hedge: Duration,
    /// How long the directory may take to say what DNS does not know (1 s).
    pub directory: Duration,
    /// After which time without any answer the file of nameservers is read again (30 s).
    pub reload: Duration,
    /// How many names are kept (10 000). One more takes the place of the one that nobody has asked for longest; while
    /// all of them are in use, it is refused.
    pub names: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            shortest: Duration::from_secs(5),
            longest: Duration::from_secs(30),
            backoff: Duration::from_secs(1),
            recheck: Duration::from_secs(2),
            negative: Duration::from_secs(3),
            stale: Duration::from_mins(10),
            idle: Duration::from_mins(5),
            refused: Duration::from_secs(1),
            lookup: Duration::from_secs(10),
            query: Duration::from_secs(2),
            hedge: Duration::from_millis(250),
            directory: Duration::from_secs(1),
            reload: Duration::from_secs(30),
            names: 10_000,
        }
    }
}

/// Why a name has no endpoints to offer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unresolved {
    /// DNS, or the config, says that there are none.
    #[error("{name} has no endpoints: {reason}")]
    Absent {
        /// Who was asked for.
        name: Name,
        /// What DNS said.
        reason: Arc<str>,
    },
    /// DNS could not be asked.
    #[error("{name} cannot be looked up: {reason}")]
    Failed {
        /// Who was asked for.
        name: Name,
        /// What went wrong.
        reason: Arc<str>,
    },
    /// Too many other names are in use.
    #[error("{name} cannot be looked up: {names} other agents are in use already")]
    Full {
        /// Who was asked for.
        name: Name,
        /// How many names are kept at most.
        names: usize,
    },
    /// DNS takes too long for the first call to wait.
    #[error("{name} cannot be looked up: no answer from DNS within {waited:?}")]
    Late {
        /// Who was asked for.
        name: Name,
        /// How long the call has waited.
        waited: Duration,
    },
    /// The name's mesh is neither ours nor configured.
    #[error("{name} is in the mesh {:?}, which is not configured", name.mesh())]
    UnknownMesh {
        /// Who was asked for.
        name: Name,
    },
}

/// Finds agents. Clones share what is known.
#[derive(Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

struct Shared {
    home: Home,
    /// The names of the other meshes.
    meshes: Vec<String>,
    fixed: HashMap<Name, Fixed>,
    table: Arc<Table>,
    lookup: Arc<dyn Lookup>,
    bounds: Arc<Bounds>,
    chance: Mutex<SmallRng>,
    metrics: Metrics,
}

/// An agent that the config names the endpoints of.
struct Fixed {
    endpoints: watch::Sender<Arc<Endpoints>>,
    _gauges: Gauges,
}

impl Discovery {
    /// Discovery that asks `lookup` about every name that `config` does not fix. `seed` decides all jitter.
    pub fn new(config: Config, lookup: Arc<dyn Lookup>, seed: u64, metrics: Metrics) -> Self {
        let fixed = |(name, addresses): (Name, Vec<SocketAddr>)| {
            let endpoints = Endpoints::fixed(&addresses);
            let gauges = metrics.gauges(&name);
            gauges.show(&endpoints);
            (name, Fixed { endpoints: watch::Sender::new(Arc::new(endpoints)), _gauges: gauges })
        };
        let shared = Shared {
            home: config.home,
            meshes: config.meshes.into_keys().collect(),
            fixed: config.fixed.into_iter().map(fixed).collect(),
            table: Arc::default(),
            lookup,
            bounds: Arc::new(config.bounds),
            chance: Mutex::new(SmallRng::seed_from_u64(seed)),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Discovery by DNS.
    pub fn by_dns(config: Config, seed: u64, metrics: Metrics) -> Self {
        let dns = Arc::new(Dns::new(&config));
        Self::new(config, dns, seed, metrics)
    }

    /// The endpoints of `name`: at least one address now, and what becomes of them later.
    ///
    /// Ask for each call: a name that nobody asks for is forgotten, and its receivers then learn nothing more.
    ///
    /// # Errors
    /// If there is no endpoint to offer.
    pub async fn endpoints(&self, name: &Name) -> Result<watch::Receiver<Arc<Endpoints>>, Unresolved> {
        let mut endpoints = self.watch(name)?;
        let settled = |endpoints: &Arc<Endpoints>| endpoints.freshness != Freshness::Pending;
        let bounds = &self.shared.bounds;
        let verdict = match timeout(bounds.first, endpoints.wait_for(settled)).await {
            Err(_) => Err(Unresolved::Late { name: name.clone(), waited: bounds.first }),
            Ok(Err(_)) => Err(Unresolved::Full { name: name.clone(), names: bounds.names }),
            Ok(Ok(endpoints)) => verdict(name, &endpoints),
        };
        verdict.map(|()| endpoints)
    }

    /// Says that an endpoint of `name` refused the connection or turned out to be somebody else: DNS is asked again at
    /// once, though not more than once in [`Bounds::refused`].
    pub fn refused(&self, name: &Name) {
        self.shared.table.refused(name);
    }

    /// What is known, sorted by name.
    pub fn snapshot(&self) -> Vec<Kept> {
        let now = Instant::now();
        let fixed = self.shared.fixed.iter().map(|(name, fixed)| Kept {
            name: name.clone(),
            endpoints: Arc::clone(&fixed.endpoints.borrow()),
            age: None,
            idle: None,
        });
        let mut all = self.shared.table.all(now);
        all.extend(fixed);
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn watch(&self, name: &Name) -> Result<watch::Receiver<Arc<Endpoints>>, Unresolved> {
        let shared = &self.shared;
        if let Some(fixed) = shared.fixed.get(name) {
            return Ok(fixed.endpoints.subscribe());
        }
        if name.mesh() != shared.home.mesh && !shared.meshes.iter().any(|mesh| mesh == name.mesh()) {
            return Err(Unresolved::UnknownMesh { name: name.clone() });
        }
        let now = Instant::now();
        let Bounds { names, longest, .. } = *shared.bounds;
        shared
            .table
            .ask(name, now, names, longest, || self.keep(name, now))
            .ok_or_else(|| Unresolved::Full { name: name.clone(), names })
    }

    /// Starts to keep `name`.
    fn keep(&self, name: &Name, now: Instant) -> Entry {
        let shared = &self.shared;
        let (endpoints_tx, endpoints) = watch::channel(Arc::new(Endpoints::pending()));
        let (asked, asked_rx) = watch::channel(now);
        let refused = Arc::new(Notify::new());
        let chance = SmallRng::from_rng(&mut *shared.chance.lock().unwrap_or_else(PoisonError::into_inner));
        let keeper = Keeper {
            name: name.clone(),
            lookup: Arc::clone(&shared.lookup),
            bounds: Arc::clone(&shared.bounds),
            chance,
            metrics: shared.metrics.clone(),
            gauges: shared.metrics.gauges(name),
            endpoints: endpoints_tx,
            asked: asked_rx,
            refused: Arc::clone(&refused),
            table: Arc::downgrade(&shared.table),
        };
        Entry { asked, endpoints, refused, _task: task::spawn(keeper.run()) }
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("home", &self.shared.home).finish_non_exhaustive()
    }
}

fn verdict(name: &Name, endpoints: &Endpoints) -> Result<(), Unresolved> {
    if !endpoints.addresses.is_empty() {
        return Ok(());
    }
    let name = name.clone();
    Err(match &endpoints.freshness {
        Freshness::Failed { reason } => Unresolved::Failed { name, reason: Arc::clone(reason) },
        Freshness::Absent { reason } => Unresolved::Absent { name, reason: Arc::clone(reason) },
        _ => Unresolved::Absent { name, reason: "the config names no address".into() },
    })
}

#[cfg(test)]
mod tests;
