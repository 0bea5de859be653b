//! Serving HTTP on a listener: connections are accepted side by side, and end in order when the house drains.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::body::Body;

use super::gather::Gathered;
use super::listen::tune;
use super::{BoxError, CONNECTION_WINDOW, FRAME_MAX, HEADERS_MAX, PING_INTERVAL, PING_TIMEOUT, STREAMS_MAX};
use crate::drain::{Drain, Stage};
use crate::tls::Belief;

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How many requests may be given up before they were looked at: callers that leave in crowds are no attack at a door where
/// every peer is known by its certificate, or is of this machine.
const RESETS_MAX: usize = 10_000;

/// How long anybody may take to send a request's head by HTTP/1.1: it fits into a packet or two.
const ANYBODYS_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of anybody's head. A service account's token, the longest thing in one, has some 2 KiB.
const ANYBODYS_HEADERS_MAX: u32 = 16 << 10;
/// The same for HTTP/1.1, where it is the room for whatever is read.
const ANYBODYS_BUFFER: usize = 32 << 10;
/// How many streams anybody may have open on a connection: the fewest that RFC 9113 recommends.
const ANYBODYS_STREAMS_MAX: u32 = 100;
/// What anybody may send ahead, in bytes: on a stream as much as HTTP/2 allows unasked, on the whole connection twice that,
/// so that a body that nobody reads yet does not hold up all others.
const ANYBODYS_STREAM_WINDOW: u32 = 64 << 10;
const ANYBODYS_CONNECTION_WINDOW: u32 = 2 * ANYBODYS_STREAM_WINDOW;

/// How long to wait before accepting again when the machine has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that was let in.
#[derive(Debug)]
pub struct Accepted<I, S> {
    /// Its bytes.
    pub io: I,
    /// What answers on it.
    pub service: S,
    /// Who is at its other end, where that is known: once it is not believed any more, the connection ends.
    pub peer: Option<Belief>,
}

impl<I, S> Accepted<I, S> {
    /// A connection of which nobody asks who is at its other end.
    pub fn new(io: I, service: S) -> Self {
        Self { io, service, peer: None }
    }
}

/// Who comes to a door.
#[derive(Clone, Copy, Debug)]
pub enum Callers {
    /// Peers that prove who they are, or the agent of this pod. They may have as much under way as they like.
    Known {
        /// How many bytes may be sent ahead on each stream.
        stream_window: u32,
    },
    /// Whoever can reach it; [`super::open::Door`] bounds what is not of one connection.
    Anybody,
}

/// How HTTP is spoken on a listener.
#[derive(Clone, Debug)]
pub struct Http(auto::Builder<TokioExecutor>);

impl Http {
    /// HTTP/1.1 and HTTP/2, as they are spoken with those callers.
    pub fn new(callers: Callers) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new());
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        match callers {
            Callers::Known { stream_window } => {
                http.http1().header_read_timeout(HEAD_TIMEOUT);
                http.http2()
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .initial_stream_window_size(stream_window)
                    .max_frame_size(FRAME_MAX)
                    .max_concurrent_streams(STREAMS_MAX)
                    .max_header_list_size(HEADERS_MAX)
                    .max_pending_accept_reset_streams(RESETS_MAX);
            }
            // Frames and resets are as few as the library has them.
            Callers::Anybody => {
                http.http1().header_read_timeout(ANYBODYS_HEAD_TIMEOUT).max_buf_size(ANYBODYS_BUFFER);
                http.http2()
                    .initial_connection_window_size(ANYBODYS_CONNECTION_WINDOW)
                    .initial_stream_window_size(ANYBODYS_STREAM_WINDOW)
                    .max_concurrent_streams(ANYBODYS_STREAMS_MAX)
                    .max_header_list_size(ANYBODYS_HEADERS_MAX);
            }
        }
        Self(http)
    }

    /// Accepts connections for ever, or while the house's end has come no further than `last`. `accept` makes of each socket
    /// a stream and the service that answers on it, or `None` if it is turned away, which it has reported itself.
    pub async fn serve<A, F, I, S>(self, listener: TcpListener, drain: Drain, last: Option<Stage>, accept: A)
    where
        A: Fn(TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = Option<Accepted<I, S>>> + Send,
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send,
    {
        let end = drain.clone();
        accepting(listener, end, last, move |stream| {
            let (http, drain, accept) = (self.clone(), drain.clone(), accept.clone());
            async move {
                let Some(Accepted { io, service, peer }) = accept(stream).await else { return };
                let leave = Notify::new();
                let lost = async {
                    match peer {
                        Some(peer) => Box::new(peer.lost(|| leave.notify_one()).await) as _,
                        None => std::future::pending().await,
                    }
                };
                http.connection((io, service), drain, &leave, lost).await;
            }
        })
        .await;
    }

    /// Serves one connection. Its other end is told to leave once the house ends or `leave` says so, and hears no more once
    /// it is `lost`, which tells why.
    pub(super) async fn connection<I, S>(
        &self,
        (io, service): (I, S),
        mut drain: Drain,
        leave: &Notify,
        lost: impl Future<Output = BoxError>,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send + 'static,
    {
        // Who connects while the house fades is still served, and told to leave only when it ends.
        let since = drain.stage();
        // An answer is under way until its last byte is written. Nobody waits for who comes at the very end.
        let _busy = (since < Stage::Ending).then(|| drain.busy());
        tokio::pin!(lost);
        let io = Gathered::new(io);
        let connection = self.0.serve_connection(TokioIo::new(io.clone()), service);
        tokio::pin!(connection);
        let mut leaving = false;
        let ended = loop {
            tokio::select! {
                ended = io.drive(connection.as_mut()) => break ended,
                () = drain.past(since), if !leaving => {}
                () = leave.notified() => {}
                error = &mut lost => break Err(error),
            }
            leaving = true;
            connection.as_mut().graceful_shutdown();
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "A connection broke");
        }
    }
}

/// Accepts connections for ever, or while the house's end has come no further than `last`, and has each served side by side.
pub(super) async fn accepting<F>(
    listener: TcpListener,
    mut end: Drain,
    last: Option<Stage>,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let over = async {
        match last {
            Some(last) => end.past(last).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => break,
            accepted = accept_one(&listener) => drop(connections.spawn(serve(accepted))),
            Some(_) = connections.join_next() => {}
        }
    }
    // Who connects now is refused, and knows that nothing was processed.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept_one(listener: &TcpListener) -> TcpStream {
    loop {
        let accepted: io::Result<TcpStream> = async {
            let (stream, _) = listener.accept().await?;
            tune(&stream)?;
            Ok(stream)
        }
        .await;
        match accepted {
            Ok(stream) => return stream,
            Err(error) => {
                tracing::debug!(%error, "Accepting failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
