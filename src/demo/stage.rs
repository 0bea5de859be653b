//! The stage: two meshes on one machine, with everything that they would have in two clusters. All of it ends, and leaves
//! nothing behind, when the stage is closed or dropped.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Uri;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::Failure;
use super::agent::{self, Skill};
use super::caller::Caller;
use super::currency::Currency;
use super::dns::Dns;
use super::planner::Planner;
use crate::app::App;
use crate::config::Config;
use crate::drain::{Trigger, drain};
use crate::identity::authority::LEAF_LIFETIME;
use crate::identity::{Authority, Clock, SpiffeId, TrustDomain};

/// How long a sidecar may take to find its own identity.
const READY: Duration = Duration::from_secs(10);
/// How long agents and sidecars may take to end.
const DRAIN: Duration = Duration::from_millis(500);
/// Chance is the same every time.
const SEED: u64 = 2602;
/// Who a called agent must prove to be.
const SERVER: &str = "spiffe://{trustDomain}/ns/{namespace}/sa/{agent}";
/// What callers may ask.
const OPERATIONS: &str =
    "[GetAgentCard, SendMessage, SendStreamingMessage, GetTask, SubscribeToTask, CancelTask]";
const ANY_PORT: &str = "127.0.0.1:0";

/// A mesh: one cluster, one trust domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mesh {
    pub(super) name: &'static str,
    pub(super) trust_domain: &'static str,
    pub(super) zone: &'static str,
    pub(super) namespace: &'static str,
}

pub(super) const EAST: Mesh =
    Mesh { name: "east", trust_domain: "east.example", zone: "east.local", namespace: "travel" };
pub(super) const WEST: Mesh =
    Mesh { name: "west", trust_domain: "west.example", zone: "west.local", namespace: "bank" };

/// A sidecar, and whom it serves.
#[derive(Debug)]
pub(super) struct Sidecar {
    /// The first label of its name.
    pub(super) name: &'static str,
    pub(super) mesh: Mesh,
    app: App,
}

/// Everything that is there.
pub(super) struct Stage {
    /// A client of agents, with a sidecar of its own.
    pub(super) traveller: Sidecar,
    pub(super) planner: Sidecar,
    pub(super) currency: Sidecar,
    /// Where the planner itself listens, without any mesh.
    pub(super) planner_url: Uri,
    dir: TempDir,
    agents: Trigger,
    _serving: Vec<AbortOnDropHandle<()>>,
    _dns: Dns,
}

impl Mesh {
    /// The SPIFFE ID of a workload.
    pub(super) fn id(&self, workload: &str) -> String {
        format!("spiffe://{}/ns/{}/sa/{workload}", self.trust_domain, self.namespace)
    }
}

impl Sidecar {
    /// The agent's full name.
    pub(super) fn agent(&self) -> String {
        format!("{}.{}.{}", self.name, self.mesh.namespace, self.mesh.name)
    }

    /// The SPIFFE ID that it should have.
    pub(super) fn id(&self) -> String {
        self.mesh.id(self.name)
    }

    /// Where this sidecar's own agent finds another one.
    pub(super) fn base(&self, agent: &str) -> Result<Uri, Failure> {
        url(&self.outbound()?, &format!("/agents/{agent}"))
    }

    /// Where this sidecar's own agent finds the mesh.
    pub(super) fn outbound(&self) -> Result<SocketAddr, Failure> {
        first(&self.app.addresses.outbound)
    }

    /// A page for operators.
    pub(super) fn admin(&self, path: &str) -> Result<Uri, Failure> {
        url(&first(&self.app.addresses.admin)?, path)
    }
}

impl Stage {
    /// Sets the stage. `thinks` is how long the planner thinks about each day.
    pub(super) async fn set(clock: &Clock, thinks: Duration) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("dragoman-demo-").tempdir()?;
        let dns = Dns::start(&[EAST.zone, WEST.zone]).await?;
        certificates(dir.path(), clock.now())?;
        // An agent's address is known before its sidecar's, and the other way round its sidecar's before it runs.
        let (planner_door, currency_door) =
            (TcpListener::bind(ANY_PORT).await?, TcpListener::bind(ANY_PORT).await?);
        let [planner_at, currency_at] = [planner_door.local_addr()?, currency_door.local_addr()?];
        let of_travel = format!("spiffe://{}/ns/{}/sa/*", EAST.trust_domain, EAST.namespace);
        let start = |name, mesh, agent| {
            sidecar(dir.path(), Plan { name, mesh, agent, nameserver: dns.address }, clock)
        };
        let traveller = start("traveller", EAST, None).await?;
        let planner = start("planner", EAST, Some((planner_at, of_travel))).await?;
        let currency = start("currency", WEST, Some((currency_at, EAST.id("planner")))).await?;
        for sidecar in [&planner, &currency] {
            let at = first(&sidecar.app.addresses.inbound)?;
            dns.announce(sidecar.mesh.zone, sidecar.mesh.namespace, sidecar.name, at).await?;
        }
        let (agents, draining) = drain();
        let exchange = Caller::new(planner.base(&currency.agent())?);
        let skills: [(TcpListener, Arc<dyn Skill>); 2] =
            [(planner_door, Arc::new(Planner { exchange, thinks })), (currency_door, Arc::new(Currency))];
        let serving = skills.into_iter().map(|(door, skill)| agent::serve(door, skill, draining.clone()));
        let serving = serving.collect::<io::Result<_>>()?;
        let planner_url = url(&planner_at, "/")?;
        Ok(Self { traveller, planner, currency, planner_url, dir, agents, _serving: serving, _dns: dns })
    }

    /// Where the configurations and certificates are.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Ends everything in order, and removes what was written.
    pub(super) async fn close(self) -> Result<(), Failure> {
        join_all([self.traveller, self.planner, self.currency].map(|sidecar| sidecar.app.drain())).await;
        self.agents.pull(DRAIN).await;
        Ok(self.dir.close()?)
    }
}

/// Makes an authority for each mesh, a certificate for each sidecar, and shows each mesh the root of the other.
fn certificates(dir: &Path, now: i64) -> Result<(), Failure> {
    let authority = |mesh: Mesh| -> Result<Authority, Failure> {
        let domain = TrustDomain::parse(mesh.trust_domain).map_err(made_up)?;
        Ok(Authority::new(&domain, now)?)
    };
    let (east, west) = (authority(EAST)?, authority(WEST)?);
    for (name, mesh, own, other) in
        [("traveller", EAST, &east, &west), ("planner", EAST, &east, &west), ("currency", WEST, &west, &east)]
    {
        let dir = dir.join(name);
        let id = SpiffeId::parse(&mesh.id(name)).map_err(made_up)?;
        let host = format!("{name}.{}.svc.{}", mesh.namespace, mesh.zone);
        own.issue(&id, &[&host], LEAF_LIFETIME, now)?.save(&dir)?;
        fs::write(dir.join(format!("{}.trust-bundle.pem", other.trust_domain())), other.root_pem())?;
    }
    Ok(())
}

/// What a sidecar is to be.
struct Plan {
    name: &'static str,
    mesh: Mesh,
    /// Where its agent is, and who may call it.
    agent: Option<(SocketAddr, String)>,
    nameserver: SocketAddr,
}

impl Plan {
    /// The configuration, as anybody would write it.
    fn yaml(&self, identity: &Path) -> String {
        let Self { name, mesh, nameserver, .. } = self;
        let other = if mesh.name == EAST.name { WEST } else { EAST };
        // What JSON writes, YAML reads; and a dollar sign would stand for a variable.
        let identity = json!(identity.display().to_string().replace('$', "$$"));
        let mut lines = vec![
            format!("# The sidecar of {name}."),
            format!(
                "mesh:      {{name: {}, trustDomain: {}, clusterDomain: {}, namespace: {}}}",
                mesh.name, mesh.trust_domain, mesh.zone, mesh.namespace
            ),
        ];
        if let Some((at, from)) = &self.agent {
            lines.push(format!("agents:    [{{name: {name}, url: \"http://{at}\"}}]"));
            lines.push(format!(
                "policy:    {{allow: [{{from: [\"{from}\"], agents: [{name}], operations: {OPERATIONS}}}]}}"
            ));
        }
        lines.extend([
            format!("identity:  {{files: {{dir: {identity}}}, server: \"{SERVER}\"}}"),
            format!("outbound:  {{listen: \"{ANY_PORT}\"}}"),
            format!("inbound:   {{listen: \"{ANY_PORT}\"}}"),
            format!("admin:     {{listen: \"{ANY_PORT}\"}}"),
            format!("discovery: {{nameservers: [\"{nameserver}\"]}}"),
            format!(
                "meshes:    [{{name: {}, trustDomain: {}, clusterDomain: {}, nameservers: [\"{nameserver}\"]}}]",
                other.name, other.trust_domain, other.zone
            ),
            format!("limits:    {{drain: {}ms}}", DRAIN.as_millis()),
        ]);
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Writes a configuration, reads it as `dragoman sidecar` would, and starts.
async fn sidecar(dir: &Path, plan: Plan, clock: &Clock) -> Result<Sidecar, Failure> {
    let file = dir.join(format!("{}.yaml", plan.name));
    fs::write(&file, plan.yaml(&dir.join(plan.name)))?;
    let config = Config::load(&file, |_| None)?;
    let mut app = App::start(&config, clock.clone(), SEED)?;
    let ready = timeout(READY, app.ready()).await;
    ready.map_err(|_| Failure::Unexpected(format!("the sidecar of {} finds no identity", plan.name)))?;
    Ok(Sidecar { name: plan.name, mesh: plan.mesh, app })
}

fn first(addresses: &[SocketAddr]) -> Result<SocketAddr, Failure> {
    addresses.first().copied().ok_or_else(|| made_up("a sidecar does not listen"))
}

fn url(address: &SocketAddr, path: &str) -> Result<Uri, Failure> {
    format!("http://{address}{path}").parse().map_err(made_up)
}

/// What the demo made up itself is wrong.
fn made_up(error: impl std::fmt::Display) -> Failure {
    Failure::Unexpected(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn configurations_are_right_wherever_they_are_written() {
        let odd = Path::new("/tmp/a $HOME \"of\" 'mine': #1/planner");
        let at: SocketAddr = "127.0.0.1:9000".parse().unwrap();
        for agent in [None, Some((at, EAST.id("planner")))] {
            let called = agent.is_some();
            let plan = Plan { name: "currency", mesh: WEST, agent, nameserver: at };
            let config = Config::parse("currency.yaml", plan.yaml(odd).as_bytes(), |_| None).unwrap();
            assert!(matches!(&config.identity.source, Source::Files { dir } if dir == odd));
            assert_eq!(config.agents.len(), usize::from(called));
            assert_eq!(config.policy.allow.is_some(), called);
            assert_eq!((config.mesh.name.as_str(), config.meshes[0].name.as_str()), ("west", "east"));
            assert_eq!(config.limits.drain, DRAIN);
        }
    }
}
