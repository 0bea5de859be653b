//! The directories that are asked which agents there are: that of the own mesh, and those of others.
//!
//! Who asks over mutual TLS is told what the directory's policy lets it see. DNS finds the directory, and its identity
//! proves it.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http::Uri;
use prost::Message as _;
use tokio::time::timeout;
use tonic::Status;

mod about;
mod follow;
mod list;
mod remit;
mod told;

pub use about::About;
pub use follow::Follow;
pub use list::Listed;
pub use told::Told;

use self::remit::Remit;
use super::Hosts;
use crate::identity::Pattern;
use crate::net::channel::{Broken, Channel};
use crate::net::describe;
use crate::net::peers::Peers;
use crate::proto::mesh::directory_client::DirectoryClient;
use crate::proto::mesh::{Agent, AgentEvent, Endpoint, Filter, ListAgentsRequest, Skill, WatchAgentsRequest};

/// The port of a directory whose URL names none.
const PORT: u16 = 2646;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The most agents that are taken from one directory.
const MOST: usize = 50_000;
/// The most pages of a list.
const PAGES_MAX: usize = 500;
/// The most bytes of one message of a directory: a page is full with 2 MiB, and the agent that fills it has a card of 256 KiB
/// at most, which says its skills a second time.
const MESSAGE_MAX: usize = 4 << 20;
/// The most that is kept of one directory without the texts of cards, in bytes of memory: more than 10 000 agents with some
/// skills. Sidecars ask so, and theirs are pods of 256 MiB in which a list is there again as rows and as JSON.
const BRIEF_MAX: usize = 32 << 20;
/// The same with the texts: 10 000 agents with 6 KiB each. Controllers ask so, which have 512 MiB for all meshes, keep the
/// strings a second time in what they tell, and have all of a mesh twice when its directory begins anew.
const WHOLE_MAX: usize = 64 << 20;
/// What the log says where a directory tells of more than it may.
const NOT_ITS_OWN: &str = "A directory tells of an agent that is not its own";

/// A directory.
#[derive(Clone)]
pub struct Directory {
    url: Uri,
    expected: Pattern,
    hosts: Arc<Hosts>,
    peers: Peers,
    remit: Remit,
}

/// Why a directory does not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unlisted {
    /// It says no.
    #[error("{directory} answers {code:?}: {message}")]
    Refused {
        /// Who was asked.
        directory: String,
        /// The status of gRPC.
        code: tonic::Code,
        /// What it says about it.
        message: String,
    },
    /// It tells of more agents than anybody can want to know.
    #[error("{directory} tells of more than {MOST} agents")]
    TooMany {
        /// Who was asked.
        directory: String,
    },
    /// It tells of more than there is room for.
    #[error("{directory} tells more than {} MiB: ask for one namespace", BRIEF_MAX >> 20)]
    TooMuch {
        /// Who was asked.
        directory: String,
    },
    /// It cannot be reached.
    #[error("{directory}: {reason}")]
    Unreachable {
        /// Who was asked.
        directory: String,
        /// The reason of each address, or why there is none.
        reason: String,
    },
}

impl Directory {
    /// The directory of the own mesh, at a URL whose host `hosts` finds. It must show an identity that `expected` matches, and
    /// is believed about every agent.
    pub fn new(url: Uri, expected: Pattern, hosts: Arc<Hosts>, peers: Peers) -> Self {
        Self { url, expected, hosts, peers, remit: Remit::default() }
    }

    /// The directory of another mesh: it is asked for its own agents, and believed about agents of `mesh` alone.
    #[must_use]
    pub fn of_mesh(self, mesh: &str) -> Self {
        Self { remit: Remit::of_mesh(mesh), ..self }
    }

    /// Whether it may tell of agents of that mesh.
    pub fn covers(&self, mesh: &str) -> bool {
        self.remit.covers(mesh)
    }

    /// The agents that match, without the text of their cards, by name. Names that are none, and those of agents that it may
    /// not tell of, are left out.
    ///
    /// # Errors
    /// If it cannot be asked, says no, tells too much, or never ends.
    pub async fn list(&self, filter: &Filter) -> Result<Listed, Unlisted> {
        let (client, filter) = (self.client().await?, self.remit.narrow(filter));
        let pages = stream::try_unfold((client, String::new()), |(mut client, page_token)| {
            let request =
                ListAgentsRequest { filter: Some(filter.clone()), page_size: 0, page_token, brief: true };
            async move {
                let page = self.within(client.list_agents(request)).await?.into_inner();
                let next = page.next_page_token.clone();
                Ok(Some((page, (client, next))))
            }
        });
        list::gather(self.to_string(), &self.remit, pages.take(PAGES_MAX)).await
    }

    /// What there is at first, and every change.
    async fn watch(
        &self,
        request: WatchAgentsRequest,
    ) -> Result<BoxStream<'static, Result<AgentEvent, Status>>, Unlisted> {
        let mut client = self.client().await?;
        let events = self.within(client.watch_agents(request)).await?.into_inner();
        Ok(events.boxed())
    }

    async fn within<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Unlisted> {
        match timeout(ANSWER, answer).await {
            Ok(answer) => answer.map_err(|status| self.refused(&status)),
            Err(_) => Err(self.unreachable(format!("no answer within {ANSWER:?}"))),
        }
    }

    /// The way to ask it: the first of its addresses that answers.
    async fn client(&self) -> Result<DirectoryClient<Channel>, Unlisted> {
        let Some(authority) = self.url.authority() else {
            return Err(self.unreachable("the URL names no host".to_owned()));
        };
        let port = authority.port_u16().unwrap_or(PORT);
        let addresses = timeout(ANSWER, self.hosts.addresses(authority.host(), port)).await;
        let addresses = addresses.unwrap_or_else(|_| Err(format!("no answer from DNS within {ANSWER:?}")));
        let mut reasons = Vec::new();
        for address in addresses.map_err(|reason| self.unreachable(reason))? {
            match self.peers.channel(address, authority, &self.expected).await {
                Ok(channel) => {
                    let client = DirectoryClient::new(channel);
                    return Ok(client.max_decoding_message_size(MESSAGE_MAX));
                }
                Err(reason) => reasons.push(describe(&reason)),
            }
        }
        if reasons.is_empty() {
            reasons.push("the host has no address".to_owned());
        }
        Err(self.unreachable(reasons.join("; ")))
    }

    fn unreachable(&self, reason: String) -> Unlisted {
        Unlisted::Unreachable { directory: self.to_string(), reason }
    }

    fn refused(&self, status: &Status) -> Unlisted {
        // What the connection says is no answer of the directory.
        if let Some(broken) = status.source().and_then(|source| source.downcast_ref::<Broken>()) {
            return self.unreachable(describe(broken));
        }
        let (code, message) = (status.code(), status.message().to_owned());
        Unlisted::Refused { directory: self.to_string(), code, message }
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the directory at {}", self.url)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The memory that an agent takes: what it says, and the places for things that say nothing, of which two bytes make one.
fn weight(agent: &Agent) -> usize {
    let strings = agent.dialects.len() + agent.skills.iter().map(|skill| skill.tags.len()).sum::<usize>();
    agent.encoded_len()
        + size_of::<Agent>()
        + agent.endpoints.len() * size_of::<Endpoint>()
        + agent.skills.len() * size_of::<Skill>()
        + strings * size_of::<String>()
}
