//! Sidecars that get their identity from a real identity service over real TLS; only the API server behind it is the test's.

use std::net::Ipv4Addr;
use std::path::Path;

use dragoman::app::Controller;
use http::Method;
use serde_json::{Value, json};

use crate::harness::agent::{Agent, message};
use crate::harness::client::say;
use crate::harness::dns::{self, Dns};
use crate::harness::kubernetes::{Kubernetes, Token, door};
use crate::harness::mesh::{Mesh, Sidecar, beside, known, merge};
use crate::harness::{eventually, logs, soon};

#[path = "../../src/kube/sign/forge.rs"]
mod forge;

const HOST: &str = "dragoman-identity.dragoman-system.svc.cluster.local";
const SECRET: &str = "/api/v1/namespaces/dragoman-system/secrets/dragoman-issuer";
const MAP: &str = "/api/v1/namespaces/dragoman-system/configmaps/dragoman-trust-bundle";

/// A mesh whose sidecars know nobody but the identity service.
struct House {
    mesh: Mesh,
    kubernetes: Kubernetes,
    dns: Dns,
    dir: tempfile::TempDir,
}

impl House {
    async fn build() -> Self {
        let dns = Dns::start().await;
        dns.serve([dns::host(&format!("{HOST}."), Ipv4Addr::LOCALHOST)]);
        let dir = tempfile::tempdir().unwrap();
        Self { mesh: Mesh::new(), kubernetes: Kubernetes::start().await, dns, dir }
    }

    async fn controller(&self, more: Value) -> Controller {
        let mut config = json!({"roles": ["identity"]});
        merge(&mut config, more);
        self.kubernetes.controller(&self.mesh, config).await
    }

    /// What the injector would write into a sidecar's configuration as the roots.
    fn roots(&self) -> String {
        let map = self.kubernetes.api.get(MAP).unwrap();
        map["data"][format!("{}.trust-bundle.pem", self.mesh.domain)].as_str().unwrap().to_owned()
    }

    /// A token of a service account that the API server knows, as the kubelet writes it.
    fn token(&self, account: &str, name: &str) {
        let token = Token {
            audience: "dragoman-identity".to_owned(),
            namespace: self.mesh.namespace.clone(),
            account: account.to_owned(),
            pod: Some((format!("{account}-0"), format!("uid-of-{account}"))),
        };
        self.kubernetes.api.token(&jwt(name), token);
        self.write(account, name);
    }

    /// What the endpoint slice controller writes about the pod of an agent.
    fn slice(&self, agent: &str) {
        let namespace = &self.mesh.namespace;
        let path =
            format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{agent}-a2a-abcde");
        let target = json!({"kind": "Pod", "name": format!("{agent}-0"), "uid": format!("uid-of-{agent}")});
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"labels": {"kubernetes.io/service-name": format!("{agent}-a2a")}},
            "endpoints": [{"addresses": ["127.0.0.1"], "targetRef": target}],
            "ports": [{"name": "a2a", "port": 2643, "protocol": "TCP"}],
        });
        self.kubernetes.api.put_at(&path, slice);
    }

    /// What the kubelet writes, whatever the API server knows.
    fn write(&self, account: &str, name: &str) {
        std::fs::create_dir_all(self.dir.path().join(account)).unwrap();
        std::fs::write(self.dir.path().join(account).join("token"), jwt(name)).unwrap();
    }

    /// A sidecar that asks the identity service at that port.
    fn start(&self, account: &str, port: u16, roots: &str, more: Value) -> Sidecar {
        let dir = self.dir.path().join(account);
        let mut config = self.mesh.config(account, more);
        config["identity"] = json!({"issuer": {
            "url": format!("https://{HOST}:{port}"),
            "tokenFile": dir.join("token"),
            "roots": roots,
            "state": dir.join("state"),
        }});
        config["discovery"]["nameservers"] = json!([self.dns.address.to_string()]);
        self.mesh.start_as(&config)
    }
}

/// The token of that name, for the identity service and for a long time.
fn jwt(name: &str) -> String {
    forge::jwt(name, "dragoman-identity", 4_000_000_000)
}

/// What a sidecar that is not ready is waiting for.
async fn waits_for(sidecar: &Sidecar, part: &str) {
    eventually(part, || async { sidecar.page("/startupz").await.body.contains(part).then_some(()) }).await;
}

/// Every file below a directory, as text where it is any.
fn texts(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: std::path::PathBuf| match path.is_dir() {
        true => texts(&path),
        false => vec![String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()],
    };
    entries.flat_map(below).collect()
}

#[tokio::test]
async fn two_sidecars_get_their_identities_from_the_service_and_talk() {
    let house = House::build().await;
    let controller = house.controller(json!({})).await;
    let (port, roots) = (door(&controller, "identity").port(), house.roots());
    house.token("currency", "token-of-currency");
    house.token("planner", "token-of-planner");
    house.slice("currency");
    let agent = Agent::start().await;
    let url = agent.url();
    let _answering = agent.always(|_| message("hello"));
    let mut currency = house.start("currency", port, &roots, beside("currency", &url));
    soon("an identity", currency.app.ready()).await;
    let mut planner = house.start("planner", port, &roots, known("currency", &[currency.inbound()]));
    soon("an identity", planner.app.ready()).await;
    assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("hello"));
    let peer = house.mesh.id("planner").to_string();
    logs::line("who called", |line| line["direction"] == "inbound" && line["peer"] == *peer).await;
    // The decision is a line for the operator, without the token.
    let id = house.mesh.id("currency").to_string();
    let line = logs::line("the decision", |line| line["id"] == *id && line["decision"] == "allowed").await;
    assert_eq!(line["pod"], "currency-0");
    assert_eq!(line["dns"], format!("currency.{}.svc.cluster.local", house.mesh.namespace));
    let tokens = [jwt("token-of-currency"), jwt("token-of-planner")];
    let secret = |line: &Value| tokens.iter().any(|token| line.to_string().contains(token));
    assert_eq!(logs::count(secret), 0);
    // Keys are nowhere but in memory.
    let texts = texts(house.dir.path());
    assert!(texts.iter().any(|text| text.contains("CERTIFICATE")), "the bundles are kept");
    assert!(!texts.iter().any(|text| text.contains("PRIVATE KEY")));
}

#[tokio::test]
async fn a_token_that_is_replaced_is_taken_the_next_time() {
    let house = House::build().await;
    let controller = house.controller(json!({})).await;
    house.write("currency", "stale");
    let port = door(&controller, "identity").port();
    let mut currency = house.start("currency", port, &house.roots(), json!({}));
    waits_for(&currency, "does not accept the token: the token is not accepted: [invalid bearer token").await;
    house.token("currency", "fresh");
    // An API server that stumbles is asked again.
    house.kubernetes.api.fail("POST tokenreviews", 500, 1);
    soon("an identity", currency.app.ready()).await;
}

#[tokio::test]
async fn a_service_that_is_away_costs_nobody_an_identity_and_is_found_when_it_is_back() {
    let house = House::build().await;
    let controller = house.controller(json!({})).await;
    let (address, roots) = (door(&controller, "identity"), house.roots());
    for account in ["currency", "planner", "hotel"] {
        house.token(account, account);
    }
    let agent = Agent::start().await;
    let url = agent.url();
    let _answering = agent.always(|_| message("hello"));
    let mut currency = house.start("currency", address.port(), &roots, beside("currency", &url));
    let mut planner =
        house.start("planner", address.port(), &roots, known("currency", &[currency.inbound()]));
    soon("both identities", async { tokio::join!(currency.app.ready(), planner.app.ready()) }).await;
    drop(controller);
    let mut hotel = house.start("hotel", address.port(), &roots, known("currency", &[currency.inbound()]));
    waits_for(
        &hotel,
        &format!("https://{HOST}:{}/: 127.0.0.1:{}: Connection refused", address.port(), address.port()),
    )
    .await;
    assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("hello"));
    // The same issuer, from the Secret.
    let _controller = house.controller(json!({"issuer": {"listen": address.to_string()}})).await;
    soon("an identity", hotel.app.ready()).await;
    assert!(hotel.call("currency", "SendMessage", &say("x")).await.result().contains("hello"));
}

#[tokio::test]
async fn a_service_that_cannot_prove_itself_never_sees_a_token() {
    let house = House::build().await;
    let controller = house.controller(json!({})).await;
    house.token("currency", "token");
    let port = door(&controller, "identity").port();
    // Another authority of the same trust domain.
    let currency = house.start("currency", port, house.mesh.authority.root_pem(), json!({}));
    waits_for(
        &currency,
        "the identity service does not prove itself: spiffe://east.example/ns/dragoman-system",
    )
    .await;
    assert_eq!(house.kubernetes.api.count(&Method::POST, "tokenreviews"), 0);
}

#[tokio::test]
async fn in_a_rotation_newcomers_talk_with_those_who_have_not_heard_of_the_new_root() {
    let house = House::build().await;
    let controller = house.controller(json!({})).await;
    let port = door(&controller, "identity").port();
    for account in ["currency", "planner"] {
        house.token(account, account);
    }
    let agent = Agent::start().await;
    let url = agent.url();
    let _answering = agent.always(|_| message("hello"));
    let mut currency = house.start("currency", port, &house.roots(), beside("currency", &url));
    soon("an identity", currency.app.ready()).await;
    // Who deletes the issuer gets another one.
    house.kubernetes.api.remove_at(SECRET);
    let roots = || house.roots().matches("BEGIN").count();
    eventually("the new root", || async {
        tokio::task::yield_now().await;
        (roots() == 2).then_some(())
    })
    .await;
    let mut planner = house.start("planner", port, &house.roots(), known("currency", &[currency.inbound()]));
    soon("an identity", planner.app.ready()).await;
    assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("hello"));
}
