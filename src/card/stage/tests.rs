//! The stages over an agent that the test holds: what is asked of it, how often, and what becomes of its cards.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join};
use http::{HeaderMap, header};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, advance};
use tower::{Service, ServiceExt as _};

use super::*;
use crate::a2a::{Binding, Call, Dialect, Home, Name, Operation, Stage};
use crate::card::key::Key;
use crate::card::{attach_original, original};
use crate::codec::{self, Reading, schema::AGENT_CARD};

const SIGNED: &str = include_str!("../../../tests/golden/cards/sdk-es256.json");
const MAX_AGE: Duration = Duration::from_secs(60);
const KEYS: &str = include_str!("../../../tests/golden/cards/keys.jwks");

/// An agent that answers every call with what is set, once it may.
#[derive(Clone)]
struct Stub {
    answer: Arc<Mutex<Result<Vec<u8>, Fault>>>,
    asked: Arc<AtomicUsize>,
    /// `None` answers at once.
    gate: Option<Arc<Notify>>,
}

impl Stub {
    fn new(answer: Result<Vec<u8>, Fault>) -> Self {
        Self { answer: Arc::new(Mutex::new(answer)), asked: Arc::default(), gate: None }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn answers(&self, answer: Result<Vec<u8>, Fault>) {
        *self.answer.lock().unwrap() = answer;
    }
}

impl Service<Call> for Stub {
    type Response = Reply;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<Reply, Fault>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Fault>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Call) -> Self::Future {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let stub = self.clone();
        async move {
            if let Some(gate) = stub.gate {
                gate.notified().await;
            }
            stub.answer.lock().unwrap().clone().map(Reply::once)
        }
        .boxed()
    }
}

fn home() -> Home {
    Home { namespace: "travel".into(), mesh: "east".into() }
}

fn call(operation: Operation, agent: &str) -> Call {
    Call {
        operation,
        body: Bytes::new(),
        params: Params::default(),
        binding: Binding::Jsonrpc,
        dialect: Dialect::V1_0,
        agent: Name::parse(agent, &home()).unwrap(),
        peer: None,
        base: Some("http://127.0.0.1:2602/agents/x".into()),
        deadline: None,
    }
}

fn get() -> Call {
    call(Operation::GetAgentCard, "currency")
}

fn read(json: &str) -> Vec<u8> {
    codec::read(&AGENT_CARD, json, Reading::Reply, 1 << 20).unwrap()
}

/// A card as it comes through the mesh.
fn far(card: &str, sent: &str) -> Vec<u8> {
    let mut wire = read(card);
    attach_original(&mut wire, sent);
    wire
}

fn settings(keys: Vec<Key>) -> Settings {
    Settings {
        home: home(),
        listener: "127.0.0.1:2602".into(),
        bindings: vec![Binding::Jsonrpc],
        keys,
        limit: 1 << 20,
    }
}

fn outbound(stub: &Stub) -> impl Stage {
    super::outbound(stub.clone(), Cards::new(MAX_AGE), settings(Vec::new()))
}

fn checked(stub: &Stub) -> impl Stage {
    super::outbound(stub.clone(), Cards::new(MAX_AGE), settings(Key::read(KEYS).unwrap()))
}

fn card(reply: Reply) -> Vec<u8> {
    Card::of(reply).unwrap().wire.to_vec()
}

fn json(wire: &[u8]) -> Value {
    let mut json = Vec::new();
    codec::write(&AGENT_CARD, wire, &mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_card_is_asked_for_once_while_it_is_fresh_and_written_for_each_caller() {
    let stub = Stub::new(Ok(far(r#"{"name":"A"}"#, r#"{ "name": "A" }"#)));
    let stage = outbound(&stub);
    let first = card(stage.clone().oneshot(get()).await.unwrap());
    assert_eq!(json(&first)["supportedInterfaces"][0]["url"], "http://127.0.0.1:2602/agents/x");
    assert_eq!(original(&first).unwrap(), Some(r#"{ "name": "A" }"#));

    advance(Duration::from_secs(59)).await;
    let other = Call { base: Some("http://currency.travel.a2a".into()), ..get() };
    let second = card(stage.clone().oneshot(other).await.unwrap());
    assert_eq!(json(&second)["supportedInterfaces"][0]["url"], "http://currency.travel.a2a");
    let nowhere = Call { base: None, ..get() };
    let third = card(stage.clone().oneshot(nowhere).await.unwrap());
    let url = "http://127.0.0.1:2602/agents/currency.travel";
    assert_eq!(json(&third)["supportedInterfaces"][0]["url"], url);
    assert_eq!(stub.asked(), 1);

    stub.answers(Ok(read(r#"{"name":"B"}"#)));
    advance(Duration::from_secs(1)).await;
    let renewed = card(stage.clone().oneshot(get()).await.unwrap());
    assert_eq!((json(&renewed)["name"].clone(), stub.asked()), (json!("B"), 2));
}

#[tokio::test(start_paused = true)]
async fn other_agents_and_other_credentials_have_cards_of_their_own() {
    let stub = Stub::new(Ok(read(r#"{"name":"A"}"#)));
    let stage = outbound(&stub);
    let mut calls = vec![get(), call(Operation::GetAgentCard, "hotel")];
    for secret in ["Bearer a", "Bearer b"] {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, secret.parse().unwrap())]);
        calls.push(Call { params: Params::from_headers(&headers), ..get() });
    }
    for _ in 0..2 {
        for call in &calls {
            stage.clone().oneshot(call.clone()).await.unwrap();
        }
    }
    assert_eq!(stub.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn callers_that_come_together_wait_for_the_same_card() {
    let gate = Arc::new(Notify::new());
    let stub = Stub { gate: Some(Arc::clone(&gate)), ..Stub::new(Ok(read(r#"{"name":"A"}"#))) };
    let stage = outbound(&stub);
    let mut impatient = Box::pin(stage.clone().oneshot(get()));
    assert!(impatient.as_mut().now_or_never().is_none());
    let mut patient = Box::pin(stage.clone().oneshot(get()));
    assert!(patient.as_mut().now_or_never().is_none());
    drop(impatient);
    gate.notify_one();
    assert_eq!(json(&card(patient.await.unwrap()))["name"], "A");
    assert_eq!(stub.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_card_that_nobody_waits_for_any_more_is_given_up() {
    let gate = Arc::new(Notify::new());
    let stub = Stub { gate: Some(Arc::clone(&gate)), ..Stub::new(Ok(read(r#"{"name":"A"}"#))) };
    let stage = outbound(&stub);
    let soon = Call { deadline: Some(Instant::now() + Duration::from_secs(1)), ..get() };
    let fault = stage.clone().oneshot(soon).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::DeadlineExceeded);
    // The one given up is asked no more, so the next one asks again.
    gate.notify_one();
    stage.oneshot(get()).await.unwrap();
    assert_eq!(stub.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn faults_are_not_kept_and_neither_are_cards_with_no_age() {
    let stub = Stub::new(Err(Fault::new(Reason::CardNotFound, "no card")));
    let stage = outbound(&stub);
    let (one, other) = join(stage.clone().oneshot(get()), stage.clone().oneshot(get())).await;
    assert_eq!(one.unwrap_err().reason(), Reason::CardNotFound);
    assert_eq!(other.unwrap_err().reason(), Reason::CardNotFound);
    stub.answers(Ok(read("{}")));
    stage.oneshot(get()).await.unwrap();

    let stub = Stub::new(Ok(read("{}")));
    let cache = Cards::new(Duration::ZERO);
    let stage = super::outbound(stub.clone(), cache.clone(), settings(Vec::new()));
    for _ in 0..3 {
        stage.clone().oneshot(get()).await.unwrap();
    }
    assert_eq!((stub.asked(), cache.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn the_cards_that_are_kept_have_a_bound() {
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(1_000_000));
    let stub = Stub::new(Ok(read(&large)));
    let cache = Cards::new(MAX_AGE);
    let stage = super::outbound(stub.clone(), cache.clone(), settings(Vec::new()));
    for index in 0..20 {
        stage.clone().oneshot(call(Operation::GetAgentCard, &format!("a{index}"))).await.unwrap();
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(cache.len(), 16);
    stage.clone().oneshot(call(Operation::GetAgentCard, "a19")).await.unwrap();
    assert_eq!(stub.asked(), 20, "the newest is there");
    stage.oneshot(call(Operation::GetAgentCard, "a0")).await.unwrap();
    assert_eq!(stub.asked(), 21, "the oldest had to go");
}

#[tokio::test(start_paused = true)]
async fn extended_cards_are_rewritten_and_never_kept() {
    let stub = Stub::new(Ok(far(r#"{"name":"A"}"#, r#"{"name":"A"}"#)));
    let stage = outbound(&stub);
    for _ in 0..2 {
        let extended = call(Operation::GetExtendedAgentCard, "currency");
        let seen = card(stage.clone().oneshot(extended).await.unwrap());
        assert_eq!(json(&seen)["supportedInterfaces"][0]["url"], "http://127.0.0.1:2602/agents/x");
        assert_eq!(original(&seen).unwrap(), None);
    }
    assert_eq!(stub.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn other_calls_pass_untouched() {
    let stub = Stub::new(Ok(b"no card at all".to_vec()));
    let outbound = outbound(&stub).oneshot(call(Operation::GetTask, "a")).await.unwrap();
    assert_eq!(card(outbound), b"no card at all");
    let stage = inbound(stub.clone(), "cluster.local", 2643, &[Binding::Grpc]);
    assert_eq!(card(stage.oneshot(call(Operation::GetTask, "a")).await.unwrap()), b"no card at all");
}

#[tokio::test(start_paused = true)]
async fn with_keys_only_what_was_signed_is_believed() {
    // What the far side makes of the card is not what was signed.
    let stub = Stub::new(Ok(far(r#"{"name":"Forged"}"#, SIGNED)));
    for operation in [Operation::GetAgentCard, Operation::GetExtendedAgentCard] {
        let seen = card(checked(&stub).oneshot(call(operation, "currency")).await.unwrap());
        assert_eq!(json(&seen)["name"], "Currency");
        assert!(json(&seen).get("signatures").is_none());
        let shown = (operation == Operation::GetAgentCard).then_some(SIGNED);
        assert_eq!(original(&seen).unwrap(), shown);
    }
}

#[tokio::test(start_paused = true)]
async fn with_keys_a_card_that_none_of_them_has_signed_is_refused() {
    for (wire, why) in [
        (far("{}", r#"{"name":"A"}"#), "the card is not signed"),
        (far("{}", &SIGNED.replace("Currency", "Forged")), "no signature of the card holds"),
        (read("{}"), "the card came without the text"),
        (far("{}", &format!("{{{}}}", " ".repeat(1 << 20))), "more than 1048576 bytes"),
    ] {
        let stub = Stub::new(Ok(wire));
        let fault = checked(&stub).oneshot(get()).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::CardUntrusted);
        assert_eq!(fault.message(), "the card of currency.travel.east is not trusted");
        assert!(fault.cause().unwrap().contains(why), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_card_leaves_for_the_mesh_with_the_meshs_address_and_its_original() {
    let stub = Stub::new(Ok(read(SIGNED)));
    for operation in [Operation::GetAgentCard, Operation::GetExtendedAgentCard] {
        let stage = inbound(stub.clone(), "cluster.local", 2643, &[Binding::Grpc]);
        let inside = card(stage.oneshot(call(operation, "currency")).await.unwrap());
        assert_eq!(json(&inside)["supportedInterfaces"][0]["url"], "currency.travel.svc.cluster.local:2643");
        // Written out by us, the text is another one, but its signature holds all the same.
        let stub = Stub::new(Ok(inside));
        let seen = card(checked(&stub).oneshot(call(operation, "currency")).await.unwrap());
        assert_eq!(json(&seen)["name"], "Currency");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_card_is_a_fault() {
    let stub = Stub::new(Ok(vec![0xFF]));
    let fault = outbound(&stub).oneshot(get()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::AgentProtocolError);
    let stage = inbound(stub, "cluster.local", 2643, &[Binding::Grpc]);
    assert_eq!(stage.oneshot(get()).await.unwrap_err().reason(), Reason::AgentProtocolError);
}
