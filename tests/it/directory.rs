//! The directory: real sidecars found and listed, directories of two meshes that tell each other, what is hidden, and the
//! command that shows it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use dragoman::a2a::{Home, Name};
use dragoman::app::Controller;
use dragoman::config::ControllerConfig;
use dragoman::directory::{Endpoint, Found};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::agent::Agent;
use crate::harness::client::{Client, Reading};
use crate::harness::json::value;
use crate::harness::mesh::{Mesh, Metrics, Sidecar, beside, known, merge};
use crate::harness::process::{dragoman, run};
use crate::harness::{eventually, logs, soon};

/// What `dragoman check` makes of it.
mod checked;
/// The command line over a directory.
mod command;
/// The catalogue over HTTPS.
mod https;
/// Sidecars that ask the directories of other meshes themselves.
mod meshes;

/// A directory that runs, and what it is told of agents.
struct Directory {
    controller: Controller,
    found: watch::Sender<Arc<Found>>,
    _complete: watch::Sender<Result<(), String>>,
}

impl Directory {
    /// A directory of that mesh, which the test tells who is there.
    async fn start(mesh: &Mesh, more: Value) -> Self {
        let mut config = json!({
            "mesh": {
                "name": mesh.name, "trustDomain": mesh.domain.as_str(), "namespace": mesh.namespace,
            },
            "identity": {"files": {"dir": mesh.files("directory")}},
            "directory": {"listen": "127.0.0.1:0", "catalog": "127.0.0.1:0", "dns": "127.0.0.1:0"},
            "admin": {"listen": "127.0.0.1:0"},
        });
        merge(&mut config, more);
        let config = ControllerConfig::parse("test.yaml", config.to_string().as_bytes(), |_| None);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let (found, receiver) = watch::channel(Arc::default());
        let (complete_tx, complete) = watch::channel(Ok(()));
        let controller = Controller::directory(&config, receiver, complete, mesh.clock(), 7);
        let mut controller = controller.await.unwrap();
        soon("the directory", controller.ready()).await;
        Self { controller, found, _complete: complete_tx }
    }

    fn address(&self, door: &str) -> SocketAddr {
        self.controller.addresses[door].as_str().unwrap().parse().unwrap()
    }

    fn url(&self) -> String {
        format!("https://{}", self.address("directory"))
    }

    /// Says that an agent is there.
    fn find(&self, name: &str, address: SocketAddr) {
        self.found.send_modify(|found| {
            Arc::make_mut(found).agents.insert(full(name), vec![Endpoint { address, ready: true }]);
        });
    }

    fn lose(&self, name: &str) {
        self.found.send_modify(|found| drop(Arc::make_mut(found).agents.remove(&full(name))));
    }
}

fn full(name: &str) -> Name {
    Name::parse(name, &Home { namespace: "none".into(), mesh: "none".into() }).unwrap()
}

/// A card with one skill.
fn card(name: &str, skill: &str) -> String {
    json!({
        "name": name, "description": "d", "version": "1", "capabilities": {},
        "defaultInputModes": [], "defaultOutputModes": [],
        "skills": [{"id": skill, "name": skill, "description": format!("does {skill}"), "tags": []}],
        "supportedInterfaces": [
            {"url": "http://127.0.0.1:1/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        ],
    })
    .to_string()
}

/// An agent with its sidecar.
async fn agent(mesh: &Mesh, name: &str, skill: &str, more: Value) -> (Agent, Sidecar) {
    let agent = Agent::start().await;
    agent.show(card(name, skill));
    let mut config = beside(name, &agent.url());
    merge(&mut config, more);
    let sidecar = mesh.sidecar(name, config).await;
    (agent, sidecar)
}

/// The part of a sidecar's configuration that names its directory.
fn asks(mesh: &Mesh, directory: &Directory) -> Value {
    json!({"discovery": {"directory": {
        "url": directory.url(),
        "server": format!("spiffe://{{trustDomain}}/ns/{}/sa/directory", mesh.namespace),
    }}})
}

/// What `GET /agents` says, by name; its headers.
async fn list(sidecar: &Sidecar, query: &str) -> (BTreeMap<String, Value>, Vec<String>) {
    let mut client = Client::connect(sidecar.outbound).await;
    client.request(&format!("GET /agents{query}"), "Host: localhost\r\n", "").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let warnings = answer.head.header("dragoman-warning").into_iter().map(str::to_owned).collect();
    let rows = answer.json().as_array().unwrap().clone();
    (rows.into_iter().map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect(), warnings)
}

/// Waits until a list has these names.
async fn listed(sidecar: &Sidecar, query: &str, names: &[String]) -> BTreeMap<String, Value> {
    eventually(&format!("{names:?}"), || async {
        let (rows, _) = list(sidecar, query).await;
        (rows.keys().eq(names)).then_some(rows)
    })
    .await
}

/// The lines of `GET /agents?watch=true`.
struct Lines {
    reading: Reading,
}

impl Lines {
    async fn of(sidecar: &Sidecar, query: &str) -> Self {
        let mut client = Client::connect(sidecar.outbound).await;
        client.request(&format!("GET /agents?watch=true&{query}"), "Host: localhost\r\n", "").await;
        let reading = client.reading().await;
        assert_eq!(
            (reading.status, reading.head.header("content-type")),
            (200, Some("application/x-ndjson"))
        );
        Self { reading }
    }

    async fn next(&mut self) -> Value {
        value(&self.reading.line().await.expect("a line, not the end"))
    }

    /// The next line that has that member.
    async fn until(&mut self, member: &str) -> Value {
        soon(member, async {
            loop {
                let line = self.next().await;
                if !line[member].is_null() {
                    return line[member].clone();
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_sidecar_lists_agents_that_it_has_never_called_with_what_their_cards_say() {
    let mesh = Mesh::new();
    mesh.issue("directory");
    let directory = Directory::start(&mesh, json!({})).await;
    let (currency, sidecar) = agent(&mesh, "currency", "convert", json!({})).await;
    let planner = mesh.sidecar("planner", asks(&mesh, &directory)).await;
    let name = mesh.agent("currency");
    directory.find(&name, sidecar.inbound());
    let mut lines = Lines::of(&planner, "").await;
    let rows = eventually("the card", || async {
        let (rows, warnings) = list(&planner, "").await;
        assert!(warnings.is_empty(), "{warnings:?}");
        rows.get(&name).is_some_and(|row| row["skills"][0].is_object()).then_some(rows)
    })
    .await;
    assert_eq!(
        rows[&name],
        json!({
            "name": name, "mesh": "east", "endpoints": [sidecar.inbound().to_string()], "healthy": true,
            "skills": [{"id": "convert", "name": "convert", "description": "does convert", "tags": []}],
        })
    );
    for (query, there) in [
        ("?all=true", true),
        ("?skill=DOES+convert", true),
        ("?skill=fly", false),
        ("?namespace=elsewhere", false),
        ("?mesh=west", false),
        (&*format!("?namespace={}&mesh=east", mesh.namespace), true),
    ] {
        assert_eq!(list(&planner, query).await.0.contains_key(&name), there, "{query}");
    }
    // What follows is told to who watches: the card first, then that the agent is gone.
    soon("the skill", async { while lines.until("updated").await["skills"][0]["id"] != "convert" {} }).await;
    directory.found.send_modify(|found| {
        for endpoint in Arc::make_mut(found).agents.values_mut().flatten() {
            endpoint.ready = false;
        }
    });
    assert_eq!(lines.until("updated").await["healthy"], false);
    directory.lose(&name);
    assert_eq!(lines.until("removed").await, json!(name));
    let metrics = Metrics::of(directory.address("admin")).await;
    assert_eq!(metrics.sum("dragoman_directory_watchers", &[]), 1.0);
    assert!(metrics.sum("dragoman_directory_cards_total", &["result=\"ok\""]) >= 1.0);
    drop(currency);
}

#[tokio::test]
async fn a_changed_card_is_seen_once_another_endpoint_appears() {
    let mesh = Mesh::new();
    mesh.issue("directory");
    let directory = Directory::start(&mesh, json!({})).await;
    let (old, first) = agent(&mesh, "currency", "convert", json!({})).await;
    let (_new, second) = agent(&mesh, "currency", "predict", json!({})).await;
    let planner = mesh.sidecar("planner", asks(&mesh, &directory)).await;
    let name = mesh.agent("currency");
    directory.find(&name, first.inbound());
    let mut lines = Lines::of(&planner, "").await;
    soon("the first card", async { while lines.until("updated").await["skills"][0]["id"] != "convert" {} })
        .await;
    directory.find(&name, second.inbound());
    soon("the second card", async { while lines.until("updated").await["skills"][0]["id"] != "predict" {} })
        .await;
    drop(old);
}

#[tokio::test]
async fn who_may_not_see_an_agent_is_told_nothing_of_it() {
    let mesh = Mesh::new();
    mesh.issue("directory");
    let rule = |from: &str, agents: &str| json!({"from": [mesh.id(from).as_str()], "agents": [agents]});
    let policy = json!({"directory": {"policy": {"allow": [
        rule("planner", &format!("hotel.{}", mesh.namespace)), rule("boss", "*"),
    ]}}});
    let directory = Directory::start(&mesh, policy).await;
    let planner = mesh.sidecar("planner", asks(&mesh, &directory)).await;
    let boss = mesh.sidecar("boss", asks(&mesh, &directory)).await;
    let stranger = mesh.sidecar("stranger", asks(&mesh, &directory)).await;
    let (hotel, currency) = (mesh.agent("hotel"), mesh.agent("currency"));
    let address = "127.0.0.1:9".parse().unwrap();
    directory.find(&currency, address);
    let mut lines = Lines::of(&planner, "all=true").await;
    assert_eq!(lines.next().await, json!({"synced": true}));
    listed(&boss, "?all=true", std::slice::from_ref(&currency)).await;
    directory.find(&hotel, address);
    listed(&boss, "?all=true", &[currency.clone(), hotel.clone()]).await;
    eventually("why there is no card", || async {
        let (rows, _) = list(&boss, "?all=true").await;
        let error = rows[&currency]["cardError"].as_str()?;
        assert!(error.contains("AGENT_UNREACHABLE"), "{error}");
        Some(())
    })
    .await;
    listed(&planner, "?all=true", std::slice::from_ref(&hotel)).await;
    listed(&stranger, "?all=true", &[]).await;
    // Changes of what is hidden are as silent as what is hidden: the next that is told is about the other.
    directory.lose(&currency);
    listed(&boss, "?all=true", std::slice::from_ref(&hotel)).await;
    directory.lose(&hotel);
    assert_eq!(lines.next().await["updated"]["name"], json!(hotel));
    assert_eq!(lines.until("removed").await, json!(hotel));
}

#[tokio::test]
async fn a_directory_that_cannot_be_asked_is_a_warning_beside_what_is_known() {
    let mesh = Mesh::new();
    mesh.issue("directory");
    let directory = Directory::start(&mesh, json!({})).await;
    let mut config = asks(&mesh, &directory);
    merge(&mut config, known("hotel", &["127.0.0.1:9".parse().unwrap()]));
    // It must also be who it should be.
    config["discovery"]["directory"]["server"] = "spiffe://{trustDomain}/ns/x/sa/directory".into();
    let planner = mesh.sidecar("planner", config).await;
    for query in ["", "?all=true"] {
        let (rows, warnings) = list(&planner, query).await;
        assert!(rows.keys().eq([&mesh.agent("hotel")]));
        assert!(
            warnings[0].contains(&directory.url()) && warnings[0].contains("sa/directory"),
            "{warnings:?}"
        );
    }
    let mut lines = Lines::of(&planner, "").await;
    assert_eq!(lines.until("updated").await["name"], json!(mesh.agent("hotel")));
    assert!(lines.until("warning").await.as_str().unwrap().contains("sa/directory"));
    for query in ["?all=7", "?namespace=a.b", "?color=red"] {
        let mut client = Client::connect(planner.outbound).await;
        client.request(&format!("GET /agents{query}"), "Host: localhost\r\n", "").await;
        assert_eq!(client.answer().await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn directories_tell_each_other_of_their_own_agents_and_of_what_becomes_of_them() {
    let (east, west) = (Mesh::new(), Mesh::named("west"));
    let (to_east, to_west) = (east.issue("directory"), west.issue("directory"));
    std::fs::write(to_west.join("east.example.trust-bundle.pem"), east.authority.root_pem()).unwrap();
    std::fs::write(to_east.join("west.example.trust-bundle.pem"), west.authority.root_pem()).unwrap();
    let reader = east.id("directory");
    let policy = json!({"directory": {"policy": {"allow": [
        {"from": [reader.as_str()], "agents": [format!("*.{}", west.namespace)]},
        {"from": ["spiffe://west.example/**"]},
    ]}}});
    let remote = Directory::start(&west, policy.clone()).await;
    let peer = |url: String| {
        let server = west.id("directory");
        json!({"meshes": [{
            "name": "west", "trustDomain": "west.example", "directory": url, "server": server.as_str(),
        }]})
    };
    let own = Directory::start(&east, peer(remote.url())).await;
    let (_agent, sidecar) = agent(&west, "currency", "convert", json!({})).await;
    let (name, hidden) = (west.agent("currency"), "secret.vault.west");
    remote.find(&name, sidecar.inbound());
    remote.find(hidden, sidecar.inbound());
    // Not its own: nobody may speak for another mesh.
    remote.find(&east.agent("hotel"), sidecar.inbound());
    let planner = east.sidecar("planner", asks(&east, &own)).await;
    eventually("the far agent with its card", || async {
        let (rows, _) = list(&planner, "?all=true").await;
        let row = rows.get(&name)?;
        assert!(rows.len() == 1 && row["mesh"] == "west", "{rows:?}");
        (row["skills"][0]["id"] == "convert").then_some(())
    })
    .await;

    // The far directory ends. What it has told stays.
    let mut lines = Lines::of(&planner, "all=true").await;
    lines.until("synced").await;
    let at = remote.address("directory");
    let Directory { controller, found, .. } = remote;
    drop(controller);
    logs::line("that it is away", |line| {
        let whose = line["directory"].as_str().is_some_and(|directory| directory.contains(&at.to_string()));
        line["message"] == "A directory is away" && whose
    })
    .await;
    assert!(list(&planner, "?all=true").await.0.contains_key(&name));
    // It is back at the same place, and knows less.
    let listen = json!({"directory": {"listen": at.to_string()}});
    let mut more = policy;
    merge(&mut more, listen);
    let remote = Directory::start(&west, more).await;
    remote.found.send_replace(found.borrow().clone());
    remote.lose(&name);
    assert_eq!(lines.until("removed").await, json!(name));
}
