//! What a caller does wrong, and whom it cannot reach: each has its code, its reason and its place.

use serde_json::json;

use crate::harness::agent::{Agent, message};
use crate::harness::client::{Client, JSON, envelope, reason, say};
use crate::harness::json::member;
use crate::harness::mesh::Pair;

#[tokio::test]
async fn every_mistake_in_a_request_has_its_code_and_its_place() {
    let mut pair = Pair::start().await;
    for (body, id, code, says) in [
        ("", "null", -32700, "not JSON"),
        ("{", "null", -32700, "not JSON"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t"}"#, "null", -32700, "not JSON"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t"}}]"#, "null", -32600, "batch"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"GetTask"}"#, "1", -32600, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","id":[],"method":"GetTask"}"#, "null", -32600, "id"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"BurnTask"}"#, "1", -32601, "BurnTask"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{}}"#, "1", -32602, "id"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":7}}"#, "1", -32602, "id"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":[]}"#, "1", -32602, ""),
        (
            &envelope(
                "SendMessage",
                r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"},{"raw":"?"}]}}"#,
            ),
            "1",
            -32602,
            "message.parts[1].raw",
        ),
        (
            &envelope(
                "SendMessage",
                r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a","url":"b"}]}}"#,
            ),
            "1",
            -32602,
            "message.parts[0].url",
        ),
        (
            &envelope("SendMessage", r#"{"message":{"role":"ROLE_USER","parts":[]}}"#),
            "1",
            -32602,
            "message.messageId",
        ),
    ] {
        let answer = pair.planner.post("currency", body).await;
        assert_eq!(
            (answer.status, answer.head.header("content-type")),
            (200, Some("application/json")),
            "{body}"
        );
        assert_eq!(member(&answer.body, "id").as_deref(), Some(id), "{body}");
        let error = answer.json()["error"].clone();
        assert_eq!(error["code"], code, "{body}: {error}");
        assert_eq!(error["data"][0]["domain"], "a2a-protocol.org");
        if code == -32602 {
            assert_eq!(error["data"][1]["@type"], "type.googleapis.com/google.rpc.BadRequest");
            assert_eq!(error["data"][1]["fieldViolations"][0]["field"], says, "{error}");
        }
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_written() {
    let mut pair = Pair::start().await;
    for id in [
        "1",
        "1.0",
        "-0",
        "1e2",
        "null",
        r#""""#,
        r#""a\u0062""#,
        r#""\/""#,
        "123456789012345678901234567890",
    ] {
        let mut caller = Client::connect(pair.planner.outbound).await;
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"SendMessage","params":{}}}"#, say("x"));
        caller.request("POST /agents/currency", JSON, &body).await;
        let request = pair.agent.request().await;
        assert!(request.id().starts_with('"'), "agents echo strings best: {}", request.id());
        request.result(&message("x")).await;
        assert_eq!(member(&caller.answer().await.body, "id").as_deref(), Some(id));
        let refused =
            pair.planner.post("currency", &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#)).await;
        assert_eq!(member(&refused.body, "id").as_deref(), Some(id));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_stream_is_told_as_its_only_event() {
    let pair = Pair::start().await;
    for (agent, method, params, code) in [
        ("currency", "SendStreamingMessage", "{}", -32602),
        ("currency", "SubscribeToTask", "{}", -32602),
        ("currency.nowhere.east", "SubscribeToTask", r#"{"id":"t"}"#, -32603),
    ] {
        let mut stream = pair.planner.stream(agent, method, params).await;
        let event = stream.event().await.unwrap();
        assert_eq!(stream.event().await, None);
        let event = crate::harness::json::value(&event);
        assert_eq!((event["id"].as_i64(), event["error"]["code"].as_i64()), (Some(1), Some(code)), "{event}");
    }
}

#[tokio::test]
async fn a_body_larger_than_a_message_may_be_is_refused_before_it_is_sent() {
    let mut pair = Pair::with(json!({"limits": {"message": "64KiB"}}), json!({})).await;
    let answer = pair.planner.call("currency", "SendMessage", &say(&"x".repeat(65 << 10))).await;
    assert_eq!((answer.status, answer.reason()), (200, "MESSAGE_TOO_LARGE".into()));
    // Small numbers take more bytes on the wire than in text.
    let numbers = "1,".repeat(15 << 10);
    let params =
        format!(r#"{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"data":[{numbers}1]}}]}}}}"#);
    assert!(params.len() < 64 << 10);
    let answer = pair.planner.call("currency", "SendMessage", &params).await;
    assert_eq!((answer.status, answer.reason()), (200, "MESSAGE_TOO_LARGE".into()));
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn an_agent_that_is_down_is_unreachable_until_it_is_back() {
    let mut pair = Pair::start().await;
    let address = pair.agent.address;
    drop(std::mem::replace(&mut pair.agent, Agent::start().await));
    for _ in 0..3 {
        let answer = pair.planner.call("currency", "SendMessage", &say("x")).await;
        assert_eq!((answer.status, answer.reason()), (200, "AGENT_UNREACHABLE".into()));
        assert_eq!(answer.json()["error"]["code"], -32603);
        // Where it listens, or does not, is nobody's business.
        assert!(!answer.body.contains(&address.port().to_string()), "{}", answer.body);
    }
    let _answering = Agent::listen(address).await.always(|_| message("back"));
    assert!(pair.planner.call("currency", "SendMessage", &say("x")).await.result().contains("back"));
}

#[tokio::test]
async fn a_sidecar_that_is_down_is_unreachable() {
    let pair = Pair::start().await;
    drop(pair.currency);
    let answer = pair.planner.call("currency", "SendMessage", &say("x")).await;
    assert_eq!((answer.status, answer.reason()), (200, "AGENT_UNREACHABLE".into()));
}

#[tokio::test]
async fn an_agent_that_nobody_knows_is_not_found() {
    let pair = Pair::start().await;
    let answer = pair.planner.call("currency.travel.atlantis", "SendMessage", &say("x")).await;
    assert_eq!((answer.status, answer.reason()), (200, "AGENT_NOT_FOUND".into()));
    assert!(answer.error().contains("currency.travel.atlantis"));
    let metrics = pair.planner.metrics().await;
    let labels = ["agent=\"other\"", "code=\"AGENT_NOT_FOUND\"", "direction=\"outbound\""];
    assert_eq!(metrics.sum("dragoman_calls_total", &labels), 1.0);
}

#[tokio::test]
async fn calls_that_take_longer_than_allowed_are_ended_at_both_ends() {
    let limits = json!({"limits": {"unary": "100ms", "streamIdle": "100ms"}});
    let mut pair = Pair::with(limits, json!({})).await;
    let (mut caller, request) = pair.begin("SendMessage", &say("x")).await;
    assert_eq!(caller.answer().await.reason(), "DEADLINE_EXCEEDED");
    request.left().await;
    let (caller, request) = pair.begin("SendStreamingMessage", &say("x")).await;
    let mut stream = request.stream().await;
    stream.event(&message("x")).await;
    let mut caller = caller.reading().await;
    caller.result().await;
    assert_eq!(reason(&caller.last_error().await), "DEADLINE_EXCEEDED");
    stream.left().await;
}
