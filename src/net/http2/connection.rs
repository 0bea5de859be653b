//! One HTTP/2 connection: many calls at once, each a stream of its own.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Unreachable;
use crate::net::gather::Gathered;
use crate::net::{
    CONNECTION_WINDOW, FRAME_MAX, HEADERS_MAX, PING_INTERVAL, PING_TIMEOUT, STREAMS_MAX, describe,
};
use crate::task;
use crate::tls::{Belief, Refusal};

/// How long to wait for the reason of a connection's end once a call on it has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection that takes calls. It stands as long as somebody holds a clone.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    requests: SendRequest<Bytes>,
    scheme: Scheme,
    authority: Authority,
    /// Whether it takes no new calls, because a certificate of either end is out of date.
    fading: Arc<AtomicBool>,
    /// Does the work; its end is the connection's.
    driver: Shared<BoxFuture<'static, Option<Unreachable>>>,
}

/// How a connection is spoken on.
#[derive(Debug)]
pub(in crate::net) struct Manner {
    /// What requests say about the connection.
    pub(in crate::net) scheme: Scheme,
    /// Whom requests ask.
    pub(in crate::net) authority: Authority,
    /// The window of each stream, in bytes.
    pub(in crate::net) stream_window: u32,
    /// Whether the other end is asked from time to time if it is alive.
    pub(in crate::net) pings: bool,
}

/// Why a request got no response.
#[derive(Debug)]
pub enum Unanswered {
    /// The connection could not take it, or the other end has not looked at it: it was surely not processed.
    NeverSent(Unreachable),
    /// It may have been processed.
    Lost(h2::Error),
}

/// The body of a response. Dropped before its end, it ends the call at the other end.
#[derive(Debug)]
pub struct Answer(RecvStream);

impl Connection {
    /// Speaks HTTP/2 over `io`, with `peer` if it is known who that is. When that ends, `explain` makes of the error, if
    /// there is one, why nobody can be talked to.
    pub(in crate::net) async fn over<I>(
        io: I,
        manner: Manner,
        peer: Option<Belief>,
        explain: impl FnOnce(Option<&(dyn Error + 'static)>) -> Option<Unreachable> + Send + 'static,
    ) -> Result<Self, h2::Error>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Manner { scheme, authority, stream_window, pings } = manner;
        let io = Gathered::new(io);
        let (requests, connection) = client::Builder::new()
            .enable_push(false)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_window_size(stream_window)
            .max_frame_size(FRAME_MAX)
            .initial_max_send_streams(STREAMS_MAX as usize)
            .max_header_list_size(HEADERS_MAX)
            .handshake(io.clone())
            .await?;
        let fading = Arc::new(AtomicBool::new(false));
        let fades = Arc::clone(&fading);
        let driver: AbortOnDropHandle<_> = task::spawn(async move {
            tokio::select! {
                ended = drive(io, connection, pings) => explain(ended.as_deref().map(|error| error as _)),
                // Calls under way may have been processed: it is no refusal of these.
                refusal = lost(peer, || fades.store(true, Ordering::Relaxed)) => {
                    Some(Unreachable::Silent(format!("not believed any more: {refusal}").into()))
                }
            }
        });
        let driver = driver.map(|ended| ended.ok().flatten()).boxed().shared();
        Ok(Self(Arc::new(Inner { requests, scheme, authority, fading, driver })))
    }

    /// Whether it can take requests, as far as is known.
    pub(super) fn stands(&self) -> bool {
        let mut requests = self.0.requests.clone();
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        let fading = self.0.fading.load(Ordering::Relaxed);
        !fading && self.0.driver.peek().is_none() && !matches!(ready, Poll::Ready(Err(_)))
    }

    /// Posts to a path: first the headers, then the pieces of the body.
    ///
    /// # Errors
    /// If no response came.
    pub async fn send(
        &self,
        path: PathAndQuery,
        headers: HeaderMap,
        body: impl Iterator<Item = Bytes>,
    ) -> Result<Response<Answer>, Unanswered> {
        let requests = self.0.requests.clone().ready().await;
        let mut requests = match requests {
            Ok(requests) => requests,
            Err(error) => return Err(self.unanswered(error, true).await),
        };
        let (response, mut stream) = match requests.send_request(self.request(path, headers), false) {
            Ok(sent) => sent,
            Err(error) => return Err(self.unanswered(error, true).await),
        };
        let mut pieces = body.peekable();
        while let Some(piece) = pieces.next() {
            // A stream that takes no more has ended, and its response says why.
            if stream.send_data(piece, pieces.peek().is_none()).is_err() {
                break;
            }
        }
        match response.await {
            Ok(response) => Ok(response.map(Answer)),
            Err(error) => Err(self.unanswered(error, false).await),
        }
    }

    fn request(&self, path: PathAndQuery, headers: HeaderMap) -> Request<()> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.0.scheme.clone());
        parts.authority = Some(self.0.authority.clone());
        parts.path_and_query = Some(path);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        // All three parts are there.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }

    /// What an error means to a request that was `never_sent`, or may have been.
    async fn unanswered(&self, error: h2::Error, never_sent: bool) -> Unanswered {
        if is_refused_stream(&error) {
            return Unanswered::NeverSent(Unreachable::Silent("the stream was refused".into()));
        }
        // An error of one stream says nothing about the connection.
        let ended = if never_sent || !error.is_reset() {
            timeout(LAST_WORDS, self.0.driver.clone()).await.ok().flatten()
        } else {
            None
        };
        match ended {
            // Who refuses our certificate has not read what we sent behind it.
            Some(reason @ (Unreachable::Refused(_) | Unreachable::Rejected(_))) => {
                Unanswered::NeverSent(reason)
            }
            Some(reason) if never_sent => Unanswered::NeverSent(reason),
            None if never_sent => Unanswered::NeverSent(Unreachable::Silent(describe(&error).into())),
            _ => Unanswered::Lost(error),
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.0;
        match ready!(stream.poll_data(cx)).transpose()? {
            Some(data) => {
                // Who reads on lets the peer send on.
                stream.flow_control().release_capacity(data.len())?;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None => stream.poll_trailers(cx).map(|trailers| Some(trailers.transpose()?.map(Frame::trailers))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("authority", &self.0.authority).finish_non_exhaustive()
    }
}

/// Waits until the peer is not believed any more; for ever, if nobody asks who it is.
async fn lost(peer: Option<Belief>, fade: impl FnOnce()) -> Refusal {
    match peer {
        Some(peer) => peer.lost(fade).await,
        None => std::future::pending().await,
    }
}

/// Does the connection's work until its end; the error, if it is not in order.
async fn drive<I>(
    io: Gathered<I>,
    mut connection: client::Connection<Gathered<I>, Bytes>,
    pings: bool,
) -> Option<Box<dyn Error + Send + Sync>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let pings = connection.ping_pong().filter(|_| pings);
    let silence = async {
        match pings {
            Some(pings) => silence(pings).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = io.drive(connection) => ended.err().map(Into::into),
        () = silence => Some(io::Error::new(io::ErrorKind::TimedOut, "no answer to a PING in time").into()),
    }
}

/// Waits until the other end leaves a PING unanswered.
async fn silence(mut pings: PingPong) {
    loop {
        sleep(PING_INTERVAL).await;
        match timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection has ended, and says so itself.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// Whether the other end said that it has not looked at the request: it refused the stream, or its GOAWAY leaves it out
/// (RFC 9113 §8.7). A stream that GOAWAY does not leave out never hears of it.
fn is_refused_stream(error: &h2::Error) -> bool {
    let left_out = error.is_go_away() && error.is_remote();
    left_out || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}
