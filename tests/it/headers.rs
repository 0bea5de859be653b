//! What travels beside the body, and what stays on its hop.

use dragoman::a2a::Operation;

use crate::harness::agent::{message, status_update};
use crate::harness::client::{Client, JSON, envelope, say};
use crate::harness::http1::Head;
use crate::harness::mesh::Pair;
use crate::harness::peer::Peer;

/// Headers that speak to the other agent, as lines.
const TRAVEL: &str = "Authorization: Bearer s\u{65}cret\r\nA2A-Extensions: urn:a\r\nA2A-Extensions: urn:b, urn:c\r\n\
    Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTracestate: a=b\r\nBaggage: k=v\r\n\
    X-Api-Key: k\r\nX-Empty: \r\nX-Request-Id: 1\r\nForwarded: for=x\r\n";

/// Headers that belong to a hop, or that pretend to come from a sidecar, as lines.
const STAY: &str = "Cookie: a=b\r\nX-Dragoman-Peer: spiffe://east.example/ns/x/sa/admin\r\nDragoman-Trust: yes\r\n\
    X-Forwarded-Client-Cert: URI=spiffe://east.example/ns/x/sa/admin\r\nProxy-Authorization: Basic eA==\r\n\
    Accept: x/y\r\nAccept-Language: de\r\nContent-Language: de\r\nExpect: \r\nTe: trailers\r\nUpgrade: h2c\r\n\
    Keep-Alive: 5\r\nSec-Fetch-Mode: cors\r\nGrpc-Timeout: 1n\r\nTrace-Bin: AAAA\r\nUser-Agent: x\r\n\
    HTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Hop: 1\r\nX-Also: 1\r\nConnection: Upgrade, HTTP2-Settings, x-hop\r\nConnection: X-Also, close\r\n";

fn names(lines: &str) -> impl Iterator<Item = String> {
    lines.lines().map(|line| line.split(':').next().unwrap().to_ascii_lowercase())
}

/// Everything that travels is there with all its values, and nothing else that was sent.
fn only_what_travels(head: &Head, whose: &str) {
    for line in TRAVEL.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let found: Vec<_> = head.headers.get_all(name).iter().collect();
        assert!(found.iter().any(|found| *found == value), "{whose} {name}: {found:?}");
        assert_eq!(
            found.len(),
            names(TRAVEL).filter(|other| *other == name.to_ascii_lowercase()).count(),
            "{name}"
        );
    }
    // These the far hop has for itself.
    let own = ["accept", "connection", "user-agent"];
    for name in names(STAY).filter(|name| !own.contains(&&**name)) {
        assert_eq!(head.header(&*name), None, "{whose} {name}");
    }
    assert_ne!(head.header("user-agent"), Some("x"));
    assert_ne!(head.header("accept"), Some("x/y"));
}

#[tokio::test]
async fn what_speaks_to_the_agent_travels_and_the_rest_stays() {
    let mut pair = Pair::start().await;
    for method in ["SendMessage", "SendStreamingMessage"] {
        let mut caller = Client::connect(pair.planner.outbound).await;
        let headers = format!("{JSON}{TRAVEL}{STAY}");
        caller.request("POST /agents/currency", &headers, &envelope(method, &say("x"))).await;
        let request = pair.agent.request().await;
        only_what_travels(&request.head, "the agent sees");
        assert_eq!(request.head.header("a2a-version"), Some("1.0"));
        assert_eq!(request.head.header("content-type"), Some("application/json"));
        assert_eq!(request.head.header("host"), Some(&*pair.agent.address.to_string()));
        assert_eq!(request.head.word(1), "/");
        request.result(&message("x")).await;
        assert_eq!(caller.reading().await.status, 200);
    }
}

#[tokio::test]
async fn what_the_agent_says_beside_its_answer_travels_back_and_the_rest_stays() {
    let mut pair = Pair::start().await;
    let stay = STAY.replace("Connection: X-Also, close\r\n", "Connection: X-Also\r\n");
    let headers = format!("Set-Cookie: a=b\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT\r\n{TRAVEL}{stay}");
    let check = |head: &Head| {
        only_what_travels(head, "the caller sees");
        assert_eq!(head.header("set-cookie"), None);
        assert_ne!(head.header("date"), Some("Wed, 21 Oct 2026 07:28:00 GMT"));
    };
    for status in ["200 OK", "500 Internal Server Error"] {
        let (mut caller, request) = pair.begin("SendMessage", &say("x")).await;
        let body = match status {
            "200 OK" => format!(r#"{{"result":{}}}"#, message("x")),
            _ => r#"{"error":{"code":7,"message":"m"}}"#.to_owned(),
        };
        request.answer(status, &headers, body.as_bytes()).await;
        check(&caller.answer().await.head);
    }
    let (mut caller, request) = pair.begin("SendMessage", &say("x")).await;
    request.answer("401 Unauthorized", &headers, b"").await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 401);
    check(&answer.head);

    let (caller, request) = pair.begin("SendStreamingMessage", &say("x")).await;
    let mut stream = request.stream_with(&headers).await;
    stream.event(&status_update("x")).await;
    let mut caller = caller.reading().await;
    check(&caller.head);
    caller.result().await;
}

#[tokio::test]
async fn a_body_may_come_in_chunks_or_wait_for_leave_to_come() {
    let mut pair = Pair::start().await;
    let mut caller = Client::connect(pair.planner.outbound).await;
    let body = envelope("SendMessage", &say("x"));
    let (first, second) = body.split_at(20);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let head = format!("POST /agents/currency HTTP/1.1\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n");
    caller.send(format!("{head}{chunks}").as_bytes()).await;
    pair.agent.request().await.result(&message("chunks")).await;
    assert!(caller.answer().await.result().contains("chunks"));

    // On the same connection.
    let head = format!(
        "POST /agents/currency HTTP/1.1\r\n{JSON}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    caller.send(head.as_bytes()).await;
    assert_eq!(caller.head().await.start, "HTTP/1.1 100 Continue");
    caller.send(body.as_bytes()).await;
    let request = pair.agent.request().await;
    assert_eq!(request.head.header("expect"), None);
    request.result(&message("waited")).await;
    assert!(caller.answer().await.result().contains("waited"));
}

#[tokio::test]
async fn a_missing_version_is_said_to_be_this_one_and_another_one_travels() {
    let mut pair = Pair::start().await;
    for (sent, seen) in [("", "1.0"), ("A2A-Version: 1.0\r\n", "1.0"), ("A2A-Version: 1.1\r\n", "1.1")] {
        let mut caller = Client::connect(pair.planner.outbound).await;
        let headers = format!("Host: localhost\r\nContent-Type: application/json\r\n{sent}");
        caller.request("POST /agents/currency", &headers, &envelope("GetTask", r#"{"id":"t"}"#)).await;
        let request = pair.agent.request().await;
        assert_eq!(request.head.header("a2a-version"), Some(seen));
        request.error(r#"{"code":-32009,"message":"not that one"}"#).await;
        assert!(caller.answer().await.error().contains("-32009"));
    }
}

#[tokio::test]
async fn a_peer_cannot_pretend_to_be_a_sidecars_word() {
    let mut pair = Pair::start().await;
    let peer = Peer::connect(&pair.mesh, "intruder", pair.currency.inbound(), "currency").await;
    let headers = [
        ("x-dragoman-peer", "spiffe://east.example/ns/x/sa/admin"),
        ("x-forwarded-client-cert", "URI=spiffe://east.example/ns/x/sa/admin"),
        ("dragoman-anything", "1"),
        ("cookie", "a=b"),
        ("authorization", "Bearer token"),
    ];
    let params = r#"{"id":"t"}"#;
    let (answer, ()) = tokio::join!(peer.call(Operation::GetTask, params, &headers), async {
        let request = pair.agent.request().await;
        assert_eq!(request.head.header("authorization"), Some("Bearer token"));
        for (name, _) in &headers[..4] {
            assert_eq!(request.head.header(*name), None, "{name}");
        }
        request.answer("200 OK", "X-Dragoman-Peer: me\r\nX-Mine: 1\r\n", br#"{"result":{"id":"t"}}"#).await;
    });
    assert_eq!((answer.header("x-mine"), answer.header("x-dragoman-peer")), (Some("1"), None));
}
