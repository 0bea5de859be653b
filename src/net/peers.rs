//! Connections to peers: one HTTP/2 connection over mutual TLS for each address and name, shared by all calls.

mod connection;
mod last_words;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub use connection::{Answer, Connection, Unanswered};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::a2a::Name;
use crate::identity::Pattern;
use crate::task;
use crate::tls::{Refusal, Tls};

/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(300);
const SWEEP: Duration = Duration::from_secs(60);

/// Why a peer cannot be talked to. Whatever was to be sent has not been sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unreachable {
    /// The peer's certificate, or the own one, stands in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The peer refuses our certificate.
    #[error("the peer refuses our certificate: {0}")]
    Rejected(Arc<str>),
    /// Nobody answers there, or nobody who speaks this.
    #[error("{0}")]
    Silent(Arc<str>),
}

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long connecting may take, TLS included.
    pub connect: Duration,
    /// The window of each stream, in bytes.
    pub stream_window: u32,
}

/// The connections that stand or are being made. Clones share them.
#[derive(Clone)]
pub struct Peers {
    tls: Tls,
    settings: Settings,
    pool: Arc<Mutex<Pool>>,
}

#[derive(Default)]
struct Pool {
    entries: HashMap<Key, Entry>,
    /// Closes those that nobody uses.
    sweeper: Option<AbortOnDropHandle<()>>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
struct Key {
    address: SocketAddr,
    name: Name,
}

struct Entry {
    connecting: Shared<BoxFuture<'static, Result<Connection, Unreachable>>>,
    used: Instant,
}

impl Peers {
    /// No connections yet.
    pub fn new(tls: Tls, settings: Settings) -> Self {
        Self { tls, settings, pool: Arc::default() }
    }

    /// The connection to an address where `name` should be, under an identity that `expected` matches. Many callers
    /// share one attempt.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn connection(
        &self,
        address: SocketAddr,
        name: &Name,
        expected: &Pattern,
    ) -> Result<Connection, Unreachable> {
        let key = Key { address, name: name.clone() };
        let connecting = self.entry(&key, expected);
        if let Some(Ok(connection)) = connecting.peek() {
            return Ok(connection.clone());
        }
        let connection = connecting.clone().await;
        if connection.is_err() {
            self.forget(&key, &connecting);
        }
        connection
    }

    fn entry(
        &self,
        key: &Key,
        expected: &Pattern,
    ) -> Shared<BoxFuture<'static, Result<Connection, Unreachable>>> {
        let now = Instant::now();
        let mut pool = lock(&self.pool);
        if let Some(entry) = pool.entries.get_mut(key).filter(|entry| entry.is_usable()) {
            entry.used = now;
            return entry.connecting.clone();
        }
        pool.sweeper.get_or_insert_with(|| task::spawn(sweep(Arc::downgrade(&self.pool))));
        let connect = Connection::make(self.tls.clone(), self.settings, key.clone(), expected.clone());
        // A task of its own, so that a caller who leaves does not stop it for the others.
        let connecting = task::spawn(connect)
            .map(|ended| ended.unwrap_or_else(|_| Err(Unreachable::Silent("connecting was given up".into()))))
            .boxed()
            .shared();
        pool.entries.insert(key.clone(), Entry { connecting: connecting.clone(), used: now });
        connecting
    }

    fn forget(&self, key: &Key, failed: &Shared<BoxFuture<'static, Result<Connection, Unreachable>>>) {
        let mut pool = lock(&self.pool);
        if pool.entries.get(key).is_some_and(|entry| entry.connecting.ptr_eq(failed)) {
            pool.entries.remove(key);
        }
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what nobody uses and forgets what has ended, as long as there is anything.
async fn sweep(pool: Weak<Mutex<Pool>>) {
    loop {
        sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut pool = lock(&pool);
        pool.entries.retain(|_, entry| entry.is_usable() && entry.used.elapsed() < IDLE);
        if pool.entries.is_empty() {
            pool.sweeper = None;
            return;
        }
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("settings", &self.settings).finish_non_exhaustive()
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
    use crate::a2a::Home;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_uses_is_closed_after_a_while() {
        let home = Home { namespace: "travel".into(), mesh: "east".into() };
        let key = Key { address: ([10, 0, 0, 1], 2643).into(), name: Name::parse("a", &home).unwrap() };
        let connecting = std::future::pending().boxed().shared();
        let pool = Arc::new(Mutex::new(Pool::default()));
        lock(&pool).entries.insert(key, Entry { connecting, used: Instant::now() });
        lock(&pool).sweeper = Some(task::spawn(sweep(Arc::downgrade(&pool))));
        sleep(IDLE - SWEEP / 2).await;
        assert_eq!(lock(&pool).entries.len(), 1);
        sleep(SWEEP).await;
        assert!(lock(&pool).entries.is_empty() && lock(&pool).sweeper.is_none());
    }
}
