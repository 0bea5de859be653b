//! The HTTP+JSON side that is called.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tower::ServiceExt as _;

use super::members::{Query, compose};
use super::route::{Lost, Route, dialect, find};
use super::{A2A_JSON, JSON, form};
use crate::a2a::{self, A2A_VERSION, Agent, Binding, Call, Dialect, Event, Fault, Operation, Params, Reason};
use crate::binding::events::{self, Envelope, Events, KEEP_ALIVE};
use crate::binding::refusal::{refuse, status, text};
use crate::binding::{Arrival, Edge, spoken, unread};
use crate::codec::text::Scanner;
use crate::codec::{self, sse};
use crate::net::budget::keeping;
use crate::net::{BoxError, collect, discard};
use crate::telemetry::Form;

/// Turns HTTP requests into calls to an agent.
#[derive(Clone, Debug)]
pub struct Server {
    edge: Edge,
    agent: Agent,
}

/// A request that is none.
struct Rejected {
    status: StatusCode,
    /// The methods that its path has.
    allow: Vec<Method>,
    dialect: Dialect,
    fault: Fault,
}

/// What a call asks, and how its answer is to look.
#[derive(Clone, Copy)]
struct Asked {
    operation: Operation,
    dialect: Dialect,
    /// Whether the caller knows only one media type.
    plain: bool,
}

impl Server {
    /// Calls go to `agent`.
    pub fn new(edge: Edge, agent: Agent) -> Self {
        Self { edge, agent }
    }

    /// Answers one request for a path below the agent's base, which has no slash in front. What goes wrong before the first
    /// event is told by the HTTP status.
    pub async fn serve<B>(&self, path: &str, request: Request<B>, arrival: Arrival) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        match self.read(path, request, arrival).await {
            Ok((asked, call)) if asked.operation.is_streaming() => self.stream(asked, call).await,
            Ok((asked, call)) => self.once(asked, call).await,
            Err(Rejected { status, allow, dialect, fault }) => {
                self.edge.metrics.refused(self.edge.direction, &fault);
                let mut response = refuse(status, &fault, dialect);
                let allow: Vec<&str> = allow.iter().map(Method::as_str).collect();
                if let Some(allow) =
                    HeaderValue::try_from(allow.join(", ")).ok().filter(|_| !allow.is_empty())
                {
                    response.headers_mut().insert(header::ALLOW, allow);
                }
                response
            }
        }
    }

    async fn read<B>(
        &self,
        path: &str,
        request: Request<B>,
        arrival: Arrival,
    ) -> Result<(Asked, Call), Rejected>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let (head, body) = request.into_parts();
        let mut params = Params::from_headers(&head.headers);
        let query = head.uri.query().map_or_else(|| Ok(Query::default()), Query::read);
        let said = match &query {
            Ok(query) => version(query, &mut params),
            Err(_) => Ok(None),
        };
        let dialect = dialect(path, said.as_ref().copied().unwrap_or_default());
        let rejected =
            |fault: Fault| Rejected { status: status(&fault, dialect), allow: Vec::new(), dialect, fault };
        let found = query.and_then(|query| Ok((query, said?))).map_err(rejected);
        let found = found.and_then(|(query, said)| {
            let found =
                find(&head.method, path, said).map_err(|lost| lost.rejected(path, &head.method, dialect))?;
            Ok((query, found))
        });
        let (query, (route, place)) = match found {
            Ok(found) => found,
            Err(rejected) => {
                // A caller who is still sending does not hear the answer.
                discard(body, self.edge.limit).await;
                return Err(rejected);
            }
        };
        let (body, held) = self.edge.requests.count(body);
        let body = collect(body, self.edge.limit).await.map_err(|error| rejected(unread(&error)))?;
        self.edge.metrics.count(self.edge.direction, Form::Json, body.len());
        // Whatever the caller spoke, what goes on is of 1.0.
        params.speak(Dialect::V1_0);
        let text = compose(route, &place, &query, &body).map_err(rejected)?;
        let wire = self.canonical(route, &text).map_err(|error| rejected(error.of_request()))?;
        let call = Call {
            operation: route.operation,
            // It counts until nobody needs it any more.
            body: keeping(wire, held),
            params,
            binding: Binding::HttpJson,
            dialect: route.dialect,
            agent: arrival.agent,
            peer: arrival.peer,
            base: arrival.base,
            deadline: None,
        };
        let plain = route.dialect == Dialect::V0_3 || takes_only_json(&head.headers);
        Ok((Asked { operation: route.operation, dialect: route.dialect, plain }, call))
    }

    fn canonical(&self, route: &Route, text: &[u8]) -> Result<Vec<u8>, codec::Error> {
        let mut scan = Scanner::of_bytes(text)?;
        let wire = form(route.dialect).read_request(&mut scan, route.operation, self.edge.limit)?;
        scan.end()?;
        Ok(wire)
    }

    async fn once(&self, asked: Asked, call: Call) -> Response<Body> {
        let reply = match self.agent.clone().oneshot(call).await {
            Ok(reply) => reply,
            Err(fault) => return asked.refuse(&fault),
        };
        let a2a::Body::Once(wire) = reply.body else {
            return asked.refuse(&Fault::new(Reason::Internal, "a stream came where one answer was due"));
        };
        let mut json = Vec::with_capacity(wire.len() * 5 / 4 + 128);
        if let Err(error) = form(asked.dialect).write_response(asked.operation, &wire, &mut json) {
            return asked.refuse(&error.of_reply());
        }
        self.edge.metrics.count(self.edge.direction, Form::Json, json.len());
        // As long as the text is under way, so is the memory that it was made of.
        let mut response = Response::new(Body::new(Full::new(keeping(json, wire))));
        reply.params.append_for(asked.dialect, response.headers_mut());
        let media_type = if asked.plain { JSON } else { A2A_JSON };
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response
    }

    /// Answers with a stream as soon as there is an event, so that what goes wrong before has a status; or before the caller
    /// loses patience.
    async fn stream(&self, asked: Asked, call: Call) -> Response<Body> {
        let until = Instant::now() + KEEP_ALIVE;
        let respond = |params: &Params, events| {
            events::respond(asked, asked.dialect, params, events, self.edge.clone())
        };
        let mut reply = self.agent.clone().oneshot(call).boxed();
        let reply = match timeout_at(until, &mut reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(fault)) => return asked.refuse(&fault),
            Err(_) => {
                return respond(&Params::default(), later(reply.map(|reply| reply.map(events::of)).boxed()));
            }
        };
        let params = reply.params.clone();
        let mut begun = begin(events::of(reply)).boxed();
        match timeout_at(until, &mut begun).await {
            Ok(Ok(events)) => respond(&params, events),
            Ok(Err(fault)) => asked.refuse(&fault),
            Err(_) => respond(&params, later(begun)),
        }
    }
}

/// Waits for the first event, and puts it back.
async fn begin(mut events: Events) -> Result<Events, Fault> {
    match events.next().await {
        Some(Ok(first @ Event::Data(_))) => Ok(stream::iter([Ok(first)]).chain(events).boxed()),
        Some(Err(fault)) => Err(fault),
        Some(Ok(Event::End(_))) | None => Err(events::empty()),
    }
}

/// Events that are not there yet.
fn later(events: BoxFuture<'static, Result<Events, Fault>>) -> Events {
    events
        .map(|events| events.unwrap_or_else(|fault| stream::iter([Err(fault)]).boxed()))
        .flatten_stream()
        .boxed()
}

impl Asked {
    fn refuse(self, fault: &Fault) -> Response<Body> {
        refuse(status(fault, self.dialect), fault, self.dialect)
    }
}

impl Envelope for Asked {
    fn message(&self, wire: &[u8], text: &mut Vec<u8>) -> Result<(), codec::Error> {
        sse::write_event(text, |out| form(self.dialect).write_response(self.operation, wire, out))
    }

    /// With a name: clients in Python and JavaScript take an event without one for a message, in which they find nothing and
    /// say nothing. Those in Go and Java read only the data.
    fn fault(&self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: error\n");
        let written = sse::write_event(out, |out| {
            out.extend_from_slice(&text(status(fault, self.dialect), fault, self.dialect));
            Ok::<_, Infallible>(())
        });
        debug_assert!(written.is_ok());
    }
}

impl Lost {
    fn rejected(self, path: &str, method: &Method, dialect: Dialect) -> Rejected {
        let shown: String = path.chars().take(128).collect();
        let (status, allow, reason, message) = match self {
            Self::Method(allow) => {
                let what = format!("{method} is not for {shown}");
                (StatusCode::METHOD_NOT_ALLOWED, allow, Reason::MethodNotFound, what)
            }
            Self::Path => {
                let what = format!("nothing at {shown}: HTTP+JSON has no such path");
                (StatusCode::NOT_FOUND, Vec::new(), Reason::MethodNotFound, what)
            }
            Self::Text => {
                let what = "an escape in the path is none, or no UTF-8".to_owned();
                (StatusCode::BAD_REQUEST, Vec::new(), Reason::InvalidRequest, what)
            }
        };
        Rejected { status, allow, dialect, fault: Fault::new(reason, message) }
    }
}

/// The version that the caller has said, in a header or in the query; `None` if in neither.
fn version(query: &Query, params: &mut Params) -> Result<Option<Dialect>, Fault> {
    let in_header = params.get(&A2A_VERSION).map(str::to_owned).filter(|version| !version.trim().is_empty());
    let said = match (in_header, &query.version) {
        (Some(header), Some(query)) if header != *query => {
            let what = "A2A-Version: the header says otherwise than the query";
            return Err(Fault::new(Reason::InvalidRequest, what));
        }
        (header, query) => header.or_else(|| query.clone()).unwrap_or_default(),
    };
    let dialect = spoken(&said)?;
    if let (Some(_), Ok(said)) = (dialect, HeaderValue::try_from(said)) {
        params.set(A2A_VERSION, said);
    }
    Ok(dialect)
}

/// Whether a caller wants JSON by its own name: some look at nothing else.
fn takes_only_json(headers: &HeaderMap) -> bool {
    let accept: Vec<&[u8]> = headers.get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes).collect();
    let names = |name: &[u8]| accept.iter().any(|text| memchr::memmem::find(text, name).is_some());
    names(b"application/json") && !names(b"a2a+json")
}
