//! The zone as those who ask see it: bytes in, bytes out.

use std::sync::Arc;

use bytes::Bytes;
use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_server::proto::rr::DNSClass;
use rand::SeedableRng as _;

use super::*;
use crate::a2a::{Home, Name};
use crate::directory::{Card, Endpoint, Skill};

mod limits;
mod refusals;

fn name(text: &str) -> Name {
    Name::parse(text, &Home { namespace: "travel".into(), mesh: "east".into() }).unwrap()
}

pub(super) fn domain(text: &str) -> Domain {
    Domain::from_ascii(text).unwrap()
}

/// An agent with replicas, of which those with a `!` take no calls.
pub(super) fn agent(text: &str, replicas: &[&str]) -> Agent {
    let endpoint = |text: &&str| {
        let address = text.trim_start_matches('!');
        Endpoint { address: address.parse().unwrap(), ready: address == *text }
    };
    Agent {
        name: name(text),
        endpoints: replicas.iter().map(endpoint).collect(),
        card: None,
        card_error: None,
    }
}

fn card(version: &str, skills: &[&str]) -> Card {
    let skill = |id: &&str| Skill {
        id: (*id).to_owned(),
        name: String::new(),
        description: String::new(),
        tags: Vec::new(),
    };
    Card {
        text: Bytes::from_static(b"{}"),
        display_name: String::new(),
        description: String::new(),
        version: version.to_owned(),
        dialects: Vec::new(),
        skills: skills.iter().map(skill).collect(),
        read: 0,
    }
}

pub(super) fn zone(agents: impl IntoIterator<Item = Agent>) -> Zone {
    let agents = agents.into_iter().map(|agent| (agent.name.clone(), Arc::new(agent))).collect();
    let addresses = vec!["10.96.0.53".parse().unwrap(), "fd00::53".parse().unwrap()];
    let settings = Settings::new("a2a.cluster.local", "east", "east.example").unwrap();
    Zone::new(&Snapshot { agents, addresses, complete: true, ..Snapshot::default() }, settings, 7)
}

/// Two namespaces, two other meshes (one is called like a namespace), and all kinds of agents.
pub(super) fn usual() -> Zone {
    let currency = agent("currency", &["10.0.0.1:2643", "10.0.0.2:2643", "!10.0.0.3:2643", "[fd00::2]:2643"]);
    let currency =
        Agent { card: Some(card("1.2.0", &["convert", "with,comma", "rates", "späti"])), ..currency };
    zone([
        currency,
        agent("weather", &[]),
        agent("ledger.bank", &["10.0.1.1:7000"]),
        agent("currency.travel.west", &["10.9.0.1:2643"]),
        agent("one.currency.travel", &["10.8.0.1:2643"]),
    ])
}

pub(super) fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(domain(name), kind));
    message
}

pub(super) fn with_edns(mut question: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    question.set_edns(edns);
    question
}

pub(super) fn send(zone: &Zone, question: &Message, transport: Transport) -> (Message, usize) {
    let mut chance = SmallRng::seed_from_u64(1);
    let reply = respond(zone, &question.to_vec().unwrap(), transport, &mut chance).unwrap();
    let answer = Message::from_vec(&reply.bytes).unwrap();
    assert_eq!(answer.to_vec().unwrap().len(), reply.bytes.len(), "nothing stands behind the message");
    assert_eq!((answer.id, answer.message_type), (4711, MessageType::Response));
    assert!(answer.recursion_desired && !answer.recursion_available);
    (answer, reply.bytes.len())
}

pub(super) fn ask(zone: &Zone, name: &str, kind: RecordType) -> Message {
    send(zone, &question(name, kind), Transport::Tcp).0
}

/// The records of an answer, as a zone file has them, sorted.
fn told(zone: &Zone, name: &str, kind: RecordType) -> Vec<String> {
    let answer = ask(zone, name, kind);
    assert!(answer.authoritative, "{name} {kind}");
    for record in &answer.answers {
        assert_eq!((record.name.to_ascii(), record.record_type()), (name.to_owned(), kind));
    }
    let data = |record: &Record| match &record.data {
        RData::TXT(text) => {
            text.txt_data.iter().map(|text| String::from_utf8_lossy(text)).collect::<Vec<_>>().join(" ")
        }
        data => data.to_string(),
    };
    let mut data: Vec<_> =
        answer.answers.iter().map(|record| format!("{} {}", record.ttl, data(record))).collect();
    data.sort_unstable();
    data
}

const CATALOG: &str = "30 1 travel.a2a.cluster.local. alpn=h2, port=443";
const CURRENCY: &str = "30 1 currency.travel.a2a.cluster.local. mandatory=alpn,port, alpn=h2, port=2643 \
    key65400=\"https://travel.a2a.cluster.local/agents/currency/agent-card.json\", \
    key65401=\"RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o\", key65402=\"a2a=1.0\", key65404=\"east.example\",";
const WEATHER: &str = "30 1 weather.travel.a2a.cluster.local. mandatory=alpn,port, alpn=h2, port=2643 \
    key65402=\"a2a=1.0\", key65404=\"east.example\",";
const SOA_DATA: &str = "5 a2a.cluster.local. hostmaster.a2a.cluster.local. 7 7200 1800 86400 5";

/// Every name with records, what was asked for, and what there is.
const LAYOUT: [(&str, RecordType, &[&str]); 33] = [
    ("", RecordType::SOA, &[SOA_DATA]),
    ("", RecordType::NS, &["30 a2a.cluster.local."]),
    ("", RecordType::A, &["30 10.96.0.53"]),
    ("", RecordType::AAAA, &["30 fd00::53"]),
    ("travel.", RecordType::A, &["30 10.96.0.53"]),
    ("bank.", RecordType::AAAA, &["30 fd00::53"]),
    ("a2a-version.", RecordType::TXT, &["30 1.0"]),
    ("currency.travel.", RecordType::A, &["5 10.0.0.1", "5 10.0.0.2"]),
    ("currency.travel.", RecordType::AAAA, &["5 fd00::2"]),
    ("currency.travel.", RecordType::SVCB, &[CURRENCY]),
    ("weather.travel.", RecordType::SVCB, &[WEATHER]),
    ("currency.travel.", RecordType::TXT, &["30 capabilities=convert,rates version=1.2.0"]),
    ("10-0-0-2.currency.travel.", RecordType::A, &["5 10.0.0.2"]),
    ("fd00-0-0-0-0-0-0-2.currency.travel.", RecordType::AAAA, &["5 fd00::2"]),
    ("_a2a._tcp.ledger.bank.", RecordType::SRV, &["5 0 100 7000 10-0-1-1.ledger.bank.a2a.cluster.local."]),
    ("currency._agents.travel.", RecordType::SVCB, &["30 0 currency.travel.a2a.cluster.local."]),
    ("_index._agents.travel.", RecordType::TXT, &["30 agents=currency:a2a,weather:a2a"]),
    ("_index._agents.travel.", RecordType::SVCB, &[CATALOG]),
    ("_catalog._agents.travel.", RecordType::SVCB, &[CATALOG]),
    ("_entries._agents.travel.", RecordType::SVCB, &[CATALOG]),
    ("_search._agents.travel.", RecordType::SVCB, &[CATALOG]),
    ("_a2a._agents.travel.", RecordType::SVCB, &[CATALOG]),
    ("_a2a._tcp.bank.", RecordType::PTR, &["30 ledger._a2a._tcp.bank.a2a.cluster.local."]),
    ("_agent._tcp.bank.", RecordType::PTR, &["30 ledger._agent._tcp.bank.a2a.cluster.local."]),
    ("ledger._a2a._tcp.bank.", RecordType::SRV, &["5 0 0 7000 ledger.bank.a2a.cluster.local."]),
    (
        "ledger._agent._tcp.bank.",
        RecordType::TXT,
        &["30 txtvers=1 proto=a2a path=/.well-known/agent-card.json"],
    ),
    (
        "_services._dns-sd._udp.bank.",
        RecordType::PTR,
        &["30 _a2a._tcp.bank.a2a.cluster.local.", "30 _agent._tcp.bank.a2a.cluster.local."],
    ),
    (
        "_services._dns-sd._udp.",
        RecordType::PTR,
        &["30 _a2a._tcp.a2a.cluster.local.", "30 _agent._tcp.a2a.cluster.local."],
    ),
    ("b._dns-sd._udp.", RecordType::PTR, &["30 bank.a2a.cluster.local.", "30 travel.a2a.cluster.local."]),
    ("lb._dns-sd._udp.", RecordType::PTR, &["30 bank.a2a.cluster.local.", "30 travel.a2a.cluster.local."]),
    (
        "_a2a._tcp.",
        RecordType::PTR,
        &[
            "30 currency._a2a._tcp.travel.a2a.cluster.local.",
            "30 ledger._a2a._tcp.bank.a2a.cluster.local.",
            "30 weather._a2a._tcp.travel.a2a.cluster.local.",
        ],
    ),
    (
        "_a2a._tcp.currency.travel.west.",
        RecordType::SRV,
        &["5 0 100 2643 10-9-0-1.currency.travel.west.a2a.cluster.local."],
    ),
    ("10-9-0-1.currency.travel.west.", RecordType::A, &["5 10.9.0.1"]),
];

#[test]
fn every_record_of_the_layout_is_there() {
    let zone = usual();
    for (below, kind, records) in LAYOUT {
        assert_eq!(told(&zone, &format!("{below}a2a.cluster.local."), kind), records, "{below} {kind}");
    }
}

#[test]
fn the_replicas_of_a_service_come_with_their_addresses() {
    let zone = usual();
    let answer = ask(&zone, "_a2a._tcp.currency.travel.a2a.cluster.local.", RecordType::SRV);
    let targets: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(
        targets,
        [
            "0 100 2643 10-0-0-1.currency.travel.a2a.cluster.local.",
            "0 100 2643 10-0-0-2.currency.travel.a2a.cluster.local.",
            "0 100 2643 fd00-0-0-0-0-0-0-2.currency.travel.a2a.cluster.local.",
        ]
    );
    let glue: Vec<_> = answer.additionals.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(glue, ["10.0.0.1", "10.0.0.2", "fd00::2"]);
    for record in &answer.additionals {
        let asked = ask(&zone, &record.name.to_ascii(), record.record_type());
        assert_eq!(asked.answers, std::slice::from_ref(record), "glue says what the name says");
    }
    let instance = ask(&zone, "currency._a2a._tcp.travel.a2a.cluster.local.", RecordType::SRV);
    assert_eq!(instance.additionals.len(), 3);
}

/// A name of the zone, and whether it is there.
const NAMES: [(&str, bool); 34] = [
    ("", true),
    ("travel.", true),
    ("currency.travel.", true),
    ("weather.travel.", true),
    ("_tcp.currency.travel.", true),
    ("_agents.travel.", true),
    ("_tcp.travel.", true),
    ("_udp.travel.", true),
    ("_dns-sd._udp.travel.", true),
    ("_udp.", true),
    ("_dns-sd._udp.", true),
    ("_tcp.", true),
    ("west.", true),
    ("travel.west.", true),
    ("currency.travel.west.", true),
    ("_tcp.currency.travel.west.", true),
    ("currency.travel.travel.", false),
    ("one.currency.travel.", true),
    ("_a2a._tcp.one.currency.travel.", true),
    ("two.currency.travel.", false),
    ("nobody.travel.", false),
    ("_a2a._tcp.nobody.travel.", false),
    ("nowhere.", false),
    ("_a2a._tcp.currency.nowhere.", false),
    ("_agent._tcp.currency.travel.", false),
    ("10-0-0-3.currency.travel.", false),
    ("a.10-0-0-1.currency.travel.", false),
    ("nobody._agents.travel.", false),
    ("_other._agents.travel.", false),
    ("a.b.c.d.e.f.", false),
    ("_a2a._tcp.currency.travel.east.", false),
    ("xn--a.travel.", false),
    ("*.travel.", false),
    ("a2a-version.", true),
];

#[test]
fn a_name_without_records_is_there_if_others_are_below_it() {
    let zone = usual();
    for (below, exists) in NAMES {
        let answer = ask(&zone, &format!("{below}a2a.cluster.local."), RecordType::MX);
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        assert_eq!((answer.response_code, answer.answers.len()), (code, 0), "{below}");
        assert!(answer.authoritative);
        let [soa] = &answer.authorities[..] else { panic!("{below}: no SOA") };
        assert_eq!((soa.name.to_ascii().as_str(), soa.ttl), ("a2a.cluster.local.", 5));
        let RData::SOA(data) = &soa.data else { panic!("{soa}") };
        assert_eq!(data.minimum, 5);
    }
}

#[test]
fn an_agent_without_replicas_is_known_but_nowhere() {
    let zone = usual();
    for (name, kind) in [
        ("weather.travel.a2a.cluster.local.", RecordType::A),
        ("weather.travel.a2a.cluster.local.", RecordType::TXT),
        ("_a2a._tcp.weather.travel.a2a.cluster.local.", RecordType::SRV),
    ] {
        let answer = ask(&zone, name, kind);
        assert_eq!((answer.response_code, answer.answers.len()), (ResponseCode::NoError, 0), "{name}");
        assert_eq!(answer.authorities.len(), 1);
    }
}

#[test]
fn a_mesh_that_is_called_like_a_namespace_hides_nothing() {
    let zone = zone([
        agent("currency.travel", &["10.0.0.1:2643"]),
        // Their hosts and names would meet, if foreign agents had addresses of their own.
        agent("10-0-0-1.currency.travel", &["10.8.0.1:2643"]),
        agent("currency.travel.west", &["10.9.0.1:2643"]),
        agent("travel.west", &["10.7.0.1:2643"]),
    ]);
    for (below, kind, records) in [
        ("10-0-0-1.currency.travel.", RecordType::A, vec!["5 10.0.0.1"]),
        (
            "_a2a._tcp.10-0-0-1.currency.travel.",
            RecordType::SRV,
            vec!["5 0 100 2643 10-8-0-1.10-0-0-1.currency.travel.a2a.cluster.local."],
        ),
        ("travel.west.", RecordType::A, vec!["5 10.7.0.1"]),
        ("10-9-0-1.currency.travel.west.", RecordType::A, vec!["5 10.9.0.1"]),
    ] {
        assert_eq!(told(&zone, &format!("{below}a2a.cluster.local."), kind), records, "{below}");
    }
}

#[test]
fn a_namespace_may_be_called_like_the_version() {
    let zone = zone([agent("currency.a2a-version", &["10.0.0.1:2643"])]);
    assert_eq!(told(&zone, "a2a-version.a2a.cluster.local.", RecordType::TXT), ["30 1.0"]);
    assert_eq!(told(&zone, "a2a-version.a2a.cluster.local.", RecordType::A), ["30 10.96.0.53"]);
}

#[test]
fn the_case_of_the_question_comes_back_and_does_not_matter() {
    let zone = usual();
    let asked = "_A2a._tCp.CURRENCY.traVel.A2A.cluster.LOCAL.";
    let answer = ask(&zone, asked, RecordType::SRV);
    assert_eq!(answer.queries[0].name.to_ascii(), asked);
    assert_eq!(answer.answers.len(), 3);
    assert!(answer.answers.iter().all(|record| record.name.to_ascii() == asked));
}

#[test]
fn the_digest_is_that_of_the_served_bytes() {
    let mut texts = Vec::new();
    for text in [&b"{}"[..], b"{ }"] {
        let card = Card { text: Bytes::copy_from_slice(text), ..card("", &[]) };
        let agent = Agent { card: Some(card), ..agent("currency", &[]) };
        let zone = zone([agent]);
        texts.extend(told(&zone, "currency.travel.a2a.cluster.local.", RecordType::SVCB));
        assert!(told(&zone, "currency.travel.a2a.cluster.local.", RecordType::TXT).is_empty());
    }
    assert!(texts[0].contains("key65401=\"RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o\""), "{texts:?}");
    assert_ne!(texts[0], texts[1]);
}

#[test]
fn what_is_no_zone_is_refused_and_named() {
    for zone in ["a..b", "-a.", &"a".repeat(64)] {
        let error = Settings::new(zone, "east", "east.example").unwrap_err().to_string();
        assert!(error.contains("is no DNS zone"), "{error}");
    }
    assert!(Settings::new("A2A.cluster.local.", "east", "east.example").is_ok());
}
