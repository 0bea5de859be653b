//! Any question to the directory's DNS: its answer can be read, is to that question, and is no longer than it may be.
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use dragoman::a2a::{Home, Name};
use dragoman::directory::zone::{Settings, Transport, Zone, respond};
use dragoman::directory::{Agent, Endpoint, Snapshot};
use hickory_server::proto::op::Message;
use rand::{SeedableRng, rngs::SmallRng};

static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let home = Home { namespace: "travel".into(), mesh: "east".into() };
    let agent = |text: &str| {
        let name = Name::parse(text, &home).expect("a name");
        let endpoint = |last| Endpoint { address: ([10, 0, 0, last], 2643).into(), ready: true };
        let endpoints = (0..30).map(endpoint).collect();
        (name.clone(), Arc::new(Agent { name, endpoints, card: None, card_error: None }))
    };
    let agents: BTreeMap<_, _> = ["a", "b.bank", "a.travel.west"].into_iter().map(agent).collect();
    let settings = Settings::new("a2a.local", "east", "east.example").expect("a zone");
    let addresses = vec![[10, 96, 0, 53].into()];
    Zone::new(&Snapshot { agents, addresses, complete: true, ..Snapshot::default() }, settings, 1)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for (transport, limit) in [(Transport::Udp, 1232), (Transport::Tcp, 65_535)] {
        let Some(reply) = respond(&ZONE, data, transport, &mut SmallRng::seed_from_u64(1)) else { continue };
        assert!(reply.bytes.len() <= limit);
        assert_eq!(reply.bytes[..2], data[..2]);
        let answer = Message::from_vec(&reply.bytes).expect("an answer can be read");
        assert!(!answer.truncation || answer.answers.is_empty());
        if let Some(asked) = answer.queries.first() {
            let question = Message::from_vec(data).expect("a question that was answered can be read");
            assert!(question.queries[0].name.eq_case(&asked.name));
            assert!(answer.answers.iter().all(|record| record.name.eq_case(&asked.name)));
        }
    }
});
