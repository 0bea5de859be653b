//! What a sidecar tells of itself.

use serde_json::{Value, json};
use tokio::sync::watch;

use super::Subject;
use crate::discovery::Discovery;
use crate::identity::{Clock, State};

/// A sidecar, as operators see it.
#[derive(Debug)]
pub struct Sidecar {
    /// The own identity.
    pub identity: watch::Receiver<State>,
    /// What is known of other agents.
    pub discovery: Discovery,
    /// The configuration, without secrets.
    pub config: Value,
    /// The time, by which certificates are valid.
    pub clock: Clock,
}

impl Subject for Sidecar {
    /// Whether the own identity is there.
    fn started(&self) -> Result<(), String> {
        match &*self.identity.borrow() {
            State::Missing(reason) => Err(format!("no identity: {reason}")),
            State::Loaded(material) if material.not_after <= self.clock.now() => {
                Err(format!("the certificate of {} has expired", material.id))
            }
            State::Loaded(_) => Ok(()),
        }
    }

    fn page(&self, path: &str) -> Option<Value> {
        match path {
            "/config" => Some(self.config.clone()),
            "/endpoints" => Some(self.endpoints()),
            _ => None,
        }
    }

    fn overview(&self) -> String {
        let identity = match &*self.identity.borrow() {
            State::Loaded(material) => material.id.to_string(),
            State::Missing(reason) => reason.clone(),
        };
        let agents = self.discovery.snapshot().len();
        format!("identity: {identity}\nagents known: {agents}\nsee /metrics /config /endpoints\n")
    }
}

impl Sidecar {
    fn endpoints(&self) -> Value {
        let kept = self.discovery.snapshot().into_iter().map(|kept| {
            json!({
                "name": kept.name.as_str(),
                "addresses": kept.endpoints.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "freshness": format!("{:?}", kept.endpoints.freshness),
                "ageSeconds": kept.age.map(|age| age.as_secs()),
                "idleSeconds": kept.idle.map(|idle| idle.as_secs()),
            })
        });
        kept.collect()
    }
}
