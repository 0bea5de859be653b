//! `dragoman check`: what it finds, and what it says to do next.

use std::sync::atomic::Ordering;

use dragoman::a2a::{DRAGOMAN_DOMAIN, TABLE};
use serde_json::{Value, json};

use crate::harness::agent::Agent;
use crate::harness::client::{Answer, Client};
use crate::harness::dns::Dns;
use crate::harness::mesh::{Mesh, Pair, Sidecar, beside, known};
use crate::harness::process::{dragoman, run};

const CARD: &str = r#"{"name":"Currency","supportedInterfaces":[
    {"url":"http://a/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0"}]}"#;

async fn ask(sidecar: &Sidecar, query: &str) -> Answer {
    let mut client = Client::connect(sidecar.outbound).await;
    client.request(&format!("GET /check{query}"), "Host: localhost\r\n", "").await;
    client.answer().await
}

async fn findings(sidecar: &Sidecar, query: &str) -> Vec<Value> {
    let answer = ask(sidecar, query).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// The only finding about a subject that is not well.
fn trouble<'a>(findings: &'a [Value], subject: &str) -> (&'a str, &'a str, &'a str) {
    let bad: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["verdict"] != "ok" && finding["subject"] == subject)
        .collect();
    assert_eq!(bad.len(), 1, "{findings:#?}");
    let text = |key: &str| bad[0][key].as_str().unwrap();
    (text("verdict"), text("what"), text("next"))
}

fn all_well(findings: &[Value]) -> bool {
    findings.iter().all(|finding| finding["verdict"] == "ok" && finding.get("next").is_none())
}

#[tokio::test]
async fn nothing_is_wrong_between_two_that_can_talk() {
    let pair = Pair::start().await;
    pair.agent.show(CARD);
    let found = findings(&pair.planner, "?agent=currency").await;
    assert!(all_well(&found), "{found:#?}");
    let subjects: Vec<&str> = found.iter().map(|finding| finding["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["version", "identity", "dns", "peer", "peer"]);
    assert!(found[1]["what"].as_str().unwrap().starts_with(pair.mesh.id("planner").as_str()));
}

#[tokio::test]
async fn a_sidecar_looks_at_its_own_agent_and_at_how_others_find_it() {
    let mesh = Mesh::new();
    let mut agent = Agent::start().await;
    agent.show(CARD);
    let dns = Dns::start().await;
    let mut config = beside("currency", &agent.url());
    config["agents"][0]["binding"] = "auto".into();
    config["discovery"] = json!({"nameservers": [dns.address.to_string()]});
    let currency = mesh.sidecar("currency", config).await;
    let found = findings(&currency, "").await;
    let (verdict, what, next) = trouble(&found, "dns");
    assert_eq!(verdict, "warning");
    assert!(what.starts_with("others do not find the agent of this pod") && next.contains("port named a2a"));
    let agents = found.iter().find(|finding| finding["subject"] == "agent").unwrap();
    let spoken = format!("{} speaks JSONRPC 1.0 at {}/rpc", mesh.agent("currency"), agent.url());
    assert_eq!(agents["what"], spoken);
    assert!(!agent.was_asked());
}

#[tokio::test]
async fn an_agent_that_does_not_listen_is_told_with_its_url() {
    let mesh = Mesh::new();
    let url = Agent::start().await.url();
    let mut config = beside("currency", &url);
    config["discovery"] =
        known(&mesh.agent("currency"), &["127.0.0.1:9".parse().unwrap()])["discovery"].clone();
    let currency = mesh.sidecar("currency", config).await;
    let found = findings(&currency, "").await;
    let (verdict, what, next) = trouble(&found, "agent");
    assert!(
        verdict == "failed" && what.contains("cannot be reached") && next.contains(&url),
        "{what} {next}"
    );
}

#[tokio::test]
async fn who_is_not_let_in_learns_which_rule_is_missing() {
    let nobody = json!({"policy": {"allow": []}});
    let pair = Pair::with(json!({}), nobody).await;
    let found = findings(&pair.planner, "?agent=currency").await;
    let (verdict, what, next) = trouble(&found, "peer");
    assert!(verdict == "failed" && what.contains("PERMISSION_DENIED"), "{what}");
    assert!(next.contains(pair.mesh.id("planner").as_str()), "{next}");
    let found = findings(&pair.currency, "").await;
    assert_eq!(trouble(&found, "policy").1, "nobody may call the agents of this pod");
}

#[tokio::test]
async fn each_step_on_the_way_to_an_agent_has_its_own_finding() {
    let mesh = Mesh::new();
    let west = Mesh::named("west");
    let stranger = west.sidecar("currency", beside("currency", "http://127.0.0.1:9")).await;
    let names = ["nobody.a", "other.a", "stranger.a", "silent.a"].map(|name| format!("{name}.east"));
    let mut config = known(&names[2], &[stranger.inbound()]);
    config["discovery"]["static"][&names[3]] = json!(["127.0.0.1:9"]);
    config["outbound"] = json!({"allow": [&names[0], &names[2], &names[3]]});
    config["meshes"] = json!([{"name": "west", "trustDomain": "west.example"}]);
    let planner = mesh.sidecar("planner", config).await;

    let found = findings(&planner, &format!("?agent={}", names[0])).await;
    assert!(trouble(&found, "dns").2.contains("53"), "{found:#?}");
    let (_, what, next) = trouble(&found, "identity");
    assert!(what.contains("no bundle of west.example") && next.contains("west.example.trust-bundle.pem"));

    let found = findings(&planner, &format!("?agent={}", names[1])).await;
    assert!(trouble(&found, "policy").1.contains("outbound.allow"), "{found:#?}");

    let found = findings(&planner, &format!("?agent={}", names[2])).await;
    assert!(trouble(&found, "peer").1.contains("PEER_UNTRUSTED"), "{found:#?}");

    let found = findings(&planner, &format!("?agent={}", names[3])).await;
    assert!(trouble(&found, "peer").1.contains("AGENT_UNREACHABLE"), "{found:#?}");

    assert_eq!(ask(&planner, "?agent=no_label").await.status, 404);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_from_a_certificate_that_is() {
    let pair = Pair::start().await;
    pair.agent.show(CARD);
    pair.mesh.ahead.store(300, Ordering::Relaxed);
    let found = findings(&pair.planner, "?agent=currency").await;
    let (verdict, what, next) = trouble(&found, "clock");
    assert!(verdict == "failed" && what.contains("ahead of that of") && next.contains("NTP"), "{what}");
}

#[tokio::test]
async fn the_command_ends_with_what_is_worst() {
    let pair = Pair::start().await;
    pair.agent.show(CARD);
    let sidecar = format!("http://{}", pair.planner.outbound);
    let (code, out, error) = run(&mut dragoman(&["check", "currency", "--sidecar", &sidecar])).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.lines().all(|line| line.starts_with("ok ")) && out.lines().count() == 5, "{out}");

    let (code, out, _) = run(&mut dragoman(&["check", "nobody", "--json", "--sidecar", &sidecar])).await;
    let found: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found.last().unwrap()["verdict"]), (1, &json!("failed")));
}

#[tokio::test]
async fn without_a_sidecar_it_looks_at_what_one_would_be() {
    let mesh = Mesh::new();
    let dir = mesh.issue("planner");
    let file = dir.join("dragoman.yaml");
    std::fs::write(&file, mesh.config("planner", json!({})).to_string()).unwrap();
    let file = file.to_str().unwrap();
    let silent = ["check", "--sidecar", "http://127.0.0.1:9"];
    let (code, out, error) = run(&mut dragoman(&[&silent[..], &["--config", file]].concat())).await;
    assert_eq!(code, 1, "{out} {error}");
    assert!(
        out.contains("FAILED   sidecar  no sidecar answers") && out.contains(mesh.id("planner").as_str()),
        "{out}"
    );

    std::fs::write(file, "mesh: {name: east}\n").unwrap();
    let (code, out, _) = run(&mut dragoman(&[&silent[..], &["--config", file]].concat())).await;
    assert!(code == 1 && out.contains("trustDomain"), "{out}");

    let (code, _, error) = run(&mut dragoman(&silent)).await;
    assert!(code == 1 && error.contains("--config FILE"), "{error}");
}

#[test]
fn every_reason_of_ours_stands_on_the_page_for_troubles() {
    let page = include_str!("../../docs/troubleshooting.md");
    for row in TABLE.iter().filter(|row| row.domain == DRAGOMAN_DOMAIN) {
        let lines = page.lines().filter(|line| line.starts_with(&format!("| `{}` |", row.name)));
        let columns: Vec<usize> = lines.map(|line| line.split(" | ").count()).collect();
        assert_eq!(columns, [4], "{}", row.name);
    }
}
