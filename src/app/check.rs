//! What is wrong with a sidecar, if anything, and what to do next: the findings of `dragoman check`.

mod advice;
mod directory;
mod peers;
mod pod;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::a2a::{Agent, Name};
use crate::binding::{card, grpc};
use crate::card::Settled;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::discovery::directory::Directory;
use crate::identity::{Clock, State};
use crate::outbound::Expected;

/// One thing that was looked at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at: `identity`, `clock`, `directory`, `dns`, `agent`, `policy`, `peer`, `version`, `config` or `sidecar`.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What to do, if it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not as it should, or not for long.
    Warning,
    /// It does not work.
    Failed,
}

impl Finding {
    /// Something that is as it should be.
    pub fn ok(subject: &str, what: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), verdict: Verdict::Ok, what: what.into(), next: None }
    }

    /// Something that works for now.
    pub fn warning(subject: &str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, next: Some(next.into()), ..Self::ok(subject, what) }
    }

    /// Something that does not work.
    pub fn failed(subject: &str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, next: Some(next.into()), ..Self::ok(subject, what) }
    }
}

/// Looks at a sidecar from the inside. Clones look at the same one.
#[derive(Clone, Debug)]
pub struct Doctor(Arc<Inside>);

/// What there is to look at.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) config: Config,
    pub(super) identity: watch::Receiver<State>,
    pub(super) clock: Clock,
    pub(super) discovery: Discovery,
    /// The own mesh's, if there is one.
    pub(super) directory: Option<Directory>,
    pub(super) expected: Expected,
    /// To ask sidecars about themselves.
    pub(super) client: grpc::Client,
    /// The way through the mesh.
    pub(super) mesh: Agent,
    /// The agents of this pod.
    pub(super) agents: Vec<Local>,
}

/// An agent of this pod.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) name: Name,
    pub(super) settled: Settled,
    pub(super) card: card::Client,
}

impl Doctor {
    pub(super) fn new(inside: Inside) -> Self {
        Self(Arc::new(inside))
    }

    /// Looks at the pod itself, and then at each of `names` as this pod reaches it.
    pub async fn examine(&self, names: &[Name]) -> Vec<Finding> {
        let inside = &*self.0;
        let mut findings = vec![inside.version(), inside.identity()];
        findings.extend(inside.bundles());
        findings.extend(inside.clock());
        findings.extend(inside.directory().await);
        findings.extend(inside.policy());
        for agent in &inside.agents {
            findings.push(inside.agent(agent).await);
            findings.push(inside.visible(&agent.name).await);
        }
        for name in names {
            findings.extend(inside.peer(name).await);
        }
        findings
    }
}
