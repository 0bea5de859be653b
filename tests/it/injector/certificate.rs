//! The webhook's certificate over its whole life. What holds all the time: the leaf that is shown is one that API servers
//! believe.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dragoman::identity::Clock;
use dragoman::kube::inject::{Keeper, Metrics, SETTLE, Serving, watch_dir};
use http::Method;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{SECRET, WEBHOOK, installed};
use crate::harness::kubernetes::Cluster;
use crate::harness::soon;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;
const HOUR: Duration = Duration::from_secs(3600);
/// When a CA has four fifths of its ten years behind it.
const CA_OUTLIVED: i64 = 2920 * DAY;

/// Injectors' wall clock: it goes with the runtime's, and can be put forward.
#[derive(Clone)]
struct Wall {
    ahead: Arc<AtomicI64>,
    begun: Instant,
}

impl Wall {
    fn new() -> Self {
        Self { ahead: Arc::default(), begun: Instant::now() }
    }

    fn now(&self) -> i64 {
        let elapsed = i64::try_from(self.begun.elapsed().as_secs()).unwrap();
        NOW + self.ahead.load(Ordering::Relaxed) + elapsed
    }

    fn forward(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// An injector that keeps the certificate.
struct Replica {
    serving: watch::Receiver<Serving>,
    _task: AbortOnDropHandle<()>,
}

impl Replica {
    fn start(api: &Cluster, wall: &Wall, seed: u64) -> Self {
        let clock = wall.clone();
        let keeper = Keeper {
            client: api.client(),
            namespace: "dragoman-system".to_owned(),
            secret: "dragoman-injector-tls".to_owned(),
            webhook: "dragoman-injector".to_owned(),
            names: vec!["dragoman-injector.dragoman-system.svc".to_owned()],
            clock: Clock::new(move || clock.now()),
            seed,
            metrics: Metrics::default(),
        };
        let (serving, task) = keeper.start();
        Self { serving, _task: task }
    }

    async fn ready(&mut self) -> CertificateDer<'static> {
        let ready = timeout(HOUR, self.serving.wait_for(Result::is_ok)).await;
        drop(ready.expect("a certificate within the hour").unwrap());
        self.leaf()
    }

    fn leaf(&self) -> CertificateDer<'static> {
        self.serving.borrow().as_ref().unwrap().cert[0].clone()
    }

    fn reason(&self) -> String {
        self.serving.borrow().as_ref().err().cloned().unwrap()
    }
}

fn decoded(value: &Value) -> String {
    let bytes = base64_simd::STANDARD.decode_to_vec(value.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Whom API servers believe.
fn bundle(api: &Cluster) -> String {
    let webhook = api.get(WEBHOOK).unwrap();
    let bundles: Vec<_> = webhook["webhooks"].as_array().unwrap().iter().collect();
    assert_eq!(bundles[0]["clientConfig"]["caBundle"], bundles[1]["clientConfig"]["caBundle"]);
    decoded(&bundles[0]["clientConfig"]["caBundle"])
}

fn count(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

/// Whether an API server believes a leaf.
fn believed(api: &Cluster, leaf: &CertificateDer<'_>, wall: &Wall) -> bool {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle(api).as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let name = "dragoman-injector.dragoman-system.svc".try_into().unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(wall.now()).unwrap()));
    rustls::client::danger::ServerCertVerifier::verify_server_cert(&*verifier, leaf, &[], &name, &[], now)
        .is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_made_and_api_servers_are_told_whom_to_believe() {
    let (api, wall) = (installed(), Wall::new());
    let mut replica = Replica::start(&api, &wall, 1);
    let leaf = replica.ready().await;
    assert!(believed(&api, &leaf, &wall));
    let secret = api.get(SECRET).unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(decoded(&secret["data"]["ca.crt"]), bundle(&api));
    let [(method, query, 200)] = &api.writes("mutatingwebhook")[..] else { panic!("one patch") };
    assert_eq!(*method, Method::PATCH);
    assert!(query.contains("fieldManager=dragoman-injector") && query.contains("force=true"), "{query}");
    let webhook = &api.get(WEBHOOK).unwrap()["webhooks"][0];
    assert_eq!(webhook["clientConfig"]["service"]["path"], "/inject", "what the chart says stays");
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_agree() {
    let (api, wall) = (installed(), Wall::new());
    let mut replicas: Vec<_> = (0..3).map(|seed| Replica::start(&api, &wall, seed)).collect();
    let mut leaves = Vec::new();
    for replica in &mut replicas {
        leaves.push(replica.ready().await);
    }
    assert!(leaves.iter().all(|leaf| *leaf == leaves[0]), "all show the same");
    let statuses: Vec<_> = api.writes("secrets").iter().map(|(_, _, status)| *status).collect();
    assert_eq!(statuses, [201, 409, 409], "one was first");
}

#[tokio::test(start_paused = true)]
async fn a_leaf_is_renewed_and_every_replica_takes_it_over() {
    let (api, wall) = (installed(), Wall::new());
    let (mut one, mut other) = (Replica::start(&api, &wall, 1), Replica::start(&api, &wall, 2));
    let before = one.ready().await;
    other.ready().await;
    let known = bundle(&api);
    wall.forward(21 * DAY);
    sleep(HOUR).await;
    assert_ne!(one.leaf(), before);
    assert_eq!(one.leaf(), other.leaf());
    assert_eq!(bundle(&api), known);
    assert!(believed(&api, &one.leaf(), &wall));
    let statuses: Vec<_> = api.writes("secrets").iter().map(|(_, _, status)| *status).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status != 409).collect::<Vec<_>>(),
        [&201, &200],
        "made once, renewed once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_too_late_is_given_up() {
    let (api, wall) = (installed(), Wall::new());
    let mut replica = Replica::start(&api, &wall, 1);
    replica.ready().await;
    api.meddle("PUT");
    wall.forward(21 * DAY);
    sleep(HOUR).await;
    let statuses: Vec<_> = api.writes("secrets").iter().map(|(_, _, status)| *status).collect();
    assert_eq!(statuses, [201, 409, 200]);
    let secret = api.get(SECRET).unwrap();
    assert_eq!(secret["metadata"]["labels"]["meddled"], "yes", "what the other one wrote is still there");
    assert!(believed(&api, &replica.leaf(), &wall));
}

#[tokio::test(start_paused = true)]
async fn a_new_ca_is_told_before_it_signs() {
    let (api, wall) = (installed(), Wall::new());
    let (mut one, mut other) = (Replica::start(&api, &wall, 1), Replica::start(&api, &wall, 2));
    one.ready().await;
    other.ready().await;
    wall.forward(CA_OUTLIVED - 20 * DAY);
    sleep(HOUR).await;
    let before = one.leaf();
    assert_eq!(count(&bundle(&api)), 1);
    wall.forward(20 * DAY - 10);
    while count(&bundle(&api)) == 1 {
        soon("a change", api.changed()).await;
    }
    assert_eq!((one.leaf(), other.leaf()), (before.clone(), before.clone()), "the old leaf is still shown");
    assert!(believed(&api, &before, &wall));
    sleep(SETTLE - Duration::from_secs(30)).await;
    assert_eq!(one.leaf(), before, "API servers may not have heard of it yet");
    sleep(Duration::from_mins(2)).await;
    assert_ne!(one.leaf(), before);
    assert_eq!(one.leaf(), other.leaf());
    assert!(believed(&api, &before, &wall) && believed(&api, &one.leaf(), &wall), "both are believed");
    wall.forward(31 * DAY);
    sleep(HOUR).await;
    assert_eq!(count(&bundle(&api)), 1, "nobody needs the old one any more");
    assert!(!believed(&api, &before, &wall) && believed(&api, &one.leaf(), &wall));
}

#[tokio::test(start_paused = true)]
async fn while_api_servers_cannot_be_told_nothing_changes() {
    let (api, wall) = (installed(), Wall::new());
    let mut replica = Replica::start(&api, &wall, 1);
    let before = replica.ready().await;
    api.fail("PATCH", 403, usize::MAX);
    api.remove_at(SECRET);
    sleep(HOUR).await;
    assert_eq!(replica.leaf(), before);
    assert!(believed(&api, &before, &wall));
    api.heal();
    sleep(HOUR).await;
    assert_ne!(replica.leaf(), before);
    assert!(believed(&api, &replica.leaf(), &wall));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_deleted_or_spoiled_is_made_anew() {
    let (api, wall) = (installed(), Wall::new());
    let mut replica = Replica::start(&api, &wall, 1);
    let before = replica.ready().await;
    api.remove_at(SECRET);
    while count(&bundle(&api)) == 1 {
        soon("a change", api.changed()).await;
    }
    assert!(believed(&api, &before, &wall), "who still shows the old one is believed");
    sleep(HOUR).await;
    let after = replica.leaf();
    assert_ne!(after, before);
    assert!(believed(&api, &after, &wall));
    let mut secret = api.get(SECRET).unwrap();
    secret["data"]["tls.key"] = "bm9uZQ==".into();
    api.put_at(SECRET, secret);
    sleep(HOUR).await;
    assert_ne!(replica.leaf(), after);
    assert!(believed(&api, &replica.leaf(), &wall));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_takes_out_of_the_webhook_is_put_back() {
    let (api, wall) = (installed(), Wall::new());
    let mut replica = Replica::start(&api, &wall, 1);
    let leaf = replica.ready().await;
    let mut webhook = api.get(WEBHOOK).unwrap();
    for webhook in webhook["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
    }
    let begun = Instant::now();
    api.put_at(WEBHOOK, webhook);
    while api.get(WEBHOOK).unwrap()["webhooks"][1]["clientConfig"]["caBundle"].is_null() {
        soon("a change", api.changed()).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "it was seen, not come across");
    assert!(believed(&api, &leaf, &wall));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_said_and_waited_for() {
    let (api, wall) = (installed(), Wall::new());
    api.fail("GET", 403, usize::MAX);
    let mut replica = Replica::start(&api, &wall, 1);
    sleep(HOUR).await;
    assert!(replica.reason().starts_with("cannot read Secret dragoman-system/dragoman-injector-tls: "));
    api.heal();
    let leaf = replica.ready().await;
    assert!(believed(&api, &leaf, &wall));
}

#[tokio::test(start_paused = true)]
async fn without_a_webhook_there_is_nobody_to_tell_until_there_is_one() {
    let (api, wall) = (Cluster::default(), Wall::new());
    let begun = Instant::now();
    let mut replica = Replica::start(&api, &wall, 1);
    let leaf = replica.ready().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "an emergency measure holds nobody up");
    // A renewal too.
    wall.forward(21 * DAY);
    sleep(HOUR).await;
    assert_ne!(replica.leaf(), leaf);
    let begun = Instant::now();
    let webhooks = json!([{"name": "a", "clientConfig": {}}, {"name": "b", "clientConfig": {}}]);
    api.put_at(WEBHOOK, json!({"metadata": {"name": "dragoman-injector"}, "webhooks": webhooks}));
    while api.get(WEBHOOK).unwrap()["webhooks"][1]["clientConfig"]["caBundle"].is_null() {
        api.changed().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "it was seen, not come across");
    assert!(believed(&api, &replica.leaf(), &wall));
    // Taken away and given back, as it was.
    let webhook = api.get(WEBHOOK).unwrap();
    api.remove_at(WEBHOOK);
    sleep(HOUR).await;
    api.put_at(WEBHOOK, webhook);
    assert!(believed(&api, &replica.leaf(), &wall));
}

#[tokio::test(start_paused = true)]
async fn files_of_somebody_else_are_read_again_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let (api, wall) = (installed(), Wall::new());
    let mut replica = Replica::start(&api, &wall, 1);
    let write = |name: &str| {
        let data = &api.get(SECRET).unwrap()["data"][name];
        std::fs::write(dir.path().join(name), decoded(data)).unwrap();
    };
    let (mut serving, _task) = watch_dir(dir.path().to_owned(), Metrics::default());
    drop(
        serving
            .wait_for(|serving| matches!(serving, Err(reason) if reason.contains("tls.crt")))
            .await
            .unwrap(),
    );
    let first = replica.ready().await;
    write("tls.crt");
    write("tls.key");
    let shown = |serving: &watch::Receiver<Serving>| serving.borrow().as_ref().unwrap().cert[0].clone();
    drop(serving.wait_for(Result::is_ok).await.unwrap());
    assert_eq!(shown(&serving), first);
    wall.forward(21 * DAY);
    sleep(HOUR).await;
    write("tls.key");
    sleep(HOUR).await;
    assert_eq!(shown(&serving), first, "a key alone changes nothing");
    write("tls.crt");
    sleep(HOUR).await;
    assert_eq!(shown(&serving), replica.leaf());
}
