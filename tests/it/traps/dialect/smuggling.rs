//! What only 0.3 can say travels in a private field. A peer that writes it by hand must not get anything past who looks at
//! the fields that everybody knows.

use dragoman::a2a::Operation;
use dragoman::codec::KEPT_FIELD;
use dragoman::codec::wire::append;

use crate::harness::agent::message;
use crate::harness::client::{Client, say};
use crate::harness::dialect::{Said, Talk, V0_3, V1_0, headers, method, request as envelope, speak};
use crate::harness::json::{canonical, value};
use crate::harness::mesh::{Mesh, known};
use crate::harness::peer::{FarSide, Peer, frame, reply, request};

const SEND: &str = "/lf.a2a.v1.A2AService/SendMessage";
/// `SendMessageRequest.message` and `SendMessageResponse.message`.
const MESSAGE_IN: u32 = 2;
const MESSAGE_OUT: u32 = 2;
/// `Message.parts`.
const PARTS: u32 = 5;

/// A `google.protobuf.Value` of a text.
fn text(text: &str) -> Vec<u8> {
    let mut value = Vec::new();
    append(&mut value, 3, text.as_bytes());
    value
}

/// The private field with one member in it.
fn kept(name: &str, value: &[u8]) -> Vec<u8> {
    let (mut entry, mut object, mut field) = (Vec::new(), Vec::new(), Vec::new());
    append(&mut entry, 1, name.as_bytes());
    append(&mut entry, 2, value);
    append(&mut object, 1, &entry);
    append(&mut field, KEPT_FIELD, &object);
    field
}

/// Pieces of a message merge, so whatever is added stands beside what was there.
fn with(mut wire: Vec<u8>, path: &[u32], inner: &[u8]) -> Vec<u8> {
    match path {
        [] => wire.extend_from_slice(inner),
        [number, rest @ ..] => append(&mut wire, *number, &with(Vec::new(), rest, inner)),
    }
    wire
}

/// Names that are 0.3's own, or look like it.
const NAMES: [&str; 8] = ["parts", "Parts", "message_id", "messageId", "kind", "KIND", "content", "role_"];

#[tokio::test]
async fn no_known_member_comes_out_of_the_private_field_at_an_agent() {
    for agent in [V0_3, V1_0] {
        let mut talk = Talk::start((V1_0, agent)).await;
        let peer = Peer::connect(&talk.pair.mesh, "planner", talk.pair.currency.inbound(), "currency").await;
        let wire = || request(Operation::SendMessage, &say("x"));
        let mut attacks: Vec<Vec<u8>> =
            NAMES.iter().map(|name| with(wire(), &[MESSAGE_IN], &kept(name, &text("evil")))).collect();
        for name in ["message", "Message", "configuration", "meta_data"] {
            attacks.push(with(wire(), &[], &kept(name, &text("evil"))));
        }
        // A part that is one only in 0.3 may be of a later kind, and of none that is known.
        for (name, value) in
            [("kind", "text"), ("kind", "file"), ("text", "evil"), ("Text", "evil"), ("file", "evil")]
        {
            attacks.push(with(wire(), &[MESSAGE_IN, PARTS], &kept(name, &text(value))));
        }
        for attack in attacks {
            let body = frame(&attack);
            let sending = peer.send(SEND, &[], &body);
            if agent == V0_3 {
                let answer = sending.await;
                assert_eq!(answer.status(), 3, "{attack:?} {answer:?}");
                assert!(!talk.pair.agent.was_asked());
                continue;
            }
            // Who speaks 1.0 steps over it.
            let (answer, ()) = tokio::join!(sending, async {
                let request = talk.pair.agent.request().await;
                assert!(!request.text().contains("evil"), "{}", request.text());
                request.result(&message("x")).await;
            });
            assert_eq!(answer.status(), 0);
        }
    }
}

#[tokio::test]
async fn a_text_that_was_never_in_a_known_member_does_not_get_there() {
    let mut talk = Talk::start((V1_0, V0_3)).await;
    let peer = Peer::connect(&talk.pair.mesh, "planner", talk.pair.currency.inbound(), "currency").await;
    // What is kept under these names is only how the same was written; it may not be something else.
    for (name, value) in [("contextId", "evil"), ("taskId", "evil"), ("role", "user"), ("role", "agent")] {
        let wire = with(request(Operation::SendMessage, &say("x")), &[MESSAGE_IN], &kept(name, &text(value)));
        let body = frame(&wire);
        let (answer, ()) = tokio::join!(peer.send(SEND, &[], &body), async {
            let request = talk.pair.agent.request().await;
            assert_eq!(canonical(&request.params()), canonical(&speak(V0_3, Said::Send("x"))), "{name}");
            request.result(&speak(V0_3, Said::Message("x"))).await;
        });
        assert_eq!(answer.status(), 0, "{name}");
    }
}

#[tokio::test]
async fn no_known_member_comes_out_of_the_private_field_at_a_caller() {
    let mesh = Mesh::new();
    let mut far = FarSide::start(&mesh, "currency", &[b"h2"]).await;
    let planner = mesh.sidecar("planner", known("currency", &[far.address])).await;
    for name in NAMES {
        let answer =
            with(reply(Operation::SendMessage, &message("x")), &[MESSAGE_OUT], &kept(name, &text("evil")));
        for caller in [V0_3, V1_0] {
            let mut client = Client::connect(planner.outbound).await;
            let body = envelope("1", method(caller, Operation::SendMessage), &speak(caller, Said::Send("x")));
            client.request("POST /agents/currency", headers(caller), &body).await;
            far.request().await.message(&answer);
            let answer = client.answer().await;
            assert!(!answer.body.contains("evil"), "{}", answer.body);
            match caller {
                V0_3 => {
                    let error = value(&answer.error());
                    let message = error["message"].as_str().unwrap();
                    assert!(message.starts_with("AGENT_PROTOCOL_ERROR: "), "{name}: {error}");
                }
                V1_0 => assert_eq!(canonical(&answer.result()), canonical(&message("x")), "{name}"),
            }
        }
    }
}

#[tokio::test]
async fn no_address_comes_out_of_the_private_field_of_a_card() {
    for name in
        ["url", "Url", "URL", "preferred_transport", "additionalInterfaces", "protocolVersion", "Security"]
    {
        let mesh = Mesh::new();
        let mut far = FarSide::start(&mesh, "currency", &[b"h2"]).await;
        let planner = mesh.sidecar("planner", known("currency", &[far.address])).await;
        let card = with(
            reply(Operation::GetAgentCard, r#"{"name":"A"}"#),
            &[],
            &kept(name, &text("http://evil.example/")),
        );
        for version in ["", "A2A-Version: 1.0\r\n"] {
            let mut client = Client::connect(planner.outbound).await;
            let lines = format!("Host: localhost\r\n{version}");
            client.request("GET /agents/currency/.well-known/agent-card.json", &lines, "").await;
            // The card is kept for the second one.
            if version.is_empty() {
                far.request().await.message(&card);
            }
            let answer = client.answer().await;
            assert_eq!(answer.status, if version.is_empty() { 502 } else { 200 }, "{name}: {}", answer.body);
            assert!(!answer.body.contains("evil"), "{name}: {}", answer.body);
        }
    }
}
