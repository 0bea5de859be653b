//! What is said when something is wrong: by agents, exactly as in a direct call; by the mesh, so that every SDK can read it.

use dragoman::a2a::Operation as O;
use serde_json::json;

use crate::harness::agent::Agent;
use crate::harness::dialect::{PAIRS, Said, Talk, V0_3, V1_0, headers, method, request, speak};
use crate::harness::json::{canonical, member, value};

/// Has the agent answer with an error object: what its caller sees, as an answer and as an event.
async fn seen(talk: &mut Talk, error: &str) -> String {
    let (mut caller, request) = talk.send(O::SendMessage).await;
    request.error(error).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, member(&answer.body, "result")), (200, None), "{talk}");

    let (caller, request) = talk.send(O::SendStreamingMessage).await;
    let mut stream = request.stream().await;
    stream.event(&talk.agent(Said::Task("working"))).await;
    stream.error(error).await;
    let mut caller = caller.reading().await;
    caller.result().await;
    assert_eq!(canonical(&caller.last_error().await), canonical(&answer.error()), "{talk}");
    answer.error()
}

/// Codes of A2A and JSON-RPC, of later versions, of SDKs, and of nobody.
const CODES: [i64; 12] =
    [-32001, -32004, -32007, -32008, -32009, -32602, -32603, -32700, -32000, -32099, -31401, 7];

/// What SDKs put beside an error.
const DATA: [&str; 8] = [
    "",
    r#","data":null"#,
    r#","data":"text""#,
    r#","data":{"taskId":"t","n":1.0}"#,
    r#","data":[{"type":"missing","loc":["params","id"],"n":1e2}]"#,
    r#","data":[]"#,
    r#","data":{}"#,
    r#","data":false"#,
];

#[tokio::test]
async fn an_error_arrives_as_it_was_sent_in_the_same_dialect() {
    for dialect in [V0_3, V1_0] {
        let mut talk = Talk::start((dialect, dialect)).await;
        for code in CODES {
            let error = format!(r#"{{"code":{code},"message":"ü: as it is"}}"#);
            assert_eq!(canonical(&seen(&mut talk, &error).await), canonical(&error), "{talk}");
        }
        for data in DATA {
            let error = format!(r#"{{"code":-32602,"message":"m"{data}}}"#);
            assert_eq!(canonical(&seen(&mut talk, &error).await), canonical(&error), "{talk}");
        }
    }
}

#[tokio::test]
async fn an_error_of_1_0_is_its_number_and_words_in_0_3() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    for code in CODES {
        for data in [DATA[0], DATA[3], DATA[4]] {
            let error = format!(r#"{{"code":{code},"message":"AS IT IS: m"{data}}}"#);
            let expected = format!(r#"{{"code":{code},"message":"AS IT IS: m"}}"#);
            assert_eq!(canonical(&seen(&mut talk, &error).await), expected);
        }
    }
}

#[tokio::test]
async fn an_error_of_0_3_has_details_in_1_0_and_its_data_among_them() {
    let mut talk = Talk::start((V1_0, V0_3)).await;
    for data in DATA {
        let error = format!(r#"{{"code":-32001,"message":"m"{data}}}"#);
        let kept = data.strip_prefix(r#","data":"#);
        let kept = kept.map_or_else(String::new, |data| {
            format!(r#",{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{"data":{data}}}}}"#)
        });
        let expected = format!(
            r#"{{"code":-32001,"message":"m","data":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo",
                "domain":"a2a-protocol.org","reason":"TASK_NOT_FOUND"}}{kept}]}}"#
        );
        assert_eq!(canonical(&seen(&mut talk, &error).await), canonical(&expected));
        // What no table lists has no reason of its own.
        let error = format!(r#"{{"code":-32050,"message":"m"{data}}}"#);
        let expected = match kept.strip_prefix(',') {
            Some(kept) => format!(r#"{{"code":-32050,"message":"m","data":[{kept}]}}"#),
            None => error.clone(),
        };
        assert_eq!(canonical(&seen(&mut talk, &error).await), canonical(&expected));
    }
}

#[tokio::test]
async fn a_fault_of_the_mesh_begins_with_its_reason_in_0_3_and_has_no_data() {
    let mut talk = Talk::start((V0_3, V0_3)).await;
    drop(std::mem::replace(&mut talk.pair.agent, Agent::start().await));
    for (agent, says) in
        [("currency.travel.atlantis", "AGENT_NOT_FOUND: "), ("currency", "AGENT_UNREACHABLE: ")]
    {
        for operation in [O::SendMessage, O::SendStreamingMessage] {
            let body = request("1", method(V0_3, operation), &speak(V0_3, Said::Send("x")));
            let mut client = crate::harness::client::Client::connect(talk.pair.planner.outbound).await;
            client.request(&format!("POST /agents/{agent}"), headers(V0_3), &body).await;
            let error = if operation.is_streaming() {
                let mut reading = client.reading().await;
                assert_eq!(reading.head.header("content-type"), Some("text/event-stream"));
                reading.last_error().await
            } else {
                client.answer().await.error()
            };
            let error = value(&error);
            assert_eq!(error["code"], -32603);
            assert!(error["message"].as_str().unwrap().starts_with(says), "{error}");
            assert!(error.get("data").is_none(), "{error}");
        }
    }
}

#[tokio::test]
async fn what_an_agent_must_not_answer_is_named_in_either_dialect() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for body in ["<html>", "{}", r#"{"result":[]}"#, r#"{"result":{"kind":"x"}}"#, r#"{"error":{}}"#] {
            // Members that nobody knows are no mistake in 1.0.
            if body.contains("kind") && talk.agent == V1_0 {
                continue;
            }
            let (mut caller, request) = talk.send(O::SendMessage).await;
            request.answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()).await;
            let error = value(&caller.answer().await.error());
            assert_eq!(error["code"], -32603, "{talk}: {body}");
            match talk.caller {
                V0_3 => {
                    let message = error["message"].as_str().unwrap();
                    assert!(message.starts_with("AGENT_PROTOCOL_ERROR: "), "{talk}: {error}");
                    assert!(error.get("data").is_none(), "{error}");
                }
                V1_0 => assert_eq!(error["data"][0]["reason"], "AGENT_PROTOCOL_ERROR", "{talk}"),
            }
        }
    }
}

#[tokio::test]
async fn a_mistake_in_a_request_of_0_3_is_named_with_its_place_and_without_data() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    for (params, place) in [
        ("{}", "message"),
        (r#"{"message":{"role":"user","parts":[]}}"#, "message.messageId"),
        (
            r#"{"message":{"messageId":"m","role":"user","parts":[{"kind":"file","file":{"bytes":"?"}}]}}"#,
            "message.parts[0]",
        ),
        (r#"{"message":{"messageId":"m","role":"user","parts":[{"kind":"text"}]}}"#, "message.parts[0]"),
        (r#"{"message":{"messageId":"m","role":7,"parts":[]}}"#, "message.role"),
    ] {
        for operation in [O::SendMessage, O::SendStreamingMessage] {
            let client = talk.ask(operation, params).await;
            let mut client = client;
            let error = if operation.is_streaming() {
                client.reading().await.last_error().await
            } else {
                client.answer().await.error()
            };
            let error = value(&error);
            assert_eq!(error["code"], -32602, "{params}: {error}");
            assert!(error["message"].as_str().unwrap().contains(place), "{params}: {error}");
            assert!(error.get("data").is_none(), "{error}");
        }
    }
    assert!(!talk.pair.agent.was_asked());
}

#[tokio::test]
async fn a_challenge_reaches_the_caller_with_its_status_in_either_dialect() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for operation in [O::SendMessage, O::SendStreamingMessage] {
            let (mut caller, request) = talk.send(operation).await;
            request.answer("401 Unauthorized", "WWW-Authenticate: Bearer\r\n", b"").await;
            let answer = caller.answer().await;
            assert_eq!((answer.status, answer.head.header("www-authenticate")), (401, Some("Bearer")));
            let error = value(&answer.error());
            assert_eq!(error.get("data").is_none(), talk.caller == V0_3, "{talk}: {error}");
        }
    }
}

#[tokio::test]
async fn who_may_not_call_is_told_so_in_its_own_dialect() {
    let pair = crate::harness::mesh::Pair::with(
        json!({}),
        json!({"policy": {"allow": [{"from": ["spiffe://east.example/**"], "operations": ["GetTask"]}]}}),
    )
    .await;
    for dialect in [V0_3, V1_0] {
        let body = request("1", method(dialect, O::SendMessage), &speak(dialect, Said::Send("x")));
        let answer = pair.planner.post_with("currency", headers(dialect), &body).await;
        let error = value(&answer.error());
        assert_eq!((answer.status, error["code"].as_i64()), (200, Some(-32603)));
        match dialect {
            V0_3 => {
                let message = error["message"].as_str().unwrap();
                assert!(message.starts_with("PERMISSION_DENIED: "), "{error}");
                assert!(error.get("data").is_none());
            }
            V1_0 => assert_eq!(error["data"][0]["reason"], "PERMISSION_DENIED"),
        }
    }
}
