//! Cards in and out of the mesh: what is replaced, and that all else comes through.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::card::{Settled, attach_original, security};
use crate::codec::Reading;

const ALL: [Binding; 3] = [Binding::Jsonrpc, Binding::HttpJson, Binding::Grpc];

fn home() -> Home {
    Home { namespace: "travel".into(), mesh: "east".into() }
}

fn name(text: &str) -> Name {
    Name::parse(text, &home()).unwrap()
}

fn read(card: &Value) -> Vec<u8> {
    codec::read(&AGENT_CARD, &card.to_string(), Reading::Reply, 1 << 24).unwrap()
}

fn text(card: &[u8]) -> String {
    let mut json = Vec::new();
    codec::write(&AGENT_CARD, card, &mut json).unwrap();
    String::from_utf8(json).unwrap()
}

fn json(card: &[u8]) -> Value {
    serde_json::from_str(&text(card)).unwrap()
}

fn mesh(card: &[u8], bindings: &[Binding]) -> Vec<u8> {
    for_mesh(card, &MeshAddress::new(&name("currency"), "cluster.local", 2643), bindings).unwrap()
}

fn caller(card: &[u8], agent: &str, bindings: &[Binding]) -> Vec<u8> {
    let agent = name(agent);
    let url = format!("http://127.0.0.1:2602/agents/{agent}");
    let base = Base { url: &url, grpc: "127.0.0.1:2602", agent: &agent, home: &home() };
    for_caller(card, &base, bindings).unwrap()
}

fn card() -> Value {
    json!({
        "name": "Currency", "description": "", "version": "1",
        "supportedInterfaces": [
            {"url": "http://localhost:9000/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": "http://localhost:9000/", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            {"url": "http://localhost:9000/eu", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "eu"},
        ],
        "capabilities": {},
        "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"bearer": {"list": ["a"]}}}, {"schemes": {}}],
        "defaultInputModes": [], "defaultOutputModes": [],
        "skills": [
            {"id": "a", "name": "a", "description": "", "tags": [], "securityRequirements": [{"schemes": {"bearer": {"list": []}}}]},
            {"id": "b", "name": "b", "description": "", "tags": []},
        ],
        "signatures": [{"protected": "e30", "signature": "AA"}],
        "future": {"kept": 1},
    })
}

#[test]
fn a_caller_sees_this_sidecar_in_place_of_the_agent() {
    let seen = json(&caller(&mesh(&read(&card()), &ALL), "currency.bank", &ALL));
    let url = "http://127.0.0.1:2602/agents/currency.bank.east";
    let at = |binding: &str| json!({"url": url, "protocolBinding": binding, "protocolVersion": "1.0"});
    let of = |binding: &str| json!({"url": url, "protocolBinding": binding, "tenant": "eu", "protocolVersion": "1.0"});
    let old = |binding: &str| json!({"url": url, "protocolBinding": binding, "protocolVersion": "0.3"});
    let grpc = |tenant: &str| json!({"url": "127.0.0.1:2602", "protocolBinding": "GRPC", "tenant": tenant, "protocolVersion": "1.0"});
    assert_eq!(
        seen["supportedInterfaces"],
        json!([
            at("JSONRPC"),
            at("HTTP+JSON"),
            grpc("currency.bank"),
            of("JSONRPC"),
            of("HTTP+JSON"),
            grpc("currency.bank/eu"),
            old("JSONRPC"),
            old("HTTP+JSON"),
        ])
    );
    assert!(seen.get("signatures").is_none());
    assert_eq!(seen["future"], json!({"kept": 1}));
}

#[test]
fn only_bindings_that_are_served_are_named_and_other_meshes_by_their_full_name() {
    let wire = read(&json!({"name": "A"}));
    let seen = json(&caller(&wire, "currency.bank.west", &[Binding::Grpc]));
    assert_eq!(
        seen["supportedInterfaces"],
        json!([{"url": "127.0.0.1:2602", "protocolBinding": "GRPC", "tenant": "currency.bank.west", "protocolVersion": "1.0"}])
    );
    let interfaces = json(&caller(&wire, "currency", &[Binding::Jsonrpc]))["supportedInterfaces"].clone();
    assert_eq!(interfaces.as_array().unwrap().len(), 2);
    assert_eq!(interfaces[0].get("tenant"), None);
}

#[test]
fn peers_see_the_mesh_address_and_mutual_tls_in_every_requirement() {
    let seen = json(&mesh(&read(&card()), &ALL));
    let authority = "currency.travel.svc.cluster.local:2643";
    let urls: Vec<_> = seen["supportedInterfaces"].as_array().unwrap().iter().collect();
    assert_eq!(urls.len(), 6);
    for interface in urls {
        let grpc = interface["protocolBinding"] == "GRPC";
        let expected = if grpc { authority.to_owned() } else { format!("https://{authority}") };
        assert_eq!((&interface["url"], &interface["protocolVersion"]), (&json!(expected), &json!("1.0")));
    }
    let mtls = json!({"mtlsSecurityScheme": {"description": String::from_utf8_lossy(b"The mutual TLS of the mesh, with SPIFFE X.509-SVIDs")}});
    assert_eq!(seen["securitySchemes"]["dragomanMtls"], mtls);
    assert_eq!(
        seen["securityRequirements"],
        json!([
            {"schemes": {"bearer": {"list": ["a"]}, "dragomanMtls": {}}},
            {"schemes": {"dragomanMtls": {}}},
        ])
    );
    assert_eq!(
        seen["skills"][0]["securityRequirements"],
        json!([{"schemes": {"bearer": {}, "dragomanMtls": {}}}])
    );
    assert!(seen["skills"][1].get("securityRequirements").is_none());
    assert!(seen.get("signatures").is_none());
}

#[test]
fn a_card_that_requires_nothing_requires_mutual_tls_in_the_mesh_and_nothing_again_behind_it() {
    for requirements in [json!(null), json!([]), json!([{}]), json!([{"schemes": {}}])] {
        let mut before = card();
        before["securityRequirements"] = requirements;
        let wire = read(&before);
        let inside = mesh(&wire, &ALL);
        assert_eq!(json(&inside)["securityRequirements"], json!([{"schemes": {"dragomanMtls": {}}}]));
        let after = caller(&inside, "currency", &ALL);
        assert_eq!(json(&after).get("securityRequirements"), json(&wire).get("securityRequirements"));
        assert!(!security::is_in(&after));
    }
}

#[test]
fn the_reserved_scheme_of_an_agent_is_taken_for_ours() {
    let mut before = card();
    before["securitySchemes"]["dragomanMtls"] =
        json!({"apiKeySecurityScheme": {"location": "query", "name": "k"}});
    before["securityRequirements"][0]["schemes"]["dragomanMtls"] = json!({"list": ["x"]});
    assert_eq!(json(&mesh(&read(&before), &ALL)), json(&mesh(&read(&card()), &ALL)));
}

#[test]
fn the_original_comes_along_as_the_agent_sent_it() {
    let mut wire = read(&card());
    let inside = mesh(&wire, &ALL);
    assert_eq!(original(&inside).unwrap(), Some(&*text(&wire)), "what the agent sent is not known");
    attach_original(&mut wire, " {\"name\": \"Currency\"}\n");
    let inside = mesh(&wire, &ALL);
    assert_eq!(original(&inside).unwrap(), Some(" {\"name\": \"Currency\"}\n"));
    assert_eq!(original(&caller(&inside, "currency", &ALL)).unwrap(), None);
}

#[test]
fn interfaces_in_the_words_of_0_3_are_no_way_around() {
    let mut hybrid = card();
    for (member, value) in [
        ("url", json!("http://localhost:9000/")),
        ("preferredTransport", json!("JSONRPC")),
        ("protocolVersion", json!("0.3.0")),
        ("additionalInterfaces", json!([{"url": "http://localhost:9000/rest", "transport": "HTTP+JSON"}])),
        ("supportsAuthenticatedExtendedCard", json!(true)),
    ] {
        hybrid[member] = value;
    }
    let inside = mesh(&read(&hybrid), &ALL);
    let outside = text(&caller(&inside, "currency", &ALL));
    assert!(!text(&inside).contains("localhost") && !outside.contains("localhost"), "{outside}");
    assert!(!outside.contains("preferredTransport") && !outside.contains("0.3.0"), "{outside}");
    assert!(!outside.contains("supportsAuthenticatedExtendedCard"));
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[x-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn requirements() -> impl Strategy<Value = Value> {
    let scopes = prop::collection::vec("[a-z]{0,3}", 0..3).prop_map(|list| json!({"list": list}));
    let one = prop::collection::btree_map("[a-z]{0,4}", scopes, 0..3)
        .prop_map(|schemes| json!({"schemes": schemes}));
    prop::collection::vec(one, 0..4).prop_map(Value::from)
}

fn cards() -> impl Strategy<Value = Value> {
    let interface = ("[a-z:/]{0,12}", "(JSONRPC|GRPC|x)", "[a-z/]{0,3}", "(1.0|0.3)").prop_map(
        |(url, binding, tenant, version)| {
            json!({"url": url, "protocolBinding": binding, "tenant": tenant, "protocolVersion": version})
        },
    );
    let skill = ("\\PC{0,5}", requirements(), anything()).prop_map(
        |(id, requirements, extra)| json!({"id": id, "securityRequirements": requirements, "x-extra": extra}),
    );
    let parts = (
        "\\PC{0,12}",
        prop::collection::vec(interface, 0..4),
        requirements(),
        prop::collection::vec(skill, 0..3),
        any::<Option<bool>>(),
        prop::collection::btree_map("x-[a-z]{1,4}", anything(), 0..4),
        anything(),
    );
    parts.prop_map(|(name, interfaces, requirements, skills, streaming, extra, params)| {
        let mut card = json!({
            "name": name, "supportedInterfaces": interfaces, "securityRequirements": requirements,
            "skills": skills, "capabilities": {"streaming": streaming, "extensions": [{"params": {"p": params}}]},
            "signatures": [{"protected": "e30", "signature": "AA"}],
            "securitySchemes": {"a": {"mtlsSecurityScheme": {}}, "b": {"x-future": 1}},
        });
        card.as_object_mut().unwrap().extend(extra);
        card
    })
}

proptest! {
    #[test]
    fn all_but_interfaces_and_signatures_comes_through_to_the_byte(card in cards()) {
        let wire = read(&card);
        let bare = without_interfaces(&wire, true).unwrap();
        let through = caller(&mesh(&wire, &ALL), "currency", &ALL);
        prop_assert_eq!(text(&without_interfaces(&through, true).unwrap()), text(&bare));
        // Twice the same: the rewriting leans on nothing that it takes away.
        prop_assert_eq!(json(&caller(&mesh(&through, &[]), "currency", &[])), json(&bare));
    }

    #[test]
    fn no_bytes_make_it_panic(wire in prop::collection::vec(any::<u8>(), 0..80)) {
        let address = MeshAddress::new(&name("a"), "cluster.local", 1);
        drop(for_mesh(&wire, &address, &ALL));
        let base = Base { url: "http://a", grpc: "a:1", agent: &name("a"), home: &home() };
        drop(for_caller(&wire, &base, &ALL));
        let settled = Settled { url: http::Uri::from_static("http://a"), binding: None, dialect: None };
        drop(settled.spot_of(&wire));
    }

    #[test]
    fn no_broken_card_makes_it_panic(card in cards(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut wire = read(&card);
        let at = at.index(wire.len().max(1));
        if let Some(broken) = wire.get_mut(at) {
            *broken = byte;
        }
        let address = MeshAddress::new(&name("a"), "cluster.local", 1);
        if let Ok(inside) = for_mesh(&wire, &address, &ALL) {
            drop(codec::write(&AGENT_CARD, &inside, &mut Vec::new()));
        }
    }
}
