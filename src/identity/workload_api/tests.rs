//! The loop against an agent that the test plays.

use std::sync::{Mutex, MutexGuard};

use futures_util::{FutureExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::*;
use crate::identity::forge::{Ca, NOW, domain, leaf_params, root, sign};

const A: &str = "spiffe://a.test/ns/travel/sa/currency";
const HOUR: Duration = Duration::from_hours(1);

/// What the test says on a stream.
type Feed = mpsc::UnboundedReceiver<Result<Update, Refused>>;

/// What the agent does, one answer after the other, and when it was asked.
#[derive(Clone, Default)]
struct Agent(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: Vec<Result<Feed, Refused>>,
    asked: Vec<Instant>,
}

impl Agent {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    /// Answers the next question with a stream that the test feeds.
    fn open(&self) -> mpsc::UnboundedSender<Result<Update, Refused>> {
        let (feed, updates) = mpsc::unbounded_channel();
        self.script().answers.insert(0, Ok(updates));
        feed
    }

    fn start(&self) -> (channel::Receiver<State>, AbortOnDropHandle<()>) {
        let start = Instant::now();
        let clock = Clock::new(move || NOW + i64::try_from(start.elapsed().as_secs()).unwrap());
        watch(Arc::new(self.clone()), domain("a.test"), clock, Metrics::default(), 7)
    }

    /// The pauses between its questions, in seconds.
    fn pauses(&self) -> Vec<u64> {
        let asked = &self.script().asked;
        asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }
}

impl Workload for Agent {
    fn updates(&self) -> BoxFuture<'_, Result<Updates, Refused>> {
        let mut script = self.script();
        script.asked.push(Instant::now());
        let answer = script.answers.pop();
        let away = || Err(Refused::Away("no identity issued".to_owned()));
        let updates =
            |feed| stream::unfold(feed, |mut feed: Feed| async { Some((feed.recv().await?, feed)) });
        async move { answer.unwrap_or_else(away).map(|feed| updates(feed).boxed()) }.boxed()
    }
}

/// An identity that `ca` has issued.
fn given(id: &str, ca: &Ca) -> Given {
    let (leaf, key) = sign(&leaf_params(id), ca);
    Given {
        id: id.to_owned(),
        chain: leaf.to_vec(),
        key: key.secret_der().to_vec(),
        bundle: ca.der().to_vec(),
    }
}

fn only(svid: Given) -> Update {
    Update { svids: vec![svid], federated: Vec::new() }
}

async fn generation(states: &mut channel::Receiver<State>, generation: u64) -> Arc<Material> {
    let wanted = |state: &State| state.material().is_some_and(|material| material.generation >= generation);
    let state = timeout(HOUR, states.wait_for(wanted)).await.expect("published").unwrap().clone();
    Arc::clone(state.material().unwrap())
}

/// Why an update is no identity, once that is said.
async fn missing(states: &mut channel::Receiver<State>, part: &str) {
    let wanted = |state: &State| matches!(state, State::Missing(reason) if reason.contains(part));
    let state = timeout(HOUR, states.wait_for(wanted)).await;
    state.unwrap_or_else(|_| panic!("nothing about {part}")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_message_is_the_whole_of_it() {
    let (a, b) = (root("a.test"), root("b.test"));
    let agent = Agent::default();
    let feed = agent.open();
    let (mut states, _task) = agent.start();
    let roots = [b.der().to_vec(), b.der().to_vec()].concat();
    let both = Update { federated: vec![("spiffe://b.test".to_owned(), roots)], ..only(given(A, &a)) };
    feed.send(Ok(both)).unwrap();
    let first = generation(&mut states, 1).await;
    assert_eq!(first.id.as_str(), A);
    let counts = first.bundles.iter().map(|(domain, bundle)| (domain.as_str(), bundle.roots().len()));
    assert_eq!(counts.collect::<Vec<_>>(), [("a.test", 1), ("b.test", 2)]);
    feed.send(Ok(only(given(A, &a)))).unwrap();
    let second = generation(&mut states, 2).await;
    assert_eq!(
        second.bundles.keys().collect::<Vec<_>>(),
        [&domain("a.test")],
        "what is left out is withdrawn"
    );
    assert_ne!(second.chain(), first.chain());
}

#[tokio::test(start_paused = true)]
async fn of_several_identities_the_first_of_the_own_trust_domain_is_ours() {
    let (a, b) = (root("a.test"), root("b.test"));
    let agent = Agent::default();
    let feed = agent.open();
    let (mut states, _task) = agent.start();
    let other = "spiffe://b.test/ns/travel/sa/currency";
    feed.send(Ok(only(given(other, &b)))).unwrap();
    missing(&mut states, &format!("no identity of a.test, only {other}")).await;
    let second = "spiffe://a.test/second";
    let svids = vec![given(other, &b), given(A, &a), given(second, &a)];
    feed.send(Ok(Update { svids, federated: Vec::new() })).unwrap();
    assert_eq!(generation(&mut states, 1).await.id.as_str(), A);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_identity_is_named_and_waited_out() {
    let (a, b) = (root("a.test"), root("b.test"));
    let agent = Agent::default();
    let feed = agent.open();
    let (mut states, _task) = agent.start();
    let good = || given(A, &a);
    for (bad, part) in [
        (Given { key: Vec::new(), ..good() }, "has no key"),
        (Given { bundle: Vec::new(), ..good() }, "has no roots"),
        (Given { chain: b"junk".to_vec(), ..good() }, "the certificate is not in DER"),
        (Given { key: good().key, ..good() }, A),
        (Given { bundle: b.der().to_vec(), ..good() }, "b.test"),
        (Given { id: "spiffe://a.test/x".to_owned(), ..good() }, "has the certificate of"),
    ] {
        feed.send(Ok(only(bad))).unwrap();
        missing(&mut states, part).await;
    }
    // A broken bundle of others costs nobody's identity.
    let broken = vec![("spiffe://b.test".to_owned(), b"junk".to_vec()), ("b/c".to_owned(), b.der().to_vec())];
    feed.send(Ok(Update { federated: broken, ..only(good()) })).unwrap();
    assert_eq!(generation(&mut states, 1).await.bundles.len(), 1);
    assert_eq!(agent.script().asked.len(), 1, "the stream goes on all the while");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_away_is_asked_again_ever_more_rarely() {
    let a = root("a.test");
    let agent = Agent::default();
    let (mut states, _task) = agent.start();
    missing(&mut states, "no identity issued").await;
    sleep(Duration::from_mins(3)).await;
    let pauses = agent.pauses();
    let (first, later) = pauses.split_at(4);
    assert!(first.is_sorted() && first[0] <= 1, "{pauses:?}");
    assert!(!later.is_empty() && later.iter().all(|pause| (5..=60).contains(pause)), "{pauses:?}");
    let feed = agent.open();
    sleep(Duration::from_mins(1)).await;
    feed.send(Ok(only(given(A, &a)))).unwrap();
    generation(&mut states, 1).await;
    drop(feed);
    let before = agent.script().asked.len();
    sleep(Duration::from_secs(2)).await;
    assert!(agent.script().asked.len() > before, "a stream that was good is asked for again at once");
    assert!(states.borrow().material().is_some(), "and what it brought stays");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_will_never_answer_is_not_bothered() {
    let agent = Agent::default();
    agent.script().answers.push(Err(Refused::Never("Unimplemented".to_owned())));
    let (mut states, _task) = agent.start();
    missing(&mut states, "Unimplemented").await;
    sleep(NEVER * 2).await;
    assert_eq!(agent.pauses()[0], NEVER.as_secs());
}
