//! The identity service against an API server in memory, in paused time.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::Secret;
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::forge;
use super::*;
use crate::identity::{Bundle, Request, SpiffeId, Svid, Usage, forge::NOW, forge::domain, forge::root, pem};
use crate::kube::fake::{self, Token};
use crate::proto::mesh::identity_server::Identity;
use crate::proto::mesh::{CertifyRequest, CertifyResponse, GetBundlesRequest};

const SECRET: &str = "/api/v1/namespaces/dragoman-system/secrets/dragoman-issuer";
const MAP: &str = "/api/v1/namespaces/dragoman-system/configmaps/dragoman-trust-bundle";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/travel/endpointslices";
const DAY: Duration = Duration::from_hours(24);
const SETTLE: Duration = Duration::from_mins(15);

/// A cluster, and replicas of the service in it.
struct Cluster {
    api: fake::Cluster,
    clock: Clock,
    settings: Settings,
}

/// One replica.
struct Replica {
    service: Service,
    signing: Signing,
    metrics: Metrics,
}

impl Cluster {
    fn new() -> Self {
        let start = Instant::now();
        let clock = Clock::new(move || NOW + i64::try_from(start.elapsed().as_secs()).unwrap());
        let settings = Settings {
            trust_domain: domain("a.test"),
            cluster_domain: "cluster.local".to_owned(),
            namespace: "dragoman-system".to_owned(),
            account: "dragoman-controller".to_owned(),
            secret: "dragoman-issuer".to_owned(),
            bundle: "dragoman-trust-bundle".to_owned(),
            audience: "dragoman-identity".to_owned(),
            lifetime: DAY,
            settle: SETTLE,
            names: BTreeMap::from([
                ("directory.travel".to_owned(), vec!["*.a2a.cluster.local".to_owned()]),
                ("dragoman-controller.dragoman-system".to_owned(), vec!["a2a.cluster.local".to_owned()]),
            ]),
            files: Vec::new(),
        };
        let api = fake::Cluster::default();
        api.token(&jwt("good"), token("currency"));
        Self { api, clock, settings }
    }

    fn start(&self) -> Replica {
        let metrics = Metrics::default();
        let client = self.api.client();
        let signing = start(&client, self.settings.clone(), self.clock.clone(), 7, metrics.clone()).unwrap();
        let service = signing.service.clone();
        Replica { service, signing, metrics }
    }

    async fn ready(&self) -> Replica {
        let mut replica = self.start();
        replica.ready().await;
        replica
    }

    fn object(&self, path: &str) -> Value {
        self.api.get(path).unwrap_or_else(|| panic!("nothing at {path}"))
    }

    /// Whether these authorities' roots are published, and no others.
    fn publishes(&self, authorities: &[&Authority]) -> bool {
        let map = self.object(MAP);
        let text = map["data"]["a.test.trust-bundle.pem"].as_str().unwrap_or_default();
        let roots = pem::read(text.as_bytes()).unwrap();
        let wanted: Vec<_> = authorities.iter().flat_map(|authority| authority.roots()).collect();
        roots.len() == wanted.len() && wanted.iter().all(|root| roots.contains(root))
    }

    /// Replaces the issuer as an operator would, who keeps nothing of the old one.
    fn rotate(&self) -> Authority {
        let next = Authority::new(&domain("a.test"), self.clock.now()).unwrap();
        let secret = secret::write("dragoman-issuer", &next, None);
        self.api.put_at(SECRET, serde_json::to_value(secret).unwrap());
        next
    }

    fn secret(&self) -> Authority {
        let secret: Secret = serde_json::from_value(self.object(SECRET)).unwrap();
        secret::read(&secret, &domain("a.test"), self.clock.now()).unwrap()
    }
}

impl Replica {
    async fn ready(&mut self) {
        let ready = self.signing.ready.wait_for(Result::is_ok);
        tokio::time::timeout(Duration::from_secs(30), ready).await.expect("ready").unwrap().as_ref().unwrap();
    }

    async fn certify(&self, token: &str) -> Result<CertifyResponse, tonic::Status> {
        self.certify_key(token, &Request::new().unwrap().der).await
    }

    /// Shows the token of that name.
    async fn certify_key(&self, token: &str, csr: &[u8]) -> Result<CertifyResponse, tonic::Status> {
        self.certify_with(&jwt(token), csr).await
    }

    /// Shows this very token.
    async fn certify_with(&self, token: &str, csr: &[u8]) -> Result<CertifyResponse, tonic::Status> {
        let mut request = tonic::Request::new(CertifyRequest { csr: csr.to_vec() });
        if !token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        self.service.certify(request).await.map(tonic::Response::into_inner)
    }

    async fn told(&self) -> Bundles {
        let told = self.service.get_bundles(tonic::Request::new(GetBundlesRequest {})).await.unwrap();
        bundles(&told.into_inner())
    }

    fn metrics(&self) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        self.metrics.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text
    }
}

/// A token as it is sent, that is good for years.
fn jwt(name: &str) -> String {
    forge::jwt(name, "dragoman-identity", NOW + 1_000_000_000)
}

fn token(account: &str) -> Token {
    Token {
        audience: "dragoman-identity".to_owned(),
        namespace: "travel".to_owned(),
        account: account.to_owned(),
        pod: Some((format!("{account}-x2x9q"), format!("uid-of-{account}"))),
    }
}

fn bundles(told: &mesh::Bundles) -> Bundles {
    let bundle = |bundle: &mesh::Bundle| {
        let domain = domain(&bundle.trust_domain);
        let roots = bundle.roots.iter().map(|der| der.clone().into()).collect();
        (domain.clone(), Bundle::new(&domain, roots).unwrap())
    };
    told.bundles.iter().map(bundle).collect()
}

fn verify(answer: &CertifyResponse, bundles: &Bundles, now: i64) -> Svid {
    let chain: Vec<_> = answer.chain.iter().map(|der| der.clone().into()).collect();
    let (leaf, rest) = chain.split_first().unwrap();
    Svid::verify(leaf, rest, bundles, Usage::Client, now).unwrap()
}

/// The DNS names in an answer's leaf.
fn names(answer: &CertifyResponse) -> Vec<String> {
    use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};
    let (_, leaf) = X509Certificate::from_der(&answer.chain[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    let dns = names.into_iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_owned()),
        _ => None,
    });
    dns.collect()
}

/// Whether a certificate was issued by that authority.
fn by(answer: &CertifyResponse, authority: &Authority) -> bool {
    let alone = BTreeMap::from([(domain("a.test"), authority.bundle().unwrap())]);
    let leaf = answer.chain[0].clone().into();
    let now = Svid::read(&leaf).unwrap().not_before + 60;
    Svid::verify(&leaf, &[], &alone, Usage::Client, now).is_ok()
}

fn slice(service: &str, pods: &[&str]) -> Value {
    let endpoint = |pod: &&str| json!({"addresses": ["10.0.0.7"], "targetRef": {"kind": "Pod", "uid": pod}});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"labels": {"kubernetes.io/service-name": service}},
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "a2a", "port": 2643, "protocol": "TCP"}],
    })
}

#[tokio::test(start_paused = true)]
async fn an_issuer_is_made_where_there_is_none_and_published() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let made = cluster.secret();
    assert!(cluster.publishes(&[&made]));
    assert!(cluster.object(SECRET)["metadata"]["annotations"]["dragoman.dev/issuer"].is_string());
    let answer = replica.certify("good").await.unwrap();
    let told = bundles(answer.bundles.as_ref().unwrap());
    let svid = verify(&answer, &told, NOW);
    assert_eq!(svid.id.as_str(), "spiffe://a.test/ns/travel/sa/currency");
    assert_eq!((svid.not_before, svid.not_after), (cluster.clock.now() - 60, cluster.clock.now() + 86_400));
    assert_eq!(answer.expires.unwrap().seconds, svid.not_after);
    let State::Loaded(own) = replica.signing.identity.borrow().clone() else { panic!("no own certificate") };
    assert_eq!(own.id.as_str(), "spiffe://a.test/ns/dragoman-system/sa/dragoman-controller");
    let text = replica.metrics();
    assert!(text.contains(r#"dragoman_certificates_issued_total{result="ok"} 1"#), "{text}");
    assert!(
        text.contains(&format!("dragoman_issuer_expiry_timestamp_seconds {}", made.not_after())),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn everybody_asks_several_times_before_a_new_root_signs() {
    for (settle, seconds) in [(Duration::from_secs(30), 10), (Duration::from_mins(15), 300)] {
        let mut cluster = Cluster::new();
        cluster.settings.settle = settle;
        let replica = cluster.ready().await;
        let told = replica.service.get_bundles(tonic::Request::new(GetBundlesRequest {})).await.unwrap();
        assert_eq!(told.into_inner().refresh_in.unwrap().seconds, seconds, "{settle:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_agree_on_one_issuer() {
    let cluster = Cluster::new();
    let replicas = [cluster.start(), cluster.start(), cluster.start()];
    let mut answers = Vec::new();
    for mut replica in replicas {
        replica.ready().await;
        answers.push(replica.certify("good").await.unwrap());
    }
    let made = cluster.secret();
    assert_eq!(cluster.api.count(&Method::POST, "/secrets"), 3, "two of them were too late");
    assert!(cluster.publishes(&[&made]));
    assert!(answers.iter().all(|answer| by(answer, &made)));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_for_us_or_not_of_a_pod_gets_nothing() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    // What it says of itself is not believed.
    cluster.api.token(&jwt("vault"), Token { audience: "vault".to_owned(), ..token("currency") });
    cluster.api.token(&jwt("loose"), Token { pod: None, ..token("currency") });
    for (token, said) in [
        (String::new(), "there is no token"),
        (jwt("unknown"), "invalid bearer token"),
        (jwt("vault"), "is invalid for the target audiences [\"dragoman-identity\"]"),
        (jwt("loose"), "the token of travel/currency is not bound to a pod"),
    ] {
        let status = replica.certify_with(&token, &Request::new().unwrap().der).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{token}");
        assert!(status.message().contains(said), "{}", status.message());
    }
    let text = replica.metrics();
    assert!(text.contains(r#"dragoman_certificates_issued_total{result="unauthenticated"} 4"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_review_is_spent_on_what_can_be_no_token_of_a_pod() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let csr = Request::new().unwrap().der;
    for (token, said) in [
        ("junk".to_owned(), "it is no JWT"),
        (forge::jwt("a", "vault", NOW + 3600), "it is not for dragoman-identity"),
        (forge::jwt("a", "dragoman-identity", cluster.clock.now() - 61), "it has expired"),
    ] {
        let status = replica.certify_with(&token, &csr).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{token}");
        assert!(status.message().contains(said), "{}", status.message());
    }
    assert_eq!(cluster.api.count(&Method::POST, "tokenreviews"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_refused_is_not_reviewed_again_for_a_moment() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let reviews = || cluster.api.count(&Method::POST, "tokenreviews");
    for _ in 0..20 {
        let status = replica.certify("late").await.unwrap_err();
        assert!(status.message().contains("invalid bearer token"), "{}", status.message());
    }
    assert_eq!(reviews(), 1);
    assert!(replica.certify("good").await.is_ok(), "nobody else has to do with it");
    // An API server may hear of a pod a little later than its kubelet.
    cluster.api.token(&jwt("late"), token("currency"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(replica.certify("late").await.is_ok());
    assert_eq!(reviews(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_request_counts_but_its_key() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let mut params = rcgen::CertificateParams::new(["bank.svc.cluster.local".to_owned()]).unwrap();
    let other = "spiffe://a.test/ns/bank/sa/vault".try_into().unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(other));
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = params.serialize_request(&key).unwrap().der().to_vec();
    let answer = replica.certify_key("good", &csr).await.unwrap();
    let svid = verify(&answer, &replica.told().await, NOW);
    assert_eq!(svid.id, SpiffeId::parse("spiffe://a.test/ns/travel/sa/currency").unwrap());
    assert!(names(&answer).is_empty());
    let reviews = cluster.api.count(&Method::POST, "tokenreviews");
    let mut tampered = csr.clone();
    *tampered.last_mut().unwrap() ^= 1;
    for broken in [&tampered[..], b"", &[0; 20_000]] {
        let status = replica.certify_key("good", broken).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("the request"), "{status}");
    }
    assert_eq!(cluster.api.count(&Method::POST, "tokenreviews"), reviews, "no review is spent on it");
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    cluster.api.token(&jwt("hotel"), token("hotel"));
    let csr = Request::new().unwrap().der;
    let mut status = None;
    for _ in 0..=200 {
        status = replica.certify_key("good", &csr).await.err();
    }
    let status = status.unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "too many requests of travel/currency");
    let again = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(again >= Duration::from_secs(1));
    assert!(replica.certify_key("hotel", &csr).await.is_ok());
    tokio::time::sleep(again).await;
    assert!(replica.certify_key("good", &csr).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_no_verdict_on_the_token() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    cluster.api.fail("POST tokenreviews", 403, 1);
    let status = replica.certify("good").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("the token cannot be reviewed: "), "{status}");
    assert!(replica.certify("good").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn names_are_those_that_endpoint_slices_confirm_and_those_that_an_operator_gave() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    cluster.api.token(&jwt("directory"), token("directory"));
    let first = replica.certify("good").await.unwrap();
    assert!(names(&first).is_empty());
    assert_eq!(first.renew_in.unwrap().seconds, 30);
    cluster
        .api
        .put_at(&format!("{SLICES}/currency-a2a-abcde"), slice("currency-a2a", &["uid-of-currency", "x"]));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let second = replica.certify("good").await.unwrap();
    assert_eq!(names(&second), ["currency.travel.svc.cluster.local"]);
    assert_eq!(second.renew_in, None);
    let directory = replica.certify("directory").await.unwrap();
    assert_eq!(names(&directory), ["*.a2a.cluster.local"]);
    let State::Loaded(own) = replica.signing.identity.borrow().clone() else { panic!("no own certificate") };
    let own = CertifyResponse { chain: vec![own.chain()[0].to_vec()], ..CertifyResponse::default() };
    let service =
        ["dragoman-identity.dragoman-system.svc.cluster.local", "dragoman-identity.dragoman-system.svc"];
    assert_eq!(names(&own), [&service[..], &["a2a.cluster.local"]].concat(), "the directory may show it");
    // Names are a courtesy: the certificate comes without them too.
    tokio::time::sleep(Duration::from_secs(30)).await;
    cluster.api.fail("GET endpointslices", 403, 1);
    assert!(names(&replica.certify("good").await.unwrap()).is_empty());
}

mod rotation;
