//! The way through the mesh: find the agent's endpoints, pick one, send, and try another one if nobody has processed the
//! call.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, timeout};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::service_fn;

use super::Expected;
use crate::a2a::{Body, Call, Fault, Name, Reason, Reply, Stage};
use crate::balance::{Balancer, InFlight};
use crate::binding::grpc;
use crate::discovery::{Discovery, Endpoints, Unresolved};
use crate::identity::Pattern;

/// How many endpoints one call may try.
const TRIES: usize = 3;
/// How long a call whose endpoints are all gone waits for another one.
const SUCCESSOR: Duration = Duration::from_secs(2);
/// How many names have a route before those not in use are dropped.
const ROUTES_MAX: usize = 10_000;
/// Reads may be tried again as long as that adds no more than a fifth to the calls of the last ten seconds.
const RETRY_WINDOW: Duration = Duration::from_secs(10);
const RETRY_PART: f32 = 0.2;
const RETRY_LEAST_PER_SECOND: u32 = 1;

/// Sends calls to agents by name.
#[derive(Clone, Debug)]
pub struct Mesh(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    discovery: Discovery,
    expected: Expected,
    client: grpc::Client,
    seed: u64,
    routes: Mutex<HashMap<Name, Arc<Route>>>,
    retries: TpsBudget,
}

/// What is kept of a name that is called.
#[derive(Debug)]
struct Route {
    /// Who must answer.
    expected: Pattern,
    balancer: Balancer,
}

impl Mesh {
    /// Calls go to endpoints that `discovery` finds, through `client`. `seed` decides who is picked.
    pub fn new(discovery: Discovery, expected: Expected, client: grpc::Client, seed: u64) -> Self {
        let retries = TpsBudget::new(RETRY_WINDOW, RETRY_LEAST_PER_SECOND, RETRY_PART);
        Self(Arc::new(Inner { discovery, expected, client, seed, routes: Mutex::default(), retries }))
    }

    /// The end of a stack. Its future is boxed: each stage before it would move it, and hold it twice.
    pub fn stage(&self) -> impl Stage {
        let inner = Arc::clone(&self.0);
        service_fn(move |call: Call| {
            let inner = Arc::clone(&inner);
            async move { inner.send(&call).await }.boxed()
        })
    }
}

impl Inner {
    async fn send(&self, call: &Call) -> Result<Reply, Fault> {
        let route = self.route(&call.agent)?;
        self.retries.deposit();
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut has_waited = false;
        loop {
            let endpoints =
                self.discovery.endpoints(&call.agent).await.map_err(|error| unresolved(&error))?;
            let endpoints = Arc::clone(&endpoints.borrow());
            let Some(picked) = route.balancer.pick(&endpoints, &tried, Instant::now()) else {
                let fault =
                    Fault::new(Reason::AgentUnreachable, format!("{} has no endpoint left", call.agent));
                return Err(fault.never_processed());
            };
            let fault = match self.client.send(call, picked.address, &route.expected).await {
                Ok(reply) => {
                    route.balancer.restore(picked.address);
                    return Ok(counted(reply, picked.guard));
                }
                Err(fault) => fault,
            };
            tried.push(picked.address);
            let gone = is_no_endpoint(&fault);
            if gone {
                if route.balancer.eject(picked.address, Instant::now()) {
                    tracing::warn!(agent = %call.agent, address = %picked.address, fault = %fault, "Endpoint set aside");
                }
                self.discovery.refused(&call.agent);
            }
            let another = tried.len() < TRIES && tried.len() < endpoints.addresses.len();
            let again = (another || gone && !has_waited) && self.may_try_again(call, &fault);
            has_waited |= !another;
            if !(again && (another || self.successor(&call.agent, &tried).await)) {
                return Err(fault);
            }
        }
    }

    /// Waits for an endpoint that was not tried, now that DNS is asked anew: a replica whose agent has ended is gone a moment
    /// before its name leads to the one that follows.
    async fn successor(&self, name: &Name, tried: &[SocketAddr]) -> bool {
        let Ok(mut endpoints) = self.discovery.endpoints(name).await else { return false };
        if endpoints.borrow().confirmed.is_none() {
            // The configuration says where it is, and will say nothing else.
            return false;
        }
        let fresh = |now: &Arc<Endpoints>| now.addresses.iter().any(|address| !tried.contains(address));
        matches!(timeout(SUCCESSOR, endpoints.wait_for(fresh)).await, Ok(Ok(_)))
    }

    /// What nobody has processed may be sent again; a read that may have been, within the budget.
    fn may_try_again(&self, call: &Call, fault: &Fault) -> bool {
        if fault.is_never_processed() {
            return fault.reason() != Reason::PermissionDenied;
        }
        let by_the_agent = fault.http().is_some() || fault.agent_error().is_some();
        let unavailable = fault.row().grpc == tonic::Code::Unavailable && !by_the_agent;
        call.operation.is_idempotent_read() && unavailable && self.retries.withdraw()
    }

    fn route(&self, name: &Name) -> Result<Arc<Route>, Fault> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(name) {
            return Ok(Arc::clone(route));
        }
        let expected = self.expected.of(name)?;
        if routes.len() >= ROUTES_MAX {
            routes.retain(|_, route| Arc::strong_count(route) > 1);
        }
        let seed = self.seed.wrapping_add(routes.len() as u64);
        let route = Arc::new(Route { expected, balancer: Balancer::new(seed) });
        routes.insert(name.clone(), Arc::clone(&route));
        Ok(route)
    }
}

/// Whether the fault means that the agent is not to be had at that address.
fn is_no_endpoint(fault: &Fault) -> bool {
    let of_the_endpoint = matches!(
        fault.reason(),
        Reason::AgentNotFound | Reason::AgentUnreachable | Reason::PeerMismatch | Reason::PeerUntrusted
    );
    of_the_endpoint && fault.is_never_processed()
}

/// The call counts as in flight until its stream has ended.
fn counted(reply: Reply, guard: InFlight) -> Reply {
    let Reply { params, body } = reply;
    let body = match body {
        Body::Once(bytes) => Body::Once(bytes),
        Body::Events(events) => Body::Events(
            events
                .map(move |event| {
                    let _in_flight = &guard;
                    event
                })
                .boxed(),
        ),
    };
    Reply { params, body }
}

fn unresolved(error: &Unresolved) -> Fault {
    let fault = match error {
        Unresolved::Absent { name, .. } | Unresolved::UnknownMesh { name } => {
            Fault::new(Reason::AgentNotFound, format!("no agent {name}"))
        }
        Unresolved::Failed { name, .. } | Unresolved::Late { name, .. } => {
            Fault::new(Reason::AgentUnreachable, format!("{name} cannot be looked up now"))
        }
        Unresolved::Full { .. } => {
            Fault::new(Reason::RateLimited, "too many agents in use").retry_after(Duration::from_secs(30))
        }
    };
    fault.because(error).never_processed()
}
