//! The client against an agent on a socket, whose answers the test has written.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use http::Method;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::a2a::{Binding, Dialect, Home, Name, Operation};
use crate::net::budget::Budget;
use crate::telemetry::{Direction, Metrics};

const CARD: &str = "/.well-known/agent-card.json";
const OLD: &str = "/.well-known/agent.json";

/// An agent that gives these answers, one after the other, and 500 after the last.
struct Agent {
    asked: Arc<Mutex<Vec<Request<()>>>>,
    client: Client,
    now: Arc<AtomicI64>,
    _serving: AbortOnDropHandle<()>,
}

impl Agent {
    async fn new(path: &str, answers: Vec<Response<Vec<u8>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answers) = (Arc::clone(&asked), Arc::new(Mutex::new(VecDeque::from(answers))));
        let serving = crate::task::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.lock().unwrap().push(request.map(drop));
                    let answer = answers.lock().unwrap().pop_front().unwrap_or_else(|| answer(500, &[], ""));
                    std::future::ready(Ok::<_, Infallible>(answer.map(|body| Full::new(Bytes::from(body)))))
                });
                drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
            }
        });
        let edge = Edge {
            direction: Direction::Inbound,
            limit: 1 << 22,
            requests: Budget::new(1 << 24),
            replies: Budget::new(1 << 24),
            metrics: Metrics::default(),
        };
        let now = Arc::new(AtomicI64::new(784_111_777));
        let read = Arc::clone(&now);
        let clock = Clock::new(move || read.load(Ordering::Relaxed));
        let client = Client::new(crate::net::http1::Client::new(Duration::from_secs(2)), url, edge, clock);
        Self { asked, client, now, _serving: serving }
    }

    async fn get(&self) -> Result<Reply, Fault> {
        self.get_with(HeaderMap::new()).await
    }

    async fn get_with(&self, headers: HeaderMap) -> Result<Reply, Fault> {
        let home = Home { namespace: "travel".into(), mesh: "east".into() };
        let call = Call {
            operation: Operation::GetAgentCard,
            body: Bytes::new(),
            params: Params::from_headers(&headers),
            binding: Binding::Grpc,
            dialect: Dialect::V1_0,
            agent: Name::parse("currency", &home).unwrap(),
            peer: None,
            base: None,
            deadline: None,
        };
        self.client.send(&call).await
    }

    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|request| request.uri().path().to_owned()).collect()
    }

    fn header(&self, index: usize, name: header::HeaderName) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        asked[index].headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

fn answer(
    status: u16,
    headers: &[(header::HeaderName, &'static str)],
    body: impl Into<Vec<u8>>,
) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(name.clone(), HeaderValue::from_static(value));
    }
    response
}

fn text(reply: &Reply) -> String {
    let a2a::Body::Once(wire) = &reply.body else { panic!("a stream") };
    original(wire).unwrap().unwrap().to_owned()
}

fn modified(reply: &Reply) -> &str {
    reply.params.get(&header::LAST_MODIFIED).unwrap()
}

#[tokio::test]
async fn the_card_is_asked_for_in_1_0_and_its_text_comes_along() {
    let json = r#"{ "name":"A", "future": 1 }"#;
    let beside = [(header::ETAG, "\"1\""), (header::VARY, "*"), (header::LINK, "</docs>")];
    let agent = Agent::new("/base/", vec![answer(200, &beside, json)]).await;
    let mut headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer a"))]);
    headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"the caller's\""));
    headers.insert(A2A_VERSION, HeaderValue::from_static("0.3"));
    let reply = agent.get_with(headers).await.unwrap();
    assert_eq!(text(&reply), json);
    assert_eq!(modified(&reply), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(reply.params.get(&header::LINK), Some("</docs>"));
    assert_eq!((reply.params.get(&header::ETAG), reply.params.get(&header::VARY)), (None, None));
    assert_eq!(agent.paths(), ["/base/.well-known/agent-card.json"]);
    assert_eq!(agent.asked.lock().unwrap()[0].method(), Method::GET);
    assert_eq!(agent.header(0, A2A_VERSION).as_deref(), Some("1.0"));
    assert_eq!(agent.header(0, header::AUTHORIZATION).as_deref(), Some("Bearer a"));
    assert_eq!(agent.header(0, header::ACCEPT_ENCODING).as_deref(), Some("gzip, deflate"));
    assert_eq!(agent.header(0, header::IF_NONE_MATCH), None);
}

#[tokio::test]
async fn an_unchanged_card_is_not_sent_again() {
    let dated = [(header::ETAG, "W/\"1\""), (header::LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:30 GMT")];
    let answers = vec![answer(200, &dated, r#"{"name":"A"}"#), answer(304, &[], "")];
    let agent = Agent::new("", answers).await;
    let first = agent.get().await.unwrap();
    let second = agent.get().await.unwrap();
    assert_eq!(agent.header(1, header::IF_NONE_MATCH).as_deref(), Some("W/\"1\""));
    assert_eq!((text(&second), modified(&second)), (text(&first), modified(&first)));
    assert_eq!(modified(&first), "Sun, 06 Nov 1994 08:49:30 GMT");
}

#[tokio::test]
async fn a_card_without_a_date_has_that_of_the_day_it_was_first_seen() {
    let one = || answer(200, &[], r#"{"name":"A"}"#);
    let agent = Agent::new("", vec![one(), one(), answer(200, &[], r#"{"name":"B"}"#)]).await;
    let mut dates = Vec::new();
    for _ in 0..3 {
        dates.push(modified(&agent.get().await.unwrap()).to_owned());
        agent.now.fetch_add(10, Ordering::Relaxed);
    }
    assert_eq!(dates, [37, 37, 57].map(|second| format!("Sun, 06 Nov 1994 08:49:{second} GMT")));
}

#[tokio::test]
async fn where_there_is_no_card_of_today_one_of_yesterday_is_looked_for() {
    let missing = || answer(404, &[], "not here");
    let old = answer(200, &[(header::ETAG, "\"old\"")], r#"{"name":"A"}"#);
    let agent = Agent::new("", vec![missing(), old, missing(), answer(304, &[], "")]).await;
    assert_eq!(text(&agent.get().await.unwrap()), r#"{"name":"A"}"#);
    assert_eq!(text(&agent.get().await.unwrap()), r#"{"name":"A"}"#);
    assert_eq!(agent.paths(), [CARD, OLD, CARD, OLD]);
    assert_eq!(agent.header(2, header::IF_NONE_MATCH), None, "that ETag is of another resource");
    assert_eq!(agent.header(3, header::IF_NONE_MATCH).as_deref(), Some("\"old\""));

    let agent = Agent::new("", vec![missing(), missing()]).await;
    let fault = agent.get().await.unwrap_err();
    assert_eq!(fault.reason(), Reason::CardNotFound);
    assert_eq!(fault.message(), "the agent currency.travel.east has no card");
}

#[tokio::test]
async fn compressed_cards_are_understood_up_to_a_bound() {
    let gzip = |text: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(text).unwrap();
        answer(200, &[(header::CONTENT_ENCODING, "gzip")], out.finish().unwrap())
    };
    let agent = Agent::new("", vec![gzip(br#"{"name":"A"}"#), gzip(&vec![b' '; MAX + 1])]).await;
    let reply = agent.get().await.unwrap();
    assert_eq!(text(&reply), r#"{"name":"A"}"#);
    assert_eq!(reply.params.get(&header::CONTENT_ENCODING), None);
    let fault = agent.get().await.unwrap_err();
    assert_eq!(fault.reason(), Reason::MessageTooLarge);
    assert_eq!(fault.message(), "the agent's card: the body has more than 1048576 bytes");
}

#[tokio::test]
async fn what_is_no_card_is_a_fault_that_says_so() {
    for (bad, reason, message) in [
        (answer(200, &[], "<!doctype html>"), Reason::AgentProtocolError, "not JSON"),
        (answer(200, &[], r#"{"name":7}"#), Reason::AgentProtocolError, "name: expected a string"),
        (answer(200, &[], vec![0xFF]), Reason::AgentProtocolError, "no UTF-8"),
        (answer(200, &[(header::CONTENT_ENCODING, "br")], "x"), Reason::AgentProtocolError, "\"br\""),
        (answer(200, &[], vec![b' '; MAX + 1]), Reason::MessageTooLarge, "more than 1048576 bytes"),
        (
            answer(302, &[(header::LOCATION, "http://evil.example/")], ""),
            Reason::AgentProtocolError,
            "HTTP 302",
        ),
        (answer(304, &[], ""), Reason::AgentProtocolError, "never asked"),
        (answer(500, &[], "{}"), Reason::AgentProtocolError, "HTTP 500"),
        (answer(403, &[], ""), Reason::PermissionDenied, "HTTP 403"),
        (answer(503, &[(header::RETRY_AFTER, "7")], ""), Reason::AgentUnreachable, "HTTP 503"),
    ] {
        let agent = Agent::new("", vec![bad]).await;
        let fault = agent.get().await.unwrap_err();
        assert_eq!(fault.reason(), reason, "{fault}");
        assert!(fault.message().contains(message), "{fault}");
        if let Some(status) = fault.http().filter(|status| *status == 503) {
            assert_eq!(fault.params().get(&header::RETRY_AFTER), Some("7"), "{status}");
        }
    }
}

#[tokio::test]
async fn an_agent_that_does_not_listen_was_surely_not_asked() {
    let agent = Agent::new("", Vec::new()).await;
    let Agent { client, _serving, .. } = agent;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap()).parse().unwrap();
    drop(closed);
    let agent = Agent::new("", Vec::new()).await;
    let agent = Agent { client: Client { url, ..client }, ..agent };
    let fault = agent.get().await.unwrap_err();
    assert_eq!((fault.reason(), fault.is_never_processed()), (Reason::AgentUnreachable, true));
}
