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
use super::{CONNECTION_WINDOW, FRAME_MAX, HEADERS_MAX, PING_INTERVAL, PING_TIMEOUT, STREAMS_MAX};
use crate::drain::{Drain, Stage};
use crate::tls::Belief;

/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How many requests may be given up before they were looked at: callers that leave in crowds are no attack here, where
/// every peer is known by its certificate.
const RESETS_MAX: usize = 10_000;
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

/// How HTTP is spoken on a listener.
#[derive(Clone, Debug)]
pub struct Http(auto::Builder<TokioExecutor>);

impl Http {
    /// HTTP/1.1 and HTTP/2 with a window of so many bytes for each stream.
    pub fn new(stream_window: u32) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        http.http2()
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(stream_window)
            .max_frame_size(FRAME_MAX)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_MAX)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
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
        let mut connections = JoinSet::new();
        let mut end = drain.clone();
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
                accepted = accept_one(&listener) => {
                    let (http, drain, accept) = (self.clone(), drain.clone(), accept.clone());
                    connections.spawn(async move {
                        if let Some(accepted) = accept(accepted).await {
                            http.connection(accepted, drain).await;
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        // Who connects now is refused, and knows that nothing was processed.
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn connection<I, S>(self, accepted: Accepted<I, S>, mut drain: Drain)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send + 'static,
    {
        // Who connects while the house fades is still served, and told to leave only when it ends.
        let since = drain.stage();
        // An answer is under way until its last byte is written. Nobody waits for who comes at the very end.
        let _busy = (since < Stage::Ending).then(|| drain.busy());
        let Accepted { io, service, peer } = accepted;
        let fading = Notify::new();
        let lost = async {
            match peer {
                Some(peer) => peer.lost(|| fading.notify_one()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(lost);
        let io = Gathered::new(io);
        let connection = self.0.serve_connection(TokioIo::new(io.clone()), service);
        tokio::pin!(connection);
        let mut leaving = false;
        let ended = loop {
            tokio::select! {
                ended = io.drive(connection.as_mut()) => break ended,
                () = drain.past(since), if !leaving => {}
                () = fading.notified() => {}
                refusal = &mut lost => break Err(Box::new(refusal) as _),
            }
            leaving = true;
            connection.as_mut().graceful_shutdown();
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "A connection broke");
        }
    }
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
