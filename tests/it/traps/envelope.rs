//! Ids, results and errors around what is said.

use dragoman::a2a::Operation as O;

use crate::harness::client::{Client, JSON};
use crate::harness::dialect::{Dialect, PAIRS, Said, Talk, V0_3, V1_0, headers, method, request, speak};
use crate::harness::json::{canonical, member, value};

/// Ids as SDKs write them, and as none should.
const IDS: [&str; 12] = [
    "1",
    "0",
    "-1",
    "1.0",
    "1e2",
    "12345678901234567890123",
    r#""""#,
    r#""7""#,
    r#""1e3""#,
    r#""a\u0062 \ud83d\ude00""#,
    r#""6c2b1a8e-9f3d-4b5a-8c7e-0d1f2a3b4c5d""#,
    "null",
];

/// Begins a call with an id; without one if it is nothing.
async fn ask(talk: &Talk, id: &str, operation: O) -> Client {
    let mut client = Client::connect(talk.pair.planner.outbound).await;
    let mut body = request(id, method(talk.caller, operation), &talk.caller(Said::Send("x")));
    if id.is_empty() {
        body = body.replace(r#""id":,"#, "");
    }
    client.request("POST /agents/currency", headers(talk.caller), &body).await;
    client
}

#[tokio::test]
async fn an_id_of_every_kind_comes_back_letter_for_letter_in_every_answer_and_event() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for id in IDS.into_iter().chain([""]) {
            let begins = format!(r#"{{"jsonrpc":"2.0","id":{},"#, if id.is_empty() { "null" } else { id });
            for fails in [false, true] {
                let mut caller = ask(&talk, id, O::SendMessage).await;
                let request = talk.asked(O::SendMessage).await;
                match fails {
                    false => request.result(&talk.agent(Said::Message("x"))).await,
                    true => request.error(r#"{"code":-32001,"message":"m"}"#).await,
                }
                let body = caller.answer().await.body;
                assert!(body.starts_with(&begins), "{talk}: {body}");
            }
            let caller = ask(&talk, id, O::SendStreamingMessage).await;
            let mut stream = talk.asked(O::SendStreamingMessage).await.stream().await;
            stream.event(&talk.agent(Said::Task("working"))).await;
            stream.event(&talk.agent(Said::Update("working", false))).await;
            stream.error(r#"{"code":-32001,"message":"m"}"#).await;
            let mut caller = caller.reading().await;
            for _ in 0..3 {
                let event = caller.event().await.unwrap();
                assert!(event.starts_with(&begins), "{talk}: {event}");
            }
            assert_eq!(caller.event().await, None);
        }
    }
}

#[tokio::test]
async fn agents_get_ids_that_are_strings_and_that_nobody_takes_for_numbers() {
    for agent in [V0_3, V1_0] {
        let mut talk = Talk::start((V0_3, agent)).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (_caller, request) = talk.send(O::SendMessage).await;
            let id = value(&request.id()).as_str().unwrap().to_owned();
            // Some SDKs read a string of digits as a number, and cut it.
            assert!(id.parse::<f64>().is_err() && i64::from_str_radix(&id, 16).is_err(), "{id}");
            assert!(!seen.contains(&id));
            seen.push(id);
        }
    }
}

#[tokio::test]
async fn whatever_id_an_agent_answers_with_the_answer_is_the_callers() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for id in [r#""id":1,"#, r#""id":null,"#, r#""id":"other","#, ""] {
            let (mut caller, request) = talk.send(O::SendMessage).await;
            let body = format!(r#"{{{id}"result":{}}}"#, talk.agent(Said::Message("x")));
            request.answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()).await;
            let answer = caller.answer().await;
            assert_eq!(canonical(&answer.result()), canonical(&talk.caller(Said::Message("x"))));
            assert_eq!(member(&answer.body, "id").as_deref(), Some("1"), "{talk}");
        }
    }
}

/// The names of the members of an answer.
fn members(text: &str) -> Vec<String> {
    value(text).as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn there_is_a_result_or_an_error_and_never_null_for_the_other() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        let result = talk.agent(Said::Task("working"));
        let error = r#"{"code":-32001,"message":"m"}"#;
        for (what, body) in [
            ("result", format!(r#"{{"jsonrpc":"2.0","error":null,"result":{result}}}"#)),
            ("result", format!(r#"{{"result":{result},"error":null}}"#)),
            ("error", format!(r#"{{"jsonrpc":"2.0","result":null,"error":{error}}}"#)),
            ("error", format!(r#"{{"error":{error},"result":{result}}}"#)),
        ] {
            let (mut caller, request) = talk.send(O::SendMessage).await;
            request.answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()).await;
            let answer = caller.answer().await;
            let mut expected = ["id", "jsonrpc", what];
            expected.sort_unstable();
            assert_eq!(members(&answer.body), expected, "{talk}: {body}");

            let (caller, request) = talk.send(O::SendStreamingMessage).await;
            let mut stream = request.stream().await;
            stream.raw(format!("data: {body}\n\n").as_bytes()).await.unwrap();
            let event = caller.reading().await.event().await.unwrap();
            assert_eq!(members(&event), expected, "{talk}: {body}");
        }
    }
}

/// The statuses with which SDKs send errors.
const STATUSES: [&str; 4] = ["200 OK", "400 Bad Request", "404 Not Found", "500 Internal Server Error"];

#[tokio::test]
async fn an_error_with_any_status_and_type_is_an_answer_with_status_200() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for status in STATUSES {
            for kind in ["application/json", "text/plain; charset=utf-8", ""] {
                let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
                let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"m"}}"#;
                let (mut caller, request) = talk.send(O::SendMessage).await;
                request.answer(status, &kind, body.as_bytes()).await;
                let answer = caller.answer().await;
                assert_eq!(
                    (answer.status, answer.head.header("content-type")),
                    (200, Some("application/json")),
                    "{talk}: {status}"
                );
                let error = value(&answer.error());
                assert_eq!((&error["code"], &error["message"]), (&(-32001).into(), &"m".into()));

                let (caller, request) = talk.send(O::SendStreamingMessage).await;
                request.answer(status, &kind, body.as_bytes()).await;
                let mut caller = caller.reading().await;
                assert_eq!(
                    (caller.status, caller.head.header("content-type")),
                    (200, Some("text/event-stream")),
                    "{talk}: {status}"
                );
                assert_eq!(value(&caller.last_error().await)["code"], -32001);
            }
        }
    }
}

#[tokio::test]
async fn a_result_is_read_whatever_type_the_agent_says_it_has() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for kind in
            ["", "Content-Type: text/plain; charset=utf-8\r\n", "Content-Type: application/a2a+json\r\n"]
        {
            let (mut caller, request) = talk.send(O::SendMessage).await;
            let body = format!(r#"{{"result":{}}}"#, talk.agent(Said::Task("completed")));
            request.answer("200 OK", kind, body.as_bytes()).await;
            let result = caller.answer().await.result();
            assert_eq!(
                canonical(&result),
                canonical(&talk.caller(Said::Task("completed"))),
                "{talk}: {kind}"
            );
        }
    }
}

/// How the end of a webhook is written.
fn nothing(dialect: Dialect) -> &'static str {
    match dialect {
        V0_3 => "null",
        V1_0 => "{}",
    }
}

#[tokio::test]
async fn what_is_deleted_is_null_in_0_3_and_an_object_in_1_0_whatever_the_agent_says() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        let params = match talk.caller {
            V0_3 => r#"{"id":"t","pushNotificationConfigId":"p"}"#,
            V1_0 => r#"{"taskId":"t","id":"p"}"#,
        };
        for result in [r#","result":{}"#, r#","result":null"#, "", r#","result":null,"error":null"#] {
            let (mut caller, request) = talk.begin(O::DeleteTaskPushNotificationConfig, params).await;
            let body = format!(r#"{{"jsonrpc":"2.0","id":{}{result}}}"#, request.id());
            request.answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()).await;
            let answer = caller.answer().await;
            assert_eq!(
                member(&answer.body, "result").as_deref(),
                Some(nothing(talk.caller)),
                "{talk}: {result}"
            );
        }
    }
}

#[tokio::test]
async fn a_task_is_a_task_in_every_operation_that_answers_with_one() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for operation in [O::GetTask, O::CancelTask] {
            let (mut caller, request) = talk.begin(operation, r#"{"id":"t"}"#).await;
            request.result(&talk.agent(Said::Bare("auth-required"))).await;
            let result = caller.answer().await.result();
            assert_eq!(canonical(&result), canonical(&talk.caller(Said::Bare("auth-required"))), "{talk}");
        }
    }
}

#[tokio::test]
async fn a_batch_is_refused_in_either_dialect() {
    let mut talk = Talk::start((V0_3, V0_3)).await;
    for dialect in [V0_3, V1_0] {
        let one = request("1", method(dialect, O::SendMessage), &speak(dialect, Said::Send("x")));
        let answer = talk.pair.planner.post_with("currency", JSON, &format!("[{one},{one}]")).await;
        assert_eq!((answer.status, value(&answer.error())["code"].as_i64()), (200, Some(-32600)));
        assert_eq!(member(&answer.body, "id").as_deref(), Some("null"));
    }
    assert!(!talk.pair.agent.was_asked());
}
