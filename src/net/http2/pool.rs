//! The connections that stand or are being made, by where they lead.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Connection, Unreachable};
use crate::task;

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(300);
const SWEEP: Duration = Duration::from_secs(60);

/// One connection for each key. Clones share them.
pub(in crate::net) struct Pool<K>(Arc<Mutex<Entries<K>>>);

struct Entries<K> {
    by_key: HashMap<K, Entry>,
    /// Closes those that nobody uses.
    sweeper: Option<AbortOnDropHandle<()>>,
}

type Connecting = Shared<BoxFuture<'static, Result<Connection, Unreachable>>>;

struct Entry {
    connecting: Connecting,
    used: Instant,
}

impl<K> Clone for Pool<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Pool<K> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Entries { by_key: HashMap::new(), sweeper: None })))
    }
}

impl<K: Clone + Eq + Hash + Send + 'static> Pool<K> {
    /// The connection of `key`, or the one that `connect` makes. Many callers share one attempt.
    pub(in crate::net) async fn connection<F>(
        &self,
        key: &K,
        connect: impl FnOnce() -> F,
    ) -> Result<Connection, Unreachable>
    where
        F: Future<Output = Result<Connection, Unreachable>> + Send + 'static,
    {
        let connecting = self.entry(key, connect);
        if let Some(Ok(connection)) = connecting.peek() {
            return Ok(connection.clone());
        }
        let connection = connecting.clone().await;
        if connection.is_err() {
            self.forget(key, &connecting);
        }
        connection
    }

    fn entry<F>(&self, key: &K, connect: impl FnOnce() -> F) -> Connecting
    where
        F: Future<Output = Result<Connection, Unreachable>> + Send + 'static,
    {
        let now = Instant::now();
        let mut entries = lock(&self.0);
        if let Some(entry) = entries.by_key.get_mut(key).filter(|entry| entry.is_usable()) {
            entry.used = now;
            return entry.connecting.clone();
        }
        entries.sweeper.get_or_insert_with(|| task::spawn(sweep(Arc::downgrade(&self.0))));
        // A task of its own, so that a caller who leaves does not stop it for the others.
        let connecting = task::spawn(connect())
            .map(|ended| ended.unwrap_or_else(|_| Err(Unreachable::Silent("connecting was given up".into()))))
            .boxed()
            .shared();
        entries.by_key.insert(key.clone(), Entry { connecting: connecting.clone(), used: now });
        connecting
    }

    fn forget(&self, key: &K, failed: &Connecting) {
        let mut entries = lock(&self.0);
        if entries.by_key.get(key).is_some_and(|entry| entry.connecting.ptr_eq(failed)) {
            entries.by_key.remove(key);
        }
    }
}

fn lock<K>(entries: &Mutex<Entries<K>>) -> MutexGuard<'_, Entries<K>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what nobody uses and forgets what has ended, as long as there is anything.
async fn sweep<K>(entries: Weak<Mutex<Entries<K>>>) {
    loop {
        sleep(SWEEP).await;
        let Some(entries) = entries.upgrade() else { return };
        let mut entries = lock(&entries);
        entries.by_key.retain(|_, entry| entry.is_usable() && entry.used.elapsed() < IDLE);
        if entries.by_key.is_empty() {
            entries.sweeper = None;
            return;
        }
    }
}

impl Entry {
    /// Whether the connection is being made, or stands.
    fn is_usable(&self) -> bool {
        match self.connecting.peek() {
            Some(Ok(connection)) => connection.stands(),
            Some(Err(_)) => false,
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_uses_is_closed_after_a_while() {
        let pool = Pool::<u8>::default();
        let connecting = pool.entry(&1, std::future::pending);
        assert!(connecting.peek().is_none());
        sleep(IDLE - SWEEP / 2).await;
        assert_eq!(lock(&pool.0).by_key.len(), 1);
        sleep(SWEEP).await;
        let entries = lock(&pool.0);
        assert!(entries.by_key.is_empty() && entries.sweeper.is_none());
    }

    #[tokio::test]
    async fn what_failed_is_tried_again() {
        let pool = Pool::<u8>::default();
        for reason in ["one", "two"] {
            let failed = pool.connection(&1, || async move { Err(Unreachable::Silent(reason.into())) }).await;
            assert_eq!(failed.unwrap_err().to_string(), reason);
        }
    }
}
