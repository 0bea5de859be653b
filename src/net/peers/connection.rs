//! One HTTP/2 connection to a peer: many calls at once, each a stream of its own.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri, uri};
use http_body::Frame;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::task::AbortOnDropHandle;

use super::last_words::{Heard, LastWords};
use super::{Key, Settings, Unreachable};
use crate::identity::{Pattern, SpiffeId};
use crate::net::gather::Gathered;
use crate::net::listen::tune;
use crate::net::{
    CONNECTION_WINDOW, FRAME_MAX, HEADERS_MAX, PING_INTERVAL, PING_TIMEOUT, STREAMS_MAX, describe,
};
use crate::task;
use crate::tls::{self, Refusal, Tls};

/// How long to wait for the reason of a connection's end once a call on it has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection to a peer. It stands as long as somebody holds a clone.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    requests: SendRequest<Bytes>,
    peer: SpiffeId,
    authority: Authority,
    /// Does the work; its end is the connection's.
    driver: Shared<BoxFuture<'static, Option<Unreachable>>>,
}

/// Why a request got no response.
#[derive(Debug)]
pub enum Unanswered {
    /// The connection could not take it, or the peer has not looked at it: it was surely not processed.
    NeverSent(Unreachable),
    /// It may have been processed.
    Lost(h2::Error),
}

/// The body of a response. Dropped before its end, it ends the call at the peer.
#[derive(Debug)]
pub struct Answer(RecvStream);

impl Connection {
    /// Connects to the address and the name of `key`, where an identity that `expected` matches must answer.
    pub(super) async fn make(
        tls: Tls,
        settings: Settings,
        key: Key,
        expected: Pattern,
    ) -> Result<Self, Unreachable> {
        let name = key.name.authority();
        let io = timeout(settings.connect, handshake(&tls, &key, &name, expected))
            .await
            .map_err(|_| silent(key.address, "no answer in time"))??;
        let peer = tls::peer(io.get_ref().1.peer_certificates())?.id;
        let authority = name.try_into().map_err(|error: uri::InvalidUri| silent(key.address, error))?;
        let (io, heard) = LastWords::new(io);
        let io = Gathered::new(io);
        let (requests, connection) = client::Builder::new()
            .enable_push(false)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_window_size(settings.stream_window)
            .max_frame_size(FRAME_MAX)
            .initial_max_send_streams(STREAMS_MAX as usize)
            .max_header_list_size(HEADERS_MAX)
            .handshake(io.clone())
            .await
            .map_err(|error| unreachable(key.address, &error))?;
        let driver: AbortOnDropHandle<_> = task::spawn(drive(io, connection, heard, key.address));
        let driver = driver.map(|ended| ended.ok().flatten()).boxed().shared();
        Ok(Self(Arc::new(Inner { requests, peer, authority, driver })))
    }

    /// Whether it can take requests, as far as is known.
    pub(super) fn stands(&self) -> bool {
        let mut requests = self.0.requests.clone();
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        self.0.driver.peek().is_none() && !matches!(ready, Poll::Ready(Err(_)))
    }

    /// Posts to a path of the peer: first the headers, then the pieces of the body.
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
        parts.scheme = Some(Scheme::HTTPS);
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
            return Unanswered::NeverSent(Unreachable::Silent("the peer refused the stream".into()));
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
        f.debug_struct("Connection")
            .field("peer", &self.0.peer)
            .field("authority", &self.0.authority)
            .finish_non_exhaustive()
    }
}

type Stream = Gathered<LastWords<TlsStream<TcpStream>>>;

/// Does the connection's work until its end; the reason, if it is not in order.
async fn drive(
    io: Stream,
    mut connection: client::Connection<Stream, Bytes>,
    heard: Heard,
    address: SocketAddr,
) -> Option<Unreachable> {
    let pings = connection.ping_pong();
    let silence = async {
        match pings {
            Some(pings) => silence(pings).await,
            // They are taken only once.
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = io.drive(connection) => ended.err().map(|error| unreachable(address, &error)),
        () = silence => Some(silent(address, "no answer to a PING in time")),
    };
    heard.get().map(|error| unreachable(address, error)).or(ended)
}

/// Waits until the peer leaves a PING unanswered.
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

async fn handshake(
    tls: &Tls,
    key: &Key,
    name: &str,
    expected: Pattern,
) -> Result<TlsStream<TcpStream>, Unreachable> {
    let stream = TcpStream::connect(key.address).await.and_then(|stream| tune(&stream).map(|()| stream));
    let stream = stream.map_err(|error| unreachable(key.address, &error))?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| silent(key.address, error))?;
    let connector = TlsConnector::from(tls.client(expected, &[b"h2"]));
    let io = connector.connect(name, stream).await.map_err(|error| unreachable(key.address, &error))?;
    if io.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(silent(key.address, "no HTTP/2 there"));
    }
    Ok(io)
}

fn silent(address: SocketAddr, reason: impl fmt::Display) -> Unreachable {
    Unreachable::Silent(format!("{address}: {reason}").into())
}

fn unreachable(address: SocketAddr, error: &(dyn Error + 'static)) -> Unreachable {
    if let Some(refusal) = Refusal::of(error) {
        Unreachable::Refused(refusal)
    } else if tls::is_rejection(error) {
        Unreachable::Rejected(format!("{address}: {}", describe(error)).into())
    } else {
        silent(address, describe(error))
    }
}

/// Whether the peer said that it has not looked at the request: it refused the stream, or its GOAWAY leaves it out
/// (RFC 9113 §8.7). A stream that GOAWAY does not leave out never hears of it.
fn is_refused_stream(error: &h2::Error) -> bool {
    let left_out = error.is_go_away() && error.is_remote();
    left_out || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}
