//! The client against a service of the test, over real TLS and real sockets.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tonic::async_trait;
use tonic_types::ErrorDetails;
use tower::Service as _;

use super::*;
use crate::identity::forge::{NOW, clock, domain, id};
use crate::identity::{self, Authority, Bundle, Material};
use crate::proto::mesh::CertifyResponse;
use crate::proto::mesh::identity_server::{Identity, IdentityServer};
use crate::task;
use crate::tls::Tls;

const SERVICE: &str = "spiffe://a.test/ns/dragoman-system/sa/dragoman-controller";

/// What the service has been asked, and what it answers.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Bearers and requests.
    asked: Vec<(String, Vec<u8>)>,
    refusal: Option<Status>,
}

impl Script {
    fn asked(&self) -> Vec<(String, Vec<u8>)> {
        self.0.lock().unwrap().asked.clone()
    }

    fn answers(&self, status: Status) {
        self.0.lock().unwrap().refusal = Some(status);
    }
}

#[async_trait]
impl Identity for Script {
    async fn certify(
        &self,
        request: tonic::Request<CertifyRequest>,
    ) -> Result<tonic::Response<CertifyResponse>, Status> {
        let bearer = request.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
        let mut state = self.0.lock().unwrap();
        state.asked.push((bearer, request.into_inner().csr));
        if let Some(status) = &state.refusal {
            return Err(status.clone());
        }
        Ok(tonic::Response::new(CertifyResponse {
            chain: vec![vec![1], vec![2]],
            bundles: Some(mesh::Bundles {
                bundles: vec![mesh::Bundle { trust_domain: "a.test".to_owned(), roots: vec![vec![3]] }],
                refresh_in: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
            }),
            expires: None,
            renew_in: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        }))
    }

    async fn get_bundles(
        &self,
        _: tonic::Request<GetBundlesRequest>,
    ) -> Result<tonic::Response<mesh::Bundles>, Status> {
        Ok(tonic::Response::new(mesh::Bundles { bundles: Vec::new(), refresh_in: None }))
    }
}

/// A service with a certificate of `authority`, or without TLS.
async fn serve(service: Script, authority: Option<&Authority>) -> (u16, Driver) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = authority.map(|authority| {
        let issued = authority.issue(&id(SERVICE), &[], Duration::from_hours(1), NOW).unwrap();
        let bundles = BTreeMap::from([(domain("a.test"), authority.bundle().unwrap())]);
        let material = Material::new(&domain("a.test"), issued.chain(), issued.key(), bundles, NOW);
        let (_, states) = watch::channel(identity::State::Loaded(Arc::new(material.unwrap())));
        TlsAcceptor::from(Tls::new(states, clock()).unwrap().open_server(&[b"h2"]))
    });
    let serving = task::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            match &tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, service.clone()).await;
                    }
                }
                None => answer(stream, service.clone()).await,
            }
        }
    });
    (port, serving)
}

async fn answer<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: I, service: Script) {
    let http = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(move |request: Request<Incoming>| {
        let mut server = IdentityServer::new(service.clone());
        async move { Ok::<_, Infallible>(server.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    http.serve_connection(TokioIo::new(io), service).await.ok();
}

fn issuer(url: &str) -> Issuer {
    let resolve: Resolve = Arc::new(|host| {
        async move {
            match host.as_str() {
                "identity.test" => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
                _ => Err(format!("{host}: NXDOMAIN")),
            }
        }
        .boxed()
    });
    let expected = Pattern::parse("spiffe://a.test/ns/dragoman-system/sa/*").unwrap();
    Issuer { url: url.parse().unwrap(), expected, clock: clock(), resolve }
}

fn roots(authority: &Authority) -> Bundles {
    BTreeMap::from([(domain("a.test"), Bundle::new(&domain("a.test"), authority.roots().to_vec()).unwrap())])
}

async fn token() -> Token {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "abc.def").unwrap();
    Token::read(file.path()).await.unwrap()
}

fn authority() -> Authority {
    Authority::new(&domain("a.test"), NOW).unwrap()
}

#[tokio::test]
async fn a_request_and_its_answer_go_over_tls() {
    let (service, authority) = (Script::default(), authority());
    let (port, _serving) = serve(service.clone(), Some(&authority)).await;
    let issuer = issuer(&format!("https://identity.test:{port}"));
    let granted = issuer.certify(&roots(&authority), vec![7], &token().await).await.unwrap();
    assert_eq!(granted.chain, [CertificateDer::from(vec![1]), CertificateDer::from(vec![2])]);
    assert_eq!(granted.told.bundles, [("a.test".to_owned(), vec![CertificateDer::from(vec![3])])]);
    assert_eq!(granted.told.refresh_in, Some(Duration::from_secs(300)));
    assert_eq!(granted.renew_in, Some(Duration::from_secs(30)));
    assert_eq!(service.asked(), [("Bearer abc.def".to_owned(), vec![7])]);
    assert!(issuer.bundles(&roots(&authority)).await.unwrap().bundles.is_empty());
}

#[tokio::test]
async fn a_service_at_home_is_asked_without_tls() {
    let service = Script::default();
    let (port, _serving) = serve(service.clone(), None).await;
    let issuer = issuer(&format!("http://localhost:{port}"));
    issuer.certify(&Bundles::new(), vec![7], &token().await).await.unwrap();
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn nobody_sees_the_token_who_does_not_prove_to_be_the_service() {
    let (service, good) = (Script::default(), authority());
    let (port, _serving) = serve(service.clone(), Some(&authority())).await;
    let url = format!("https://127.0.0.1:{port}");
    let error = issuer(&url).certify(&roots(&good), vec![7], &token().await).await.unwrap_err();
    assert!(
        error.to_string().contains("does not prove itself: spiffe://a.test/ns/dragoman-system"),
        "{error}"
    );
    let (port, _serving) = serve(service.clone(), Some(&good)).await;
    let mut other = issuer(&format!("https://127.0.0.1:{port}"));
    other.expected = Pattern::parse("spiffe://a.test/ns/elsewhere/sa/*").unwrap();
    let error = other.certify(&roots(&good), vec![7], &token().await).await.unwrap_err();
    assert!(error.to_string().contains("expected spiffe://a.test/ns/elsewhere/sa/*, but"), "{error}");
    let late = Issuer { clock: Clock::new(|| NOW + 7200), ..issuer(&format!("https://127.0.0.1:{port}")) };
    let error = late.certify(&roots(&good), vec![7], &token().await).await.unwrap_err();
    assert!(error.to_string().contains("expired at"), "{error}");
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn what_the_service_refuses_is_told_apart() {
    let (service, authority) = (Script::default(), authority());
    let (port, _serving) = serve(service.clone(), Some(&authority)).await;
    let issuer = issuer(&format!("https://127.0.0.1:{port}"));
    let busy = ErrorDetails::with_retry_info(Some(Duration::from_secs(9)));
    let busy = Status::with_error_details(Code::ResourceExhausted, "too often", busy);
    let retry = Some(Duration::from_secs(9));
    for (status, refused) in [
        (busy, Refused::Busy { reason: "too often".to_owned(), retry }),
        (Status::unauthenticated("no"), Refused::Unauthenticated("no".to_owned())),
        (Status::invalid_argument("csr"), Refused::Invalid("csr".to_owned())),
        (
            Status::unavailable("later"),
            Refused::Away(format!("https://127.0.0.1:{port}/: Unavailable: later")),
        ),
    ] {
        service.answers(status);
        let error = issuer.certify(&roots(&authority), vec![7], &token().await).await.unwrap_err();
        assert_eq!(error, refused);
    }
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for (url, part) in [
        (format!("https://{address}"), format!("{address}: Connection refused")),
        ("https://nowhere.test".to_owned(), "https://nowhere.test/: nowhere.test: NXDOMAIN".to_owned()),
    ] {
        let error = issuer(&url).bundles(&roots(&authority())).await.unwrap_err().to_string();
        assert!(error.contains(&part), "{error}");
    }
}
