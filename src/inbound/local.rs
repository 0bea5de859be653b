//! The agents of this pod.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tower::Service;

use crate::a2a::{Call, Fault, Name, Reason, Reply};
use crate::binding::jsonrpc;

/// Hands calls over to the agent that they name.
#[derive(Clone, Debug)]
pub struct Local {
    agents: Arc<HashMap<Name, jsonrpc::Client>>,
}

impl Local {
    /// These agents, each with the client that reaches it.
    pub fn new(agents: HashMap<Name, jsonrpc::Client>) -> Self {
        Self { agents: Arc::new(agents) }
    }

    /// Who they are.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.agents.keys()
    }

    /// Whether that one is among them.
    pub fn has(&self, name: &Name) -> bool {
        self.agents.contains_key(name)
    }

    /// The only one, if there is only one.
    pub fn only(&self) -> Option<&Name> {
        let mut names = self.names();
        names.next().filter(|_| names.next().is_none())
    }
}

impl Service<Call> for Local {
    type Response = Reply;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<Reply, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.agents.get(&call.agent) {
            Some(client) => client.clone().call(call),
            None => {
                let fault = Fault::new(Reason::AgentNotFound, format!("no agent {} here", call.agent));
                std::future::ready(Err(fault.never_processed())).boxed()
            }
        }
    }
}
