//! What is believed of an agent's card: where calls go, in which dialect, and under which version.

use std::fmt::Write as _;

use dragoman::a2a::Operation as O;
use serde_json::json;

use crate::harness::agent::{Agent, Received};
use crate::harness::client::Client;
use crate::harness::dialect::{Dialect, Said, V0_3, V1_0, headers, method, request, speak};
use crate::harness::json::{canonical, member, value};
use crate::harness::logs;
use crate::harness::mesh::Pair;

const NOT_FOUND: &str = r#"{"code":-32601,"message":"no such method"}"#;

/// A pair whose agent's dialect and binding are what its card says.
async fn open(card: &str) -> Pair {
    let pair = Pair::speaking(json!({"dialect": "auto", "binding": "auto"})).await;
    if !card.is_empty() {
        pair.agent.show(card);
    }
    pair
}

async fn ask(pair: &Pair, caller: Dialect, operation: O) -> Client {
    let mut client = Client::connect(pair.planner.outbound).await;
    let body = request("1", method(caller, operation), &speak(caller, Said::Send("x")));
    client.request("POST /agents/currency", headers(caller), &body).await;
    client
}

/// The next request at the agent, in that dialect.
async fn asked(agent: &mut Agent, dialect: Dialect, operation: O) -> Received {
    let request = agent.request().await;
    assert_eq!(request.method(), method(dialect, operation));
    request
}

fn interface(url: &str, binding: &str, version: &str) -> String {
    format!(r#"{{"url":"{url}","protocolBinding":"{binding}","protocolVersion":"{version}"}}"#)
}

fn new_card(interfaces: &[String]) -> String {
    format!(r#"{{"name":"A","supportedInterfaces":[{}]}}"#, interfaces.join(","))
}

fn old_card(url: &str, transport: &str, version: &str, additional: &[(&str, &str)]) -> String {
    let mut more = String::new();
    for (url, transport) in additional {
        let comma = if more.is_empty() { "" } else { "," };
        write!(more, r#"{comma}{{"url":"{url}","transport":"{transport}"}}"#).unwrap();
    }
    format!(
        r#"{{"name":"A","url":"{url}","preferredTransport":"{transport}","protocolVersion":"{version}","additionalInterfaces":[{more}]}}"#
    )
}

#[tokio::test]
async fn an_agent_is_called_in_its_dialect_at_its_path_under_its_own_spelling_of_the_version() {
    let rpc = "https://elsewhere.example:444/a2a/rpc";
    for (card, dialect, path, version) in [
        (old_card(rpc, "JSONRPC", "0.3.0", &[]), V0_3, "/a2a/rpc", "0.3.0"),
        (old_card(rpc, "JSONRPC", "0.3", &[]), V0_3, "/a2a/rpc", "0.3"),
        (old_card(rpc, "JSONRPC", "0.2.5", &[]), V0_3, "/a2a/rpc", "0.2.5"),
        (r#"{"name":"A","url":"http://0.0.0.0:9999/"}"#.to_owned(), V0_3, "/", "0.3"),
        (
            r#"{"name":"A","url":"http://localhost/x/","protocolVersion":"0.3.0"}"#.to_owned(),
            V0_3,
            "/x/",
            "0.3.0",
        ),
        // The gRPC of 0.3 is another one, and HTTP+JSON is not what the pod speaks first.
        (old_card("h:1", "GRPC", "0.3.0", &[("h:1", "GRPC"), (rpc, "JSONRPC")]), V0_3, "/a2a/rpc", "0.3.0"),
        (old_card(rpc, "JSONRPC", "0.3.0", &[("http://h/rest", "HTTP+JSON")]), V0_3, "/a2a/rpc", "0.3.0"),
        (new_card(&[interface(rpc, "JSONRPC", "1.0")]), V1_0, "/a2a/rpc", "1.0"),
        (new_card(&[interface(rpc, "jsonrpc", "1.0.1")]), V1_0, "/a2a/rpc", "1.0.1"),
        (
            new_card(&[interface("http://h/old", "JSONRPC", "0.3"), interface(rpc, "JSONRPC", "1.0")]),
            V1_0,
            "/a2a/rpc",
            "1.0",
        ),
        (new_card(&[interface("http://h/old", "JSONRPC", "0.3.0")]), V0_3, "/old", "0.3.0"),
        // One for both: what lists interfaces counts.
        (
            format!(
                r#"{{"name":"A","url":"http://h/old","protocolVersion":"0.3.0","supportedInterfaces":[{}]}}"#,
                interface(rpc, "JSONRPC", "1.0")
            ),
            V1_0,
            "/a2a/rpc",
            "1.0",
        ),
    ] {
        let mut pair = open(&card).await;
        for caller in [V0_3, V1_0] {
            let mut client = ask(&pair, caller, O::SendMessage).await;
            let request = asked(&mut pair.agent, dialect, O::SendMessage).await;
            assert_eq!(request.head.word(1), path, "{card}");
            assert_eq!(request.head.header("host"), Some(&*pair.agent.address.to_string()));
            assert_eq!(request.head.header("a2a-version"), Some(version), "{card}");
            request.result(&speak(dialect, Said::Message("x"))).await;
            let result = client.answer().await.result();
            assert_eq!(canonical(&result), canonical(&speak(caller, Said::Message("x"))), "{card}");
        }
    }
}

#[tokio::test]
async fn an_agents_own_tenant_is_named_for_callers_that_know_no_tenants() {
    let interface =
        r#"{"url":"http://h/","protocolBinding":"JSONRPC","protocolVersion":"1.0","tenant":"acme"}"#;
    let mut pair = open(&new_card(&[interface.to_owned()])).await;
    let _client = ask(&pair, V0_3, O::SendMessage).await;
    let request = asked(&mut pair.agent, V1_0, O::SendMessage).await;
    assert_eq!(value(&request.params())["tenant"], "acme");

    // The card says so too, but not where 0.3 is spoken: it has no word for it.
    let mut client = Client::connect(pair.planner.outbound).await;
    client.request("GET /agents/currency/.well-known/agent-card.json", headers(V0_3), "").await;
    let mut interfaces = client.answer().await.json()["supportedInterfaces"].clone();
    interfaces.as_array_mut().unwrap().retain(|interface| interface["protocolBinding"] == "JSONRPC");
    let said = |version: &str, tenant: &str| {
        let mut said = json!({
            "url": "http://localhost/agents/currency", "protocolBinding": "JSONRPC", "protocolVersion": version,
        });
        if !tenant.is_empty() {
            said["tenant"] = tenant.into();
        }
        said
    };
    assert_eq!(interfaces, json!([said("1.0", "acme"), said("0.3", "")]));
}

/// How an agent says that it does not know a method.
#[derive(Clone, Copy, Debug)]
enum Refusing {
    Answer,
    Event,
    Status,
}

async fn refuse(request: Received, how: Refusing) {
    let body = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{NOT_FOUND}}}"#);
    match how {
        Refusing::Answer => request.error(NOT_FOUND).await,
        Refusing::Event => request.stream().await.error(NOT_FOUND).await,
        Refusing::Status => request.answer("404 Not Found", "", body.as_bytes()).await,
    }
}

#[tokio::test]
async fn an_agent_whose_card_is_wrong_or_missing_is_asked_in_the_other_dialect() {
    for (card, first, then) in [
        (String::new(), V1_0, V0_3),
        ("<html>".to_owned(), V1_0, V0_3),
        (new_card(&[interface("http://h/", "JSONRPC", "1.0")]), V1_0, V0_3),
        (old_card("http://h/", "JSONRPC", "0.3.0", &[]), V0_3, V1_0),
    ] {
        for (operation, how) in [
            (O::SendMessage, Refusing::Answer),
            (O::SendMessage, Refusing::Status),
            (O::SendStreamingMessage, Refusing::Answer),
            (O::SendStreamingMessage, Refusing::Event),
        ] {
            for caller in [V0_3, V1_0] {
                let mut pair = open(&card).await;
                let mut client = ask(&pair, caller, operation).await;
                refuse(asked(&mut pair.agent, first, operation).await, how).await;
                let request = asked(&mut pair.agent, then, operation).await;
                assert_eq!(request.head.header("a2a-version"), Some(then.as_str()), "{card} {how:?}");
                request.result(&speak(then, Said::Message("x"))).await;
                let result = if operation.is_streaming() {
                    client.reading().await.result().await
                } else {
                    client.answer().await.result()
                };
                assert_eq!(canonical(&result), canonical(&speak(caller, Said::Message("x"))));

                // Once it has understood, it is not asked in the wrong one again.
                let mut client = ask(&pair, caller, O::SendMessage).await;
                asked(&mut pair.agent, then, O::SendMessage).await.error(NOT_FOUND).await;
                assert!(client.answer().await.error().contains("-32601"));
                assert!(!pair.agent.was_asked());
                let url = format!("http://{}/", pair.agent.address);
                logs::line("the wrong card", |line| line["url"] == *url && line["dialect"] == then.as_str())
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn an_agent_that_knows_a_method_in_neither_dialect_has_the_first_word() {
    for streams in [false, true] {
        let operation = if streams { O::SendStreamingMessage } else { O::SendMessage };
        let mut pair = open("").await;
        // Nothing is settled by that, so it is so every time.
        for _ in 0..2 {
            let mut client = ask(&pair, V1_0, operation).await;
            asked(&mut pair.agent, V1_0, operation).await.error(r#"{"code":-32601,"message":"first"}"#).await;
            asked(&mut pair.agent, V0_3, operation)
                .await
                .error(r#"{"code":-32601,"message":"second"}"#)
                .await;
            let error = if streams {
                client.reading().await.last_error().await
            } else {
                client.answer().await.error()
            };
            assert_eq!(canonical(&error), r#"{"code":-32601,"message":"first"}"#);
        }
    }
}

#[tokio::test]
async fn any_other_error_is_an_answer_and_settles_the_dialect() {
    for (operation, how) in
        [(O::SendMessage, false), (O::SendStreamingMessage, false), (O::SendStreamingMessage, true)]
    {
        let mut pair = open("").await;
        let error = r#"{"code":-32602,"message":"understood"}"#;
        let mut client = ask(&pair, V1_0, operation).await;
        let request = asked(&mut pair.agent, V1_0, operation).await;
        match how {
            false => request.error(error).await,
            true => request.stream().await.error(error).await,
        }
        let seen = if operation.is_streaming() {
            client.reading().await.last_error().await
        } else {
            client.answer().await.error()
        };
        assert_eq!(canonical(&seen), error);
        let mut client = ask(&pair, V1_0, O::SendMessage).await;
        asked(&mut pair.agent, V1_0, O::SendMessage).await.error(NOT_FOUND).await;
        assert!(client.answer().await.error().contains("-32601"));
        assert!(!pair.agent.was_asked());
    }
}

#[tokio::test]
async fn what_is_configured_holds_whatever_the_card_says() {
    let card = new_card(&[
        interface("http://h/rest", "HTTP+JSON", "1.0"),
        interface("http://h/rpc", "JSONRPC", "1.0"),
    ]);
    let old = old_card("http://h/rpc", "JSONRPC", "0.3.0", &[]);
    for (card, how, dialect, version) in [
        (&card, json!({"dialect": "0.3", "binding": "JSONRPC"}), V0_3, "0.3"),
        (&card, json!({"dialect": "1.0", "binding": "JSONRPC"}), V1_0, "1.0"),
        (&card, json!({"dialect": "auto", "binding": "JSONRPC"}), V1_0, "1.0"),
        (&old, json!({"dialect": "1.0", "binding": "auto"}), V1_0, "1.0"),
        (&old, json!({"dialect": "0.3", "binding": "auto"}), V0_3, "0.3.0"),
    ] {
        let mut pair = Pair::speaking(how.clone()).await;
        pair.agent.show(card.clone());
        let mut client = ask(&pair, V1_0, O::SendMessage).await;
        let request = asked(&mut pair.agent, dialect, O::SendMessage).await;
        assert_eq!(request.head.word(1), "/rpc", "{how}");
        assert_eq!(request.head.header("a2a-version"), Some(version), "{how}");
        if how["dialect"] == "auto" {
            continue;
        }
        // Nor is it tried in another dialect.
        request.error(NOT_FOUND).await;
        let error = client.answer().await.error();
        assert_eq!(member(&error, "code").as_deref(), Some("-32601"));
        assert!(!pair.agent.was_asked(), "{how}");
    }
}
