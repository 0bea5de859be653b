//! Requests over HTTP put together and taken apart, both ways.

use super::*;
use crate::binding::rest::route;

/// The text that a request becomes.
fn composed(method: &str, path: &str, body: &str) -> Result<String, String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (route, place) = route::find(&method.parse().unwrap(), path, None).unwrap();
    let query = Query::read(query).map_err(|fault| fault.message().to_owned())?;
    let text = compose(route, &place, &query, &Bytes::from(body.to_owned()));
    text.map(|text| String::from_utf8(text.to_vec()).unwrap()).map_err(|fault| fault.message().to_owned())
}

/// Method, path with query, body, and the text that they become.
fn check_composed(cases: &[(&str, &str, &str, &str)]) {
    for (method, path, body, expected) in cases {
        assert_eq!(composed(method, path, body).as_deref(), Ok(*expected), "{method} {path} {body}");
    }
}

#[test]
fn path_query_and_body_become_one_object() {
    check_composed(&[
        ("POST", "message:send", r#" {"message": {"n": 1.0}} "#, r#" {"message": {"n": 1.0}} "#),
        ("POST", "message:send", "", "{}"),
        ("POST", "acme/message:send", r#" { "n": 1.0 , "tenant":"acme"} "#, r#"{"tenant":"acme","n":1.0}"#),
        ("POST", "acme/message:send", r#"{"tenant":""}"#, r#"{"tenant":"acme"}"#),
        (
            "GET",
            "tasks/a%22b?historyLength=03&x=&x%5B%5D=1+%2B",
            "",
            r#"{"id":"a\"b","historyLength":"03","x":"","x[]":"1 +"}"#,
        ),
        ("GET", "tasks/t?history_length=5&id=t&a2a-VERSION=1.0", "", r#"{"id":"t","history_length":5}"#),
        (
            "GET",
            "tasks?status=TASK_STATE_WORKING&pageSize=&includeArtifacts=true&pageToken=&statusTimestampAfter=2026-01-02T03%3A04%3A05%2B01:00",
            "",
            r#"{"status":"TASK_STATE_WORKING","includeArtifacts":true,"pageToken":"","statusTimestampAfter":"2026-01-02T03:04:05+01:00"}"#,
        ),
        ("GET", "tasks?status=2&includeArtifacts=yes", "", r#"{"status":2,"includeArtifacts":"yes"}"#),
        ("GET", "v1/tasks?pageSize=2&lastUpdatedAfter=x", "", r#"{"page_size":2,"last_updated_after":"x"}"#),
        (
            "POST",
            "tasks/t:cancel",
            r#"{"id":null,"metadata":{"n":1.10}}"#,
            r#"{"id":"t","metadata":{"n":1.10}}"#,
        ),
        (
            "POST",
            "tasks/t/pushNotificationConfigs",
            r#"{"task_id":"t","url":"u"}"#,
            r#"{"taskId":"t","url":"u"}"#,
        ),
        ("DELETE", "tasks/t/pushNotificationConfigs/p", "", r#"{"taskId":"t","id":"p"}"#),
    ]);
}

#[test]
fn requests_of_0_3_name_a_resource() {
    check_composed(&[
        ("GET", "v1/tasks/t?historyLength=0", "", r#"{"name":"tasks/t","historyLength":0}"#),
        ("POST", "v1/tasks/t:cancel", r#"{"name":"tasks/t"}"#, r#"{"name":"tasks/t"}"#),
        (
            "GET",
            "v1/tasks/t/pushNotificationConfigs/p",
            "",
            r#"{"name":"tasks/t/pushNotificationConfigs/p"}"#,
        ),
        (
            "POST",
            "v1/tasks/t/pushNotificationConfigs",
            r#"{"parent":"tasks/t","configId":"p","config":{}}"#,
            r#"{"parent":"tasks/t","configId":"p","config":{}}"#,
        ),
        (
            "POST",
            "v1/tasks/t/pushNotificationConfigs",
            r#"{"name":"x","pushNotificationConfig":{"n":1.0}}"#,
            r#"{"parent":"tasks/t","name":"x","pushNotificationConfig":{"n":1.0}}"#,
        ),
    ]);
}

#[test]
fn what_contradicts_the_path_or_comes_twice_is_named() {
    for (method, path, body, expected) in [
        ("POST", "tasks/t:cancel", r#"{"id":"u"}"#, "id: the path says otherwise"),
        ("POST", "tasks/t:cancel", r#"{"id":7}"#, "id: the path says otherwise"),
        ("POST", "acme/message:send", r#"{"tenant":"other"}"#, "tenant: the path says otherwise"),
        ("GET", "acme/tasks?tenant=other", "", "tenant: the path says otherwise"),
        ("GET", "tasks/t/pushNotificationConfigs?task_id=u", "", "taskId: the path says otherwise"),
        ("POST", "v1/tasks/t:cancel", r#"{"name":"tasks/u"}"#, "name: the path says otherwise"),
        ("GET", "tasks/t?historyLength=1&historyLength=1", "", "historyLength: given twice"),
        ("GET", "tasks/t?a2a-version=1.0&A2A-Version=1.0", "", "A2A-Version: given twice"),
        ("GET", "tasks?x=%f", "", "an escape in the query is none, or no UTF-8"),
        ("POST", "tasks/t:cancel", "[]", "expected an object, found a list"),
        ("POST", "tasks/t:cancel", "{} x", "not JSON: expected the end at byte 3"),
        ("POST", "tasks/t:cancel", r#"{"a":tru}"#, "not JSON: expected a value at byte 5"),
    ] {
        assert_eq!(composed(method, path, body), Err(expected.to_owned()), "{path} {body}");
    }
}

fn targeted(operation: Operation, dialect: Dialect, tenant: &str, json: &str) -> Result<String, String> {
    let route = Route::of(operation, dialect).unwrap();
    target(route, &route.methods[0], tenant, json.as_bytes()).map_err(|fault| fault.message().to_owned())
}

#[test]
fn a_request_is_told_by_path_and_query() {
    use Operation as O;
    for (operation, dialect, tenant, json, expected) in [
        (O::SendMessage, Dialect::V1_0, "a/b", r#"{"tenant":"a/b"}"#, "a%2Fb/message:send"),
        (
            O::GetTask,
            Dialect::V1_0,
            "",
            r#"{"id":"a:b","historyLength":0,"x":1.50,"y":null}"#,
            "tasks/a%3Ab?historyLength=0&x=1.50",
        ),
        (
            O::ListTasks,
            Dialect::V1_0,
            "t",
            r#"{"tenant":"t","pageToken":"a b&c","more":true}"#,
            "t/tasks?pageToken=a%20b%26c&more=true",
        ),
        (O::CancelTask, Dialect::V1_0, "", r#"{"id":"t","metadata":{}}"#, "tasks/t:cancel"),
        (O::SubscribeToTask, Dialect::V1_0, "", r#"{"id":"t","x":[]}"#, "tasks/t:subscribe"),
        (O::SubscribeToTask, Dialect::V0_3, "t", r#"{"name":"tasks/t"}"#, "v1/tasks/t:subscribe"),
        (
            O::GetTask,
            Dialect::V0_3,
            "",
            r#"{"name":"tasks/t","historyLength":7}"#,
            "v1/tasks/t?historyLength=7",
        ),
        (
            O::DeleteTaskPushNotificationConfig,
            Dialect::V0_3,
            "",
            r#"{"name":"tasks/t/pushNotificationConfigs/p"}"#,
            "v1/tasks/t/pushNotificationConfigs/p",
        ),
    ] {
        assert_eq!(targeted(operation, dialect, tenant, json).as_deref(), Ok(expected), "{json}");
    }
}

#[test]
fn a_webhook_of_0_3_is_wrapped_once_more() {
    let route = |dialect| Route::of(Operation::CreateTaskPushNotificationConfig, dialect).unwrap();
    for (dialect, json, expected) in [
        (Dialect::V1_0, r#"{"taskId":"t"}"#, None),
        (
            Dialect::V0_3,
            r#"{"pushNotificationConfig":{"n":1.0},"name":"tasks/t/pushNotificationConfigs/p"}"#,
            Some(
                r#"{"parent":"tasks/t","configId":"p","config":{"pushNotificationConfig":{"n":1.0},"name":"tasks/t/pushNotificationConfigs/p"}}"#,
            ),
        ),
        (Dialect::V0_3, r#"{"name":"tasks/t"}"#, Some(r#"{"parent":"tasks/t","config":{"name":"tasks/t"}}"#)),
    ] {
        let wrapped = wrapped(route(dialect), json.as_bytes()).unwrap();
        assert_eq!(wrapped.as_deref(), expected.map(str::as_bytes));
        let json = wrapped.unwrap_or_else(|| json.as_bytes().to_vec());
        let target = target(route(dialect), &Method::POST, "", &json).unwrap();
        assert!(target.ends_with("tasks/t/pushNotificationConfigs"), "{target}");
    }
}

#[test]
fn what_neither_path_nor_query_can_tell_is_refused() {
    use Operation as O;
    for (operation, json, expected) in [
        (O::GetTask, r#"{"id":""}"#, format!("id: {UNTELLABLE}")),
        (O::GetTask, r#"{"id":".."}"#, format!("id: {UNTELLABLE}")),
        (O::GetTaskPushNotificationConfig, r#"{"taskId":"t"}"#, format!("id: {UNTELLABLE}")),
        (O::GetTaskPushNotificationConfig, r#"{"id":"p"}"#, format!("taskId: {UNTELLABLE}")),
        (
            O::GetTask,
            r#"{"id":"t","x":[1]}"#,
            "x: the agent is asked over HTTP+JSON, and no query holds objects or lists".to_owned(),
        ),
    ] {
        assert_eq!(targeted(operation, Dialect::V1_0, "", json), Err(expected), "{json}");
    }
    assert_eq!(
        targeted(O::GetTask, Dialect::V0_3, "", r#"{"name":"t"}"#),
        Err(format!("name: {UNTELLABLE}"))
    );
}
