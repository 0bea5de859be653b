//! The stage: the agent, and the lanes that lead to it. Everything is a process, listens on a port that the kernel picks,
//! and ends with the stage.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::process::{Memory, Process};
use super::relay;
use super::sidecars::{Ground, Log};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A way to the agent.
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    /// The processes between the load and the agent, the caller's side first.
    pub(crate) between: Vec<Process>,
}

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) lanes: Vec<Lane>,
    agent: Process,
    ground: Ground,
}

impl Stage {
    /// Starts the agent and the lanes, each as `direct`, `relay`, or `crossing[:null|:file|:quiet][@PROGRAM]`.
    pub(crate) async fn build(lanes: &str, dragoman: &Path) -> Result<Self> {
        let mut stage =
            Self { lanes: Vec::new(), agent: Process::role("agent", &[])?, ground: Ground::new(dragoman)? };
        let agent: SocketAddr = stage.agent.line().await?.parse()?;
        for name in lanes.split(',') {
            let lane = match name.split_once('@').unwrap_or((name, "")) {
                ("direct", _) => Lane::new(name, agent, "/"),
                ("relay", _) => stage.relay(name, agent).await?,
                (kind, program) => {
                    let log = match kind {
                        "crossing" | "crossing:null" => Log::Null,
                        "crossing:file" => Log::File,
                        "crossing:quiet" => Log::Quiet,
                        _ => return Err(format!("{name:?} is no lane").into()),
                    };
                    let program = if program.is_empty() { dragoman } else { Path::new(program) };
                    stage.crossing(name, agent, program, log).await?
                }
            };
            stage.lanes.push(lane);
        }
        Ok(stage)
    }

    /// The memory of everything between load and agent, lane by lane.
    pub(crate) fn memory(&self) -> Result<Vec<Memory>> {
        self.lanes.iter().flat_map(|lane| &lane.between).map(Process::memory).collect()
    }

    async fn relay(&self, name: &str, agent: SocketAddr) -> Result<Lane> {
        let dir = self.ground.identity("relay", &["--dns", relay::NAME])?;
        let mut out = Process::role("out-of-tls", &[&agent.to_string(), &dir])?;
        let target = out.line().await?;
        let mut into = Process::role("into-tls", &[&target, &dir])?;
        let address = into.line().await?.parse()?;
        Ok(Lane { between: vec![into, out], ..Lane::new(name, address, "/") })
    }

    async fn crossing(&self, name: &str, agent: SocketAddr, program: &Path, log: Log) -> Result<Lane> {
        let number = self.lanes.len();
        let callee = json!({
            "identity": {"files": {"dir": self.ground.identity("callee", &[])?}},
            "agents": [{"name": "callee", "url": format!("http://{agent}")}],
            "inbound": {"listen": "127.0.0.1:0"},
        });
        let (callee, addresses) =
            self.ground.sidecar(&format!("callee-{number}"), callee, program, log).await?;
        let caller = json!({
            "identity": {"files": {"dir": self.ground.identity("caller", &[])?}},
            "discovery": {"static": {"callee.lab": [addresses["inbound"]]}},
        });
        let (caller, addresses) =
            self.ground.sidecar(&format!("caller-{number}"), caller, program, log).await?;
        let address = addresses["outbound"].as_str().ok_or("no outbound listener")?.parse()?;
        Ok(Lane { between: vec![caller, callee], ..Lane::new(name, address, "/agents/callee.lab") })
    }
}

impl Lane {
    fn new(name: &str, address: SocketAddr, path: &'static str) -> Self {
        Self { name: name.to_owned(), address, path, between: Vec::new() }
    }

    /// The processor time of everything between load and agent.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.between.iter().map(Process::cpu).sum()
    }
}
