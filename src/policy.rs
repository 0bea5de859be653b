//! Who may do what, and for how long.

pub mod limit;
pub mod rules;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tower::Service;

use self::rules::Rules;
use crate::a2a::{Call, Fault, NamePattern, Reason, Reply};

/// Lets only those calls of peers through that a rule allows.
#[derive(Clone, Debug)]
pub struct Enforce<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> Enforce<S> {
    /// Asks `rules` before `inner`.
    pub fn new(inner: S, rules: Arc<Rules>) -> Self {
        Self { inner, rules }
    }
}

impl<S> Service<Call> for Enforce<S>
where
    S: Service<Call, Response = Reply, Error = Fault>,
    S::Future: Send + 'static,
{
    type Response = Reply;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<Reply, Fault>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        match self.rules.decide(&call) {
            Ok(permitted) => self.inner.call(permitted.into_call()).boxed(),
            Err(denial) => {
                let fault = Fault::new(Reason::PermissionDenied, "the agent's policy does not allow this");
                std::future::ready(Err(fault.because(denial).never_processed())).boxed()
            }
        }
    }
}

/// Narrows what the local agent may call.
#[derive(Clone, Debug)]
pub struct Narrow<S> {
    inner: S,
    allow: Arc<[NamePattern]>,
}

impl<S> Narrow<S> {
    /// Lets only calls through to agents that one of `allow` matches.
    pub fn new(inner: S, allow: Arc<[NamePattern]>) -> Self {
        Self { inner, allow }
    }
}

impl<S> Service<Call> for Narrow<S>
where
    S: Service<Call, Response = Reply, Error = Fault>,
    S::Future: Send + 'static,
{
    type Response = Reply;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<Reply, Fault>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        if self.allow.iter().any(|pattern| pattern.matches(&call.agent)) {
            return self.inner.call(call).boxed();
        }
        let fault = Fault::new(Reason::PermissionDenied, format!("this pod may not call {}", call.agent));
        std::future::ready(Err(fault.because("outbound.allow does not list it").never_processed())).boxed()
    }
}
