//! Who is believed: identities that do not match, are not trusted, or are not there; and policy.

use std::sync::Arc;
use std::time::Duration;

use dragoman::a2a::Operation;
use dragoman::identity::{Authority, Clock};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::agent::{Agent, message};
use crate::harness::client::{Answer, Client, JSON, envelope, say};
use crate::harness::mesh::{Mesh, Pair, beside, known};
use crate::harness::peer::Peer;
use crate::harness::{logs, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// The call's line in the log of whoever logs that direction.
async fn call_line(agent: &str, direction: &str) -> Value {
    logs::line("the call's line", |line| {
        line["target"] == "dragoman::call" && line["agent"] == agent && line["direction"] == direction
    })
    .await
}

/// The caller is told the reason and nothing about identities.
fn tells_only(answer: &Answer, reason: &str) {
    assert_eq!((answer.status, answer.reason()), (200, reason.into()));
    assert_eq!(answer.json()["error"]["code"], -32603);
    assert!(!answer.body.contains("spiffe") && !answer.body.contains("/sa/"), "{}", answer.body);
}

#[tokio::test]
async fn a_finished_call_is_one_line_with_who_asked_whom_for_what() {
    let mut pair = Pair::start().await;
    let mut caller = Client::connect(pair.planner.outbound).await;
    let trace = "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let body = envelope("SendMessage", &say("secret words"));
    caller.request("POST /agents/currency", &format!("{JSON}Authorization: secret\r\n{trace}"), &body).await;
    pair.agent.request().await.result(&message("secret answer")).await;
    caller.answer().await;
    let agent = pair.mesh.agent("currency");
    for (direction, peer, binding) in
        [("inbound", json!(pair.mesh.id("planner").as_str()), "GRPC"), ("outbound", Value::Null, "JSONRPC")]
    {
        let line = call_line(&agent, direction).await;
        assert_eq!(line["peer"], peer, "{line}");
        let says = (&line["operation"], &line["binding"], &line["decision"], &line["code"]);
        assert_eq!(says, (&json!("SendMessage"), &json!(binding), &json!("allowed"), &json!(0)));
        assert!(line["duration_ms"].is_f64() && line["bytes_in"].is_u64() && line["bytes_out"].is_u64());
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert!(!line.to_string().contains("secret"), "{line}");
        assert_eq!(logs::count(|line| line["agent"] == *agent && line["direction"] == direction), 1);
    }
}

#[tokio::test]
async fn a_peer_that_is_somebody_else_is_a_mismatch_that_names_both_to_the_operator() {
    let elsewhere =
        json!({"identity": {"servers": {"currency": "spiffe://east.example/ns/bank/sa/currency"}}});
    let mut pair = Pair::with(elsewhere, json!({})).await;
    tells_only(&pair.planner.call("currency", "SendMessage", &say("x")).await, "PEER_MISMATCH");
    assert!(!pair.agent.was_asked());
    let line = call_line(&pair.mesh.agent("currency"), "outbound").await;
    assert_eq!((&line["decision"], &line["reason"]), (&json!("denied"), &json!("PEER_MISMATCH")));
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains("spiffe://east.example/ns/bank/sa/currency"), "{cause}");
    assert!(cause.contains(pair.mesh.id("currency").as_str()), "{cause}");
}

#[tokio::test]
async fn an_agent_of_one_namespace_cannot_pass_for_one_of_another() {
    let pair = Pair::start().await;
    // The name is of another namespace, the address and the identity are of this one.
    let planner = pair.mesh.sidecar("planner", known("currency.bank", &[pair.currency.inbound()])).await;
    tells_only(&planner.call("currency.bank", "SendMessage", &say("x")).await, "PEER_MISMATCH");
}

#[tokio::test]
async fn a_peer_whose_certificate_nobody_vouches_for_is_left_for_one_that_is_good() {
    let mesh = Mesh::new();
    let rogue = Authority::new(&mesh.domain, Clock::system().now()).unwrap();
    let (mut caught, good) = (Agent::start().await, Agent::start().await);
    mesh.issue_by(&rogue, "rogue", HOUR);
    let mut impostor = mesh.start("rogue", beside("currency", &caught.url()));
    soon("the rogue identity", impostor.app.ready()).await;
    let currency = mesh.sidecar("currency", beside("currency", &good.url())).await;
    let alone = mesh.sidecar("alone", known("currency", &[impostor.inbound()])).await;
    tells_only(&alone.call("currency", "SendMessage", &say("x")).await, "PEER_UNTRUSTED");
    let line = call_line(&mesh.agent("currency"), "outbound").await;
    assert_eq!((&line["decision"], &line["reason"]), (&json!("denied"), &json!("PEER_UNTRUSTED")));

    let _answering = good.always(|_| message("good"));
    let planner = mesh.sidecar("planner", known("currency", &[impostor.inbound(), currency.inbound()])).await;
    for _ in 0..10 {
        assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("good"));
    }
    assert!(!caught.was_asked());
}

#[tokio::test]
async fn a_caller_whose_certificate_nobody_vouches_for_is_told_at_both_ends() {
    let mut pair = Pair::start().await;
    let rogue = Authority::new(&pair.mesh.domain, Clock::system().now()).unwrap();
    let dir = pair.mesh.issue_by(&rogue, "rogue", HOUR);
    // It believes the others, but they do not believe it.
    std::fs::write(dir.join("ca.crt"), format!("{}{}", rogue.root_pem(), pair.mesh.authority.root_pem()))
        .unwrap();
    let mut planner = pair.mesh.start("rogue", known("currency", &[pair.currency.inbound()]));
    soon("the identity", planner.app.ready()).await;
    for (method, params) in [("SendMessage", &*say("x")), ("GetTask", r#"{"id":"t"}"#)] {
        tells_only(&planner.call("currency", method, params).await, "PEER_UNTRUSTED");
    }
    assert!(!pair.agent.was_asked());
    let refused = ["reason=\"PEER_UNTRUSTED\""];
    assert!(pair.currency.metrics().await.sum("dragoman_faults_total", &refused) >= 1.0);
    logs::line("the refusal", |line| {
        line["target"] == "dragoman::refused"
            && line["direction"] == "inbound"
            && line["cause"].as_str().is_some_and(|cause| cause.contains("127.0.0.1"))
    })
    .await;
}

#[tokio::test]
async fn a_peer_of_a_trust_domain_that_is_not_known_gets_nothing() {
    let mut pair = Pair::start().await;
    let west = Mesh::named("west");
    let dir = west.issue("planner");
    // It knows the east, so that it can begin.
    std::fs::write(dir.join("east.example.trust-bundle.pem"), pair.mesh.authority.root_pem()).unwrap();
    let mut config = known(&pair.mesh.agent("currency"), &[pair.currency.inbound()]);
    config["meshes"] = json!([{"name": "east", "trustDomain": "east.example"}]);
    let mut planner = west.start("planner", config);
    soon("the identity", planner.app.ready()).await;
    let answer = planner.call(&pair.mesh.agent("currency"), "SendMessage", &say("x")).await;
    tells_only(&answer, "PEER_UNTRUSTED");
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_or_without_tls() {
    let mesh = Mesh::new();
    let mut agent = Agent::start().await;
    // An ordinary client checks the server's name, which a certificate may have beside the ID.
    let issued =
        mesh.authority.issue(&mesh.id("currency"), &["currency.example"], HOUR, Clock::system().now());
    issued.unwrap().save(&mesh.files("currency")).unwrap();
    let mut currency = mesh.start("currency", beside("currency", &agent.url()));
    soon("the identity", currency.app.ready()).await;

    let mut plain = Client::connect(currency.inbound()).await;
    plain.request("POST /", "Host: x\r\nContent-Type: application/json\r\n", "{}").await;
    plain.closed().await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(mesh.authority.roots()[0].clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(currency.inbound()).await.unwrap();
    let name = "currency.example".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let error = soon("the end", stream.read(&mut [0; 64])).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    assert!(!agent.was_asked());
}

#[tokio::test]
async fn what_policy_does_not_allow_is_denied_with_the_reason_for_the_operator_alone() {
    let mesh = Mesh::new();
    let rule = json!({
        "from": [format!("spiffe://east.example/ns/{}/sa/planner", mesh.namespace)],
        "operations": ["GetTask", "SubscribeToTask"],
    });
    let mut agent = Agent::start().await;
    let mut config = beside("currency", &agent.url());
    config["policy"] = json!({"allow": [rule]});
    let currency = mesh.sidecar("currency", config).await;
    let planner = mesh.sidecar("planner", known("currency", &[currency.inbound()])).await;
    let mut caller = planner.begin("currency", "GetTask", r#"{"id":"t"}"#).await;
    agent.request().await.result(r#"{"id":"t","status":{}}"#).await;
    assert_eq!(caller.answer().await.status, 200);

    let answer = planner.call("currency", "SendMessage", &say("x")).await;
    tells_only(&answer, "PERMISSION_DENIED");
    assert_eq!(answer.json()["error"]["message"], "the agent's policy does not allow this");
    let (peer, name) = (mesh.id("planner"), mesh.agent("currency"));
    let line = logs::line("the denial", |line| {
        line["agent"] == *name && line["direction"] == "inbound" && line["decision"] == "denied"
    })
    .await;
    assert_eq!(
        (line["peer"].as_str(), line["operation"].as_str()),
        (Some(peer.as_str()), Some("SendMessage"))
    );
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains(peer.as_str()) && cause.contains(&name) && cause.contains("allow[0]"), "{cause}");

    let stranger = Peer::connect(&mesh, "stranger", currency.inbound(), "currency").await;
    let denied = stranger.call(Operation::GetTask, r#"{"id":"t"}"#, &[]).await;
    assert_eq!((denied.status(), denied.header("grpc-message").unwrap().contains("allow%5B")), (7, false));
    let metrics = currency.metrics().await;
    assert_eq!(metrics.sum("dragoman_faults_total", &["reason=\"PERMISSION_DENIED\""]), 2.0);
    assert!(!agent.was_asked());
}

#[tokio::test]
async fn an_agent_of_another_mesh_is_called_by_its_full_name_once_both_sides_agree() {
    let (east, west) = (Mesh::new(), Mesh::named("west"));
    let agent = Agent::start().await;
    let mut open = beside("currency", &agent.url());
    open["policy"] =
        json!({"allow": [{"from": [format!("spiffe://east.example/ns/{}/**", east.namespace)]}]});
    let closed = beside("currency", &agent.url());
    let _answering = agent.always(|_| message("abroad"));
    let (to_west, to_east) = (west.issue("currency"), east.issue("planner"));
    std::fs::write(to_west.join("east.example.trust-bundle.pem"), east.authority.root_pem()).unwrap();
    std::fs::write(to_east.join("west.example.trust-bundle.pem"), west.authority.root_pem()).unwrap();
    let name = west.agent("currency");
    // To be believed is not to be allowed: by default that is only the own trust domain.
    for (config, allowed) in [(open, true), (closed, false)] {
        let mut currency = west.start("currency", config);
        let mut config = known(&name, &[currency.inbound()]);
        config["meshes"] =
            json!([{"name": "west", "trustDomain": "west.example", "clusterDomain": "west.local"}]);
        let mut planner = east.start("planner", config);
        soon("both identities", async { tokio::join!(currency.app.ready(), planner.app.ready()) }).await;
        let answer = planner.call(&name, "SendMessage", &say("x")).await;
        if allowed {
            assert!(answer.result().contains("abroad"));
            assert_eq!(call_line(&name, "inbound").await["peer"], east.id("planner").as_str());
        } else {
            tells_only(&answer, "PERMISSION_DENIED");
        }
        // A mesh that nobody has configured is not known at all.
        assert_eq!(
            planner.call("currency.x.north", "SendMessage", &say("x")).await.reason(),
            "AGENT_NOT_FOUND"
        );
    }
}
