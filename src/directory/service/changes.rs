//! The changes, as one caller may see them: what there is, then the differences from snapshot to snapshot. Who reads too
//! slowly skips what was in between, and is sent away when it does not read at all.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::View;
use crate::directory::{Snapshot, message};
use crate::drain::{Drain, Stage};
use crate::proto::mesh::{AgentEvent, agent_event::Event};
use crate::task;

/// How many events wait for a caller.
const AHEAD: usize = 64;
/// How long a caller may take no event at all.
const SLOW: Duration = Duration::from_secs(30);

/// One caller that follows: counted as long as it does, and in the place that it takes.
#[derive(Debug)]
pub(super) struct Counted {
    gauge: Gauge,
    _place: OwnedSemaphorePermit,
}

impl Counted {
    pub(super) fn new(gauge: &Gauge, place: OwnedSemaphorePermit) -> Self {
        gauge.inc();
        Self { gauge: gauge.clone(), _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// The events, and after them why there are no more.
struct Events {
    events: mpsc::Receiver<AgentEvent>,
    end: Arc<Mutex<Option<Status>>>,
    _telling: AbortOnDropHandle<()>,
    _counted: Counted,
}

/// Tells a caller what it may see, from now on until the house drains.
pub(super) fn follow(
    view: View,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    mut drain: Drain,
    counted: Counted,
) -> impl Stream<Item = Result<AgentEvent, Status>> + Send + 'static {
    let (tx, events) = mpsc::channel(AHEAD);
    let end = Arc::new(Mutex::new(None));
    let reason = Arc::clone(&end);
    let telling = task::spawn(async move {
        let status = tokio::select! {
            status = tell(view, snapshots, &tx) => status,
            () = drain.past(Stage::Running) => Status::unavailable("the directory is ending: ask another one"),
        };
        *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        drop(tx);
    });
    Events { events, end, _telling: telling, _counted: counted }
}

impl Stream for Events {
    type Item = Result<AgentEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(cx).map(|event| match event {
            Some(event) => Some(Ok(event)),
            None => self.end.lock().unwrap_or_else(PoisonError::into_inner).take().map(Err),
        })
    }
}

/// Tells everything, and then every change; why it has ended.
async fn tell(
    view: View,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    caller: &mpsc::Sender<AgentEvent>,
) -> Status {
    let mut told = Arc::default();
    let mut synced = false;
    loop {
        let now = Arc::clone(&snapshots.borrow_and_update());
        for event in changes(&view, &told, &now) {
            if let Err(status) = send(caller, event).await {
                return status;
            }
        }
        told = now;
        if !synced && let Err(status) = send(caller, Event::Synced(true)).await {
            return status;
        }
        synced = true;
        if snapshots.changed().await.is_err() {
            return Status::unavailable("the directory is ending: ask another one");
        }
    }
}

async fn send(caller: &mpsc::Sender<AgentEvent>, event: Event) -> Result<(), Status> {
    match timeout(SLOW, caller.send(AgentEvent { event: Some(event) })).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::cancelled("the caller has left")),
        Err(_) => Err(Status::resource_exhausted(format!("no event was read for {SLOW:?}: begin again"))),
    }
}

/// What a caller who knows `before` does not know of `now`. Lazy: an event is made when it is wanted.
fn changes<'a>(
    view: &'a View,
    before: &'a Snapshot,
    now: &'a Snapshot,
) -> impl Iterator<Item = Event> + use<'a> {
    let removed = before.agents.iter().filter_map(move |(name, agent)| {
        let stays = now.agents.get(name).is_some_and(|now| Arc::ptr_eq(now, agent) || view.shows(now));
        (!stays && view.shows(agent)).then(|| Event::Removed(name.to_string()))
    });
    let updated = now.agents.iter().filter_map(move |(name, agent)| {
        let before = before.agents.get(name);
        // Most agents are as they were, and nothing has to be thought about them.
        if before.is_some_and(|before| Arc::ptr_eq(before, agent)) {
            return None;
        }
        let known = before.is_some_and(|before| before == agent && view.shows(before));
        (!known && view.shows(agent)).then(|| Event::Updated(message::write(agent, view.brief)))
    });
    removed.chain(updated)
}
