//! A live copy of what a directory tells: kept up to date by its stream, and kept for a while when it is away.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::remit::Remit;
use super::told::{Agents, Told, with_card};
use super::{BRIEF_MAX, Directory, NOT_ITS_OWN, WHOLE_MAX};
use crate::proto::mesh::{Agent, AgentEvent, Filter, WatchAgentsRequest, agent_event};
use crate::task;

/// How long a directory may take to tell all that there is at first.
const BEGIN: Duration = Duration::from_secs(30);
/// The first pause before a directory is asked again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A stream that has lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// What is asked of a directory, and how long its answers are kept when it is away.
#[derive(Clone, Debug)]
pub struct Follow {
    /// The agents that are wanted.
    pub filter: Filter,
    /// Without the text of the cards.
    pub brief: bool,
    /// How long it may be away before its agents are forgotten.
    pub keep: Duration,
}

type Events = BoxStream<'static, Result<AgentEvent, Status>>;
/// Opens the stream; the error is a reason for people.
type Open = Box<dyn Fn() -> BoxFuture<'static, Result<Events, String>> + Send + Sync>;

struct Follower {
    /// Who is followed, for the log.
    name: String,
    remit: Remit,
    /// How long it may be away before its agents are forgotten.
    keep: Duration,
    /// How many bytes of it are kept.
    most: usize,
    open: Open,
    chance: SmallRng,
    told: watch::Sender<Told>,
}

impl Directory {
    /// Keeps a copy of what it tells, as long as the handle lives. `seed` decides when it is asked again.
    pub fn follow(&self, follow: Follow, seed: u64) -> (watch::Receiver<Told>, AbortOnDropHandle<()>) {
        let Follow { filter, brief, keep } = follow;
        let request = WatchAgentsRequest { filter: Some(self.remit.narrow(&filter)), brief };
        let directory = self.clone();
        let open: Open = Box::new(move || {
            let (directory, request) = (directory.clone(), request.clone());
            async move { directory.watch(request).await.map_err(|error| error.to_string()) }.boxed()
        });
        let (name, remit) = (self.to_string(), self.remit.clone());
        let most = if brief { BRIEF_MAX } else { WHOLE_MAX };
        let chance = SmallRng::seed_from_u64(seed);
        start(|told| Follower { name, remit, keep, most, open, chance, told })
    }
}

fn start(
    follower: impl FnOnce(watch::Sender<Told>) -> Follower,
) -> (watch::Receiver<Told>, AbortOnDropHandle<()>) {
    let (told, receiver) = watch::channel(Told::default());
    (receiver, task::spawn(follower(told).run()))
}

impl Follower {
    async fn run(mut self) {
        let (first, longest) = PAUSES;
        let (mut pause, mut away) = (first, Instant::now());
        loop {
            let reason = match timeout(BEGIN, self.begin()).await {
                Ok(Ok(events)) => {
                    let since = Instant::now();
                    let reason = self.go_on(events).await;
                    away = Instant::now();
                    if since.elapsed() >= GOOD {
                        pause = first;
                    }
                    reason
                }
                Ok(Err(reason)) => reason,
                Err(_) => format!("not everything was told within {BEGIN:?}"),
            };
            self.trouble(&reason, away.elapsed() >= self.keep);
            // What is kept is forgotten in time, however long the pauses are by then.
            let left = self.keep.saturating_sub(away.elapsed());
            let length = pause.mul_f64(self.chance.random_range(0.5..1.0));
            sleep(if left.is_zero() { length } else { length.min(left) }).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Takes what there is at first; it replaces what was known before all at once.
    async fn begin(&self) -> Result<Events, String> {
        let mut events = (self.open)().await?;
        let mut told = Told::default();
        let before = self.told.borrow().agents.clone();
        loop {
            match next(&mut events).await? {
                agent_event::Event::Updated(agent) => drop(self.update(&mut told, agent, &before)?),
                agent_event::Event::Removed(name) => drop(told.remove(&name)),
                agent_event::Event::Synced(_) => break,
            }
        }
        told.complete = true;
        self.told.send_replace(told);
        Ok(events)
    }

    /// Takes every change; the reason why there are no more.
    async fn go_on(&self, mut events: Events) -> String {
        loop {
            let event = match next(&mut events).await {
                Ok(event) => event,
                Err(reason) => return reason,
            };
            let mut refused = None;
            self.told.send_if_modified(|told| match event {
                agent_event::Event::Updated(agent) => {
                    self.update(told, agent, &BTreeMap::new()).unwrap_or_else(|reason| {
                        refused = Some(reason);
                        false
                    })
                }
                agent_event::Event::Removed(name) => told.remove(&name),
                agent_event::Event::Synced(_) => false,
            });
            if let Some(reason) = refused {
                return reason;
            }
        }
    }

    /// Takes an agent as it is told; whether anything has changed. `before` is what was known before all was told anew. The
    /// error is a reason to follow no further; everything is as it was then.
    fn update(&self, told: &mut Told, agent: Agent, before: &Agents) -> Result<bool, String> {
        let (name, agent) = match self.remit.admit(agent) {
            Ok(admitted) => admitted,
            Err(agent) => {
                tracing::warn!(directory = self.name, agent, "{NOT_ITS_OWN}");
                return Ok(false);
            }
        };
        let known = told.agents.get(&name).or_else(|| before.get(&name));
        let agent = with_card(agent, known);
        told.put(name, agent, self.most).map_err(|reason| format!("{} tells {reason}", self.name))
    }

    fn trouble(&self, reason: &str, forget: bool) {
        self.told.send_if_modified(|told| {
            let news = told.trouble.as_deref() != Some(reason);
            if news {
                tracing::warn!(directory = self.name, reason, "A directory is away");
                told.trouble = Some(reason.into());
            }
            // Also if there were none: who is away for so long does not say so any more.
            let forgotten = forget && told.complete;
            if forgotten {
                told.forget();
            }
            news || forgotten
        });
    }
}

/// The next event; the end is an error too.
async fn next(events: &mut Events) -> Result<agent_event::Event, String> {
    loop {
        match events.next().await {
            Some(Ok(AgentEvent { event: Some(event) })) => return Ok(event),
            // An event of a kind that this version does not know.
            Some(Ok(AgentEvent { event: None })) => {}
            Some(Err(status)) => return Err(format!("{:?}: {}", status.code(), status.message())),
            None => return Err("the stream has ended".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::*;
    use crate::proto::mesh::Skill;

    const HOUR: Duration = Duration::from_secs(3600);
    /// How many bytes are kept in tests.
    const MANY: usize = 1 << 20;

    /// What the test tells in the directory's name.
    type Script = Result<mpsc::UnboundedReceiver<Result<AgentEvent, Status>>, String>;

    /// A directory that the test holds: each time it is asked, it has the next answer; then it is away.
    fn follow(answers: Vec<Script>) -> (watch::Receiver<Told>, AbortOnDropHandle<()>) {
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let open: Open = Box::new(move || {
            let answer = answers.lock().unwrap().next().unwrap_or_else(|| Err("away".to_owned()));
            let events = answer.map(|events| {
                stream::unfold(events, |mut events| async { Some((events.recv().await?, events)) }).boxed()
            });
            std::future::ready(events).boxed()
        });
        let (name, remit) = ("west".to_owned(), Remit::of_mesh("west"));
        let chance = SmallRng::seed_from_u64(7);
        start(|told| Follower { name, remit, keep: HOUR, most: MANY, open, chance, told })
    }

    fn updated(name: &str, version: &str) -> Result<AgentEvent, Status> {
        let (name, version, card_read) =
            (name.into(), version.into(), Some(prost_types::Timestamp::default()));
        let agent = Agent { name, version, card_read, ..Agent::default() };
        Ok(AgentEvent { event: Some(agent_event::Event::Updated(agent)) })
    }

    fn removed(name: &str) -> Result<AgentEvent, Status> {
        Ok(AgentEvent { event: Some(agent_event::Event::Removed(name.into())) })
    }

    fn synced() -> Result<AgentEvent, Status> {
        Ok(AgentEvent { event: Some(agent_event::Event::Synced(true)) })
    }

    fn names(told: &Told) -> Vec<String> {
        told.agents.values().map(|agent| format!("{} {}", agent.name, agent.version)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_follows_every_change_and_tells_of_no_other_mesh() {
        let (tx, rx) = mpsc::unbounded_channel();
        let (mut told, _following) = follow(vec![Ok(rx)]);
        for event in [updated("a.x.west", "1"), updated("b.x.west", "1"), updated("c.x.east", "1")] {
            tx.send(event).unwrap();
        }
        tokio::task::yield_now().await;
        assert!(!told.borrow().complete, "not before everything was told");
        tx.send(synced()).unwrap();
        told.wait_for(|told| told.complete).await.unwrap();
        assert_eq!(names(&told.borrow()), ["a.x.west 1", "b.x.west 1"]);
        for event in [updated("a.x.west", "2"), removed("b.x.west"), updated("not a name", "")] {
            tx.send(event).unwrap();
        }
        told.wait_for(|told| names(told) == ["a.x.west 2"]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_kept_for_an_hour_and_replaced_at_once_when_the_directory_is_back() {
        let (tx, rx) = mpsc::unbounded_channel();
        let (back_tx, back) = mpsc::unbounded_channel();
        let (mut told, _following) = follow(vec![Ok(rx), Err("refused".to_owned()), Ok(back)]);
        for event in [updated("a.x.west", "1"), updated("b.x.west", "1"), synced()] {
            tx.send(event).unwrap();
        }
        told.wait_for(|told| told.complete).await.unwrap();
        drop(tx);
        told.wait_for(|told| told.trouble.as_deref() == Some("the stream has ended")).await.unwrap();
        told.wait_for(|told| told.trouble.as_deref() == Some("refused")).await.unwrap();
        assert_eq!(told.borrow().agents.len(), 2);
        back_tx.send(updated("c.x.west", "1")).unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(told.borrow().agents.len(), 2, "half of it is nothing yet");
        back_tx.send(synced()).unwrap();
        told.wait_for(|told| told.trouble.is_none()).await.unwrap();
        assert_eq!(names(&told.borrow()), ["c.x.west 1"]);
        let left = Instant::now();
        drop(back_tx);
        told.wait_for(|told| !told.complete).await.unwrap();
        let kept = left.elapsed();
        assert!(kept >= HOUR && kept < HOUR + Duration::from_secs(2), "{kept:?}");
        assert!(told.borrow().agents.is_empty() && told.borrow().trouble.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn that_there_are_no_agents_is_true_for_an_hour_too() {
        let (tx, rx) = mpsc::unbounded_channel();
        let (mut told, _following) = follow(vec![Ok(rx)]);
        tx.send(synced()).unwrap();
        told.wait_for(|told| told.complete).await.unwrap();
        drop(tx);
        told.wait_for(|told| told.trouble.is_some()).await.unwrap();
        let left = Instant::now();
        told.wait_for(|told| !told.complete).await.unwrap();
        assert!(left.elapsed() >= HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_never_comes_to_an_end_is_asked_again() {
        let (tx, rx) = mpsc::unbounded_channel();
        let (again_tx, again) = mpsc::unbounded_channel();
        let (mut told, _following) = follow(vec![Ok(rx), Ok(again)]);
        tx.send(updated("a.x.west", "1")).unwrap();
        again_tx.send(synced()).unwrap();
        let began = Instant::now();
        told.wait_for(|told| told.complete).await.unwrap();
        assert!(began.elapsed() > BEGIN && told.borrow().agents.is_empty());
    }
    /// An agent of so many bytes: of a card, or in skills that say nothing.
    fn heavy(name: &str, card: usize, skills: usize) -> Result<AgentEvent, Status> {
        let skills = vec![Skill::default(); skills];
        let card_read = (card > 0).then(prost_types::Timestamp::default);
        let agent =
            Agent { name: name.into(), card: vec![b'x'; card].into(), card_read, skills, ..Agent::default() };
        Ok(AgentEvent { event: Some(agent_event::Event::Updated(agent)) })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_is_refused_by_name_and_changes_nothing() {
        let (tx, rx) = mpsc::unbounded_channel();
        let (again_tx, again) = mpsc::unbounded_channel();
        let (mut told, _following) = follow(vec![Ok(rx), Ok(again)]);
        let refused = |told: &Told| told.trouble.as_deref() == Some("west tells more than 1 MiB");
        for event in [heavy("a.x.west", MANY / 2, 0), heavy("b.x.west", MANY / 4, 0), synced()] {
            tx.send(event).unwrap();
        }
        told.wait_for(|told| told.complete).await.unwrap();
        // Nothing of an agent is free, whatever two bytes of a message say.
        for (event, fits) in [
            (heavy("b.x.west", MANY / 3, 0), true),
            (heavy("b.x.west", 1, 0), true),
            (heavy("b.x.west", 1, MANY / 2 / size_of::<Skill>()), false),
        ] {
            tx.send(event).unwrap();
            told.changed().await.unwrap();
            assert_eq!(refused(&told.borrow_and_update()), !fits);
        }
        let cards = |told: &Told| told.agents.values().map(|agent| agent.card.len()).collect::<Vec<_>>();
        assert_eq!(cards(&told.borrow()), [MANY / 2, 1], "as it was");
        // It begins anew, and goes too far before it is done.
        again_tx.send(heavy("c.x.west", MANY / 2, 0)).unwrap();
        again_tx.send(heavy("d.x.west", MANY, 0)).unwrap();
        sleep(BEGIN).await;
        assert_eq!(cards(&told.borrow()), [MANY / 2, 1], "still");
        assert!(told.borrow().complete);
    }

    #[tokio::test(start_paused = true)]
    async fn a_card_that_was_told_once_is_kept_and_counted() {
        let (tx, rx) = mpsc::unbounded_channel();
        let (back_tx, back) = mpsc::unbounded_channel();
        let (mut told, _following) = follow(vec![Ok(rx), Ok(back)]);
        for event in [heavy("a.x.west", MANY / 2, 0), heavy("a.x.west", 0, 0), synced()] {
            tx.send(event).unwrap();
        }
        let card = |told: &Told| told.agents.values().next().map(|agent| agent.card.len());
        told.wait_for(|told| card(told) == Some(MANY / 2)).await.unwrap();
        // It has begun anew, and has not read the card again yet.
        drop(tx);
        told.wait_for(|told| told.trouble.is_some()).await.unwrap();
        for event in [heavy("a.x.west", 0, 0), synced(), heavy("b.x.west", MANY / 2, 0)] {
            back_tx.send(event).unwrap();
        }
        told.wait_for(|told| told.trouble.as_deref() == Some("west tells more than 1 MiB")).await.unwrap();
        assert_eq!((card(&told.borrow()), told.borrow().agents.len()), (Some(MANY / 2), 1));
    }
}
