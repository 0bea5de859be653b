//! The identity service against an API server in memory, in paused time.

use std::time::Duration;

use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::fake::{Fake, Token};
use super::*;
use crate::identity::{Bundle, Request, SpiffeId, Svid, Usage, forge::NOW, forge::domain, forge::root, pem};
use crate::proto::mesh::identity_server::Identity;
use crate::proto::mesh::{CertifyRequest, CertifyResponse, GetBundlesRequest};

const SECRET: &str = "/api/v1/namespaces/dragoman-system/secrets/dragoman-issuer";
const MAP: &str = "/api/v1/namespaces/dragoman-system/configmaps/dragoman-trust-bundle";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/travel/endpointslices";
const DAY: Duration = Duration::from_hours(24);
const SETTLE: Duration = Duration::from_mins(15);

/// A cluster, and replicas of the service in it.
struct Cluster {
    api: Fake,
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
            names: BTreeMap::from([("directory.travel".to_owned(), vec!["*.a2a.cluster.local".to_owned()])]),
            files: Vec::new(),
        };
        let api = Fake::default();
        api.token("good", token("currency"));
        Self { api, clock, settings }
    }

    fn start(&self) -> Replica {
        let api = self.api.clone();
        let client =
            kube::Client::new(tower::service_fn(move |request| api.clone().answer(request)), "default");
        let metrics = Metrics::default();
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
        self.api.put(SECRET, serde_json::to_value(secret).unwrap());
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

    async fn certify_key(&self, token: &str, csr: &[u8]) -> Result<CertifyResponse, tonic::Status> {
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
    cluster.api.token("vault", Token { audience: "vault".to_owned(), ..token("currency") });
    cluster.api.token("loose", Token { pod: None, ..token("currency") });
    for (token, said) in [
        ("", "there is no token"),
        ("unknown", "invalid bearer token"),
        ("vault", "is invalid for the target audiences [\"dragoman-identity\"]"),
        ("loose", "the token of travel/currency is not bound to a pod"),
    ] {
        let status = replica.certify(token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{token}");
        assert!(status.message().contains(said), "{}", status.message());
    }
    let text = replica.metrics();
    assert!(text.contains(r#"dragoman_certificates_issued_total{result="unauthenticated"} 4"#), "{text}");
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
    cluster.api.token("hotel", token("hotel"));
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
    cluster.api.fail(Method::POST, "tokenreviews", StatusCode::FORBIDDEN);
    let status = replica.certify("good").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("the token cannot be reviewed: "), "{status}");
    assert!(replica.certify("good").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn names_are_those_that_endpoint_slices_confirm_and_those_that_an_operator_gave() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    cluster.api.token("directory", token("directory"));
    let first = replica.certify("good").await.unwrap();
    assert!(names(&first).is_empty());
    assert_eq!(first.renew_in.unwrap().seconds, 30);
    cluster
        .api
        .put(&format!("{SLICES}/currency-a2a-abcde"), slice("currency-a2a", &["uid-of-currency", "x"]));
    let second = replica.certify("good").await.unwrap();
    assert_eq!(names(&second), ["currency.travel.svc.cluster.local"]);
    assert_eq!(second.renew_in, None);
    let directory = replica.certify("directory").await.unwrap();
    assert_eq!(names(&directory), ["*.a2a.cluster.local"]);
    // Names are a courtesy: the certificate comes without them too.
    cluster.api.fail(Method::GET, "endpointslices", StatusCode::FORBIDDEN);
    assert!(names(&replica.certify("good").await.unwrap()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_root_is_believed_before_it_signs_and_an_old_one_until_its_certificates_have_expired() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    let new = cluster.rotate();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Published, and told, but not signing.
    assert!(cluster.publishes(&[&old, &new]));
    assert_eq!(replica.told().await[&domain("a.test")].roots().len(), 2);
    let early = replica.certify("good").await.unwrap();
    assert!(by(&early, &old));
    tokio::time::sleep(SETTLE - Duration::from_secs(10)).await;
    let last = replica.certify("good").await.unwrap();
    assert!(by(&last, &old), "until the very end");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let late = replica.certify("good").await.unwrap();
    assert!(by(&late, &new));
    let State::Loaded(own) = replica.signing.identity.borrow().clone() else { panic!("no own certificate") };
    assert!(by(
        &CertifyResponse { chain: vec![own.chain()[0].to_vec()], ..CertifyResponse::default() },
        &new
    ));
    // Whatever was signed is believed for as long as it is valid.
    tokio::time::sleep(DAY - Duration::from_secs(60)).await;
    let told = replica.told().await;
    verify(&last, &told, cluster.clock.now() - 60);
    verify(&late, &told, cluster.clock.now());
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert!(cluster.publishes(&[&new]));
    assert_eq!(replica.told().await[&domain("a.test")].roots().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_in_the_middle_the_new_root_signs_at_once_and_the_old_one_is_still_believed() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let early = replica.certify("good").await.unwrap();
    let old = cluster.secret();
    drop(replica);
    let new = cluster.rotate();
    let replica = cluster.ready().await;
    assert!(by(&replica.certify("good").await.unwrap(), &new));
    verify(&early, &replica.told().await, cluster.clock.now());
    assert!(cluster.publishes(&[&old, &new]));
}

#[tokio::test(start_paused = true)]
async fn a_broken_secret_stops_nobody_who_has_an_issuer() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    let good = cluster.object(SECRET);
    let mut broken = good.clone();
    broken["data"]["tls.key"] = json!("eA==");
    cluster.api.put(SECRET, broken);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(by(&replica.certify("good").await.unwrap(), &old));
    assert!(cluster.publishes(&[&old]));
    // Who starts now has none, and says why.
    let mut late = cluster.start();
    let reason =
        late.signing.ready.wait_for(|ready| ready.as_ref().is_err_and(|why| why.contains("tls.key")));
    let reason = tokio::time::timeout(Duration::from_secs(30), reason).await.unwrap().unwrap().clone();
    assert_eq!(reason.unwrap_err(), "Secret dragoman-issuer, tls.key: no private key in PEM");
    let status = late.certify("good").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    cluster.api.put(SECRET, good);
    late.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_a_rotation() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    cluster.api.delete(SECRET);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let new = cluster.secret();
    assert_ne!(new.certificate(), old.certificate());
    assert!(cluster.publishes(&[&old, &new]));
    assert!(by(&replica.certify("good").await.unwrap(), &old));
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_is_said_and_tried_again() {
    let cluster = Cluster::new();
    for _ in 0..3 {
        cluster.api.fail(Method::POST, "/configmaps", StatusCode::FORBIDDEN);
    }
    let mut replica = cluster.start();
    let forbidden = |ready: &Result<(), String>| ready.as_ref().is_err_and(|why| why.contains("ConfigMap"));
    tokio::time::timeout(Duration::from_secs(30), replica.signing.ready.wait_for(forbidden))
        .await
        .expect("a root that is not published signs nothing")
        .unwrap();
    replica.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_conflict_over_the_bundles_loses_nothing() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    // Somebody else writes into the ConfigMap while we decide.
    cluster.api.fail(Method::PUT, "/configmaps/", StatusCode::CONFLICT);
    let mut map = cluster.object(MAP);
    map["data"]["note"] = json!("by hand");
    cluster.api.put(MAP, map);
    let new = cluster.rotate();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(cluster.publishes(&[&old, &new]));
    assert_eq!(cluster.object(MAP)["data"]["note"], "by hand");
    assert!(replica.certify("good").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn replicas_do_not_fight_over_files_that_they_see_differently() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    for name in ["old", "new"] {
        std::fs::write(dir.path().join(name), root("b.test").pem()).unwrap();
    }
    cluster.settings.files = vec![(domain("b.test"), dir.path().join("old"))];
    let one = cluster.ready().await;
    cluster.settings.files = vec![(domain("b.test"), dir.path().join("new"))];
    let two = cluster.ready().await;
    let before = cluster.api.count(&Method::PUT, "/configmaps/");
    tokio::time::sleep(Duration::from_mins(10)).await;
    let writes = cluster.api.count(&Method::PUT, "/configmaps/") - before;
    assert!((2..=25).contains(&writes), "{writes} writes in ten minutes");
    assert_ne!(one.told().await, two.told().await, "each tells what it sees");
}

#[tokio::test(start_paused = true)]
async fn other_trust_domains_are_told_as_their_files_say() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("west.pem");
    let mut cluster = Cluster::new();
    cluster.settings.files = vec![(domain("b.test"), path.clone()), (domain("a.test"), path.clone())];
    let replica = cluster.ready().await;
    assert_eq!(replica.told().await.len(), 1);
    std::fs::write(&path, root("b.test").pem()).unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(replica.told().await.contains_key(&domain("b.test")));
    assert!(cluster.object(MAP)["data"]["b.test.trust-bundle.pem"].is_string());
    std::fs::write(&path, "").unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(replica.told().await.len(), 1);
    assert!(cluster.object(MAP)["data"]["b.test.trust-bundle.pem"].is_null());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_of_ours_that_grows_old_is_replaced_in_time() {
    let cluster = Cluster::new();
    let eight_years_ago = NOW - 8 * 365 * 86_400;
    let old = Authority::new(&domain("a.test"), eight_years_ago).unwrap();
    let secret = secret::write("dragoman-issuer", &old, None);
    cluster.api.put(SECRET, serde_json::to_value(secret).unwrap());
    let replica = cluster.ready().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let new = cluster.secret();
    assert_ne!(new.certificate(), old.certificate());
    assert!(cluster.publishes(&[&old, &new]));
    assert!(by(&replica.certify("good").await.unwrap(), &old));
    tokio::time::sleep(SETTLE).await;
    assert!(by(&replica.certify("good").await.unwrap(), &new));
    assert_eq!(cluster.secret().certificate(), new.certificate(), "once is enough");
}
