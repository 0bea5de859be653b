//! Requests for cards over an agent that the test holds.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tower::service_fn;
use tower::util::BoxCloneSyncService;

use super::*;
use crate::a2a::{Home, Name};
use crate::card::attach_original;
use crate::codec::{self, Reading, schema::AGENT_CARD};
use crate::net::budget::Budget;
use crate::telemetry::{Direction, Metrics};

const START: Duration = Duration::from_secs(784_111_777);

fn arrival() -> Arrival {
    let home = Home { namespace: "travel".into(), mesh: "east".into() };
    let base = Some("http://127.0.0.1:2602/agents/currency".into());
    Arrival { agent: Name::parse("currency", &home).unwrap(), peer: None, base }
}

/// A server over an agent that answers so, and the calls that the agent gets.
fn server(
    answer: impl Fn() -> Result<Reply, Fault> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Vec<Call>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (answer, seen) = (Arc::new(answer), Arc::clone(&calls));
    let agent = BoxCloneSyncService::new(service_fn(move |call: Call| {
        seen.lock().unwrap().push(call);
        std::future::ready(answer())
    }));
    let edge = Edge {
        direction: Direction::Outbound,
        limit: 1 << 20,
        requests: Budget::new(1 << 20),
        replies: Budget::new(1 << 20),
        metrics: Metrics::default(),
    };
    let since = SystemTime::UNIX_EPOCH + START;
    (Server::new(edge, agent, Duration::from_secs(60), since), calls)
}

fn reply(modified: Option<&'static str>) -> Reply {
    let mut wire = codec::read(&AGENT_CARD, r#"{"name":"A"}"#, Reading::Reply, 1 << 20).unwrap();
    attach_original(&mut wire, "{ \"name\": \"A\" }");
    let mut headers = HeaderMap::from_iter([
        (header::ETAG, HeaderValue::from_static("\"the agent's\"")),
        (header::VARY, HeaderValue::from_static("Cookie")),
        (header::LINK, HeaderValue::from_static("</docs>")),
    ]);
    headers.extend(modified.map(|date| (header::LAST_MODIFIED, HeaderValue::from_static(date))));
    Reply { params: Params::from_headers(&headers), ..Reply::once(wire) }
}

fn request(method: Method, headers: &[(header::HeaderName, &'static str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    for (name, value) in headers {
        request.headers_mut().append(name.clone(), HeaderValue::from_static(value));
    }
    request
}

async fn body(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn documents_have_the_paths_of_both_dialects() {
    for (path, document) in [
        ("/.well-known/agent-card.json", Some(Document::Card)),
        (".well-known/agent-card.json", Some(Document::Card)),
        ("/.well-known/agent.json", Some(Document::Card)),
        (".well-known/agent-card.original.json", Some(Document::Original)),
        ("/.well-known/agent-card.json/", None),
        ("//.well-known/agent-card.json", None),
        ("", None),
        ("/", None),
    ] {
        assert_eq!(Document::at(path), document, "{path}");
    }
}

#[tokio::test]
async fn a_card_is_served_with_validators_of_our_own() {
    let (server, calls) = server(|| Ok(reply(Some("Sun, 06 Nov 1994 08:49:36 GMT"))));
    let conditions = [
        (header::IF_NONE_MATCH, "\"stale\""),
        (header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::RANGE, "bytes=0-1"),
        (header::AUTHORIZATION, "Bearer a"),
    ];
    let response = server.serve(Document::Card, request(Method::GET, &conditions), arrival()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    let values = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(values(header::VARY), ["A2A-Version, Host"]);
    assert_eq!(values(header::CACHE_CONTROL), ["max-age=60"]);
    assert_eq!(values(header::LINK), ["</docs>"]);
    assert_eq!(values(header::ETAG).len(), 1);
    assert_ne!(values(header::ETAG), ["\"the agent's\""]);
    // The card is older than what this sidecar writes into it.
    assert_eq!(values(header::LAST_MODIFIED), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
    let json: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(json["name"], "A");

    let calls = calls.lock().unwrap();
    assert_eq!((calls.len(), calls[0].operation), (1, Operation::GetAgentCard));
    assert_eq!(calls[0].base.as_deref(), Some("http://127.0.0.1:2602/agents/currency"));
    let mut sent = HeaderMap::new();
    calls[0].params.append_to(&mut sent);
    assert_eq!(sent.keys().collect::<Vec<_>>(), [header::AUTHORIZATION], "the conditions are ours to judge");
}

#[tokio::test]
async fn who_has_the_card_gets_304_and_head_gets_no_body() {
    let (server, _) = server(|| Ok(reply(None)));
    let serve = |request| server.serve(Document::Card, request, arrival());
    let get = serve(request(Method::GET, &[])).await;
    assert!(!get.headers().contains_key(header::LAST_MODIFIED));
    let mut again = request(Method::GET, &[]);
    again.headers_mut().insert(header::IF_NONE_MATCH, get.headers()[header::ETAG].clone());
    let again = serve(again).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(body(again).await, "");

    let head = serve(request(Method::HEAD, &[])).await;
    assert_eq!(head.headers(), get.headers());
    assert_eq!(body(head).await, "");
    let length = get.headers()[header::CONTENT_LENGTH].to_str().unwrap().parse::<usize>().unwrap();
    assert_eq!(body(get).await.len(), length);
}

#[tokio::test]
async fn the_original_is_served_untouched() {
    let (server, _) = server(|| Ok(reply(Some("Sun, 06 Nov 1994 08:49:36 GMT"))));
    let response = server.serve(Document::Original, request(Method::GET, &[]), arrival()).await;
    assert_eq!(response.headers()[header::LAST_MODIFIED], "Sun, 06 Nov 1994 08:49:36 GMT");
    assert_eq!(body(response).await, "{ \"name\": \"A\" }");
}

#[tokio::test]
async fn a_fault_is_its_http_status_and_says_why() {
    let unauthorized = || {
        let challenge =
            HeaderMap::from_iter([(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]);
        Fault::of_http(StatusCode::UNAUTHORIZED, "no").unwrap().with_params(Params::from_headers(&challenge))
    };
    let busy = || Fault::new(Reason::RateLimited, "busy").retry_after(Duration::from_millis(1500));
    let faults = [
        (Fault::new(Reason::CardNotFound, "none"), 404, "CARD_NOT_FOUND", None),
        (Fault::new(Reason::CardUntrusted, "forged").because("secret"), 502, "CARD_UNTRUSTED", None),
        (Fault::new(Reason::AgentProtocolError, "html"), 502, "AGENT_PROTOCOL_ERROR", None),
        (Fault::new(Reason::AgentUnreachable, "gone"), 503, "AGENT_UNREACHABLE", None),
        (unauthorized(), 401, "UNAUTHENTICATED", Some((header::WWW_AUTHENTICATE, "Bearer"))),
        (busy(), 429, "RATE_LIMITED", Some((header::RETRY_AFTER, "2"))),
    ];
    for (fault, status, reason, beside) in faults {
        let (server, _) = server(move || Err(fault.clone()));
        let response = server.serve(Document::Card, request(Method::GET, &[]), arrival()).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()[header::VARY], "A2A-Version, Host");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        if let Some((name, value)) = beside {
            assert_eq!(response.headers()[name], value);
        }
        let text = body(response).await;
        assert!(!text.contains("secret"));
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["error"]["details"][0]["reason"], reason);
        assert_eq!(json["error"]["code"], status);
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_told() {
    let (server_without, _) = server(|| Ok(Reply::once(Vec::new())));
    let response = server_without.serve(Document::Original, request(Method::GET, &[]), arrival()).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let (server_of_garbage, _) = server(|| Ok(Reply::once(vec![0xFF])));
    let response = server_of_garbage.serve(Document::Card, request(Method::GET, &[]), arrival()).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);

    let (server, calls) = server(|| Ok(reply(None)));
    let mut registry = Registry::default();
    server.edge.metrics.register(&mut registry);
    let response = server.serve(Document::Card, request(Method::POST, &[]), arrival()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    assert!(calls.lock().unwrap().is_empty());
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains("dragoman_faults_total{reason=\"INVALID_REQUEST\"} 1"), "{text}");
}
