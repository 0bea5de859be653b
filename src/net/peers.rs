//! Connections to peers: one HTTP/2 connection over mutual TLS for each address and name, shared by all calls.

mod last_words;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;

use self::last_words::LastWords;
use super::listen::tune;
use super::{CONNECTION_WINDOW, HEADERS_MAX, PING_INTERVAL, PING_TIMEOUT, STREAMS_MAX};
use crate::a2a::Name;
use crate::identity::{Pattern, SpiffeId};
use crate::task;
use crate::tls::{self, Refusal, Tls};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(300);
/// How long to wait for the reason of a connection's end once a call on it has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a peer cannot be talked to. Whatever was to be sent has not been sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unreachable {
    /// The peer's certificate, or the own one, stands in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer refuses our certificate.
    #[error("the peer refuses our certificate: {0}")]
    Rejected(Arc<str>),
    /// Nobody answers there, or nobody who speaks this.
    #[error("{0}")]
    Silent(Arc<str>),
}

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long connecting may take, TLS included.
    pub connect: Duration,
    /// The window of each stream, in bytes.
    pub stream_window: u32,
}

/// The connections that stand or are being made. Clones share them.
#[derive(Clone)]
pub struct Peers {
    tls: Tls,
    settings: Settings,
    pool: Arc<Mutex<HashMap<Key, Entry>>>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
struct Key {
    address: SocketAddr,
    name: Name,
}

struct Entry {
    connecting: Shared<BoxFuture<'static, Result<Connection, Unreachable>>>,
    used: Instant,
}

/// A connection to a peer. It stands as long as somebody holds a clone.
#[derive(Clone)]
pub struct Connection {
    requests: http2::SendRequest<Body>,
    /// Who is at the other end.
    pub peer: SpiffeId,
    authority: Arc<str>,
    driver: Shared<BoxFuture<'static, Option<Unreachable>>>,
}

/// Why a request got no response.
#[derive(Debug)]
pub enum Unanswered {
    /// The connection could not take it: it was surely not sent.
    NeverSent(Unreachable),
    /// It may have been processed.
    Lost(hyper::Error),
}

impl Peers {
    /// No connections yet.
    pub fn new(tls: Tls, settings: Settings) -> Self {
        Self { tls, settings, pool: Arc::default() }
    }

    /// The connection to an address where `name` should be, under an identity that `expected` matches. Many callers
    /// share one attempt.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn connection(
        &self,
        address: SocketAddr,
        name: &Name,
        expected: &Pattern,
    ) -> Result<Connection, Unreachable> {
        let key = Key { address, name: name.clone() };
        let connecting = self.entry(&key, expected);
        let connection = connecting.clone().await;
        if connection.is_err() {
            self.forget(&key, &connecting);
        }
        connection
    }

    fn entry(
        &self,
        key: &Key,
        expected: &Pattern,
    ) -> Shared<BoxFuture<'static, Result<Connection, Unreachable>>> {
        let now = Instant::now();
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = pool.get_mut(key).filter(|entry| entry.is_usable()) {
            entry.used = now;
            return entry.connecting.clone();
        }
        pool.retain(|_, entry| entry.is_usable() && now.duration_since(entry.used) < IDLE);
        let connect = connect(self.tls.clone(), self.settings, key.clone(), expected.clone());
        // A task of its own, so that a caller who leaves does not stop it for the others.
        let connecting = task::spawn(connect)
            .map(|ended| ended.unwrap_or_else(|_| Err(Unreachable::Silent("connecting was given up".into()))))
            .boxed()
            .shared();
        pool.insert(key.clone(), Entry { connecting: connecting.clone(), used: now });
        connecting
    }

    fn forget(&self, key: &Key, failed: &Shared<BoxFuture<'static, Result<Connection, Unreachable>>>) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.get(key).is_some_and(|entry| entry.connecting.ptr_eq(failed)) {
            pool.remove(key);
        }
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Entry {
    /// Whether the connection is being made, or stands.
    fn is_usable(&self) -> bool {
        match self.connecting.peek() {
            Some(Ok(connection)) => !connection.requests.is_closed(),
            Some(Err(_)) => false,
            None => true,
        }
    }
}

impl Connection {
    /// Sends a request; its path is kept, its scheme and authority are those of the mesh hop.
    ///
    /// # Errors
    /// If no response came.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::builder()
            .scheme("https")
            .authority(&*self.authority)
            .path_and_query(path)
            .build()
            .map_err(|error| Unanswered::NeverSent(Unreachable::Silent(error.to_string().into())))?;
        match self.requests.clone().try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut failed) => {
                let never_sent = failed.take_message().is_some();
                let error = failed.into_error();
                if refused_stream(&error) {
                    return Err(Unanswered::NeverSent(Unreachable::Silent(
                        "the peer refused the stream".into(),
                    )));
                }
                let ended = if never_sent || !is_of_stream(&error) {
                    timeout(LAST_WORDS, self.driver.clone()).await.ok().flatten()
                } else {
                    None
                };
                Err(match ended {
                    // Who refuses our certificate has not read what we sent behind it.
                    Some(reason @ (Unreachable::Refused(_) | Unreachable::Rejected(_))) => {
                        Unanswered::NeverSent(reason)
                    }
                    Some(reason) if never_sent => Unanswered::NeverSent(reason),
                    None if never_sent => Unanswered::NeverSent(Unreachable::Silent(describe(&error).into())),
                    _ => Unanswered::Lost(error),
                })
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

async fn connect(
    tls: Tls,
    settings: Settings,
    key: Key,
    expected: Pattern,
) -> Result<Connection, Unreachable> {
    let authority = key.name.authority();
    let io = timeout(settings.connect, handshake(&tls, &key, &authority, expected))
        .await
        .map_err(|_| silent(key.address, "no answer in time"))??;
    let peer = tls::peer(io.get_ref().1.peer_certificates())?.id;
    let (io, heard) = LastWords::new(io);
    let (requests, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(settings.stream_window)
        .initial_max_send_streams(STREAMS_MAX as usize)
        .max_header_list_size(HEADERS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| unreachable(key.address, &error))?;
    let address = key.address;
    let driver: AbortOnDropHandle<_> = task::spawn(async move {
        let ended = connection.await.err().map(|error| unreachable(address, &error));
        heard.get().map(|error| unreachable(address, error)).or(ended)
    });
    let driver = driver.map(|ended| ended.ok().flatten()).boxed().shared();
    Ok(Connection { requests, peer, authority: authority.into(), driver })
}

async fn handshake(
    tls: &Tls,
    key: &Key,
    authority: &str,
    expected: Pattern,
) -> Result<TlsStream<TcpStream>, Unreachable> {
    let stream = TcpStream::connect(key.address).await.and_then(|stream| tune(&stream).map(|()| stream));
    let stream = stream.map_err(|error| unreachable(key.address, &error))?;
    let name = ServerName::try_from(authority.to_owned()).map_err(|error| silent(key.address, error))?;
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
fn refused_stream(error: &(dyn Error + 'static)) -> bool {
    h2_error(error).is_some_and(|error| {
        let left_out = error.is_go_away() && error.is_remote();
        left_out || error.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

/// Whether the error is about one stream, so that the connection may well stand.
fn is_of_stream(error: &(dyn Error + 'static)) -> bool {
    h2_error(error).is_some_and(h2::Error::is_reset)
}

fn h2_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a h2::Error> {
    let mut causes =
        std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source());
    causes.find_map(|error| error.downcast_ref())
}

/// An error with all its causes.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
