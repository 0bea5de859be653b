//! What the zone does not answer, and how it says so.

use proptest::prelude::*;

use super::*;

fn code(zone: &Zone, question: &Message) -> (ResponseCode, Message) {
    let (answer, _) = send(zone, question, Transport::Udp);
    (answer.response_code, answer)
}

#[test]
fn names_outside_the_zone_are_refused() {
    for name in
        [".", "local.", "cluster.local.", "example.com.", "xa2a.cluster.local.", "a2a.cluster.local.example."]
    {
        let (code, answer) = code(&usual(), &question(name, RecordType::A));
        assert_eq!(code, ResponseCode::Refused, "{name}");
        assert!(!answer.authoritative && answer.authorities.is_empty());
        assert_eq!(answer.queries.len(), 1);
    }
}

#[test]
fn other_classes_and_transfers_are_refused() {
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::ANY, DNSClass::NONE, DNSClass::Unknown(4711)] {
        let mut question = question("a2a.cluster.local.", RecordType::SOA);
        question.queries[0].query_class = class;
        assert_eq!(code(&usual(), &question).0, ResponseCode::Refused, "{class}");
    }
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(ask(&usual(), "a2a.cluster.local.", kind).response_code, ResponseCode::Refused);
    }
}

#[test]
fn other_operations_are_not_implemented() {
    for operation in [OpCode::Status, OpCode::Notify, OpCode::Update, OpCode::Unknown(7)] {
        let mut question = question("a2a.cluster.local.", RecordType::SOA);
        question.metadata.op_code = operation;
        let (code, answer) = code(&usual(), &question);
        assert_eq!((code, answer.op_code), (ResponseCode::NotImp, operation));
    }
}

#[test]
fn who_asks_for_everything_gets_little() {
    let zone = usual();
    let answer = ask(&zone, "currency.travel.a2a.cluster.local.", RecordType::ANY);
    let data: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(data, ["RFC8482 "]);
    let answer = ask(&zone, "_tcp.a2a.cluster.local.", RecordType::ANY);
    assert_eq!((answer.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
    let answer = ask(&zone, "nobody.travel.a2a.cluster.local.", RecordType::ANY);
    assert_eq!(answer.response_code, ResponseCode::NXDomain);
}

#[test]
fn a_newer_edns_is_told_that_ours_is_older() {
    let mut question = with_edns(question("a2a.cluster.local.", RecordType::SOA), 1232);
    question.edns.as_mut().unwrap().set_version(1);
    let (code, answer) = code(&usual(), &question);
    // The number of BADSIG too.
    assert_eq!(u16::from(code), u16::from(ResponseCode::BADVERS));
    assert_eq!(answer.edns.unwrap().version(), 0);
    assert!(answer.answers.is_empty());
}

#[test]
fn other_than_one_question_is_an_error() {
    let mut two = question("a2a.cluster.local.", RecordType::SOA);
    two.add_query(two.queries[0].clone());
    let mut none = two.clone();
    none.queries.clear();
    for question in [two, none] {
        assert_eq!(code(&usual(), &question).0, ResponseCode::FormErr);
    }
    let opt = question("a2a.cluster.local.", RecordType::OPT);
    assert_eq!(code(&usual(), &opt).0, ResponseCode::FormErr);
}

#[test]
fn a_directory_that_knows_nothing_yet_denies_nothing() {
    let settings = Settings::new("a2a.cluster.local", "east", "east.example").unwrap();
    let zone = Zone::new(&Snapshot::default(), settings, 1);
    let answer = ask(&zone, "currency.travel.a2a.cluster.local.", RecordType::A);
    assert_eq!(answer.response_code, ResponseCode::ServFail);
    assert_eq!(ask(&zone, "example.com.", RecordType::A).response_code, ResponseCode::Refused);
}

/// Both kinds of denial, where each would be wrong.
fn fails(zone: &Zone, name: &str) -> bool {
    let answer = ask(zone, &format!("{name}a2a.cluster.local."), RecordType::SRV);
    let fails = answer.response_code == ResponseCode::ServFail;
    assert!(!fails || (!answer.authoritative && answer.authorities.is_empty()), "{name}");
    fails
}

fn partly(complete: bool, others: &[(&str, bool)], agents: &[Agent]) -> Zone {
    let agents = agents.iter().map(|agent| (agent.name.clone(), Arc::new(agent.clone()))).collect();
    let others = others.iter().map(|(mesh, told)| ((*mesh).to_owned(), *told)).collect();
    let settings = Settings::new("a2a.cluster.local", "east", "east.example").unwrap();
    Zone::new(&Snapshot { agents, complete, others, ..Snapshot::default() }, settings, 1)
}

#[test]
fn a_mesh_that_has_not_told_anything_is_not_denied() {
    let known = [agent("currency", &["10.0.0.1:2643"]), agent("a.west", &["10.0.0.2:2643"])];
    // A namespace of the own mesh is called `west` too.
    let zone = partly(true, &[("west", false), ("north", true)], &known);
    for (name, unknown) in [
        ("_a2a._tcp.ledger.bank.west.", true),
        ("10-9-0-1.ledger.bank.west.", true),
        ("_tcp.ledger.bank.west.", true),
        ("ledger.bank.west.", true),
        ("bank.west.", true),
        ("_a2a._tcp.ledger.bank.WEST.", true),
        ("_a2a._tcp.ledger.bank.north.", false),
        ("_a2a._tcp.ledger.bank.nowhere.", false),
        ("_a2a._tcp.nobody.travel.", false),
        ("nobody.travel.", false),
        ("", false),
        ("_a2a._tcp.a.west.", false),
        ("_a2a._tcp.nobody.west.", false),
        ("too.many.labels.ledger.bank.west.", false),
    ] {
        assert_eq!(fails(&zone, name), unknown, "{name}");
    }
    let told = partly(true, &[("west", true)], &[]);
    let denied = ask(&told, "_a2a._tcp.ledger.bank.west.a2a.cluster.local.", RecordType::SRV);
    assert_eq!((denied.response_code, denied.authoritative), (ResponseCode::NXDomain, true));
}

#[test]
fn no_own_agent_is_denied_before_all_are_known_whatever_others_have_told() {
    let zone = partly(false, &[("west", true)], &[agent("ledger.bank.west", &["10.9.0.1:2643"])]);
    for (name, unknown) in [
        ("_a2a._tcp.currency.travel.", true),
        ("currency.travel.", true),
        ("travel.", true),
        ("_a2a._tcp.", true),
        ("b._dns-sd._udp.", true),
        ("_a2a._tcp.ledger.bank.west.", false),
        ("_a2a._tcp.nobody.bank.west.", false),
    ] {
        assert_eq!(fails(&zone, name), unknown, "{name}");
    }
    let known = ask(&zone, "_a2a._tcp.ledger.bank.west.a2a.cluster.local.", RecordType::SRV);
    assert_eq!(known.answers.len(), 1);
    let soa = ask(&zone, "a2a.cluster.local.", RecordType::SOA);
    assert_eq!(soa.answers.len(), 1, "the zone itself is no secret");
}

fn bytes(request: &[u8]) -> Option<Reply> {
    respond(&usual(), request, Transport::Udp, &mut SmallRng::seed_from_u64(1))
}

#[test]
fn what_is_no_question_is_not_answered() {
    let mut answer = question("a2a.cluster.local.", RecordType::SOA);
    answer.metadata.message_type = MessageType::Response;
    assert!(bytes(&answer.to_vec().unwrap()).is_none(), "two servers could go on for ever");
    let whole = question("a2a.cluster.local.", RecordType::SOA).to_vec().unwrap();
    for length in 0..12 {
        assert!(bytes(&whole[..length]).is_none(), "{length}");
    }
    for length in 12..whole.len() {
        let reply = bytes(&whole[..length]).unwrap();
        assert_eq!((reply.code, reply.bytes.len()), (ResponseCode::FormErr, 12), "{length}");
    }
}

#[test]
fn bytes_behind_a_question_do_not_matter() {
    let whole = question("a2a.cluster.local.", RecordType::SOA).to_vec().unwrap();
    let with_junk = [&whole[..], b"junk"].concat();
    assert_eq!(bytes(&with_junk).unwrap().bytes, bytes(&whole).unwrap().bytes);
}

#[test]
fn broken_questions_are_errors() {
    let header = |questions: u16, additionals: u16| {
        let mut header = vec![0x12, 0x67, 1, 0];
        header.extend([questions, 0, 0, additionals].map(u16::to_be_bytes).concat());
        header
    };
    let loops = [&header(1, 0)[..], &[0xC0, 12, 0, 1, 0, 1]].concat();
    let forward = [&header(1, 0)[..], &[0xC0, 200, 0, 1, 0, 1]].concat();
    let long_label = [&header(1, 0)[..], &[0x7F, 1, 1], &[0; 140]].concat();
    let long_name = [&header(1, 0)[..], &[1, b'a'].repeat(130), &[0, 0, 1, 0, 1]].concat();
    let many = header(u16::MAX, 0);
    let question = [0, 0, 1, 0, 1];
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let two_opts = [&header(1, 2)[..], &question, &opt, &opt].concat();
    let no_opt = [&header(1, 1)[..], &question].concat();
    for (what, request) in [
        ("a name that points at itself", loops),
        ("a name that points ahead", forward),
        ("a label of 127 bytes", long_label),
        ("a name of 261 bytes", long_name),
        ("65535 questions", many),
        ("two OPT records", two_opts),
        ("a record that is not there", no_opt),
    ] {
        let reply = bytes(&request).unwrap();
        assert_eq!((reply.code, reply.kind, reply.bytes.len()), (ResponseCode::FormErr, None, 12), "{what}");
        assert_eq!(reply.bytes[..2], request[..2]);
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_answer_can_be_read_and_is_bounded(
        mut request in proptest::collection::vec(any::<u8>(), 0..600),
        flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
        real in any::<bool>(),
    ) {
        if real {
            let name = "_a2a._tcp.currency.travel.a2a.cluster.local.";
            request = with_edns(question(name, RecordType::SRV), 65_000).to_vec().unwrap();
        }
        for (at, byte) in flips {
            let length = request.len().max(1);
            if let Some(place) = request.get_mut(usize::from(at) % length) {
                *place = byte;
            }
        }
        if let Some(reply) = bytes(&request) {
            prop_assert!(reply.bytes.len() <= 1232);
            prop_assert_eq!(&reply.bytes[..2], &request[..2]);
            Message::from_vec(&reply.bytes).unwrap();
        }
    }
}
