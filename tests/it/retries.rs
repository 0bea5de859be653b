//! What is asked again at another endpoint, and what never is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dragoman::a2a::Operation;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::agent::{Agent, message};
use crate::harness::client::say;
use crate::harness::dns::{Dns, host, srv};
use crate::harness::eventually;
use crate::harness::mesh::{Mesh, Pair, Sidecar, beside, known};
use crate::harness::peer::{FarSide, reply, tls};

const SEND: &str = "SendMessage";

#[tokio::test]
async fn a_call_that_was_surely_not_looked_at_goes_to_another_endpoint() {
    let mesh = Mesh::new();
    let mut first = FarSide::start(&mesh, "currency", &[b"h2"]).await;
    let mut second = FarSide::start(&mesh, "currency", &[b"h2"]).await;
    let planner = mesh.sidecar("planner", known("currency", &[first.address, second.address])).await;
    for _ in 0..8 {
        let mut caller = planner.begin("currency", SEND, &say("x")).await;
        // Whoever is asked refuses the stream; whoever is asked then answers.
        let (mut asked, other) = tokio::select! {
            asked = first.request() => (asked, &mut second),
            asked = second.request() => (asked, &mut first),
        };
        asked.respond.send_reset(h2::Reason::REFUSED_STREAM);
        other.request().await.message(&reply(Operation::SendMessage, &message("other")));
        assert!(caller.answer().await.result().contains("other"));
    }
}

#[tokio::test]
async fn a_stream_that_goaway_leaves_out_goes_to_another_endpoint() {
    let mesh = Mesh::new();
    let leaving = leaving(&mesh).await;
    let mut other = FarSide::start(&mesh, "currency", &[b"h2"]).await;
    let planner = mesh.sidecar("planner", known("currency", &[leaving.address, other.address])).await;
    // Sooner or later it is the one that leaves which is asked first.
    while leaving.asked.load(Ordering::Relaxed) < 2 {
        let mut caller = planner.begin("currency", SEND, &say("x")).await;
        other.request().await.message(&reply(Operation::SendMessage, &message("other")));
        assert!(caller.answer().await.result().contains("other"));
    }
}

/// A far side that answers each request with a GOAWAY which says that it was not looked at.
struct Leaving {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _listening: AbortOnDropHandle<()>,
}

async fn leaving(mesh: &Mesh) -> Leaving {
    let acceptor = TlsAcceptor::from(tls(&mesh.issue("currency"), &mesh.domain).server(&[b"h2"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let listening = dragoman::task::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            // Our SETTINGS, none of them.
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.unwrap();
            loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                stream.read_exact(&mut payload).await.unwrap();
                // HEADERS begin a stream.
                if head[3] == 1 {
                    break;
                }
            }
            count.fetch_add(1, Ordering::Relaxed);
            // GOAWAY: the last stream that was looked at is 0, and nothing is wrong.
            stream.write_all(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0").await.unwrap();
            // Whatever else comes is not read.
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    });
    Leaving { address, asked, _listening: listening }
}

#[tokio::test]
async fn an_endpoint_that_accepts_and_says_nothing_is_given_up_for_another_one() {
    let mesh = Mesh::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let agent = Agent::start().await;
    let currency = mesh.sidecar("currency", beside("currency", &agent.url())).await;
    let _answering = agent.always(|_| message("speaks"));
    let mut alone = known("currency", &[silent]);
    alone["limits"] = json!({"connect": "100ms"});
    let mut both = known("currency", &[silent, currency.inbound()]);
    both["limits"] = json!({"connect": "100ms"});
    let alone = mesh.sidecar("alone", alone).await;
    assert_eq!(alone.call("currency", SEND, &say("x")).await.reason(), "AGENT_UNREACHABLE");
    // With so short a time, the one that speaks may be too slow once; the silent one is never the answer.
    let planner = mesh.sidecar("planner", both).await;
    eventually("an answer", || async {
        planner.call("currency", SEND, &say("x")).await.body.contains("speaks").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_that_was_started_anew_is_called_at_once() {
    let pair = Pair::start().await;
    let Pair { mesh, planner, currency, agent } = pair;
    let mut config = beside("currency", &agent.url());
    let _answering = agent.always(|_| message("x"));
    assert!(planner.call("currency", SEND, &say("x")).await.body.contains("result"));
    config["inbound"] = json!({"listen": currency.inbound().to_string()});
    let mut currency = currency;
    for _ in 0..5 {
        let address = currency.inbound();
        drop(currency);
        eventually("the end of the sidecar", || async { TcpStream::connect(address).await.err() }).await;
        currency = mesh.sidecar("currency", config.clone()).await;
        let answer = planner.call("currency", SEND, &say("x")).await;
        assert!(answer.body.contains("result"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_call_waits_for_the_replica_that_takes_the_place_of_its_only_one() {
    let mesh = Mesh::new();
    let agent = Agent::start().await;
    let config = beside("currency", &agent.url());
    let _answering = agent.always(|_| message("x"));
    let dns = Dns::start().await;
    let service = format!("currency.{}.svc.cluster.local.", mesh.namespace);
    let at = |sidecar: &Sidecar| {
        let address = sidecar.inbound();
        [srv(&format!("_a2a._tcp.{service}"), 0, address.port(), &service), host(&service, address.ip())]
    };
    let old = mesh.sidecar("currency", config.clone()).await;
    dns.serve(at(&old));
    let planner =
        mesh.sidecar("planner", json!({"discovery": {"nameservers": [dns.address.to_string()]}})).await;
    assert!(planner.call("currency", SEND, &say("x")).await.body.contains("result"));

    // DNS knows the new one, but nobody has asked again yet.
    let new = mesh.sidecar("currency", config).await;
    dns.serve(at(&new));
    let gone = old.inbound();
    drop(old);
    eventually("the end of the sidecar", || async { TcpStream::connect(gone).await.err() }).await;
    let answer = planner.call("currency", SEND, &say("x")).await;
    assert!(answer.body.contains("result"), "{}", answer.body);

    // One that nothing follows is given up all the same.
    let gone = new.inbound();
    drop(new);
    eventually("the end of the sidecar", || async { TcpStream::connect(gone).await.err() }).await;
    assert_eq!(planner.call("currency", SEND, &say("x")).await.reason(), "AGENT_UNREACHABLE");
}

#[tokio::test]
async fn a_read_is_asked_again_elsewhere_and_a_message_is_not() {
    let mesh = Mesh::new();
    let mut first = FarSide::start(&mesh, "currency", &[b"h2"]).await;
    let mut second = FarSide::start(&mesh, "currency", &[b"h2"]).await;
    let planner = mesh.sidecar("planner", known("currency", &[first.address, second.address])).await;

    let mut caller = planner.begin("currency", "GetTask", r#"{"id":"t"}"#).await;
    let (asked, other) = tokio::select! {
        asked = first.request() => (asked, &mut second),
        asked = second.request() => (asked, &mut first),
    };
    asked.status(&[("grpc-status", "14")]);
    other.request().await.message(&reply(Operation::GetTask, r#"{"id":"t"}"#));
    assert!(caller.answer().await.result().contains("\"t\""));

    // A message may have been processed, whatever is said about it.
    for ending in ["status", "reset", "goaway"] {
        let mut caller = planner.begin("currency", SEND, &say("x")).await;
        let mut asked = tokio::select! {
            asked = first.request() => asked,
            asked = second.request() => asked,
        };
        match ending {
            "status" => asked.status(&[("grpc-status", "14")]),
            "reset" => asked.respond.send_reset(h2::Reason::INTERNAL_ERROR),
            _ => asked.goaway.send(h2::Reason::PROTOCOL_ERROR).unwrap(),
        }
        assert_eq!(caller.answer().await.reason(), "AGENT_UNREACHABLE", "{ending}");
        assert!(!first.was_asked() && !second.was_asked(), "{ending}");
    }
}
