//! Cards through both sidecars: rewritten for the caller, kept by validators, the original untouched.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::harness::agent::message;
use crate::harness::client::{Answer, Client, say};
use crate::harness::mesh::Pair;

const CARD: &str = "/.well-known/agent-card.json";

/// A card as an agent in a container writes it: a host that nobody else can reach, a path of its own.
fn card() -> Value {
    json!({
        "name": "Currency", "description": "Changes money", "version": "1.2.3",
        "supportedInterfaces": [
            {"url": "http://0.0.0.0:9999/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            {"url": "http://0.0.0.0:9999/a2a/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        ],
        "capabilities": {"streaming": true, "extendedAgentCard": true},
        "securitySchemes": {"token": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"token": {}}}],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "change", "name": "Change", "description": "Money", "tags": ["money"]}],
        "signatures": [{"protected": "e30", "signature": "AA"}],
        "aFieldOfTomorrow": {"exactly": 1.0},
    })
}

async fn get(pair: &Pair, path: &str, headers: &str) -> Answer {
    let mut caller = Client::connect(pair.planner.outbound).await;
    let headers = format!("Host: {}\r\n{headers}", pair.planner.outbound);
    caller.request(&format!("GET /agents/currency{path}"), &headers, "").await;
    caller.answer().await
}

#[tokio::test]
async fn a_card_says_that_the_callers_sidecar_is_the_agent() {
    let pair = Pair::start().await;
    pair.agent.show(card().to_string());
    let answer = get(&pair, CARD, "A2A-Version: 1.0\r\n").await;
    assert_eq!(answer.head.word(1), "200");
    assert_eq!(answer.head.header("vary"), Some("A2A-Version, Host"));
    assert_eq!(answer.head.header("cache-control"), Some("max-age=60"));
    assert!(answer.head.header("last-modified").is_some());
    let base = format!("http://{}/agents/currency", pair.planner.outbound);
    let served = answer.json();
    let tenant = format!("currency.{}", pair.mesh.namespace);
    let own = pair.planner.outbound.to_string();
    for interface in [
        json!({"url": base, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}),
        json!({"url": base, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}),
        json!({"url": base, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}),
        json!({"url": base, "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"}),
        json!({"url": own, "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": tenant}),
    ] {
        assert!(served["supportedInterfaces"].as_array().unwrap().contains(&interface), "{served}");
    }
    assert_eq!(served["supportedInterfaces"][0]["protocolBinding"], "JSONRPC");
    assert_eq!(served["signatures"], Value::Null);
    let mut rest = (served, card());
    for card in [&mut rest.0, &mut rest.1] {
        for member in ["supportedInterfaces", "signatures"] {
            card.as_object_mut().unwrap().remove(member);
        }
    }
    assert_eq!(rest.0, rest.1);
    assert!(answer.body.contains(r#""exactly":1.0"#));
}

#[tokio::test]
async fn calls_go_where_the_card_says_on_the_configured_host() {
    let mut pair = Pair::start().await;
    pair.agent.show(card().to_string());
    let (_caller, request) = pair.begin("SendMessage", &say("x")).await;
    assert_eq!(request.head.word(1), "/a2a/rpc");
    assert_eq!(request.head.header("host"), Some(&*pair.agent.address.to_string()));
}

#[tokio::test]
async fn an_agent_that_breaks_off_its_card_is_not_asked_before_every_call() {
    let mut pair = Pair::start().await;
    let asked = pair.agent.break_off_cards();
    for _ in 0..3 {
        let (mut caller, request) = pair.begin("SendMessage", &say("x")).await;
        assert_eq!(request.head.word(1), "/");
        request.result(&message("x")).await;
        assert_eq!(caller.answer().await.status, 200);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_original_stays_as_the_agent_wrote_it() {
    let pair = Pair::start().await;
    let text = format!(" {:#}\n", card());
    pair.agent.show(text.clone());
    let answer = get(&pair, "/.well-known/agent-card.original.json", "").await;
    assert_eq!((answer.head.word(1), answer.body), ("200", text));
}

#[tokio::test]
async fn a_card_that_has_not_changed_is_not_sent_again() {
    let pair = Pair::start().await;
    pair.agent.show(card().to_string());
    let first = get(&pair, CARD, "").await;
    let etag = first.head.header("etag").unwrap();
    let again = get(&pair, CARD, &format!("If-None-Match: \"other\", {etag}\r\n")).await;
    assert_eq!((again.head.word(1), again.body.len()), ("304", 0));
    assert_eq!(again.head.header("etag"), Some(etag));
    let other = get(&pair, CARD, "If-None-Match: \"other\"\r\n").await;
    assert_eq!((other.head.word(1), other.body), ("200", first.body));
}

#[tokio::test]
async fn no_card_is_a_404_and_an_unreadable_one_is_the_agents_fault() {
    let pair = Pair::start().await;
    let answer = get(&pair, CARD, "").await;
    assert_eq!((answer.head.word(1), reason(&answer)), ("404", "CARD_NOT_FOUND".to_owned()));
    pair.agent.show("<html>");
    let answer = get(&pair, CARD, "").await;
    assert_eq!((answer.head.word(1), reason(&answer)), ("502", "AGENT_PROTOCOL_ERROR".to_owned()));
    let answer = get(&pair, "/.well-known/other.json", "").await;
    assert_eq!(answer.head.word(1), "404");
}

fn reason(answer: &Answer) -> String {
    answer.json()["error"]["details"][0]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_extended_card_is_rewritten_like_the_public_one() {
    let mut pair = Pair::start().await;
    pair.agent.show(card().to_string());
    let (mut caller, request) = pair.begin("GetExtendedAgentCard", "{}").await;
    request.result(&card().to_string()).await;
    let answer = caller.answer().await.json();
    let interfaces = answer["result"]["supportedInterfaces"].as_array().unwrap();
    assert_eq!(interfaces[0]["url"], "http://localhost/agents/currency");
    assert_eq!(answer["result"]["aFieldOfTomorrow"], json!({"exactly": 1.0}));
}

#[tokio::test]
async fn a_card_that_no_configured_key_has_signed_is_refused() {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cards/keys.jwks");
    let pair = Pair::with(json!({"cards": {"keys": [keys]}}), json!({})).await;
    pair.agent.show(card().to_string());
    let answer = get(&pair, CARD, "").await;
    assert_eq!((answer.head.word(1), reason(&answer)), ("502", "CARD_UNTRUSTED".to_owned()));
}
