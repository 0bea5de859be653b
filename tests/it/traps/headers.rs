//! What travels beside the body where the two sides have different names for it.

use dragoman::a2a::Operation as O;

use crate::harness::client::Client;
use crate::harness::dialect::{Dialect, PAIRS, Said, Talk, V0_3, V1_0, headers, method, request};
use crate::harness::http1::Head;

/// Who asks, on whose behalf, and within which trace.
const BESIDE: [(&str, &str); 6] = [
    ("Authorization", "Bearer s3cret"),
    ("X-Api-Key", "k"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "a=b,c=d"),
    ("baggage", "k=v;p=1"),
    ("X-A2A-Notification-Token", "t"),
];

fn lines() -> String {
    BESIDE.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

fn all_there(head: &Head, what: &str) {
    for (name, value) in BESIDE {
        assert_eq!(head.header(name), Some(value), "{what}");
        assert_eq!(head.headers.get_all(name).iter().count(), 1, "{what}");
    }
}

#[tokio::test]
async fn credentials_and_traces_travel_both_ways_in_every_pair() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for operation in [O::SendMessage, O::SendStreamingMessage] {
            let caller = talk.ask_with(&lines(), operation, &talk.caller(Said::Send("x"))).await;
            let request = talk.asked(operation).await;
            all_there(&request.head, "to the agent");
            let head = if operation.is_streaming() {
                let stream = request.stream_with(&lines()).await;
                stream.last(&talk.agent(Said::Message("x"))).await;
                caller.reading().await.head
            } else {
                let mut caller = caller;
                let body = format!(r#"{{"result":{}}}"#, talk.agent(Said::Message("x")));
                request.answer("200 OK", &lines(), body.as_bytes()).await;
                caller.answer().await.head
            };
            all_there(&head, "to the caller");
        }
    }
}

/// The values of a header, put together.
fn values(head: &Head, name: &str) -> Vec<String> {
    let all = head.headers.get_all(name);
    let values = all.iter().flat_map(|value| value.to_str().unwrap().split(',')).map(str::trim);
    values.map(str::to_owned).collect()
}

/// Each side finds extensions under the name that its SDKs know, and each of them once.
fn named(head: &Head, dialect: Dialect, what: &str) {
    let wanted = match dialect {
        V0_3 => "x-a2a-extensions",
        V1_0 => "a2a-extensions",
    };
    let mut seen = values(head, wanted);
    seen.sort_unstable();
    assert_eq!(seen, ["urn:a", "urn:b", "urn:c"], "{what}");
    if dialect == V1_0 {
        assert_eq!(head.header("x-a2a-extensions"), None, "{what}");
    }
}

#[tokio::test]
async fn extensions_are_asked_for_and_said_to_be_active_under_the_name_of_each_side() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for lines in [
            "X-A2A-Extensions: urn:a, urn:b\r\nX-A2A-Extensions: urn:c\r\n",
            "A2A-Extensions: urn:a\r\nA2A-Extensions: urn:b,urn:c\r\n",
            "A2A-Extensions: urn:a, urn:b\r\nX-A2A-Extensions: urn:b, urn:c\r\n",
        ] {
            for fails in [false, true] {
                let mut caller = talk.ask_with(lines, O::SendMessage, &talk.caller(Said::Send("x"))).await;
                let request = talk.asked(O::SendMessage).await;
                named(&request.head, talk.agent, &format!("{talk}: {lines}"));
                let body = match fails {
                    false => format!(r#"{{"result":{}}}"#, talk.agent(Said::Message("x"))),
                    true => r#"{"error":{"code":-32008,"message":"m"}}"#.to_owned(),
                };
                request.answer("200 OK", lines, body.as_bytes()).await;
                named(&caller.answer().await.head, talk.caller, &format!("{talk}, back: {lines}"));
            }
            let caller = talk.ask_with(lines, O::SendStreamingMessage, &talk.caller(Said::Send("x"))).await;
            let stream = talk.asked(O::SendStreamingMessage).await.stream_with(lines).await;
            stream.last(&talk.agent(Said::Message("x"))).await;
            named(&caller.reading().await.head, talk.caller, &format!("{talk}, stream: {lines}"));
        }
    }
}

#[tokio::test]
async fn an_agent_hears_the_version_that_it_is_spoken_to_in() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for said in ["", "A2A-Version: 0.3\r\n", "A2A-Version: 1.0\r\n"] {
            let mut caller = Client::connect(talk.pair.planner.outbound).await;
            let body = request("1", method(talk.caller, O::SendMessage), &talk.caller(Said::Send("x")));
            let plain = headers(V0_3);
            caller.request("POST /agents/currency", &format!("{plain}{said}"), &body).await;
            let request = talk.asked(O::SendMessage).await;
            let versions: Vec<_> = request.head.headers.get_all("a2a-version").iter().collect();
            assert_eq!(versions, [talk.agent.as_str()], "{talk}: {said}");
        }
    }
}

#[tokio::test]
async fn javas_wish_for_http_2_is_ignored_on_calls_and_cards() {
    let wish = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n";
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        talk.pair.agent.show(r#"{"name":"A","url":"http://a/","protocolVersion":"0.3.0"}"#);
        let mut caller = Client::connect(talk.pair.planner.outbound).await;
        let host = format!("Host: {}\r\n{wish}", talk.pair.planner.outbound);
        caller.request("GET /agents/currency/.well-known/agent-card.json", &host, "").await;
        let card = caller.answer().await;
        assert_eq!((card.status, card.head.header("upgrade")), (200, None));

        // On the same connection, which is still one of HTTP/1.1.
        let body = request("1", method(talk.caller, O::SendMessage), &talk.caller(Said::Send("x")));
        let lines = format!("{}{wish}", headers(talk.caller));
        caller.request("POST /agents/currency", &lines, &body).await;
        let request = talk.asked(O::SendMessage).await;
        for name in ["upgrade", "http2-settings"] {
            assert_eq!(request.head.header(name), None, "{talk}");
        }
        request.result(&talk.agent(Said::Message("x"))).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.head.header("upgrade")), (200, None));
    }
}
