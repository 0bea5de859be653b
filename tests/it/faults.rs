//! What an agent says when it cannot or will not: it arrives as it was said.

use dragoman::a2a::TABLE;
use serde_json::json;

use crate::harness::agent::status_update;
use crate::harness::client::{Answer, reason, say};
use crate::harness::json::{canonical, member};
use crate::harness::logs;
use crate::harness::mesh::Pair;

const SEND: &str = "SendMessage";
const STREAM: &str = "SendStreamingMessage";

/// Has the agent answer a call with an error object, and gives back the one that the caller sees.
async fn error(pair: &mut Pair, sent: &str) -> String {
    let (mut caller, request) = pair.begin(SEND, &say("x")).await;
    request.error(sent).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("application/json")));
    assert!(member(&answer.body, "result").is_none());
    answer.error()
}

#[tokio::test]
async fn every_listed_code_arrives_with_its_message_and_data() {
    let mut pair = Pair::start().await;
    let listed: Vec<i64> =
        TABLE.iter().filter(|row| row.domain == "a2a-protocol.org").map(|row| row.jsonrpc).collect();
    assert_eq!(listed.len(), 14);
    for code in listed {
        for data in ["", r#","data":[{"@type":"x","reason":"R","n":1.0}]"#] {
            let sent = format!(r#"{{"code":{code},"message":"ü, said the agent\n"{data}}}"#);
            assert_eq!(canonical(&error(&mut pair, &sent).await), canonical(&sent));
        }
    }
}

#[tokio::test]
async fn codes_that_no_table_lists_arrive_too() {
    let mut pair = Pair::start().await;
    for code in [-32000, -32050, -32099, -31401, -1, 0, 1, 404, i64::MIN, i64::MAX] {
        for data in ["", r#","data":{"n":1.0}"#] {
            let sent = format!(r#"{{"code":{code},"message":"m"{data}}}"#);
            assert_eq!(canonical(&error(&mut pair, &sent).await), canonical(&sent));
        }
    }
}

#[tokio::test]
async fn data_of_every_kind_and_size_arrives() {
    let mut pair = Pair::start().await;
    let long = format!("{:?}", "x".repeat(64 << 10));
    let longest = format!("[{:?}]", "y".repeat(690 << 10));
    for data in [
        "null",
        "true",
        "0",
        "-0.0",
        "1e3",
        "12345678901234567890123",
        r#""""#,
        r#""text""#,
        "[]",
        "{}",
        r#"[[],{"a":{"b":null}},"c",1.50]"#,
        &long,
        &longest,
    ] {
        let sent = format!(r#"{{"code":-32001,"message":"m","data":{data}}}"#);
        assert_eq!(canonical(&error(&mut pair, &sent).await), canonical(&sent), "{data:.40}");
    }
}

#[tokio::test]
async fn data_that_no_trailer_can_hold_is_cut_and_said_to_be() {
    let mut pair = Pair::start().await;
    let sent = format!(r#"{{"code":5,"message":"large","data":{:?}}}"#, "x".repeat(2 << 20));
    let seen = error(&mut pair, &sent).await;
    let truncated = crate::harness::json::value(&seen)["data"]["truncated"].as_u64().unwrap();
    assert!(truncated > 2 << 20, "{truncated}");
    assert_eq!(
        canonical(&seen),
        format!(r#"{{"code":5,"data":{{"truncated":{truncated}}},"message":"large"}}"#)
    );
    logs::line("the cut", |line| line["bytes"] == truncated).await;
    let counted = pair.currency.metrics().await;
    assert_eq!(counted.sum("dragoman_faults_total", &[r#"reason="DATA_TRUNCATED""#]), 1.0);
}

#[tokio::test]
async fn a_long_message_of_an_error_arrives_whole() {
    let mut pair = Pair::start().await;
    let sent = format!(r#"{{"code":-32603,"message":{:?}}}"#, "ü".repeat(32 << 10));
    assert_eq!(canonical(&error(&mut pair, &sent).await), canonical(&sent));
}

#[tokio::test]
async fn an_error_that_comes_with_another_http_status_is_the_agents_error_all_the_same() {
    let mut pair = Pair::start().await;
    for status in ["400 Bad Request", "404 Not Found", "500 Internal Server Error", "503 Service Unavailable"]
    {
        for streams in [false, true] {
            let (mut caller, request) = pair.begin(if streams { STREAM } else { SEND }, &say("x")).await;
            let id = request.id();
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32001,"message":"m","data":1.0}}}}"#
            );
            request.answer(status, "Content-Type: application/json\r\n", body.as_bytes()).await;
            let error = if streams {
                caller.reading().await.last_error().await
            } else {
                caller.answer().await.error()
            };
            assert_eq!(canonical(&error), r#"{"code":-32001,"data":1.0,"message":"m"}"#, "{status}");
        }
    }
}

/// Has the agent answer with an HTTP status and no JSON-RPC.
async fn refused(pair: &mut Pair, method: &str, status: &str, headers: &str) -> Answer {
    let (mut caller, request) = pair.begin(method, &say("x")).await;
    request.answer(status, headers, b"<html>no</html>").await;
    caller.answer().await
}

#[tokio::test]
async fn an_http_status_that_says_more_than_json_rpc_keeps_what_it_says() {
    let mut pair = Pair::start().await;
    for method in [SEND, STREAM] {
        let challenge = "WWW-Authenticate: Bearer realm=\"a\"\r\nWWW-Authenticate: Basic\r\n";
        let answer = refused(&mut pair, method, "401 Unauthorized", challenge).await;
        let challenges: Vec<_> = answer.head.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(answer.status, 401);
        assert_eq!(challenges, ["Bearer realm=\"a\"", "Basic"]);
        assert_eq!((answer.json()["id"].as_i64(), answer.reason()), (Some(1), "UNAUTHENTICATED".into()));

        let answer = refused(&mut pair, method, "403 Forbidden", "").await;
        assert_eq!((answer.status, answer.reason()), (403, "PERMISSION_DENIED".into()));

        for (status, code, reason) in [
            ("429 Too Many Requests", 429, "RATE_LIMITED"),
            ("503 Service Unavailable", 503, "AGENT_UNREACHABLE"),
        ] {
            for after in ["7", "Wed, 21 Oct 2026 07:28:00 GMT"] {
                let answer = refused(&mut pair, method, status, &format!("Retry-After: {after}\r\n")).await;
                assert_eq!((answer.status, answer.reason()), (code, reason.into()));
                assert_eq!(answer.head.header("retry-after"), Some(after));
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_of_an_agent_is_named() {
    let mut pair = Pair::start().await;
    let json = "Content-Type: application/json\r\n";
    for (status, headers, body, says) in [
        ("404 Not Found", "Content-Type: text/html\r\n", "<html>", "404"),
        ("500 Internal Server Error", json, r#"{"detail":"oops"}"#, "500"),
        ("302 Found", "Location: http://elsewhere.example/\r\n", "", "302"),
        ("200 OK", json, "<html>", "not JSON"),
        ("200 OK", json, "", "not JSON"),
        ("200 OK", json, r#"{"jsonrpc":"2.0","id":1}"#, "neither result nor error"),
        ("200 OK", json, r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, "result"),
        ("200 OK", json, r#"{"result":{"message":{"parts":[{"raw":"?"}]}}}"#, "result.message.parts[0].raw"),
        ("200 OK", json, r#"{"error":{"message":"no code"}}"#, "error.code"),
        ("204 No Content", "", "", "not JSON"),
    ] {
        for method in [SEND, STREAM] {
            let (mut caller, request) = pair.begin(method, &say("x")).await;
            request.answer(status, headers, body.as_bytes()).await;
            let error = if method == SEND {
                caller.answer().await.error()
            } else {
                caller.reading().await.last_error().await
            };
            assert_eq!(reason(&error), "AGENT_PROTOCOL_ERROR", "{status} {body}");
            assert!(error.contains("-32603") && error.contains(says), "{error}");
        }
    }
}

#[tokio::test]
async fn what_sdks_write_loosely_is_an_answer_all_the_same() {
    let mut pair = Pair::start().await;
    let result = r#"{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}"#;
    for (headers, body) in [
        ("", format!(r#"{{"jsonrpc":"2.0","result":{result}}}"#)),
        ("Content-Type: text/plain; charset=utf-8\r\n", format!(r#"{{"result":{result},"id":"other"}}"#)),
        ("Content-Type: application/json\r\n", format!("\r\n{{\"error\":null,\"result\":{result}}}\n")),
    ] {
        let (mut caller, request) = pair.begin(SEND, &say("x")).await;
        request.answer("200 OK", headers, body.as_bytes()).await;
        assert_eq!(canonical(&caller.answer().await.result()), canonical(result), "{body}");
    }
    for body in [r#"{"result":null}"#, r#"{"result":{}}"#, r#"{"jsonrpc":"2.0","id":1}"#] {
        let (mut caller, request) =
            pair.begin("DeleteTaskPushNotificationConfig", r#"{"taskId":"t","id":"p"}"#).await;
        request.answer("200 OK", "", body.as_bytes()).await;
        assert_eq!(caller.answer().await.result(), "{}", "{body}");
    }
    let (mut caller, request) = pair.begin("GetTask", r#"{"id":"t"}"#).await;
    request.result(r#"{"id":"t","status":{}}"#).await;
    assert_eq!(canonical(&member(&caller.answer().await.result(), "id").unwrap()), "\"t\"");
}

#[tokio::test]
async fn an_answer_larger_than_a_message_may_be_is_refused() {
    let limit = json!({"limits": {"message": "64KiB"}});
    let mut pair = Pair::with(limit.clone(), limit).await;
    let (mut caller, request) = pair.begin(SEND, &say("x")).await;
    request.result(&status_update(&"x".repeat(65 << 10))).await;
    assert_eq!(caller.answer().await.reason(), "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn an_agent_that_breaks_off_its_answer_is_not_asked_again() {
    let mut pair = Pair::start().await;
    let (mut caller, request) = pair.begin(SEND, &say("x")).await;
    request.break_off();
    assert_eq!(caller.answer().await.reason(), "AGENT_UNREACHABLE");
    for bytes in ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "what?\r\n\r\n"] {
        let (mut caller, request) = pair.begin(SEND, &say("x")).await;
        request.raw(bytes.as_bytes()).await.reset();
        assert_eq!(caller.answer().await.reason(), "AGENT_UNREACHABLE", "{bytes}");
        assert!(!pair.agent.was_asked());
    }
}
