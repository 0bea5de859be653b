//! The catalogue, as a client without a certificate sees it.

use dragoman::task;
use futures_util::FutureExt as _;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;

const HOST: &str = "a2a.cluster.local";

/// Asks on a connection of its own, and checks the certificate as a browser would.
async fn get(mesh: &Mesh, at: SocketAddr, alpn: &[u8], path: &str) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(mesh.authority.root_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(at).await.unwrap();
    let stream = connector.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let io = TokioIo::new(stream);
    let request = Request::get(format!("https://{HOST}{path}")).header("host", HOST);
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let (response, _driver);
    if alpn == b"h2" {
        let (mut send, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        _driver = task::spawn(connection.map(drop));
        response = send.send_request(request).await.unwrap();
    } else {
        let (mut send, connection) = http1::handshake(io).await.unwrap();
        _driver = task::spawn(connection.map(drop));
        response = send.send_request(request).await.unwrap();
    }
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn anybody_reads_the_catalogue_over_either_http() {
    let mesh = Mesh::new();
    let lifetime = std::time::Duration::from_secs(3600);
    let issued = mesh.authority.issue(&mesh.id("directory"), &[HOST], lifetime, mesh.clock().now());
    issued.unwrap().save(&mesh.files("directory")).unwrap();
    let directory = Directory::start(&mesh, json!({})).await;
    let (_agent, sidecar) = agent(&mesh, "currency", "convert", json!({})).await;
    let name = format!("currency.{}.east", mesh.namespace);
    directory.find(&name, sidecar.inbound());
    directory.find("hidden.elsewhere.west", sidecar.inbound());
    let at = directory.address("catalog");
    let path = format!("/agents/currency.{}/agent-card.json", mesh.namespace);
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let text = eventually("the card", || async {
            let (status, text) = get(&mesh, at, alpn, &path).await;
            (status == 200).then_some(text)
        })
        .await;
        assert_eq!(text, card("currency", "convert"));
        let (status, text) = get(&mesh, at, alpn, "/.well-known/ard.json").await;
        let names = value(&text)["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["displayName"].clone())
            .collect::<Value>();
        assert_eq!((status, names), (200, json!(["currency", format!("Search of {HOST}")])));
        assert_eq!(get(&mesh, at, alpn, "/nothing").await.0, 404);
    }
}
