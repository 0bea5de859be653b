//! Every way in which the agent of a pod names another one, and what is turned away at the door.

use std::net::SocketAddr;

use serde_json::json;

use crate::harness::agent::{Agent, message};
use crate::harness::client::{Answer, Client, JSON, envelope, say};
use crate::harness::mesh::{Mesh, Pair, Sidecar, beside, known};

const CONTENT: &str = "Content-Type: application/json\r\n";

/// Sends a request by hand: its first line without the version, and its header lines.
async fn send(address: SocketAddr, line: &str, headers: &str, body: &str) -> Answer {
    let mut client = Client::connect(address).await;
    client.request(line, headers, body).await;
    client.answer().await
}

/// A house where everybody answers.
async fn house(outbound: serde_json::Value) -> (Mesh, Sidecar, Sidecar, impl Sized) {
    let pair = Pair::with(json!({"outbound": outbound}), json!({})).await;
    let Pair { mesh, planner, currency, agent } = pair;
    (mesh, planner, currency, agent.always(|_| message("reached")))
}

#[tokio::test]
async fn every_way_to_name_an_agent_reaches_it() {
    let (mesh, planner, _currency, _agent) = house(json!({})).await;
    let (namespace, own) = (&mesh.namespace, planner.outbound);
    let call = envelope("SendMessage", &say("x"));
    for (target, host) in [
        ("/agents/currency".to_owned(), own.to_string()),
        ("/agents/currency/".to_owned(), own.to_string()),
        (format!("/agents/currency.{namespace}"), format!("localhost:{}", own.port())),
        (format!("/agents/Currency.{namespace}.east/"), "localhost".to_owned()),
        (format!("/agents/currency.{namespace}.east.a2a"), "[::1]:1".to_owned()),
        ("http://currency.a2a/".to_owned(), "currency.a2a".to_owned()),
        (format!("http://currency.{namespace}.a2a"), "ignored.example".to_owned()),
        (format!("http://CURRENCY.{namespace}.east.a2a:80/"), "x".to_owned()),
        (format!("http://{own}/agents/currency"), own.to_string()),
        ("/".to_owned(), format!("currency.{namespace}.a2a")),
        ("/".to_owned(), format!("currency.{namespace}.east.a2a.:2602")),
        ("/".to_owned(), format!("currency.{namespace}.svc.cluster.local")),
        ("/".to_owned(), format!("currency.{namespace}.svc.cluster.local.:{}", own.port())),
    ] {
        let answer = send(own, &format!("POST {target}"), &format!("Host: {host}\r\n{CONTENT}"), &call).await;
        assert_eq!(answer.status, 200, "{target} at {host}: {}", answer.body);
        assert!(answer.result().contains("reached"), "{target} at {host}");
    }
}

#[tokio::test]
async fn a_port_of_its_own_means_one_agent_whatever_the_path_of_the_base() {
    let (mesh, planner, _currency, _agent) = house(json!({"ports": {"currency": 0}})).await;
    let (name, port) = planner.app.addresses.ports[0].clone();
    assert_eq!(name, mesh.agent("currency"));
    assert_ne!(port, planner.outbound);
    let call = envelope("SendMessage", &say("x"));
    let answer = send(port, "POST /", &format!("Host: {port}\r\n{CONTENT}"), &call).await;
    assert!(answer.result().contains("reached"));
    let answer = send(port, "POST /", &format!("Host: evil.example\r\n{CONTENT}"), &call).await;
    assert_eq!(answer.status, 421);
}

#[tokio::test]
async fn each_of_two_agents_of_a_pod_is_asked_by_its_name() {
    let mesh = Mesh::new();
    let (first, second) = (Agent::start().await, Agent::start().await);
    let mut agents = beside("first", &first.url());
    let more = beside("second", &second.url())["agents"][0].clone();
    agents["agents"].as_array_mut().unwrap().push(more);
    let pod = mesh.sidecar("pod", agents).await;
    let mut config = known("first", &[pod.inbound()]);
    config["discovery"]["static"]["second"] = json!([pod.inbound().to_string()]);
    let planner = mesh.sidecar("planner", config).await;
    let _agents = (first.always(|_| message("1st")), second.always(|_| message("2nd")));
    for (agent, text) in [("first", "1st"), ("second", "2nd")] {
        assert!(planner.call(agent, "SendMessage", &say("x")).await.result().contains(text));
    }
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_misdirected() {
    let (_mesh, planner, _currency, _agent) = house(json!({})).await;
    let call = envelope("SendMessage", &say("x"));
    // A page may have its own name resolved to this machine.
    for host in [
        "evil.example",
        "evil.example:2602",
        "10.9.8.7",
        "currency.default.svc.other.local",
        "a2a",
        "localhost.evil.example",
    ] {
        let answer =
            send(planner.outbound, "POST /agents/currency", &format!("Host: {host}\r\n{CONTENT}"), &call)
                .await;
        assert_eq!(answer.status, 421, "{host}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(host));
    }
    let answer = send(planner.outbound, "POST /agents/currency", CONTENT, &call).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn it_is_no_open_proxy_and_no_tunnel() {
    let outside = Agent::start().await;
    let forward = json!({"forward": [outside.address.to_string()]});
    let (_mesh, planner, _currency, _agent) = house(forward).await;
    let answer =
        send(planner.outbound, "GET http://elsewhere.example/", "Host: elsewhere.example\r\n", "").await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("NO_PROXY"), "{}", answer.body);
    let answer = send(planner.outbound, "CONNECT currency.a2a:443", "Host: currency.a2a:443\r\n", "").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn a_listed_host_outside_is_passed_on_to_as_it_was_asked() {
    let mut outside = Agent::start().await;
    // A loopback address would be this sidecar. This one is not, and yet it leads to this machine.
    let host = format!("0.0.0.0:{}", outside.address.port());
    let (_mesh, planner, _currency, _agent) = house(json!({"forward": [host]})).await;
    let mut client = Client::connect(planner.outbound).await;
    let headers = format!(
        "Host: {host}\r\nX-Kept: 1\r\nProxy-Authorization: Basic eA==\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
    );
    client.request(&format!("PUT http://{host}/a/b?c=d"), &headers, "body").await;
    let request = outside.request().await;
    assert_eq!(request.head.start, "PUT /a/b?c=d HTTP/1.1");
    assert_eq!(request.head.header("host"), Some(&*host));
    assert_eq!((request.text(), request.head.header("x-kept")), ("body", Some("1")));
    for hop in ["proxy-authorization", "connection", "x-hop"] {
        assert_eq!(request.head.header(hop), None, "{hop}");
    }
    request.answer("418 I'm a teapot", "X-Tea: green\r\n", b"short").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.head.header("x-tea"), &*answer.body), (418, Some("green"), "short"));
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_ask_call_and_read() {
    let (_mesh, planner, _currency, _agent) =
        house(json!({"allowedOrigins": ["http://ui.example:3000"]})).await;
    let preflight =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type, x-key\r\n";
    for (origin, status, allowed) in
        [("http://ui.example:3000", 204, Some("http://ui.example:3000")), ("http://evil.example", 403, None)]
    {
        let headers = format!("Host: localhost\r\nOrigin: {origin}\r\n{preflight}");
        let answer = send(planner.outbound, "OPTIONS /agents/currency", &headers, "").await;
        assert_eq!((answer.status, answer.head.header("access-control-allow-origin")), (status, allowed));
        let wanted = allowed.map(|_| "content-type, x-key");
        assert_eq!(answer.head.header("access-control-allow-headers"), wanted);
    }
    let headers = format!("{JSON}Origin: http://ui.example:3000\r\n");
    let call = envelope("SendMessage", &say("x"));
    let answer = send(planner.outbound, "POST /agents/currency", &headers, &call).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.head.header("access-control-allow-origin"), Some("http://ui.example:3000"));
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_call() {
    let (_mesh, planner, _currency, _agent) =
        house(json!({"allowedOrigins": ["http://ui.example:3000"]})).await;
    let call = envelope("SendMessage", &say("x"));
    for (headers, status) in [
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://ui.example\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Origin: http://ui.example:3000\r\nSec-Fetch-Site: cross-site\r\n", 200),
        ("Sec-Fetch-Site: none\r\n", 200),
        ("", 200),
    ] {
        let answer =
            send(planner.outbound, "POST /agents/currency", &format!("{JSON}{headers}"), &call).await;
        assert_eq!(answer.status, status, "{headers}");
    }
    // What a page can send without asking is no call.
    for content in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/jsonx\r\n",
    ] {
        let answer =
            send(planner.outbound, "POST /agents/currency", &format!("Host: localhost\r\n{content}"), &call)
                .await;
        assert_eq!(answer.status, 415, "{content}");
    }
    for content in ["application/a2a+json", "Application/JSON; charset=utf-8"] {
        let headers = format!("Host: localhost\r\nContent-Type: {content}\r\n");
        assert_eq!(
            send(planner.outbound, "POST /agents/currency", &headers, &call).await.status,
            200,
            "{content}"
        );
    }
}

#[tokio::test]
async fn what_is_at_no_path_is_not_found() {
    let (_mesh, planner, _currency, _agent) = house(json!({})).await;
    for (line, status) in [
        ("GET /", 404),
        ("POST /agentsx", 404),
        ("POST /agents/a_b", 404),
        ("POST /agents/a.b.c.d", 404),
        ("PUT /agents/currency", 405),
        ("GET /agents/currency", 405),
    ] {
        let answer = send(planner.outbound, line, JSON, "{}").await;
        assert_eq!(answer.status, status, "{line}");
        assert!(answer.json()["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn a_pod_may_call_whom_it_is_allowed_to_and_nobody_else() {
    let (mesh, planner, _currency, _agent) = house(json!({"allow": ["currency", "*.bank"]})).await;
    assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("reached"));
    for (agent, reason) in [("hotel", "PERMISSION_DENIED"), ("any.bank", "AGENT_UNREACHABLE")] {
        let answer = planner.call(agent, "GetTask", r#"{"id":"t"}"#).await;
        assert_eq!((answer.status, answer.reason()), (200, reason.into()), "{agent}");
    }
    let name = mesh.agent("hotel");
    let line = crate::harness::logs::line("the denial", |line| line["agent"] == *name).await;
    assert_eq!((&line["decision"], &line["reason"]), (&json!("denied"), &json!("PERMISSION_DENIED")));
    assert_eq!(line["cause"], "outbound.allow does not list it");
}

#[tokio::test]
async fn the_agents_that_are_known_are_listed() {
    let (mesh, planner, currency, _agent) = house(json!({})).await;
    planner.call("currency", "SendMessage", &say("x")).await;
    let answer = send(planner.outbound, "GET /agents", "Host: localhost\r\n", "").await;
    assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("application/json")));
    let listed = answer.json();
    let one = listed.as_array().unwrap().iter().find(|one| one["name"] == mesh.agent("currency")).unwrap();
    assert_eq!((&one["mesh"], &one["endpoints"]), (&json!("east"), &json!([currency.inbound().to_string()])));
    assert_eq!(one["healthy"], true);
}
