//! Who looks at a sidecar from the inside.

use futures_util::FutureExt as _;
use tower::util::BoxCloneSyncService;

use super::{Edges, Parts, edges, expected, own_directory, settings, settled};
use crate::app::StartError;
use crate::app::check::{Doctor, Inside, Local};
use crate::binding::{card, grpc};
use crate::config::{self, Config};
use crate::discovery::Discovery;
use crate::net::http1;
use crate::net::peers::Peers;
use crate::outbound;
use crate::telemetry::{Direction, Metrics};

impl Parts {
    /// Who looks at what a sidecar with this configuration would be.
    pub(in crate::app) fn doctor_alone(mut self, config: &Config) -> Result<Doctor, StartError> {
        let discovery = self.discovery(config);
        let tls = self.tls()?;
        let edges = edges(config, Metrics::default());
        self.doctor(config, &edges, &discovery, &Peers::new(tls, settings(config)))
    }

    pub(super) fn doctor(
        &self,
        config: &Config,
        edges: &Edges,
        discovery: &Discovery,
        peers: &Peers,
    ) -> Result<Doctor, StartError> {
        let client = grpc::Client::new(peers.clone(), edges.of(Direction::Outbound));
        let mesh = outbound::Mesh::new(discovery.clone(), expected(config)?, client.clone(), self.seed);
        let http = http1::Client::new(config.limits.connect);
        let local = |agent: &config::AgentConfig| {
            let edge = edges.of(Direction::Inbound);
            let card = card::Client::new(http.clone(), agent.card.clone(), edge, self.clock.clone());
            Local { name: agent.name.clone(), settled: settled(agent), card }
        };
        Ok(Doctor::new(Inside {
            config: config.clone(),
            identity: self.identity.clone(),
            clock: self.clock.clone(),
            discovery: discovery.clone(),
            directory: own_directory(config, peers)?,
            expected: expected(config)?,
            client,
            mesh: BoxCloneSyncService::new(mesh.stage()),
            agents: config.agents.iter().map(local).collect(),
        }))
    }
}

/// An examination, as the local door asks for it.
pub(super) fn examination(doctor: Doctor) -> outbound::Check {
    outbound::Check::new(move |names| {
        let doctor = doctor.clone();
        async move { serde_json::to_value(doctor.examine(&names).await).unwrap_or_default() }.boxed()
    })
}
