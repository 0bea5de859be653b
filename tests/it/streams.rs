//! Streams: events cross as they happen, silence is kept alive, and both ends learn when the other one leaves.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::harness::agent::{message, status_update};
use crate::harness::client::{reason, say};
use crate::harness::eventually;
use crate::harness::json::canonical;
use crate::harness::mesh::{Pair, Sidecar};

const STREAM: &str = "SendStreamingMessage";
/// Many callers are written on httpx, which gives up after so long without a byte.
const PATIENCE_OF_HTTPX: Duration = Duration::from_secs(5);

#[tokio::test]
async fn each_event_arrives_before_the_next_one_is_made() {
    let mut pair = Pair::start().await;
    let (caller, request) = pair.begin(STREAM, &say("count")).await;
    assert_eq!(request.head.header("accept"), Some("text/event-stream"));
    let mut stream = request.stream().await;
    let mut caller = caller.reading().await;
    assert_eq!(caller.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(caller.head.header("cache-control"), Some("no-cache"));
    assert_eq!(caller.head.header("x-accel-buffering"), Some("no"));
    for n in 0..5 {
        stream.event(&status_update(&n.to_string())).await;
        assert_eq!(canonical(&caller.result().await), canonical(&status_update(&n.to_string())));
    }
    stream.end().await;
    assert_eq!(caller.event().await, None);
}

#[tokio::test]
async fn every_event_of_a_stream_has_the_callers_id() {
    let mut pair = Pair::start().await;
    let mut caller = crate::harness::client::Client::connect(pair.planner.outbound).await;
    let params = say("x");
    let body = format!(r#"{{"jsonrpc":"2.0","id":"a\u0062","method":"{STREAM}","params":{params}}}"#);
    caller.request("POST /agents/currency/", crate::harness::client::JSON, &body).await;
    let mut stream = pair.agent.request().await.stream().await;
    stream.event(&status_update("x")).await;
    stream.error(r#"{"code":7,"message":"seven"}"#).await;
    let mut caller = caller.reading().await;
    for _ in 0..2 {
        let event = caller.event().await.unwrap();
        assert!(event.starts_with(r#"{"jsonrpc":"2.0","id":"a\u0062","#), "{event}");
    }
    assert_eq!(caller.event().await, None);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_before_and_after_the_agent_answers() {
    let mut pair = Pair::start().await;
    // Two calls at once, so that the wait is shared: of one the agent says nothing, of the other it has begun.
    let (unanswered, waiting) = pair.begin(STREAM, &say("a")).await;
    let (begun, request) = pair.begin(STREAM, &say("b")).await;
    let mut stream = request.stream().await;
    stream.event(&status_update("b")).await;
    let mut begun = begun.reading().await;
    begun.result().await;
    let first_signs = async { tokio::join!(unanswered.reading(), begun.block()) };
    let (mut unanswered, comment) = timeout(PATIENCE_OF_HTTPX, first_signs).await.unwrap();
    assert_eq!(comment.as_deref(), Some(": keep-alive"));
    assert_eq!((unanswered.status, unanswered.head.header("content-type")), (200, Some("text/event-stream")));
    // What the agent says late arrives as ever, in the stream that was begun for it.
    waiting.error(r#"{"code":-32001,"message":"late","data":[]}"#).await;
    assert_eq!(canonical(&unanswered.last_error().await), r#"{"code":-32001,"data":[],"message":"late"}"#);
    stream.event(&status_update("c")).await;
    assert_eq!(canonical(&begun.result().await), canonical(&status_update("c")));
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_call_at_the_agent() {
    let mut pair = Pair::start().await;
    let (caller, request) = pair.begin("SendMessage", &say("x")).await;
    drop(caller);
    request.left().await;

    let (caller, request) = pair.begin(STREAM, &say("x")).await;
    drop(caller);
    request.left().await;

    let (caller, request) = pair.begin(STREAM, &say("x")).await;
    let mut stream = request.stream().await;
    stream.event(&status_update("x")).await;
    let mut caller = caller.reading().await;
    caller.result().await;
    drop(caller);
    stream.left().await;

    for (sidecar, direction) in [(&pair.planner, "outbound"), (&pair.currency, "inbound")] {
        idle(sidecar).await;
        let labels = [&*format!("direction=\"{direction}\""), "code=\"CANCELED\""];
        assert_eq!(sidecar.metrics().await.sum("dragoman_calls_total", &labels), 3.0, "{direction}");
    }
}

/// Waits until no call is under way.
async fn idle(sidecar: &Sidecar) {
    eventually("the end of all calls", || async {
        let metrics = sidecar.metrics().await;
        let busy = metrics.sum("dragoman_calls_in_flight", &[]) + metrics.sum("dragoman_streams_open", &[]);
        (busy == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_dies_in_a_stream_is_told_as_an_event() {
    let mut pair = Pair::start().await;
    for events in [0, 2] {
        let (caller, request) = pair.begin(STREAM, &say("x")).await;
        let mut stream = request.stream().await;
        let mut caller = caller.reading().await;
        for _ in 0..events {
            stream.event(&status_update("x")).await;
            caller.result().await;
        }
        stream.break_off();
        assert_eq!(reason(&caller.last_error().await), "STREAM_BROKEN");
    }
    let metrics = pair.planner.metrics().await;
    assert_eq!(metrics.sum("dragoman_faults_total", &["reason=\"STREAM_BROKEN\""]), 2.0);
}

#[tokio::test]
async fn a_sidecar_that_dies_in_a_stream_is_told_as_an_event() {
    let mut pair = Pair::start().await;
    let (caller, request) = pair.begin(STREAM, &say("x")).await;
    let mut stream = request.stream().await;
    stream.event(&status_update("x")).await;
    let mut caller = caller.reading().await;
    caller.result().await;
    drop(pair.currency);
    assert_eq!(reason(&caller.last_error().await), "STREAM_BROKEN");
    stream.left().await;
}

#[tokio::test]
async fn a_stream_without_any_event_is_told_as_an_event() {
    let mut pair = Pair::start().await;
    let (caller, request) = pair.begin(STREAM, &say("x")).await;
    request.stream().await.end().await;
    assert_eq!(reason(&caller.reading().await.last_error().await), "STREAM_BROKEN");
}

#[tokio::test]
async fn a_plain_answer_to_a_stream_becomes_its_only_event() {
    let mut pair = Pair::start().await;
    let (caller, request) = pair.begin(STREAM, &say("x")).await;
    request.result(&message("whole")).await;
    let mut caller = caller.reading().await;
    assert_eq!(canonical(&caller.result().await), canonical(&message("whole")));
    assert_eq!(caller.event().await, None);

    let (caller, request) = pair.begin("SubscribeToTask", r#"{"id":"t"}"#).await;
    request.error(r#"{"code":-32004,"message":"over","data":{"n":1.0}}"#).await;
    let error = caller.reading().await.last_error().await;
    assert_eq!(canonical(&error), r#"{"code":-32004,"data":{"n":1.0},"message":"over"}"#);
}

#[tokio::test]
async fn an_error_in_the_stream_arrives_as_the_agent_sent_it_and_ends_the_stream() {
    let mut pair = Pair::start().await;
    let (caller, request) = pair.begin(STREAM, &say("x")).await;
    let mut stream = request.stream().await;
    stream.event(&status_update("x")).await;
    stream.error(r#"{"code":-32050,"message":"tired","data":["a",null]}"#).await;
    let mut caller = caller.reading().await;
    caller.result().await;
    assert_eq!(
        canonical(&caller.last_error().await),
        r#"{"code":-32050,"data":["a",null],"message":"tired"}"#
    );
    // Nothing can follow an error, so nobody waits for it.
    stream.left().await;
}

/// Every way in which servers write the same two events, `A` and `B`.
#[tokio::test]
async fn every_servers_way_to_write_events_is_read() {
    let mut pair = Pair::start().await;
    for text in [
        "data: A\n\ndata: B\n\n",
        "data: A\r\n\r\ndata: B\r\n\r\n",
        "data: A\r\rdata: B\r\r",
        "data:A\n\ndata:B\n\n",
        "\u{feff}: SSE stream started\n\ndata: A\nid: 0\n\nid: 1\ndata: B\n\n",
        ": ping - 2026-01-02 03:04:05\r\n\r\nevent: message\r\ndata: A\r\n\r\nretry: 10\r\ndata: B\r\n\r\n",
        "data\n\ndata: A\n\n\n\ndata: B",
        "data: A\n\ndata: B\n",
        "event: error\ndata: A\n\ndata: B\n\n",
    ] {
        for piece in [1, usize::MAX] {
            let (caller, request) = pair.begin(STREAM, &say("x")).await;
            let mut stream = request.stream_with("X-Odd: 1\r\n").await;
            // An event may span lines: JSON may be broken wherever white space may stand.
            let broken = stream.envelope(&format!("\"result\":\n{}", status_update("a")));
            let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
            let first = broken.replace('\n', &format!("{line_end}data: "));
            let second = stream.envelope(&format!("\"result\":{}", status_update("b")));
            let text = text.replace('A', &first).replace('B', &second);
            for piece in text.as_bytes().chunks(piece.min(text.len())) {
                stream.raw(piece).await.unwrap();
            }
            stream.end().await;
            let mut caller = caller.reading().await;
            for expected in ["a", "b"] {
                assert_eq!(
                    canonical(&caller.result().await),
                    canonical(&status_update(expected)),
                    "{text:?}"
                );
            }
            assert_eq!(caller.event().await, None, "{text:?}");
        }
    }
}

#[tokio::test]
async fn an_event_that_is_no_answer_ends_the_stream_with_the_place() {
    let mut pair = Pair::start().await;
    for (data, place) in [
        ("what?", "not JSON"),
        (r#"{"jsonrpc":"2.0","id":1}"#, "neither result nor error"),
        (r#"{"result":{"task":{"id":7}}}"#, "result.task.id"),
    ] {
        let (caller, request) = pair.begin(STREAM, &say("x")).await;
        let mut stream = request.stream().await;
        stream.raw(format!("data: {data}\n\n").as_bytes()).await.unwrap();
        let error = caller.reading().await.last_error().await;
        assert_eq!(reason(&error), "AGENT_PROTOCOL_ERROR");
        assert!(error.contains(place), "{error}");
        stream.left().await;
    }
}

#[tokio::test]
async fn an_event_larger_than_a_message_may_be_ends_the_stream() {
    let limit = json!({"limits": {"message": "64KiB"}});
    let mut pair = Pair::with(limit.clone(), limit).await;
    let (caller, request) = pair.begin(STREAM, &say("x")).await;
    let mut stream = request.stream().await;
    stream.event(&status_update("x")).await;
    // Without its end, so that the size is all there is to see.
    stream.raw(format!("data: {}", "x".repeat(70 << 10)).as_bytes()).await.unwrap();
    let mut caller = caller.reading().await;
    caller.result().await;
    assert_eq!(reason(&caller.last_error().await), "MESSAGE_TOO_LARGE");
    stream.left().await;
}
