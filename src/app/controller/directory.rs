//! The role that knows all agents.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt as _;

use super::{Gate, Ground, STREAM_WINDOW};
use crate::app::identity::{self, Origin};
use crate::app::listeners::Bound;
use crate::app::{StartError, assemble};
use crate::binding::{Edge, grpc};
use crate::config::{PeerMesh, Role, Source};
use crate::directory::cards::{self, Cards};
use crate::directory::serve::{self, Dns, Sockets};
use crate::directory::service::Caller;
use crate::directory::zone::Settings;
use crate::directory::{Catalog, Found, FromFound, Known, Metrics, Service, Snapshot, Sources, merge};
use crate::discovery::directory::{Directory, Follow, Told};
use crate::discovery::{self, Bounds, Discovery, Hosts};
use crate::identity::State;
use crate::net::budget::Budget;
use crate::net::crowd::Places;
use crate::net::http2;
use crate::net::open::Capacity;
use crate::net::peers::Peers;
use crate::proto::mesh::Filter;
use crate::proto::mesh::directory_server::DirectoryServer;
use crate::telemetry::{self, Direction};
use crate::tls::Tls;
use crate::{card, kube, outbound, task};

/// How long an agent's sidecar, or another directory, may take to be connected to.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the agents of a mesh are kept whose directory is away.
const KEEP: Duration = Duration::from_hours(1);
/// The memory for cards on their way.
const BUFFERED: usize = 32 << 20;
/// The port of agents; what is found names its own.
const PORT: u16 = 2643;

/// How much the catalogue's door may take. A document has 1 MiB at most, a search 64 KiB; readers that share an address wait
/// for each other as browsers do, with a few connections each.
const CATALOG: Capacity =
    Capacity { places: Places { all: 512, each: 64 }, memory: 64 << 20, memory_each: 32 << 20 };

/// Starts it.
pub(super) async fn start(ground: &mut Ground<'_>) -> Result<(), StartError> {
    let metrics = kube::watch::Metrics::default();
    metrics.register(&mut ground.registry);
    let place = kube::watch::Place {
        mesh: ground.config.mesh.name.clone(),
        namespace: ground.config.mesh.namespace.clone(),
        service: ground.config.directory.service.clone(),
    };
    let watch = kube::watch::start(&ground.kubernetes, place, ground.seed, metrics);
    ground.tasks.push(watch.task);
    serve(ground, watch.found, watch.state).await
}

/// Knows and tells the agents that are found, once they are complete.
pub(super) async fn serve(
    ground: &mut Ground<'_>,
    found: watch::Receiver<Arc<Found>>,
    complete: watch::Receiver<Result<(), String>>,
) -> Result<(), StartError> {
    let config = ground.config;
    let tls = identity(ground)?;
    ground.gates.push(Gate { role: Role::Directory, name: "agents", state: complete.clone() });
    let peers = Peers::new(tls.clone(), http2::Settings { connect: CONNECT, stream_window: STREAM_WINDOW });
    let metrics = Metrics::default();
    metrics.register(&mut ground.registry);
    let calls = telemetry::Metrics::default();
    calls.register(&mut ground.registry);

    let snapshots = knowledge(ground, found, complete.clone(), &peers, &metrics, &calls)?;
    let rules = Arc::new(assemble::rules(&config.mesh, &config.directory.policy)?);
    dns(ground, snapshots.clone()).await?;
    let known = Known { snapshots, complete, mesh: config.mesh.name.as_str().into() };
    let service = Service::new(known.clone(), rules, ground.drain.clone(), metrics);
    let service = DirectoryServer::new(service);
    let catalog = Catalog::new(known, &config.directory.zone);

    let mut listeners = ground.listeners();
    let bound = Bound::to(&config.directory.listen)?;
    ground.doors.extend(bound.addresses.first().map(|address| ("directory", *address)));
    listeners.mutual(bound, (tls.clone(), &[b"h2"]), &calls, move |mut request: Request<Incoming>, peer| {
        request.extensions_mut().insert(Caller(peer));
        let answer = service.clone().oneshot(request);
        async move {
            let Ok::<_, Infallible>(mut response) = answer.await;
            response.headers_mut().insert(header::SERVER, grpc::USER_AGENT);
            response
        }
    });
    let bound = Bound::to(&config.directory.catalog)?;
    ground.doors.extend(bound.addresses.first().map(|address| ("catalog", *address)));
    listeners.open(bound, ("catalog", CATALOG), tls.open_server(&[b"h2", b"http/1.1"]), move |request| {
        let catalog = catalog.clone();
        async move { catalog.serve(request).await }
    });
    ground.tasks.extend(listeners.tasks);
    Ok(())
}

/// Tells of the agents by DNS.
async fn dns(ground: &mut Ground<'_>, snapshots: watch::Receiver<Arc<Snapshot>>) -> Result<(), StartError> {
    let config = ground.config;
    let settings = Settings::new(&config.directory.zone, &config.mesh.name, ground.trust_domain.as_str())
        .map_err(|error| StartError::Config(format!("directory.zone: {error}")))?;
    let metrics = serve::Metrics::default();
    metrics.register(&mut ground.registry);
    let sockets = Sockets::bind(&config.directory.dns.addresses)?;
    ground.doors.extend(sockets.addresses.first().map(|address| ("dns", *address)));
    let (drain, clock, seed) = (ground.drain.clone(), ground.clock.clone(), ground.seed);
    let dns = Dns { settings, snapshots, drain, clock, seed, metrics };
    ground.tasks.extend(dns.start(sockets).await?);
    Ok(())
}

/// What the directory shows to others.
fn identity(ground: &mut Ground<'_>) -> Result<Tls, StartError> {
    let states = match (&ground.config.identity.source, &ground.issued) {
        (Some(source), _) => obtained(ground, source)?,
        (None, Some(issued)) => issued.clone(),
        (None, None) => {
            return Err(StartError::Config("identity: names no source, and no role issues one".into()));
        }
    };
    Tls::new(states, ground.clock.clone())
        .map_err(|error| StartError::Config(format!("TLS 1.3 cannot be set up: {error}")))
}

/// An identity from elsewhere, which the role is not ready without.
fn obtained(ground: &mut Ground<'_>, source: &Source) -> Result<watch::Receiver<State>, StartError> {
    let metrics = crate::identity::Metrics::default();
    metrics.register(&mut ground.registry);
    let origin = Origin {
        trust_domain: ground.trust_domain.clone(),
        nameservers: assemble::nameservers(None),
        clock: ground.clock.clone(),
        metrics,
        seed: ground.seed,
    };
    let (states, keeping) = identity::source(source, origin)?;
    let (gate, state) = watch::channel(Err("not there yet".to_owned()));
    ground.gates.push(Gate { role: Role::Directory, name: "identity", state });
    ground.tasks.push(keeping);
    let mut latest = states.clone();
    ground.tasks.push(task::spawn(async move {
        loop {
            let now = match &*latest.borrow_and_update() {
                State::Loaded(_) => Ok(()),
                State::Missing(reason) => Err(reason.clone()),
            };
            drop(gate.send_replace(now));
            if latest.changed().await.is_err() {
                return;
            }
        }
    }));
    Ok(states)
}

/// Everything that is known: what is found, its cards, and what other directories tell.
fn knowledge(
    ground: &mut Ground<'_>,
    found: watch::Receiver<Arc<Found>>,
    complete: watch::Receiver<Result<(), String>>,
    peers: &Peers,
    metrics: &Metrics,
    calls: &telemetry::Metrics,
) -> Result<watch::Receiver<Arc<Snapshot>>, StartError> {
    let cards = read_cards(ground, found.clone(), peers, metrics, calls)?;
    let mut others = BTreeMap::new();
    for (seed, mesh) in (ground.seed..).zip(&ground.config.meshes) {
        let told = follow(mesh, peers, seed, &mut ground.tasks)?;
        others.extend(told.map(|told| (mesh.name.clone(), told)));
    }
    let (snapshots, merging) = merge(Sources { found, complete, cards, others }, metrics.clone());
    ground.tasks.push(merging);
    Ok(snapshots)
}

/// Reads the cards of what is found, as any sidecar would call those agents, but without DNS.
fn read_cards(
    ground: &mut Ground<'_>,
    found: watch::Receiver<Arc<Found>>,
    peers: &Peers,
    metrics: &Metrics,
    calls: &telemetry::Metrics,
) -> Result<watch::Receiver<Cards>, StartError> {
    let config = ground.config;
    let where_they_are = discovery::Config {
        home: config.mesh.home(),
        cluster_domain: config.mesh.cluster_domain.clone(),
        port: PORT,
        nameservers: discovery::Source::Listed(Vec::new()),
        meshes: HashMap::new(),
        directory: None,
        fixed: HashMap::new(),
        bounds: FromFound::bounds(),
    };
    let lookup = Arc::new(FromFound(found.clone()));
    let discovery = Discovery::new(where_they_are, lookup, ground.seed, discovery::Metrics::default());
    let edge = Edge {
        direction: Direction::Outbound,
        limit: card::MAX,
        requests: Budget::new(BUFFERED),
        replies: Budget::new(BUFFERED),
        metrics: calls.clone(),
    };
    let expected = assemble::expected_in(&config.mesh, std::iter::empty(), &config.identity)?;
    let client = grpc::Client::new(peers.clone(), edge);
    let mesh = outbound::Mesh::new(discovery, expected, client, ground.seed);
    let fetch = cards::over(mesh.stage());
    let (cards, keeping) = cards::keep(found, fetch, ground.clock.clone(), ground.seed, metrics.clone());
    ground.tasks.push(keeping);
    Ok(cards)
}

/// Follows the directory of another mesh, if it has one.
fn follow(
    mesh: &PeerMesh,
    peers: &Peers,
    seed: u64,
    tasks: &mut Vec<AbortOnDropHandle<()>>,
) -> Result<Option<watch::Receiver<Told>>, StartError> {
    let Some(directory) = &mesh.directory else { return Ok(None) };
    let expected = assemble::pattern(&directory.server)?;
    let hosts = Arc::new(Hosts::new(assemble::nameservers(None), Bounds::default()));
    let directory = Directory::new(directory.url.clone(), expected, hosts, peers.clone()).of_mesh(&mesh.name);
    let follow = Follow { filter: Filter::default(), brief: false, keep: KEEP };
    let (told, following) = directory.follow(follow, seed);
    tasks.push(following);
    Ok(Some(told))
}
