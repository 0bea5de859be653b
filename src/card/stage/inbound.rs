//! Cards of the agents of this pod on their way to peers.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either};
use tower::Service;

use super::Card;
use crate::a2a::{Binding, Call, Fault, Operation, Reply};
use crate::card::{MeshAddress, for_mesh};

/// Makes cards say where the mesh is.
#[derive(Clone, Debug)]
pub struct Inbound<S> {
    inner: S,
    cluster_domain: Arc<str>,
    port: u16,
    bindings: Arc<[Binding]>,
}

impl<S> Inbound<S> {
    /// Peers reach the agents of this cluster at that port, in these bindings.
    pub fn new(inner: S, cluster_domain: &str, port: u16, bindings: &[Binding]) -> Self {
        Self { inner, cluster_domain: cluster_domain.into(), port, bindings: bindings.into() }
    }
}

impl<S> Service<Call> for Inbound<S>
where
    S: Service<Call, Response = Reply, Error = Fault> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Reply;
    type Error = Fault;
    type Future = Either<S::Future, BoxFuture<'static, Result<Reply, Fault>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        if !matches!(call.operation, Operation::GetAgentCard | Operation::GetExtendedAgentCard) {
            return Either::Left(self.inner.call(call));
        }
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let address = MeshAddress::new(&call.agent, &self.cluster_domain, self.port);
        let bindings = Arc::clone(&self.bindings);
        let rewritten = async move {
            let mut card = Card::of(inner.call(call).await?)?;
            let wire = for_mesh(&card.wire, &address, &bindings).map_err(|error| error.of_reply())?;
            card.wire = wire.into();
            Ok(card.into_reply())
        };
        Either::Right(rewritten.boxed())
    }
}
