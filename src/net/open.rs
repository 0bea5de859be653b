//! Doors that anybody may knock at: how many may be inside, how much memory their requests and answers may take, and for how
//! long. Who comes there has shown nothing of himself, so nothing that he does may cost the others more than that.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;
use prometheus_client::metrics::{counter::Counter, family::Family};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tonic::body::Body;
use tonic::{Code, Status};

use super::crowd::{Crowd, Place, Places};
use super::serve::{Accepted, Callers, Http, accepting};
use crate::drain::{Drain, Stage};

mod memory;
mod pace;

use self::memory::{Kept, Memory, Room, Spent};
use self::pace::{Mark, Overdue, Pace};

/// How long a request may take, from its head to the beginning of its answer. What is behind these doors gives up earlier: the
/// identity service may wait 17 s for the API server, the webhook 10 s for a body. Sidecars wait 20 s.
pub const REQUEST: Duration = Duration::from_secs(20);
/// What an answer counts whose size nobody knows before: those of gRPC, which are certificates and bundles.
const ANSWER_UNSIZED: usize = 16 << 10;
/// How often is told that somebody is turned away. A counter counts each.
const TELL: Duration = Duration::from_mins(1);

/// How much of a process a door may take.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// The connections.
    pub places: Places,
    /// The most bytes of all requests and answers that are under way.
    pub memory: usize,
    /// The most of them that come from one address.
    pub memory_each: usize,
}

/// What is counted of all open doors. A clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Family<[(&'static str, &'static str); 2], Counter>);

/// A door, which may be served on several listeners. Clones are the same door.
#[derive(Clone, Debug)]
pub struct Door {
    http: Http,
    crowd: Crowd<Memory>,
    memory: Memory,
    memory_each: usize,
    tally: Tally,
}

/// Who is turned away at a door.
#[derive(Clone, Debug)]
struct Tally {
    door: &'static str,
    metrics: Metrics,
    told: Arc<Mutex<Option<Instant>>>,
}

/// Why somebody is turned away.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// There are too many connections.
    Crowded,
    /// Requests and answers take too much memory.
    Busy,
    /// A request took too long.
    Slow,
    /// An answer was not taken.
    Stuck,
}

/// Answers the requests of one connection.
struct Visit<S> {
    service: S,
    room: Room,
    pace: Arc<Pace>,
    tally: Tally,
}

impl Metrics {
    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_door_refusals",
            "Who was turned away at a door that anybody may knock at, by door and reason",
            self.0.clone(),
        );
    }
}

impl Door {
    /// A door of that name.
    pub fn new(door: &'static str, bounds: Capacity, metrics: &Metrics) -> Self {
        let tally = Tally { door, metrics: metrics.clone(), told: Arc::default() };
        Self {
            http: Http::new(Callers::Anybody),
            crowd: Crowd::new(bounds.places),
            memory: Memory::new(bounds.memory),
            memory_each: bounds.memory_each,
            tally,
        }
    }

    /// Accepts connections as [`Http::serve`] does, within the bounds. Who finds no place is not listened to.
    pub async fn serve<A, F, I, S>(self, listener: TcpListener, drain: Drain, last: Option<Stage>, accept: A)
    where
        A: Fn(TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = Option<Accepted<I, S>>> + Send,
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
    {
        let end = drain.clone();
        accepting(listener, end, last, move |stream| {
            let (door, drain, accept) = (self.clone(), drain.clone(), accept.clone());
            async move {
                // A caller whose address is not known is gone already.
                let Ok(address) = stream.peer_addr() else { return };
                let each = door.memory_each;
                let Some(place) = door.crowd.enter(address.ip(), || Memory::new(each)) else {
                    return door.tally.count(Cause::Crowded);
                };
                if let Some(accepted) = accept(stream).await {
                    door.converse(&place, accepted, drain).await;
                }
            }
        })
        .await;
    }

    /// Serves one connection to its end.
    async fn converse<I, S>(&self, place: &Place<Memory>, accepted: Accepted<I, S>, drain: Drain)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send + 'static,
    {
        let (pace, leave) = (Arc::new(Pace::new(Instant::now())), Notify::new());
        let room = Room { all: self.memory.clone(), own: place.common.clone() };
        let visit =
            Visit { service: accepted.service, room, pace: Arc::clone(&pace), tally: self.tally.clone() };
        let overdue = async {
            let overdue = pace.overdue(&leave).await;
            if matches!(overdue, Overdue::Unfinished) {
                self.tally.count(Cause::Stuck);
            }
            Box::new(overdue) as _
        };
        self.http.connection((accepted.io, visit), drain, &leave, overdue).await;
    }
}

impl<S> Service<Request<Incoming>> for Visit<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mark = self.pace.begin(Instant::now());
        let (tally, room) = (self.tally.clone(), self.room.clone());
        let grpc = is_grpc(request.headers());
        let spent = Spent::default();
        if !spent.add(&room, head_size(&request)) {
            return ready(Ok(tally.refuse(Cause::Busy, grpc))).boxed();
        }
        let answered = self.service.call(request.map(|body| Body::new(spent.measure(body, &room))));
        async move {
            let answered = timeout(REQUEST, answered).await;
            if spent.is_exceeded() {
                return Ok(tally.refuse(Cause::Busy, grpc));
            }
            let Ok(Ok(response)) = answered else { return Ok(tally.refuse(Cause::Slow, grpc)) };
            // The request is gone by now, as far as it is not in the answer.
            drop(spent);
            Ok(keep(response, &room, mark).unwrap_or_else(|| tally.refuse(Cause::Busy, grpc)))
        }
        .boxed()
    }
}

/// An answer that counts until its last byte is written; nothing if there is no memory for it.
fn keep(response: Response<Body>, room: &Room, mark: Mark) -> Option<Response<Body>> {
    let size = response.body().size_hint().exact();
    let size = size.map_or(ANSWER_UNSIZED, |size| size.try_into().unwrap_or(usize::MAX));
    let held = room.hold(size)?;
    Some(response.map(|body| Body::new(Kept::new(body, (held, mark)))))
}

impl Tally {
    fn count(&self, cause: Cause) {
        let reason = cause.word();
        self.metrics.0.get_or_create(&[("door", self.door), ("reason", reason)]).inc();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if told.is_none_or(|told| now.duration_since(told) >= TELL) {
            *told = Some(now);
            tracing::warn!(
                door = self.door,
                reason,
                "Callers are turned away; they are counted in the metrics"
            );
        }
    }

    fn refuse(&self, cause: Cause, grpc: bool) -> Response<Body> {
        self.count(cause);
        let (status, code, text) = match cause {
            Cause::Slow => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "the request took too long"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "too much at once: try again"),
        };
        if grpc {
            return Status::new(code, text).into_http();
        }
        let mut response = Response::new(Body::new(Full::from(format!("{text}\n"))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

impl Cause {
    fn word(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Busy => "busy",
            Self::Slow => "slow",
            Self::Stuck => "stuck",
        }
    }
}

impl<S> fmt::Debug for Visit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("tally", &self.tally).finish_non_exhaustive()
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What a head takes, as HTTP/2 counts it: 32 bytes for each header beside its letters.
fn head_size<B>(request: &Request<B>) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    authority + uri.path().len() + uri.query().map_or(0, str::len) + headers.sum::<usize>()
}

#[cfg(test)]
mod tests;
