//! An agent of this pod: where it is, and what it speaks, as its card says.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use http::HeaderValue;
use tokio::time::{Instant, timeout};
use tower::{ServiceExt as _, service_fn};

use crate::a2a::{A2A_VERSION, Binding, Body, Call, Dialect, Fault, Operation, Params, Reason, Reply};
use crate::binding::{card, grpc, jsonrpc, rest, v0_3};
use crate::card::{Settled, Spot};
use crate::codec::schema;
use crate::codec::wire::{append, last_string};

/// How long an agent's card may take when a call waits to know where to go, and when a card that took longer, or broke
/// off, is asked for again.
const CARD_PATIENCE: Duration = Duration::from_secs(2);
const CARD_PAUSE: Duration = Duration::from_secs(10);

/// An agent of this pod.
#[derive(Clone, Debug)]
pub struct Neighbour(Arc<Inner>);

/// What calls an agent in whatever it speaks.
#[derive(Clone, Debug)]
pub struct Clients {
    /// JSON-RPC, in both dialects.
    pub jsonrpc: jsonrpc::Client,
    /// HTTP+JSON, in both dialects.
    pub rest: rest::Client,
    /// gRPC.
    pub grpc: grpc::PlainClient,
}

#[derive(Debug)]
struct Inner {
    settled: Settled,
    clients: Clients,
    card: card::Client,
    max_age: Duration,
    known: ArcSwapOption<Known>,
}

/// What the agent's card said last.
#[derive(Clone, Debug)]
struct Known {
    /// Until when it is believed.
    until: Instant,
    spot: Spot,
    /// Its version, as a header, if the card has one.
    version: Option<HeaderValue>,
    /// Whether the agent has understood a call in that dialect.
    proven: bool,
}

impl Neighbour {
    /// An agent of which that much is settled, and whose card, read by `card`, is believed for `max_age`.
    pub fn new(settled: Settled, clients: Clients, card: card::Client, max_age: Duration) -> Self {
        Self(Arc::new(Inner { settled, clients, card, max_age, known: ArcSwapOption::empty() }))
    }

    /// Hands a call over to the agent.
    pub(super) async fn send(&self, call: Call) -> Result<Reply, Fault> {
        if call.operation == Operation::GetAgentCard {
            return Box::pin(self.0.card.send(&call)).await;
        }
        let known = match self.known(&call).await {
            Some(known) => known,
            None => Arc::new(self.believed(self.0.settled.spot())),
        };
        let open = self.0.settled.dialect.is_none() && known.spot.binding == Binding::Jsonrpc;
        if known.proven || !open {
            return self.ask_in_dialect(call, known).await;
        }
        Box::pin(self.prove(call, known)).await
    }

    /// Cards may be wrong about the dialect, or not be there: an agent that does not know a method has not processed it, and
    /// is asked once more in the other dialect.
    async fn prove(&self, call: Call, known: Arc<Known>) -> Result<Reply, Fault> {
        let again = call.clone();
        let outcome = looked_at(self.ask_in_dialect(call, Arc::clone(&known)).await).await;
        if !has_no_such_method(&outcome) {
            if is_understood(&outcome) {
                self.0.known.store(Some(Arc::new(Known { proven: true, ..Known::clone(&known) })));
            }
            return outcome;
        }
        let dialect = match known.spot.dialect {
            Dialect::V0_3 => Dialect::V1_0,
            Dialect::V1_0 => Dialect::V0_3,
        };
        let spot = Spot { dialect, version: String::new(), ..known.spot.clone() };
        let other = Arc::new(Known { proven: true, ..self.believed(spot) });
        let second = looked_at(self.ask_in_dialect(again, Arc::clone(&other)).await).await;
        if !is_understood(&second) {
            return outcome;
        }
        tracing::warn!(dialect = dialect.as_str(), url = %known.spot.url, "The agent speaks another dialect than its card says");
        self.0.known.store(Some(other));
        second
    }

    async fn ask_in_dialect(&self, call: Call, known: Arc<Known>) -> Result<Reply, Fault> {
        if known.spot.dialect == Dialect::V1_0 {
            return self.hand_over(call, &known).await;
        }
        let neighbour = self.clone();
        let agent = v0_3::agent(service_fn(move |call: Call| {
            let (neighbour, known) = (neighbour.clone(), Arc::clone(&known));
            async move { neighbour.hand_over(call, &known).await }.boxed()
        }));
        Box::pin(agent.oneshot(call)).await
    }

    async fn hand_over(&self, mut call: Call, known: &Known) -> Result<Reply, Fault> {
        let Known { spot, version, .. } = known;
        // It is the version of what the agent gets, whatever that of the caller was.
        match version {
            Some(version) => call.params.set(A2A_VERSION, version.clone()),
            None => call.params.speak(spot.dialect),
        }
        if !spot.tenant.is_empty() {
            call.body = with_tenant(&call, &spot.tenant)?;
        }
        match spot.binding {
            Binding::Jsonrpc => self.0.clients.jsonrpc.send(call, spot).await,
            Binding::HttpJson => Box::pin(self.0.clients.rest.send(call, spot)).await,
            Binding::Grpc => Box::pin(self.0.clients.grpc.send(&call, &spot.url)).await,
        }
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
                let known =
                    known.map_or_else(|| self.believed(self.0.settled.spot()), |known| Known::clone(&known));
                Known { until: Instant::now() + CARD_PAUSE, ..known }
            }
        };
        let asked = Arc::new(asked);
        self.0.known.store(Some(Arc::clone(&asked)));
        Some(asked)
    }

    fn believed(&self, spot: Spot) -> Known {
        let version = HeaderValue::try_from(&*spot.version).ok().filter(|version| !version.is_empty());
        Known { until: Instant::now() + self.0.max_age, spot, version, proven: false }
    }

    async fn ask(&self, call: &Call) -> Option<Known> {
        let call = Call {
            operation: Operation::GetAgentCard,
            body: Bytes::new(),
            params: Params::default(),
            ..call.clone()
        };
        let settled = &self.0.settled;
        match self.0.card.send(&call).await {
            Ok(Reply { body: Body::Once(wire), .. }) => {
                let spot = settled.spot_of(&wire).unwrap_or_else(|unreadable| {
                    tracing::warn!(agent = call.agent.as_str(), %unreadable, "A card says nothing of where its agent is");
                    settled.spot()
                });
                Some(self.believed(spot))
            }
            // It has no card that could be read: its URL is all there is.
            Err(fault) if fault.reason() != Reason::AgentUnreachable => Some(self.believed(settled.spot())),
            // It broke off, and may do better later.
            Err(fault) if !fault.is_never_processed() => {
                Some(Known { until: Instant::now() + CARD_PAUSE, ..self.believed(settled.spot()) })
            }
            Ok(_) | Err(_) => None,
        }
    }
}

/// Some agents tell of an error in a stream: its first event decides what the reply is.
async fn looked_at(outcome: Result<Reply, Fault>) -> Result<Reply, Fault> {
    let Reply { params, body } = outcome?;
    let Body::Events(mut events) = body else { return Ok(Reply { params, body }) };
    match events.next().await {
        Some(Err(fault)) => Err(fault.with_params(params)),
        first => Ok(Reply { params, body: Body::Events(stream::iter(first).chain(events).boxed()) }),
    }
}

const NO_SUCH_METHOD: i64 = -32601;

fn has_no_such_method(outcome: &Result<Reply, Fault>) -> bool {
    let error = outcome.as_ref().err().and_then(Fault::agent_error);
    error.is_some_and(|error| error.code == NO_SUCH_METHOD)
}

/// Whether the agent itself has said something to the call, other than that it does not know the method.
fn is_understood(outcome: &Result<Reply, Fault>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(fault) => fault.agent_error().is_some_and(|error| error.code != NO_SUCH_METHOD),
    }
}

/// The body with the tenant of the agent's own interface, for callers whose dialect or binding does not know it.
fn with_tenant(call: &Call, tenant: &str) -> Result<Bytes, Fault> {
    let message = schema::request(call.operation);
    let Some(field) = message.by_name("tenant").and_then(|index| message.fields.get(index)) else {
        return Ok(call.body.clone());
    };
    if !last_string(&call.body, field.number).map_err(|error| error.of_request())?.is_empty() {
        return Ok(call.body.clone());
    }
    let mut body = call.body.to_vec();
    append(&mut body, field.number, tenant.as_bytes());
    Ok(body.into())
}
