//! The floor: two relays that copy bytes between plain TCP and mutual TLS 1.3, and look at nothing.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::process::tell;

/// The name in the relays' certificate.
pub(crate) const NAME: &str = "relay.example";
/// As much as a TLS record holds.
const BUFFER: usize = 16 << 10;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The files of an identity, as `dragoman certs issue` writes them.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    fn load(dir: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.join("ca.crt"))?)?;
        let chain = CertificateDer::pem_file_iter(dir.join("tls.crt"))?;
        Ok(Self {
            chain: chain.collect::<Result<_, _>>()?,
            key: PrivateKeyDer::from_pem_file(dir.join("tls.key"))?,
            roots: Arc::new(roots),
            provider: Arc::new(aws_lc_rs::default_provider()),
        })
    }

    fn client(self) -> Result<TlsConnector> {
        let config = ClientConfig::builder_with_provider(self.provider).with_protocol_versions(&[&TLS13])?;
        let config = config.with_root_certificates(self.roots).with_client_auth_cert(self.chain, self.key)?;
        Ok(Arc::new(config).into())
    }

    fn server(self) -> Result<TlsAcceptor> {
        let clients =
            WebPkiClientVerifier::builder_with_provider(self.roots, Arc::clone(&self.provider)).build()?;
        let config = ServerConfig::builder_with_provider(self.provider).with_protocol_versions(&[&TLS13])?;
        let config = config.with_client_cert_verifier(clients).with_single_cert(self.chain, self.key)?;
        Ok(Arc::new(config).into())
    }
}

/// Takes plain connections and passes them on over TLS, until the process ends.
pub(crate) async fn into_tls(target: SocketAddr, dir: &Path) -> Result<()> {
    let connector = Identity::load(dir)?.client()?;
    relay(move |plain| {
        let connector = connector.clone();
        async move {
            let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
            let tls = connector.connect(name, connect(target).await?).await?;
            copy(plain, tls).await
        }
    })
    .await
}

/// Takes connections over TLS and passes them on in plain, until the process ends.
pub(crate) async fn out_of_tls(target: SocketAddr, dir: &Path) -> Result<()> {
    let acceptor = Identity::load(dir)?.server()?;
    relay(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let tls = acceptor.accept(stream).await?;
            copy(tls, connect(target).await?).await
        }
    })
    .await
}

async fn relay<F>(pass: impl Fn(TcpStream) -> F) -> Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    tell(&listener.local_addr()?.to_string())?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                connections.spawn(pass(stream));
            }
            // A connection that broke is its client's to tell.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn copy<A, B>(mut one: A, mut other: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    copy_bidirectional_with_sizes(&mut one, &mut other, BUFFER, BUFFER).await.map(drop)
}
