//! What is known about one name, and when to ask again: the refresh policy, as a state machine without IO or clock.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Bounds;

/// The shortest pause after a failed lookup, however the dice fall.
const BREATH: Duration = Duration::from_millis(100);

/// What one lookup of a name brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// DNS says, with authority, that there is nothing: NXDOMAIN, NODATA, or an SRV record with the target ".".
    Absent {
        /// What DNS said, for people.
        reason: String,
    },
    /// No answer that says anything about the name: SERVFAIL, REFUSED, a timeout, a broken message.
    Failed {
        /// What went wrong, for people.
        reason: String,
    },
    /// Addresses.
    Found {
        /// Where the agent's replicas are, in any order.
        addresses: Vec<SocketAddr>,
        /// How long DNS calls this true.
        ttl: Duration,
    },
}

/// How much the endpoints of a name can be relied upon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// DNS says that there are none.
    Absent {
        /// What DNS said.
        reason: Arc<str>,
    },
    /// DNS could not be asked, and nothing older is held.
    Failed {
        /// What went wrong.
        reason: Arc<str>,
    },
    /// As the last lookup said.
    Fresh,
    /// Nobody has asked DNS yet, or not for a while.
    Pending,
    /// The last good set, kept because a later lookup failed or has not yet been confirmed.
    Stale {
        /// When the first of these lookups was.
        since: Instant,
        /// What the latest of them brought.
        reason: Arc<str>,
    },
}

/// The endpoints of one name, as a value: a reader keeps it for the length of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoints {
    /// One address for each replica (and address family), sorted, without doubles.
    pub addresses: Arc<[SocketAddr]>,
    /// How much they can be relied upon.
    pub freshness: Freshness,
    /// When DNS last named these addresses.
    pub confirmed: Option<Instant>,
}

impl Endpoints {
    /// The endpoints that a config names: as good as they will ever be.
    pub fn fixed(addresses: &[SocketAddr]) -> Self {
        Self { addresses: sorted(addresses.to_vec()), freshness: Freshness::Fresh, confirmed: None }
    }

    /// Nothing known yet.
    pub(super) fn pending() -> Self {
        Self { addresses: Arc::new([]), freshness: Freshness::Pending, confirmed: None }
    }

    /// Whether a reader who knows `other` learns nothing from this.
    pub(super) fn tells_no_more_than(&self, other: &Self) -> bool {
        self.addresses == other.addresses && self.freshness == other.freshness
    }
}

/// What is remembered about a name from one lookup to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    held: Option<Held>,
    trouble: Option<Trouble>,
    /// Failed lookups since the last that said anything.
    failures: u32,
    /// When DNS first denied the endpoints that are held.
    denied: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Held {
    addresses: Arc<[SocketAddr]>,
    confirmed: Instant,
}

/// Why the last lookup was not a good one.
#[derive(Clone, Debug)]
struct Trouble {
    absent: bool,
    reason: Arc<str>,
    since: Instant,
}

impl State {
    /// Takes in what a lookup that ended at `now` brought, and says how long to wait before the next one. `chance` is
    /// from 0 to 1.
    pub(super) fn step(
        mut self,
        answer: Answer,
        now: Instant,
        chance: f64,
        bounds: &Bounds,
    ) -> (Self, Duration) {
        let delay = match answer {
            Answer::Absent { reason } => self.deny(&reason, now, chance, bounds),
            Answer::Failed { reason } => self.fail(&reason, now, chance, bounds),
            Answer::Found { addresses, ttl } => {
                self = Self {
                    held: Some(Held { addresses: sorted(addresses), confirmed: now }),
                    ..Self::default()
                };
                ttl.clamp(bounds.shortest, bounds.longest).mul_f64(0.8 + 0.2 * chance)
            }
        };
        (self, delay)
    }

    /// What readers get to see.
    pub(super) fn endpoints(&self) -> Endpoints {
        let addresses =
            self.held.as_ref().map_or_else(|| Arc::new([]) as _, |held| Arc::clone(&held.addresses));
        let freshness = match (&self.held, &self.trouble) {
            (None, None) => Freshness::Pending,
            (Some(_), None) => Freshness::Fresh,
            (Some(_), Some(trouble)) => {
                Freshness::Stale { since: trouble.since, reason: Arc::clone(&trouble.reason) }
            }
            (None, Some(trouble)) if trouble.absent => {
                Freshness::Absent { reason: Arc::clone(&trouble.reason) }
            }
            (None, Some(trouble)) => Freshness::Failed { reason: Arc::clone(&trouble.reason) },
        };
        Endpoints { addresses, freshness, confirmed: self.held.as_ref().map(|held| held.confirmed) }
    }

    /// Whether there is nothing to offer: such a name is asked about again only if somebody wants it.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_none()
    }

    /// A denial drops the set only when a second one, a while later, says the same.
    fn deny(&mut self, reason: &str, now: Instant, chance: f64, bounds: &Bounds) -> Duration {
        self.failures = 0;
        self.note(true, reason, now);
        if self.held.is_some() {
            let first = *self.denied.get_or_insert(now);
            let left = bounds.recheck.saturating_sub(now.saturating_duration_since(first));
            if !left.is_zero() {
                return left;
            }
            self.held = None;
            self.denied = None;
        }
        bounds.negative.mul_f64(0.8 + 0.2 * chance)
    }

    /// A failure says nothing about the name: what is held is kept, for a while.
    fn fail(&mut self, reason: &str, now: Instant, chance: f64, bounds: &Bounds) -> Duration {
        self.note(false, reason, now);
        let doubled = bounds.backoff.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let delay = doubled.min(bounds.longest).mul_f64(chance).max(BREATH);
        let Some(held) = &self.held else { return delay.min(bounds.negative) };
        let left = bounds.stale.saturating_sub(now.saturating_duration_since(held.confirmed));
        if left.is_zero() {
            self.held = None;
            self.denied = None;
            return delay.min(bounds.negative);
        }
        delay.min(left)
    }

    fn note(&mut self, absent: bool, reason: &str, now: Instant) {
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { absent, reason: reason.into(), since });
    }
}

fn sorted(mut addresses: Vec<SocketAddr>) -> Arc<[SocketAddr]> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A name's history, lookup by lookup, on a clock that the test moves.
    struct History {
        state: State,
        now: Instant,
        delay: Duration,
        chance: f64,
    }

    impl History {
        fn begin() -> Self {
            Self { state: State::default(), now: Instant::now(), delay: Duration::ZERO, chance: 0.5 }
        }

        fn take(&mut self, answer: Answer) -> Endpoints {
            let (state, delay) =
                std::mem::take(&mut self.state).step(answer, self.now, self.chance, &Bounds::default());
            self.state = state;
            self.delay = delay;
            self.state.endpoints()
        }

        /// The next lookup is when the policy says.
        fn then(&mut self, answer: Answer) -> Endpoints {
            self.now += self.delay;
            self.take(answer)
        }
    }

    fn found(last: &[u8], ttl: u64) -> Answer {
        let addresses = last.iter().map(|last| SocketAddr::from(([10, 0, 0, *last], 2643))).collect();
        Answer::Found { addresses, ttl: Duration::from_secs(ttl) }
    }

    fn absent() -> Answer {
        Answer::Absent { reason: "NXDOMAIN".into() }
    }

    fn failed() -> Answer {
        Answer::Failed { reason: "SERVFAIL".into() }
    }

    #[test]
    fn a_healthy_name_is_asked_again_within_the_clamp_and_never_in_step() {
        for (ttl, chance, expected) in [
            (0, 0.0, 4.0),
            (0, 1.0, 5.0),
            (10, 0.0, 8.0),
            (10, 0.5, 9.0),
            (3600, 1.0, 30.0),
            (3600, 0.0, 24.0),
        ] {
            let mut name = History { chance, ..History::begin() };
            let endpoints = name.take(found(&[1], ttl));
            assert_eq!(endpoints.freshness, Freshness::Fresh);
            assert!((name.delay.as_secs_f64() - expected).abs() < 1e-6, "ttl {ttl}: {:?}", name.delay);
        }
    }

    #[test]
    fn addresses_are_sorted_and_doubles_are_dropped() {
        let endpoints = History::begin().take(found(&[3, 1, 3, 2], 5));
        assert_eq!(endpoints.addresses[..], *Endpoints::fixed(&endpoints.addresses).addresses);
        assert_eq!(endpoints.addresses.len(), 3);
    }

    #[test]
    fn one_denial_keeps_the_set_and_a_second_drops_it() {
        let mut name = History::begin();
        let good = name.take(found(&[1, 2], 5));
        let once = name.then(absent());
        assert_eq!(once.addresses, good.addresses);
        assert!(matches!(once.freshness, Freshness::Stale { .. }), "{once:?}");
        assert_eq!(name.delay, 2 * SECOND);

        let twice = name.then(absent());
        assert_eq!(twice.freshness, Freshness::Absent { reason: "NXDOMAIN".into() });
        assert!(twice.addresses.is_empty() && twice.confirmed.is_none());
        assert!(name.delay <= 3 * SECOND);
    }

    #[test]
    fn two_denials_in_quick_succession_count_as_one() {
        let mut name = History::begin();
        name.take(found(&[1], 5));
        name.then(absent());
        name.now += SECOND;
        assert_eq!(name.take(absent()).addresses.len(), 1);
        assert_eq!(name.delay, SECOND, "what is left of the two seconds");
        assert!(name.then(absent()).addresses.is_empty());
    }

    #[test]
    fn a_good_answer_between_two_denials_forgives_the_first() {
        let mut name = History::begin();
        name.take(found(&[1], 5));
        name.then(absent());
        assert_eq!(name.then(found(&[2], 5)).freshness, Freshness::Fresh);
        assert_eq!(name.then(absent()).addresses.len(), 1);
    }

    #[test]
    fn a_failure_between_two_denials_neither_confirms_nor_forgives() {
        let mut name = History::begin();
        name.take(found(&[1], 5));
        name.then(absent());
        assert_eq!(name.then(failed()).addresses.len(), 1);
        name.now += SECOND;
        assert!(name.then(absent()).addresses.is_empty());
    }

    #[test]
    fn failures_keep_the_last_good_set_for_ten_minutes_and_no_longer() {
        let mut name = History { chance: 1.0, ..History::begin() };
        name.take(found(&[1], 5));
        let confirmed = name.now;
        let mut first = None;
        loop {
            let endpoints = name.then(failed());
            match endpoints.freshness {
                Freshness::Stale { since, .. } => assert_eq!(since, *first.get_or_insert(name.now)),
                other => {
                    assert_eq!(other, Freshness::Failed { reason: "SERVFAIL".into() });
                    break;
                }
            }
            assert!(name.now - confirmed < Duration::from_mins(10), "kept too long");
        }
        assert_eq!(name.now - confirmed, Duration::from_mins(10));
    }

    #[test]
    fn failures_back_off_to_half_a_minute_with_full_jitter() {
        let mut name = History { chance: 1.0, ..History::begin() };
        name.take(found(&[1], 5));
        let mut delays = Vec::new();
        for _ in 0..7 {
            name.take(failed());
            delays.push(name.delay.as_secs());
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
        name.chance = 0.0;
        name.take(failed());
        assert_eq!(name.delay, BREATH);
        name.take(found(&[1], 5));
        name.chance = 1.0;
        name.take(failed());
        assert_eq!(name.delay, SECOND, "a good answer ends the back-off");
    }

    #[test]
    fn a_name_with_nothing_to_offer_is_asked_again_within_three_seconds() {
        let mut name = History { chance: 1.0, ..History::begin() };
        assert_eq!(name.state.endpoints().freshness, Freshness::Pending);
        for answer in [absent(), failed(), failed(), failed(), failed(), absent()] {
            name.then(answer);
            assert!(name.state.is_empty());
            assert!(name.delay <= 3 * SECOND, "{:?}", name.delay);
        }
    }

    #[test]
    fn a_refresh_that_changes_nothing_tells_nothing() {
        let mut name = History::begin();
        let before = name.take(found(&[1, 2], 5));
        let after = name.then(found(&[2, 1], 5));
        assert!(after.tells_no_more_than(&before));
        assert!(after.confirmed > before.confirmed);
        assert!(!name.then(found(&[2], 5)).tells_no_more_than(&before));
    }
}
