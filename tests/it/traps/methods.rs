//! Which method is which operation, in which dialect, and what the version beside it is good for.

use dragoman::a2a::Operation as O;

use crate::harness::client::{Answer, Client, JSON};
use crate::harness::dialect::{Dialect, PAIRS, Said, Talk, V0_3, V1_0, request, speak};
use crate::harness::json::{canonical, member, value};
use crate::harness::mesh::Pair;

const PLAIN: &str = "Host: localhost\r\nContent-Type: application/json\r\n";

/// An error that no sidecar makes up.
const ERROR: &str = r#"{"code":-32050,"message":"seen"}"#;

fn params(dialect: Dialect, operation: O) -> String {
    let webhook = r#"{"id":"p","url":"https://h.example/"}"#;
    let text = match (dialect, operation) {
        (_, O::SendMessage | O::SendStreamingMessage) => return speak(dialect, Said::Send("x")),
        (_, O::GetTask) => r#"{"id":"t","historyLength":0}"#,
        (_, O::CancelTask) => r#"{"id":"t","metadata":{"n":1.0}}"#,
        (V0_3, O::CreateTaskPushNotificationConfig) => {
            return format!(r#"{{"taskId":"t","pushNotificationConfig":{webhook}}}"#);
        }
        (V1_0, O::CreateTaskPushNotificationConfig) => {
            r#"{"taskId":"t","id":"p","url":"https://h.example/"}"#
        }
        (V0_3, O::GetTaskPushNotificationConfig | O::DeleteTaskPushNotificationConfig) => {
            r#"{"id":"t","pushNotificationConfigId":"p"}"#
        }
        (V1_0, O::GetTaskPushNotificationConfig | O::DeleteTaskPushNotificationConfig) => {
            r#"{"taskId":"t","id":"p"}"#
        }
        (V0_3, O::ListTaskPushNotificationConfigs) => r#"{"id":"t"}"#,
        (V1_0, O::ListTaskPushNotificationConfigs) => r#"{"taskId":"t"}"#,
        // Who asks in 0.3 says nothing more, not even that.
        (V0_3, O::GetExtendedAgentCard) => "",
        // One SDK does not even read a request without parameters.
        (V1_0, O::GetExtendedAgentCard) => "{}",
        _ => panic!("{operation} has tests of its own"),
    };
    text.to_owned()
}

#[tokio::test]
async fn every_method_is_called_by_its_name_in_the_agents_dialect() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for operation in [
            O::SendMessage,
            O::SendStreamingMessage,
            O::GetTask,
            O::CancelTask,
            O::CreateTaskPushNotificationConfig,
            O::GetTaskPushNotificationConfig,
            O::ListTaskPushNotificationConfigs,
            O::DeleteTaskPushNotificationConfig,
            O::GetExtendedAgentCard,
        ] {
            let (mut caller, request) = talk.begin(operation, &params(talk.caller, operation)).await;
            let seen = member(request.text(), "params").map(|params| canonical(&params));
            let expected = params(talk.agent, operation);
            let expected = (!expected.is_empty()).then(|| canonical(&expected));
            assert_eq!(seen, expected, "{talk}: {operation}");
            request.error(ERROR).await;
            let error = if operation.is_streaming() {
                caller.reading().await.last_error().await
            } else {
                caller.answer().await.error()
            };
            assert_eq!(canonical(&error), ERROR, "{talk}: {operation}");
        }
    }
}

#[tokio::test]
async fn the_extended_card_is_asked_for_with_and_without_parameters() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for params in ["", "null", "{}"] {
            let (mut caller, request) = talk.begin(O::GetExtendedAgentCard, params).await;
            let expected = (talk.agent == V1_0).then(|| "{}".to_owned());
            assert_eq!(member(request.text(), "params"), expected, "{talk}: {params:?}");
            request.error(ERROR).await;
            assert_eq!(canonical(&caller.answer().await.error()), ERROR);
        }
    }
}

/// Posts a request with these header lines to the agent's URL and that query.
async fn post(pair: &Pair, query: &str, headers: &str, body: &str) -> Client {
    let mut client = Client::connect(pair.planner.outbound).await;
    client.request(&format!("POST /agents/currency{query}"), headers, body).await;
    client
}

#[tokio::test]
async fn the_method_tells_the_dialect_and_the_version_only_whether_anybody_speaks_it() {
    for dialect in [V0_3, V1_0] {
        let mut pair = Talk::start((dialect, dialect)).await.pair;
        let body = request("7", crate::harness::dialect::method(dialect, O::GetTask), r#"{"id":"t"}"#);
        for version in ["", "A2A-Version: \r\n"]
            .into_iter()
            .map(str::to_owned)
            .chain(["0.2.5", "0.3", "0.3.0", "1.0", "1.0.1", "1.1"].map(|v| format!("A2A-Version: {v}\r\n")))
        {
            let mut caller = post(&pair, "", &format!("{PLAIN}{version}"), &body).await;
            let request = pair.agent.request().await;
            let seen = request.head.header("a2a-version").unwrap().to_owned();
            assert_eq!(Dialect::of_version(&seen), Some(dialect), "{version}");
            request.error(ERROR).await;
            assert_eq!(canonical(&caller.answer().await.error()), ERROR, "{version}");
        }
        for (query, header) in [
            ("", "A2A-Version: 2.0\r\n"),
            ("", "a2a-version: 99.0\r\n"),
            ("", "A2A-Version: 0.1\r\n"),
            ("", "A2A-Version: latest\r\n"),
            ("?A2A-Version=2.0", ""),
            ("?x=1&a2a-version=3", ""),
        ] {
            let answer = post(&pair, query, &format!("{PLAIN}{header}"), &body).await.answer().await;
            not_spoken(&answer, dialect, &format!("{query}{header}"));
        }
        for query in ["?A2A-Version=1.0", "?A2A-Version=0.3", "?A2A-Version=", "?x=2.0"] {
            let mut caller = post(&pair, query, PLAIN, &body).await;
            pair.agent.request().await.error(ERROR).await;
            assert_eq!(canonical(&caller.answer().await.error()), ERROR, "{query}");
        }
        assert!(!pair.agent.was_asked());
    }
}

/// -32009, with details where details are read.
fn not_spoken(answer: &Answer, dialect: Dialect, what: &str) {
    assert_eq!(answer.status, 200, "{what}");
    assert_eq!(member(&answer.body, "id").as_deref(), Some("7"), "{what}");
    let error = value(&answer.error());
    assert_eq!(error["code"], -32009, "{what}");
    match dialect {
        V0_3 => assert!(error.get("data").is_none(), "{error}"),
        V1_0 => assert_eq!(error["data"][0]["reason"], "VERSION_NOT_SUPPORTED"),
    }
}

#[tokio::test]
async fn a_stream_in_a_version_that_nobody_speaks_is_refused_in_a_stream() {
    let pair = Pair::start().await;
    for (method, said) in [("message/stream", V0_3), ("SendStreamingMessage", V1_0)] {
        let body = request("7", method, &speak(said, Said::Send("x")));
        let caller = post(&pair, "", &format!("{PLAIN}A2A-Version: 2.0\r\n"), &body).await;
        let mut reading = caller.reading().await;
        assert_eq!(reading.head.header("content-type"), Some("text/event-stream"));
        assert_eq!(value(&reading.last_error().await)["code"], -32009);
    }
}

#[tokio::test]
async fn methods_of_0_1_and_of_nobody_are_not_found() {
    let mut pair = Pair::start().await;
    for method in [
        "tasks/send",
        "tasks/sendSubscribe",
        "tasks/pushNotification/set",
        "tasks/pushNotification/get",
        "tasks/pushNotificationConfig",
        "message/Send",
        "Message/send",
        "message/send/",
        "agent/getCard",
        "agent/authenticatedExtendedCard",
        "sendMessage",
        "SendMessage ",
        "GetAgentCard",
        "lf.a2a.v1.A2AService/SendMessage",
        "",
    ] {
        for headers in [PLAIN, JSON] {
            let body = request("1", method, r#"{"id":"t","message":{"role":"user","parts":[]}}"#);
            let answer = post(&pair, "", headers, &body).await.answer().await;
            let error = value(&answer.error());
            assert_eq!((answer.status, error["code"].as_i64()), (200, Some(-32601)), "{method}");
            // What has a slash is of 0.3, whose SDKs do not agree on what details look like.
            assert_eq!(error.get("data").is_none(), method.contains('/'), "{method}: {error}");
        }
    }
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn tasks_are_listed_for_the_one_sdk_of_0_3_that_asks() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    let asks = r#"{"context_id":"c","status":"input-required","page_size":5,"page_token":"p","history_length":0,
        "last_updated_after":"2026-01-02T03:04:05Z","include_artifacts":true}"#;
    let (mut caller, request) = talk.begin(O::ListTasks, asks).await;
    let expected = r#"{"contextId":"c","status":"TASK_STATE_INPUT_REQUIRED","pageSize":5,"pageToken":"p","historyLength":0,
        "statusTimestampAfter":"2026-01-02T03:04:05Z","includeArtifacts":true}"#;
    assert_eq!(canonical(&request.params()), canonical(expected));
    let task = speak(V1_0, Said::Bare("working"));
    request.result(&format!(r#"{{"tasks":[{task}],"totalSize":7,"pageSize":1,"nextPageToken":"n"}}"#)).await;
    let task = speak(V0_3, Said::Bare("working"));
    let expected = format!(r#"{{"tasks":[{task}],"total_size":7,"page_size":1,"next_page_token":"n"}}"#);
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&expected));
}

#[tokio::test]
async fn an_agent_of_0_3_is_never_asked_to_list_its_tasks() {
    for caller in [V0_3, V1_0] {
        let mut talk = Talk::start((caller, V0_3)).await;
        let error = talk.ask(O::ListTasks, "{}").await.answer().await.error();
        assert_eq!(value(&error)["code"], -32601, "{talk}");
        assert_eq!(member(&error, "data").is_some(), caller == V1_0, "{talk}: {error}");
        assert!(!talk.pair.agent.was_asked());
    }
}
