//! What one dialect says and the other cannot: it is kept where it can be said again, and is nowhere else to be seen.

/// Private fields as an attacker would write them.
mod smuggling;

use dragoman::a2a::Operation as O;

use crate::harness::dialect::{Said, Talk, V0_3, V1_0};
use crate::harness::json::canonical;

/// A message of 0.3 with everything in it that 1.0 has no room for.
const SENT: &str = r#"{
    "message": {
        "kind": "message", "messageId": "m", "contextId": "", "role": "user", "mood": {"n": 1.0},
        "parts": [
            {"kind": "text", "text": "a", "tone": "low"},
            {"kind": "file", "file": {"bytes": "AA==", "uri": "u", "name": "", "size": 1}},
            {"kind": "data", "data": {"n": [1, 1.0, 1e3, 12345678901234567890123]}},
            {"kind": "data", "data": {"value": [1]}, "metadata": {"data_part_compat": true, "k": 1}},
            {"kind": "hologram", "depth": 3}
        ]
    },
    "configuration": {
        "acceptedOutputModes": [], "patience": 5,
        "pushNotificationConfig": {"id": "", "url": "u", "authentication": {"schemes": ["A", "B"], "realm": "r"}}
    },
    "metadata": {"k": [null]}, "later": [{}]
}"#;

/// The same in 1.0, without a trace of the rest.
const SENT_1_0: &str = r#"{
    "message": {
        "messageId": "m", "role": "ROLE_USER",
        "parts": [
            {"text": "a"},
            {"raw": "AA=="},
            {"data": {"n": [1, 1.0, 1e3, 12345678901234567890123]}},
            {"data": [1], "metadata": {"k": 1}},
            {}
        ]
    },
    "configuration": {"taskPushNotificationConfig": {"url": "u", "authentication": {"scheme": "A"}}},
    "metadata": {"k": [null]}
}"#;

#[tokio::test]
async fn what_only_0_3_can_say_arrives_at_0_3_and_is_not_to_be_seen_in_1_0() {
    for (agent, expected) in [(V0_3, SENT), (V1_0, SENT_1_0)] {
        let mut talk = Talk::start((V0_3, agent)).await;
        for operation in [O::SendMessage, O::SendStreamingMessage] {
            let (_caller, request) = talk.begin(operation, SENT).await;
            assert_eq!(canonical(&request.params()), canonical(expected), "{talk}");
        }
        for (operation, sent, in_1_0) in [
            (O::GetTask, r#"{"id":"t","metadata":{"a":1.0},"later":1}"#, r#"{"id":"t"}"#),
            (
                O::ListTaskPushNotificationConfigs,
                r#"{"id":"t","metadata":{"a":1.0},"later":1}"#,
                r#"{"taskId":"t"}"#,
            ),
            (
                O::DeleteTaskPushNotificationConfig,
                r#"{"id":"t","pushNotificationConfigId":"p","metadata":{}}"#,
                r#"{"taskId":"t","id":"p"}"#,
            ),
            (
                O::CancelTask,
                r#"{"id":"t","metadata":{"a":1.0},"why":1}"#,
                r#"{"id":"t","metadata":{"a":1.0}}"#,
            ),
        ] {
            let (_caller, request) = talk.begin(operation, sent).await;
            let expected = if agent == V0_3 { sent } else { in_1_0 };
            assert_eq!(canonical(&request.params()), canonical(expected), "{talk}: {operation}");
        }
    }
}

/// A task of 0.3 with everything in it that 1.0 has no room for.
const TASK: &str = r#"{
    "kind": "task", "id": "t", "contextId": "c", "priority": 1.0,
    "status": {
        "state": "dreaming", "timestamp": "2026-01-02T03:04:05.6000000001+02:00", "because": {"n": 1e2},
        "message": {"kind": "message", "messageId": "m", "role": "assistant", "parts": [{"kind": "text", "text": "x"}]}
    },
    "artifacts": [{"artifactId": "a", "parts": [{"kind": "text", "text": "y", "tone": "low"}], "index": 0}],
    "history": [{"kind": "message", "messageId": "h", "taskId": "", "role": "user", "parts": []}]
}"#;

const TASK_1_0: &str = r#"{
    "id": "t", "contextId": "c",
    "status": {
        "timestamp": "2026-01-02T01:04:05.600Z",
        "message": {"messageId": "m", "parts": [{"text": "x"}]}
    },
    "artifacts": [{"artifactId": "a", "parts": [{"text": "y"}]}],
    "history": [{"messageId": "h", "role": "ROLE_USER", "parts": []}]
}"#;

#[tokio::test]
async fn what_only_an_agent_of_0_3_can_answer_comes_back_to_0_3_and_is_not_to_be_seen_in_1_0() {
    for (caller, expected) in [(V0_3, TASK), (V1_0, TASK_1_0)] {
        let mut talk = Talk::start((caller, V0_3)).await;
        let (mut client, request) = talk.begin(O::GetTask, r#"{"id":"t"}"#).await;
        request.result(TASK).await;
        assert_eq!(canonical(&client.answer().await.result()), canonical(expected), "{talk}");

        let (client, request) = talk.send(O::SendStreamingMessage).await;
        let mut stream = request.stream().await;
        let task = TASK.replace('\n', " ");
        stream.event(&task).await;
        let update = talk.agent(Said::Update("working", false));
        let marked = update.replacen('{', r#"{"index":1.0,"#, 1);
        stream.last(&marked).await;
        let mut client = client.reading().await;
        let expected = if caller == V0_3 { expected.to_owned() } else { format!(r#"{{"task":{expected}}}"#) };
        assert_eq!(canonical(&client.result().await), canonical(&expected), "{talk}");
        let expected = if caller == V0_3 { marked } else { talk.caller(Said::Update("working", false)) };
        assert_eq!(canonical(&client.result().await), canonical(&expected), "{talk}");
    }
}

#[tokio::test]
async fn members_of_1_0_that_nobody_knows_stay_in_1_0() {
    let sent = r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x","tone":"low"}],"mood":1.0},"later":{}}"#;
    let plain = r#"{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"x"}]}}"#;
    let result = r#"{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[],"mood":1.0}}"#;
    for (agent, expected) in [(V0_3, plain), (V1_0, sent)] {
        let mut talk = Talk::start((V1_0, agent)).await;
        let (_caller, request) = talk.begin(O::SendMessage, sent).await;
        assert_eq!(canonical(&request.params()), canonical(expected), "{talk}");
    }
    let old = r#"{"kind":"message","messageId":"m","role":"agent","parts":[]}"#;
    for (caller, expected) in [(V0_3, old), (V1_0, result)] {
        let mut talk = Talk::start((caller, V1_0)).await;
        let (mut client, request) = talk.send(O::SendMessage).await;
        request.result(result).await;
        assert_eq!(canonical(&client.answer().await.result()), canonical(expected), "{talk}");
    }
}

#[tokio::test]
async fn names_in_snake_case_are_names_whoever_writes_them() {
    let sent = r#"{"message":{"kind":"message","message_id":"m","context_id":"c","role":"user",
        "parts":[{"kind":"file","file":{"uri":"u","mime_type":"a/b"}}]},"configuration":{"accepted_output_modes":["a"],"history_length":2}}"#;
    let old = r#"{"message":{"kind":"message","messageId":"m","contextId":"c","role":"user",
        "parts":[{"kind":"file","file":{"uri":"u","mimeType":"a/b"}}]},"configuration":{"acceptedOutputModes":["a"],"historyLength":2}}"#;
    let new = r#"{"message":{"messageId":"m","contextId":"c","role":"ROLE_USER","parts":[{"url":"u","mediaType":"a/b"}]},
        "configuration":{"acceptedOutputModes":["a"],"historyLength":2}}"#;
    for (agent, expected) in [(V0_3, old), (V1_0, new)] {
        let mut talk = Talk::start((V0_3, agent)).await;
        let (_caller, request) = talk.begin(O::SendMessage, sent).await;
        assert_eq!(canonical(&request.params()), canonical(expected), "{talk}");
    }
    let sent =
        r#"{"message":{"message_id":"m","role":"ROLE_USER","parts":[{"url":"u","media_type":"a/b"}]}}"#;
    let new = r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"url":"u","mediaType":"a/b"}]}}"#;
    let mut talk = Talk::start((V1_0, V1_0)).await;
    let (_caller, request) = talk.begin(O::SendMessage, sent).await;
    assert_eq!(canonical(&request.params()), canonical(new));
}
