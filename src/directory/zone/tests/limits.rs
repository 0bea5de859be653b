//! How long answers get, and what happens before they get too long.

use super::*;

fn crowd(replicas: u16, v6: bool) -> Zone {
    let address = |number: u16| match v6 {
        false => format!("10.0.{}.{}:2643", number >> 8, number & 255),
        true => format!("[fd00:1111:2222:3333:4444:5555:6666:{number:x}]:2643"),
    };
    let addresses: Vec<_> = (0..replicas).map(address).collect();
    zone([agent("currency", &addresses.iter().map(String::as_str).collect::<Vec<_>>())])
}

const SRV: &str = "_a2a._tcp.currency.travel.a2a.cluster.local.";

#[test]
fn an_answer_over_udp_is_as_long_as_the_asker_takes_and_never_longer_than_1232_bytes() {
    // How much the asker takes, how many replicas there are, and whether their records come.
    for (payload, replicas, whole) in [
        (None, 3, true),
        (None, 6, false),
        (Some(0), 6, false),
        (Some(512), 6, false),
        (Some(800), 6, true),
        (Some(1232), 9, true),
        (Some(1232), 20, false),
        (Some(4096), 20, false),
        (Some(65_535), 20, false),
    ] {
        let zone = crowd(replicas, false);
        let mut asked = question(SRV, RecordType::SRV);
        if let Some(payload) = payload {
            asked = with_edns(asked, payload);
        }
        let (answer, length) = send(&zone, &asked, Transport::Udp);
        assert!(length <= usize::from(payload.unwrap_or(512).clamp(512, 1232)), "{payload:?}: {length}");
        assert_eq!(answer.truncation, !whole, "{payload:?} {replicas}: {length}");
        let expected = if whole { usize::from(replicas) } else { 0 };
        assert_eq!((answer.answers.len(), answer.additionals.len()), (expected, expected));
        assert!(answer.authorities.is_empty());
        assert_eq!(answer.edns.map(|edns| edns.max_payload()), payload.map(|_| 1232));

        let (answer, _) = send(&zone, &asked, Transport::Tcp);
        assert!(!answer.truncation);
        assert_eq!(answer.answers.len(), usize::from(replicas));
    }
}

#[test]
fn addresses_fit_into_the_smallest_answer() {
    for (v6, kind) in [(false, RecordType::A), (true, RecordType::AAAA)] {
        let zone = crowd(900, v6);
        let (answer, length) =
            send(&zone, &question("currency.travel.a2a.cluster.local.", kind), Transport::Udp);
        assert!(!answer.truncation && length <= 512, "{length}");
        assert_eq!(answer.answers.len(), 16);
    }
}

#[test]
fn a_service_with_more_replicas_than_an_answer_holds_tells_of_those_that_fit() {
    for v6 in [false, true] {
        let zone = crowd(3000, v6);
        let (answer, length) = send(&zone, &with_edns(question(SRV, RecordType::SRV), 1232), Transport::Tcp);
        assert!(!answer.truncation);
        assert!(length <= 65_535, "{length}");
        assert!((200..3000).contains(&answer.answers.len()), "{}", answer.answers.len());
        assert_eq!(answer.answers.len(), answer.additionals.len());
    }
}

#[test]
fn the_longest_names_still_fit_and_what_cannot_be_spelt_is_left_out() {
    let label = "a".repeat(63);
    let origin = format!("{}.a2a.cluster.local", "z".repeat(63));
    let settings = Settings::new(&origin, "east", "east.example").unwrap();
    let mut replicas: Vec<_> =
        (0..2000).map(|number| format!("10.0.{}.{}:2643", number >> 8, number & 255)).collect();
    replicas.push("[1111:2222:3333:4444:5555:6666:7777:8888]:2643".to_owned());
    let replicas: Vec<_> = replicas.iter().rev().map(String::as_str).collect();
    let few = &replicas[..3];
    let agents = [
        agent(&format!("{label}.{label}"), &replicas),
        agent(&format!("{label}.{label}.west"), few),
        agent(&format!("{label}.{label}.{label}"), few),
    ];
    let agents = agents.map(|agent| (agent.name.clone(), Arc::new(agent))).into();
    let zone = Zone::new(&Snapshot { agents, complete: true, ..Snapshot::default() }, settings, 1);
    for (prefix, mesh, kind, count) in [
        ("_a2a._tcp.", "", RecordType::SRV, 93),
        ("", "", RecordType::SVCB, 1),
        // The name of the host with the IPv6 address would have 256 bytes.
        ("_a2a._tcp.", "west.", RecordType::SRV, 2),
    ] {
        let asked = with_edns(question(&format!("{prefix}{label}.{label}.{mesh}{origin}."), kind), 1232);
        let (answer, _) = send(&zone, &asked, Transport::Tcp);
        assert!(!answer.truncation);
        assert_eq!(answer.answers.len(), count, "{prefix} {mesh} {kind}");
    }
}

#[test]
fn lists_hold_no_more_than_an_answer_does() {
    let agents = (0..1500).map(|number| agent(&format!("agent-{number:04}.ns-{:03}", number % 900), &[]));
    let busy = (0..1000).map(|number| agent(&format!("agent-{number:04}.busy"), &[]));
    let zone = zone(agents.chain(busy));
    for list in ["_a2a._tcp.", "_agent._tcp.busy.", "b._dns-sd._udp."] {
        let asked = question(&format!("{list}a2a.cluster.local."), RecordType::PTR);
        let (answer, length) = send(&zone, &asked, Transport::Tcp);
        assert!(!answer.truncation && length <= 65_535, "{list}: {length}");
        assert!((500..=700).contains(&answer.answers.len()), "{list}: {}", answer.answers.len());
        let (short, _) = send(&zone, &asked, Transport::Udp);
        assert!(short.truncation && short.answers.is_empty());
    }
    let RData::TXT(index) =
        &ask(&zone, "_index._agents.busy.a2a.cluster.local.", RecordType::TXT).answers[0].data
    else {
        panic!("no TXT");
    };
    let [text] = &index.txt_data[..] else { panic!("{index}") };
    let text = str::from_utf8(text).unwrap();
    assert!((230..=255).contains(&text.len()), "{text}");
    let entries: Vec<_> = text.strip_prefix("agents=").unwrap().split(',').collect();
    assert_eq!(entries[0], "agent-0000:a2a");
    assert!(entries.iter().all(|entry| entry.len() == entries[0].len()), "whole entries only");
}

#[test]
fn a_text_holds_what_fits_of_a_card() {
    let skills: Vec<_> = (0..100).map(|number| format!("skill-{number}")).collect();
    let skills: Vec<_> = skills.iter().map(String::as_str).collect();
    for (version, told) in [("1.0.0+build", true), ("", false), ("one two", false), (&"9".repeat(300), false)]
    {
        let agent = Agent { card: Some(card(version, &skills)), ..agent("currency", &[]) };
        let answer = ask(&zone([agent]), "currency.travel.a2a.cluster.local.", RecordType::TXT);
        let RData::TXT(text) = &answer.answers[0].data else { panic!("no TXT") };
        assert!(text.txt_data.iter().all(|text| text.len() <= 255));
        assert_eq!(text.txt_data.len(), if told { 2 } else { 1 }, "{version}");
        assert!(text.txt_data[0].starts_with(b"capabilities=skill-0,skill-1,"));
    }
}

#[test]
fn ten_thousand_agents_are_all_found() {
    let agents = (0..10_000_u32).map(|number| {
        let address = |replica: u32| format!("10.{}.{}.{replica}:2643", number >> 8, number & 255);
        let addresses = [1, 2, 3].map(address);
        agent(&format!("agent-{number}.ns-{}", number % 50), &addresses.each_ref().map(String::as_str))
    });
    let zone = zone(agents);
    for number in 0..10_000 {
        let name = format!("_a2a._tcp.agent-{number}.ns-{}.a2a.cluster.local.", number % 50);
        let answer = zone.answer(&domain(&name), RecordType::SRV, &mut SmallRng::seed_from_u64(1));
        assert_eq!((answer.answers.len(), answer.additionals.len()), (3, 3));
    }
}
