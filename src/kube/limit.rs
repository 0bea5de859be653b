//! How often somebody may have something: a bucket of tokens for each, so that one that has gone mad does not take what is for
//! all. Only so many are kept in mind.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How much each may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// At once.
    pub(super) burst: f64,
    /// Each second after that.
    pub(super) each_second: f64,
    /// How many are kept in mind. As long as so many are busy, nobody new gets anything.
    pub(super) keys_max: usize,
}

/// The buckets.
#[derive(Debug)]
pub(super) struct Limit {
    rate: Rate,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limit {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes one from a bucket; if it is empty, tells how long to wait.
    pub(super) fn take(&self, key: &str, now: Instant) -> Result<(), Duration> {
        let Rate { burst, each_second, keys_max } = self.rate;
        let after =
            |lacks: f64| Err(Duration::from_secs_f64(lacks / each_second).max(Duration::from_secs(1)));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= keys_max && !buckets.contains_key(key) {
            // Who is at rest need not be kept in mind.
            buckets.retain(|_, bucket| bucket.filled(self.rate, now) < burst);
            if buckets.len() >= keys_max {
                return after(1.0);
            }
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { left: burst, at: now });
        let left = bucket.filled(self.rate, now);
        let taken = left >= 1.0;
        *bucket = Bucket { left: if taken { left - 1.0 } else { left }, at: now };
        if taken { Ok(()) } else { after(1.0 - left) }
    }
}

impl Bucket {
    fn filled(self, rate: Rate, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + elapsed * rate.each_second).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 200.0, each_second: 10.0, keys_max: 100 };

    #[test]
    fn who_asks_too_often_waits_and_nobody_else_does() {
        let (limit, now) = (Limit::new(RATE), Instant::now());
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
    fn who_may_have_one_a_minute_is_told_so() {
        let rate = Rate { burst: 1.0, each_second: 1.0 / 60.0, keys_max: 1 };
        let (limit, now) = (Limit::new(rate), Instant::now());
        assert_eq!(limit.take("a", now), Ok(()));
        let wait = limit.take("a", now).unwrap_err();
        assert!(wait > Duration::from_secs(59), "{wait:?}");
        assert_eq!(limit.take("a", now + Duration::from_secs(61)), Ok(()));
    }

    #[test]
    fn only_so_many_are_kept_in_mind_and_who_is_at_rest_is_forgotten() {
        let (limit, now) = (Limit::new(RATE), Instant::now());
        for account in 0..100 {
            limit.take(&account.to_string(), now).unwrap();
        }
        assert_eq!(limit.take("one more", now), Err(Duration::from_secs(1)));
        assert_eq!(limit.take("99", now), Ok(()), "who is known goes on");
        limit.take("one more", now + Duration::from_secs(1)).unwrap();
        assert_eq!(limit.buckets.lock().unwrap().len(), 1);
    }
}
