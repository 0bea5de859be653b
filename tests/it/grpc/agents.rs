//! Agents that speak gRPC themselves: their bytes pass through as they are, and what they say in whole calls and streams
//! arrives at callers of either kind.

use dragoman::a2a::Operation;
use serde_json::json;

use super::{CURRENCY, House, path, unknown};
use crate::harness::agent::{Agent, message, status_update};
use crate::harness::client::{reason, say};
use crate::harness::json::canonical;
use crate::harness::mesh::{Mesh, beside, known};
use crate::harness::peer::{Asked, FarSide, Peer, answer, frame, json, reply, request, trailers, whole};
use crate::harness::soon;
use crate::operations::{single, without_interfaces};

const SEND: &str = "SendMessage";
const STREAM: &str = "SendStreamingMessage";

/// The one message of a request.
async fn message_of(asked: &mut Asked) -> Vec<u8> {
    let body = whole(asked.request.body_mut()).await;
    let (prefix, message) = body.split_at(5);
    assert_eq!(prefix, &frame(message)[..5]);
    message.to_vec()
}

#[tokio::test]
async fn every_operation_crosses_from_json_to_grpc() {
    let mut house = House::start().await;
    for (method, params, result) in single() {
        let operation = Operation::rpc(method).unwrap();
        let mut caller = house.planner.begin("currency", method, params).await;
        let mut asked = house.agent.request().await;
        assert_eq!(
            (asked.request.uri().path(), asked.request.method().as_str()),
            (&*path(operation), "POST")
        );
        assert_eq!(asked.request.uri().authority().unwrap().as_str(), house.agent.address.to_string());
        assert_eq!(message_of(&mut asked).await, request(operation, params), "{method}");
        asked.message(&reply(operation, &result));
        let answer = caller.answer().await;
        if method == "GetExtendedAgentCard" {
            assert_eq!(without_interfaces(&answer.result()), without_interfaces(&result));
        } else {
            assert_eq!(canonical(&answer.result()), canonical(&result), "{method}");
        }
    }
}

#[tokio::test]
async fn every_operation_crosses_from_grpc_to_grpc_byte_for_byte() {
    let mut house = House::start().await;
    let caller = house.caller().await;
    for (method, params, result) in single() {
        let operation = Operation::rpc(method).unwrap();
        let (sent, answered) = (unknown(request(operation, params)), unknown(reply(operation, &result)));
        let body = frame(&sent);
        let path = path(operation);
        let (answer, ()) = tokio::join!(caller.send(&path, &[CURRENCY], &body), async {
            let mut asked = house.agent.request().await;
            assert_eq!(message_of(&mut asked).await, sent, "{method}");
            asked.message(&answered);
        });
        assert_eq!(answer.status(), 0, "{answer:?}");
        if method == "GetExtendedAgentCard" {
            assert!(answer.messages[0].windows(12).any(|window| window == b"\xffof tomorrow"));
        } else {
            assert_eq!(answer.messages, [answered], "{method}");
        }
    }
}

#[tokio::test]
async fn a_stream_passes_byte_for_byte_with_all_that_stands_beside_it() {
    let mut house = House::start().await;
    let caller = house.caller().await;
    for operation in [Operation::SendStreamingMessage, Operation::SubscribeToTask] {
        let params =
            if operation == Operation::SubscribeToTask { r#"{"id":"t"}"#.to_owned() } else { say("x") };
        let headers = [
            CURRENCY,
            ("a2a-extensions", "urn:a"),
            ("x-key", "k"),
            ("x-secret-bin", "AA"),
            ("a2a-version", "1.1"),
        ];
        let response = caller.begin(operation, &params, &headers).await;
        let mut asked = house.agent.request().await;
        let seen = asked.request.headers();
        let header = |name: &str| seen.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("a2a-extensions"), header("x-key")), (Some("urn:a"), Some("k")));
        assert_eq!((header("x-secret-bin"), header("dragoman-agent")), (None, None));
        assert_eq!((header("te"), header("content-type")), (Some("trailers"), Some("application/grpc")));
        assert_eq!(header("a2a-version"), Some("1.1"));
        let mut sending = asked.begin(&[("a2a-extensions", "urn:a"), ("x-head-bin", "AA")]);
        let mut response = response.await.unwrap();
        assert_eq!(response.headers()["a2a-extensions"], "urn:a");
        assert!(!response.headers().contains_key("x-head-bin"));
        for text in ["one", "two"] {
            let event = unknown(reply(operation, &status_update(text)));
            sending.send_data(frame(&event).into(), false).unwrap();
            assert_eq!(soon("an event", response.body_mut().data()).await.unwrap().unwrap(), frame(&event));
        }
        let last = [("grpc-status", "0"), ("a2a-extensions", "urn:b"), ("x-last-bin", "AA"), ("x-last", "1")];
        sending.send_trailers(trailers(&last)).unwrap();
        let answer = answer(response).await;
        assert_eq!((answer.status(), answer.messages.len()), (0, 0));
        assert_eq!(answer.trailers["a2a-extensions"], "urn:b");
        assert_eq!((answer.header("x-last"), answer.header("x-last-bin")), (Some("1"), None));
    }
}

#[tokio::test]
async fn extensions_that_come_last_arrive_at_a_json_caller_too() {
    let mut house = House::start().await;
    let mut caller = house.planner.begin("currency", SEND, &say("x")).await;
    let mut asked = house.agent.request().await;
    let mut sending = asked.begin(&[("x-head", "1")]);
    sending.send_data(frame(&reply(Operation::SendMessage, &message("x"))).into(), false).unwrap();
    let last =
        [("grpc-status", "0"), ("a2a-extensions", "urn:x"), ("x-dragoman-peer", "me"), ("x-bin", "AA")];
    sending.send_trailers(trailers(&last)).unwrap();
    let head = caller.answer().await.head;
    assert_eq!((head.header("x-head"), head.header("a2a-extensions")), (Some("1"), Some("urn:x")));
    assert_eq!((head.header("x-dragoman-peer"), head.header("x-bin")), (None, None));
}

#[tokio::test]
async fn a_stream_of_a_grpc_agent_arrives_event_by_event_at_a_json_caller() {
    let mut house = House::start().await;
    let caller = house.planner.begin("currency", STREAM, &say("x")).await;
    let mut asked = house.agent.request().await;
    let mut sending = asked.begin(&[]);
    let mut caller = caller.reading().await;
    for text in ["a", "b"] {
        let event = frame(&reply(Operation::SendStreamingMessage, &status_update(text)));
        sending.send_data(event.into(), false).unwrap();
        assert_eq!(canonical(&caller.result().await), canonical(&status_update(text)));
    }
    sending.send_trailers(trailers(&[("grpc-status", "0")])).unwrap();
    assert_eq!(caller.event().await, None);

    let caller = house.planner.begin("currency", STREAM, &say("x")).await;
    let mut asked = house.agent.request().await;
    let mut sending = asked.begin(&[]);
    let event = frame(&reply(Operation::SendStreamingMessage, &status_update("a")));
    sending.send_data(event.into(), false).unwrap();
    let mut caller = caller.reading().await;
    caller.result().await;
    sending.send_trailers(trailers(&[("grpc-status", "5"), ("grpc-message", "gone")])).unwrap();
    assert_eq!(reason(&caller.last_error().await), "TASK_NOT_FOUND");
}

#[tokio::test]
async fn a_caller_who_leaves_resets_the_stream_at_the_agent() {
    let mut house = House::start().await;
    for method in [SEND, STREAM] {
        let caller = house.planner.begin("currency", method, &say("x")).await;
        let mut asked = house.agent.request().await;
        drop(caller);
        let ended = soon("a reset", futures_util::future::poll_fn(|cx| asked.respond.poll_reset(cx))).await;
        assert_eq!(ended.unwrap(), h2::Reason::CANCEL, "{method}");
    }
    let caller = house.caller().await;
    let response = caller.begin(Operation::SendStreamingMessage, &say("x"), &[CURRENCY]).await;
    let mut asked = house.agent.request().await;
    let mut sending = asked.begin(&[]);
    drop(response.await.unwrap());
    let ended = soon("a reset", futures_util::future::poll_fn(|cx| sending.poll_reset(cx))).await;
    assert_eq!(ended.unwrap(), h2::Reason::CANCEL);
}

#[tokio::test]
async fn the_callers_deadline_is_the_agents_a_little_less() {
    let mut house = House::start().await;
    let caller = house.caller().await;
    let params = say("x");
    let headers = [CURRENCY, ("grpc-timeout", "60S")];
    let (answer, ()) = tokio::join!(caller.call(Operation::SendMessage, &params, &headers), async {
        let asked = house.agent.request().await;
        let left = asked.request.headers()["grpc-timeout"].to_str().unwrap().to_owned();
        let (digits, unit) = left.split_at(left.len() - 1);
        assert_eq!(unit, "u", "{left}");
        assert!((30_000_000..60_000_000).contains(&digits.parse::<u64>().unwrap()), "{left}");
        asked.status(&[("grpc-status", "4"), ("grpc-message", "too slow")]);
    });
    assert_eq!((answer.status(), answer.header("grpc-message")), (4, Some("too%20slow")));

    let headers = [CURRENCY, ("grpc-timeout", "200m")];
    let (answer, ended) = tokio::join!(caller.call(Operation::SendMessage, &params, &headers), async {
        let mut asked = house.agent.request().await;
        soon("a reset", futures_util::future::poll_fn(|cx| asked.respond.poll_reset(cx))).await
    });
    assert_eq!((answer.status(), ended.unwrap()), (4, h2::Reason::CANCEL));
}

#[tokio::test]
async fn an_agent_that_closes_its_connection_is_called_on_another_one() {
    let mut house = House::start().await;
    let mut connections = Vec::new();
    for round in 0..3 {
        let mut caller = house.planner.begin("currency", SEND, &say("x")).await;
        let asked = house.agent.request().await;
        connections.push(asked.connection);
        let goaway = asked.goaway.clone();
        asked.message(&reply(Operation::SendMessage, &message("x")));
        assert_eq!(caller.answer().await.status, 200, "{round}");
        // Whether the sidecar has heard it or not, the next call is not lost.
        goaway.send(h2::Reason::NO_ERROR).unwrap();
    }
    connections.dedup();
    assert_eq!(connections.len(), 3);
}

#[tokio::test]
async fn a_call_that_the_agent_has_surely_not_looked_at_is_sent_once_more() {
    let mut house = House::start().await;
    let mut caller = house.planner.begin("currency", SEND, &say("x")).await;
    house.agent.request().await.respond.send_reset(h2::Reason::REFUSED_STREAM);
    house.agent.request().await.message(&reply(Operation::SendMessage, &message("second")));
    assert!(caller.answer().await.result().contains("second"));

    let mut caller = house.planner.begin("currency", SEND, &say("x")).await;
    for _ in 0..2 {
        house.agent.request().await.respond.send_reset(h2::Reason::REFUSED_STREAM);
    }
    assert_eq!(caller.answer().await.reason(), "AGENT_UNREACHABLE");
    assert!(!house.agent.was_asked());
}

#[tokio::test]
async fn an_agent_that_is_gone_was_not_asked_and_is_found_again_when_it_is_back() {
    let House { mesh, planner, agent, .. } = &mut House::start().await;
    let address = agent.address;
    *agent = FarSide::plain().await;
    let answer = planner.call("currency", SEND, &say("x")).await;
    assert_eq!((answer.status, answer.reason()), (200, "AGENT_UNREACHABLE".into()));
    // It was surely not asked, so that any other replica may be.
    let mut other = Agent::start().await;
    let second = mesh.sidecar("currency", beside("currency", &other.url())).await;
    let gone =
        json!({"agents": [{"name": "currency", "url": format!("http://{address}"), "binding": "GRPC"}]});
    let first = mesh.sidecar("currency", gone).await;
    let caller = mesh.sidecar("caller", known("currency", &[first.inbound(), second.inbound()])).await;
    for _ in 0..5 {
        let mut caller = caller.begin("currency", SEND, &say("x")).await;
        other.request().await.result(&message("x")).await;
        assert!(caller.answer().await.json().get("result").is_some());
    }
    let mut back = FarSide::plain_at(address).await;
    let mut caller = planner.begin("currency", SEND, &say("x")).await;
    back.request().await.message(&reply(Operation::SendMessage, &message("back")));
    assert!(caller.answer().await.result().contains("back"));
}

#[tokio::test]
async fn an_agent_that_breaks_off_is_not_asked_again() {
    let mut house = House::start().await;
    for method in [SEND, STREAM] {
        let mut caller = house.planner.begin("currency", method, &say("x")).await;
        let mut asked = house.agent.request().await;
        asked.respond.send_reset(h2::Reason::INTERNAL_ERROR);
        let error = match method {
            SEND => caller.answer().await.error(),
            _ => caller.reading().await.last_error().await,
        };
        assert_eq!(reason(&error), "AGENT_UNREACHABLE");
        assert!(!house.agent.was_asked());
    }
    let mut caller = house.planner.begin("currency", SEND, &say("x")).await;
    let mut asked = house.agent.request().await;
    let mut sending = asked.begin(&[]);
    sending.send_data(frame(&reply(Operation::SendMessage, &message("x"))).into(), true).unwrap();
    assert_eq!(caller.answer().await.reason(), "AGENT_UNREACHABLE");
}

#[tokio::test]
async fn its_card_may_be_on_another_port_and_says_what_else_there_is() {
    let cards = Agent::start().await;
    let mut house = House::with(json!({"card": cards.url(), "binding": "auto"})).await;
    let interface = format!(
        r#"{{"url":"0.0.0.0:{}","protocolBinding":"GRPC","protocolVersion":"1.0.1","tenant":"acme"}}"#,
        house.agent.address.port()
    );
    cards.show(format!(r#"{{"name":"C","supportedInterfaces":[{interface}]}}"#));
    let mut caller = house.planner.begin("currency", "GetTask", r#"{"id":"t"}"#).await;
    let mut asked = house.agent.request().await;
    assert_eq!(asked.request.headers()["a2a-version"], "1.0.1");
    let seen = codec_json(Operation::GetTask, &message_of(&mut asked).await);
    assert_eq!(canonical(&seen), r#"{"id":"t","tenant":"acme"}"#);
    asked.message(&reply(Operation::GetTask, r#"{"id":"t","status":{}}"#));
    assert_eq!(caller.answer().await.status, 200);
}

/// A request in JSON.
fn codec_json(operation: Operation, wire: &[u8]) -> String {
    let mut text = Vec::new();
    dragoman::codec::write(dragoman::codec::schema::request(operation), wire, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn many_calls_share_one_connection_and_none_waits_for_another() {
    let mut house = House::start().await;
    let mut held = Vec::new();
    for _ in 0..150 {
        let caller = house.planner.begin("currency", STREAM, &say("x")).await;
        held.push((caller, house.agent.request().await));
    }
    let mut caller = house.planner.begin("currency", SEND, &say("x")).await;
    let asked = house.agent.request().await;
    assert!(held.iter().all(|(_, other)| other.connection == asked.connection));
    asked.message(&reply(Operation::SendMessage, &message("x")));
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn a_foreign_peer_reaches_a_grpc_agent_as_it_is() {
    let mesh = Mesh::new();
    let mut agent = FarSide::plain().await;
    let config = json!({"name": "currency", "url": format!("http://{}", agent.address), "binding": "GRPC"});
    let currency = mesh.sidecar("currency", json!({"agents": [config]})).await;
    let peer = Peer::connect(&mesh, "planner", currency.inbound(), "currency").await;
    let sent = unknown(request(Operation::GetTask, r#"{"id":"t"}"#));
    let answered = unknown(reply(Operation::GetTask, r#"{"id":"t","status":{}}"#));
    let body = frame(&sent);
    let path = path(Operation::GetTask);
    let (answer, ()) = tokio::join!(peer.send(&path, &[], &body), async {
        let mut asked = agent.request().await;
        assert_eq!(message_of(&mut asked).await, sent);
        asked.message(&answered);
    });
    assert_eq!(answer.messages, [answered]);
}

#[tokio::test]
async fn large_messages_pass_both_ways_through_windows_smaller_than_they_are() {
    let mut house = House::start().await;
    let caller = house.caller().await;
    let text = "x".repeat(3 << 20);
    let sent = frame(&request(Operation::SendMessage, &say(&text)));
    let answered = reply(Operation::SendMessage, &message(&text));
    let path = path(Operation::SendMessage);
    let (answer, ()) = tokio::join!(caller.send(&path, &[CURRENCY], &sent), async {
        let mut asked = house.agent.request().await;
        assert_eq!(whole(asked.request.body_mut()).await, sent);
        asked.message(&answered);
    });
    assert!(answer.messages == [answered]);
    assert_eq!(json(Operation::SendMessage, &answer.messages[0]).len(), message(&text).len());
}
