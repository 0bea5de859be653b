//! When to ask for an identity again. Pure: time and chance are arguments.

use std::time::Duration;

/// The first and the longest pause after a failure.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// How long the service may send us away at most.
const RETRY_MAX: Duration = Duration::from_mins(10);
/// How soon a certificate is renewed at the earliest, whatever the service says.
const RENEW_MIN: Duration = Duration::from_secs(5);
/// How often bundles are asked for: usually, at most, and at least.
const REFRESH: Duration = Duration::from_mins(5);
const REFRESH_MIN: Duration = Duration::from_secs(10);
const REFRESH_MAX: Duration = Duration::from_hours(1);
/// The share of a lifetime before which a certificate is renewed, and how much sooner chance may want it, so that pods which
/// started together do not ask together.
const SHARE: f64 = 2.0 / 3.0;
const SOONER: f64 = 0.1;

/// When a certificate is renewed, in Unix seconds. `chance` is in 0..1.
pub(super) fn renewal(
    (not_before, not_after): (i64, i64),
    renew_in: Option<Duration>,
    now: i64,
    chance: f64,
) -> i64 {
    let life = u64::try_from(not_after.saturating_sub(not_before)).unwrap_or(0);
    let used = Duration::from_secs(life).mul_f64(SHARE - SOONER * chance);
    let by_life = not_before.saturating_add(seconds(used));
    let said = renew_in.map_or(i64::MAX, |renew_in| now.saturating_add(seconds(renew_in)));
    by_life.min(said).max(now.saturating_add(seconds(RENEW_MIN)))
}

/// How long to wait after so many failures in a row, at least one. A certificate that is valid for `left` more seconds is not
/// slept over.
pub(super) fn back_off(failures: u32, left: Option<i64>, chance: f64) -> Duration {
    let pause = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(LONGEST);
    // Between half of it and all of it.
    let pause = pause.mul_f64(0.5 + chance / 2.0).max(FIRST / 2);
    match left.and_then(|left| u64::try_from(left).ok()).filter(|left| *left > 0) {
        Some(left) => pause.min(Duration::from_secs(left) / 2).max(FIRST / 2),
        None => pause,
    }
}

/// How long to wait when the service says how long; never less, and up to a fifth more, because others were sent away too.
pub(super) fn sent_away(retry: Duration, chance: f64) -> Duration {
    retry.min(RETRY_MAX).max(FIRST).mul_f64(1.0 + chance / 5.0)
}

/// How long bundles are good for.
pub(super) fn refresh(said: Option<Duration>, chance: f64) -> Duration {
    said.unwrap_or(REFRESH).clamp(REFRESH_MIN, REFRESH_MAX).mul_f64(1.0 - chance / 10.0)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_or_a_bit_sooner() {
        assert_eq!(renewal((0, DAY), None, 60, 0.0), DAY * 2 / 3);
        assert_eq!(renewal((0, DAY), None, 60, 1.0), DAY * 17 / 30);
        assert_eq!(renewal((0, 3600), None, 60, 0.0), 2400);
    }

    #[test]
    fn the_service_may_want_it_sooner_but_not_at_once_and_not_later() {
        assert_eq!(renewal((0, DAY), Some(Duration::from_secs(30)), 60, 0.0), 90);
        assert_eq!(renewal((0, DAY), Some(Duration::ZERO), 60, 0.0), 65);
        assert_eq!(renewal((0, DAY), Some(Duration::MAX), 60, 0.0), DAY * 2 / 3);
        assert_eq!(renewal((0, 60), None, 60, 0.0), 65, "one that is nearly over");
        assert_eq!(renewal((60, 0), None, 60, 0.0), 65, "one that makes no sense");
    }

    #[test]
    fn pauses_grow_from_a_second_to_a_minute() {
        let full: Vec<u64> = (1..=9).map(|failures| back_off(failures, None, 1.0).as_secs()).collect();
        assert_eq!(full, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(back_off(u32::MAX, None, 0.0), Duration::from_secs(30));
        assert_eq!(back_off(0, None, 0.0), Duration::from_millis(500));
    }

    #[test]
    fn what_is_in_use_is_not_slept_over() {
        assert_eq!(back_off(9, Some(20), 1.0), Duration::from_secs(10));
        assert_eq!(back_off(9, Some(1), 1.0), Duration::from_millis(500));
        assert_eq!(back_off(9, Some(0), 1.0), Duration::from_secs(60), "it is over already");
        assert_eq!(back_off(9, Some(-5), 1.0), Duration::from_secs(60));
        assert_eq!(back_off(1, Some(DAY), 1.0), Duration::from_secs(1));
    }

    #[test]
    fn who_is_sent_away_comes_no_sooner_than_asked() {
        assert_eq!(sent_away(Duration::from_secs(30), 0.0), Duration::from_secs(30));
        assert_eq!(sent_away(Duration::from_secs(30), 1.0), Duration::from_secs(36));
        assert_eq!(sent_away(Duration::ZERO, 0.0), Duration::from_secs(1));
        assert_eq!(sent_away(Duration::MAX, 0.0), Duration::from_secs(600));
    }

    #[test]
    fn bundles_are_asked_for_every_five_minutes_unless_the_service_says_otherwise() {
        assert_eq!(refresh(None, 0.0), Duration::from_secs(300));
        assert_eq!(refresh(None, 1.0), Duration::from_secs(270));
        assert_eq!(refresh(Some(Duration::ZERO), 0.0), Duration::from_secs(10));
        assert_eq!(refresh(Some(Duration::MAX), 0.0), Duration::from_secs(3600));
    }
}
