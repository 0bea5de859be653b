//! The doors: each listener with what answers on it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;

use super::Addresses;
use crate::a2a::{Fault, Name, Reason};
use crate::admin::{Admin, answer};
use crate::config::Listen;
use crate::drain::{Drain, Stage};
use crate::identity::SpiffeId;
use crate::net::crowd::Places;
use crate::net::describe;
use crate::net::open::{self, Capacity, Door};
use crate::net::serve::{Accepted, Http};
use crate::net::{listen, local};
use crate::task;
use crate::telemetry::{Direction, Metrics};
use crate::tls::{Belief, Refusal, Tls};
use crate::{inbound, outbound};

/// How long a peer may take for its TLS handshake, how many may be at it, and how long others wait for their turn.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HANDSHAKES_MAX: usize = 1000;
const TURN: Duration = Duration::from_secs(5);

/// The operator's door. Kubelets, scrapers and people have few connections, and pages are some hundred KiB; a sidecar has
/// this memory beside that of its calls.
const ADMIN: Capacity =
    Capacity { places: Places { all: 256, each: 32 }, memory: 8 << 20, memory_each: 4 << 20 };

/// What listens so far.
pub(super) struct Listeners {
    pub(super) addresses: Addresses,
    pub(super) tasks: Vec<AbortOnDropHandle<()>>,
    /// How those are served that are known.
    pub(super) http: Http,
    pub(super) drain: Drain,
    /// Counts who is turned away of all others.
    pub(super) refusals: open::Metrics,
}

/// Sockets that listen, but that nobody accepts on yet.
pub(super) struct Bound {
    listeners: Vec<TcpListener>,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Bound {
    pub(super) fn to(listen_on: &Listen) -> io::Result<Self> {
        let listeners = listen(&listen_on.addresses)?;
        let addresses = local(&listeners)?;
        Ok(Self { listeners, addresses })
    }
}

impl Listeners {
    /// The local agent's door; with `only`, for one agent.
    pub(super) fn outbound(&mut self, bound: Bound, door: &Arc<outbound::Door>, only: Option<&Name>) {
        let Bound { listeners, addresses } = bound;
        match only {
            Some(name) => {
                self.addresses.ports.extend(addresses.into_iter().map(|address| (name.to_string(), address)));
            }
            None => self.addresses.outbound = addresses,
        }
        for listener in listeners {
            let (door, only) = (Arc::clone(door), only.cloned());
            let serve =
                self.http.clone().serve(listener, self.drain.clone(), None, move |stream: TcpStream| {
                    let (door, only) = (Arc::clone(&door), only.clone());
                    // Boxed, it takes no room on a connection that rests, or once its answer streams.
                    let service = service_fn(move |request: Request<Incoming>| {
                        Arc::clone(&door).serve(request, only.clone()).map(Ok::<_, Infallible>).boxed()
                    });
                    std::future::ready(Some(Accepted::new(stream, service)))
                });
            self.tasks.push(task::spawn(serve));
        }
    }

    /// The mesh door.
    pub(super) fn inbound(&mut self, bound: Bound, door: &Arc<inbound::Door>, tls: Tls, metrics: &Metrics) {
        self.addresses.inbound.clone_from(&bound.addresses);
        let door = Arc::clone(door);
        let answer = move |request, peer| Arc::clone(&door).serve(request, peer);
        self.mutual(bound, (tls, &[b"h2", b"http/1.1"]), metrics, answer);
    }

    /// A door for those who prove who they are; what is spoken there, the preferred one first.
    pub(super) fn mutual<A, F>(
        &mut self,
        bound: Bound,
        (tls, alpn): (Tls, &[&[u8]]),
        metrics: &Metrics,
        answer: A,
    ) where
        A: Fn(Request<Incoming>, SpiffeId) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let gate = Gate::new(tls.server(alpn));
        // Peers are accepted as long as they may not know that this endpoint fades, the local agent to the end.
        let last = Some(Stage::Fading);
        for listener in bound.listeners {
            let (answer, gate, tls, metrics) = (answer.clone(), gate.clone(), tls.clone(), metrics.clone());
            let serve =
                self.http.clone().serve(listener, self.drain.clone(), last, move |stream: TcpStream| {
                    let (answer, gate) = (answer.clone(), gate.clone());
                    let (tls, metrics) = (tls.clone(), metrics.clone());
                    async move {
                        let (io, belief) = gate.admit(&tls, &metrics, stream).await?;
                        let peer = belief.peer().id.clone();
                        // HTTP/2 moves it into a task of its own, which is cheaper in a box.
                        let service = service_fn(move |request: Request<Incoming>| {
                            answer(request, peer.clone()).map(Ok::<_, Infallible>).boxed()
                        });
                        Some(Accepted { io, service, peer: Some(belief) })
                    }
                });
            self.tasks.push(task::spawn(serve));
        }
    }

    /// A door for anybody, over TLS: what it is called, and how much it may take.
    pub(super) fn open<A, F>(
        &mut self,
        bound: Bound,
        (name, bounds): (&'static str, Capacity),
        tls: Arc<ServerConfig>,
        answer: A,
    ) where
        A: Fn(Request<Body>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let gate = Gate::new(tls);
        let last = Some(Stage::Fading);
        let door = Door::new(name, bounds, &self.refusals);
        for listener in bound.listeners {
            let (answer, gate) = (answer.clone(), gate.clone());
            let serve = door.clone().serve(listener, self.drain.clone(), last, move |stream: TcpStream| {
                let (answer, gate) = (answer.clone(), gate.clone());
                async move {
                    let stream = gate.secure(stream).await?;
                    let service =
                        service_fn(move |request: Request<Body>| answer(request).map(Ok::<_, Infallible>));
                    Some(Accepted::new(stream, service))
                }
            });
            self.tasks.push(task::spawn(serve));
        }
    }

    /// The operator's door.
    pub(super) fn admin(&mut self, bound: Bound, admin: &Arc<Admin>) {
        let Bound { listeners, addresses } = bound;
        self.addresses.admin = addresses;
        let door = Door::new("admin", ADMIN, &self.refusals);
        for listener in listeners {
            let admin = Arc::clone(admin);
            let serve = door.clone().serve(listener, self.drain.clone(), None, move |stream: TcpStream| {
                let admin = Arc::clone(&admin);
                // A caller whose address is not known is gone already.
                let caller = stream.peer_addr().ok().map(|address| address.ip());
                let service = caller.map(|caller| {
                    service_fn(move |request: Request<Body>| {
                        let served = answer(Arc::clone(&admin), request, caller);
                        async move { Ok::<_, Infallible>(served.await) }
                    })
                });
                std::future::ready(service.map(|service| Accepted::new(stream, service)))
            });
            self.tasks.push(task::spawn(serve));
        }
    }
}

/// Lets in who speaks TLS.
#[derive(Clone)]
struct Gate {
    acceptor: TlsAcceptor,
    turns: Arc<Semaphore>,
}

impl Gate {
    fn new(tls: Arc<ServerConfig>) -> Self {
        Self { acceptor: TlsAcceptor::from(tls), turns: Arc::new(Semaphore::new(HANDSHAKES_MAX)) }
    }

    /// Lets a peer in that proves to `tls` who it is; who does not is counted.
    async fn admit(
        &self,
        tls: &Tls,
        metrics: &Metrics,
        stream: TcpStream,
    ) -> Option<(TlsStream<TcpStream>, Belief)> {
        let address = stream.peer_addr().ok();
        let accepted = self.accept(stream).await;
        let admitted = accepted.map_err(|error| (Refusal::of(&error), describe(&error))).and_then(|stream| {
            let peer = tls.client_of(stream.get_ref().1);
            peer.map(|peer| (stream, peer)).map_err(|refusal| (Some(refusal), String::new()))
        });
        match admitted {
            Ok(admitted) => Some(admitted),
            Err((refusal, error)) => {
                let cause = refusal.map_or(error, |refusal| refusal.to_string());
                let address = address.map(|address| address.to_string()).unwrap_or_default();
                let fault = Fault::new(Reason::PeerUntrusted, "the peer's certificate is not trusted");
                metrics.refused(Direction::Inbound, &fault.because(format!("{address}: {cause}")));
                None
            }
        }
    }

    /// Lets anybody in, whose handshake comes to an end.
    async fn secure(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        match self.accept(stream).await {
            Ok(stream) => Some(stream),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                // Who does not believe our certificate is heard of here alone.
                tracing::warn!(%error, "A handshake failed");
                None
            }
            // Whoever only looks whether the port is open.
            Err(error) => {
                tracing::debug!(%error, "A handshake broke off");
                None
            }
        }
    }

    /// The handshake, once it is its turn.
    async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let late = |what| move |_| io::Error::new(io::ErrorKind::TimedOut, what);
        let turn = timeout(TURN, self.turns.acquire()).await;
        let _turn = turn.map_err(late("too many handshakes at once"))?.map_err(io::Error::other)?;
        timeout(HANDSHAKE, self.acceptor.accept(stream)).await.map_err(late("the handshake took too long"))?
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;
    use rustls::server::ResolvesServerCertUsingSni;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_not_listened_to_for_long_and_holds_up_nobody_for_ever() {
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let gate = Gate::new(Arc::new(tls.with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = async || {
            let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
            (near.unwrap(), far.unwrap().0)
        };
        let (_first, first) = silent().await;
        let started = Instant::now();
        assert!(gate.secure(first).await.is_none());
        assert_eq!(started.elapsed().as_secs(), HANDSHAKE.as_secs());
        // Everybody's turn is taken.
        let _turns = gate.turns.acquire_many(u32::try_from(HANDSHAKES_MAX).unwrap()).await.unwrap();
        let (_second, second) = silent().await;
        let started = Instant::now();
        let error = gate.accept(second).await.unwrap_err();
        assert_eq!(error.to_string(), "too many handshakes at once");
        assert_eq!(started.elapsed().as_secs(), TURN.as_secs());
    }
}
