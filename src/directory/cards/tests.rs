//! Cards that a stand-in for the mesh brings.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::super::Endpoint;
use super::*;
use crate::a2a::{Fault, Home, Reason, Reply};
use crate::card::attach_original;

const MINUTE: Duration = Duration::from_secs(60);

fn name(text: &str) -> Name {
    Name::parse(text, &Home { namespace: "travel".into(), mesh: "east".into() }).unwrap()
}

/// An agent, and its endpoints: the end of each address, and whether it is ready.
type Named<'a> = (&'a str, &'a [(u8, bool)]);

fn found(agents: &[Named<'_>]) -> Found {
    let endpoint =
        |(last, ready): &(u8, bool)| Endpoint { address: ([10, 0, 0, *last], 1).into(), ready: *ready };
    let agents = agents.iter().map(|(agent, ends)| (name(agent), ends.iter().map(endpoint).collect()));
    Found { agents: agents.collect(), addresses: Vec::new() }
}

/// A mesh in which every agent shows the same text, or none; it tells who was asked, and when.
struct Mesh {
    answer: Arc<Mutex<Result<&'static str, &'static str>>>,
    asked: mpsc::UnboundedReceiver<(Name, Instant)>,
    found: watch::Sender<Arc<Found>>,
    cards: watch::Receiver<Cards>,
    _keeping: AbortOnDropHandle<()>,
}

fn mesh(first: Found) -> Mesh {
    let answer = Arc::new(Mutex::new(Ok(r#"{"name":"one"}"#)));
    let (asked_tx, asked) = mpsc::unbounded_channel();
    let answers = Arc::clone(&answer);
    let fetch: Fetch = Box::new(move |name| {
        asked_tx.send((name, Instant::now())).ok();
        let answer: Result<&str, &str> = *answers.lock().unwrap();
        async move { answer.map(Bytes::from).map_err(str::to_owned) }.boxed()
    });
    let (found, receiver) = watch::channel(Arc::new(first));
    let (cards, keeping) = keep(receiver, fetch, Clock::new(|| 7), 7, Metrics::default());
    Mesh { answer, asked, found, cards, _keeping: keeping }
}

impl Mesh {
    /// How long it takes until somebody is asked.
    async fn pause(&mut self) -> Duration {
        let began = Instant::now();
        self.asked.recv().await.unwrap().1 - began
    }

    fn reading(&self) -> Reading {
        self.cards.borrow()[&name("a")].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_card_is_read_soon_and_then_less_and_less_often_until_it_changes() {
    let mut mesh = mesh(found(&[("a", &[(1, true)])]));
    assert!(mesh.pause().await <= SOON.end);
    for most in [1, 2, 4, 5, 5] {
        let pause = mesh.pause().await;
        assert!(pause >= MINUTE.mul_f64(0.8) * most && pause <= MINUTE * most, "{most}: {pause:?}");
    }
    assert_eq!(mesh.reading().card.unwrap().display_name, "one");
    *mesh.answer.lock().unwrap() = Ok(r#"{"name":"two"}"#);
    mesh.pause().await;
    assert!(mesh.pause().await <= MINUTE);
    assert_eq!(mesh.reading().card.unwrap().display_name, "two");
}

#[tokio::test(start_paused = true)]
async fn the_last_card_is_kept_beside_the_reason_why_there_is_none_now() {
    let mut mesh = mesh(found(&[("a", &[(1, true)])]));
    mesh.pause().await;
    for (answer, error) in [(Err("late"), "late"), (Ok("no card"), "the card is no JSON")] {
        *mesh.answer.lock().unwrap() = answer;
        mesh.cards
            .wait_for(|cards| {
                cards.get(&name("a")).is_some_and(|reading| {
                    reading.error.as_deref().is_some_and(|said| said.starts_with(error))
                })
            })
            .await
            .unwrap();
        assert_eq!(mesh.reading().card.unwrap().display_name, "one");
    }
    while mesh.asked.try_recv().is_ok() {}
    for most in [10, 20, 40, 80, 160, 300, 300] {
        let pause = mesh.pause().await;
        assert!(
            pause <= Duration::from_secs(most) && pause >= Duration::from_secs(most).mul_f64(0.8),
            "{pause:?}"
        );
    }
    *mesh.answer.lock().unwrap() = Ok(r#"{"name":"one"}"#);
    mesh.cards.wait_for(|cards| cards[&name("a")].error.is_none()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_is_a_reason_to_look_again_and_who_is_gone_is_forgotten() {
    let mut mesh = mesh(found(&[("a", &[(1, false)])]));
    sleep(MINUTE * 10).await;
    assert!(mesh.asked.try_recv().is_err(), "nobody is there to ask");
    mesh.found.send_replace(Arc::new(found(&[("a", &[(1, true)])])));
    assert!(mesh.pause().await <= SOON.end);
    mesh.found.send_replace(Arc::new(found(&[("a", &[(1, true), (2, true)]), ("b", &[(3, true)])])));
    assert!(mesh.pause().await <= SOON.end && mesh.pause().await <= SOON.end);
    // One that leaves is none.
    mesh.found.send_replace(Arc::new(found(&[("a", &[(2, true)]), ("b", &[(3, true)])])));
    assert!(mesh.pause().await >= MINUTE.mul_f64(0.7));
    mesh.found.send_replace(Arc::new(found(&[("b", &[(3, true)])])));
    mesh.cards.wait_for(|cards| cards.len() == 1 && cards.contains_key(&name("b"))).await.unwrap();
    mesh.found.send_replace(Arc::new(found(&[])));
    mesh.cards.wait_for(Cards::is_empty).await.unwrap();
    while mesh.asked.try_recv().is_ok() {}
    sleep(MINUTE * 10).await;
    assert!(mesh.asked.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn not_all_cards_are_read_at_once_and_no_agent_holds_the_others_up_for_long() {
    let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&busy), Arc::clone(&most));
    let fetch: Fetch = Box::new(move |_| {
        peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let now = Arc::clone(&now);
        async move {
            let _leaves = scopeguard(now);
            std::future::pending().await
        }
        .boxed()
    });
    let agents: Vec<String> = (0..100).map(|number| format!("a{number}")).collect();
    let agents: Vec<Named<'_>> = agents.iter().map(|agent| (&**agent, &[(1, true)][..])).collect();
    let (_found, receiver) = watch::channel(Arc::new(found(&agents)));
    let (mut cards, _keeping) = keep(receiver, fetch, Clock::new(|| 7), 7, Metrics::default());
    cards.wait_for(|cards| cards.len() == 100).await.unwrap();
    assert!(cards.borrow().values().all(|reading| reading.error.as_deref() == Some("no answer within 10s")));
    assert_eq!(most.load(Ordering::Relaxed), PARALLEL);
}

/// Counts down when it is dropped.
fn scopeguard(count: Arc<AtomicUsize>) -> impl Drop {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    Guard(count)
}

#[tokio::test]
async fn of_a_reply_only_the_agents_own_text_is_taken() {
    let ask = async |with_text: bool| {
        let stage = tower::service_fn(move |call: Call| async move {
            assert_eq!((call.operation, call.peer), (Operation::GetAgentCard, None));
            let mut card = Vec::new();
            match call.agent.agent() {
                "a" if with_text => attach_original(&mut card, "{ }"),
                "a" => {}
                _ => return Err(Fault::new(Reason::CardNotFound, "none")),
            }
            Ok::<_, Fault>(Reply::once(card))
        });
        let fetch = over(stage);
        (fetch(name("a")).await, fetch(name("b")).await.unwrap_err())
    };
    let (card, error) = ask(true).await;
    assert_eq!((card, &*error), (Ok("{ }".into()), "CARD_NOT_FOUND: none"));
    assert!(ask(false).await.0.unwrap_err().contains("without the text"));
}
