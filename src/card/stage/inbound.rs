//! Cards of the agents of this pod on their way to peers.

use std::sync::Arc;

use tower::service_fn;

use super::Card;
use crate::a2a::{Binding, Call, Operation, Stage};
use crate::card::{MeshAddress, for_mesh};

/// Makes the cards that `inner` brings say that peers reach the agents of this cluster at that port, in these bindings.
pub fn inbound(mut inner: impl Stage, cluster_domain: &str, port: u16, bindings: &[Binding]) -> impl Stage {
    let (cluster_domain, bindings): (Arc<str>, Arc<[Binding]>) = (cluster_domain.into(), bindings.into());
    service_fn(move |call: Call| {
        let is_card = matches!(call.operation, Operation::GetAgentCard | Operation::GetExtendedAgentCard);
        let address = is_card.then(|| MeshAddress::new(&call.agent, &cluster_domain, port));
        let bindings = Arc::clone(&bindings);
        let reply = inner.call(call);
        async move {
            let reply = reply.await?;
            let Some(address) = address else { return Ok(reply) };
            let mut card = Card::of(reply)?;
            let wire = for_mesh(&card.wire, &address, &bindings).map_err(|error| error.of_reply())?;
            card.wire = wire.into();
            Ok(card.into_reply())
        }
    })
}
