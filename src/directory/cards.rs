//! The cards of the agents of the own mesh: read over the mesh, again from time to time, and soon after an endpoint has
//! appeared. The last card that could be read is kept, beside the reason why it cannot be read now.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Card, Found, Metrics, lookup};
use crate::a2a::{Binding, Body, Call, Dialect, Name, Operation, Params, Stage};
use crate::card::original;
use crate::identity::Clock;
use crate::task;

/// How many cards are read at once.
const PARALLEL: usize = 32;
/// How long an agent may take to show its card.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause before a card is read again, and the longest: it doubles as long as the card stays the same.
const PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(300));
/// The first pause after a failure; it doubles too.
const RETRY: Duration = Duration::from_secs(5);
/// When a card is read once an endpoint has appeared: not before the lookup knows of it, and not all at once.
const SOON: Range<Duration> = lookup::TTL..Duration::from_secs(2);
/// The most bytes of cards that are kept.
const BYTES_MAX: usize = 256 << 20;

/// The cards by their agents' names; who has not been asked yet is not among them.
pub type Cards = BTreeMap<Name, Reading>;

/// What came of reading a card.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// The last one that could be read.
    pub card: Option<Arc<Card>>,
    /// Why it could not be read the last time.
    pub error: Option<Arc<str>>,
}

/// Brings the text of an agent's card, or the reason why it does not.
pub type Fetch = Box<dyn Fn(Name) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// Reads cards over the mesh, through `stack`: as the agents wrote them, because that is what directories pass on.
pub fn over(stack: impl Stage) -> Fetch {
    Box::new(move |agent| {
        let mut stack = stack.clone();
        async move {
            let call = Call {
                operation: Operation::GetAgentCard,
                body: Bytes::new(),
                params: Params::default(),
                binding: Binding::Grpc,
                dialect: Dialect::V1_0,
                agent,
                peer: None,
                base: None,
                deadline: Some(Instant::now() + PATIENCE),
            };
            let reply =
                stack.call(call).await.map_err(|fault| format!("{}: {}", fault.reason(), fault.message()))?;
            let Body::Once(card) = reply.body else {
                return Err("a stream came where a card was due".to_owned());
            };
            let text = original(&card).map_err(|error| format!("the card cannot be read: {error}"))?;
            let text = text.ok_or("the card came without the text that its agent wrote")?;
            Ok(Bytes::copy_from_slice(text.as_bytes()))
        }
        .boxed()
    })
}

/// Keeps the cards of all that is found, as long as the handle lives. `seed` decides when each is read again.
pub fn keep(
    found: watch::Receiver<Arc<Found>>,
    fetch: Fetch,
    clock: Clock,
    seed: u64,
    metrics: Metrics,
) -> (watch::Receiver<Cards>, AbortOnDropHandle<()>) {
    let (cards, receiver) = watch::channel(Cards::new());
    let keeper = Keeper {
        fetch,
        clock,
        metrics,
        chance: SmallRng::seed_from_u64(seed),
        agents: HashMap::new(),
        due: BTreeSet::new(),
        bytes: 0,
        cards,
    };
    (receiver, task::spawn(keeper.run(found)))
}

struct Keeper {
    fetch: Fetch,
    clock: Clock,
    metrics: Metrics,
    chance: SmallRng,
    agents: HashMap<Name, Agent>,
    /// Whose card is read next, and when.
    due: BTreeSet<(Instant, Name)>,
    /// How many bytes of cards are kept.
    bytes: usize,
    cards: watch::Sender<Cards>,
}

/// What is remembered of an agent from one reading to the next.
#[derive(Default)]
struct Agent {
    ready: Vec<SocketAddr>,
    /// How often in a row it could not be read.
    failures: u32,
    /// How often in a row it was the same.
    same: u32,
    /// When its card is read; none if it is being read, or nobody is there to ask.
    due: Option<Instant>,
    /// Whether it is being read, and perhaps already out of date.
    reading: Option<Stale>,
}

/// Whether an endpoint has appeared since.
type Stale = bool;

type Done = (Name, Result<Bytes, String>);

impl Keeper {
    async fn run(mut self, mut found: watch::Receiver<Arc<Found>>) {
        let mut reading = FuturesUnordered::<BoxFuture<'static, Done>>::new();
        self.adopt(&found.borrow_and_update());
        let mut watching = true;
        loop {
            while reading.len() < PARALLEL
                && let Some(name) = self.next_due(Instant::now())
            {
                let card = timeout(PATIENCE, (self.fetch)(name.clone()));
                let late = || Err(format!("no answer within {PATIENCE:?}"));
                reading.push(async move { (name, card.await.unwrap_or_else(|_| late())) }.boxed());
            }
            let next = self.due.first().map(|(due, _)| *due).filter(|_| reading.len() < PARALLEL);
            tokio::select! {
                changed = found.changed(), if watching => match changed {
                    Ok(()) => self.adopt(&found.borrow_and_update()),
                    // What was found last stays true as far as anybody knows.
                    Err(_) => watching = false,
                },
                Some((name, card)) = reading.next(), if !reading.is_empty() => self.settle(&name, card),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                else => return,
            }
        }
    }

    /// The next one whose time has come.
    fn next_due(&mut self, now: Instant) -> Option<Name> {
        let (_, name) = self.due.first().filter(|(due, _)| *due <= now)?.clone();
        self.due.pop_first();
        if let Some(agent) = self.agents.get_mut(&name) {
            (agent.due, agent.reading) = (None, Some(false));
        }
        Some(name)
    }

    /// Takes over what was found.
    fn adopt(&mut self, found: &Found) {
        let gone: Vec<Name> =
            self.agents.keys().filter(|name| !found.agents.contains_key(*name)).cloned().collect();
        for name in gone {
            self.forget(&name);
        }
        let now = Instant::now();
        for (name, endpoints) in &found.agents {
            let ready: Vec<SocketAddr> =
                endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.address).collect();
            let agent = self.agents.entry(name.clone()).or_default();
            let appeared = ready.iter().any(|address| !agent.ready.contains(address));
            agent.ready = ready;
            if let Some(stale) = &mut agent.reading {
                *stale |= appeared;
            } else if agent.ready.is_empty() {
                reschedule(&mut self.due, name, agent, None);
            } else if appeared {
                agent.failures = 0;
                let soon = now + self.chance.random_range(SOON);
                let soon = agent.due.map_or(soon, |due| due.min(soon));
                reschedule(&mut self.due, name, agent, Some(soon));
            }
        }
    }

    fn forget(&mut self, name: &Name) {
        if let Some(Agent { due: Some(due), .. }) = self.agents.remove(name) {
            self.due.remove(&(due, name.clone()));
        }
        let bytes = &mut self.bytes;
        self.cards.send_if_modified(|cards| match cards.remove(name) {
            Some(reading) => {
                *bytes -= size(&reading);
                true
            }
            None => false,
        });
    }

    /// Takes what came of reading a card, and decides when it is read again.
    fn settle(&mut self, name: &Name, text: Result<Bytes, String>) {
        // Who is gone meanwhile is of no interest, unless it has come back as another.
        let Some(stale) = self.agents.get_mut(name).and_then(|agent| agent.reading.take()) else { return };
        let news = self.take(name, text);
        let Some(agent) = self.agents.get_mut(name) else { return };
        let pause = agent.pause(news).mul_f64(self.chance.random_range(0.8..1.0));
        let pause = if stale { self.chance.random_range(SOON) } else { pause };
        let due = (!agent.ready.is_empty()).then(|| Instant::now() + pause);
        reschedule(&mut self.due, name, agent, due);
    }

    /// Keeps a card, or why there is none; what is new about it.
    fn take(&mut self, name: &Name, text: Result<Bytes, String>) -> News {
        self.metrics.card(text.is_ok());
        let before = self.cards.borrow().get(name).cloned().unwrap_or_default();
        let kept = before.card.as_ref().map_or(0, |card| card.text.len());
        let read = text.and_then(|text| match &before.card {
            Some(card) if card.text == text => Ok(Arc::clone(card)),
            _ if self.bytes - kept + text.len() > BYTES_MAX => {
                Err(format!("the directory has no room for more than {BYTES_MAX} bytes of cards"))
            }
            _ => Card::read(text, self.clock.now()).map(Arc::new),
        });
        let (reading, news) = match read {
            Ok(card) => {
                let same = before.card.as_ref().is_some_and(|known| Arc::ptr_eq(known, &card));
                let news = if same { News::Same } else { News::Changed };
                (Reading { card: Some(card), error: None }, news)
            }
            Err(error) => {
                tracing::debug!(agent = %name, error, "No card");
                (Reading { card: before.card.clone(), error: Some(error.into()) }, News::Failed)
            }
        };
        if reading != before {
            self.bytes = self.bytes - kept + size(&reading);
            self.cards.send_modify(|cards| drop(cards.insert(name.clone(), reading)));
        }
        news
    }
}

impl Agent {
    /// How long to wait after that.
    fn pause(&mut self, news: News) -> Duration {
        let (first, longest) = PAUSES;
        (self.failures, self.same) = match news {
            News::Changed => (0, 0),
            News::Failed => (self.failures.saturating_add(1), 0),
            News::Same => (0, self.same.saturating_add(1)),
        };
        let (first, times) = if self.failures > 0 { (RETRY, self.failures - 1) } else { (first, self.same) };
        first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
    }
}

/// What is new about a card.
enum News {
    Changed,
    Failed,
    Same,
}

fn size(reading: &Reading) -> usize {
    reading.card.as_ref().map_or(0, |card| card.text.len())
}

fn reschedule(due: &mut BTreeSet<(Instant, Name)>, name: &Name, agent: &mut Agent, at: Option<Instant>) {
    if let Some(before) = agent.due.take() {
        due.remove(&(before, name.clone()));
    }
    if let Some(at) = at {
        due.insert((at, name.clone()));
    }
    agent.due = at;
}

#[cfg(test)]
mod tests;
