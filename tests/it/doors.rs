//! The doors that anybody may knock at, and somebody who means no good: a caller without a certificate that writes HTTP/2 by
//! hand, and keeps to nothing but its letters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dragoman::app::Controller;
use dragoman::config::ControllerConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::harness::kubernetes::{Kubernetes, door};
use crate::harness::mesh::{Mesh, Metrics};
use crate::harness::{eventually, soon};

/// Types of frames.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
/// The error REFUSED_STREAM.
const REFUSED: [u8; 4] = [0, 0, 0, 7];

/// A frame: its type, its stream, and what is in it.
type Frame = (u8, u32, Vec<u8>);

/// Believes everything, because it has nothing to lose.
#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A connection of somebody unknown.
struct Unknown<I>(I);

impl Unknown<tokio_rustls::client::TlsStream<TcpStream>> {
    async fn over_tls(stream: TcpStream) -> std::io::Result<Self> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().dangerous();
        let mut config = config.with_custom_certificate_verifier(Arc::new(Careless)).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("a2a.cluster.local").unwrap();
        Ok(Self(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Unknown<I> {
    async fn write(&mut self, (kind, stream, bytes): Frame, flags: u8) {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[head, bytes].concat()).await.unwrap();
    }

    async fn read(&mut self) -> Frame {
        soon("a frame", async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.unwrap();
            let mut bytes = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.0.read_exact(&mut bytes).await.unwrap();
            (head[3], u32::from_be_bytes(head[5..].try_into().unwrap()), bytes)
        })
        .await
    }

    /// Greets, and reads what it may do: the settings by number, and the window of the whole connection.
    async fn greet(&mut self) -> (BTreeMap<u16, u32>, u32) {
        self.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        self.write((SETTINGS, 0, Vec::new()), 0).await;
        let mut settings = None;
        loop {
            match self.read().await {
                (SETTINGS, 0, bytes) if !bytes.is_empty() => {
                    let number =
                        |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                    let each =
                        bytes.chunks(6).map(|one| (u16::from_be_bytes([one[0], one[1]]), number(&one[2..])));
                    settings = Some(each.collect());
                }
                (WINDOW_UPDATE, 0, bytes) => {
                    let more = u32::from_be_bytes(bytes.try_into().unwrap());
                    return (settings.expect("the settings come first"), 65_535 + more);
                }
                _ => {}
            }
        }
    }

    /// Begins to post something there.
    async fn begin(&mut self, stream: u32, path: &str) {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let kind = [&[0x0f, 0x10][..], &text("application/grpc")].concat();
        let block =
            [&[0x83, 0x87, 0x04][..], &text(path), &[0x01], &text("a2a.cluster.local"), &kind].concat();
        self.write((HEADERS, stream, block), 0x4).await;
    }
}

/// A connection from one of this machine's many addresses.
async fn connect(from: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// A directory that knows nobody, which is enough to knock at it.
async fn directory(mesh: &Mesh) -> Controller {
    mesh.issue("directory");
    let config = json!({
        "mesh": {
            "name": mesh.name, "trustDomain": mesh.domain.as_str(), "namespace": mesh.namespace,
        },
        "identity": {"files": {"dir": mesh.files("directory")}},
        "directory": {"listen": "127.0.0.1:0", "catalog": "127.0.0.1:0", "dns": "127.0.0.1:0"},
        "admin": {"listen": "127.0.0.1:0"},
    });
    let config = ControllerConfig::parse("test.yaml", config.to_string().as_bytes(), |_| None).unwrap();
    let (found, complete) = (watch::channel(Arc::default()).1, watch::channel(Ok(())).1);
    let mut controller = Controller::directory(&config, found, complete, mesh.clock(), 7).await.unwrap();
    soon("the directory", controller.ready()).await;
    controller
}

/// The limits of a connection, and that nobody gets more unfinished requests than they allow.
async fn is_bounded<I: AsyncRead + AsyncWrite + Unpin>(mut unknown: Unknown<I>, path: &str) {
    let (settings, window) = unknown.greet().await;
    // Streams, the window of each, the size of a frame if it is told, the bytes of a head.
    assert_eq!((settings[&3], settings[&4], settings[&6]), (100, 64 << 10, 16 << 10));
    assert_eq!(settings.get(&5).copied().unwrap_or(16 << 10), 16 << 10);
    assert_eq!(window, 128 << 10);
    for number in 0..101 {
        unknown.begin(2 * number + 1, path).await;
    }
    loop {
        let (kind, stream, bytes) = unknown.read().await;
        assert_ne!(kind, HEADERS, "a request was answered that has not ended");
        if kind == RST_STREAM {
            assert_eq!((stream, bytes), (201, REFUSED.to_vec()));
            return;
        }
    }
}

#[tokio::test]
async fn a_connection_of_somebody_unknown_has_a_hundred_streams_and_a_small_window() {
    let mesh = Mesh::new();
    let controller = directory(&mesh).await;
    let catalog = connect(1, door(&controller, "catalog")).await;
    is_bounded(Unknown::over_tls(catalog).await.unwrap(), "/search").await;
    let (settings, window) = Unknown(connect(1, door(&controller, "admin")).await).greet().await;
    assert_eq!((settings[&3], window), (100, 128 << 10));

    let kubernetes = Kubernetes::start().await;
    let controller = kubernetes.controller(&mesh, json!({"roles": ["identity"]})).await;
    let identity = connect(1, door(&controller, "identity")).await;
    is_bounded(Unknown::over_tls(identity).await.unwrap(), "/dragoman.v1.Identity/Certify").await;
}

#[tokio::test]
async fn one_address_does_not_take_every_place_at_a_door() {
    let mesh = Mesh::new();
    let controller = directory(&mesh).await;
    let catalog = door(&controller, "catalog");
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(connect(2, catalog).await);
    }
    // Who comes too late hears nothing but the end, and does so before a handshake would be given up.
    for _ in 0..100 {
        let mut late = connect(2, catalog).await;
        let mut heard = Vec::new();
        let end = timeout(Duration::from_secs(5), late.read_to_end(&mut heard)).await.expect("the end");
        assert!(end.is_err() || end.is_ok_and(|length| length == 0));
    }
    let metrics = Metrics::of(door(&controller, "admin")).await;
    let refused = ["door=\"catalog\"", "reason=\"crowded\""];
    assert_eq!(metrics.sum("dragoman_door_refusals_total", &refused), 100.0);
    Unknown::over_tls(connect(3, catalog).await).await.unwrap().greet().await;
    silent.pop();
    eventually("a place", || async { Unknown::over_tls(connect(2, catalog).await).await.ok() }).await;
}
