//! The local door: what may come in from the agent's side, and where it goes.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tonic::body::Body;

use super::address::{Address, Hosts, NoAddress};
use super::agents::Agents;
use super::forward::forward;
use super::route::Route;
use crate::a2a::{Fault, Name, Reason};
use crate::binding::{Arrival, Edge, card, grpc, jsonrpc, refusal, rest};
use crate::net::{discard, http1};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers the local agent.
#[derive(Clone, Debug)]
pub struct Door {
    /// Who is who.
    pub hosts: Hosts,
    /// The web origins whose pages may call, in lower case.
    pub allowed_origins: Vec<String>,
    /// gRPC calls.
    pub grpc: grpc::Server,
    /// JSON-RPC calls.
    pub jsonrpc: jsonrpc::Server,
    /// HTTP+JSON calls.
    pub rest: rest::Server,
    /// Cards.
    pub card: card::Server,
    /// Which other agents there are.
    pub agents: Agents,
    /// What is wrong here, if anything.
    pub check: Check,
    /// For hosts outside the mesh.
    pub http: http1::Client,
    /// Where refusals are counted.
    pub edge: Edge,
}

/// Looks at this sidecar, and at agents as it reaches them; what it finds is JSON.
#[derive(Clone)]
pub struct Check(Arc<Examination>);

type Examination = dyn Fn(Vec<Name>) -> BoxFuture<'static, serde_json::Value> + Send + Sync;

impl Check {
    /// It is done by `examine`.
    pub fn new(
        examine: impl Fn(Vec<Name>) -> BoxFuture<'static, serde_json::Value> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(examine))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

/// Where a request goes.
enum Destination {
    Agents,
    Check(Vec<Name>),
    Card(card::Document, Arrival),
    Forward,
    Grpc(Route),
    Jsonrpc(Arrival),
    /// With the path below the agent's base.
    Rest(String, Arrival),
}

/// A request that is turned away, with the HTTP status that says so.
struct Refusal {
    status: StatusCode,
    reason: Reason,
    message: String,
}

impl Door {
    /// Answers one request; on a port of its own, `only` is the agent that it is for.
    pub async fn serve(self: Arc<Self>, request: Request<Incoming>, only: Option<Name>) -> Response<Body> {
        let origin = request.headers().get(header::ORIGIN).filter(|origin| self.allows(origin)).cloned();
        let mut response = match (&origin, request.method()) {
            (Some(_), &Method::OPTIONS) => preflight(request.headers()),
            _ => self.answer(request, only.as_ref()).await,
        };
        if let Some(origin) = origin {
            // A page of an allowed origin may read the answer (Fetch §3.3).
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
        response
    }

    /// What is rare is boxed, so that calls need not carry room for it.
    async fn answer(&self, request: Request<Incoming>, only: Option<&Name>) -> Response<Body> {
        match self.admit(&request, only) {
            Ok(Destination::Agents) => {
                Box::pin(self.agents.serve(request.method(), request.uri().query())).await
            }
            Ok(Destination::Check(names)) => json_response(StatusCode::OK, &(self.check.0)(names).await),
            Ok(Destination::Card(document, arrival)) => {
                Box::pin(self.card.serve(document, request, arrival)).await
            }
            Ok(Destination::Forward) => match Box::pin(forward(&self.http, request)).await {
                Ok(response) => response,
                Err(fault) => {
                    self.edge.metrics.refused(self.edge.direction, &fault);
                    refusal(fault.row().http, &fault)
                }
            },
            Ok(Destination::Grpc(route)) => {
                let route = |operation, body| route.to(&self.hosts, operation, body);
                self.grpc.serve_routed(request, route).await
            }
            Ok(Destination::Jsonrpc(arrival)) => self.jsonrpc.serve(request, arrival).await,
            Ok(Destination::Rest(path, arrival)) => Box::pin(self.rest.serve(&path, request, arrival)).await,
            Err(refused) => Box::pin(self.refuse(refused, request)).await,
        }
    }

    /// Whether the pages of an origin may call.
    fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = String::from_utf8_lossy(origin.as_bytes()).to_lowercase();
        self.allowed_origins.contains(&origin)
    }

    async fn refuse(&self, refused: Refusal, request: Request<Incoming>) -> Response<Body> {
        let fault = Fault::new(refused.reason, refused.message);
        self.edge.metrics.refused(self.edge.direction, &fault);
        let (head, body) = request.into_parts();
        discard(body, self.edge.limit).await;
        if grpc::Server::recognizes(&head.headers) {
            grpc::refuse(&fault, &head.headers)
        } else {
            refusal(refused.status, &fault)
        }
    }

    /// Where a request goes, if it may go anywhere.
    fn admit(&self, request: &Request<Incoming>, only: Option<&Name>) -> Result<Destination, Refusal> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        if *method == Method::POST && grpc::Server::recognizes(headers) {
            let route = Route::of(&self.hosts, uri, headers, only)?;
            self.guard(headers)?;
            return Ok(Destination::Grpc(route));
        }
        let address = self.hosts.address(method, uri, request.version(), headers, only)?;
        self.guard(headers)?;
        match address {
            Address::Agents => Ok(Destination::Agents),
            Address::Check => self.check(uri),
            Address::Forward(_) => Ok(Destination::Forward),
            Address::Agent { name, rest, base } => self.agent(request, name, rest, base),
        }
    }

    /// A page in a browser must not be able to call agents in its user's name.
    fn guard(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let foreign = |what: String| {
            Err(Refusal { status: StatusCode::FORBIDDEN, reason: Reason::PermissionDenied, message: what })
        };
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.allows(origin) => {
                foreign(format!("the origin {origin:?} is not in outbound.allowedOrigins"))
            }
            Some(_) => Ok(()),
            None if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site") => {
                foreign("a request from another site".to_owned())
            }
            None => Ok(()),
        }
    }

    /// The agents that an examination is asked to look at, each as `agent=NAME` in the query.
    fn check(&self, uri: &Uri) -> Result<Destination, Refusal> {
        let asked = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("agent="));
        let names = asked.map(|name| Name::parse(name, &self.hosts.home).map_err(NoAddress::Name));
        Ok(Destination::Check(names.collect::<Result<_, _>>()?))
    }

    fn agent(
        &self,
        request: &Request<Incoming>,
        agent: Name,
        rest: String,
        base: Arc<str>,
    ) -> Result<Destination, Refusal> {
        let arrival = Arrival { agent, peer: None, base: Some(base) };
        if let Some(document) = card::Document::at(&rest) {
            return Ok(Destination::Card(document, arrival));
        }
        match (request.method(), &*rest) {
            (&Method::POST, "") => {
                must_be_json(request.headers())?;
                Ok(Destination::Jsonrpc(arrival))
            }
            (_, "") => Err(Refusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                reason: Reason::InvalidRequest,
                message: "POST JSON-RPC here; HTTP+JSON and .well-known/agent-card.json are below".to_owned(),
            }),
            (method, _) => {
                // Some operations are asked for without a word.
                if method == Method::POST && !request.body().is_end_stream() {
                    must_be_json(request.headers())?;
                }
                Ok(Destination::Rest(rest, arrival))
            }
        }
    }
}

/// The answer to a browser that asks whether a page may call: it may, with whatever headers it wants to send.
fn preflight(headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed = response.headers_mut();
    allowed.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        allowed.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    allowed.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Only what a page cannot send without asking first is a call (Fetch §2.2.2: CORS-safelisted content types).
fn must_be_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if [&b"application/json"[..], b"application/a2a+json"]
        .iter()
        .any(|json| essence.eq_ignore_ascii_case(json))
    {
        return Ok(());
    }
    Err(Refusal {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        reason: Reason::ContentTypeNotSupported,
        message: "the Content-Type must be application/json or application/a2a+json".to_owned(),
    })
}

impl From<NoAddress> for Refusal {
    fn from(error: NoAddress) -> Self {
        let (status, reason) = match error {
            NoAddress::Ambiguous(_) | NoAddress::Metadata(_) | NoAddress::Unnamed(_) => {
                (StatusCode::BAD_REQUEST, Reason::InvalidParams)
            }
            NoAddress::Connect => (StatusCode::METHOD_NOT_ALLOWED, Reason::InvalidRequest),
            NoAddress::Foreign(_) => (StatusCode::FORBIDDEN, Reason::PermissionDenied),
            NoAddress::Misdirected(_) => (StatusCode::MISDIRECTED_REQUEST, Reason::PermissionDenied),
            NoAddress::NoHost => (StatusCode::BAD_REQUEST, Reason::InvalidRequest),
            NoAddress::NotFound(_) => (StatusCode::NOT_FOUND, Reason::InvalidRequest),
            NoAddress::Name(_) => (StatusCode::NOT_FOUND, Reason::AgentNotFound),
        };
        Self { status, reason, message: error.to_string() }
    }
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
