//! gRPC by hand, over mutual TLS or without: a caller that sends what it likes to a sidecar, and a far side that answers a
//! sidecar with what the test likes. On the mesh hop both are believed, unless their certificates say otherwise.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dragoman::a2a::Operation;
use dragoman::codec::{self, Reading, schema};
use dragoman::identity::{Clock, Pattern, State, TrustDomain, files};
use dragoman::tls::Tls;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::task::AbortOnDropHandle;

use super::mesh::Mesh;
use super::soon;

/// TLS with the identity in a directory.
pub(crate) fn tls(dir: &Path, domain: &TrustDomain) -> Tls {
    let clock = Clock::system();
    let material = files::load(dir, domain, clock.now()).unwrap();
    // A receiver keeps the last value when its sender is gone.
    let (_, states) = watch::channel(State::Loaded(Arc::new(material)));
    Tls::new(states, clock).unwrap()
}

/// A caller with a connection to an inbound listener, as a peer, or to an outbound one.
pub(crate) struct Peer {
    requests: SendRequest<Bytes>,
    scheme: &'static str,
    authority: String,
    _driver: AbortOnDropHandle<()>,
}

/// How a gRPC call ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    /// Headers, and trailers if there are any.
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) messages: Vec<Bytes>,
}

impl Peer {
    /// A peer with the identity of a service account, which is issued to it; it addresses `agent` of the mesh.
    pub(crate) async fn connect(mesh: &Mesh, account: &str, address: SocketAddr, agent: &str) -> Self {
        let dir = mesh.issue(account);
        let expected = Pattern::parse(&format!("spiffe://{}/**", mesh.domain)).unwrap();
        let config = tls(&dir, &mesh.domain).client(expected, &[b"h2"]);
        let authority = format!("{}.a2a", mesh.agent(agent));
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(authority.clone()).unwrap();
        let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
        Self::over(stream, "https", authority).await
    }

    /// A caller without TLS, as the agent of a pod.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), "http", address.to_string()).await
    }

    async fn over<I>(stream: I, scheme: &'static str, authority: String) -> Self
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = h2::client::Builder::new()
            .max_header_list_size(1 << 20)
            .initial_connection_window_size(1 << 30)
            .handshake(stream)
            .await
            .unwrap();
        let driver = dragoman::task::spawn(async move { drop(connection.await) });
        Self { requests, scheme, authority, _driver: driver }
    }

    /// Calls another agent, or whatever authority, on the same connection.
    pub(crate) fn at(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    /// Calls a method of A2A with parameters in JSON.
    pub(crate) async fn call(&self, operation: Operation, params: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/lf.a2a.v1.A2AService/{operation}");
        self.send(&path, headers, &frame(&request(operation, params))).await
    }

    /// Posts a body to a path.
    pub(crate) async fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        soon("a gRPC answer", async {
            let response = self.open(path, headers, body).await;
            answer(response.await.unwrap()).await
        })
        .await
    }

    /// Asks for a path with that method, and with no body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(format!("https://{}{path}", self.authority));
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (response, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
        soon("an answer", async { answer(response.await.unwrap()).await }).await
    }

    /// Begins to call a method of A2A with parameters in JSON.
    pub(crate) async fn begin(
        &self,
        operation: Operation,
        params: &str,
        headers: &[(&str, &str)],
    ) -> h2::client::ResponseFuture {
        let path = format!("/lf.a2a.v1.A2AService/{operation}");
        self.open(&path, headers, &frame(&request(operation, params))).await
    }

    /// Posts a body to a path and does not wait for the answer.
    pub(crate) async fn open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> h2::client::ResponseFuture {
        let mut request =
            Request::post(format!("{}://{}{path}", self.scheme, self.authority)).body(()).unwrap();
        *request.headers_mut() = trailers(&[("te", "trailers"), ("content-type", "application/grpc")]);
        request.headers_mut().extend(trailers(headers));
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (response, mut sending) = requests.send_request(request, false).unwrap();
        sending.send_data(Bytes::copy_from_slice(body), true).unwrap();
        response
    }
}

/// A whole answer.
pub(crate) async fn answer(response: Response<RecvStream>) -> Answer {
    let (head, mut body) = response.into_parts();
    let whole = whole(&mut body).await;
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    let grpc = head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
    let messages = if grpc { unframe(whole) } else { vec![whole] };
    Answer { http: head.status.as_u16(), headers: head.headers, trailers, messages }
}

/// All data of a stream.
pub(crate) async fn whole(body: &mut RecvStream) -> Bytes {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    all.into()
}

impl Answer {
    /// `grpc-status`, wherever it came.
    pub(crate) fn status(&self) -> i32 {
        self.header("grpc-status").unwrap().parse().unwrap()
    }

    /// A header or a trailer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name).or_else(|| self.trailers.get(name))?;
        Some(value.to_str().unwrap())
    }

    /// The one message as JSON.
    pub(crate) fn json(&self, operation: Operation) -> String {
        assert_eq!((self.status(), self.messages.len()), (0, 1), "{self:?}");
        json(operation, &self.messages[0])
    }
}

/// Parameters in canonical form.
pub(crate) fn request(operation: Operation, params: &str) -> Vec<u8> {
    codec::read(schema::request(operation), params, Reading::Request, usize::MAX).unwrap()
}

/// A result in canonical form.
pub(crate) fn reply(operation: Operation, result: &str) -> Vec<u8> {
    codec::read(schema::response(operation), result, Reading::Reply, usize::MAX).unwrap()
}

/// A result in JSON.
pub(crate) fn json(operation: Operation, wire: &[u8]) -> String {
    let mut text = Vec::new();
    codec::write(schema::response(operation), wire, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// A gRPC frame.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// A gRPC frame, compressed.
pub(crate) fn gzip_frame(message: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(message).unwrap();
    let mut frame = frame(&encoder.finish().unwrap());
    frame[0] = 1;
    frame
}

fn unframe(mut bytes: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.split_to(5);
        assert_eq!(head[0], 0, "a compressed message");
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        messages.push(bytes.split_to(length as usize));
    }
    messages
}

/// An HTTP/2 server where a sidecar is expected, on mutual TLS, or an agent.
pub(crate) struct FarSide {
    pub(crate) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Asked>,
    _listening: AbortOnDropHandle<()>,
}

/// A request of a sidecar.
pub(crate) struct Asked {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
    /// The server name that the handshake asked for.
    pub(crate) sni: String,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    /// Tells the connection to send GOAWAY.
    pub(crate) goaway: mpsc::UnboundedSender<h2::Reason>,
}

impl FarSide {
    /// A far side with the identity of a service account, which is issued to it, that speaks these protocols.
    pub(crate) async fn start(mesh: &Mesh, account: &str, alpn: &[&[u8]]) -> Self {
        let config = tls(&mesh.issue(account), &mesh.domain).server(alpn);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, requests) = mpsc::unbounded_channel();
        let listening = dragoman::task::spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, tx) = (TlsAcceptor::from(Arc::clone(&config)), tx.clone());
                connections.spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    let sni = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
                    serve(stream, sni, connection, tx).await
                });
            }
        });
        Self { address, requests, _listening: listening }
    }

    /// An agent that speaks gRPC without TLS.
    pub(crate) async fn plain() -> Self {
        Self::plain_at("127.0.0.1:0".parse().unwrap()).await
    }

    /// The same, at an address that was free a moment ago.
    pub(crate) async fn plain_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, requests) = mpsc::unbounded_channel();
        let listening = dragoman::task::spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, String::new(), connection, tx.clone()));
            }
        });
        Self { address, requests, _listening: listening }
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Asked {
        soon("a request at the far side", self.requests.recv()).await.unwrap()
    }

    /// Whether a request has come that nobody has looked at.
    pub(crate) fn was_asked(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }
}

async fn serve<I>(stream: I, sni: String, connection: usize, tx: mpsc::UnboundedSender<Asked>) -> Option<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut http = h2::server::Builder::new().max_header_list_size(1 << 20).handshake(stream).await.ok()?;
    let (goaway, mut reasons) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            accepted = http.accept() => {
                let (request, respond) = accepted?.ok()?;
                let goaway = goaway.clone();
                drop(tx.send(Asked { request, respond, sni: sni.clone(), connection, goaway }));
            }
            Some(reason) = reasons.recv() => http.abrupt_shutdown(reason),
        }
    }
}

impl Asked {
    /// Begins to answer with messages.
    pub(crate) fn begin(&mut self, headers: &[(&str, &str)]) -> SendStream<Bytes> {
        self.respond.send_response(response(headers), false).unwrap()
    }

    /// Answers with a status and nothing else.
    pub(crate) fn status(mut self, headers: &[(&str, &str)]) {
        self.respond.send_response(response(headers), true).unwrap();
    }

    /// Answers with one message, and the status OK.
    pub(crate) fn message(mut self, message: &[u8]) {
        let mut sending = self.begin(&[]);
        sending.send_data(frame(message).into(), false).unwrap();
        sending.send_trailers(trailers(&[("grpc-status", "0")])).unwrap();
    }
}

fn response(headers: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::builder().header("content-type", "application/grpc");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

/// Trailers, or headers.
pub(crate) fn trailers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap()))
        .collect()
}
