//! How often a service account may have certificates: a bucket of tokens for each, so that one that has gone mad does not take
//! the API server's time from all others.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How many certificates an account may have at once: as many as a large deployment has pods on a few nodes.
const BURST: f64 = 200.0;
/// How many it may have each second after that.
const RATE: f64 = 10.0;
/// How many accounts are kept in mind before those are forgotten that are at rest.
const ACCOUNTS_MAX: usize = 10_000;

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<HashMap<String, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limit {
    /// Takes one from the account's bucket; if it is empty, tells how long to wait.
    pub(super) fn take(&self, account: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ACCOUNTS_MAX && !buckets.contains_key(account) {
            buckets.retain(|_, bucket| bucket.filled(now) < BURST);
        }
        let bucket = buckets.entry(account.to_owned()).or_insert(Bucket { left: BURST, at: now });
        let left = bucket.filled(now);
        let taken = left >= 1.0;
        *bucket = Bucket { left: if taken { left - 1.0 } else { left }, at: now };
        if taken {
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - left) / RATE).max(Duration::from_secs(1)))
        }
    }
}

impl Bucket {
    fn filled(self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + elapsed * RATE).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_and_nobody_else_does() {
        let (limit, now) = (Limit::default(), Instant::now());
        for _ in 0..200 {
            assert_eq!(limit.take("travel/currency", now), Ok(()));
        }
        assert_eq!(limit.take("travel/currency", now), Err(Duration::from_secs(1)));
        assert_eq!(limit.take("travel/hotel", now), Ok(()));
        let later = now + Duration::from_secs(1);
        let again = (0..20).filter(|_| limit.take("travel/currency", later).is_ok()).count();
        assert_eq!(again, 10);
    }

    #[test]
    fn accounts_at_rest_are_forgotten() {
        let (limit, now) = (Limit::default(), Instant::now());
        for account in 0..ACCOUNTS_MAX {
            limit.take(&account.to_string(), now).unwrap();
        }
        limit.take("one more", now + Duration::from_secs(1)).unwrap();
        assert_eq!(limit.0.lock().unwrap().len(), 1);
    }
}
