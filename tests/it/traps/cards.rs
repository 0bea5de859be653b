//! Cards: what a caller of either version gets, and what is believed of an agent's.

/// Where calls go, and in which dialect.
mod believed;

use serde_json::{Value, json};

use crate::harness::client::{Answer, Client};
use crate::harness::dialect::{Dialect, PAIRS, Talk, V0_3, V1_0};
use crate::harness::json::value;
use crate::harness::mesh::Pair;

const PATH: &str = "/.well-known/agent-card.json";

async fn get(pair: &Pair, path: &str, more: &str) -> Answer {
    let mut caller = Client::connect(pair.planner.outbound).await;
    let headers = format!("Host: {}\r\n{more}", pair.planner.outbound);
    caller.request(&format!("GET /agents/currency{path}"), &headers, "").await;
    caller.answer().await
}

async fn card(pair: &Pair, version: &str) -> String {
    let answer = get(pair, PATH, version).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// What both dialects say in the same words.
const BOTH: &str = r#""name":"A","description":"d","version":"1","provider":{"url":"u","organization":"o"},
    "documentationUrl":"d","iconUrl":"i","defaultInputModes":["a/b"],"defaultOutputModes":[]"#;
const EXTENSIONS: &str =
    r#""extensions":[{"uri":"urn:x","description":"d","required":true,"params":{"n":1.0}}]"#;
const SKILL: &str = r#""id":"s","name":"s","description":"","tags":[],"examples":["e"]"#;
const HTTP: &str = r#""scheme":"Bearer","bearerFormat":"JWT""#;
const CODE: &str = r#""authorizationCode":{"authorizationUrl":"a","tokenUrl":"t","scopes":{"r":"read"}}"#;

/// The card of an agent in that dialect, in which it says what the other one can say too.
fn of_agent(dialect: Dialect) -> String {
    match dialect {
        V0_3 => format!(
            r#"{{{BOTH},"url":"http://0.0.0.0:9/rpc","preferredTransport":"JSONRPC","protocolVersion":"0.3.0",
            "additionalInterfaces":[{{"url":"http://0.0.0.0:9/rpc","transport":"JSONRPC"}},{{"url":"0.0.0.0:9","transport":"GRPC"}}],
            "capabilities":{{"streaming":true,{EXTENSIONS}}},"supportsAuthenticatedExtendedCard":true,
            "securitySchemes":{{"h":{{"type":"http",{HTTP}}},"k":{{"type":"apiKey","in":"header","name":"X"}},
                "o":{{"type":"oauth2","flows":{{{CODE}}}}}}},
            "security":[{{"h":[]}},{{"o":["r"]}}],"skills":[{{{SKILL},"security":[{{"k":[]}}]}}],
            "signatures":[{{"protected":"e30","signature":"AA"}}]}}"#
        ),
        V1_0 => format!(
            r#"{{{BOTH},"supportedInterfaces":[
                {{"url":"http://0.0.0.0:9/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0"}},
                {{"url":"0.0.0.0:9","protocolBinding":"GRPC","protocolVersion":"1.0"}}],
            "signatures":[{{"protected":"e30","signature":"AA"}}],{}}}"#,
            new_members()
        ),
    }
}

/// What a card of 1.0 says in words of its own.
fn new_members() -> String {
    format!(
        r#""capabilities":{{"streaming":true,{EXTENSIONS},"extendedAgentCard":true}},
        "securitySchemes":{{"h":{{"httpAuthSecurityScheme":{{{HTTP}}}}},
            "k":{{"apiKeySecurityScheme":{{"location":"header","name":"X"}}}},
            "o":{{"oauth2SecurityScheme":{{"flows":{{{CODE}}}}}}}}},
        "securityRequirements":[{{"schemes":{{"h":{{}}}}}},{{"schemes":{{"o":{{"list":["r"]}}}}}}],
        "skills":[{{{SKILL},"securityRequirements":[{{"schemes":{{"k":{{}}}}}}]}}]"#
    )
}

fn base(pair: &Pair) -> String {
    format!("http://{}/agents/currency", pair.planner.outbound)
}

/// The card as callers of 1.0 get it, but for its interfaces: what the specification has, and nothing of 0.3, which some
/// SDKs refuse to read.
fn pure() -> Value {
    value(&format!("{{{BOTH},{}}}", new_members()))
}

/// Takes the interfaces out of a card, after a look at them: some SDKs take the first of a binding whatever its version, and
/// compare versions letter by letter.
fn take_interfaces(card: &mut Value, base: &str) {
    let interfaces = card.as_object_mut().unwrap().remove("supportedInterfaces").unwrap();
    let of_jsonrpc: Vec<_> = interfaces
        .as_array()
        .unwrap()
        .iter()
        .filter(|interface| interface["protocolBinding"] == "JSONRPC")
        .cloned()
        .collect();
    let interface =
        |version: &str| json!({"url": base, "protocolBinding": "JSONRPC", "protocolVersion": version});
    assert_eq!(of_jsonrpc, [interface("1.0"), interface("0.3")]);
    for interface in interfaces.as_array().unwrap() {
        assert!(["1.0", "0.3"].contains(&interface["protocolVersion"].as_str().unwrap()), "{interface}");
        assert!(!interface["url"].as_str().unwrap().contains("0.0.0.0"), "{interface}");
    }
}

/// The same in the words of 0.3, which has another gRPC.
fn take_old_interfaces(card: &mut Value, base: &str) {
    let card = card.as_object_mut().unwrap();
    assert_eq!(card.remove("url"), Some(base.into()));
    assert_eq!(card.remove("preferredTransport"), Some("JSONRPC".into()));
    assert_eq!(card.remove("protocolVersion"), Some("0.3.0".into()));
    let additional = card.remove("additionalInterfaces").unwrap();
    assert!(additional.as_array().unwrap().contains(&json!({"url": base, "transport": "JSONRPC"})));
    for interface in additional.as_array().unwrap() {
        assert_eq!(interface["url"], base);
        assert_ne!(interface["transport"], "GRPC");
    }
}

#[tokio::test]
async fn a_caller_of_1_0_gets_a_card_of_1_0_whatever_the_agent_has() {
    for agent in [V0_3, V1_0] {
        let pair = Talk::start((V1_0, agent)).await.pair;
        pair.agent.show(of_agent(agent));
        for version in ["A2A-Version: 1.0\r\n", "a2a-version: 1.1\r\n"] {
            let answer = get(&pair, PATH, version).await;
            assert!(answer.body.contains(r#""n":1.0"#), "{}", answer.body);
            let mut card = answer.json();
            take_interfaces(&mut card, &base(&pair));
            assert_eq!(card, pure(), "{agent:?}");
            assert_eq!(answer.head.header("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn who_says_nothing_of_its_version_gets_a_card_for_both() {
    for agent in [V0_3, V1_0] {
        let pair = Talk::start((V0_3, agent)).await.pair;
        pair.agent.show(of_agent(agent));
        let base = base(&pair);
        for version in ["", "A2A-Version: 0.3\r\n", "A2A-Version: 0.3.0\r\n", "A2A-Version: \r\n"] {
            let mut hybrid = value(&card(&pair, version).await);
            take_interfaces(&mut hybrid, &base);
            take_old_interfaces(&mut hybrid, &base);
            let members = hybrid.as_object_mut().unwrap();
            assert_eq!(members.remove("supportsAuthenticatedExtendedCard"), Some(true.into()));
            assert_eq!(members.remove("security"), Some(json!([{"h": []}, {"o": ["r"]}])));
            // Every scheme says what it is in both words: one SDK looks at the first to tell the dialect.
            let schemes = hybrid["securitySchemes"].as_object_mut().unwrap();
            for (name, kind, own) in [
                ("h", "http", json!({"scheme": "Bearer", "bearerFormat": "JWT"})),
                ("k", "apiKey", json!({"in": "header", "name": "X"})),
                ("o", "oauth2", json!({"flows": value(&format!("{{{CODE}}}"))})),
            ] {
                let scheme = schemes[name].as_object_mut().unwrap();
                assert_eq!(scheme.remove("type"), Some(kind.into()), "{name}");
                for (member, expected) in own.as_object().unwrap() {
                    assert_eq!(scheme.remove(member).as_ref(), Some(expected), "{name}.{member}");
                }
            }
            let skill = hybrid["skills"][0].as_object_mut().unwrap();
            assert_eq!(skill.remove("security"), Some(json!([{"k": []}])));
            // Without all that it is the card of 1.0, down to its extensions, where one SDK stands nothing strange.
            assert_eq!(hybrid, pure(), "{agent:?} {version}");
        }
    }
}

#[tokio::test]
async fn what_0_3_must_have_is_there_even_if_the_agent_left_it_out() {
    let pair = Talk::start((V0_3, V0_3)).await.pair;
    pair.agent.show(r#"{"name":"A","url":"http://a/"}"#);
    let card = value(&card(&pair, "").await);
    for name in ["name", "description", "version", "url", "protocolVersion", "preferredTransport"] {
        assert!(card[name].is_string(), "{name}: {card}");
    }
    for name in ["defaultInputModes", "defaultOutputModes", "skills", "supportedInterfaces"] {
        assert!(card[name].is_array(), "{name}: {card}");
    }
    assert!(card["capabilities"].is_object(), "{card}");
}

#[tokio::test]
async fn what_only_0_3_says_in_a_card_reaches_0_3_and_nobody_else() {
    let pair = Talk::start((V0_3, V0_3)).await.pair;
    let flows = format!(r#"{{{CODE},"password":{{"tokenUrl":"t","scopes":{{}}}}}}"#);
    pair.agent.show(format!(
        r#"{{"name":"A","description":"d","version":"1","url":"http://a/","protocolVersion":"0.3.0","later":{{"n":1.0}},
        "capabilities":{{"stateTransitionHistory":true}},"securitySchemes":{{"o":{{"type":"oauth2","flows":{flows}}}}},
        "defaultInputModes":[],"defaultOutputModes":[],"skills":[]}}"#
    ));
    let hybrid = card(&pair, "").await;
    assert!(hybrid.contains(r#""n":1.0"#), "{hybrid}");
    let hybrid = value(&hybrid);
    assert_eq!(hybrid["capabilities"]["stateTransitionHistory"], true);
    assert_eq!(hybrid["securitySchemes"]["o"]["flows"], value(&flows));
    let pure = card(&pair, "A2A-Version: 1.0\r\n").await;
    for strange in ["later", "stateTransitionHistory", "password", r#""type""#, "0.3.0", "preferredTransport"]
    {
        assert!(!pure.contains(strange), "{strange}: {pure}");
    }
}

#[tokio::test]
async fn cards_are_where_sdks_of_0_2_look_for_them_too() {
    for agent in [V0_3, V1_0] {
        let pair = Talk::start((V0_3, agent)).await.pair;
        let own = of_agent(agent);
        pair.agent.show(own.clone());
        let card = card(&pair, "").await;
        assert_eq!(get(&pair, "/.well-known/agent.json", "").await.body, card);
        assert_eq!(get(&pair, "/.well-known/agent-card.original.json", "").await.body, own);
    }
}

#[tokio::test]
async fn caches_keep_the_cards_of_both_versions_apart() {
    for agent in [V0_3, V1_0] {
        let pair = Talk::start((V0_3, agent)).await.pair;
        pair.agent.show(of_agent(agent));
        let new = "A2A-Version: 1.0\r\n";
        let (of_0_3, of_1_0) = (get(&pair, PATH, "").await, get(&pair, PATH, new).await);
        let etag = |answer: &Answer| answer.head.header("etag").unwrap().to_owned();
        assert_ne!(etag(&of_0_3), etag(&of_1_0));
        for (answer, version, other) in [(&of_0_3, "", &of_1_0), (&of_1_0, new, &of_0_3)] {
            assert_eq!(answer.head.header("vary"), Some("A2A-Version, Host"));
            let with = |etag| format!("{version}If-None-Match: {etag}\r\n");
            assert_eq!(get(&pair, PATH, &with(etag(answer))).await.status, 304);
            let again = get(&pair, PATH, &with(etag(other))).await;
            assert_eq!((again.status, &again.body), (200, &answer.body));
        }
    }
}

#[tokio::test]
async fn an_extended_card_is_all_of_the_callers_dialect() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        let params = if talk.caller == V0_3 { "" } else { "{}" };
        let (mut caller, request) = talk.begin(dragoman::a2a::Operation::GetExtendedAgentCard, params).await;
        request.result(&of_agent(talk.agent)).await;
        let result = caller.answer().await.result();
        let base = "http://localhost/agents/currency";
        let mut card = value(&result);
        match talk.caller {
            V1_0 => {
                take_interfaces(&mut card, base);
                assert_eq!(card, pure(), "{talk}");
            }
            V0_3 => {
                take_old_interfaces(&mut card, base);
                let mut expected = value(&of_agent(V0_3));
                for own in
                    ["url", "preferredTransport", "protocolVersion", "additionalInterfaces", "signatures"]
                {
                    expected.as_object_mut().unwrap().remove(own);
                }
                assert_eq!(card, expected, "{talk}");
            }
        }
    }
}
