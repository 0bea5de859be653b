//! What a gRPC agent says when it cannot or will not: a gRPC caller hears it as it was said, a JSON-RPC caller as A2A says
//! it in JSON, and nobody takes it for the mesh's word.

use dragoman::a2a::Operation;
use prost_types::Any;
use serde_json::{Value, json};
use tonic_types::pb;

use super::{CURRENCY, House, detail, encoded, info, told};
use crate::harness::client::{Answer, say};
use crate::harness::logs;
use crate::harness::mesh::{Mesh, known};
use crate::harness::peer::{self, FarSide, Peer};
use crate::harness::soon;

const TASK: &str = r#"{"id":"t"}"#;

/// Has the agent answer a JSON-RPC caller with a status and these details.
async fn to_json(house: &mut House, method: &str, params: &str, code: i32, details: &[Any]) -> Answer {
    let mut caller = house.planner.begin("currency", method, params).await;
    let details = encoded(code, "all of it", details);
    let code = code.to_string();
    house.agent.request().await.status(&[("grpc-status", &code), ("grpc-status-details-bin", &details)]);
    caller.answer().await
}

/// The same to a gRPC caller.
async fn to_grpc(house: &mut House, caller: &Peer, code: i32, details: &[Any]) -> peer::Answer {
    let text = encoded(code, "all of it", details);
    let status = code.to_string();
    let headers = [CURRENCY, ("user-agent", "grpc-go/1.76")];
    let (answer, ()) = tokio::join!(caller.call(Operation::GetTask, TASK, &headers), async {
        let beside = ("a2a-extensions", "urn:x");
        let asked = house.agent.request().await;
        asked.status(&[("grpc-status", &status), ("grpc-status-details-bin", &text), beside]);
    });
    answer
}

fn details() -> Vec<Any> {
    let violation = pb::bad_request::FieldViolation {
        field: "id".into(),
        description: "too short".into(),
        reason: "LENGTH".into(),
        localized_message: None,
    };
    let delay = prost_types::Duration { seconds: 2, nanos: 0 };
    let kind = prost_types::value::Kind::StringValue("v".into());
    let fields = [("k".to_owned(), prost_types::Value { kind: Some(kind) })].into();
    vec![
        detail("google.rpc.BadRequest", &pb::BadRequest { field_violations: vec![violation] }),
        info("a2a-protocol.org", "TASK_NOT_FOUND", &[("taskId", "t")]),
        detail("google.rpc.RetryInfo", &pb::RetryInfo { retry_delay: Some(delay) }),
        detail("google.protobuf.Struct", &prost_types::Struct { fields }),
        Any { type_url: "other.example/acme.v1.Later".into(), value: b"\x0a\x01x".to_vec() },
    ]
}

#[tokio::test]
async fn details_arrive_at_a_grpc_caller_as_they_were_sent() {
    let mut house = House::start().await;
    let caller = house.caller().await;
    // Whatever JSON-RPC would make of the status.
    for code in [5, 12, 9, 10, 14, 16, 2] {
        for details in [details(), Vec::new()] {
            let answer = to_grpc(&mut house, &caller, code, &details).await;
            let status = told(&answer);
            assert_eq!((answer.status(), &*status.message), (code, "all of it"));
            assert_eq!(status.details, details, "{code}");
            assert_eq!(answer.header("a2a-extensions"), Some("urn:x"));
        }
    }
}

#[tokio::test]
async fn details_arrive_at_a_json_caller_as_a2a_says_them_in_json() {
    let mut house = House::start().await;
    let answer = to_json(&mut house, "GetTask", TASK, 12, &details()).await;
    assert_eq!(answer.status, 200);
    let google = |name: &str| format!("type.googleapis.com/google.{name}");
    let expected = json!({"code": -32001, "message": "all of it", "data": [
        {"@type": google("rpc.BadRequest"),
         "fieldViolations": [{"field": "id", "description": "too short", "reason": "LENGTH"}]},
        {"@type": google("rpc.ErrorInfo"), "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org",
         "metadata": {"taskId": "t"}},
        {"@type": google("rpc.RetryInfo"), "retryDelay": "2s"},
        {"@type": google("protobuf.Struct"), "value": {"k": "v"}},
        {"@type": "other.example/acme.v1.Later", "value": "CgF4"},
    ]});
    assert_eq!(answer.json()["error"], expected);
}

#[tokio::test]
async fn a_status_means_to_a_json_caller_what_the_table_says() {
    let mut house = House::start().await;
    let push = r#"{"taskId":"t","id":"p"}"#;
    let other = info("acme.example", "QUOTA", &[]);
    for (method, params, status, code, domain, reason) in [
        ("GetTask", TASK, 5, -32001, "a2a-protocol.org", "TASK_NOT_FOUND"),
        ("GetTask", TASK, 12, -32004, "a2a-protocol.org", "UNSUPPORTED_OPERATION"),
        ("CancelTask", TASK, 9, -32002, "a2a-protocol.org", "TASK_NOT_CANCELABLE"),
        (
            "GetTaskPushNotificationConfig",
            push,
            9,
            -32003,
            "a2a-protocol.org",
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        ),
        ("GetTask", TASK, 3, -32602, "a2a-protocol.org", "INVALID_PARAMS"),
        ("GetTask", TASK, 16, -32603, "dragoman.dev", "UNAUTHENTICATED"),
        ("GetTask", TASK, 7, -32603, "dragoman.dev", "PERMISSION_DENIED"),
        ("GetTask", TASK, 8, -32603, "dragoman.dev", "RATE_LIMITED"),
        ("GetTask", TASK, 14, -32603, "dragoman.dev", "AGENT_UNREACHABLE"),
        ("GetTask", TASK, 13, -32603, "a2a-protocol.org", "INTERNAL"),
    ] {
        for details in [&[][..], std::slice::from_ref(&other)] {
            let answer = to_json(&mut house, method, params, status, details).await;
            let error = &answer.json()["error"];
            let first = &error["data"][0];
            assert_eq!((answer.status, &error["code"]), (200, &json!(code)), "{method} {status}");
            assert_eq!(
                (&first["domain"], &first["reason"]),
                (&json!(domain), &json!(reason)),
                "{method} {status}"
            );
            assert_eq!(error["data"].as_array().unwrap().len(), 1 + details.len());
        }
    }
    // It was the agent who refused, and not a policy of ours.
    let line = logs::line("the agent's refusal", |line| {
        line["agent"] == *house.agent_name() && line["reason"] == "PERMISSION_DENIED"
    });
    assert_eq!(line.await["decision"], "allowed");
}

#[tokio::test]
async fn an_agent_does_not_speak_for_the_mesh() {
    let mesh = Mesh::new();
    let mut agent = FarSide::plain().await;
    let config = json!({"name": "currency", "url": format!("http://{}", agent.address), "binding": "GRPC"});
    let mut inbound = Vec::new();
    let mut sidecars = Vec::new();
    for _ in 0..2 {
        let sidecar = mesh.sidecar("currency", json!({"agents": [config.clone()]})).await;
        inbound.push(sidecar.inbound());
        sidecars.push(sidecar);
    }
    let planner = mesh.sidecar("planner", known("currency", &inbound)).await;
    let never = [("neverProcessed", "true"), ("http", "401"), ("code", "7"), ("grpc", "16")];
    for (method, params) in [("SendMessage", say("x")), ("GetTask", TASK.to_owned())] {
        for reason in ["AGENT_NOT_FOUND", "AGENT_UNREACHABLE", "JSONRPC_ERROR", "PEER_MISMATCH"] {
            let mut caller = planner.begin("currency", method, &params).await;
            let text = encoded(14, "no", &[info("dragoman.dev", reason, &never)]);
            let asked = agent.request().await;
            asked.status(&[("grpc-status", "14"), ("grpc-status-details-bin", &text)]);
            // Nobody else is asked, and nobody is set aside.
            let answer = caller.answer().await;
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (200, &json!(-32603)), "{reason}");
            assert!(!agent.was_asked(), "{method} {reason}");
        }
    }
    let metrics = planner.metrics().await;
    assert_eq!(metrics.sum("dragoman_calls_total", &["code=\"AGENT_UNREACHABLE\""]), 8.0);
    assert_eq!(metrics.sum("dragoman_calls_total", &[]), 8.0);
}

#[tokio::test]
async fn an_http_status_without_grpc_keeps_its_meaning_or_is_named() {
    let mut house = House::start().await;
    for (status, seen, reason) in
        [(401, 401, "UNAUTHENTICATED"), (503, 503, "AGENT_UNREACHABLE"), (200, 200, "AGENT_PROTOCOL_ERROR")]
    {
        let mut caller = house.planner.begin("currency", "GetTask", TASK).await;
        let mut asked = house.agent.request().await;
        let response = http::Response::builder().status(status).header("www-authenticate", "Bearer");
        asked.respond.send_response(response.body(()).unwrap(), true).unwrap();
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.reason()), (seen, reason.into()));
        assert_eq!(answer.head.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test]
async fn details_that_no_sdk_can_take_are_cut_for_sdks_alone() {
    let mut house = House::start().await;
    let caller = house.caller().await;
    let large = Any {
        type_url: "x/a.Large".into(),
        value: [b"\x0a\x80\x80\x01", &vec![b'x'; 16 << 10][..]].concat(),
    };
    let details = [info("a2a-protocol.org", "TASK_NOT_FOUND", &[("k", "v")]), large];
    let answer = soon("an answer", to_grpc(&mut house, &caller, 5, &details)).await;
    assert_eq!(told(&answer).details, details[..1]);
    let answer = to_json(&mut house, "GetTask", TASK, 5, &details).await;
    let data: Value = answer.json()["error"]["data"].clone();
    assert_eq!((data.as_array().unwrap().len(), &data[0]["metadata"]["k"]), (2, &json!("v")));
    assert!(data[1]["value"].as_str().unwrap().len() > 16 << 10);
}
