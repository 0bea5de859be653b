//! What any gRPC server is asked beside its calls: whether it is well (`grpc.health.v1`), and what it serves
//! (`grpc.reflection.v1`, and `v1alpha` for older tools).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Poll, ready};

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::StreamBody;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Status, async_trait};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{FILE_DESCRIPTOR_SET, HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::server::{Builder, Error};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use super::USER_AGENT;
use super::server::trailers;
use crate::drain::{Drain, Stage};
use crate::proto::DESCRIPTOR;

/// The name of the service that this server is there for.
const A2A_SERVICE: &str = "lf.a2a.v1.A2AService";
/// The most bytes of a question.
const MAX: usize = 16 << 10;

/// Answers about this server.
#[derive(Clone, Debug)]
pub struct Services {
    named: [Named; 3],
    drain: Drain,
}

/// The descriptor that was compiled in is broken.
#[derive(Debug, thiserror::Error)]
#[error("the services cannot be described: {0}")]
pub struct Undescribed(#[from] Error);

#[derive(Clone, Debug)]
struct Named {
    name: &'static str,
    service: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
}

impl Named {
    fn new<S>(service: S) -> Self
    where
        S: NamedService + Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self { name: S::NAME, service: BoxCloneSyncService::new(service) }
    }
}

impl Services {
    /// The server is well until the house drains.
    ///
    /// # Errors
    /// If the services cannot be described.
    pub fn new(drain: Drain) -> Result<Self, Undescribed> {
        let described = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTOR)
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        };
        let health = HealthServer::new(Health(drain.clone())).max_decoding_message_size(MAX);
        let named = [
            Named::new(health),
            Named::new(described().build_v1()?.max_decoding_message_size(MAX)),
            Named::new(described().build_v1alpha()?.max_decoding_message_size(MAX)),
        ];
        Ok(Self { named, drain })
    }

    /// Whether a request asks about this server, by its path.
    pub fn recognizes(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    /// Answers a request of these services. No answer outlasts the house.
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let answer = match self.at(request.uri().path()) {
            Some(named) => named.service.clone().oneshot(request.map(Body::new)).await,
            None => Ok(Status::unimplemented("no such service").into_http()),
        };
        let Ok(mut answer) = answer;
        // Who asks how this server is may want to know which one it is.
        answer.headers_mut().insert(header::SERVER, USER_AGENT);
        answer.map(|body| if body.is_end_stream() { body } else { until_the_end(body, self.drain.clone()) })
    }

    fn at(&self, path: &str) -> Option<&Named> {
        let service = path.strip_prefix('/')?.split('/').next()?;
        self.named.iter().find(|named| named.name == service)
    }
}

/// The body, broken off in order when the house ends: who watches would otherwise watch for ever.
fn until_the_end(mut body: Body, mut drain: Drain) -> Body {
    let mut end = async move { drain.past(Stage::Fading).await }.boxed();
    let mut over = false;
    Body::new(StreamBody::new(stream::poll_fn(move |cx| {
        if over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(end.poll_unpin(cx));
        over = true;
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&Status::unavailable("this server ends"))))))
    })))
}

/// Says whether this server is well: it is, until it tells everybody to go elsewhere.
struct Health(Drain);

impl Health {
    fn status(&self) -> ServingStatus {
        match self.0.stage() {
            Stage::Running => ServingStatus::Serving,
            Stage::Fading | Stage::Ending => ServingStatus::NotServing,
        }
    }
}

fn is_known(service: &str) -> bool {
    matches!(service, "" | A2A_SERVICE)
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[async_trait]
impl HealthService for Health {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("no such service here"));
        }
        Ok(tonic::Response::new(response(self.status())))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// The state of now, and each one that follows. Who watches goes on until it has seen enough.
    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let is_known = is_known(&request.get_ref().service);
        let now = if is_known { self.status() } else { ServingStatus::ServiceUnknown };
        let mut drain = self.0.clone();
        let later = async move {
            if now == ServingStatus::Serving {
                drain.past(Stage::Running).await;
                return response(ServingStatus::NotServing);
            }
            std::future::pending().await
        };
        let states = stream::iter([response(now)]).chain(stream::once(later)).chain(stream::pending());
        Ok(tonic::Response::new(states.map(Ok).boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::drain;

    fn question(service: &str) -> tonic::Request<HealthCheckRequest> {
        tonic::Request::new(HealthCheckRequest { service: service.into() })
    }

    #[test]
    fn what_was_compiled_in_can_be_described() {
        let services = Services::new(drain().1).unwrap();
        for path in [
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(services.recognizes(path), "{path}");
        }
        for path in ["/lf.a2a.v1.A2AService/GetTask", "/grpc.health.v1.Healthy/Check", "/", ""] {
            assert!(!services.recognizes(path), "{path}");
        }
        assert!(super::super::SERVICE.trim_matches('/') == A2A_SERVICE);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_well_until_it_drains() {
        let (trigger, drain) = drain();
        let health = Health(drain.clone());
        let check = async |service: &str| {
            let answer = health.check(question(service)).await;
            answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
        };
        assert_eq!(check("").await, Ok(ServingStatus::Serving));
        assert_eq!(check(A2A_SERVICE).await, Ok(ServingStatus::Serving));
        assert_eq!(check("a2a.v1.A2AService").await, Err(tonic::Code::NotFound));
        let mut watched = health.watch(question(A2A_SERVICE)).await.unwrap().into_inner();
        let mut unknown = health.watch(question("x")).await.unwrap().into_inner();
        let unknown = unknown.next().await.unwrap().unwrap().status();
        assert_eq!(unknown, ServingStatus::ServiceUnknown);
        assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
        assert!(watched.next().now_or_never().is_none());
        let _end = crate::task::spawn(trigger.pull(std::time::Duration::from_secs(25)));
        assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(check("").await, Ok(ServingStatus::NotServing));
        assert!(watched.next().now_or_never().is_none());
    }
}
