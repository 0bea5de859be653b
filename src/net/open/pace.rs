//! The pace of one connection: how long it may rest, and how long one of its requests may be under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::REQUEST;

/// How long a connection may rest, by HTTP/1.1 even less. API servers like to keep theirs for longer; they are told in order
/// that it ends, and make another when they need one.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// How long whoever is told to leave may take for it.
pub(super) const LEAVE: Duration = Duration::from_secs(5);
/// How long a request may be under way, until the last byte of its answer is written: ten seconds to take the answer.
pub(super) const UNFINISHED: Duration = REQUEST.saturating_add(Duration::from_secs(10));

/// What is under way on a connection.
#[derive(Debug)]
pub(super) struct Pace {
    under_way: Mutex<UnderWay>,
    begun: Notify,
}

#[derive(Debug)]
struct UnderWay {
    next: u64,
    since: BTreeMap<u64, Instant>,
    /// When the last one ended.
    rests: Instant,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Mark {
    pace: Arc<Pace>,
    number: u64,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Overdue {
    #[error("it rested for too long")]
    Idle,
    #[error("an answer was not taken")]
    Unfinished,
}

impl Pace {
    /// Nothing, from now on.
    pub(super) fn new(now: Instant) -> Self {
        let under_way = UnderWay { next: 0, since: BTreeMap::new(), rests: now };
        Self { under_way: Mutex::new(under_way), begun: Notify::new() }
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Mark {
        let mut under_way = self.lock();
        let number = under_way.next;
        under_way.next += 1;
        under_way.since.insert(number, now);
        self.begun.notify_one();
        Mark { pace: Arc::clone(self), number }
    }

    /// Waits until the connection is to be ended. One that rests is told to `leave` before.
    pub(super) async fn overdue(&self, leave: &Notify) -> Overdue {
        let mut told = false;
        loop {
            let (until, overdue) = self.next(told);
            if until > Instant::now() {
                // Only what begins can come before what is waited for.
                tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.begun.notified() => {}
                }
            } else if told || matches!(overdue, Overdue::Unfinished) {
                return overdue;
            } else {
                told = true;
                leave.notify_one();
            }
        }
    }

    /// What will be overdue next, and when.
    fn next(&self, told: bool) -> (Instant, Overdue) {
        let under_way = self.lock();
        match under_way.since.values().next() {
            Some(since) => (*since + UNFINISHED, Overdue::Unfinished),
            None if told => (under_way.rests + IDLE + LEAVE, Overdue::Idle),
            None => (under_way.rests + IDLE, Overdue::Idle),
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut under_way = self.pace.lock();
        under_way.since.remove(&self.number);
        if under_way.since.is_empty() {
            under_way.rests = Instant::now();
        }
    }
}
