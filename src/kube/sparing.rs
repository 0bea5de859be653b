//! Which refusals are worth a line of the log: of each kind one in some seconds, with how many others there were. Whoever can
//! reach a port would fill the disk otherwise.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// For how long one line is enough.
const PAUSE: Duration = Duration::from_secs(10);

/// When each kind was told last. Kinds are our own few words.
#[derive(Debug, Default)]
pub(super) struct Sparing(Mutex<BTreeMap<&'static str, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    /// How many there were since that were not told.
    others: u64,
}

impl Sparing {
    /// Whether one of that kind is to be told now: then how many others there were since the last one.
    pub(super) fn tell(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some(told) if now.saturating_duration_since(told.at) < PAUSE => {
                told.others = told.others.saturating_add(1);
                None
            }
            Some(told) => Some(std::mem::replace(told, Told { at: now, others: 0 }).others),
            None => {
                kinds.insert(kind, Told { at: now, others: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_kind_is_told_and_the_others_are_counted() {
        let (sparing, now) = (Sparing::default(), Instant::now());
        assert_eq!(sparing.tell("limited", now), Some(0));
        assert_eq!(sparing.tell("limited", now), None);
        assert_eq!(sparing.tell("limited", now + Duration::from_secs(9)), None);
        assert_eq!(sparing.tell("invalid", now), Some(0));
        assert_eq!(sparing.tell("limited", now + PAUSE), Some(2));
        assert_eq!(sparing.tell("limited", now + PAUSE * 2), Some(0));
    }
}
