//! Connections to peers: HTTP/2 over mutual TLS, one for each address and name. A peer is the sidecar of an agent, or a
//! service of the mesh itself, which has a host name like any other.

mod last_words;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use http::uri::{self, Authority, Scheme};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::last_words::LastWords;
use super::channel::Channel;
use super::describe;
use super::http2::{Connection, Manner, Pool, Settings, Unreachable};
use super::listen::tune;
use crate::a2a::Name;
use crate::identity::Pattern;
use crate::tls::{self, Refusal, Tls};

/// The connections that stand or are being made. Clones share them.
#[derive(Clone)]
pub struct Peers {
    tls: Tls,
    settings: Settings,
    pool: Pool<Key>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
struct Key {
    address: SocketAddr,
    server: Server,
}

/// Who should be there.
#[derive(Clone, Eq, Hash, PartialEq)]
enum Server {
    Agent(Name),
    Service(Authority),
}

impl Peers {
    /// No connections yet.
    pub fn new(tls: Tls, settings: Settings) -> Self {
        Self { tls, settings, pool: Pool::default() }
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
        self.to(Key { address, server: Server::Agent(name.clone()) }, expected).await
    }

    /// The way to ask a gRPC service of the mesh at an address, where an identity that `expected` matches must answer.
    /// `authority` is what the service's URL calls it.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn channel(
        &self,
        address: SocketAddr,
        authority: &Authority,
        expected: &Pattern,
    ) -> Result<Channel, Unreachable> {
        let key = Key { address, server: Server::Service(authority.clone()) };
        self.to(key, expected).await.map(Channel::new)
    }

    async fn to(&self, key: Key, expected: &Pattern) -> Result<Connection, Unreachable> {
        let connect = || connect(self.tls.clone(), self.settings, key.clone(), expected.clone());
        self.pool.connection(&key, connect).await
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Server {
    /// What requests call it, and what TLS does.
    fn names(&self) -> Result<(Authority, String), uri::InvalidUri> {
        match self {
            Self::Agent(name) => {
                let name = name.authority();
                Ok((name.parse()?, name))
            }
            Self::Service(authority) => {
                let host = authority.host().trim_start_matches('[').trim_end_matches(']');
                Ok((authority.clone(), host.to_owned()))
            }
        }
    }
}

/// Connects to the address of `key`, where an identity that `expected` matches must answer.
async fn connect(
    tls: Tls,
    settings: Settings,
    key: Key,
    expected: Pattern,
) -> Result<Connection, Unreachable> {
    let address = key.address;
    let (authority, name) = key.server.names().map_err(|error| silent(address, error))?;
    let io = timeout(settings.connect, handshake(&tls, address, &name, expected.clone()))
        .await
        .map_err(|_| silent(address, "no answer in time"))??;
    let peer = tls.server_of(io.get_ref().1, expected).map_err(Unreachable::Refused)?;
    let (io, heard) = LastWords::new(io);
    let manner =
        Manner { scheme: Scheme::HTTPS, authority, stream_window: settings.stream_window, pings: true };
    // What was heard last is more than what HTTP/2 makes of it.
    let explain = move |ended: Option<&(dyn Error + 'static)>| {
        let heard = heard.get().map(|error| error as _);
        heard.or(ended).map(|error| unreachable(address, error))
    };
    Connection::over(io, manner, Some(peer), explain).await.map_err(|error| unreachable(address, &error))
}

async fn handshake(
    tls: &Tls,
    address: SocketAddr,
    name: &str,
    expected: Pattern,
) -> Result<TlsStream<TcpStream>, Unreachable> {
    let stream = TcpStream::connect(address).await.and_then(|stream| tune(&stream).map(|()| stream));
    let stream = stream.map_err(|error| unreachable(address, &error))?;
    let name = ServerName::try_from(name.to_owned()).map_err(|error| silent(address, error))?;
    let connector = TlsConnector::from(tls.client(expected, &[b"h2"]));
    let io = connector.connect(name, stream).await.map_err(|error| unreachable(address, &error))?;
    if io.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(silent(address, "no HTTP/2 there"));
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
