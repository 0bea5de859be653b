//! Which roots of the own trust domain are believed, since when, and until when: what a rotation is made of. It is kept in the
//! ConfigMap with the bundles, so that all replicas, and the one after a restart, know the same. Pure: time is an argument.

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::identity::{TrustDomain, pem};

/// The annotation with what is known about the roots, by their fingerprints.
pub(super) const ROOTS: &str = "dragoman.dev/roots";
/// What stands behind a trust domain in the ConfigMap.
pub(super) const SUFFIX: &str = ".trust-bundle.pem";
/// How much longer than its certificates an old root is believed, in seconds: clocks differ, and replicas hear of changes at
/// different times.
const MARGIN: i64 = 600;

/// The roots that are believed, the one that is known longest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ledger(Vec<Root>);

/// A root, and what is known about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Root {
    der: CertificateDer<'static>,
    note: Note,
}

/// What is known about a root.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Note {
    /// When it was published first.
    since: Time,
    /// The longest that a certificate under it may have been valid, in seconds.
    longest: i64,
    /// Until when it is believed, if it signs nothing any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    retire: Option<Time>,
}

/// By which rules roots come and go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How long a new root is published before it signs.
    pub(super) settle: Duration,
    /// How long certificates are valid.
    pub(super) lifetime: Duration,
}

impl Ledger {
    /// What the ConfigMap says. What it does not say about a root is taken to be of the worst: that it is old.
    pub(super) fn read(map: Option<&ConfigMap>, domain: &TrustDomain, rules: Rules, now: i64) -> Self {
        let key = format!("{domain}{SUFFIX}");
        let text = map.and_then(|map| map.data.as_ref()?.get(&key));
        let found = text.map(|text| pem::read(text.as_bytes())).transpose();
        let found = found.unwrap_or_else(|what| {
            tracing::warn!(key, what, "The published bundle is broken, and is written anew");
            None
        });
        let notes = map.and_then(|map| map.metadata.annotations.as_ref()?.get(ROOTS));
        let known: Option<BTreeMap<String, Note>> = notes.and_then(|notes| serde_json::from_str(notes).ok());
        let root = |der: CertificateDer<'static>| {
            let note = match &known {
                Some(known) => known.get(&fingerprint(&der))?.clone(),
                None => Note {
                    since: time(now),
                    longest: seconds(rules.lifetime),
                    retire: Some(time(rules.last(now, seconds(rules.lifetime)))),
                },
            };
            Some(Root { der, note })
        };
        let mut ledger = Self(found.unwrap_or_default().into_iter().filter_map(root).collect());
        ledger.sort();
        ledger
    }

    /// The same with `current`, the roots under which is signed from now on, and without those whose time is over.
    pub(super) fn advance(&self, current: &[CertificateDer<'static>], rules: Rules, now: i64) -> Self {
        let lifetime = seconds(rules.lifetime);
        let is_new = |der: &&CertificateDer<'static>| !self.0.iter().any(|root| root.der == **der);
        let news = current.iter().any(|der| is_new(&der));
        let known = self.0.iter().filter_map(|root| {
            let Note { since, longest, retire } = root.note.clone();
            let note = if current.contains(&root.der) {
                Note { since, longest: longest.max(lifetime), retire: None }
            } else {
                // It may sign until the newest root has settled.
                let last = time(rules.last(now, longest));
                let retire = match retire {
                    Some(retire) if news => retire.max(last),
                    Some(retire) => retire,
                    None => last,
                };
                if unix(&retire) <= now {
                    return None;
                }
                Note { since, longest, retire: Some(retire) }
            };
            Some(Root { der: root.der.clone(), note })
        });
        let new = current.iter().filter(is_new).map(|der| Root {
            der: der.clone(),
            note: Note { since: time(now), longest: lifetime, retire: None },
        });
        let mut next = Self(known.chain(new).collect());
        next.sort();
        next
    }

    /// When certificates may be signed under `current`: once the youngest of these roots has been published for long enough.
    pub(super) fn signs_at(&self, current: &[CertificateDer<'static>], rules: Rules) -> i64 {
        let of_current = self.0.iter().filter(|root| current.contains(&root.der));
        let youngest = of_current.map(|root| unix(&root.note.since)).max();
        youngest.map_or(0, |since| since.saturating_add(seconds(rules.settle)))
    }

    /// Whether somebody may believe other roots than `current`.
    pub(super) fn has_others(&self, current: &[CertificateDer<'static>]) -> bool {
        self.0.iter().any(|root| !current.contains(&root.der))
    }

    /// When the next root is to go.
    pub(super) fn retires_at(&self) -> Option<i64> {
        self.0.iter().filter_map(|root| root.note.retire.as_ref()).map(unix).min()
    }

    /// The roots.
    pub(super) fn roots(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter().map(|root| &root.der)
    }

    /// What is known about the roots, for the annotation.
    pub(super) fn notes(&self) -> Result<String, serde_json::Error> {
        let notes: BTreeMap<_, _> = self.0.iter().map(|root| (fingerprint(&root.der), &root.note)).collect();
        serde_json::to_string(&notes)
    }

    fn sort(&mut self) {
        self.0.sort_by_cached_key(|root| (unix(&root.note.since), fingerprint(&root.der)));
    }
}

impl Rules {
    /// Until when certificates may be in use that were valid for `longest` at most and signed before a root that is new at
    /// `now` has settled.
    fn last(self, now: i64, longest: i64) -> i64 {
        now.saturating_add(seconds(self.settle)).saturating_add(longest).saturating_add(MARGIN)
    }
}

/// SHA-256 of a certificate, in hexadecimal digits.
pub(super) fn fingerprint(der: &CertificateDer<'_>) -> String {
    digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// A time that the calendar has; the last one, if there is no such time.
fn time(unix: i64) -> Time {
    Time(Timestamp::from_second(unix).unwrap_or(Timestamp::MAX))
}

fn unix(time: &Time) -> i64 {
    time.0.as_second()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;
    use crate::identity::forge::{NOW, domain, root};

    const RULES: Rules = Rules { settle: Duration::from_mins(15), lifetime: Duration::from_hours(24) };
    const DAY: i64 = 86_400;

    fn new_root() -> CertificateDer<'static> {
        root("a.test").der().clone()
    }

    fn published(ledger: &Ledger) -> ConfigMap {
        let own = ("a.test.trust-bundle.pem".to_owned(), pem::write(ledger.roots()));
        let notes = (ROOTS.to_owned(), ledger.notes().unwrap());
        ConfigMap {
            data: Some(BTreeMap::from([own])),
            metadata: ObjectMeta { annotations: Some(BTreeMap::from([notes])), ..ObjectMeta::default() },
            ..ConfigMap::default()
        }
    }

    fn read(map: &ConfigMap, now: i64) -> Ledger {
        Ledger::read(Some(map), &domain("a.test"), RULES, now)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (a, b) = (new_root(), new_root());
        let ledger = Ledger::default().advance(std::slice::from_ref(&a), RULES, NOW);
        let ledger = ledger.advance(&[b], RULES, NOW + 5);
        assert_eq!(read(&published(&ledger), NOW + 100), ledger);
        assert_eq!(ledger.roots().next(), Some(&a), "the oldest first");
        assert_eq!(Ledger::read(None, &domain("a.test"), RULES, NOW), Ledger::default());
    }

    #[test]
    fn a_new_root_signs_once_it_has_settled_and_the_old_one_outlives_its_certificates() {
        let (a, b) = (new_root(), new_root());
        let (old, new) = ([a.clone()], [b.clone()]);
        let ledger = Ledger::default().advance(&old, RULES, NOW);
        assert_eq!((ledger.has_others(&old), ledger.retires_at()), (false, None));
        let both = ledger.advance(&new, RULES, NOW + DAY);
        assert_eq!(both.roots().collect::<Vec<_>>(), [&a, &b]);
        assert!(both.has_others(&new));
        assert_eq!(both.signs_at(&new, RULES), NOW + DAY + 900);
        let last = NOW + DAY + 900 + DAY + 600;
        assert_eq!(both.retires_at(), Some(last));
        assert_eq!(both.advance(&new, RULES, last - 1), both, "nothing happens meanwhile");
        assert_eq!(both.advance(&new, RULES, last).roots().collect::<Vec<_>>(), [&b]);
    }

    #[test]
    fn a_root_that_comes_back_stays() {
        let (a, b) = ([new_root()], [new_root()]);
        let ledger = Ledger::default().advance(&a, RULES, NOW).advance(&b, RULES, NOW + 10);
        let back = ledger.advance(&a, RULES, NOW + 20);
        assert_eq!(back.signs_at(&a, RULES), NOW + 900, "it has been published all the time");
        assert_eq!(back.retires_at(), Some(NOW + 20 + 900 + DAY + 600), "the other one goes");
    }

    #[test]
    fn an_old_root_stays_for_as_long_as_it_may_sign_because_yet_another_one_settles() {
        let (a, b, c) = ([new_root()], [new_root()], [new_root()]);
        let ledger = Ledger::default().advance(&a, RULES, NOW).advance(&b, RULES, NOW + 10);
        let first = ledger.retires_at().unwrap();
        let ledger = ledger.advance(&c, RULES, NOW + 800);
        assert_eq!(ledger.retires_at(), Some(first + 790));
    }

    #[test]
    fn a_shorter_lifetime_does_not_shorten_what_was_signed_before() {
        let (a, b) = ([new_root()], [new_root()]);
        let short = Rules { lifetime: Duration::from_hours(1), ..RULES };
        let ledger = Ledger::default().advance(&a, RULES, NOW).advance(&a, short, NOW + 10);
        assert_eq!(ledger.advance(&b, short, NOW + 20).retires_at(), Some(NOW + 20 + 900 + DAY + 600));
    }

    #[test]
    fn roots_without_notes_are_taken_for_old_ones() {
        let (a, b) = (new_root(), [new_root()]);
        let mut map = published(&Ledger::default().advance(std::slice::from_ref(&a), RULES, NOW));
        map.metadata.annotations = None;
        let ledger = read(&map, NOW).advance(&b, RULES, NOW);
        assert!(ledger.roots().any(|root| *root == a));
        assert!(ledger.retires_at().is_some());
        map.data = Some(BTreeMap::from([("a.test.trust-bundle.pem".to_owned(), "x".to_owned())]));
        assert_eq!(read(&map, NOW), Ledger::default(), "what is broken is written anew");
    }
}
