//! Every way in which a gRPC caller names an agent, and what becomes of its calls.

use dragoman::a2a::Operation;
use serde_json::{Value, json};

use super::{CURRENCY, path, reason, told};
use crate::harness::agent::status_update;
use crate::harness::client::{Client, say};
use crate::harness::json::canonical;
use crate::harness::mesh::Pair;
use crate::harness::peer::{Peer, answer, frame, request};
use crate::operations::{single, without_interfaces};

const TASK: &str = r#"{"id":"t","status":{}}"#;

/// A pair whose agent answers every question for a task, and tells the tenant that it has seen.
async fn house(outbound: Value) -> (Pair, Peer) {
    let pair = Pair::with(json!({"outbound": outbound}), json!({})).await;
    let caller = Peer::plain(pair.planner.outbound).await;
    (pair, caller)
}

#[tokio::test]
async fn every_source_names_an_agent_alone_and_with_others_that_agree() {
    let (mut pair, _) = house(json!({"ports": {"currency": 0}})).await;
    let namespace = pair.mesh.namespace.clone();
    let (own, port) = (pair.planner.outbound, pair.planner.app.addresses.ports[0].1);
    let name = format!("currency.{namespace}");
    for (address, authority, metadata, tenant, seen) in [
        (port, port.to_string(), None, "", None),
        (port, format!("localhost:{}", port.port()), Some("currency"), "acme", Some("acme")),
        (own, own.to_string(), Some("currency"), "", None),
        (own, own.to_string(), Some("Currency"), "acme/x", Some("acme/x")),
        (own, format!("localhost:{}", own.port()), Some(&*name), &*format!("{name}/x"), Some("x")),
        (own, format!("{name}.a2a"), None, "", None),
        (own, format!("currency.{namespace}.east.a2a:80"), None, "", None),
        (own, format!("{name}.svc.cluster.local:2602"), None, "currency", Some("currency")),
        (own, own.to_string(), None, &*name, None),
        (own, own.to_string(), None, &*format!("{name}.east"), None),
        (own, own.to_string(), None, &*format!("{name}/acme"), Some("acme")),
        (own, own.to_string(), None, &*format!("{name}.east/a/b.c/d"), Some("a/b.c/d")),
        (port, format!("{name}.a2a"), Some(&*name), &*format!("{name}/"), None),
        (port, port.to_string(), None, "a.b.north", Some("a.b.north")),
    ] {
        let caller = Peer::plain(address).await.at(&authority);
        let metadata: Vec<_> = metadata.map(|name| ("dragoman-agent", name)).into_iter().collect();
        let params = format!(r#"{{"tenant":"{tenant}","id":"t"}}"#);
        let params = params.replace(r#""tenant":"","#, "");
        let asking = caller.call(Operation::GetTask, &params, &metadata);
        let (answer, ()) = tokio::join!(asking, async {
            let request = pair.agent.request().await;
            let what = format!("{authority} {metadata:?} {tenant}");
            assert_eq!(request.json()["params"].get("tenant"), seen.map(Value::from).as_ref(), "{what}");
            assert_eq!(request.head.header("dragoman-agent"), None, "{what}");
            request.result(TASK).await;
        });
        assert_eq!(canonical(&answer.json(Operation::GetTask)), canonical(TASK));
    }
    let metrics = pair.planner.metrics().await;
    let labels = ["direction=\"outbound\"", "binding=\"GRPC\"", "code=\"OK\""];
    assert_eq!(metrics.sum("dragoman_calls_total", &labels), 14.0);
}

#[tokio::test]
async fn two_sources_that_disagree_are_both_named() {
    let (mut pair, _) = house(json!({"ports": {"currency": 0}})).await;
    let namespace = pair.mesh.namespace.clone();
    let (own, port) = (pair.planner.outbound, pair.planner.app.addresses.ports[0].1);
    let (currency, hotel) = (format!("currency.{namespace}"), format!("hotel.{namespace}"));
    let by_name = format!("{currency}.a2a");
    for (address, authority, metadata, tenant, words) in [
        (port, port.to_string(), &["hotel"][..], "", ["the port", "the metadata dragoman-agent"]),
        (port, format!("{hotel}.a2a"), &[], "", ["the port", "the authority"]),
        (port, port.to_string(), &[], &*format!("{hotel}/x"), ["the port", "the tenant"]),
        (own, by_name.clone(), &["hotel"], "", ["the metadata dragoman-agent", "the authority"]),
        (own, own.to_string(), &["hotel"], &*currency, ["the metadata dragoman-agent", "the tenant"]),
        (own, by_name, &[], &hotel, ["the authority", "the tenant"]),
        (own, own.to_string(), &["currency", "hotel"], "", ["the metadata dragoman-agent"; 2]),
    ] {
        let caller = Peer::plain(address).await.at(&authority);
        let metadata: Vec<_> = metadata.iter().map(|name| ("dragoman-agent", *name)).collect();
        let params = format!(r#"{{"tenant":"{tenant}","id":"t"}}"#);
        let answer = caller.call(Operation::GetTask, &params, &metadata).await;
        assert_eq!((answer.status(), reason(&answer)), (3, "INVALID_PARAMS".into()));
        let text = told(&answer).message;
        for word in words.into_iter().chain([&*format!("{currency}.east"), &*format!("{hotel}.east")]) {
            assert!(text.contains(word), "{text}: {word}");
        }
    }
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn a_call_that_names_nobody_is_told_how_to() {
    let (mut pair, caller) = house(json!({})).await;
    for tenant in ["", "acme", "currency"] {
        let params = format!(r#"{{"tenant":"{tenant}","id":"t"}}"#);
        let answer = caller.call(Operation::GetTask, &params, &[]).await;
        assert_eq!((answer.status(), reason(&answer)), (3, "INVALID_PARAMS".into()));
        let text = told(&answer).message;
        for way in
            ["dragoman-agent", "AGENT.NAMESPACE.a2a", "tenant", "outbound.ports", &format!("{tenant:?}")]
        {
            assert!(text.contains(way), "{text}");
        }
    }
    for (name, says) in [("a_b", "a_b"), ("", "no agent name"), ("a b", "a b")] {
        let answer = caller.call(Operation::GetTask, r#"{"id":"t"}"#, &[("dragoman-agent", name)]).await;
        assert_eq!((answer.status(), reason(&answer)), (3, "INVALID_PARAMS".into()), "{name}");
        assert!(told(&answer).message.contains(says), "{}", told(&answer).message);
    }
    let garbage = caller.send(&path(Operation::GetTask), &[CURRENCY], &frame(b"\xff")).await;
    assert_eq!((garbage.status(), reason(&garbage)), (3, "INVALID_PARAMS".into()));
    let unknown = caller.send("/lf.a2a.v1.A2AService/Burn", &[CURRENCY], &frame(b"")).await;
    assert_eq!((unknown.status(), reason(&unknown)), (12, "METHOD_NOT_FOUND".into()));
    let card = caller.send("/dragoman.v1.Mesh/GetAgentCard", &[CURRENCY], &frame(b"")).await;
    assert_eq!((card.status(), reason(&card)), (12, "METHOD_NOT_FOUND".into()));
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn the_local_door_is_guarded_for_grpc_too() {
    let (mut pair, caller) =
        house(json!({"allow": ["currency"], "allowedOrigins": ["http://ui.example"]})).await;
    for headers in
        [[CURRENCY, ("origin", "http://evil.example")], [CURRENCY, ("sec-fetch-site", "cross-site")]]
    {
        let answer = caller.call(Operation::GetTask, r#"{"id":"t"}"#, &headers).await;
        assert_eq!((answer.status(), reason(&answer)), (7, "PERMISSION_DENIED".into()), "{headers:?}");
    }
    let hotel = [("dragoman-agent", "hotel")];
    let answer = caller.call(Operation::GetTask, r#"{"id":"t"}"#, &hotel).await;
    assert_eq!((answer.status(), reason(&answer)), (7, "PERMISSION_DENIED".into()));
    let origin = [CURRENCY, ("origin", "http://ui.example")];
    let (answer, ()) = tokio::join!(caller.call(Operation::GetTask, r#"{"id":"t"}"#, &origin), async {
        let request = pair.agent.request().await;
        assert_eq!(request.head.header("origin"), None);
        request.result(TASK).await;
    });
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://ui.example"));
    for host in ["evil.example", "10.9.8.7:2602", "a2a"] {
        let caller = Peer::plain(pair.planner.outbound).await.at(host);
        let answer = caller.call(Operation::GetTask, r#"{"id":"t"}"#, &[CURRENCY]).await;
        assert_eq!((answer.status(), reason(&answer)), (7, "PERMISSION_DENIED".into()), "{host}");
        assert!(told(&answer).message.contains(host));
    }
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn every_operation_crosses_from_grpc_to_json() {
    let (mut pair, caller) = house(json!({})).await;
    for (method, params, result) in single() {
        let operation = Operation::rpc(method).unwrap();
        let (answer, ()) = tokio::join!(caller.call(operation, params, &[CURRENCY]), async {
            let request = pair.agent.request().await;
            assert_eq!(request.method(), method);
            assert_eq!(canonical(&request.params()), canonical(params), "{method}");
            request.result(&result).await;
        });
        let json = answer.json(operation);
        if method == "GetExtendedAgentCard" {
            assert_eq!(without_interfaces(&json), without_interfaces(&result));
        } else {
            assert_eq!(canonical(&json), canonical(&result), "{method}");
        }
    }
}

#[tokio::test]
async fn a_stream_of_a_json_agent_arrives_event_by_event_and_ends_with_its_status() {
    let (mut pair, caller) = house(json!({})).await;
    for (operation, params) in [
        (Operation::SendStreamingMessage, say("x")),
        (Operation::SubscribeToTask, r#"{"id":"t"}"#.to_owned()),
    ] {
        let response = caller.begin(operation, &params, &[CURRENCY]).await;
        let mut stream = pair.agent.request().await.stream_with("A2A-Extensions: urn:x\r\n").await;
        let mut response = response.await.unwrap();
        assert_eq!(response.headers()["a2a-extensions"], "urn:x");
        for text in ["a", "b"] {
            stream.event(&status_update(text)).await;
            let data = response.body_mut().data().await.unwrap().unwrap();
            let event = crate::harness::peer::json(operation, &data[5..]);
            assert_eq!(canonical(&event), canonical(&status_update(text)));
        }
        stream.error(r#"{"code":-32001,"message":"gone","data":[]}"#).await;
        let answer = answer(response).await;
        assert_eq!((answer.status(), answer.messages.len()), (5, 0));
        assert_eq!(answer.header("grpc-message"), Some("gone"));

        let response = caller.begin(operation, &params, &[CURRENCY]).await;
        let mut stream = pair.agent.request().await.stream().await;
        stream.event(&status_update("a")).await;
        stream.end().await;
        let answer = crate::harness::peer::answer(response.await.unwrap()).await;
        assert_eq!((answer.status(), answer.messages.len()), (0, 1));
    }
}

#[tokio::test]
async fn a_grpc_caller_who_leaves_or_runs_out_of_time_ends_the_call_at_the_agent() {
    let (mut pair, caller) = house(json!({})).await;
    let response = caller.begin(Operation::SendMessage, &say("x"), &[CURRENCY]).await;
    let request = pair.agent.request().await;
    drop(response);
    request.left().await;

    let response = caller.begin(Operation::SendStreamingMessage, &say("x"), &[CURRENCY]).await;
    let mut stream = pair.agent.request().await.stream().await;
    stream.event(&status_update("x")).await;
    drop(response.await.unwrap());
    stream.left().await;

    let params = say("x");
    let late = [CURRENCY, ("grpc-timeout", "50m")];
    let asking = caller.call(Operation::SendMessage, &params, &late);
    let (answer, ()) = tokio::join!(asking, async { pair.agent.request().await.left().await });
    assert_eq!((answer.status(), reason(&answer)), (4, "DEADLINE_EXCEEDED".into()));
}

#[tokio::test]
async fn a_caller_on_an_sdk_gets_no_more_details_than_it_can_take() {
    let (mut pair, caller) = house(json!({})).await;
    let error = format!(r#"{{"code":-32001,"message":"no task","data":{:?}}}"#, "x".repeat(16 << 10));
    for (agent, whole) in [("grpc-python/1.76", false), ("dragoman/0.1", true)] {
        let headers = [CURRENCY, ("user-agent", agent)];
        let (answer, ()) = tokio::join!(caller.call(Operation::GetTask, r#"{"id":"t"}"#, &headers), async {
            pair.agent.request().await.error(&error).await;
        });
        assert_eq!((answer.status(), answer.header("grpc-message")), (5, Some("no%20task")));
        let length = answer.header("grpc-status-details-bin").unwrap().len();
        assert_eq!(length > 16 << 10, whole, "{agent}: {length}");
    }
}

#[tokio::test]
async fn messages_larger_than_allowed_and_none_at_all_are_refused() {
    let pair = Pair::with(json!({"limits": {"message": "64KiB"}}), json!({})).await;
    let caller = Peer::plain(pair.planner.outbound).await;
    let large = frame(&request(Operation::SendMessage, &say(&"x".repeat(65 << 10))));
    for (body, status, reason_of) in [(&large[..], 8, "MESSAGE_TOO_LARGE"), (b"", 3, "INVALID_REQUEST")] {
        let answer = caller.send(&path(Operation::SendMessage), &[CURRENCY], body).await;
        assert_eq!((answer.status(), reason(&answer)), (status, reason_of.into()));
    }
}

#[tokio::test]
async fn a_card_says_where_grpc_is_and_a_caller_who_follows_it_gets_there() {
    let (mut pair, _) = house(json!({"ports": {"currency": 0}})).await;
    let card = json!({"name": "C", "supportedInterfaces": [
        {"url": "http://a/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "http://a/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "acme"},
    ]});
    pair.agent.show(card.to_string());
    let (own, port) = (pair.planner.outbound, pair.planner.app.addresses.ports[0].1);
    let name = format!("currency.{}", pair.mesh.namespace);
    for (address, base) in [(own, "/agents/currency"), (port, "")] {
        let mut caller = Client::connect(address).await;
        let headers = format!("Host: {address}\r\nA2A-Version: 1.0\r\n");
        caller.request(&format!("GET {base}/.well-known/agent-card.json"), &headers, "").await;
        let card = caller.answer().await.json();
        let interfaces = card["supportedInterfaces"].as_array().unwrap().iter();
        let grpc: Vec<_> = interfaces.filter(|one| one["protocolBinding"] == "GRPC").collect();
        let expected = |tenant: &str| json!({"url": address.to_string(), "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": tenant});
        assert_eq!(grpc, [&expected(&name), &expected(&format!("{name}/acme"))]);
        for (interface, seen) in grpc.into_iter().zip([None, Some("acme")]) {
            let caller = Peer::plain(interface["url"].as_str().unwrap().parse().unwrap()).await;
            let params = json!({"tenant": interface["tenant"], "id": "t"}).to_string();
            let (answer, ()) = tokio::join!(caller.call(Operation::GetTask, &params, &[]), async {
                let request = pair.agent.request().await;
                assert_eq!(request.json()["params"].get("tenant"), seen.map(Value::from).as_ref());
                request.result(TASK).await;
            });
            assert_eq!(answer.status(), 0);
        }
    }
}

#[tokio::test]
async fn an_extended_card_by_grpc_says_where_the_caller_is() {
    let (mut pair, caller) = house(json!({})).await;
    let (answer, ()) = tokio::join!(
        caller.call(Operation::GetExtendedAgentCard, "{}", &[CURRENCY, ("user-agent", "x")]),
        async { pair.agent.request().await.result(r#"{"name":"C"}"#).await }
    );
    let card: Value = serde_json::from_str(&answer.json(Operation::GetExtendedAgentCard)).unwrap();
    let (own, name) = (pair.planner.outbound, format!("currency.{}", pair.mesh.namespace));
    for interface in [
        json!({"url": format!("http://{own}/agents/{name}"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}),
        json!({"url": own.to_string(), "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": name}),
    ] {
        assert!(card["supportedInterfaces"].as_array().unwrap().contains(&interface), "{card}");
    }
}
