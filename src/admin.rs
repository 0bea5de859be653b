//! What an operator asks a process: is it alive, is it ready, what does it count, what does it know.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tonic::body::Body;

use crate::a2a::without_port;
use crate::drain::{Drain, Stage};

mod sidecar;

pub use self::sidecar::Sidecar;

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What a process tells of itself.
pub trait Subject: fmt::Debug + Send + Sync {
    /// Whether everything listens and what must be there at first is there; else what is missing.
    ///
    /// # Errors
    /// With the reason.
    fn started(&self) -> Result<(), String>;

    /// The page for callers of this machine at `path`, if there is one.
    fn page(&self, path: &str) -> Option<Value>;

    /// A few lines for a person, for callers of this machine.
    fn overview(&self) -> String;
}

/// Answers operators.
#[derive(Debug)]
pub struct Admin {
    /// All metrics.
    pub registry: Registry,
    /// Whether the end has begun.
    pub drain: Drain,
    /// Who is asked.
    pub subject: Box<dyn Subject>,
}

impl Admin {
    /// Answers one request of a caller at that address.
    pub fn serve<B>(&self, request: &Request<B>, caller: IpAddr) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        let local = caller.to_canonical().is_loopback() && loopback_host(request.uri(), request.headers());
        let path = request.uri().path();
        let known = || self.subject.page(path).is_some();
        match path {
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/startupz" => probe(self.subject.started()),
            "/readyz" => probe(self.ready()),
            "/metrics" => self.metrics(),
            "/" if local => text(StatusCode::OK, self.overview()),
            _ if local => match self.subject.page(path) {
                Some(value) => page(&value),
                None => absent(path),
            },
            _ if path == "/" || known() => {
                text(StatusCode::FORBIDDEN, "only from this pod, at 127.0.0.1\n".to_owned())
            }
            path => absent(path),
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.drain.stage() > Stage::Running { Err("draining".to_owned()) } else { self.subject.started() }
    }

    fn overview(&self) -> String {
        let ready = self.ready().err().unwrap_or_else(|| "yes".to_owned());
        format!("dragoman {}\nready: {ready}\n{}", env!("CARGO_PKG_VERSION"), self.subject.overview())
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
}

/// Answers a request in the way that listeners want.
pub async fn answer(admin: Arc<Admin>, request: Request<Body>, caller: IpAddr) -> Response<Body> {
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

fn absent(path: &str) -> Response<Body> {
    text(StatusCode::NOT_FOUND, format!("nothing at {path}\n"))
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
