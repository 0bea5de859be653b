//! HTTP+JSON of 0.3 at both ends, and JSON-RPC of 1.0 at the other.

use crate::harness::client::Client;
use crate::harness::json::{canonical, value};
use crate::harness::mesh::Pair;

/// Header lines of a client of 0.3: it does not say what it speaks.
const OLD: &str = "Host: localhost\r\nContent-Type: application/json\r\nX-A2A-Extensions: urn:x\r\n";

const TASK: &str =
    r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_CANCELED"},"metadata":{"n":1.0}}"#;
const OLD_TASK: &str =
    r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_CANCELLED"},"metadata":{"n":1.0}}"#;
const MESSAGE: &str =
    r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x"},{"data":{"n":1.50}}]}}"#;
const OLD_MESSAGE: &str = r#"{"message":{"messageId":"m","role":"ROLE_USER","content":[{"text":"x"},{"data":{"data":{"n":1.50}}}]}}"#;
const PUSH: &str = r#"{"taskId":"t","id":"p","url":"https://h.example"}"#;
const OLD_PUSH: &str = r#"{"name":"tasks/t/pushNotificationConfigs/p","pushNotificationConfig":{"id":"p","url":"https://h.example"}}"#;

/// An operation as it is asked over HTTP in 0.3, and in JSON-RPC of 1.0, with the results of both.
struct Asked {
    line: &'static str,
    body: String,
    method: &'static str,
    params: &'static str,
    old: String,
    result: String,
}

fn single() -> Vec<Asked> {
    let wrapped = format!(r#"{{"parent":"tasks/t","configId":"p","config":{OLD_PUSH}}}"#);
    let task = |task| format!(r#"{{"task":{task}}}"#);
    let configs = |config| format!(r#"{{"configs":[{config}]}}"#);
    let config = r#"{"taskId":"t","id":"p"}"#;
    let one = |old: &str, result: &str| (old.to_owned(), result.to_owned());
    let cases = [
        ("POST v1/message:send", OLD_MESSAGE, "SendMessage", MESSAGE, (task(OLD_TASK), task(TASK))),
        (
            "GET v1/tasks/t?historyLength=0",
            "",
            "GetTask",
            r#"{"id":"t","historyLength":0}"#,
            one(OLD_TASK, TASK),
        ),
        (
            "POST v1/tasks/t:cancel",
            r#"{"name":"tasks/t"}"#,
            "CancelTask",
            r#"{"id":"t"}"#,
            one(OLD_TASK, TASK),
        ),
        (
            "POST v1/tasks/t/pushNotificationConfigs",
            &wrapped,
            "CreateTaskPushNotificationConfig",
            PUSH,
            one(OLD_PUSH, PUSH),
        ),
        (
            "GET v1/tasks/t/pushNotificationConfigs/p",
            "",
            "GetTaskPushNotificationConfig",
            config,
            one(OLD_PUSH, PUSH),
        ),
        (
            "GET v1/tasks/t/pushNotificationConfigs",
            "",
            "ListTaskPushNotificationConfigs",
            r#"{"taskId":"t"}"#,
            (configs(OLD_PUSH), configs(PUSH)),
        ),
        (
            "DELETE v1/tasks/t/pushNotificationConfigs/p",
            "",
            "DeleteTaskPushNotificationConfig",
            config,
            one("{}", "{}"),
        ),
    ];
    let asked = |(line, body, method, params, (old, result)): (_, &str, _, _, _)| Asked {
        line,
        body: body.to_owned(),
        method,
        params,
        old,
        result,
    };
    cases.into_iter().map(asked).collect()
}

/// The answer to a request of a client of 0.3, whose agent the test plays.
async fn ask(pair: &Pair, line: &str, body: &str) -> Client {
    let (method, path) = line.split_once(' ').unwrap();
    let mut client = Client::connect(pair.planner.outbound).await;
    client.request(&format!("{method} /agents/currency/{path}"), OLD, body).await;
    client
}

/// Whether a text says all that another one says, and maybe more.
fn says(text: &str, expected: &str) -> bool {
    fn within(text: &serde_json::Value, expected: &serde_json::Value) -> bool {
        match (text, expected) {
            (serde_json::Value::Object(text), serde_json::Value::Object(expected)) => expected
                .iter()
                .all(|(name, expected)| text.get(name).is_some_and(|text| within(text, expected))),
            (serde_json::Value::Array(text), serde_json::Value::Array(expected)) => {
                text.len() == expected.len()
                    && text.iter().zip(expected).all(|(text, expected)| within(text, expected))
            }
            _ => text == expected,
        }
    }
    within(&value(text), &value(expected))
}

#[tokio::test]
async fn a_caller_of_0_3_asks_an_agent_of_1_0() {
    let mut pair = Pair::start().await;
    for asked in single() {
        let mut caller = ask(&pair, asked.line, &asked.body).await;
        let request = pair.agent.request().await;
        assert_eq!(
            (request.method(), request.head.header("a2a-version")),
            (asked.method.into(), Some("1.0"))
        );
        assert_eq!(request.head.header("a2a-extensions"), Some("urn:x"));
        assert!(says(&request.params(), asked.params), "{}", request.params());
        request.result(&asked.result).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("application/json")));
        assert!(says(&answer.body, &asked.old), "{}: {}", asked.line, answer.body);
    }
}

#[tokio::test]
async fn a_caller_of_1_0_asks_an_agent_of_0_3() {
    let mut pair = Pair::rest_of("0.3").await;
    for asked in single() {
        let (mut caller, request) = pair.begin(asked.method, asked.params).await;
        assert_eq!(request.head.start, format!("{} HTTP/1.1", asked.line.replacen(' ', " /", 1)));
        assert_eq!(request.head.header("accept"), Some("application/json"));
        if asked.line.starts_with("POST") {
            assert!(says(request.text(), &asked.body), "{}", request.text());
        } else {
            assert_eq!(request.text(), "");
        }
        request.answer("201 Created", "Content-Type: application/json\r\n", asked.old.as_bytes()).await;
        assert!(says(&caller.answer().await.result(), &asked.result), "{}", asked.line);
    }
}

#[tokio::test]
async fn both_ends_may_speak_0_3() {
    let mut pair = Pair::rest_of("0.3").await;
    for asked in single() {
        let mut caller = ask(&pair, asked.line, &asked.body).await;
        let request = pair.agent.request().await;
        assert_eq!(request.head.start, format!("{} HTTP/1.1", asked.line.replacen(' ', " /", 1)));
        assert_eq!(request.head.header("x-a2a-extensions"), Some("urn:x"));
        request.answer("200 OK", "", asked.old.as_bytes()).await;
        assert!(says(&caller.answer().await.body, &asked.old), "{}", asked.line);
    }
    // As JavaScript's client sends it; most servers read it as Python's does.
    let mut caller = ask(&pair, "POST v1/tasks/t/pushNotificationConfigs", OLD_PUSH).await;
    let request = pair.agent.request().await;
    assert!(
        says(request.text(), &format!(r#"{{"parent":"tasks/t","config":{OLD_PUSH}}}"#)),
        "{}",
        request.text()
    );
    request.answer("201 Created", "", OLD_PUSH.as_bytes()).await;
    assert_eq!(caller.answer().await.status, 200);
    // Some read only what the specification has.
    let mut caller = ask(&pair, "POST v1/tasks/t/pushNotificationConfigs", OLD_PUSH).await;
    let refused = br#"{"code":-32602,"message":"missing pushNotificationConfig"}"#;
    pair.agent.request().await.answer("400 Bad Request", "", refused).await;
    let request = pair.agent.request().await;
    assert_eq!(request.head.start, "POST /v1/tasks/t/pushNotificationConfigs HTTP/1.1");
    assert!(says(request.text(), OLD_PUSH), "{}", request.text());
    request.answer("201 Created", "", OLD_PUSH.as_bytes()).await;
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn a_task_is_followed_by_the_method_that_servers_of_0_3_have() {
    let mut pair = Pair::rest_of("0.3").await;
    let caller = ask(&pair, "POST v1/tasks/t:subscribe", "").await;
    let request = pair.agent.request().await;
    assert_eq!(request.head.start, "GET /v1/tasks/t:subscribe HTTP/1.1");
    let mut stream = request.stream().await;
    stream.plain(&format!(r#"{{"task":{OLD_TASK}}}"#)).await;
    let mut caller = caller.reading().await;
    assert!(says(&caller.event().await.unwrap(), &format!(r#"{{"task":{OLD_TASK}}}"#)));
    // As JavaScript writes it.
    stream.raw(b"event: error\ndata: {\"code\":-32603,\"message\":\"oh\",\"data\":[1.0]}\n\n").await.unwrap();
    let block = caller.block().await.unwrap();
    let told = block.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{block}"));
    assert_eq!(canonical(told), r#"{"code":-32603,"data":[1.0],"message":"oh"}"#);
}

#[tokio::test]
async fn errors_have_the_shape_and_the_status_of_0_3() {
    let mut pair = Pair::rest_of("0.3").await;
    // Python says no more than a message, JavaScript says the code.
    for (status, body, seen, code) in [
        ("404 Not Found", r#"{"message":"gone"}"#, 404, -32001),
        ("409 Conflict", r#"{"code":-32002,"message":"gone"}"#, 409, -32002),
        ("501 Not Implemented", r#"{"message":"gone"}"#, 501, -32004),
        ("422 Unprocessable Entity", r#"{"message":"gone"}"#, 422, -32602),
    ] {
        let mut caller = ask(&pair, "POST v1/tasks/t:cancel", "").await;
        pair.agent.request().await.answer(status, "", body.as_bytes()).await;
        let answer = caller.answer().await;
        assert_eq!(answer.status, seen);
        assert_eq!(canonical(&answer.body), format!(r#"{{"code":{code},"message":"gone"}}"#));
        let (mut caller, request) = pair.begin("CancelTask", r#"{"id":"t"}"#).await;
        request.answer(status, "", body.as_bytes()).await;
        assert_eq!(value(&caller.answer().await.error())["code"], code);
    }
    // As SDKs of 1.0 say it in 0.3: clients of 0.3 do not read a list.
    let told = r#"{"error":{"code":404,"message":"gone","details":[{"@type":"x","n":1}]}}"#;
    let mut caller = pair.planner.begin("currency", "tasks/cancel", r#"{"id":"t"}"#).await;
    pair.agent.request().await.answer("404 Not Found", "", told.as_bytes()).await;
    assert_eq!(canonical(&caller.answer().await.error()), r#"{"code":-32001,"message":"gone"}"#);
    for (line, status, code) in [("GET v1/nowhere", 404, -32601), ("DELETE v1/tasks", 405, -32601)] {
        let answer = ask(&pair, line, "").await.answer().await;
        assert_eq!((answer.status, answer.json()["code"].as_i64()), (status, Some(code)));
    }
}
