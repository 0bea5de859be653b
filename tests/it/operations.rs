//! The eleven operations, each with everything in it that could get lost on the way.

use std::collections::BTreeMap;

use crate::harness::json::{canonical, member};
use crate::harness::mesh::Pair;

/// A message with a part of every kind, and numbers that a double does not tell apart.
pub(crate) const MESSAGE: &str = r#"{
    "tenant": "",
    "message": {
        "messageId": "m\u0000\"\\/ü\ud83d\ude00", "contextId": "", "role": "ROLE_USER",
        "parts": [
            {"text": "", "metadata": {}},
            {"raw": "AP/+", "filename": "a.bin", "mediaType": "application/octet-stream"},
            {"url": "https://h.example/?a=b&c"},
            {"data": null},
            {"data": [1, 1.0, -0, 1e3, 0.1, 12345678901234567890123, 9007199254740993, {"a": {"": []}}, "x", false]},
            {"text": "later kind", "hologram": {"depth": 3.0}}
        ],
        "extensions": ["urn:x"], "referenceTaskIds": ["a", "b"], "mood": [null, {"n": 1.50}]
    },
    "configuration": {
        "acceptedOutputModes": ["text/plain"], "historyLength": 0, "returnImmediately": false,
        "taskPushNotificationConfig": {"url": "https://h.example", "token": "s", "authentication": {"scheme": "Bearer"}}
    },
    "metadata": {"k": {"deep": [[], [null]]}, "big": 18446744073709551617},
    "futureMember": "kept"
}"#;

pub(crate) const TASK: &str = r#"{
    "id": "t", "contextId": "c",
    "status": {"state": "TASK_STATE_COMPLETED", "timestamp": "2026-01-02T03:04:05.678Z", "because": 7,
               "message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"data": null}]}},
    "artifacts": [{"artifactId": "a", "name": "", "parts": [{"text": "x"}], "metadata": {"n": 1.0}}],
    "history": [{"messageId": "h", "role": "ROLE_USER", "parts": [{"text": "y"}]}],
    "metadata": {"n": 100000000000000000001}, "costs": {"usd": 0.10}
}"#;

pub(crate) const PUSH: &str = r#"{
    "tenant": "x", "id": "p", "taskId": "t", "url": "https://h.example", "token": "",
    "authentication": {"scheme": "Bearer", "credentials": "c", "new": 1.0}, "new": null
}"#;

pub(crate) const CARD: &str = r#"{
    "name": "Currency", "description": "Changes money", "version": "1.0.0",
    "supportedInterfaces": [{"url": "http://h.example", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    "capabilities": {"streaming": true, "extensions": [{"uri": "urn:x", "params": {"n": 1.0}}]},
    "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "s", "name": "s", "description": "d", "tags": [], "new": 1.0}], "price": {"n": 12345678901234567890123}
}"#;

const LIST: &str = r#"{
    "contextId": "c", "status": "TASK_STATE_WORKING", "pageSize": 50, "pageToken": "", "historyLength": 2,
    "statusTimestampAfter": "2026-01-02T03:04:05Z", "includeArtifacts": false, "more": true
}"#;

/// The nine that have one answer: method, parameters and result.
pub(crate) fn single() -> [(&'static str, &'static str, String); 9] {
    let tasks =
        format!(r#"{{"tasks":[{TASK}],"nextPageToken":"","pageSize":50,"totalSize":1,"extra":{{"n":1.0}}}}"#);
    let configs = format!(r#"{{"configs":[{PUSH}],"nextPageToken":"n","new":[{{}}]}}"#);
    [
        ("SendMessage", MESSAGE, format!(r#"{{"task":{TASK}}}"#)),
        ("GetTask", r#"{"tenant":"","id":"t","historyLength":0,"x":{"y":[1,1.0,null]}}"#, TASK.to_owned()),
        ("ListTasks", LIST, tasks),
        ("CancelTask", r#"{"id":"t","metadata":{"why":"no need","n":1.10}}"#, TASK.to_owned()),
        ("CreateTaskPushNotificationConfig", PUSH, PUSH.to_owned()),
        ("GetTaskPushNotificationConfig", r#"{"taskId":"t","id":"p","new":0.10}"#, PUSH.to_owned()),
        (
            "ListTaskPushNotificationConfigs",
            r#"{"taskId":"t","pageSize":0,"pageToken":"p","new":[]}"#,
            configs,
        ),
        ("DeleteTaskPushNotificationConfig", r#"{"taskId":"t","id":"p"}"#, "{}".to_owned()),
        ("GetExtendedAgentCard", r#"{"tenant":"acme","new":"x"}"#, CARD.to_owned()),
    ]
}

/// A card's interfaces are those of whoever serves it.
pub(crate) fn without_interfaces(card: &str) -> BTreeMap<String, String> {
    let names = ["name", "description", "version", "capabilities", "defaultInputModes", "skills", "price"];
    names.into_iter().map(|name| (name.to_owned(), canonical(&member(card, name).unwrap()))).collect()
}

#[tokio::test]
async fn every_operation_with_one_answer_crosses_member_for_member() {
    let mut pair = Pair::start().await;
    for (method, params, result) in single() {
        let (mut caller, request) = pair.begin(method, params).await;
        assert_eq!(request.method(), method);
        assert_eq!(request.json()["jsonrpc"], "2.0");
        assert_eq!(canonical(&request.params()), canonical(params), "{method}");
        request.result(&result).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("application/json")));
        if method == "GetExtendedAgentCard" {
            assert_eq!(without_interfaces(&answer.result()), without_interfaces(&result));
        } else {
            assert_eq!(canonical(&answer.result()), canonical(&result), "{method}");
        }
        assert_eq!(answer.json()["id"], 1);
        assert!(answer.json().get("error").is_none());
    }
}

#[tokio::test]
async fn both_streams_bring_every_kind_of_event_member_for_member() {
    let mut pair = Pair::start().await;
    let message = member(MESSAGE, "message").unwrap();
    let events = [
        format!(r#"{{"task":{TASK}}}"#),
        format!(r#"{{"message":{message}}}"#),
        r#"{"statusUpdate":{"taskId":"t","contextId":"","status":{"state":"TASK_STATE_WORKING"},"metadata":{"n":1.0},"new":[1]}}"#
            .to_owned(),
        r#"{"artifactUpdate":{"taskId":"t","contextId":"c","artifact":{"artifactId":"a","parts":[{"raw":""}]},"append":false,"lastChunk":true,"new":{"a":2.0}}}"#
            .to_owned(),
    ];
    for (method, params) in
        [("SendStreamingMessage", MESSAGE), ("SubscribeToTask", r#"{"id":"t","new":1.0}"#)]
    {
        let (caller, request) = pair.begin(method, params).await;
        assert_eq!(canonical(&request.params()), canonical(params), "{method}");
        let mut stream = request.stream().await;
        let mut caller = caller.reading().await;
        for event in &events {
            stream.event(event).await;
            assert_eq!(canonical(&caller.result().await), canonical(event), "{method}");
        }
        stream.end().await;
        assert_eq!(caller.event().await, None);
    }
}
