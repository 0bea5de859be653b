//! The one background task of a name: it asks, publishes what it learnt, and rests until there is a reason to ask again.

use std::sync::{Arc, Weak};

use rand::{RngExt, rngs::SmallRng};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Bounds, Lookup, Metrics,
    metrics::Gauges,
    set::{Answer, Endpoints, Freshness, State},
    table::Table,
};
use crate::a2a::Name;

/// Everything that the task of a name needs.
pub(super) struct Keeper {
    pub(super) name: Name,
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) bounds: Arc<Bounds>,
    pub(super) chance: SmallRng,
    pub(super) metrics: Metrics,
    pub(super) gauges: Gauges,
    /// What readers see.
    pub(super) endpoints: watch::Sender<Arc<Endpoints>>,
    /// When somebody last asked for the name.
    pub(super) asked: watch::Receiver<Instant>,
    /// Somebody could not use an endpoint.
    pub(super) refused: Arc<Notify>,
    /// Where the name is listed. Not owned: the list owns the task.
    pub(super) table: Weak<Table>,
}

impl Keeper {
    /// Keeps the name until nobody wants it any more.
    pub(super) async fn run(mut self) {
        let mut state = State::default();
        loop {
            let started = Instant::now();
            let answer = self.ask().await;
            let (next, delay) =
                state.step(answer, Instant::now(), self.chance.random_range(0.0..1.0), &self.bounds);
            state = next;
            // Whoever asked until now is answered by what is published next.
            self.asked.mark_unchanged();
            self.publish(state.endpoints());
            if !self.rest(started, Instant::now() + delay).await {
                return;
            }
            if state.is_empty() && !self.wanted().await {
                return;
            }
        }
    }

    async fn ask(&self) -> Answer {
        let answer = timeout(self.bounds.lookup, self.lookup.lookup(&self.name)).await.unwrap_or_else(|_| {
            Answer::Failed { reason: format!("no answer within {:?}", self.bounds.lookup) }
        });
        self.metrics.resolved(&answer);
        tracing::trace!(agent = %self.name, ?answer, "Lookup done");
        answer
    }

    /// Shows `endpoints` to everybody, and wakes those who wait for news, and logs, only if there are any.
    fn publish(&self, endpoints: Endpoints) {
        self.gauges.show(&endpoints);
        self.endpoints.send_if_modified(|current| {
            let news = !endpoints.tells_no_more_than(current);
            if news {
                log(&self.name, &endpoints);
            }
            *current = Arc::new(endpoints);
            news
        });
    }

    /// Waits until `due`, or, once an endpoint was refused, no longer than the time that must lie between two such
    /// lookups. False if the name was forgotten meanwhile.
    async fn rest(&self, started: Instant, mut due: Instant) -> bool {
        loop {
            let idle = *self.asked.borrow() + self.bounds.idle;
            tokio::select! {
                () = sleep_until(due.min(idle)) => {}
                () = self.refused.notified() => due = due.min(started + self.bounds.refused),
            }
            let now = Instant::now();
            if now >= idle && self.forgotten(now) {
                return false;
            }
            if now >= due {
                return true;
            }
        }
    }

    /// Waits until somebody asks for a name that has nothing to offer: DNS is not asked again for nobody. The next to ask
    /// waits for the answer, as the very first did. False if nobody came.
    async fn wanted(&mut self) -> bool {
        if self.asked.has_changed().is_ok_and(|wanted| !wanted) {
            self.publish(Endpoints::pending());
        }
        loop {
            let idle = *self.asked.borrow() + self.bounds.idle;
            tokio::select! {
                wanted = self.asked.changed() => return wanted.is_ok(),
                () = sleep_until(idle) => {}
            }
            if self.forgotten(Instant::now()) {
                return false;
            }
        }
    }

    /// Takes the name off the list, if still nobody has asked for it.
    fn forgotten(&self, now: Instant) -> bool {
        self.table.upgrade().is_none_or(|table| table.forget(&self.name, now, self.bounds.idle))
    }
}

fn log(agent: &Name, endpoints: &Endpoints) {
    match &endpoints.freshness {
        Freshness::Absent { reason } => tracing::info!(%agent, %reason, "Agent has no endpoints"),
        Freshness::Failed { reason } => tracing::warn!(%agent, %reason, "Agent cannot be looked up"),
        Freshness::Fresh => tracing::info!(%agent, addresses = ?endpoints.addresses, "Endpoints changed"),
        Freshness::Pending => {}
        Freshness::Stale { reason, .. } => tracing::warn!(%agent, %reason, "Endpoints are stale"),
    }
}
