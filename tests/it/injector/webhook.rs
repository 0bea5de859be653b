//! The role as it is assembled, asked over HTTPS as API servers ask.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use dragoman::app::Controller;
use dragoman::config::{Config, ControllerConfig};
use dragoman::identity::Clock;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{BUNDLE, WEBHOOK, installed};
use crate::harness::kubernetes::{Cluster, Kubernetes};
use crate::harness::{eventually, soon};

const ROOTS: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
const OTHER_ROOTS: &str = "-----BEGIN CERTIFICATE-----\nMAE=\n-----END CERTIFICATE-----\n";
const CONTAINER: &str = include_str!("../../golden/inject/container.yaml");
const SIDECAR: &str = include_str!("../../golden/inject/sidecar.yaml");
const PLAIN: &str = include_str!("../../golden/inject/plain/pod.json");
const AMBIGUOUS: &str = include_str!("../../golden/inject/refused-ambiguous-port/pod.json");
const HOST_NETWORK: &str = include_str!("../../golden/inject/host-network/pod.json");

/// A controller that is an injector, and its API server.
struct Injector {
    api: Cluster,
    controller: Controller,
    _kubernetes: Kubernetes,
    _dir: TempDir,
}

impl Injector {
    async fn start(api: Cluster) -> Self {
        let kubernetes = Kubernetes::over(api.clone()).await;
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let config = json!({
            "mesh": {"name": "east", "trustDomain": "east.example", "namespace": "dragoman-system"},
            "roles": ["injector"],
            "kubernetes": {"config": kubernetes.config()},
            "injector": {
                "listen": "127.0.0.1:0",
                "container": file("container.yaml", CONTAINER),
                "sidecar": file("sidecar.yaml", SIDECAR),
            },
            "admin": {"listen": "127.0.0.1:0"},
        });
        let config =
            ControllerConfig::parse("controller.yaml", config.to_string().as_bytes(), |_| None).unwrap();
        let controller = Controller::start(&config, Clock::system(), 1).await.unwrap();
        Self { api, controller, _kubernetes: kubernetes, _dir: dir }
    }

    /// One that has everything that it waits for.
    async fn ready() -> Self {
        let api = installed();
        publish(&api, ROOTS);
        let mut injector = Self::start(api).await;
        soon("the injector's readiness", injector.controller.ready()).await;
        injector
    }

    fn address(&self, door: &str) -> SocketAddr {
        self.controller.addresses[door].as_str().unwrap().parse().unwrap()
    }

    /// Asks the webhook, as an API server that goes by the webhook's configuration.
    async fn ask(&self, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
        self.ask_over(&TLS13, body).await
    }

    async fn ask_over(
        &self,
        version: &'static SupportedProtocolVersion,
        body: impl Into<Bytes>,
    ) -> (StatusCode, Bytes) {
        let webhook = self.api.get(WEBHOOK).unwrap();
        let bundle = webhook["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap();
        let bundle = base64_simd::STANDARD.decode_to_vec(bundle).unwrap();
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&bundle) {
            roots.add(root.unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address("injector")).await.unwrap();
        let name = "dragoman-injector.dragoman-system.svc".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let request = Request::post("/inject?timeout=10s").header(header::HOST, "dragoman-injector");
        exchange(stream, request.body(Full::new(body.into())).unwrap()).await
    }

    async fn review(&self, pod: &str, dry_run: bool) -> Value {
        let (status, body) = self.ask(review(pod, dry_run)).await;
        assert_eq!(status, StatusCode::OK);
        let review: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&review["apiVersion"], &review["kind"]),
            (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
        );
        assert_eq!(review["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        review["response"].clone()
    }

    async fn admin(&self, path: &str) -> (StatusCode, String) {
        let stream = TcpStream::connect(self.address("admin")).await.unwrap();
        let request = Request::get(path).header(header::HOST, "localhost").body(Full::default()).unwrap();
        let (status, body) = exchange(stream, request).await;
        (status, String::from_utf8(body.into()).unwrap())
    }

    /// The Events that are there once there are so many.
    async fn events(&self, number: usize) -> Vec<Value> {
        let events = || async { Some(self.api.all("events")).filter(|events| events.len() >= number) };
        eventually("the events", events).await
    }
}

fn publish(api: &Cluster, roots: &str) {
    let data = json!({"east.example.trust-bundle.pem": roots, "west.example.trust-bundle.pem": "x"});
    api.put_at(BUNDLE, json!({"metadata": {"name": "dragoman-trust-bundle"}, "data": data}));
}

async fn exchange<I>(io: I, request: Request<Full<Bytes>>) -> (StatusCode, Bytes)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    let _connection = dragoman::task::spawn(async move { drop(connection.await) });
    let response = soon("an answer", sender.send_request(request)).await.unwrap();
    (response.status(), response.into_body().collect().await.unwrap().to_bytes())
}

/// What an API server sends when a pod is made.
fn review(pod: &str, dry_run: bool) -> String {
    let pod: Value = serde_json::from_str(pod).unwrap();
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "namespace": "travel",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": pod,
            "oldObject": null,
            "dryRun": dry_run,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    });
    review.to_string()
}

/// The pod with the patch of an answer.
fn patched(pod: &str, response: &Value) -> Value {
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = base64_simd::STANDARD.decode_to_vec(response["patch"].as_str().unwrap()).unwrap();
    let mut pod = serde_json::from_str(pod).unwrap();
    json_patch::patch(&mut pod, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
    pod
}

/// The roots that the sidecar of a pod is given.
fn roots(pod: &Value) -> String {
    let text = pod["metadata"]["annotations"]["dragoman.dev/config"].as_str().unwrap();
    Config::parse("config.yaml", text.as_bytes(), |_| None).unwrap();
    let config: Value = serde_json::from_str(text).unwrap();
    config["identity"]["issuer"]["roots"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_pod_gets_a_sidecar_with_the_roots_of_the_cluster() {
    let injector = Injector::ready().await;
    let response = injector.review(PLAIN, false).await;
    assert_eq!(response["allowed"], true);
    let pod = patched(PLAIN, &response);
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "dragoman");
    assert_eq!(pod["metadata"]["labels"]["dragoman.dev/agent"], "currency");
    assert_eq!(roots(&pod), ROOTS);
    let [event] = &injector.events(1).await[..] else { panic!("one event") };
    assert_eq!((&event["reason"], &event["type"]), (&json!("Injected"), &json!("Normal")));
    assert_eq!(event["regarding"]["kind"], "ReplicaSet");
    assert_eq!(event["metadata"]["namespace"], "travel");
    assert_eq!(event["note"], "Sidecar put into pod currency-6d4cf56db6-*, as currency");
    let (_, metrics) = injector.admin("/metrics").await;
    let line = r#"dragoman_injections_total{decision="injected",reason="agent"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains("dragoman_injector_certificate_expiry_timestamp_seconds 1"), "{metrics}");
}

#[tokio::test]
async fn a_pod_that_asks_for_what_cannot_be_is_refused_and_one_that_cannot_have_it_is_warned() {
    let injector = Injector::ready().await;
    let response = injector.review(AMBIGUOUS, false).await;
    assert_eq!((&response["allowed"], &response["patch"]), (&json!(false), &Value::Null));
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("which port is the agent's?"), "{message}");
    let response = injector.review(HOST_NETWORK, false).await;
    assert_eq!((&response["allowed"], &response["patch"]), (&json!(true), &Value::Null));
    assert!(response["warnings"][0].as_str().unwrap().starts_with("no Dragoman sidecar"));
    let reasons: Vec<_> = injector.events(2).await.iter().map(|event| event["reason"].clone()).collect();
    assert!(reasons.contains(&json!("InjectionRefused")) && reasons.contains(&json!("InjectionSkipped")));
}

#[tokio::test]
async fn a_dry_run_leaves_no_trace() {
    let injector = Injector::ready().await;
    let response = injector.review(PLAIN, true).await;
    assert!(response["patch"].is_string());
    // Events are told in turn: when this one is there, one of the dry run would be too.
    injector.review(AMBIGUOUS, false).await;
    assert_eq!(injector.events(1).await.len(), 1);
    let (_, metrics) = injector.admin("/metrics").await;
    assert!(!metrics.contains(r#"decision="injected""#), "{metrics}");
}

#[tokio::test]
async fn a_pod_does_not_wait_for_events_that_cannot_be_told() {
    let injector = Injector::ready().await;
    injector.api.fail("POST", 403, usize::MAX);
    assert_eq!(injector.review(PLAIN, false).await["allowed"], true);
    eventually("the count", || async {
        let (_, metrics) = injector.admin("/metrics").await;
        metrics.contains(r#"dragoman_injector_events_total{result="failed"} 1"#).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_no_review_is_answered_with_what_is_wrong() {
    let injector = Injector::ready().await;
    let told =
        |(status, body): (StatusCode, Bytes)| (status.as_u16(), String::from_utf8(body.into()).unwrap());
    let (status, text) = told(injector.ask("{").await);
    assert!(status == 400 && text.starts_with("no AdmissionReview: "), "{status} {text}");
    let odd = review(r#"{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": 1}}"#, false);
    let (status, text) = told(injector.ask(odd).await);
    assert!(status == 400 && text.starts_with("no Pod: "), "{status} {text}");
    let (status, text) = told(injector.ask(vec![b' '; 3 * 1024 * 1024 + 1]).await);
    assert!(status == 413 && text.contains("3145728"), "{status} {text}");
    let (_, metrics) = injector.admin("/metrics").await;
    let line = r#"dragoman_injections_total{decision="unanswered",reason="invalid"} 3"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn an_api_server_may_still_speak_tls_1_2() {
    let injector = Injector::ready().await;
    let (status, _) = injector.ask_over(&TLS12, review(PLAIN, false)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn new_roots_are_given_to_the_next_pod() {
    let injector = Injector::ready().await;
    publish(&injector.api, OTHER_ROOTS);
    eventually("the new roots", || async {
        let pod = patched(PLAIN, &injector.review(PLAIN, true).await);
        (roots(&pod) == OTHER_ROOTS).then_some(())
    })
    .await;
    injector.api.remove_at(BUNDLE);
    let pod = patched(PLAIN, &injector.review(PLAIN, true).await);
    assert_eq!(roots(&pod), OTHER_ROOTS, "those that were there last stay");
}

#[tokio::test]
async fn without_roots_it_is_not_ready_and_says_so() {
    let mut injector = Injector::start(installed()).await;
    let missing = "injector: roots: ConfigMap dragoman-system/dragoman-trust-bundle is not there\n";
    eventually("the reason", || async {
        let (status, text) = injector.admin("/readyz").await;
        (status == StatusCode::SERVICE_UNAVAILABLE && text == missing).then_some(())
    })
    .await;
    let (status, text) = injector.ask(review(PLAIN, false)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "not ready: ConfigMap dragoman-system/dragoman-trust-bundle is not there\n");
    publish(&injector.api, ROOTS);
    soon("the injector's readiness", injector.controller.ready()).await;
    assert_eq!(injector.review(PLAIN, false).await["allowed"], true);
}
