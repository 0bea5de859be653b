//! The agents of this pod.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use http::{HeaderValue, Uri};
use tokio::time::{Instant, timeout};
use tower::service_fn;

use crate::a2a::{
    A2A_VERSION, Binding, Body, Call, Fault, Home, Name, Operation, Params, Reason, Reply, Stage,
};
use crate::binding::{card, jsonrpc};
use crate::card::agent_url;

/// How long an agent's card may take when a call waits to know where to go, and when a card that took longer, or broke
/// off, is asked for again.
const CARD_PATIENCE: Duration = Duration::from_secs(2);
const CARD_PAUSE: Duration = Duration::from_secs(10);

/// Hands calls over to the agent that they name.
#[derive(Clone, Debug)]
pub struct Local {
    agents: Arc<HashMap<Name, Neighbour>>,
}

/// An agent of this pod, and where it serves what.
#[derive(Clone, Debug)]
pub struct Neighbour(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: Uri,
    jsonrpc: jsonrpc::Client,
    card: card::Client,
    max_age: Duration,
    known: ArcSwapOption<Known>,
}

/// What the agent's card said last.
#[derive(Clone, Debug)]
struct Known {
    /// Until when it is believed.
    until: Instant,
    url: Uri,
    /// The protocol version in the agent's own spelling: some SDKs compare it letter by letter.
    version: Option<HeaderValue>,
}

impl Neighbour {
    /// An agent at `url`, whose card is believed for `max_age`.
    pub fn new(url: Uri, jsonrpc: jsonrpc::Client, card: card::Client, max_age: Duration) -> Self {
        Self(Arc::new(Inner { url, jsonrpc, card, max_age, known: ArcSwapOption::empty() }))
    }

    async fn send(&self, mut call: Call) -> Result<Reply, Fault> {
        if call.operation == Operation::GetAgentCard {
            return Box::pin(self.0.card.send(&call)).await;
        }
        let known = self.known(&call).await;
        let known = known.as_deref();
        if let Some(version) = known.and_then(|known| known.version.as_ref())
            && call.params.get(&A2A_VERSION).is_none()
        {
            call.params.set(A2A_VERSION, version.clone());
        }
        self.0.jsonrpc.send(call, known.map_or(&self.0.url, |known| &known.url)).await
    }

    /// What the card says, asked for again when it is old. An agent that cannot be reached has said nothing yet.
    async fn known(&self, call: &Call) -> Option<Arc<Known>> {
        let now = Instant::now();
        let known = self.0.known.load_full();
        if let Some(known) = &known {
            if now < known.until {
                return Some(Arc::clone(known));
            }
            // Only one call asks again; others go on with what was known.
            self.0.known.store(Some(Arc::new(Known { until: now + CARD_PATIENCE, ..Known::clone(known) })));
        }
        let asked = match Box::pin(timeout(CARD_PATIENCE, self.ask(call))).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return known,
            // Calls do not wait again and again for an agent that does not get to it.
            Err(_) => {
                let known = known.map_or_else(|| self.plain(), |known| Known::clone(&known));
                Known { until: Instant::now() + CARD_PAUSE, ..known }
            }
        };
        let asked = Arc::new(asked);
        self.0.known.store(Some(Arc::clone(&asked)));
        Some(asked)
    }

    /// All that is known without a card.
    fn plain(&self) -> Known {
        Known { until: Instant::now() + self.0.max_age, url: self.0.url.clone(), version: None }
    }

    async fn ask(&self, call: &Call) -> Option<Known> {
        let call = Call {
            operation: Operation::GetAgentCard,
            body: bytes::Bytes::new(),
            params: Params::default(),
            ..call.clone()
        };
        match self.0.card.send(&call).await {
            Ok(Reply { body: Body::Once(wire), .. }) => {
                let spot = agent_url(&wire, Binding::Jsonrpc, &self.0.url).ok().flatten();
                Some(spot.map_or_else(
                    || self.plain(),
                    |spot| Known {
                        url: spot.url,
                        version:
                            HeaderValue::try_from(spot.version).ok().filter(|version| !version.is_empty()),
                        ..self.plain()
                    },
                ))
            }
            // It has no card that could be read: its URL is all there is.
            Err(fault) if fault.reason() != Reason::AgentUnreachable => Some(self.plain()),
            // It broke off, and may do better later.
            Err(fault) if !fault.is_never_processed() => {
                Some(Known { until: Instant::now() + CARD_PAUSE, ..self.plain() })
            }
            Ok(_) | Err(_) => None,
        }
    }
}

impl Local {
    /// These agents.
    pub fn new(agents: HashMap<Name, Neighbour>) -> Self {
        Self { agents: Arc::new(agents) }
    }

    /// The end of a stack: calls go to the agent that they name. Its future is boxed: each stage before it would move it,
    /// and hold it twice.
    pub fn stage(&self) -> impl Stage {
        let agents = Arc::clone(&self.agents);
        service_fn(move |call: Call| {
            let agents = Arc::clone(&agents);
            async move {
                match agents.get(&call.agent) {
                    Some(agent) => agent.send(call).await,
                    None => {
                        let fault =
                            Fault::new(Reason::AgentNotFound, format!("no agent {} here", call.agent));
                        Err(fault.never_processed())
                    }
                }
            }
            .boxed()
        })
    }

    /// The one that is called so by a peer, `….a2a`: mostly by its whole name.
    pub fn named(&self, host: &str, home: &Home) -> Option<Name> {
        let whole = host.strip_suffix(".a2a");
        let name = self.agents.keys().find(|name| whole == Some(name.as_str())).cloned();
        name.or_else(|| Name::parse(host, home).ok().filter(|name| self.agents.contains_key(name)))
    }

    /// The only one, if there is only one.
    pub fn only(&self) -> Option<&Name> {
        let mut names = self.agents.keys();
        names.next().filter(|_| names.next().is_none())
    }
}
