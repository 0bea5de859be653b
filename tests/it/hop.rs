//! The mesh hop with somebody else at the other end: an A2A server over gRPC that is no sidecar, or none at all.

use dragoman::a2a::Operation;
use prost::Message as _;
use prost_types::Any;
use serde_json::json;
use tonic_types::pb;

use crate::harness::agent::message;
use crate::harness::client::{Answer, reason, say};
use crate::harness::json::canonical;
use crate::harness::mesh::{Mesh, Sidecar, known};
use crate::harness::peer::{Asked, FarSide, frame, gzip_frame, reply, trailers, whole};

const SEND: &str = "SendMessage";
const STREAM: &str = "SendStreamingMessage";

/// A planner whose `currency` is the far side.
async fn house() -> (Mesh, Sidecar, FarSide) {
    house_with(&[b"h2"], json!({})).await
}

async fn house_with(alpn: &[&[u8]], limits: serde_json::Value) -> (Mesh, Sidecar, FarSide) {
    let mesh = Mesh::new();
    let far = FarSide::start(&mesh, "currency", alpn).await;
    let mut config = known("currency", &[far.address]);
    config["limits"] = limits;
    let planner = mesh.sidecar("planner", config).await;
    (mesh, planner, far)
}

/// Has the far side answer a call in that way.
async fn ask(
    planner: &Sidecar,
    far: &mut FarSide,
    method: &str,
    params: &str,
    respond: impl FnOnce(Asked),
) -> Answer {
    let mut caller = planner.begin("currency", method, params).await;
    respond(far.request().await);
    caller.answer().await
}

/// Details in base64, as they stand in `grpc-status-details-bin`.
fn details(code: i32, details: &[(&str, &str)]) -> String {
    let infos = details.iter().map(|(domain, reason)| Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: pb::ErrorInfo {
            reason: (*reason).to_owned(),
            domain: (*domain).to_owned(),
            metadata: [("k".to_owned(), "v".to_owned())].into(),
        }
        .encode_to_vec(),
    });
    let status = pb::Status { code, message: "details".to_owned(), details: infos.collect() };
    base64_simd::STANDARD_NO_PAD.encode_to_string(status.encode_to_vec())
}

#[tokio::test]
async fn the_hop_is_grpc_to_the_agents_own_name() {
    let (mesh, planner, mut far) = house().await;
    let mut caller = planner.begin("currency", SEND, &say("hello")).await;
    let mut asked = far.request().await;
    let authority = format!("{}.a2a", mesh.agent("currency"));
    assert_eq!(asked.sni, authority);
    let uri = asked.request.uri();
    assert_eq!((uri.authority().unwrap().as_str(), uri.scheme_str()), (&*authority, Some("https")));
    assert_eq!(uri.path(), "/lf.a2a.v1.A2AService/SendMessage");
    assert_eq!(asked.request.method(), "POST");
    assert_eq!(asked.request.headers()["content-type"], "application/grpc");
    assert_eq!(asked.request.headers()["te"], "trailers");
    assert_eq!(asked.request.headers()["a2a-version"], "1.0");
    let body = whole(asked.request.body_mut()).await;
    assert_eq!(body, frame(&crate::harness::peer::request(Operation::SendMessage, &say("hello"))));
    asked.message(&reply(Operation::SendMessage, &message("there")));
    assert_eq!(canonical(&caller.answer().await.result()), canonical(&message("there")));
}

#[tokio::test]
async fn a_reason_says_more_than_the_status_beside_it() {
    let (_mesh, planner, mut far) = house().await;
    for (status, infos, code, reason) in [
        (
            12,
            &[("a2a-protocol.org", "PUSH_NOTIFICATION_NOT_SUPPORTED")][..],
            -32003,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        ),
        (12, &[("a2a-protocol.org", "VERSION_NOT_SUPPORTED")], -32009, "VERSION_NOT_SUPPORTED"),
        (
            3,
            &[("other.example", "WHATEVER"), ("a2a-protocol.org", "TASK_NOT_FOUND")],
            -32001,
            "TASK_NOT_FOUND",
        ),
        (
            5,
            &[("a2a-protocol.org", "TASK_NOT_CANCELABLE"), ("dragoman.dev", "AGENT_UNREACHABLE")],
            -32603,
            "AGENT_UNREACHABLE",
        ),
        (5, &[("other.example", "TASK_NOT_CANCELABLE")], -32001, "TASK_NOT_FOUND"),
        (5, &[("a2a-protocol.org", "NEVER_HEARD_OF")], -32001, "TASK_NOT_FOUND"),
    ] {
        let answer = ask(&planner, &mut far, "GetTask", r#"{"id":"t"}"#, |asked| {
            let details = details(status, infos);
            asked.status(&[("grpc-status", &status.to_string()), ("grpc-status-details-bin", &details)]);
        })
        .await;
        assert_eq!((answer.status, answer.reason()), (200, reason.into()), "{infos:?}");
        assert_eq!(
            (&answer.json()["error"]["code"], &answer.json()["error"]["message"]),
            (&json!(code), &json!("details"))
        );
    }
}

#[tokio::test]
async fn a_bare_status_means_what_it_means_to_that_operation() {
    let (_mesh, planner, mut far) = house().await;
    let task = r#"{"id":"t"}"#;
    let push = r#"{"taskId":"t","id":"p"}"#;
    for (method, params, status, code, reason) in [
        ("GetTask", task, 5, -32001, "TASK_NOT_FOUND"),
        ("GetTask", task, 12, -32004, "UNSUPPORTED_OPERATION"),
        ("GetTask", task, 3, -32602, "INVALID_PARAMS"),
        ("CancelTask", task, 9, -32002, "TASK_NOT_CANCELABLE"),
        ("GetTaskPushNotificationConfig", push, 9, -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED"),
        ("GetExtendedAgentCard", "{}", 9, -32007, "EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
        ("SendMessage", &say("x"), 9, -32004, "UNSUPPORTED_OPERATION"),
        ("GetTask", task, 16, -32603, "UNAUTHENTICATED"),
        ("GetTask", task, 7, -32603, "PERMISSION_DENIED"),
        ("GetTask", task, 8, -32603, "RATE_LIMITED"),
        ("GetTask", task, 14, -32603, "AGENT_UNREACHABLE"),
        ("GetTask", task, 4, -32603, "DEADLINE_EXCEEDED"),
        ("GetTask", task, 2, -32603, "INTERNAL"),
        ("GetTask", task, 13, -32603, "INTERNAL"),
        ("GetTask", task, 99, -32603, "INTERNAL"),
    ] {
        let answer = ask(&planner, &mut far, method, params, |asked| {
            asked.status(&[("grpc-status", &status.to_string()), ("grpc-message", "caf%C3%A9")]);
        })
        .await;
        assert_eq!((answer.status, answer.reason()), (200, reason.into()), "{method} {status}");
        let error = answer.json()["error"].clone();
        assert_eq!((&error["code"], &error["message"]), (&json!(code), &json!("café")), "{method} {status}");
    }
}

#[tokio::test]
async fn a_status_behind_messages_counts_too() {
    let (_mesh, planner, mut far) = house().await;
    let answer = ask(&planner, &mut far, SEND, &say("x"), |mut asked| {
        let mut sending = asked.begin(&[]);
        sending
            .send_data(frame(&reply(Operation::SendMessage, &message("never mind"))).into(), false)
            .unwrap();
        sending.send_trailers(trailers(&[("grpc-status", "5")])).unwrap();
    })
    .await;
    assert_eq!(answer.reason(), "TASK_NOT_FOUND");
}

#[tokio::test]
async fn what_comes_beside_the_end_of_an_answer_travels_too() {
    let (_mesh, planner, mut far) = house().await;
    let answer = ask(&planner, &mut far, SEND, &say("x"), |mut asked| {
        let mut sending = asked.begin(&[("x-first", "1")]);
        sending.send_data(frame(&reply(Operation::SendMessage, &message("x"))).into(), false).unwrap();
        let extensions = ("a2a-extensions", "urn:x");
        sending
            .send_trailers(trailers(&[("grpc-status", "0"), extensions, ("x-dragoman-peer", "me")]))
            .unwrap();
    })
    .await;
    let head = &answer.head;
    assert_eq!((head.header("x-first"), head.header("a2a-extensions")), (Some("1"), Some("urn:x")));
    assert_eq!(head.header("x-dragoman-peer"), None);
}

#[tokio::test]
async fn a_hop_that_ends_without_a_status_is_broken() {
    let (_mesh, planner, mut far) = house().await;
    let event = frame(&reply(Operation::SendStreamingMessage, &message("x")));
    for kind in ["end", "reset", "goaway"] {
        for (method, reason_of) in [(SEND, "AGENT_UNREACHABLE"), (STREAM, "STREAM_BROKEN")] {
            let mut caller = planner.begin("currency", method, &say("x")).await;
            let mut asked = far.request().await;
            let mut sending = asked.begin(&[]);
            sending.send_data(event.clone().into(), kind == "end").unwrap();
            let mut seen = None;
            if method == STREAM {
                // Whatever ends the stream, what was there before must be seen first.
                let mut reading = caller.reading().await;
                reading.result().await;
                finish(kind, &mut sending, &asked);
                seen = Some(reading.last_error().await);
            } else {
                finish(kind, &mut sending, &asked);
                seen = seen.or(Some(caller.answer().await.error()));
            }
            assert_eq!(reason(&seen.unwrap()), reason_of, "{kind}");
        }
    }
}

fn finish(kind: &str, sending: &mut h2::SendStream<bytes::Bytes>, asked: &Asked) {
    match kind {
        "reset" => sending.send_reset(h2::Reason::INTERNAL_ERROR),
        "goaway" => asked.goaway.send(h2::Reason::PROTOCOL_ERROR).unwrap(),
        _ => {}
    }
}

#[tokio::test]
async fn what_is_no_grpc_is_named() {
    let (_mesh, planner, mut far) = house().await;
    for method in [SEND, STREAM] {
        let mut caller = planner.begin("currency", method, &say("x")).await;
        let mut asked = far.request().await;
        let response = http::Response::builder().header("content-type", "text/html").body(()).unwrap();
        asked.respond.send_response(response, true).unwrap();
        let error = match method {
            SEND => caller.answer().await.error(),
            _ => caller.reading().await.last_error().await,
        };
        assert_eq!(reason(&error), "AGENT_PROTOCOL_ERROR");
    }
    for (encoding, bytes) in
        [("br", frame(b"x")), ("identity", vec![9, 0, 0, 0, 1, 0]), ("gzip", vec![1, 0, 0, 0, 1, 0])]
    {
        let answer = ask(&planner, &mut far, SEND, &say("x"), |mut asked| {
            let mut sending = asked.begin(&[("grpc-encoding", encoding)]);
            sending.send_data(bytes.clone().into(), false).unwrap();
            sending.send_trailers(trailers(&[("grpc-status", "0")])).unwrap();
        })
        .await;
        assert_eq!(answer.reason(), "AGENT_PROTOCOL_ERROR", "{encoding}");
    }
    for wire in [&b"\xff\xff"[..], b"\x0a\x02\x0a\x05"] {
        let answer = ask(&planner, &mut far, SEND, &say("x"), |asked| asked.message(wire)).await;
        assert_eq!(answer.reason(), "AGENT_PROTOCOL_ERROR");
    }
    let answer =
        ask(&planner, &mut far, SEND, &say("x"), |asked| asked.status(&[("grpc-status", "0")])).await;
    assert_eq!(answer.reason(), "AGENT_PROTOCOL_ERROR");
}

#[tokio::test]
async fn compressed_messages_are_read_and_bombs_are_not() {
    let (_mesh, planner, mut far) = house_with(&[b"h2"], json!({"message": "64KiB"})).await;
    let send = |message: Vec<u8>| {
        move |mut asked: Asked| {
            assert_eq!(asked.request.headers()["grpc-accept-encoding"], "gzip");
            let mut sending = asked.begin(&[("grpc-encoding", "gzip")]);
            sending.send_data(gzip_frame(&message).into(), false).unwrap();
            // A caller that has seen enough resets the stream.
            drop(sending.send_trailers(trailers(&[("grpc-status", "0")])));
        }
    };
    let fits = reply(Operation::SendMessage, &message(&"x".repeat(60 << 10)));
    let answer = ask(&planner, &mut far, SEND, &say("x"), send(fits)).await;
    assert!(answer.result().len() > 60 << 10);
    let bomb = reply(Operation::SendMessage, &message(&"x".repeat(32 << 20)));
    let answer = ask(&planner, &mut far, SEND, &say("x"), send(bomb)).await;
    assert_eq!(answer.reason(), "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn a_message_larger_than_allowed_is_refused_by_its_head() {
    let (_mesh, planner, mut far) = house_with(&[b"h2"], json!({"message": "64KiB"})).await;
    for method in [SEND, STREAM] {
        let mut caller = planner.begin("currency", method, &say("x")).await;
        let mut asked = far.request().await;
        let mut sending = asked.begin(&[]);
        sending.send_data(vec![0, 0x7f, 0xff, 0xff, 0xff].into(), false).unwrap();
        let error = match method {
            SEND => caller.answer().await.error(),
            _ => caller.reading().await.last_error().await,
        };
        assert_eq!(reason(&error), "MESSAGE_TOO_LARGE");
    }
}

#[tokio::test]
async fn a_far_side_that_speaks_no_http2_is_unreachable() {
    let (_mesh, planner, mut far) = house_with(&[b"http/1.1"], json!({})).await;
    let answer = planner.call("currency", SEND, &say("x")).await;
    assert_eq!((answer.status, answer.reason()), (200, "AGENT_UNREACHABLE".into()));
    assert!(!far.was_asked());
}
