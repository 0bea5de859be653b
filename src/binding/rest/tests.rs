//! The HTTP+JSON server beside an agent that the test plays: time is paused, so that silence costs nothing.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use super::Server;
use crate::a2a::{self, A2A_VERSION, Call, Dialect, Event, Fault, Home, Name, Params, Reason, Reply};
use crate::binding::{Arrival, Edge};
use crate::net::budget::Budget;
use crate::telemetry::{Direction, Metrics};

/// `{"task":{"id":"t","status":{}}}` on the wire.
const TASK: &[u8] = b"\x0a\x05\x0a\x01t\x1a\x00";
const EVENT: &str = "data: {\"task\":{\"id\":\"t\",\"status\":{}}}\n\n";

type Events = BoxStream<'static, Result<Event, Fault>>;

/// A server whose agent answers every call with what `reply` makes of it, and one request to it.
async fn ask(
    line: &str,
    headers: &[(&str, &str)],
    reply: impl Fn(Call) -> BoxFuture<'static, Result<Reply, Fault>> + Clone + Send + Sync + 'static,
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
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(format!("/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let path = path.split('?').next().unwrap();
    server.serve(path, request, Arrival { agent, peer: None, base: None }).await
}

/// What is answered to a subscription with these events.
async fn subscribe(events: impl Fn() -> Events + Clone + Send + Sync + 'static) -> Response<Body> {
    ask("POST tasks/t:subscribe", &[], move |_| {
        let mut headers = HeaderMap::new();
        headers.insert("x-beside", HeaderValue::from_static("1"));
        let (params, body) = (Params::from_headers(&headers), a2a::Body::Events(events()));
        async { Ok(Reply { params, body }) }.boxed()
    })
    .await
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn task() -> Result<Event, Fault> {
    Ok(Event::Data(Bytes::from_static(TASK)))
}

fn unasked(_: Call) -> BoxFuture<'static, Result<Reply, Fault>> {
    panic!("no call was due")
}

#[tokio::test(start_paused = true)]
async fn events_have_no_envelope_and_silence_is_filled() {
    let response = subscribe(|| {
        let slow = stream::once(sleep(Duration::from_secs(9))).map(|()| task());
        stream::iter([task()]).chain(slow).chain(stream::iter([Ok(Event::End(Params::default()))])).boxed()
    });
    let response = response.await;
    assert_eq!(
        (&response.headers()[header::CONTENT_TYPE], response.status()),
        (&super::super::EVENT_STREAM, StatusCode::OK)
    );
    assert_eq!(response.headers()["x-beside"], "1");
    assert_eq!(text(response).await, format!("{EVENT}: keep-alive\n\n: keep-alive\n\n{EVENT}"));
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_before_the_first_event_has_a_status() {
    for (events, status, reason) in [
        (
            (|| stream::iter([Err(Fault::new(Reason::TaskNotFound, "gone"))]).boxed()) as fn() -> Events,
            404,
            "TASK_NOT_FOUND",
        ),
        (|| stream::empty().boxed(), 502, "STREAM_BROKEN"),
        (|| stream::iter([Ok(Event::End(Params::default()))]).boxed(), 502, "STREAM_BROKEN"),
    ] {
        let response = subscribe(events).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]),
            (status, &super::JSON)
        );
        assert!(text(response).await.contains(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_behind_an_event_is_an_event_with_a_name() {
    let response =
        subscribe(|| stream::iter([task(), Err(Fault::new(Reason::StreamBroken, "broke")), task()]).boxed());
    let text = text(response.await).await;
    let last = text.strip_prefix(EVENT).unwrap();
    assert!(
        last.starts_with("event: error\ndata: {\"error\":{\"code\":502,\"status\":\"UNAVAILABLE\","),
        "{last}"
    );
    assert_eq!(last.matches("data: ").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_head_comes_before_the_caller_loses_patience() {
    let started = Instant::now();
    let silent = subscribe(|| {
        let slow = stream::once(sleep(Duration::from_secs(60)));
        slow.map(|()| Err(Fault::new(Reason::TaskNotFound, "gone"))).boxed()
    });
    let silent = silent.await;
    assert_eq!((silent.status(), started.elapsed()), (StatusCode::OK, Duration::from_secs(4)));
    assert_eq!(silent.headers()["x-beside"], "1");
    let told = text(silent).await;
    assert!(
        told.ends_with("\n\n") && told.contains("event: error\ndata: {\"error\":{\"code\":404"),
        "{told}"
    );

    let started = Instant::now();
    let late = ask("GET v1/../tasks/t:subscribe", &[], unasked).await;
    assert_eq!(late.status(), StatusCode::NOT_FOUND);
    let late = ask("GET tasks/t:subscribe", &[], |_| {
        async {
            sleep(Duration::from_secs(5)).await;
            Ok(Reply { params: Params::default(), body: a2a::Body::Events(stream::iter([task()]).boxed()) })
        }
        .boxed()
    });
    let late = late.await;
    assert_eq!(started.elapsed(), Duration::from_secs(4));
    assert_eq!(text(late).await, EVENT);
}

#[tokio::test]
async fn the_version_is_said_in_a_header_or_in_the_query() {
    let seen = |call: Call| {
        assert_eq!((call.params.get(&A2A_VERSION), call.dialect), (Some("1.0"), Dialect::V1_0));
        async { Ok(Reply::once(&b"\x0a\x01t"[..])) }.boxed()
    };
    for (line, headers) in [
        ("GET tasks/t?A2A-Version=1.0", &[][..]),
        ("GET v1/tasks/t?a2a-version=1.0", &[]),
        ("GET v1/tasks/t", &[("a2a-version", "1.0")]),
        ("GET tasks/t?A2A-Version=1.0", &[("a2a-version", "1.0")]),
        ("GET tasks/t?A2A-Version=1.0", &[("a2a-version", "")]),
    ] {
        assert_eq!(ask(line, headers, seen).await.status(), StatusCode::OK, "{line}");
    }
    for (line, headers, reason) in [
        ("GET tasks/t?A2A-Version=99.0", &[][..], "VERSION_NOT_SUPPORTED"),
        ("GET tasks/t", &[("a2a-version", "2.0")], "VERSION_NOT_SUPPORTED"),
        ("GET tasks/t?A2A-Version=0.3", &[("a2a-version", "1.0")], "INVALID_REQUEST"),
    ] {
        let response = ask(line, headers, unasked).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(text(response).await.contains(reason), "{line}");
    }
}

#[tokio::test]
async fn a_caller_who_knows_only_json_gets_it_by_that_name() {
    for (accept, media_type) in [
        ("*/*", "application/a2a+json"),
        ("application/json", "application/json"),
        ("application/a2a+json, application/json", "application/a2a+json"),
    ] {
        let headers = [("accept", accept)];
        let response = ask("GET tasks/t", &headers, |_| async { Ok(Reply::once(&b"\x0a\x01t"[..])) }.boxed());
        assert_eq!(response.await.headers()[header::CONTENT_TYPE], media_type);
    }
}

#[tokio::test]
async fn each_dialect_is_refused_in_its_own_shape() {
    for (line, status, body) in [
        (
            "GET nowhere",
            404,
            "{\"error\":{\"code\":404,\"status\":\"UNIMPLEMENTED\",\"message\":\"nothing at nowhere",
        ),
        ("GET v1/nowhere", 404, "{\"code\":-32601,\"message\":\"nothing at v1/nowhere"),
        ("GET v1/tasks/%f", 400, "{\"code\":-32600,\"message\":\"an escape in the path"),
        ("PUT tasks/t", 405, "{\"error\":{\"code\":405,"),
        (
            "POST message:send",
            400,
            "{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"message\":\"message: required",
        ),
    ] {
        let response = ask(line, &[], unasked).await;
        assert_eq!(response.status().as_u16(), status, "{line}");
        let allow = response.headers().get(header::ALLOW).cloned();
        assert_eq!(allow.is_some(), status == 405);
        let told = text(response).await;
        assert!(told.starts_with(body), "{told}");
    }
}
