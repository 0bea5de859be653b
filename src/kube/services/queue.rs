//! What is to be looked at, and when: everything at most once, and nothing twice at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

/// What is to be looked at, and when.
#[derive(Debug)]
pub(super) struct Queue<K> {
    due: BTreeMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
    /// What is being looked at, and when again if something happened meanwhile.
    busy: BTreeMap<K, Option<Instant>>,
}

impl<K: Clone + Ord> Queue<K> {
    pub(super) fn new() -> Self {
        Self { due: BTreeMap::new(), order: BTreeSet::new(), busy: BTreeMap::new() }
    }

    /// `key` is to be looked at at that time, or before.
    pub(super) fn add(&mut self, key: K, at: Instant) {
        if let Some(again) = self.busy.get_mut(&key) {
            *again = Some(again.map_or(at, |already| already.min(at)));
            return;
        }
        if let Some(already) = self.due.get(&key).copied() {
            if already <= at {
                return;
            }
            self.order.remove(&(already, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the next one if it is due. It is busy until it is [`Queue::done`].
    pub(super) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.due.remove(&key);
        self.busy.insert(key.clone(), None);
        Some(key)
    }

    /// How many are being looked at.
    pub(super) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// `key` was looked at. If something happened meanwhile it is due again, but not before `earliest`.
    pub(super) fn done(&mut self, key: &K, earliest: Instant) {
        if let Some((key, Some(again))) = self.busy.remove_entry(key) {
            self.add(key, again.max(earliest));
        }
    }
}

/// How patient one is with something that does not stay as it should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    strikes: u32,
    delay: Duration,
    last: Instant,
}

/// The pause after a first attempt.
const PAUSE: Duration = Duration::from_secs(1);

impl Patience {
    /// Counts one more attempt after `before`; the pause after it is never longer than `most`. `chance` is within 0 and 1.
    pub(super) fn strike(before: Option<Self>, now: Instant, most: Duration, chance: f64) -> Self {
        // What has been quiet for much longer than the last pause is no quarrel any more.
        let recent = |one: &Self| now.duration_since(one.last) <= one.delay * 4 + PAUSE * 10;
        let strikes = before.filter(recent).map_or(0, |one| one.strikes);
        let delay = PAUSE.saturating_mul(1 << strikes.min(16)).min(most).mul_f64(0.5 + chance / 2.0);
        Self { strikes: strikes + 1, delay, last: now }
    }

    /// Nothing is attempted again before.
    pub(super) fn over(&self) -> Instant {
        self.last + self.delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_earliest_comes_first_and_each_once() {
        let (mut queue, start) = (Queue::new(), Instant::now());
        queue.add("b", start + second(2));
        queue.add("a", start + second(3));
        queue.add("a", start + second(1));
        queue.add("a", start + second(5));
        assert_eq!(queue.next(), Some(start + second(1)));
        assert_eq!(queue.pop(start), None);
        assert_eq!(queue.pop(start + second(9)), Some("a"));
        assert_eq!(queue.pop(start + second(9)), Some("b"));
        assert_eq!((queue.pop(start + second(9)), queue.next(), queue.busy()), (None, None, 2));
    }

    #[test]
    fn what_happens_meanwhile_is_looked_at_afterwards() {
        let (mut queue, start) = (Queue::new(), Instant::now());
        queue.add("a", start);
        assert_eq!(queue.pop(start), Some("a"));
        queue.add("a", start + second(2));
        queue.add("a", start + second(1));
        assert_eq!((queue.next(), queue.pop(start + second(9))), (None, None));
        queue.done(&"a", start);
        assert_eq!((queue.next(), queue.busy()), (Some(start + second(1)), 0));
        assert_eq!(queue.pop(start + second(1)), Some("a"));
        queue.add("a", start + second(1));
        queue.done(&"a", start + second(30));
        assert_eq!(queue.next(), Some(start + second(30)));
        assert_eq!(queue.pop(start + second(30)), Some("a"));
        queue.done(&"a", start);
        assert_eq!(queue.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_grows_in_a_quarrel_and_returns_after_it() {
        let (mut patience, most) = (None, second(60));
        let mut delays = Vec::new();
        for _ in 0..9 {
            let one = Patience::strike(patience, Instant::now(), most, 1.0);
            delays.push(one.delay.as_secs());
            tokio::time::sleep_until(one.over()).await;
            patience = Some(one);
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        tokio::time::advance(most * 5).await;
        let one = Patience::strike(patience, Instant::now(), most, 0.0);
        assert_eq!(one.delay, PAUSE / 2);
    }
}
