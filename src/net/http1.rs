//! Calling plain HTTP/1.1, as the agents of this pod speak it. A connection is driven by the request that is on it, within
//! the task of the call: nobody is woken on the way. In between it rests in a pool.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, future};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tower::ServiceExt as _;

use super::BoxError;
use crate::task;

/// How long a connection may rest: uvicorn and Node close theirs after five seconds.
const REST: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A client of plain HTTP/1.1. Clones share its connections.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    connector: HttpConnector,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    /// The one that has rested longest first. They are few: a list is looked through faster than a host is hashed.
    resting: Vec<Resting>,
    /// Ends the rest of those that nobody has used.
    reaper: Option<AbortOnDropHandle<()>>,
}

struct Resting {
    authority: Authority,
    line: Box<Line>,
    since: Instant,
}

/// A connection with both its ends: the one that takes requests, and the one that does the work when it is polled.
struct Line {
    requests: http1::SendRequest<Body>,
    /// `None` once it has ended.
    connection: Option<http1::Connection<TokioIo<TcpStream>, Body>>,
}

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// There is no connection to be had: it was surely not sent.
    #[error("cannot connect")]
    NeverSent(#[source] BoxError),
    /// It may have been processed.
    #[error(transparent)]
    Lost(hyper::Error),
}

/// The body of a response. At its end it leaves the connection for others; dropped before, it closes it.
pub struct Answer {
    /// `None` once it was dropped.
    body: Option<Incoming>,
    /// `None` once the connection rests, or has ended.
    line: Option<Box<Line>>,
    client: Client,
    authority: Authority,
}

/// What connects to agents, and gives up after `connect`.
pub(super) fn connector(connect: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect));
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector
}

impl Client {
    /// A client that gives up connecting after `connect`.
    #[must_use]
    pub fn new(connect: Duration) -> Self {
        Self(Arc::new(Shared { connector: connector(connect), pool: Mutex::default() }))
    }

    /// Sends a request to the host of its URL.
    ///
    /// # Errors
    /// If no response comes.
    pub async fn request(&self, mut request: Request<Body>) -> Result<Response<Answer>, Unanswered> {
        let uri = request.uri().clone();
        let authority = uri.authority().cloned();
        let authority = authority.ok_or_else(|| Unanswered::NeverSent("the URL names no host".into()))?;
        prepare(&mut request, &authority)?;
        loop {
            let rested = self.rested(&authority);
            let is_new = rested.is_none();
            let mut line = match rested {
                Some(line) => line,
                None => Box::pin(self.connect(uri.clone())).await.map_err(Unanswered::NeverSent)?,
            };
            match line.send(request).await {
                Ok(response) => {
                    let client = self.clone();
                    let answer = |body| Answer { body: Some(body), line: Some(line), client, authority };
                    return Ok(response.map(answer));
                }
                Err(mut failed) => match failed.take_message() {
                    // The agent has closed a connection while it rested; another one may stand.
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) => return Err(Unanswered::NeverSent(failed.into_error().into())),
                    None => return Err(Unanswered::Lost(failed.into_error())),
                },
            }
        }
    }

    async fn connect(&self, uri: Uri) -> Result<Box<Line>, BoxError> {
        let io = self.0.connector.clone().oneshot(uri).await?;
        let (requests, connection) = http1::handshake(io).await?;
        Ok(Box::new(Line { requests, connection: Some(connection) }))
    }

    /// The connection that has rested for the shortest time. The agent may have closed it.
    fn rested(&self, authority: &Authority) -> Option<Box<Line>> {
        let resting = &mut self.0.pool().resting;
        let last = resting.iter().rposition(|resting| resting.authority == *authority)?;
        let Resting { line, since, .. } = resting.remove(last);
        (since.elapsed() < REST).then_some(line)
    }

    fn rest(&self, authority: Authority, line: Box<Line>) {
        let mut pool = self.0.pool();
        pool.resting.push(Resting { authority, line, since: Instant::now() });
        pool.reaper.get_or_insert_with(|| task::spawn(reap(Arc::downgrade(&self.0))));
    }
}

impl Shared {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what has rested for too long, as long as there is anything.
async fn reap(shared: Weak<Shared>) {
    loop {
        sleep(REST).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut pool = shared.pool();
        pool.resting.retain(|resting| resting.since.elapsed() < REST);
        if pool.resting.is_empty() {
            pool.reaper = None;
            return;
        }
    }
}

impl Line {
    /// Does what can be done now; whether the connection stands.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        // Whoever waits for a response learns from it why the connection has ended.
        if self.connection.as_mut().is_some_and(|connection| connection.poll_unpin(cx).is_ready()) {
            self.connection = None;
        }
        self.connection.is_some()
    }

    async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut response = pin!(self.requests.try_send_request(request));
        future::poll_fn(|cx| {
            self.drive(cx);
            response.as_mut().poll(cx)
        })
        .await
    }
}

impl Answer {
    /// Lets the connection rest, if it can take another request.
    fn rest(&mut self, cx: &mut Context<'_>) {
        if let Some(mut line) = self.line.take()
            && line.drive(cx)
            && line.requests.is_ready()
        {
            self.client.rest(self.authority.clone(), line);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let mut frame = Pin::new(&mut *body).poll_frame(cx);
        if let (Poll::Pending, Some(line)) = (&frame, &mut this.line) {
            line.drive(cx);
            frame = Pin::new(&mut *body).poll_frame(cx);
        }
        if matches!(frame, Poll::Ready(None)) {
            this.rest(cx);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // What has come of a body that nobody reads is stepped over.
        self.body = None;
        self.rest(&mut Context::from_waker(Waker::noop()));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("body", &self.body).finish_non_exhaustive()
    }
}

impl Unanswered {
    /// Whether the request was surely not sent.
    pub fn is_never_sent(&self) -> bool {
        matches!(self, Self::NeverSent(_))
    }
}

/// Names the host in a header, and leaves only the path in the request's first line.
fn prepare(request: &mut Request<Body>, authority: &Authority) -> Result<(), Unanswered> {
    let never_sent = |error: http::Error| Unanswered::NeverSent(error.into());
    if !request.headers().contains_key(header::HOST) {
        let host = match authority.port_u16() {
            Some(80) => authority.host(),
            _ => authority.as_str().rsplit('@').next().unwrap_or_default(),
        };
        let host = HeaderValue::try_from(host).map_err(|error| never_sent(error.into()))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use hyper::service::service_fn;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// An agent that says how many connections it has, and when one of them ends. At `/endless` it never comes to an end.
    struct Agent {
        address: SocketAddr,
        connections: Arc<AtomicUsize>,
        ended: mpsc::UnboundedReceiver<()>,
        _serving: AbortOnDropHandle<()>,
    }

    impl Agent {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let connections = Arc::<AtomicUsize>::default();
            let (ended_tx, ended) = mpsc::unbounded_channel();
            let counted = Arc::clone(&connections);
            let serving = task::spawn(async move {
                let mut tasks = Vec::new();
                while let Ok((socket, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let ended = ended_tx.clone();
                    tasks.push(task::spawn(async move {
                        let served = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(socket), service_fn(answer));
                        drop(served.await);
                        ended.send(()).ok();
                    }));
                }
            });
            Self { address, connections, ended, _serving: serving }
        }

        fn get(&self, path: &str) -> Request<Body> {
            Request::get(format!("http://{}{path}", self.address)).body(Body::empty()).unwrap()
        }

        fn connections(&self) -> usize {
            self.connections.load(Ordering::Relaxed)
        }
    }

    async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"piece")));
        Ok(Response::new(match request.uri().path() {
            "/endless" => Body::new(StreamBody::new(stream::iter([piece()]).chain(stream::pending()))),
            "/pieces" => Body::new(StreamBody::new(stream::iter([piece(), piece()]))),
            path => Body::new(Full::from(format!("{path} at {:?}", request.headers()[header::HOST]))),
        }))
    }

    async fn text(answer: Response<Answer>) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    #[tokio::test]
    async fn one_request_after_the_other_goes_over_the_same_connection() {
        let agent = Agent::start().await;
        let client = Client::new(Duration::from_secs(2));
        for _ in 0..3 {
            let answer = client.request(agent.get("/a?b")).await.unwrap();
            assert_eq!(text(answer).await, format!("/a at \"{}\"", agent.address));
            assert_eq!(text(client.request(agent.get("/pieces")).await.unwrap()).await, "piecepiece");
            // Nobody reads this one.
            client.request(agent.get("/")).await.unwrap();
        }
        assert_eq!(agent.connections(), 1);
    }

    #[tokio::test]
    async fn requests_at_the_same_time_have_a_connection_each_and_leave_both() {
        let agent = Agent::start().await;
        let client = Client::new(Duration::from_secs(2));
        for _ in 0..3 {
            let one = client.request(agent.get("/a")).await.unwrap();
            let other = client.request(agent.get("/b")).await.unwrap();
            assert!(text(one).await.starts_with("/a") && text(other).await.starts_with("/b"));
        }
        assert_eq!(agent.connections(), 2);
    }

    #[tokio::test]
    async fn who_leaves_in_the_midst_of_a_body_closes_the_connection() {
        let mut agent = Agent::start().await;
        let client = Client::new(Duration::from_secs(2));
        let mut endless = client.request(agent.get("/endless")).await.unwrap().into_body();
        assert_eq!(endless.frame().await.unwrap().unwrap().into_data().unwrap(), "piece");
        drop(endless);
        agent.ended.recv().await.unwrap();
        assert!(client.0.pool().resting.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_has_rested_for_too_long_is_closed() {
        let mut agent = Agent::start().await;
        let client = Client::new(Duration::from_secs(2));
        text(client.request(agent.get("/")).await.unwrap()).await;
        tokio::time::pause();
        agent.ended.recv().await.unwrap();
        assert!(client.0.pool().resting.is_empty());
    }

    #[tokio::test]
    async fn nobody_at_home_is_told_as_never_sent() {
        let agent = Agent::start().await;
        let request = agent.get("/");
        drop(agent);
        let error = Client::new(Duration::from_secs(2)).request(request).await.unwrap_err();
        assert!(error.is_never_sent(), "{error:?}");
        let nowhere = Request::get("/path").body(Body::empty()).unwrap();
        let error = Client::new(Duration::from_secs(2)).request(nowhere).await.unwrap_err();
        assert!(error.is_never_sent(), "{error:?}");
    }
}
