//! The directory: which agents there are, told by DNS, gRPC and HTTPS.
//!
//! ```text
//! kube::watch ─▶ Found ─┐
//!        cards by mesh ─┼─▶ Snapshot ─▶ zone (DNS) · service (gRPC) · catalog (HTTPS)
//!   other directories ──┘
//! ```
//!
//! One task writes the [`Snapshot`]; whoever answers takes the latest.

pub mod serve;
pub mod zone;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::watch;

pub mod card;
pub mod cards;
pub mod catalog;
mod lookup;
mod merge;
mod message;
mod metrics;
pub mod service;

pub use catalog::Catalog;
pub use lookup::FromFound;
pub use merge::{Sources, merge};
pub use metrics::Metrics;
pub use service::Service;

use crate::a2a::Name;

/// What the API server says: the agents of the own mesh, and where the directory itself is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// The endpoints of each agent, sorted by address; an agent may have none.
    pub agents: BTreeMap<Name, Vec<Endpoint>>,
    /// The addresses of the Service in front of the directory.
    pub addresses: Vec<IpAddr>,
}

/// One replica of an agent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// Its mesh port.
    pub address: SocketAddr,
    /// Whether it takes calls.
    pub ready: bool,
}

/// What the directory knows of an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agent {
    /// Its full name.
    pub name: Name,
    /// Its replicas, sorted by address.
    pub endpoints: Vec<Endpoint>,
    /// What its card says, once it was read; the last one that could be read.
    pub card: Option<Card>,
    /// Why the card could not be read the last time.
    pub card_error: Option<String>,
}

/// What a card says that is worth finding an agent by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Card {
    /// The card as its agent wrote it, JSON.
    pub text: Bytes,
    /// The agent's name for people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// Its own version.
    pub version: String,
    /// The versions of A2A that it speaks.
    pub dialects: Vec<String>,
    /// What it can do.
    pub skills: Vec<Skill>,
    /// When it was first read as it is, in Unix seconds.
    pub read: i64,
}

/// Something that an agent can do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skill {
    /// Unique among the agent's.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// What whoever answers has to know.
#[derive(Clone, Debug)]
pub struct Known {
    /// The latest of all that is known.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Whether that is all there is, so that what is not in it can be denied; else what is missing.
    pub complete: watch::Receiver<Result<(), String>>,
    /// The own mesh.
    pub mesh: Arc<str>,
}

impl Known {
    /// The latest snapshot.
    ///
    /// # Errors
    /// If it is not all there is; with the reason.
    pub fn now(&self) -> Result<Arc<Snapshot>, String> {
        self.complete.borrow().clone()?;
        let snapshot = Arc::clone(&self.snapshots.borrow());
        // The snapshot comes a moment after what it is made of.
        if snapshot.complete { Ok(snapshot) } else { Err("the agents are not put together yet".to_owned()) }
    }
}

/// All that the directory knows at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Every agent, of this mesh and of others, by name.
    pub agents: BTreeMap<Name, Arc<Agent>>,
    /// The addresses of the Service in front of the directory.
    pub addresses: Vec<IpAddr>,
    /// Whether these are all agents of the own mesh. Until then no other can be denied.
    pub complete: bool,
    /// The other meshes whose directories are asked, and whether these are all agents of each: whether its directory has told
    /// of all of them, not longer ago than that is kept.
    pub others: BTreeMap<String, bool>,
}
