//! What operators see: metrics, probes, and a look inside for those in the pod.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use serde_json::json;

use crate::harness::agent::{message, status_update};
use crate::harness::client::{Answer, Client, say};
use crate::harness::dns::{Dns, host, srv};
use crate::harness::mesh::{Mesh, Pair, beside};

/// The metrics that the design promises, each with its labels.
const METRICS: [(&str, &[&str]); 11] = [
    ("dragoman_build_info", &["version"]),
    ("dragoman_bytes_total", &["direction", "form"]),
    ("dragoman_call_duration_seconds_count", &["direction"]),
    ("dragoman_calls_in_flight", &["direction"]),
    ("dragoman_calls_total", &["agent", "binding", "code", "dialect", "direction", "operation"]),
    ("dragoman_certificate_expiry_timestamp_seconds", &["trust_domain"]),
    ("dragoman_dns_resolutions_total", &["result"]),
    ("dragoman_endpoints", &["agent", "state"]),
    ("dragoman_faults_total", &["reason"]),
    ("dragoman_identity_reloads_total", &["result"]),
    ("dragoman_streams_open", &["direction"]),
];

/// Asks an operator's page by hand.
async fn ask(admin: SocketAddr, line: &str, host: &str) -> Answer {
    let mut client = Client::connect(admin).await;
    client.request(line, &format!("Host: {host}\r\n"), "").await;
    client.answer().await
}

/// Every sample: its name, and the names of its labels.
fn samples(text: &str) -> BTreeSet<(&str, BTreeSet<&str>)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, labels) =
                line.split_once('{').unwrap_or_else(|| (line.split(' ').next().unwrap(), ""));
            // No value that a test makes has a comma in it.
            let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
            (name, labels.collect())
        })
        .collect()
}

#[tokio::test]
async fn an_agent_that_dns_finds_is_called_and_every_metric_has_its_name_and_labels() {
    let mesh = Mesh::new();
    let dns = Dns::start().await;
    let mut agent = crate::harness::agent::Agent::start().await;
    let currency = mesh.sidecar("currency", beside("currency", &agent.url())).await;
    let service = format!("currency.{}.svc.cluster.local.", mesh.namespace);
    dns.serve([
        srv(&format!("_a2a._tcp.{service}"), 0, currency.inbound().port(), &service),
        host(&service, currency.inbound().ip()),
    ]);
    let planner =
        mesh.sidecar("planner", json!({"discovery": {"nameservers": [dns.address.to_string()]}})).await;
    let mut caller = planner.begin("currency", "SendMessage", &say("x")).await;
    agent.request().await.result(&message("x")).await;
    assert_eq!(caller.answer().await.status, 200);
    let caller = planner.begin("currency", "SendStreamingMessage", &say("x")).await;
    let mut stream = agent.request().await.stream().await;
    stream.event(&status_update("x")).await;
    let mut caller = caller.reading().await;
    caller.result().await;
    assert_eq!(planner.call("nobody", "GetTask", r#"{"id":"t"}"#).await.reason(), "AGENT_NOT_FOUND");

    let page = planner.page("/metrics").await;
    assert_eq!(page.status, 200);
    assert!(page.head.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(page.body.ends_with("# EOF\n"));
    let samples = samples(&page.body);
    for (name, labels) in METRICS {
        let labels = labels.iter().copied().collect();
        assert!(samples.contains(&(name, labels)), "{name}: {samples:?}");
    }
    let metrics = planner.metrics().await;
    let agent = format!("agent=\"{}\"", mesh.agent("currency"));
    let done =
        [&*agent, "operation=\"SendMessage\"", "binding=\"JSONRPC\"", "dialect=\"1.0\"", "code=\"OK\""];
    assert_eq!(metrics.sum("dragoman_calls_total", &done), 1.0);
    assert_eq!(metrics.sum("dragoman_streams_open", &["direction=\"outbound\""]), 1.0);
    assert_eq!(metrics.sum("dragoman_calls_in_flight", &["direction=\"outbound\""]), 1.0);
    assert_eq!(metrics.sum("dragoman_endpoints", &[&agent, "state=\"known\""]), 1.0);
    assert_eq!(metrics.sum("dragoman_dns_resolutions_total", &["result=\"found\""]), 1.0);
    assert!(metrics.sum("dragoman_bytes_total", &["form=\"json\""]) > 0.0);
    let inbound = currency.metrics().await;
    assert_eq!(
        inbound.sum("dragoman_calls_total", &["direction=\"inbound\"", "binding=\"GRPC\"", "code=\"OK\""]),
        1.0
    );
    let endpoints = planner.page("/endpoints").await.json();
    let one = endpoints.as_array().unwrap().iter().find(|one| one["name"] == mesh.agent("currency")).unwrap();
    assert_eq!(one["addresses"], json!([currency.inbound().to_string()]));
}

#[tokio::test]
async fn names_that_callers_invent_leave_no_label() {
    let pair = Pair::start().await;
    for n in 0..20 {
        pair.planner.call(&format!("made-up-{n}.x.nowhere"), "GetTask", r#"{"id":"t"}"#).await;
    }
    let page = pair.planner.page("/metrics").await.body;
    assert!(!page.contains("made-up"), "{page}");
    let metrics = pair.planner.metrics().await;
    assert_eq!(metrics.sum("dragoman_calls_total", &["agent=\"other\"", "code=\"AGENT_NOT_FOUND\""]), 20.0);
}

#[tokio::test]
async fn a_look_inside_is_for_those_in_the_pod_who_mean_it() {
    let mesh = Mesh::new();
    let config = json!({"admin": {"listen": "0.0.0.0:0"}, "outbound": {"forward": ["allowed.example"]}});
    let sidecar = mesh.sidecar("planner", config).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], sidecar.admin.port()));
    for path in ["/config", "/endpoints", "/"] {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:2690"] {
            assert_eq!(ask(admin, &format!("GET {path}"), host).await.status, 200, "{path} at {host}");
        }
        // A page in a browser may have its own name resolved to this machine.
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""] {
            assert_eq!(ask(admin, &format!("GET {path}"), host).await.status, 403, "{path} at {host}");
        }
    }
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(ask(admin, &format!("GET {path}"), "10.1.2.3:2690").await.status, 200, "{path}");
    }
    let config = ask(admin, "GET /config", "localhost").await.json();
    assert_eq!(config["mesh"]["namespace"], *mesh.namespace);
    assert_eq!(config["outbound"]["forward"], json!(["allowed.example"]));
    assert_eq!(config["limits"]["message"], "16MiB");
    if let Some(outside) = outside() {
        let admin = SocketAddr::new(outside, sidecar.admin.port());
        for (path, status) in
            [("/config", 403), ("/endpoints", 403), ("/", 403), ("/metrics", 200), ("/readyz", 200)]
        {
            assert_eq!(ask(admin, &format!("GET {path}"), "localhost").await.status, status, "{path}");
        }
    }
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent to find it.
fn outside() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

#[tokio::test]
async fn other_pages_and_other_methods_are_refused() {
    let mesh = Mesh::new();
    let sidecar = mesh.sidecar("planner", json!({})).await;
    assert_eq!(ask(sidecar.admin, "GET /debug/pprof", "localhost").await.status, 404);
    assert_eq!(ask(sidecar.admin, "POST /readyz", "localhost").await.status, 405);
    assert_eq!(ask(sidecar.admin, "DELETE /config", "localhost").await.status, 405);
}
