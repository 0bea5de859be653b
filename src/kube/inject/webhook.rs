//! The webhook: HTTPS for API servers, which ask it about every selected pod that is about to be made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::body::Body;

use super::config::InjectConfig;
use super::decision::Decision;
use super::events::Teller;
use super::metrics::Metrics;
use super::review::{self, Review};
use super::{Configured, Serving, patch};
use crate::kube::cut;
use crate::net;

/// Where the API server asks.
const PATH: &str = "/inject";
/// The largest request: an API server takes no larger objects.
const REQUEST_MAX: usize = 3 << 20;
/// How much of what a request says is logged, in bytes.
const LOGGED_MAX: usize = 4096;
/// How long a request may take to come in; API servers wait ten seconds by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers API servers.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What sidecars have in common, else what it still waits for.
    pub config: watch::Receiver<Configured>,
    /// Tells what became of pods.
    pub teller: Teller,
    /// Counts it.
    pub metrics: Metrics,
}

/// How API servers are shown the certificate of the moment.
///
/// # Errors
/// If the crypto provider cannot do TLS, which aws-lc-rs can.
pub fn tls(certificate: watch::Receiver<Serving>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(certificate)));
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

impl Webhook {
    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<net::BoxError>,
    {
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, format!("nothing here; API servers ask at {PATH}"));
        }
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only POST".to_owned());
        }
        let config = self.config.borrow().clone();
        let config = match config {
            Ok(config) => config,
            Err(reason) => {
                self.metrics.unanswered("unready");
                return text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}"));
            }
        };
        let body = match timeout(REQUEST_TIMEOUT, net::collect(request.into_body(), REQUEST_MAX)).await {
            Ok(Ok(body)) => body,
            Ok(Err(net::BodyError::TooLarge(_))) => {
                let what = format!("no AdmissionReview is larger than {REQUEST_MAX} bytes");
                return self.invalid(StatusCode::PAYLOAD_TOO_LARGE, what);
            }
            Ok(Err(error)) => return self.invalid(StatusCode::BAD_REQUEST, error.to_string()),
            Err(_) => {
                return self.invalid(StatusCode::REQUEST_TIMEOUT, "the request came too slowly".to_owned());
            }
        };
        let begun = Instant::now();
        match Review::read(&body) {
            Ok(review) => self.decide(&review, &config, begun),
            Err(what) => self.invalid(StatusCode::BAD_REQUEST, what),
        }
    }

    fn decide(&self, review: &Review, config: &InjectConfig, begun: Instant) -> Response<Body> {
        let decision = review.pod.as_ref().map(|pod| patch(pod, &review.namespace, config));
        let answer = match review.answer(decision.as_ref()) {
            Ok(answer) => answer,
            Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("no answer: {error}")),
        };
        if let (Some(pod), Some(decision)) = (&review.pod, &decision) {
            let (name, owner) = (review::name(pod), review::owner(pod, &review.namespace));
            let (agents, refusal) = match decision {
                Decision::Patch(injection) => (cut(injection.agents.join(","), LOGGED_MAX), None),
                Decision::Refuse(refusal) => (String::new(), Some(cut(refusal.to_string(), LOGGED_MAX))),
                Decision::Skip(_) => (String::new(), None),
            };
            let kind = owner.kind.as_deref().unwrap_or_default();
            let owned = owner.name.as_deref().unwrap_or_default();
            tracing::info!(
                decision = decision.word(),
                reason = decision.reason(),
                namespace = review.namespace,
                pod = name,
                owner = format!("{kind}/{owned}"),
                agents,
                refusal,
                dry_run = review.dry_run(),
                duration_us = begun.elapsed().as_micros(),
                "Pod decided"
            );
            if !review.dry_run() {
                self.metrics.decided(decision);
                self.teller.tell(decision, &name, owner);
            }
        }
        let mut response = Response::new(Body::new(Full::from(answer)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn invalid(&self, status: StatusCode, what: String) -> Response<Body> {
        self.metrics.unanswered("invalid");
        let what = cut(what, LOGGED_MAX);
        match self.teller.sparing.tell("invalid", Instant::now()) {
            Some(others) => tracing::warn!(what, others, "A request that cannot be read"),
            None => tracing::debug!(what, "A request that cannot be read"),
        }
        text(status, what)
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(text + "\n")));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Shows the certificate of the moment.
#[derive(Debug)]
struct Shown(watch::Receiver<Serving>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().as_ref().ok().map(Arc::clone)
    }
}
