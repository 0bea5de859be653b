//! The list of the names that are kept, and whom to forget when there are too many.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::set::{Endpoints, Freshness};
use crate::a2a::Name;

/// One name, for an operator to look at.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Whose endpoints these are.
    pub name: Name,
    /// What is known.
    pub endpoints: Arc<Endpoints>,
    /// How long ago DNS last named these addresses. None if it has not, or if the config did.
    pub age: Option<Duration>,
    /// How long ago somebody last asked for the name. None for those in the config.
    pub idle: Option<Duration>,
}

/// One name that is kept.
pub(super) struct Entry {
    pub(super) asked: watch::Sender<Instant>,
    pub(super) endpoints: watch::Receiver<Arc<Endpoints>>,
    pub(super) refused: Arc<Notify>,
    /// Ends with the entry.
    pub(super) _task: AbortOnDropHandle<()>,
}

/// The names that are kept.
#[derive(Default)]
pub(super) struct Table {
    entries: Mutex<HashMap<Name, Entry>>,
}

impl Table {
    /// The endpoints of `name`, whom somebody asks for at `now`. If it is not kept yet, `entry` makes it so, provided that
    /// there is room for it among `most`; else None.
    pub(super) fn ask(
        &self,
        name: &Name,
        now: Instant,
        most: usize,
        busy: Duration,
        entry: impl FnOnce() -> Entry,
    ) -> Option<watch::Receiver<Arc<Endpoints>>> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(name) {
            entry.asked.send_replace(now);
            return Some(entry.endpoints.clone());
        }
        let evicted = if entries.len() < most {
            None
        } else {
            let longest_idle = longest_idle(&entries, now, busy)?;
            entries.remove(&longest_idle)
        };
        let entry = entry();
        let endpoints = entry.endpoints.clone();
        entries.insert(name.clone(), entry);
        drop(entries);
        drop(evicted);
        Some(endpoints)
    }

    /// Drops `name` if nobody has asked for it for `idle`. Whether it is gone.
    pub(super) fn forget(&self, name: &Name, now: Instant, idle: Duration) -> bool {
        let mut entries = self.lock();
        let due =
            entries.get(name).is_none_or(|entry| now.saturating_duration_since(entry.last_asked()) >= idle);
        let removed = if due { entries.remove(name) } else { None };
        drop(entries);
        drop(removed);
        due
    }

    /// Tells the keeper of `name` that an endpoint was of no use.
    pub(super) fn refused(&self, name: &Name) {
        if let Some(entry) = self.lock().get(name) {
            entry.refused.notify_one();
        }
    }

    /// Every name, as it is at `now`.
    pub(super) fn all(&self, now: Instant) -> Vec<Kept> {
        let kept = |(name, entry): (&Name, &Entry)| {
            let endpoints = Arc::clone(&entry.endpoints.borrow());
            Kept {
                name: name.clone(),
                age: endpoints.confirmed.map(|at| now.saturating_duration_since(at)),
                endpoints,
                idle: Some(now.saturating_duration_since(entry.last_asked())),
            }
        };
        self.lock().iter().map(kept).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn last_asked(&self) -> Instant {
        *self.asked.borrow()
    }
}

/// Whom to forget: names without endpoints before those with some, then the one that nobody has asked for longest. A name
/// whose first answer is awaited stays, and so does one with endpoints that was asked for within `busy`.
fn longest_idle(entries: &HashMap<Name, Entry>, now: Instant, busy: Duration) -> Option<Name> {
    entries
        .iter()
        .filter_map(|(name, entry)| {
            let endpoints = entry.endpoints.borrow();
            let asked = entry.last_asked();
            let useful = !endpoints.addresses.is_empty();
            let idle = now.saturating_duration_since(asked) >= busy;
            let awaited = endpoints.freshness == Freshness::Pending;
            (idle || !(useful || awaited)).then_some((useful, asked, name))
        })
        .min_by_key(|(useful, asked, _)| (*useful, *asked))
        .map(|(_, _, name)| name.clone())
}
