//! The agents of this pod.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tower::service_fn;

use super::Neighbour;
use crate::a2a::{Call, Fault, Home, Name, Reason, Stage};

/// Hands calls over to the agent that they name.
#[derive(Clone, Debug)]
pub struct Local {
    agents: Arc<HashMap<Name, Neighbour>>,
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
