//! The directory's DNS as others meet it: over sockets, with a resolver, behind dnsmasq, and from a sidecar.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use dragoman::{
    a2a::{Home, Name},
    directory::{
        Agent, Endpoint, Snapshot,
        serve::{Dns, Metrics, Sockets},
        zone::Settings,
    },
    drain::{Trigger, drain},
    identity::Clock,
};
use hickory_server::proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name as Domain, RData, RecordType},
};
use prometheus_client::registry::Registry;
use tokio::{net::UdpSocket, sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::eventually;

/// As sidecars ask, and as the directory is found where nobody else is.
mod sidecar;
/// Connections: pieces, crowds and rudeness.
mod stream;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn home() -> Home {
    Home { namespace: "travel".into(), mesh: "east".into() }
}

/// A directory's DNS server on a free port, whose snapshot the test holds.
struct Directory {
    address: SocketAddr,
    snapshots: watch::Sender<Arc<Snapshot>>,
    registry: Registry,
    trigger: Trigger,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Directory {
    async fn start(snapshot: Snapshot) -> Self {
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let (trigger, drain) = drain();
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let settings = Settings::new("a2a.cluster.local", "east", "east.example").unwrap();
        let dns = Dns {
            settings,
            snapshots: receiver,
            drain,
            clock: Clock::new(|| 1_800_000_000),
            seed: 1,
            metrics,
        };
        let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = sockets.addresses[0];
        Self { address, snapshots, registry, trigger, tasks: dns.start(sockets).await.unwrap() }
    }

    /// Asks over UDP, with whatever bytes.
    async fn send(&self, question: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address).await.unwrap();
        socket.send(question).await.unwrap();
        let mut answer = vec![0; 70_000];
        let length = timeout(PATIENCE, socket.recv(&mut answer)).await.expect("no answer").unwrap();
        answer.truncate(length);
        answer
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Message {
        Message::from_vec(&self.send(&question(name, kind, Some(1232))).await).unwrap()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// A question as bytes; `payload` is what the asker takes, if it says so.
fn question(name: &str, kind: RecordType, payload: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Domain::from_ascii(name).unwrap(), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

/// What a directory knows that knows these agents, each with so many replicas.
fn snapshot(agents: &[(&str, u8)]) -> Snapshot {
    let agent = |(text, replicas): &(&str, u8)| {
        let name = Name::parse(text, &home()).unwrap();
        let endpoint = |last| Endpoint { address: ([10, 0, 0, last], 2643).into(), ready: true };
        let agent = Agent {
            name: name.clone(),
            endpoints: (1..=*replicas).map(endpoint).collect(),
            card: None,
            card_error: None,
        };
        (name, Arc::new(agent))
    };
    let agents: BTreeMap<_, _> = agents.iter().map(agent).collect();
    let addresses = vec!["10.96.0.53".parse().unwrap()];
    Snapshot { agents, addresses, complete: true, ..Snapshot::default() }
}

const SRV: &str = "_a2a._tcp.currency.travel.a2a.cluster.local.";

#[tokio::test]
async fn a_resolver_finds_an_agent_however_many_replicas_it_has() {
    use hickory_resolver::{
        Resolver,
        config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };
    let directory = Directory::start(snapshot(&[("currency", 200), ("weather", 2)])).await;
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = directory.address.port();
        connection
    });
    let server = NameServerConfig::new(directory.address.ip(), true, connections.into());
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    // It mixes capitals into what it asks, and believes no answer without them.
    builder.options_mut().case_randomization = true;
    let resolver = builder.build().unwrap();

    let services = resolver.srv_lookup(SRV).await.unwrap();
    assert_eq!((services.answers().len(), services.additionals().len()), (200, 200));
    let hosts = resolver.lookup_ip("weather.travel.a2a.cluster.local.").await.unwrap();
    assert_eq!(hosts.iter().count(), 2);
    let services = resolver.lookup("weather.travel.a2a.cluster.local.", RecordType::SVCB).await.unwrap();
    assert!(services.answers()[0].data.to_string().contains("port=2643"));
    let error = resolver.srv_lookup("_a2a._tcp.nobody.travel.a2a.cluster.local.").await.unwrap_err();
    assert!(error.is_nx_domain(), "{error}");
    let error = resolver.lookup_ip("travel.a2a.cluster.local.").await.map(|found| found.iter().count());
    assert_eq!(error.unwrap(), 1, "the namespace itself is where the directory is");
}

#[tokio::test]
async fn a_datagram_is_never_longer_than_its_asker_takes_nor_than_1232_bytes() {
    let directory = Directory::start(snapshot(&[("currency", 9), ("crowd", 200)])).await;
    for (name, payload, whole) in [
        (SRV, None, false),
        (SRV, Some(600), false),
        (SRV, Some(1232), true),
        (SRV, Some(65_000), true),
        ("_a2a._tcp.crowd.travel.a2a.cluster.local.", Some(65_000), false),
    ] {
        let answer = directory.send(&question(name, RecordType::SRV, payload)).await;
        let limit = usize::from(payload.unwrap_or(512)).min(1232);
        assert!(answer.len() <= limit, "{name} {payload:?}: {}", answer.len());
        let message = Message::from_vec(&answer).unwrap();
        assert_eq!(message.to_vec().unwrap().len(), answer.len(), "no bytes behind the message");
        assert_eq!(message.truncation, !whole, "{name} {payload:?}");
        assert_eq!(message.answers.is_empty(), !whole);
    }
}

#[tokio::test]
async fn rubbish_is_counted_and_stops_nobody() {
    let directory = Directory::start(snapshot(&[("currency", 1)])).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut answer = question(SRV, RecordType::SRV, None);
    answer[2] |= 0x80;
    for rubbish in [&[][..], b"x", &[0; 11], &answer, &[0xFF; 1400]] {
        socket.send_to(rubbish, directory.address).await.unwrap();
    }
    let cut = directory.send(&question(SRV, RecordType::SRV, None)[..20]).await;
    assert_eq!(Message::from_vec(&cut).unwrap().response_code, ResponseCode::FormErr);
    assert_eq!(directory.ask(SRV, RecordType::SRV).await.answers.len(), 1);
    directory.ask("example.com.", RecordType::A).await;
    let metrics = directory.metrics();
    for line in [
        "{type=\"SRV\",code=\"NOERROR\"} 1",
        "{type=\"A\",code=\"REFUSED\"} 1",
        "{type=\"none\",code=\"FORMERR\"} 1",
        "{type=\"none\",code=\"DROPPED\"} 5",
    ] {
        assert!(metrics.contains(&format!("dragoman_dns_queries_total{line}\n")), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn nothing_is_denied_before_the_cluster_was_read_and_changes_are_seen_at_once() {
    let directory = Directory::start(Snapshot::default()).await;
    assert_eq!(directory.ask(SRV, RecordType::SRV).await.response_code, ResponseCode::ServFail);
    for count in [0, 1, 3, 2] {
        directory.snapshots.send_replace(Arc::new(snapshot(&[("currency", count)])));
        eventually("the change", async || {
            let answer = directory.ask(SRV, RecordType::SRV).await;
            let told = answer.response_code == ResponseCode::NoError;
            (told && answer.answers.len() == usize::from(count)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn the_serial_number_grows_with_every_change() {
    let directory = Directory::start(snapshot(&[("currency", 1)])).await;
    let serial = async || {
        let answer = directory.ask("a2a.cluster.local.", RecordType::SOA).await;
        let RData::SOA(soa) = &answer.answers[0].data else { panic!("no SOA: {answer}") };
        soa.serial
    };
    assert_eq!(serial().await, 1_800_000_000);
    directory.snapshots.send_replace(Arc::new(snapshot(&[("currency", 2)])));
    eventually("the next number", async || (serial().await == 1_800_000_001).then_some(())).await;
}

#[tokio::test]
async fn at_the_end_of_the_house_the_server_ends_too() {
    let Directory { address, trigger, tasks, snapshots, .. } =
        Directory::start(snapshot(&[("currency", 1)])).await;
    assert!(trigger.pull(Duration::from_millis(50)).await);
    drop(snapshots);
    for task in tasks {
        timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    Sockets::bind(&[address]).unwrap();
}

#[tokio::test]
async fn another_server_passes_questions_on() {
    let directory = Directory::start(snapshot(&[("currency", 30), ("ledger.bank.west", 1)])).await;
    let dir = tempfile::tempdir().unwrap();
    let port = directory.address.port();
    let records = format!("server=/a2a.cluster.local/127.0.0.1#{port}\n");
    let Some((_child, address)) = crate::dnsmasq::start(dir.path(), &records).await else { return };
    let through = Directory { address, ..directory };
    let answer = through.ask(SRV, RecordType::SRV).await;
    assert!(answer.truncation, "too long for a datagram here as there");
    let answer = stream::once(address, &question(SRV, RecordType::SRV, None)).await;
    assert_eq!((answer.answers.len(), answer.additionals.len()), (30, 30));
    let service = through.ask("currency.travel.a2a.cluster.local.", RecordType::SVCB).await;
    assert!(service.answers[0].data.to_string().contains("key65402=\"a2a=1.0\""), "private keys pass");
    let denied = through.ask("nobody.travel.a2a.cluster.local.", RecordType::A).await;
    assert_eq!(denied.response_code, ResponseCode::NXDomain);
    let abroad = through.ask("_a2a._tcp.ledger.bank.west.a2a.cluster.local.", RecordType::SRV).await;
    assert_eq!(abroad.answers.len(), 1);
}
