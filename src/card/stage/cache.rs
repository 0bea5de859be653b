//! Cards that are kept for a while, and of which each is asked for only once at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, Ready, Shared, WeakShared, ready};
use http::header;
use tokio::time::Instant;

use super::Card;
use crate::a2a::{Call, Fault, Name};

/// The most bytes of cards that are kept.
const BYTES_MAX: usize = 16 << 20;

/// Whose card it is, and for whom: an agent may show others more to who has credentials.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    agent: Name,
    /// A hash, so that no credential is kept.
    authorization: Option<Vec<u8>>,
}

impl Key {
    pub(super) fn of(call: &Call) -> Self {
        let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec();
        Self { agent: call.agent.clone(), authorization: call.params.get(&header::AUTHORIZATION).map(hash) }
    }
}

type Fetch = BoxFuture<'static, Result<Card, Fault>>;

/// A card that is there, or on its way.
#[derive(Debug)]
enum Entry {
    Here {
        card: Card,
        since: Instant,
    },
    /// Who waits for it holds it; once nobody does, it is given up.
    OnItsWay(WeakShared<Fetch>),
}

/// Cards by agent. Clones share them.
#[derive(Clone, Debug)]
pub struct Cards {
    max_age: Duration,
    entries: Arc<Mutex<HashMap<Key, Entry>>>,
}

impl Cards {
    /// Keeps each card for `max_age`.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, entries: Arc::default() }
    }

    /// The card of an agent that is there, in canonical form, as anybody may see it. Nobody is asked.
    pub fn kept(&self, agent: &Name) -> Option<Bytes> {
        let key = Key { agent: agent.clone(), authorization: None };
        match self.lock().get(&key) {
            Some(Entry::Here { card, .. }) => Some(card.wire.clone()),
            _ => None,
        }
    }

    /// The card that is there, or that comes. `fetch` is called if it is neither.
    pub(super) fn get(
        &self,
        key: Key,
        fetch: impl FnOnce() -> Fetch,
    ) -> Either<Ready<Result<Card, Fault>>, Shared<Fetch>> {
        let mut entries = self.lock();
        let coming = match entries.get(&key) {
            Some(Entry::Here { card, since }) if since.elapsed() < self.max_age => {
                return Either::Left(ready(Ok(card.clone())));
            }
            Some(Entry::OnItsWay(coming)) => coming.upgrade(),
            _ => None,
        };
        let coming = coming.unwrap_or_else(|| {
            let (cache, fetch, kept) = (self.clone(), fetch(), key.clone());
            let coming = async move {
                let card = fetch.await;
                cache.settle(kept, card.as_ref().ok());
                card
            };
            let coming: Shared<Fetch> = coming.boxed().shared();
            // Nothing is downgraded only once it is over, and this has not begun.
            if let Some(weak) = coming.downgrade() {
                entries.insert(key, Entry::OnItsWay(weak));
            }
            coming
        });
        Either::Right(coming)
    }

    /// Keeps what has come; a fault is nothing to keep.
    fn settle(&self, key: Key, card: Option<&Card>) {
        let mut entries = self.lock();
        entries.remove(&key);
        let Some(card) = card.filter(|card| !self.max_age.is_zero() && card.wire.len() <= BYTES_MAX) else {
            return;
        };
        entries.retain(|_, entry| match entry {
            Entry::Here { since, .. } => since.elapsed() < self.max_age,
            Entry::OnItsWay(coming) => coming.upgrade().is_some(),
        });
        let size = |entry: &Entry| match entry {
            Entry::Here { card, .. } => card.wire.len(),
            Entry::OnItsWay(_) => 0,
        };
        while entries.values().map(size).sum::<usize>() + card.wire.len() > BYTES_MAX {
            let here = entries.iter().filter_map(|(key, entry)| match entry {
                Entry::Here { since, .. } => Some((key, *since)),
                Entry::OnItsWay(_) => None,
            });
            let Some(oldest) = here.min_by_key(|(_, since)| *since).map(|(key, _)| key.clone()) else {
                break;
            };
            entries.remove(&oldest);
        }
        entries.insert(key, Entry::Here { card: card.clone(), since: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many cards are there, and how many on their way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}
