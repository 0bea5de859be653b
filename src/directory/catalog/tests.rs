//! The catalogue, asked as anybody asks.

use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::{Card, Endpoint};
use super::*;
use crate::net::collect as read;

const V1: &str = r#"{ "name":"Currency","description":"Changes money","version":"7","x-own":1.0,
    "capabilities":{},"defaultInputModes":["text"],"defaultOutputModes":["text"],
    "skills":[{"id":"convert","name":"Convert","description":"Money to money","tags":["fx","money"],"examples":["1 EUR in USD?"]}],
    "supportedInterfaces":[{"url":"http://0.0.0.0:9000/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],
    "signatures":[{"protected":"e30","signature":"AA"}]}"#;
const V0_3: &str = r#"{"name":"Trains","description":"Timetables","version":"1","url":"http://127.0.0.1:9000/","protocolVersion":"0.3.0",
    "capabilities":{},"defaultInputModes":[],"defaultOutputModes":[],
    "skills":[{"id":"next","name":"Next train","description":"When","tags":["rail"]}]}"#;

fn name(text: &str) -> Name {
    Name::parse(text, &Home { namespace: "travel".into(), mesh: "east".into() }).unwrap()
}

fn agent(text: &str, card: Option<&str>) -> (Name, Arc<Agent>) {
    let card = card.map(|card| Card::read(card.to_owned().into(), 1_700_000_000).unwrap());
    let endpoints = vec![Endpoint { address: ([10, 0, 0, 1], 7443).into(), ready: true }];
    (name(text), Arc::new(Agent { name: name(text), endpoints, card, card_error: None }))
}

fn catalog(agents: impl IntoIterator<Item = (Name, Arc<Agent>)>) -> Catalog {
    let snapshot = Snapshot { agents: agents.into_iter().collect(), complete: true, ..Snapshot::default() };
    catalog_of(snapshot, Ok(()))
}

fn catalog_of(snapshot: Snapshot, complete: Result<(), String>) -> Catalog {
    let (snapshots, complete) = (watch::channel(Arc::new(snapshot)).1, watch::channel(complete).1);
    Catalog::new(Known { snapshots, complete, mesh: "east".into() }, "a2a.cluster.local")
}

fn usual() -> Catalog {
    catalog([
        agent("currency", Some(V1)),
        agent("trains.rail", Some(V0_3)),
        agent("silent", None),
        agent("abroad.travel.west", Some(V1)),
    ])
}

async fn ask(
    catalog: &Catalog,
    line: &str,
    host: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    catalog.serve(request.body(Full::from(body.to_owned())).unwrap()).await
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(read(response.into_body(), 64 << 20).await.unwrap().to_vec()).unwrap()
}

async fn get(catalog: &Catalog, path: &str, host: &str) -> Value {
    let response = ask(catalog, &format!("GET {path}"), host, &[], "").await;
    assert_eq!(response.status(), 200, "{path} {host}");
    serde_json::from_str(&text(response).await).unwrap()
}

fn names(document: &Value) -> Vec<&str> {
    let entries = document["entries"].as_array().unwrap().iter();
    entries
        .filter(|entry| entry["type"] == entry::TYPE)
        .map(|entry| entry["displayName"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_host_says_whose_catalogue_it_is() {
    let catalog = usual();
    for (host, seen) in [
        ("a2a.cluster.local", &["Currency", "Trains"][..]),
        ("travel.a2a.cluster.local", &["Currency"]),
        ("Travel.a2a.cluster.local.:443", &["Currency"]),
        ("rail.a2a.cluster.local:8443", &["Trains"]),
        ("empty.a2a.cluster.local", &[]),
        ("dragoman-directory.dragoman-system.svc", &["Currency", "Trains"]),
        ("10.96.0.53", &["Currency", "Trains"]),
    ] {
        for path in ["/.well-known/ard.json", "/.well-known/ai-catalog.json"] {
            let document = get(&catalog, path, host).await;
            assert_eq!(
                (names(&document), &document["specVersion"]),
                (seen.to_vec(), &json!("1.0")),
                "{host}"
            );
        }
    }
    // The zone has no such names.
    for host in ["x.travel.a2a.cluster.local", "index.travel.a2a.cluster.local"] {
        let nobody = ask(&catalog, "GET /.well-known/ard.json", host, &[], "").await;
        assert_eq!(nobody.status(), 404, "{host}");
    }
}

#[tokio::test]
async fn an_entry_has_a_card_that_others_can_use_and_the_card_of_the_agent_is_beside_it() {
    let catalog = usual();
    let document = get(&catalog, "/.well-known/ard.json", "travel.a2a.cluster.local").await;
    let entry = &document["entries"][0];
    assert_eq!(entry["identifier"], "urn:air:a2a.cluster.local:travel:currency");
    assert_eq!((&entry["description"], &entry["version"]), (&json!("Changes money"), &json!("7")));
    assert_eq!((&entry["tags"], &entry["capabilities"]), (&json!(["fx", "money"]), &json!(["convert"])));
    assert_eq!((&entry["representativeQueries"], &entry["url"]), (&json!(["1 EUR in USD?"]), &Value::Null));
    let card = &entry["data"];
    assert_eq!(card["url"], "https://currency.travel.a2a.cluster.local:7443");
    assert_eq!((&card["x-own"].to_string()[..], &card["signatures"]), ("1.0", &Value::Null));
    let interfaces = card["supportedInterfaces"].as_array().unwrap();
    assert!(
        interfaces.iter().all(|interface| interface["url"].as_str().unwrap().contains(":7443")),
        "{interfaces:?}"
    );
    assert_eq!(document["entries"][1]["type"], "application/ai-registry+json");

    for (host, path) in [
        ("travel.a2a.cluster.local", "/agents/currency"),
        ("travel.a2a.cluster.local", "/agents/currency.travel"),
        ("a2a.cluster.local", "/agents/currency.travel.east"),
        ("a2a.cluster.local", "/agents/urn:air:a2a.cluster.local:travel:currency"),
        ("a2a.cluster.local", "/agents/urn%3Aair%3Aa2a.cluster.local%3Atravel%3Acurrency"),
    ] {
        assert_eq!(get(&catalog, path, host).await, *entry, "{path}");
        let verbatim = ask(&catalog, &format!("GET {path}/agent-card.json"), host, &[], "").await;
        assert_eq!(verbatim.headers()["content-type"], "application/a2a-agent-card+json");
        assert_eq!(text(verbatim).await, V1);
    }
    let old = get(&catalog, "/agents/trains", "rail.a2a.cluster.local").await;
    assert_eq!(old["data"]["url"], "https://trains.rail.a2a.cluster.local:7443");
}

#[tokio::test]
async fn what_is_not_there_or_not_asked_for_rightly_is_refused() {
    let catalog = usual();
    let host = "travel.a2a.cluster.local";
    for (line, status) in [
        ("GET /", 404),
        ("GET /agents/trains", 404),
        ("GET /agents/silent", 404),
        ("GET /agents/silent/agent-card.json", 404),
        ("GET /agents/abroad.travel.west", 404),
        ("GET /agents/a_b", 404),
        ("GET /agents/currency/x", 404),
        ("GET /agentsx", 404),
        ("GET /catalogs/2", 404),
        ("GET /catalogs/1", 404),
        ("GET /catalogs/x", 404),
        ("GET /search", 405),
        ("POST /agents", 405),
        ("DELETE /.well-known/ard.json", 405),
        ("GET /agents?pageSize=x", 400),
        ("GET /agents?pageToken=x", 400),
        ("POST /search", 400),
    ] {
        let response = ask(&catalog, line, host, &[], "").await;
        assert_eq!(response.status(), status, "{line}");
        assert_eq!(response.headers().contains_key("allow"), status == 405);
        assert!(text(response).await.contains("message"));
    }
    let begins = catalog_of(Snapshot::default(), Err("the agents are not known yet".into()));
    let response = ask(&begins, "GET /.well-known/ard.json", host, &[], "").await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    let long = "x".repeat(REQUEST_MAX + 1);
    assert_eq!(ask(&catalog, "POST /search", host, &[], &long).await.status(), 413);
}

#[tokio::test]
async fn who_has_a_document_is_not_sent_it_again() {
    let catalog = usual();
    for path in [
        "/.well-known/ard.json",
        "/agents",
        "/agents/currency.travel",
        "/agents/currency.travel/agent-card.json",
    ] {
        let get = format!("GET {path}");
        let whole = ask(&catalog, &get, "a2a.cluster.local", &[], "").await;
        let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(
            (&whole.headers()["cache-control"], &whole.headers()["vary"]),
            (&"max-age=30".parse().unwrap(), &"A2A-Version, Host".parse().unwrap())
        );
        let length = whole.headers()["content-length"].clone();
        let known = ask(&catalog, &get, "a2a.cluster.local", &[("if-none-match", &etag)], "").await;
        assert_eq!((known.status(), text(known).await), (StatusCode::NOT_MODIFIED, String::new()));
        let head = ask(&catalog, &format!("HEAD {path}"), "a2a.cluster.local", &[], "").await;
        assert_eq!((head.headers()["content-length"].clone(), text(head).await), (length, String::new()));
        assert_eq!(
            ask(&catalog, &get, "a2a.cluster.local", &[("if-none-match", "\"x\"")], "").await.status(),
            200
        );
    }
}

#[tokio::test]
async fn a_document_is_made_once_for_each_snapshot_and_host() {
    let (snapshots, receiver) = watch::channel(Arc::default());
    let know = |agents: &[&str]| {
        let agents = agents.iter().map(|name| agent(name, Some(V1))).collect();
        snapshots.send_replace(Arc::new(Snapshot { agents, complete: true, ..Snapshot::default() }));
    };
    know(&["currency"]);
    let complete = watch::channel(Ok(())).1;
    let catalog =
        Catalog::new(Known { snapshots: receiver, complete, mesh: "east".into() }, "a2a.cluster.local");
    let document = async |host: &str, path: &str| {
        let response = ask(&catalog, &format!("GET {path}"), host, &[], "").await;
        assert_eq!(response.status(), 200);
        read(response.into_body(), 64 << 20).await.unwrap()
    };
    let (all, travel) = ("a2a.cluster.local", "travel.a2a.cluster.local");
    let first = document(all, "/.well-known/ard.json").await;
    let again = document(all, "/.well-known/ai-catalog.json").await;
    assert!(std::ptr::eq(&*first, &*again), "these are the same bytes");
    let other = document(travel, "/.well-known/ard.json").await;
    assert_ne!(first, other);
    // Somebody asks under ever new names: nothing grows, and who asks again is served again.
    for number in 0..100 {
        let host = format!("n{number}.example");
        assert!(!document(&host, "/.well-known/ard.json").await.is_empty());
    }
    let made_anew = document(all, "/.well-known/ard.json").await;
    assert!(made_anew == first && !std::ptr::eq(&*made_anew, &*first), "it was kept beside a hundred others");
    know(&["currency", "hotel"]);
    let changed = document(all, "/.well-known/ard.json").await;
    assert_eq!(names(&serde_json::from_slice(&changed).unwrap()).len(), 2);
}

#[tokio::test]
async fn a_list_of_long_cards_comes_in_pages_of_a_megabyte() {
    let long = V0_3.replace("Timetables", &"x".repeat(40_000));
    let catalog = catalog((0..60).map(|number| agent(&format!("a{number:02}"), Some(&long))));
    let (mut seen, mut token) = (0, "0".to_owned());
    while !token.is_empty() {
        let path = format!("/agents?pageSize=1000&pageToken={token}");
        let response = ask(&catalog, &format!("GET {path}"), "a2a.cluster.local", &[], "").await;
        let text = text(response).await;
        assert!(text.len() < 1 << 20, "{}", text.len());
        let page: Value = serde_json::from_str(&text).unwrap();
        seen += names(&page).len();
        token = page["pageToken"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!(seen, 60);
}

#[tokio::test]
async fn a_long_catalogue_comes_in_parts_that_a_reader_can_take() {
    let agents = (0..1203).map(|number| agent(&format!("a{number:04}"), Some(V0_3)));
    let catalog = catalog(agents);
    let host = "travel.a2a.cluster.local";
    let first = get(&catalog, "/.well-known/ard.json", host).await;
    let nested: Vec<&str> = first["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["type"] == "application/ai-catalog+json")
        .map(|entry| entry["url"].as_str().unwrap())
        .collect();
    assert!(nested.len() >= 2);
    let mut seen = names(&first).len();
    for (index, url) in nested.iter().enumerate() {
        assert_eq!(*url, format!("https://{host}/catalogs/{}", index + 2));
        let response = ask(&catalog, &format!("GET /catalogs/{}", index + 2), host, &[], "").await;
        let text = text(response).await;
        assert!(text.len() < 1 << 20, "{}", text.len());
        let part: Value = serde_json::from_str(&text).unwrap();
        assert!(names(&part).len() <= 500);
        seen += names(&part).len();
    }
    assert_eq!(seen, 1203);
    let after = format!("GET /catalogs/{}", nested.len() + 2);
    assert_eq!(ask(&catalog, &after, host, &[], "").await.status(), 404);
}

#[tokio::test]
async fn a_card_too_long_for_an_entry_is_pointed_at() {
    let long = V0_3.replace("Timetables", &"x".repeat(70_000));
    let catalog =
        catalog([agent("currency", Some(&long)), agent("odd", Some(r#"{"name":7,"skills":{"a":1}}"#))]);
    let document = get(&catalog, "/.well-known/ard.json", "travel.a2a.cluster.local").await;
    let urls: Vec<_> = document["entries"].as_array().unwrap().iter().map(|entry| &entry["url"]).collect();
    let base = "https://travel.a2a.cluster.local";
    assert_eq!(urls[0], &json!(format!("{base}/agents/currency/agent-card.json")));
    assert_eq!(urls[1], &json!(format!("{base}/agents/odd/agent-card.json")));
    assert_eq!(names(&document), ["Trains", "odd"]);
}

#[tokio::test]
async fn agents_are_listed_and_found_by_words() {
    let catalog = usual();
    let host = "a2a.cluster.local";
    let first = get(&catalog, "/agents?pageSize=1", host).await;
    assert_eq!((names(&first), &first["pageToken"]), (vec!["Currency"], &json!("1")));
    let second = get(&catalog, "/agents?pageSize=1&pageToken=1", host).await;
    assert_eq!((names(&second), &second["pageToken"]), (vec!["Trains"], &Value::Null));
    for (query, found) in [
        (json!({"query": {"text": "money"}}), &[("Currency", 100)][..]),
        (json!({"query": "next MONEY rail"}), &[("Trains", 66), ("Currency", 33)]),
        (json!({"query": {"text": "timetables"}}), &[("Trains", 100)]),
        (json!({"query": {"text": "hotel"}}), &[]),
        (json!({"query": {}}), &[("Currency", 100), ("Trains", 100)]),
        (json!({"query": {"filter": {"tags": ["fx", "x"]}}}), &[("Currency", 100)]),
        (json!({"query": {"filter": {"capabilities": ["next"], "type": [entry::TYPE]}}}), &[("Trains", 100)]),
        (json!({"query": {"filter": {"type": ["application/mcp-server-card+json"]}}}), &[]),
        (json!({"query": "", "pageSize": 1, "pageToken": "1"}), &[("Trains", 100)]),
        (json!({"query": "", "pageSize": 9, "pageToken": "18446744073709551615"}), &[]),
    ] {
        let response = ask(&catalog, "POST /search", host, &[], &query.to_string()).await;
        assert_eq!(response.status(), 200, "{query}");
        let answer: Value = serde_json::from_str(&text(response).await).unwrap();
        let results = answer["results"].as_array().unwrap().iter();
        let seen: Vec<_> = results
            .map(|one| (one["displayName"].as_str().unwrap(), one["score"].as_i64().unwrap()))
            .collect();
        assert_eq!(seen, found, "{query}");
    }
    let long = json!({"query": "x".repeat(257)}).to_string();
    for odd in [&*long, "", "{}", "[]", r#"{"query":{"filter":{"color":["red"]}}}"#, r#"{"query":7}"#] {
        assert_eq!(ask(&catalog, "POST /search", host, &[], odd).await.status(), 400, "{odd}");
    }
}
