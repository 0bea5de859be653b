//! Tokens that the API server has refused a moment ago, so that it is not asked about the same one again and again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

/// How long a refusal holds. Not for long: one replica of the API server may not know of a pod or of a key yet.
const HOLDS: Duration = Duration::from_secs(5);
/// How many are kept in mind; what does not fit is reviewed.
const TOKENS_MAX: usize = 4096;

/// The refusals, by the hash of the token: tokens themselves are not kept.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<HashMap<Hash, Refusal>>);

/// The hash of a token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Hash([u8; 32]);

#[derive(Debug)]
struct Refusal {
    why: String,
    at: Instant,
}

impl Hash {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        // SHA-256 has 32 bytes, so that nothing is left over on either side.
        hash.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl Refused {
    /// Why a token was refused a moment ago, if it was.
    pub(super) fn why(&self, token: Hash, now: Instant) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&token).filter(|refusal| refusal.holds(now)).map(|refusal| refusal.why.clone())
    }

    /// Keeps a refusal in mind.
    pub(super) fn remember(&self, token: Hash, why: &str, now: Instant) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, refusal| refusal.holds(now));
        }
        if tokens.len() < TOKENS_MAX || tokens.contains_key(&token) {
            tokens.insert(token, Refusal { why: why.to_owned(), at: now });
        }
    }
}

impl Refusal {
    fn holds(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < HOLDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_for_a_moment_and_for_that_token_alone() {
        let (refused, now) = (Refused::default(), Instant::now());
        refused.remember(Hash::of("junk"), "no", now);
        assert_eq!(refused.why(Hash::of("junk"), now + Duration::from_secs(4)).as_deref(), Some("no"));
        assert_eq!(refused.why(Hash::of("junk"), now + HOLDS), None);
        assert_eq!(refused.why(Hash::of("other"), now), None);
    }

    #[test]
    fn only_so_many_are_kept_in_mind() {
        let (refused, now) = (Refused::default(), Instant::now());
        for token in 0..=TOKENS_MAX {
            refused.remember(Hash::of(&token.to_string()), "no", now);
        }
        assert_eq!(refused.0.lock().unwrap().len(), TOKENS_MAX);
        assert_eq!(refused.why(Hash::of(&TOKENS_MAX.to_string()), now), None);
        refused.remember(Hash::of("late"), "no", now + HOLDS);
        assert_eq!(refused.0.lock().unwrap().len(), 1, "those that hold no more are forgotten");
    }
}
