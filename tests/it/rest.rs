//! HTTP+JSON at both ends, and JSON-RPC at the other.

use serde_json::{Value, json};

use crate::harness::agent::{Received, message, status_update};
use crate::harness::client::{Answer, JSON, Reading, say};
use crate::harness::json::{canonical, member};
use crate::harness::mesh::Pair;
use crate::harness::peer::Peer;
use crate::operations::{CARD, MESSAGE, PUSH, TASK, without_interfaces};

/// An operation as it is asked over HTTP and in JSON-RPC, and its result. What has no body is told by the path.
struct Asked {
    line: &'static str,
    body: &'static str,
    method: &'static str,
    params: String,
    result: String,
}

fn single() -> [Asked; 9] {
    let asked = |line, body, method, params: &str, result: &str| Asked {
        line,
        body,
        method,
        params: params.to_owned(),
        result: result.to_owned(),
    };
    let tasks =
        format!(r#"{{"tasks":[{TASK}],"nextPageToken":"","pageSize":50,"totalSize":1,"extra":{{"n":1.0}}}}"#);
    let configs = format!(r#"{{"configs":[{PUSH}],"nextPageToken":"n","new":[{{}}]}}"#);
    [
        asked("POST message:send", MESSAGE, "SendMessage", MESSAGE, &format!(r#"{{"task":{TASK}}}"#)),
        asked(
            "GET tasks/t%2F1%3Aa?historyLength=0&x=a%26b",
            "",
            "GetTask",
            r#"{"id":"t/1:a","historyLength":0,"x":"a&b"}"#,
            TASK,
        ),
        asked(
            "GET acme%2Feu/tasks?contextId=c&status=TASK_STATE_WORKING&pageSize=50&pageToken=&statusTimestampAfter=2026-01-02T03%3A04%3A05Z&includeArtifacts=false",
            "",
            "ListTasks",
            r#"{"tenant":"acme/eu","contextId":"c","status":"TASK_STATE_WORKING","pageSize":50,"pageToken":"",
                "statusTimestampAfter":"2026-01-02T03:04:05Z","includeArtifacts":false}"#,
            &tasks,
        ),
        asked(
            "POST tasks/t:cancel",
            r#"{"id":"t","metadata":{"why":"no need","n":1.10}}"#,
            "CancelTask",
            r#"{"id":"t","metadata":{"why":"no need","n":1.10}}"#,
            TASK,
        ),
        asked("POST x/tasks/t/pushNotificationConfigs", PUSH, "CreateTaskPushNotificationConfig", PUSH, PUSH),
        asked(
            "GET tasks/t/pushNotificationConfigs/p",
            "",
            "GetTaskPushNotificationConfig",
            r#"{"taskId":"t","id":"p"}"#,
            PUSH,
        ),
        asked(
            "GET tasks/t/pushNotificationConfigs?pageSize=0&pageToken=p",
            "",
            "ListTaskPushNotificationConfigs",
            r#"{"taskId":"t","pageSize":0,"pageToken":"p"}"#,
            &configs,
        ),
        asked(
            "DELETE tasks/t/pushNotificationConfigs/%C3%BC",
            "",
            "DeleteTaskPushNotificationConfig",
            r#"{"taskId":"t","id":"ü"}"#,
            "{}",
        ),
        asked("GET acme/extendedAgentCard", "", "GetExtendedAgentCard", r#"{"tenant":"acme"}"#, CARD),
    ]
}

/// Checks that the agent is asked this over HTTP.
fn check_asked(request: &Received, line: &str, params: &str) {
    assert_eq!(request.head.start, format!("{} HTTP/1.1", line.replacen(' ', " /", 1)));
    assert_eq!(request.head.header("a2a-version"), Some("1.0"));
    if line.starts_with("POST") {
        assert_eq!(request.head.header("content-type"), Some("application/json"));
        assert_eq!(canonical(request.text()), canonical(params), "{line}");
    } else {
        assert_eq!((request.text(), request.head.header("content-type")), ("", None), "{line}");
    }
}

fn check_result(asked: &Asked, result: &str) {
    if asked.method == "GetExtendedAgentCard" {
        assert_eq!(without_interfaces(result), without_interfaces(&asked.result));
    } else {
        assert_eq!(canonical(result), canonical(&asked.result), "{}", asked.line);
    }
}

#[tokio::test]
async fn every_operation_crosses_member_for_member_over_http() {
    let mut pair = Pair::rest().await;
    let mut bytes = 0;
    for asked in single() {
        let mut caller = pair.ask(asked.line, asked.body).await;
        let request = pair.agent.request().await;
        assert_eq!(request.head.header("accept"), Some("application/a2a+json, application/json"));
        check_asked(&request, asked.line, &asked.params);
        request.plain(&asked.result).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("application/a2a+json")));
        check_result(&asked, &answer.body);
        bytes += asked.body.len() + answer.body.len();
    }
    let labels = ["binding=\"HTTP+JSON\"", "dialect=\"1.0\"", "code=\"OK\""];
    assert_eq!(pair.planner.metrics().await.sum("dragoman_calls_total", &labels), 9.0);
    let counted = pair.planner.metrics().await.sum("dragoman_bytes_total", &["form=\"json\""]);
    assert_eq!(counted, f64::from(u32::try_from(bytes).unwrap()));
}

#[tokio::test]
async fn an_agent_on_json_rpc_is_asked_over_http() {
    let mut pair = Pair::start().await;
    for asked in single() {
        let mut caller = pair.ask(asked.line, asked.body).await;
        let request = pair.agent.request().await;
        assert_eq!(
            (request.method(), canonical(&request.params())),
            (asked.method.into(), canonical(&asked.params))
        );
        request.result(&asked.result).await;
        check_result(&asked, &caller.answer().await.body);
    }
}

#[tokio::test]
async fn an_agent_on_http_is_asked_in_json_rpc() {
    let mut pair = Pair::rest().await;
    for asked in single() {
        let (mut caller, request) = pair.begin(asked.method, &asked.params).await;
        check_asked(&request, asked.line, &asked.params);
        request.plain(&asked.result).await;
        check_result(&asked, &caller.answer().await.result());
    }
    // What no path and no query can say is refused, and nothing else is asked in its place.
    for (method, params, says) in [
        ("GetTask", r#"{"id":""}"#, "id: "),
        ("GetTask", r#"{"id":".."}"#, "id: "),
        ("GetTask", r#"{"id":"t","x":{"n":1}}"#, "x: "),
    ] {
        let error = pair.planner.call("currency", method, params).await.error();
        assert!(error.contains("-32602") && error.contains(says), "{error}");
    }
    assert!(!pair.agent.was_asked());
}

async fn data(reading: &mut Reading) -> String {
    reading.event().await.expect("an event, not the end")
}

#[tokio::test]
async fn streams_have_bare_events_and_name_their_errors() {
    let mut pair = Pair::rest().await;
    for line in ["POST message:stream", "POST tasks/t:subscribe", "GET tasks/t:subscribe"] {
        let params = if line.contains("message") { MESSAGE } else { "" };
        let caller = pair.ask(line, params).await;
        let request = pair.agent.request().await;
        assert_eq!(request.head.header("accept"), Some("text/event-stream"));
        assert_eq!(
            request.head.start,
            format!("{} HTTP/1.1", line.replace("GET ", "POST ").replace(' ', " /"))
        );
        let mut stream = request.stream_with("X-Beside: 1\r\n").await;
        stream.plain(&format!(r#"{{"task":{TASK}}}"#)).await;
        let mut caller = caller.reading().await;
        assert_eq!((caller.status, caller.head.header("content-type")), (200, Some("text/event-stream")));
        assert_eq!(caller.head.header("x-beside"), Some("1"));
        assert_eq!(canonical(&data(&mut caller).await), canonical(&format!(r#"{{"task":{TASK}}}"#)));
        stream.plain(&status_update("b")).await;
        assert_eq!(canonical(&data(&mut caller).await), canonical(&status_update("b")));
        // As Python and JavaScript write it; those in Go leave out the name.
        let error = r#"{"error":{"code":404,"status":"NOT_FOUND","message":"gone","details":[{"@type":"x","n":1.0}]}}"#;
        stream.raw(format!("event: error\r\ndata: {error}\r\n\r\n").as_bytes()).await.unwrap();
        let block = caller.block().await.unwrap();
        let told = block.strip_prefix("event: error\ndata: ").unwrap_or_else(|| panic!("{block}"));
        let details = format!(
            r#"[{{"@type":"x","n":1.0}},{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{}","domain":"a2a-protocol.org"}}]"#,
            "TASK_NOT_FOUND"
        );
        assert_eq!(
            canonical(told),
            canonical(&error.replace(r#"[{"@type":"x","n":1.0}]"#, &details)),
            "{line}"
        );
        assert_eq!(caller.block().await, None);
        stream.left().await;
    }
}

#[tokio::test]
async fn streams_cross_between_http_and_json_rpc() {
    let mut pair = Pair::rest().await;
    let (caller, request) = pair.begin("SubscribeToTask", r#"{"id":"t"}"#).await;
    let mut stream = request.stream().await;
    let mut caller = caller.reading().await;
    stream.plain(&status_update("a")).await;
    assert_eq!(canonical(&caller.result().await), canonical(&status_update("a")));
    stream.plain(r#"{"error":{"code":400,"message":"no","details":[{"n":1.0}]}}"#).await;
    assert_eq!(canonical(&caller.last_error().await), r#"{"code":-32602,"data":[{"n":1.0}],"message":"no"}"#);

    let mut pair = Pair::start().await;
    let caller = pair.ask("POST message:stream", &say("x")).await;
    let mut stream = pair.agent.request().await.stream().await;
    stream.event(&message("m")).await;
    stream.end().await;
    let mut caller = caller.reading().await;
    assert_eq!(canonical(&data(&mut caller).await), canonical(&message("m")));
    assert_eq!(caller.block().await, None);

    // What goes wrong before the first event has a status, although the agent has begun to answer.
    let mut caller = pair.ask("POST message:stream", &say("x")).await;
    let mut stream = pair.agent.request().await.stream().await;
    stream.error(r#"{"code":-32004,"message":"no streams"}"#).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, reason(&answer)), (400, "UNSUPPORTED_OPERATION".into()));
}

#[tokio::test]
async fn a_server_that_has_the_other_method_is_asked_by_that() {
    let mut pair = Pair::rest().await;
    let caller = pair.ask("GET tasks/t:subscribe", "").await;
    let request = pair.agent.request().await;
    assert_eq!(request.head.start, "POST /tasks/t:subscribe HTTP/1.1");
    request.answer("405 Method Not Allowed", "Allow: GET\r\n", b"").await;
    let request = pair.agent.request().await;
    assert_eq!((&*request.head.start, request.text()), ("GET /tasks/t:subscribe HTTP/1.1", ""));
    let mut stream = request.stream().await;
    stream.plain(&status_update("a")).await;
    assert_eq!(canonical(&data(&mut caller.reading().await).await), canonical(&status_update("a")));
}

/// The reason in the details of an error.
fn reason(answer: &Answer) -> String {
    let error = &answer.json()["error"];
    assert_eq!(
        (answer.status, answer.head.header("content-type")),
        (status(error), Some("application/json"))
    );
    error["details"][0]["reason"].as_str().unwrap_or_else(|| panic!("no reason in {error}")).to_owned()
}

fn status(error: &Value) -> u16 {
    error["code"].as_u64().unwrap().try_into().unwrap()
}

#[tokio::test]
async fn an_agents_error_in_json_rpc_has_a_status_over_http() {
    let mut pair = Pair::start().await;
    for (error, status, named) in [
        (r#"{"code":-32001,"message":"m"}"#, 404, "TASK_NOT_FOUND"),
        (r#"{"code":-32002,"message":"m","data":[]}"#, 400, "TASK_NOT_CANCELABLE"),
        (r#"{"code":-32602,"message":"m"}"#, 400, "INVALID_PARAMS"),
        (r#"{"code":-32603,"message":"m"}"#, 500, "INTERNAL"),
        (r#"{"code":-32050,"message":"m"}"#, 500, "JSONRPC_ERROR"),
    ] {
        let mut caller = pair.ask("GET tasks/t", "").await;
        pair.agent.request().await.error(error).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, reason(&answer)), (status, named.into()), "{error}");
        assert_eq!(answer.json()["error"]["message"], "m");
    }
    let details = r#"[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"OWN","domain":"d","metadata":{"n":1.0}}]"#;
    let mut caller = pair.ask("GET tasks/t", "").await;
    pair.agent.request().await.error(&format!(r#"{{"code":-32001,"message":"m","data":{details}}}"#)).await;
    let error = caller.answer().await.error();
    assert_eq!(canonical(&member(&error, "details").unwrap()), canonical(details));
}

#[tokio::test]
async fn an_agents_error_over_http_arrives_with_its_details() {
    let mut pair = Pair::rest().await;
    let details = r#"[{"@type":"x","n":1.0},{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_CANCELABLE","domain":"a2a-protocol.org"}]"#;
    let told = format!(
        r#"{{"error":{{"code":400,"status":"FAILED_PRECONDITION","message":"m","details":{details}}}}}"#
    );
    let (mut caller, request) = pair.begin("CancelTask", r#"{"id":"t"}"#).await;
    request.answer("400 Bad Request", "Content-Type: application/json\r\n", told.as_bytes()).await;
    let expected = format!(r#"{{"code":-32002,"message":"m","data":{details}}}"#);
    assert_eq!(canonical(&caller.answer().await.error()), canonical(&expected));

    let mut caller = pair.ask("POST tasks/t:cancel", "").await;
    let request = pair.agent.request().await;
    request.answer("400 Bad Request", "X-Beside: 1\r\n", told.as_bytes()).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.head.header("x-beside")), (400, Some("1")));
    assert_eq!(canonical(&member(&answer.error(), "details").unwrap()), canonical(details));

    for (status, body, seen) in [("404 Not Found", "", 404), ("418 I'm a teapot", r#"{"message":"no"}"#, 418)]
    {
        let mut caller = pair.ask("GET tasks/t", "").await;
        pair.agent.request().await.answer(status, "", body.as_bytes()).await;
        assert_eq!(caller.answer().await.status, seen);
    }
}

#[tokio::test]
async fn a_challenge_and_a_time_to_come_back_arrive_whatever_the_caller_speaks() {
    let mut pair = Pair::rest().await;
    for (status, header, code) in [
        ("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"a\"", 401),
        ("429 Too Many Requests", "Retry-After: 7", 429),
        ("503 Service Unavailable", "Retry-After: 7", 503),
    ] {
        let (name, value) = header.split_once(": ").unwrap();
        for over_http in [true, false] {
            let (mut caller, request) = if over_http {
                let caller = pair.ask("POST message:send", &say("x")).await;
                (caller, pair.agent.request().await)
            } else {
                pair.begin("SendMessage", &say("x")).await
            };
            request.answer(status, &format!("{header}\r\n"), br#"{"message":"a gateway"}"#).await;
            let answer = caller.answer().await;
            assert_eq!((answer.status, answer.head.header(name)), (code, Some(value)), "{over_http}");
        }
    }
}

#[tokio::test]
async fn a_card_says_the_path_and_the_tenant() {
    let mut pair = Pair::with(json!({}), json!({"agents": [{"name": "currency", "url": null}]})).await;
    let interface = json!({"url": "http://0.0.0.0:1/rest/?k=v", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "acme"});
    pair.agent.show(json!({"name": "Currency", "supportedInterfaces": [interface]}).to_string());
    for (line, seen) in [
        ("GET tasks/t?historyLength=1", "GET /rest/acme/tasks/t?k=v&historyLength=1 HTTP/1.1"),
        ("GET other/tasks/t", "GET /rest/other/tasks/t?k=v HTTP/1.1"),
        ("POST tasks/t:cancel", "POST /rest/acme/tasks/t:cancel?k=v HTTP/1.1"),
    ] {
        let mut caller = pair.ask(line, "").await;
        let request = pair.agent.request().await;
        assert_eq!(request.head.start, seen);
        request.plain(TASK).await;
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn what_is_no_request_over_http_is_refused() {
    let limit = json!({"limits": {"message": "64KiB"}});
    let mut pair = Pair::with(limit.clone(), limit).await;
    let long = say(&"x".repeat(70 << 10));
    for (line, body, status, named) in [
        ("GET nowhere", "", 404, "METHOD_NOT_FOUND"),
        ("PUT tasks/t", "", 405, "METHOD_NOT_FOUND"),
        ("GET tasks/%ff", "", 400, "INVALID_REQUEST"),
        ("GET tasks/t?historyLength=two", "", 400, "INVALID_PARAMS"),
        ("GET tasks/t?historyLength=1&history_length=1", "", 400, "INVALID_PARAMS"),
        ("GET tasks/t?ID=u", "", 400, "INVALID_PARAMS"),
        ("POST tasks/t:cancel", r#"{"id":"u"}"#, 400, "INVALID_PARAMS"),
        ("POST message:send", "", 400, "INVALID_PARAMS"),
        ("POST message:send", "{", 400, "PARSE_ERROR"),
        (
            "POST message:send",
            r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"raw":"?"}]}}"#,
            400,
            "INVALID_PARAMS",
        ),
        ("POST message:stream", &long, 413, "MESSAGE_TOO_LARGE"),
    ] {
        let answer = pair.ask(line, body).await.answer().await;
        assert_eq!((answer.status, reason(&answer)), (status, named.into()), "{line}");
        assert_eq!(answer.head.header("allow").is_some(), status == 405);
    }
    let answer = pair.ask("PUT tasks/t/pushNotificationConfigs/p", "").await.answer().await;
    assert_eq!(answer.head.header("allow"), Some("GET, DELETE"));
    let mut caller = crate::harness::client::Client::connect(pair.planner.outbound).await;
    for (line, headers, body, status) in [
        ("POST /agents/currency/message:send", "Host: localhost\r\nContent-Type: text/plain\r\n", "{}", 415),
        (
            "POST /agents/currency/tasks/t:cancel",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
            "",
            403,
        ),
        ("GET /agents/currency/tasks", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", "", 403),
        ("GET /agents/a_b/tasks", JSON, "", 404),
    ] {
        caller.request(line, headers, body).await;
        assert_eq!(caller.answer().await.status, status, "{line} {headers}");
    }
    assert!(!pair.agent.was_asked());
    let refused = pair.planner.metrics().await;
    assert!(refused.sum("dragoman_faults_total", &["reason=\"METHOD_NOT_FOUND\""]) >= 3.0);
}

#[tokio::test]
async fn a_peer_without_a_sidecar_may_speak_http() {
    let mut pair = Pair::start().await;
    let peer = Peer::connect(&pair.mesh, "planner", pair.currency.inbound(), "currency").await;
    let (answer, ()) = tokio::join!(peer.ask("GET", "/acme/tasks/t?historyLength=3"), async {
        let request = pair.agent.request().await;
        let params = r#"{"tenant":"acme","id":"t","historyLength":3}"#;
        assert_eq!(canonical(&request.params()), canonical(params));
        request.result(TASK).await;
    });
    assert_eq!((answer.http, answer.header("content-type")), (200, Some("application/a2a+json")));
    assert_eq!(canonical(std::str::from_utf8(&answer.messages[0]).unwrap()), canonical(TASK));

    let answer = peer.ask("DELETE", "/tasks/t").await;
    assert_eq!((answer.http, answer.header("allow")), (405, Some("GET")));
    let stranger = Peer::connect(&pair.mesh, "planner", pair.currency.inbound(), "hotel").await;
    assert_eq!(stranger.ask("GET", "/tasks/t").await.http, 404);
    assert!(!pair.agent.was_asked());
}
