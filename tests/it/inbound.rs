//! The mesh door: what peers may ask there, sidecars or not, and what is turned away.

use dragoman::a2a::Operation;
use prost::Message as _;
use serde_json::json;
use tonic_types::pb;

use crate::harness::agent::{Agent, message};
use crate::harness::client::{envelope, say};
use crate::harness::json::{canonical, value};
use crate::harness::logs;
use crate::harness::mesh::{Mesh, Pair, beside, known};
use crate::harness::peer::{Answer, Peer, frame, gzip_frame, request};

const SEND: &str = "/lf.a2a.v1.A2AService/SendMessage";

/// The first `ErrorInfo` of an answer: domain, reason and metadata.
fn info(answer: &Answer) -> pb::ErrorInfo {
    let details = answer.header("grpc-status-details-bin").unwrap();
    let details = base64_simd::STANDARD_NO_PAD.decode_to_vec(details.trim_end_matches('=')).unwrap();
    let status = pb::Status::decode(&*details).unwrap();
    assert_eq!(status.code, answer.status());
    pb::ErrorInfo::decode(&*status.details[0].value).unwrap()
}

#[tokio::test]
async fn an_address_that_is_another_agents_now_is_told_and_left_for_another_one() {
    let mesh = Mesh::new();
    let (mut hotel, currency) = (Agent::start().await, Agent::start().await);
    let reused = mesh.sidecar("hotel", beside("hotel", &hotel.url())).await;
    let right = mesh.sidecar("currency", beside("currency", &currency.url())).await;

    let peer = Peer::connect(&mesh, "planner", reused.inbound(), "currency").await;
    let answer = peer.call(Operation::SendMessage, &say("x"), &[]).await;
    let info = info(&answer);
    assert_eq!((answer.status(), &*info.reason, &*info.domain), (14, "AGENT_NOT_FOUND", "dragoman.dev"));
    assert_eq!(info.metadata["neverProcessed"], "true");

    // Only the wrong one is known: it fails closed, although both identities are good.
    let lost = mesh.sidecar("lost", known("currency", &[reused.inbound()])).await;
    assert_eq!(lost.call("currency", "SendMessage", &say("x")).await.reason(), "AGENT_NOT_FOUND");

    let _answering = currency.always(|_| message("right"));
    let planner = mesh.sidecar("planner", known("currency", &[reused.inbound(), right.inbound()])).await;
    for _ in 0..10 {
        assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("right"));
    }
    assert!(!hotel.was_asked());
    let (name, address) = (mesh.agent("currency"), reused.inbound().to_string());
    logs::line("the endpoint set aside", |line| line["agent"] == *name && line["address"] == *address).await;
    let metrics = planner.metrics().await;
    assert_eq!(metrics.sum("dragoman_calls_total", &["code=\"OK\""]), 10.0);
    assert_eq!(metrics.sum("dragoman_faults_total", &[]), 0.0);
}

#[tokio::test]
async fn only_the_own_agents_names_are_served_and_any_other_authority_means_the_only_agent() {
    let mut pair = Pair::start().await;
    let mesh = &pair.mesh;
    let own = mesh.agent("currency");
    for (authority, served) in [
        (format!("{own}.a2a"), true),
        (format!("{}.A2A:2643", own.to_uppercase()), true),
        ("currency.a2a".to_owned(), true),
        (format!("currency.{}.svc.cluster.local:2643", mesh.namespace), true),
        (pair.currency.inbound().to_string(), true),
        (format!("{}.a2a", mesh.agent("hotel")), false),
        ("currency.elsewhere.a2a".to_owned(), false),
        (format!("currency.{}.west.a2a", mesh.namespace), false),
        ("a_b.a2a".to_owned(), false),
    ] {
        let peer = Peer::connect(mesh, "planner", pair.currency.inbound(), "x").await.at(&authority);
        let asking = peer.call(Operation::GetTask, r#"{"id":"t"}"#, &[]);
        if served {
            let (answer, ()) = tokio::join!(asking, async {
                pair.agent.request().await.result(r#"{"id":"t","status":{}}"#).await;
            });
            assert_eq!(answer.status(), 0, "{authority}");
        } else {
            let answer = asking.await;
            assert_eq!(
                (answer.status(), info(&answer).reason),
                (14, "AGENT_NOT_FOUND".into()),
                "{authority}"
            );
            assert!(!pair.agent.was_asked());
        }
    }
}

#[tokio::test]
async fn nobody_is_sent_on_from_here() {
    let mut pair = Pair::start().await;
    let peer = Peer::connect(&pair.mesh, "planner", pair.currency.inbound(), "currency").await;
    let answer = peer.call(Operation::GetTask, r#"{"id":"t"}"#, &[("dragoman-agent", "currency")]).await;
    assert_eq!((answer.status(), info(&answer).reason), (3, "INVALID_PARAMS".into()));
    let json = [("content-type", "application/json"), ("dragoman-agent", "hotel")];
    assert_eq!(peer.send("/", &json, b"{}").await.http, 400);
    for path in ["/agents/currency", "/agents", "/x"] {
        assert_eq!(peer.send(path, &[("content-type", "application/json")], b"{}").await.http, 404, "{path}");
    }
    assert!(!pair.agent.was_asked());
}

#[tokio::test]
async fn a_peer_without_a_sidecar_may_speak_json_rpc() {
    let mut pair = Pair::start().await;
    let peer = Peer::connect(&pair.mesh, "planner", pair.currency.inbound(), "currency").await;
    let body = envelope("SendMessage", &say("plain"));
    let (answer, ()) =
        tokio::join!(peer.send("/", &[("content-type", "application/json")], body.as_bytes()), async {
            let request = pair.agent.request().await;
            assert_eq!(canonical(&request.params()), canonical(&say("plain")));
            request.result(&message("too")).await;
        });
    assert_eq!(answer.http, 200);
    let answer = value(std::str::from_utf8(&answer.messages[0]).unwrap());
    assert_eq!(answer["result"], value(&message("too")));
}

#[tokio::test]
async fn what_is_no_request_of_a2a_is_refused() {
    let limit = json!({"limits": {"message": "64KiB"}});
    let mut pair = Pair::with(json!({}), limit).await;
    let peer = Peer::connect(&pair.mesh, "planner", pair.currency.inbound(), "currency").await;
    let one = frame(&request(Operation::SendMessage, &say("x")));
    let bomb = gzip_frame(&request(Operation::SendMessage, &say(&"x".repeat(32 << 20))));
    let gzip = &[("grpc-encoding", "gzip")][..];
    for (path, headers, body, status, reason) in [
        ("/lf.a2a.v1.A2AService/Burn", &[][..], &one[..], 12, "METHOD_NOT_FOUND"),
        ("/a2a.v1.A2AService/SendMessage", &[], &one, 12, "METHOD_NOT_FOUND"),
        (SEND, &[("grpc-encoding", "br")], &one, 12, "METHOD_NOT_FOUND"),
        (SEND, &[], b"", 3, "INVALID_REQUEST"),
        (SEND, &[], &[&one[..], &one].concat(), 3, "INVALID_REQUEST"),
        (SEND, &[], &one[..9], 3, "INVALID_REQUEST"),
        (SEND, &[], &[9, 0, 0, 0, 0], 3, "INVALID_REQUEST"),
        (SEND, gzip, &bomb, 8, "MESSAGE_TOO_LARGE"),
        (SEND, gzip, &frame(&vec![0; 65 << 10]), 8, "MESSAGE_TOO_LARGE"),
        (SEND, &[], &frame(b"\xff\xff\xff"), 3, "INVALID_PARAMS"),
        // A member that the sidecar carries may not be one that the schema knows: it would pass by policy.
        (SEND, &[], &frame(&smuggled()), 3, "INVALID_PARAMS"),
    ] {
        let answer = peer.send(path, headers, body).await;
        assert_eq!((answer.http, answer.status()), (200, status), "{reason} {answer:?}");
        assert_eq!(info(&answer).reason, reason);
    }
    assert!(!pair.agent.was_asked());
    let gzipped = gzip_frame(&request(Operation::SendMessage, &say("small")));
    let (answer, ()) = tokio::join!(peer.send(SEND, gzip, &gzipped), async {
        let request = pair.agent.request().await;
        assert_eq!(canonical(&request.params()), canonical(&say("small")));
        request.result(&message("x")).await;
    });
    assert_eq!(canonical(&answer.json(Operation::SendMessage)), canonical(&message("x")));
}

/// A request that carries the member `tenant` beside the fields.
fn smuggled() -> Vec<u8> {
    let carried =
        prost_types::Struct { fields: [("tenant".to_owned(), prost_types::Value { kind: None })].into() };
    let mut wire = request(Operation::SendMessage, &say("x"));
    let carried = carried.encode_to_vec();
    prost::encoding::encode_key(
        dragoman::codec::CARRIED,
        prost::encoding::WireType::LengthDelimited,
        &mut wire,
    );
    prost::encoding::encode_varint(carried.len() as u64, &mut wire);
    wire.extend(carried);
    wire
}

#[tokio::test]
async fn a_deadline_of_the_caller_ends_the_call_at_the_agent() {
    let mut pair = Pair::start().await;
    let peer = Peer::connect(&pair.mesh, "planner", pair.currency.inbound(), "currency").await;
    let params = say("x");
    let asking = peer.call(Operation::SendMessage, &params, &[("grpc-timeout", "50m")]);
    let (answer, ()) = tokio::join!(asking, async { pair.agent.request().await.left().await });
    assert_eq!((answer.status(), info(&answer).reason), (4, "DEADLINE_EXCEEDED".into()));
}

#[tokio::test]
async fn a_foreign_client_gets_the_status_and_no_more_details_than_it_can_take() {
    let mut pair = Pair::start().await;
    let peer = Peer::connect(&pair.mesh, "planner", pair.currency.inbound(), "currency").await;
    for (size, whole) in [(4 << 10, true), (16 << 10, false)] {
        let error = format!(r#"{{"code":-32001,"message":"no task","data":{:?}}}"#, "x".repeat(size));
        let (answer, ()) = tokio::join!(peer.call(Operation::GetTask, r#"{"id":"t"}"#, &[]), async {
            pair.agent.request().await.error(&error).await;
        });
        assert_eq!((answer.status(), answer.header("grpc-message")), (5, Some("no%20task")));
        assert_eq!(
            (info(&answer).domain, info(&answer).reason),
            ("a2a-protocol.org".into(), "TASK_NOT_FOUND".into())
        );
        let length = answer.header("grpc-status-details-bin").unwrap().len();
        assert_eq!(length > size, whole, "{length}");
        assert!(length < 12 << 10);
    }
}
