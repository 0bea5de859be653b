//! From start to end: a sidecar as a process, and replicas that come and go while calls go on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::agent::{Agent, message, status_update};
use crate::harness::client::{Answer, Client, JSON, envelope, reason, say};
use crate::harness::mesh::{Mesh, beside, known};
use crate::harness::process::{Process, address, ready};
use crate::harness::{eventually, soon};

/// A sidecar process beside an agent, and a caller's sidecar in this process.
async fn house(mesh: &Mesh, agent: &Agent, drain: &str) -> (Process, Value, crate::harness::mesh::Sidecar) {
    let dir = mesh.issue("currency");
    let mut more = beside("currency", &agent.url());
    more["limits"] = json!({"drain": drain});
    let file = dir.join("ready.json");
    let process = Process::start(&dir, &mesh.config("currency", more), &file);
    let addresses = ready(&file).await;
    let planner = mesh.sidecar("planner", known("currency", &[address(&addresses, "inbound")])).await;
    (process, addresses, planner)
}

async fn page(addresses: &Value, path: &str) -> Answer {
    let mut client = Client::connect(address(addresses, "admin")).await;
    client.request(&format!("GET {path}"), "Host: localhost\r\n", "").await;
    client.answer().await
}

#[tokio::test]
async fn the_ready_file_says_where_it_listens_once_it_is_ready_and_not_before() {
    let mesh = Mesh::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready.json");
    std::fs::write(&file, "stale").unwrap();
    let mut config = mesh.config("planner", json!({}));
    config["agents"] = json!([]);
    let process = Process::start(dir.path(), &config, &file);
    // It has nothing to be ready with, so the old file is gone and no new one comes.
    eventually("the end of the stale file", || async {
        tokio::fs::metadata(&file).await.is_err().then_some(())
    })
    .await;
    mesh.issue("planner");
    let addresses = ready(&file).await;
    assert_eq!(addresses["inbound"], Value::Null);
    assert_ne!(address(&addresses, "outbound").port(), 0);
    assert_eq!(page(&addresses, "/readyz").await.status, 200);
    assert_eq!(Path::new(&file).parent().unwrap().read_dir().unwrap().count(), 2, "no draft is left");
    process.signal("-INT").await;
    let (code, out, log) = process.end().await;
    assert_eq!((code, &*out), (0, ""));
    assert!(log.iter().all(|line| line["time"].is_string() && line["level"].is_string()));
    assert!(log.iter().any(|line| line["message"] == "Ready"));
}

#[tokio::test]
async fn a_sidecar_that_is_told_to_end_finishes_what_is_under_way_and_ends_well() {
    let mesh = Mesh::new();
    let mut agent = Agent::start().await;
    let (process, addresses, planner) = house(&mesh, &agent, "10s").await;
    let mut unary = planner.begin("currency", "SendMessage", &say("x")).await;
    let unary_request = agent.request().await;
    let stream = planner.begin("currency", "SendStreamingMessage", &say("x")).await;
    let mut events = agent.request().await.stream().await;
    events.event(&status_update("before")).await;
    let mut stream = stream.reading().await;
    stream.result().await;

    process.signal("-TERM").await;
    eventually("unreadiness", || async { (page(&addresses, "/readyz").await.status == 503).then_some(()) })
        .await;
    assert!(page(&addresses, "/readyz").await.body.contains("draining"));
    assert_eq!(
        (page(&addresses, "/livez").await.status, page(&addresses, "/startupz").await.status),
        (200, 200)
    );
    // Who has not heard of it yet is still served.
    let late = mesh.sidecar("late", known("currency", &[address(&addresses, "inbound")])).await;
    let mut served = late.begin("currency", "SendMessage", &say("x")).await;
    agent.request().await.result(&message("late")).await;
    assert!(served.answer().await.result().contains("late"));

    events.event(&status_update("after")).await;
    assert!(stream.result().await.contains("after"));
    events.end().await;
    assert_eq!(stream.event().await, None);
    // An answer that takes a while to be written.
    let large = message(&"x".repeat(8 << 20));
    unary_request.result(&large).await;
    assert_eq!(unary.answer().await.result().len(), large.len());
    let (code, _, log) = process.end().await;
    assert_eq!(code, 0);
    let ended = log.iter().find(|line| line["message"] == "Ended").unwrap();
    assert_eq!(ended["finished"], true);
}

#[tokio::test]
async fn a_caller_on_the_same_machine_gets_its_whole_answer_before_the_end() {
    let mesh = Mesh::new();
    let mut agent = Agent::start().await;
    let currency = mesh.sidecar("currency", beside("currency", &agent.url())).await;
    let dir = mesh.issue("planner");
    let file = dir.join("ready.json");
    let mut more = known("currency", &[currency.inbound()]);
    more["limits"] = json!({"drain": "5s"});
    let process = Process::start(&dir, &mesh.config("planner", more), &file);
    let addresses = ready(&file).await;
    let mut caller = Client::connect(address(&addresses, "outbound")).await;
    caller.request("POST /agents/currency", JSON, &envelope("SendMessage", &say("x"))).await;
    let request = agent.request().await;
    process.signal("-TERM").await;
    eventually("unreadiness", || async { (page(&addresses, "/readyz").await.status == 503).then_some(()) })
        .await;
    // The caller does not read until the agent's part is long over.
    let large = message(&"x".repeat(12 << 20));
    request.result(&large).await;
    eventually("the end of the call", || async {
        let line = page(&addresses, "/metrics").await.body;
        line.contains("dragoman_calls_in_flight{direction=\"outbound\"} 0").then_some(())
    })
    .await;
    // Even when everything but the writing is over, it waits: endpoints fade for a fifth of the time.
    let mut ending = dragoman::task::spawn(process.end());
    assert!(
        timeout(Duration::from_millis(1500), &mut ending).await.is_err(),
        "the end came before the answer"
    );
    assert_eq!(caller.answer().await.result().len(), large.len());
    assert_eq!(soon("the end", ending).await.unwrap().0, 0);
}

#[tokio::test]
async fn who_does_not_read_the_log_stops_no_call_and_finds_every_line_later() {
    let mesh = Mesh::new();
    let dir = mesh.issue("planner");
    let file = dir.join("ready.json");
    let process = Process::start(&dir, &mesh.config("planner", json!({"limits": {"drain": "500ms"}})), &file);
    let addresses = ready(&file).await;
    let mut caller = Client::connect(address(&addresses, "outbound")).await;
    // Their lines are more than a pipe holds, which is 64 KiB.
    let calls = 400;
    for n in 0..calls {
        let name = format!("nobody-{n}.of.nowhere");
        caller.request(&format!("POST /agents/{name}"), JSON, &envelope("SendMessage", &say("x"))).await;
        assert_eq!(caller.answer().await.status, 200);
    }
    process.signal("-TERM").await;
    let (code, _, log) = process.end().await;
    assert_eq!(code, 0);
    let finished = log.iter().filter(|line| line["message"] == "Call finished");
    let agents = finished.map(|line| line["agent"].as_str().unwrap().to_owned());
    assert!(agents.eq((0..calls).map(|n| format!("nobody-{n}.of.nowhere"))), "{log:?}");
    assert!(log.iter().map(|line| line.to_string().len()).sum::<usize>() > 64 << 10);
    assert_eq!(log.last().unwrap()["message"], "Ended");
}

#[tokio::test]
async fn patience_with_what_never_ends_is_limited() {
    let mesh = Mesh::new();
    let mut agent = Agent::start().await;
    let (process, _, planner) = house(&mesh, &agent, "500ms").await;
    let stream = planner.begin("currency", "SendStreamingMessage", &say("x")).await;
    let mut events = agent.request().await.stream().await;
    events.event(&status_update("x")).await;
    let mut stream = stream.reading().await;
    stream.result().await;
    process.signal("-TERM").await;
    let (code, _, log) = process.end().await;
    assert_eq!(code, 0);
    assert_eq!(log.iter().find(|line| line["message"] == "Ended").unwrap()["finished"], false);
    assert_eq!(reason(&stream.last_error().await), "STREAM_BROKEN");
    events.left().await;
}

#[tokio::test]
async fn replicas_end_one_by_one_without_a_call_that_fails() {
    let mesh = Mesh::new();
    let agent = Agent::start().await;
    let mut config = beside("currency", &agent.url());
    config["limits"] = json!({"drain": "1s"});
    let _answering = agent.always(|_| message("x"));
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(mesh.sidecar("currency", config.clone()).await);
    }
    let addresses: Vec<_> = replicas.iter().map(|replica| replica.inbound()).collect();
    let planner = Arc::new(mesh.sidecar("planner", known("currency", &addresses)).await);
    let over = Arc::<AtomicBool>::default();
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (planner, over) = (Arc::clone(&planner), Arc::clone(&over));
            dragoman::task::spawn(async move {
                let mut calls = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = planner.call("currency", "SendMessage", &say("x")).await;
                    assert!(answer.body.contains("result"), "{}", answer.body);
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    while replicas.len() > 1 {
        let replica = replicas.pop().unwrap();
        assert!(soon("the end of a replica", replica.app.drain()).await);
    }
    assert!(planner.call("currency", "SendMessage", &say("x")).await.body.contains("result"));
    over.store(true, Ordering::Relaxed);
    for caller in load {
        assert!(caller.await.unwrap() > 0);
    }
}
