//! Many streams on one connection of the mesh: nobody holds up anybody else, and nothing piles up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dragoman::a2a::Operation;
use h2::RecvStream;
use http::Request;
use serde_json::json;
use tokio::net::TcpStream;

use crate::harness::agent::{message, status_update};
use crate::harness::client::{envelope, say};
use crate::harness::mesh::{Mesh, Pair, known};
use crate::harness::peer::{FarSide, reply};
use crate::harness::soon;

const STREAM: &str = "SendStreamingMessage";
/// More than all buffers of one way hold: those of four sockets, the window of the stream, and what is being written.
const BUFFERS: usize = 64 << 20;

#[tokio::test]
async fn streams_that_nobody_reads_stop_their_agents_and_nobody_else() {
    let mut pair = Pair::start().await;
    let written = Arc::new(AtomicUsize::new(0));
    let mut unread = Vec::new();
    for _ in 0..3 {
        let (caller, request) = pair.begin(STREAM, &say("talk")).await;
        let mut stream = request.stream().await;
        let written = Arc::clone(&written);
        let talking = dragoman::task::spawn(async move {
            let event = format!(
                "data: {}\n\n",
                stream.envelope(&format!("\"result\":{}", status_update(&"x".repeat(64 << 10))))
            );
            while stream.raw(event.as_bytes()).await.is_ok() {
                written.fetch_add(event.len(), Ordering::Relaxed);
            }
        });
        unread.push((caller, talking));
    }
    // Calls go through all the time; in the end the talkers have come to rest.
    let (mut before, mut resting) = (0, 0);
    while resting < 10 {
        let (mut caller, request) = pair.begin("GetTask", r#"{"id":"t"}"#).await;
        request.result(r#"{"id":"t","status":{"state":"TASK_STATE_WORKING"}}"#).await;
        assert_eq!(caller.answer().await.status, 200);
        let now = written.load(Ordering::Relaxed);
        resting = if now == before { resting + 1 } else { 0 };
        before = now;
        assert!(now < 3 * BUFFERS, "{now} bytes are somewhere");
    }
    assert!(before > 3 * (256 << 10), "the windows are full: {before}");
}

#[tokio::test]
async fn five_hundred_open_streams_do_not_hold_up_a_call() {
    const STREAMS: usize = 500;
    let mut pair = Pair::start().await;
    // One connection at the caller too: HTTP/2 without TLS.
    let socket = TcpStream::connect(pair.planner.outbound).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    let _driver = dragoman::task::spawn(async move { drop(connection.await) });
    let url = format!("http://{}/agents/currency", pair.planner.outbound);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let request = Request::post(&url).header("content-type", "application/json").body(()).unwrap();
        let mut requests = requests.clone().ready().await.unwrap();
        let (response, mut body) = requests.send_request(request, false).unwrap();
        body.send_data(envelope(STREAM, &say("x")).into(), true).unwrap();
        let mut agent = pair.agent.request().await.stream().await;
        agent.event(&status_update("first")).await;
        let mut response = soon("a response", response).await.unwrap().into_body();
        assert!(piece(&mut response).await.starts_with(b"data: {"));
        streams.push((agent, response));
    }
    assert_eq!(pair.currency.metrics().await.sum("dragoman_streams_open", &["direction=\"inbound\""]), 500.0);
    for _ in 0..20 {
        let (mut caller, request) = pair.begin("SendMessage", &say("x")).await;
        request.result(&message("through")).await;
        assert!(caller.answer().await.result().contains("through"));
    }
    for (agent, response) in &mut streams {
        agent.event(&status_update("second")).await;
        let text = piece(response).await;
        assert!(text.windows(6).any(|window| window == b"second"));
    }
}

#[tokio::test]
async fn all_calls_to_an_agent_share_one_connection_of_the_mesh() {
    let mesh = Mesh::new();
    let mut far = FarSide::start(&mesh, "currency", &[b"h2"]).await;
    let planner = mesh.sidecar("planner", known("currency", &[far.address])).await;
    let mut held = Vec::new();
    // All at once, before there is any.
    for _ in 0..20 {
        held.push(planner.begin("currency", "SendMessage", &say("x")).await);
    }
    for _ in 0..20 {
        let asked = far.request().await;
        assert_eq!(asked.connection, 0);
        asked.message(&reply(Operation::SendMessage, &message("x")));
    }
    for mut caller in held {
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn connections_to_an_agent_are_used_again_and_one_that_it_closes_costs_no_call() {
    let mut pair = Pair::start().await;
    for _ in 0..3 {
        let (mut caller, request) = pair.begin("SendMessage", &say("x")).await;
        assert_eq!(request.connection, 0);
        request.result(&message("x")).await;
        caller.answer().await;
    }
    for _ in 0..30 {
        let (mut caller, request) = pair.begin("SendMessage", &say("x")).await;
        let body = format!(r#"{{"result":{}}}"#, message("x"));
        // It says nothing of closing, and does: as servers do whose patience with an idle connection is at an end.
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        drop(request.raw(text.as_bytes()).await);
        assert!(caller.answer().await.body.contains("result"));
    }
}

#[tokio::test]
async fn a_call_that_finds_no_memory_is_told_to_come_back() {
    let limits = json!({"limits": {"message": "64KiB", "buffered": "128KiB"}});
    let mut pair = Pair::with(limits, json!({})).await;
    let large = say(&"x".repeat(50 << 10));
    let (mut first, request) = pair.begin("SendMessage", &large).await;
    // One call at a time may overdraw.
    let (mut second, beyond) = pair.begin("SendMessage", &large).await;
    let third = pair.planner.call("currency", "SendMessage", &large).await;
    assert_eq!((third.status, third.reason()), (200, "RATE_LIMITED".into()));
    assert_eq!(third.json()["error"]["data"][1]["retryDelay"], "1s");
    for request in [request, beyond] {
        request.result(&message("x")).await;
    }
    assert_eq!((first.answer().await.status, second.answer().await.status), (200, 200));
    let (mut fourth, request) = pair.begin("SendMessage", &large).await;
    request.result(&message("x")).await;
    assert!(fourth.answer().await.body.contains("result"));
}

#[tokio::test]
async fn requests_that_take_all_memory_leave_room_for_their_answers() {
    let limits = json!({"limits": {"message": "64KiB", "buffered": "128KiB"}});
    let pair = Pair::with(limits, json!({})).await;
    let _answering = pair.agent.always(|_| message("x"));
    let large = say(&"x".repeat(60 << 10));
    let calls = (0..6).map(|_| pair.planner.call("currency", "SendMessage", &large));
    for answer in futures_util::future::join_all(calls).await {
        assert!(answer.body.contains("result"), "{}", answer.body);
    }
}

/// The next piece of a body.
async fn piece(body: &mut RecvStream) -> Bytes {
    let piece = soon("a piece of the stream", body.data()).await.unwrap().unwrap();
    body.flow_control().release_capacity(piece.len()).unwrap();
    piece
}
