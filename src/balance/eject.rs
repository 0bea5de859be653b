//! Endpoints that are set aside for a while because they could not be used, longer each time.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use tokio::time::Instant;

/// How long an endpoint is set aside the first time.
const FIRST: Duration = Duration::from_secs(1);
/// How long an endpoint is set aside at most.
const LONGEST: Duration = Duration::from_secs(30);

/// Who is set aside.
#[derive(Debug, Default)]
pub(super) struct Ejections {
    by_address: HashMap<SocketAddr, Ejection>,
}

#[derive(Debug)]
struct Ejection {
    at: Instant,
    until: Instant,
    /// How many times in a row.
    strikes: u32,
}

impl Ejections {
    /// Sets `address` aside; whether it was in use until then. One that is set aside already gets no longer: all calls that
    /// were under way when a replica died say the same.
    pub(super) fn eject(&mut self, address: SocketAddr, now: Instant) -> bool {
        let new = !self.by_address.contains_key(&address);
        let ejection = self.by_address.entry(address).or_insert(Ejection { at: now, until: now, strikes: 0 });
        ejection.at = now;
        if ejection.until <= now {
            let aside = FIRST.saturating_mul(1 << ejection.strikes.min(16)).min(LONGEST);
            ejection.until = now + aside;
            ejection.strikes = ejection.strikes.saturating_add(1);
        }
        new
    }

    /// Forgets what is held against `address`: it works.
    pub(super) fn restore(&mut self, address: SocketAddr) {
        self.by_address.remove(&address);
    }

    /// Whether `address` is set aside at `now`.
    pub(super) fn holds(&self, address: SocketAddr, now: Instant) -> bool {
        self.by_address.get(&address).is_some_and(|ejection| now < ejection.until)
    }

    /// When `address` was last set aside.
    pub(super) fn last(&self, address: SocketAddr) -> Option<Instant> {
        self.by_address.get(&address).map(|ejection| ejection.at)
    }

    /// Forgets all addresses but those.
    pub(super) fn retain(&mut self, keep: impl Fn(&SocketAddr) -> bool) {
        self.by_address.retain(|address, _| keep(address));
    }

    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        ([10, 0, 0, 1], 2643).into()
    }

    #[tokio::test(start_paused = true)]
    async fn each_time_it_is_set_aside_twice_as_long_up_to_half_a_minute() {
        let mut ejections = Ejections::default();
        let mut now = Instant::now();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            ejections.eject(address(), now);
            now += Duration::from_secs(seconds);
            assert!(ejections.holds(address(), now - Duration::from_millis(1)), "{seconds}");
            assert!(!ejections.holds(address(), now), "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_of_one_moment_count_once() {
        let mut ejections = Ejections::default();
        let now = Instant::now();
        for _ in 0..50 {
            ejections.eject(address(), now);
        }
        assert!(!ejections.holds(address(), now + FIRST));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_works_again_starts_with_a_clean_slate() {
        let mut ejections = Ejections::default();
        let now = Instant::now();
        ejections.eject(address(), now);
        ejections.eject(address(), now + FIRST);
        ejections.restore(address());
        assert!(!ejections.holds(address(), now + FIRST));
        ejections.eject(address(), now + FIRST);
        assert!(!ejections.holds(address(), now + 2 * FIRST));
    }
}
