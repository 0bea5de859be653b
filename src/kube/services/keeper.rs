//! The one task that knows all pods and Services, decides what is to be done about which agent, and when.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    pin::pin,
    time::Duration,
};

use futures_util::{Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rand::{RngExt, rngs::SmallRng};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

mod look;

use super::{
    GRACE, HASTE, Metrics, PARALLEL, QUARREL, SETTLE, SPREAD, TROUBLE,
    pod::Pod,
    queue::{Patience, Queue},
    server::{Outcome, Server, Tops},
    service::{Standing, agent_of},
};
use crate::kube::mirror::{Key, Mirror, News};

/// The most links between pods and owners that are looked behind for one agent: more owners than that it does not need.
const LINKS_MAX: usize = 64;

/// The one who keeps all mesh Services. An agent's key is its namespace and name.
pub(super) struct Keeper {
    server: Server,
    chance: SmallRng,
    metrics: Metrics,
    state: watch::Sender<Result<(), String>>,
    services: Mirror<Standing>,
    pods: Mirror<Pod>,
    /// The pods of each agent.
    holders: BTreeMap<Key, BTreeSet<Key>>,
    tops: Tops,
    queue: Queue<Key>,
    patience: BTreeMap<Key, Patience>,
    /// Since when agents with a Service have had no pods.
    idle: BTreeMap<Key, Instant>,
    /// What agents' owners were told about: the UID of it.
    told: BTreeMap<Key, String>,
}

/// What is to be done about an agent.
enum Next {
    Nothing,
    /// To look again.
    At(Instant),
    Work(BoxFuture<'static, Report>),
}

/// What was done about an agent.
struct Report {
    agent: Key,
    outcome: Result<Outcome, String>,
    learnt: Tops,
}

impl Keeper {
    pub(super) fn new(
        server: Server,
        chance: SmallRng,
        metrics: Metrics,
        state: watch::Sender<Result<(), String>>,
    ) -> Self {
        Self {
            server,
            chance,
            metrics,
            state,
            services: Mirror::new("Services"),
            pods: Mirror::new("Pods"),
            holders: BTreeMap::new(),
            tops: Tops::new(),
            queue: Queue::new(),
            patience: BTreeMap::new(),
            idle: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Goes on for ever.
    pub(super) async fn run(
        mut self,
        services: impl Stream<Item = News<Standing>>,
        pods: impl Stream<Item = News<Pod>>,
    ) {
        let (mut services, mut pods) = (pin!(services), pin!(pods));
        let mut work = FuturesUnordered::new();
        loop {
            // What is not known yet must not look as if it were gone.
            let free = self.state.borrow().is_ok() && self.queue.busy() < PARALLEL;
            let due = self.queue.next().filter(|_| free);
            tokio::select! {
                Some(news) = services.next() => self.service(news),
                Some(news) = pods.next() => self.pod(news),
                Some(report) = work.next(), if !work.is_empty() => self.finished(report),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    work.extend(self.begin(Instant::now()));
                }
                // Neither stream ends by itself.
                else => return,
            }
        }
    }

    fn service(&mut self, news: News<Standing>) {
        if matches!(news, News::Failed { expired: false, .. }) {
            self.metrics.watch_failed("services");
        }
        let mut touched = Vec::new();
        self.services.absorb(news, |key, old, new| {
            if let Some(agent) = agent_of(key) {
                touched.push((agent, has_lost_owners(old, new)));
            }
        });
        for (agent, lost) in touched {
            if lost {
                // Perhaps they are gone. Who the owners of its pods are now is asked anew.
                let pods =
                    self.holders.get(&agent).into_iter().flatten().filter_map(|key| self.pods.get(key));
                pods.for_each(|pod| drop(self.tops.remove(&pod.owner.uid)));
            }
            self.soon(agent);
        }
        self.absorbed();
    }

    fn pod(&mut self, news: News<Pod>) {
        if matches!(news, News::Failed { expired: false, .. }) {
            self.metrics.watch_failed("pods");
        }
        let (mut touched, holders) = (BTreeSet::new(), &mut self.holders);
        self.pods.absorb(news, |key, old, new| {
            for agent in old.iter().flat_map(|pod| &pod.agents) {
                let agent = Key::new(&key.namespace, agent);
                if let Some(pods) = holders.get_mut(&agent) {
                    pods.remove(key);
                    if pods.is_empty() {
                        holders.remove(&agent);
                    }
                }
                touched.insert(agent);
            }
            for agent in new.iter().flat_map(|pod| &pod.agents) {
                let agent = Key::new(&key.namespace, agent);
                holders.entry(agent.clone()).or_default().insert(key.clone());
                touched.insert(agent);
            }
        });
        for agent in touched {
            self.soon(agent);
        }
        self.absorbed();
    }

    /// Whether all is known is told once.
    fn absorbed(&self) {
        let missing = [(self.services.what, self.services.missing()), (self.pods.what, self.pods.missing())];
        let missing: Vec<String> =
            missing.iter().filter_map(|(what, why)| why.map(|why| format!("{what}: {why}"))).collect();
        let new = if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) };
        self.state.send_if_modified(|state| {
            let news = *state != new;
            if news {
                *state = new;
            }
            news
        });
    }

    /// Lets an agent be looked at in a moment, which is not the same for all controllers.
    fn soon(&mut self, agent: Key) {
        let moment = SETTLE + SPREAD.mul_f64(self.chance.random_range(0.0..1.0));
        self.queue.add(agent, Instant::now() + moment);
    }

    /// Begins with the next agent that is due.
    fn begin(&mut self, now: Instant) -> Option<BoxFuture<'static, Report>> {
        let agent = self.queue.pop(now)?;
        let next = match self.patience.get(&agent).map(Patience::over) {
            Some(over) if over > now => Next::At(over),
            _ => self.look(&agent, now),
        };
        match next {
            Next::Nothing => self.queue.done(&agent, now),
            Next::At(again) => {
                self.queue.done(&agent, now);
                self.queue.add(agent, again);
            }
            Next::Work(work) => return Some(work),
        }
        None
    }

    fn finished(&mut self, report: Report) {
        let Report { agent, outcome, learnt } = report;
        self.tops.extend(learnt);
        self.prune();
        let now = Instant::now();
        let result = match &outcome {
            Ok(outcome) => outcome.result(),
            Err(_) => Some("failed"),
        };
        if let Some(result) = result {
            self.metrics.did(result);
            let failure = outcome.as_ref().err();
            let (namespace, name) = (&agent.namespace, &agent.name);
            match failure {
                None => tracing::info!(namespace, agent = name, result, "Mesh Service changed"),
                Some(reason) => {
                    tracing::warn!(namespace, agent = name, result, reason, "Mesh Service not kept")
                }
            }
        }
        let mut earliest = now;
        if let Some(most) = strain(&outcome) {
            let chance = self.chance.random_range(0.0..1.0);
            let patience = Patience::strike(self.patience.get(&agent).copied(), now, most, chance);
            self.patience.insert(agent.clone(), patience);
            earliest = patience.over();
        }
        self.queue.done(&agent, earliest);
        match outcome {
            Err(_) | Ok(Outcome::Conflict | Outcome::Ownerless) => self.queue.add(agent, earliest),
            Ok(Outcome::Kept) => {
                self.idle.insert(agent.clone(), now);
                self.queue.add(agent, now + GRACE);
            }
            Ok(_) => {}
        }
    }

    /// Forgets what is above objects that no pod belongs to any more.
    fn prune(&mut self) {
        if self.tops.len() > 2 * self.pods.objects().len() + LINKS_MAX {
            let used: HashSet<&String> = self.pods.objects().values().map(|pod| &pod.owner.uid).collect();
            self.tops.retain(|uid, _| used.contains(uid));
        }
    }
}

impl Outcome {
    /// What it is counted and logged as, if it is worth it.
    fn result(self) -> Option<&'static str> {
        match self {
            Self::Created => Some("created"),
            Self::Adopted => Some("adopted"),
            Self::Mended => Some("mended"),
            Self::Discarded => Some("discarded"),
            Self::Deleted => Some("deleted"),
            Self::InOrder | Self::Kept | Self::Ownerless | Self::Conflict | Self::Told => None,
        }
    }
}

/// Whether a Service of ours is gone, or belongs to fewer than before.
fn has_lost_owners(old: Option<&Standing>, new: Option<&Standing>) -> bool {
    match (old, new) {
        (Some(Standing::Ours(old)), Some(Standing::Ours(new))) => {
            old.owners.keys().any(|uid| !new.owners.contains_key(uid))
        }
        (old, _) => old.is_some(),
    }
}

/// How long one waits at most before the same agent is seen to again, if that ought not to happen often.
fn strain(outcome: &Result<Outcome, String>) -> Option<Duration> {
    match outcome {
        Ok(Outcome::Created | Outcome::Mended | Outcome::Discarded | Outcome::Conflict) => Some(QUARREL),
        Ok(Outcome::Adopted) => Some(HASTE),
        Ok(Outcome::Ownerless) | Err(_) => Some(TROUBLE),
        Ok(_) => None,
    }
}
