//! Webhooks of tasks, which every SDK writes in its own way.

use dragoman::a2a::Operation as O;

use crate::harness::agent::Received;
use crate::harness::dialect::{Dialect, PAIRS, Talk, V0_3, V1_0};
use crate::harness::json::{canonical, member, value};

const LIST: O = O::ListTaskPushNotificationConfigs;
const GET: O = O::GetTaskPushNotificationConfig;

/// A webhook of the task `t`.
fn webhook(dialect: Dialect, id: &str) -> String {
    let inner = format!(r#""id":"{id}","url":"https://h.example/{id}","token":"s""#);
    match dialect {
        V0_3 => format!(
            r#"{{"taskId":"t","pushNotificationConfig":{{{inner},"authentication":{{"schemes":["Bearer"],"credentials":"c"}}}}}}"#
        ),
        V1_0 => {
            format!(r#"{{"taskId":"t",{inner},"authentication":{{"scheme":"Bearer","credentials":"c"}}}}"#)
        }
    }
}

/// All webhooks of a task, as its caller gets them.
fn list(dialect: Dialect, ids: &[&str]) -> String {
    let all: Vec<String> = ids.iter().map(|id| webhook(dialect, id)).collect();
    match dialect {
        V0_3 => format!("[{}]", all.join(",")),
        V1_0 => format!(r#"{{"configs":[{}]}}"#, all.join(",")),
    }
}

fn of_task(dialect: Dialect) -> &'static str {
    match dialect {
        V0_3 => r#"{"id":"t"}"#,
        V1_0 => r#"{"taskId":"t"}"#,
    }
}

/// Answers with what stands behind the id.
async fn answer(request: Received, rest: &str) {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{}{rest}}}"#, request.id());
    request.answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()).await;
}

#[tokio::test]
async fn a_webhook_is_set_and_read_in_the_words_of_each_side() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        let theirs = canonical(&webhook(talk.caller, "p"));
        let (mut caller, request) = talk.begin(O::CreateTaskPushNotificationConfig, &theirs).await;
        assert_eq!(canonical(&request.params()), canonical(&webhook(talk.agent, "p")), "{talk}");
        request.result(&webhook(talk.agent, "p")).await;
        assert_eq!(canonical(&caller.answer().await.result()), theirs, "{talk}");
    }
}

#[tokio::test]
async fn webhooks_are_listed_whatever_an_empty_list_looks_like() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        let empty: &[&str] = match talk.agent {
            V0_3 => &[r#","result":[]"#, r#","result":null"#, ""],
            V1_0 => &[r#","result":{"configs":[]}"#, r#","result":{"configs":null}"#, r#","result":{}"#, ""],
        };
        for rest in empty {
            let (mut caller, request) = talk.begin(LIST, of_task(talk.caller)).await;
            answer(request, rest).await;
            let result = caller.answer().await.result();
            // 1.0 need not name what is empty.
            let none = if talk.caller == V0_3 { "[]" } else { "{}" };
            assert_eq!(result, none, "{talk}: {rest}");
        }
        let (mut caller, request) = talk.begin(LIST, of_task(talk.caller)).await;
        request.result(&list(talk.agent, &["a", "b"])).await;
        let result = caller.answer().await.result();
        assert_eq!(canonical(&result), canonical(&list(talk.caller, &["a", "b"])), "{talk}");
    }
}

#[tokio::test]
async fn a_bare_list_of_webhooks_is_read_in_1_0_too() {
    for caller in [V0_3, V1_0] {
        let mut talk = Talk::start((caller, V1_0)).await;
        let (mut caller, request) = talk.begin(LIST, of_task(talk.caller)).await;
        request.result(&format!("[{}]", webhook(V1_0, "a"))).await;
        let result = caller.answer().await.result();
        assert_eq!(canonical(&result), canonical(&list(talk.caller, &["a"])), "{talk}");
    }
}

/// A page of webhooks as an agent of 1.0 sends it.
fn page(ids: &[&str], next: &str) -> String {
    let all: Vec<String> = ids.iter().map(|id| webhook(V1_0, id)).collect();
    format!(r#"{{"configs":[{}],"nextPageToken":"{next}"}}"#, all.join(","))
}

#[tokio::test]
async fn pages_of_webhooks_are_put_together_for_who_knows_no_pages() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    let (mut caller, request) = talk.begin(LIST, of_task(V0_3)).await;
    assert_eq!(canonical(&request.params()), r#"{"taskId":"t"}"#);
    request.result(&page(&["a", "b"], "2")).await;
    for (token, answer) in [("2", page(&[], "3")), ("3", page(&["c"], ""))] {
        let request = talk.asked(LIST).await;
        assert_eq!(canonical(&request.params()), format!(r#"{{"pageToken":"{token}","taskId":"t"}}"#));
        request.result(&answer).await;
    }
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&list(V0_3, &["a", "b", "c"])));
    assert!(!talk.pair.agent.was_asked());

    // Who knows them gets one at a time.
    let mut talk = Talk::start((V1_0, V1_0)).await;
    let (mut caller, request) = talk.begin(LIST, r#"{"taskId":"t","pageSize":2}"#).await;
    request.result(&page(&["a", "b"], "2")).await;
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&page(&["a", "b"], "2")));
    assert!(!talk.pair.agent.was_asked());
}

#[tokio::test]
async fn pages_of_webhooks_without_end_are_an_error_and_not_a_call_without_end() {
    let talk = Talk::start((V0_3, V1_0)).await;
    let mut caller = talk.ask(LIST, of_task(V0_3)).await;
    let Talk { pair, .. } = talk;
    let _answering = pair.agent.always(|_| page(&["a"], "more"));
    let error = value(&caller.answer().await.error());
    assert_eq!(error["code"], -32603);
    assert!(error["message"].as_str().unwrap().starts_with("AGENT_PROTOCOL_ERROR: "), "{error}");
}

#[tokio::test]
async fn a_webhook_without_its_id_is_asked_for_as_agents_of_0_3_understand_it() {
    let mut talk = Talk::start((V0_3, V0_3)).await;
    let (mut caller, request) = talk.begin(GET, r#"{"id":"t"}"#).await;
    assert_eq!(request.params(), r#"{"id":"t"}"#);
    request.result(&webhook(V0_3, "t")).await;
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&webhook(V0_3, "t")));
}

#[tokio::test]
async fn a_webhook_without_its_id_is_the_one_of_the_tasks_id_or_else_the_first() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    let error = r#"{"code":-32001,"message":"no such webhook"}"#;

    let (mut caller, request) = talk.begin(GET, r#"{"id":"t"}"#).await;
    assert_eq!(canonical(&request.params()), r#"{"id":"t","taskId":"t"}"#);
    request.result(&webhook(V1_0, "t")).await;
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&webhook(V0_3, "t")));

    let (mut caller, request) = talk.begin(GET, r#"{"id":"t","metadata":{"a":1}}"#).await;
    request.error(error).await;
    let request = talk.asked(LIST).await;
    assert_eq!(canonical(&request.params()), r#"{"taskId":"t"}"#);
    request.result(&page(&["a", "b"], "")).await;
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&webhook(V0_3, "a")));

    // If there is none, what the agent said first holds.
    for fails in [false, true] {
        let (mut caller, request) = talk.begin(GET, r#"{"id":"t"}"#).await;
        request.error(error).await;
        let request = talk.asked(LIST).await;
        match fails {
            false => request.result(&page(&[], "")).await,
            true => request.error(r#"{"code":-32003,"message":"no webhooks here"}"#).await,
        }
        assert_eq!(canonical(&caller.answer().await.error()), error);
    }

    // Who names one means that one.
    let (mut caller, request) = talk.begin(GET, r#"{"id":"t","pushNotificationConfigId":"t"}"#).await;
    request.error(error).await;
    assert_eq!(canonical(&caller.answer().await.error()), error);
    assert!(!talk.pair.agent.was_asked());
}

#[tokio::test]
async fn a_webhook_with_several_schemes_keeps_them_for_0_3_and_the_first_for_1_0() {
    let sent = r#"{"taskId":"t","pushNotificationConfig":{"url":"u","authentication":{"schemes":["Bearer","Basic"]}}}"#;
    for agent in [V0_3, V1_0] {
        let mut talk = Talk::start((V0_3, agent)).await;
        let (_caller, request) = talk.begin(O::CreateTaskPushNotificationConfig, sent).await;
        let expected = match agent {
            V0_3 => sent,
            V1_0 => r#"{"taskId":"t","url":"u","authentication":{"scheme":"Bearer"}}"#,
        };
        assert_eq!(canonical(&request.params()), canonical(expected));
    }
}

#[tokio::test]
async fn the_method_that_one_sdk_has_in_the_singular_is_the_same() {
    let mut talk = Talk::start((V1_0, V1_0)).await;
    let mut caller =
        talk.pair.planner.begin("currency", "ListTaskPushNotificationConfig", of_task(V1_0)).await;
    let request = talk.pair.agent.request().await;
    assert_eq!(member(request.text(), "params").map(|text| canonical(&text)), Some(canonical(of_task(V1_0))));
    request.result(&list(V1_0, &["a"])).await;
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&list(V1_0, &["a"])));
}
