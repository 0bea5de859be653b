//! What an operator asks a sidecar: is it alive, is it ready, what does it count, what does it know.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tonic::body::Body;

use crate::a2a::without_port;
use crate::discovery::Discovery;
use crate::drain::{Drain, Stage};
use crate::identity::{Clock, State};

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Answers operators.
#[derive(Debug)]
pub struct Admin {
    /// All metrics.
    pub registry: Registry,
    /// The own identity.
    pub identity: watch::Receiver<State>,
    /// Whether the end has begun.
    pub drain: Drain,
    /// What is known of other agents.
    pub discovery: Discovery,
    /// The configuration, without secrets.
    pub config: Value,
    /// The time, by which certificates are valid.
    pub clock: Clock,
}

impl Admin {
    /// Answers one request of a caller at that address.
    pub fn serve<B>(&self, request: &Request<B>, caller: IpAddr) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        let local = caller.to_canonical().is_loopback() && loopback_host(request.uri(), request.headers());
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/startupz" => probe(self.started()),
            "/readyz" => probe(self.ready()),
            "/metrics" => self.metrics(),
            "/config" if local => page(&self.config),
            "/endpoints" if local => page(&self.endpoints()),
            "/" if local => text(StatusCode::OK, self.overview()),
            "/config" | "/endpoints" | "/" => {
                text(StatusCode::FORBIDDEN, "only from this pod, at 127.0.0.1\n".to_owned())
            }
            path => text(StatusCode::NOT_FOUND, format!("nothing at {path}\n")),
        }
    }

    /// Whether everything listens and the own identity is there.
    fn started(&self) -> Result<(), String> {
        match &*self.identity.borrow() {
            State::Missing(reason) => Err(format!("no identity: {reason}")),
            State::Loaded(material) if material.not_after <= self.clock.now() => {
                Err(format!("the certificate of {} has expired", material.id))
            }
            State::Loaded(_) => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.drain.stage() > Stage::Running { Err("draining".to_owned()) } else { self.started() }
    }

    fn metrics(&self) -> Response<Body> {
        let mut out = String::new();
        match encode(&mut out, &self.registry) {
            Ok(()) => {
                let mut response = text(StatusCode::OK, out);
                response.headers_mut().insert(header::CONTENT_TYPE, OPENMETRICS);
                response
            }
            Err(error) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {error}\n"))
            }
        }
    }

    fn endpoints(&self) -> Value {
        let kept = self.discovery.snapshot().into_iter().map(|kept| {
            json!({
                "name": kept.name.as_str(),
                "addresses": kept.endpoints.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "freshness": format!("{:?}", kept.endpoints.freshness),
                "ageSeconds": kept.age.map(|age| age.as_secs()),
                "idleSeconds": kept.idle.map(|idle| idle.as_secs()),
            })
        });
        kept.collect()
    }

    fn overview(&self) -> String {
        let state = |state: Result<(), String>| state.err().unwrap_or_else(|| "yes".to_owned());
        let identity = match &*self.identity.borrow() {
            State::Loaded(material) => material.id.to_string(),
            State::Missing(reason) => reason.clone(),
        };
        format!(
            "dragoman {}\nidentity: {identity}\nready: {}\nagents known: {}\nsee /metrics /config /endpoints\n",
            env!("CARGO_PKG_VERSION"),
            state(self.ready()),
            self.discovery.snapshot().len(),
        )
    }
}

/// Answers a request in the way that listeners want.
pub async fn answer(admin: Arc<Admin>, request: Request<Incoming>, caller: IpAddr) -> Response<Body> {
    admin.serve(&request, caller)
}

/// Whether the caller meant this machine: a page in a browser may have a name of its own resolved to it.
fn loopback_host(uri: &http::Uri, headers: &HeaderMap) -> bool {
    let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = without_port(uri.authority().map_or_else(host, |authority| authority.as_str()));
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn probe(state: Result<(), String>) -> Response<Body> {
    match state {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn page(value: &Value) -> Response<Body> {
    let mut response = text(StatusCode::OK, format!("{value:#}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
