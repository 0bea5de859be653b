//! The JSON-RPC server beside an agent that the test plays: time is paused, so that silence costs nothing.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use super::Server;
use crate::a2a::{self, AgentError, Call, Dialect, Event, Fault, Home, Name, Params, Reason, Reply};
use crate::binding::{Arrival, Edge};
use crate::net::budget::Budget;
use crate::telemetry::{Direction, Metrics};

const STREAM: &str = r#"{"jsonrpc":"2.0","id":7.0,"method":"SubscribeToTask","params":{"id":"t"}}"#;
const GET: &str = r#"{"jsonrpc":"2.0","id":7.0,"method":"GetTask","params":{"id":"t"}}"#;
/// `{"task":{"id":"t","status":{}}}` on the wire.
const TASK: &[u8] = b"\x0a\x05\x0a\x01t\x1a\x00";

type Events = BoxStream<'static, Result<Event, Fault>>;

/// A server whose agent answers every call with what `reply` makes of it.
async fn ask(
    text: &'static str,
    reply: impl Fn(Call) -> futures_util::future::BoxFuture<'static, Result<Reply, Fault>>
    + Clone
    + Send
    + Sync
    + 'static,
) -> Response<Body> {
    let edge = Edge {
        direction: Direction::Outbound,
        limit: 1 << 20,
        requests: Budget::new(1 << 20),
        replies: Budget::new(1 << 20),
        metrics: Metrics::default(),
    };
    let server = Server::new(edge, BoxCloneSyncService::new(service_fn(reply)));
    let agent = Name::parse("a", &Home { namespace: "n".into(), mesh: "m".into() }).unwrap();
    let request = Request::post("/").body(Full::new(Bytes::from(text))).unwrap();
    server.serve(request, Arrival { agent, peer: None, base: None }).await
}

async fn ask_for_events(events: impl Fn() -> Events + Clone + Send + Sync + 'static) -> String {
    let response = ask(STREAM, move |_| {
        let body = a2a::Body::Events(events());
        async { Ok(Reply { params: Params::default(), body }) }.boxed()
    });
    text(response.await).await
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn task() -> Result<Event, Fault> {
    Ok(Event::Data(Bytes::from_static(TASK)))
}

const EVENT: &str =
    "data: {\"jsonrpc\":\"2.0\",\"id\":7.0,\"result\":{\"task\":{\"id\":\"t\",\"status\":{}}}}\n\n";

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive_and_loses_nothing() {
    let events = || {
        let slow = stream::once(sleep(Duration::from_secs(9))).map(|()| task());
        stream::iter([task()]).chain(slow).chain(stream::iter([Ok(Event::End(Params::default()))])).boxed()
    };
    let expected = format!("{EVENT}: keep-alive\n\n: keep-alive\n\n{EVENT}");
    assert_eq!(ask_for_events(events).await, expected);
}

#[tokio::test(start_paused = true)]
async fn the_head_comes_before_the_caller_loses_patience() {
    let started = Instant::now();
    let response = ask(STREAM, |_| {
        async {
            sleep(Duration::from_secs(60)).await;
            Err(Fault::new(Reason::TaskNotFound, "gone"))
        }
        .boxed()
    });
    let response = response.await;
    assert_eq!((response.status(), started.elapsed()), (StatusCode::OK, Duration::from_secs(4)));
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let text = text(response).await;
    assert!(
        text.ends_with("\n\n")
            && text.contains("data: {\"jsonrpc\":\"2.0\",\"id\":7.0,\"error\":{\"code\":-32001"),
        "{text}"
    );
    assert_eq!(started.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn events_that_are_ready_together_leave_in_one_piece_and_nobody_waits_for_more() {
    let response = ask(STREAM, |_| {
        let slow = stream::once(sleep(Duration::from_secs(1))).map(|()| task());
        let events = stream::iter([task(), task(), task()]).chain(slow).boxed();
        async { Ok(Reply { params: Params::default(), body: a2a::Body::Events(events) }) }.boxed()
    });
    let mut body = response.await.into_body();
    let started = Instant::now();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((&first[..], started.elapsed()), (EVENT.repeat(3).as_bytes(), Duration::ZERO));
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((&second[..], started.elapsed()), (EVENT.as_bytes(), Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_fault_ends_the_stream_as_an_event() {
    let events = || stream::iter([task(), Err(Fault::new(Reason::StreamBroken, "broke")), task()]).boxed();
    let text = ask_for_events(events).await;
    let (first, last) = text.split_at(EVENT.len());
    assert_eq!(first, EVENT);
    assert!(
        last.starts_with("data: ") && last.contains("STREAM_BROKEN") && last.matches("data:").count() == 1,
        "{last}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_never_ends_without_an_event() {
    for events in [|| stream::empty().boxed(), || stream::iter([Ok(Event::End(Params::default()))]).boxed()] {
        let text = ask_for_events(events).await;
        assert!(text.starts_with("data: ") && text.contains("STREAM_BROKEN"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_event_become_a_fault_and_not_half_an_event() {
    let events = || stream::iter([Ok(Event::Data(Bytes::from_static(b"\xFF")))]).boxed();
    let text = ask_for_events(events).await;
    assert!(text.starts_with("data: {\"jsonrpc\":\"2.0\",\"id\":7.0,\"error\""), "{text}");
    assert!(text.contains("AGENT_PROTOCOL_ERROR") && text.matches("data: ").count() == 1, "{text}");
}

#[tokio::test]
async fn only_an_agents_own_http_status_is_kept() {
    for (fault, status) in [
        (Fault::new(Reason::PermissionDenied, "no"), StatusCode::OK),
        (Fault::of_http(StatusCode::UNAUTHORIZED, "no").unwrap(), StatusCode::UNAUTHORIZED),
        (
            Fault::of_agent(AgentError { code: -32001, data: None, dialect: Dialect::V1_0 }, "no"),
            StatusCode::OK,
        ),
    ] {
        for request in [GET, STREAM] {
            let fault = fault.clone();
            let response = ask(request, move |_| std::future::ready(Err(fault.clone())).boxed()).await;
            assert_eq!(response.status(), status);
            assert!(text(response).await.contains("\"id\":7.0,\"error\":{"));
        }
    }
}

#[tokio::test]
async fn what_is_wrong_in_a_streaming_request_is_told_in_a_stream() {
    let unasked =
        |_| -> futures_util::future::BoxFuture<'static, Result<Reply, Fault>> { panic!("no call was due") };
    let request = r#"{"jsonrpc":"2.0","method":"SubscribeToTask","params":{"id":7},"id":"late"}"#;
    let response = ask(request, unasked).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let told = text(response).await;
    assert!(
        told.starts_with("data: {\"jsonrpc\":\"2.0\",\"id\":\"late\",\"error\":{\"code\":-32602"),
        "{told}"
    );
    let response = ask("{", unasked).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert!(text(response).await.contains("\"code\":-32700"));
}
