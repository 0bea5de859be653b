//! A mirror of what the API server has of one kind: of each object only what its reader needs, kept up to date.
//!
//! Everything is listed page by page and then followed. A list that is too old to be followed (410) is read anew. Whatever
//! fails is tried again, later and later; until then the last state stays.

use std::{collections::BTreeMap, fmt::Debug, mem, ops::Bound, time::Duration};

use futures_util::{Stream, StreamExt};
use kube::{
    Api, Resource,
    core::metadata::ObjectMeta,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, Config, Event, watcher},
    },
};
use rand::{RngExt, rngs::SmallRng};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::why;

/// The pause after a first failure.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Failures that are this far apart have nothing to do with each other.
const CALM: Duration = Duration::from_mins(2);

/// Which object it is, within its kind.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key that an object says it has.
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

/// What became known.
#[derive(Debug)]
pub(super) enum News<V> {
    /// A list of everything begins.
    Listing,
    /// An object of the list; nothing if it does not matter to the reader.
    Listed(Key, Option<V>),
    /// The list is complete: what is not in it is gone.
    Complete,
    /// An object is like this now; nothing if it is gone or does not matter to the reader.
    Now(Key, Option<V>),
    /// It did not work, and will be tried again.
    Failed { reason: String, expired: bool },
}

/// Follows all objects of `api` that `config` selects, of each what `trim` leaves.
pub(super) fn follow<K, V>(
    api: Api<K>,
    config: Config,
    chance: SmallRng,
    trim: impl Fn(K) -> Option<V> + Send,
) -> impl Stream<Item = News<V>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(api, config).backoff(Pace { failures: 0, last: None, chance });
    events.map(move |event| match event {
        Ok(Event::Init) => News::Listing,
        Ok(Event::InitDone) => News::Complete,
        Ok(Event::InitApply(object)) => News::Listed(Key::of(object.meta()), trim(object)),
        Ok(Event::Apply(object)) => News::Now(Key::of(object.meta()), trim(object)),
        Ok(Event::Delete(object)) => News::Now(Key::of(object.meta()), None),
        Err(error) => failed(&error),
    })
}

fn failed<V>(error: &watcher::Error) -> News<V> {
    let (reason, expired) = match error {
        watcher::Error::WatchError(status) => (status.message.clone(), status.code == 410),
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            (status.message.clone(), status.code == 410)
        }
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => (why(error), false),
        error @ watcher::Error::NoResourceVersion => (error.to_string(), false),
    };
    News::Failed { reason, expired }
}

/// What there is.
#[derive(Debug)]
pub(super) struct Mirror<V> {
    /// What is mirrored, for people.
    pub(super) what: &'static str,
    objects: BTreeMap<Key, V>,
    /// The list that is being read.
    arriving: BTreeMap<Key, V>,
    missing: Option<String>,
}

impl<V: PartialEq> Mirror<V> {
    pub(super) fn new(what: &'static str) -> Self {
        let missing = Some("not listed yet".to_owned());
        Self { what, objects: BTreeMap::new(), arriving: BTreeMap::new(), missing }
    }

    /// Why the mirror shows nothing yet. Once there was a whole list there is always something to show.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    pub(super) fn objects(&self) -> &BTreeMap<Key, V> {
        &self.objects
    }

    pub(super) fn get(&self, key: &Key) -> Option<&V> {
        self.objects.get(key)
    }

    /// The objects of one namespace.
    pub(super) fn within(&self, namespace: &str) -> impl Iterator<Item = (&Key, &V)> {
        let first = Key::new(namespace, "");
        let all = self.objects.range((Bound::Included(first), Bound::Unbounded));
        all.take_while(move |(key, _)| key.namespace == namespace)
    }

    /// Takes in what became known. `see` is told of every object that is not as it was: how it was, and how it is.
    pub(super) fn absorb(&mut self, news: News<V>, mut see: impl FnMut(&Key, Option<&V>, Option<&V>)) {
        match news {
            News::Listing => self.arriving.clear(),
            News::Listed(key, Some(value)) => {
                self.arriving.insert(key, value);
            }
            News::Listed(_, None) => {}
            News::Complete => self.complete(see),
            News::Now(key, value) => {
                let old = self.objects.get(&key);
                if old != value.as_ref() {
                    see(&key, old, value.as_ref());
                    match value {
                        Some(value) => self.objects.insert(key, value),
                        None => self.objects.remove(&key),
                    };
                }
            }
            News::Failed { reason, expired: true } => {
                tracing::info!(what = self.what, reason, "Listing anew");
            }
            News::Failed { reason, expired: false } => {
                tracing::warn!(what = self.what, reason, "Watch failed");
                if let Some(missing) = &mut self.missing {
                    *missing = reason;
                }
            }
        }
    }

    fn complete(&mut self, mut see: impl FnMut(&Key, Option<&V>, Option<&V>)) {
        let new = mem::take(&mut self.arriving);
        let old = mem::replace(&mut self.objects, new);
        for (key, value) in old.iter().filter(|(key, _)| !self.objects.contains_key(key)) {
            see(key, Some(value), None);
        }
        for (key, value) in &self.objects {
            let before = old.get(key);
            if before != Some(value) {
                see(key, before, Some(value));
            }
        }
        self.missing = None;
    }
}

/// The pauses between attempts. That something worked once does not end a bad time (a list that fails has begun well, and
/// one that is too old at once was read well): only time without failures does.
#[derive(Debug)]
struct Pace {
    failures: u32,
    last: Option<Instant>,
    chance: SmallRng,
}

impl Iterator for Pace {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.last.replace(now).is_none_or(|last| now.duration_since(last) > CALM) {
            self.failures = 0;
        }
        let pause = PAUSE.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures += 1;
        // Not all controllers at the same moment.
        Some(pause.mul_f64(self.chance.random_range(0.5..1.0)))
    }
}

impl Backoff for Pace {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use rand::SeedableRng;
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::kube::fake::Cluster;

    fn absorbed(mirror: &mut Mirror<u32>, news: News<u32>) -> Vec<(String, Option<u32>, Option<u32>)> {
        let mut seen = Vec::new();
        mirror.absorb(news, |key, old, new| seen.push((key.name.clone(), old.copied(), new.copied())));
        seen
    }

    fn key(name: &str) -> Key {
        Key::new("travel", name)
    }

    #[test]
    fn a_new_list_replaces_the_old_one_only_once_it_is_complete() {
        let mut mirror = Mirror::new("numbers");
        assert_eq!(mirror.missing(), Some("not listed yet"));
        absorbed(&mut mirror, News::Listing);
        assert!(absorbed(&mut mirror, News::Listed(key("a"), Some(1))).is_empty());
        absorbed(&mut mirror, News::Listed(key("b"), Some(2)));
        absorbed(&mut mirror, News::Listed(key("other"), None));
        let failed = News::Failed { reason: "forbidden".to_owned(), expired: false };
        absorbed(&mut mirror, failed);
        assert_eq!((mirror.missing(), mirror.objects().len()), (Some("forbidden"), 0));
        let seen = absorbed(&mut mirror, News::Complete);
        assert_eq!(seen, [("a".to_owned(), None, Some(1)), ("b".to_owned(), None, Some(2))]);
        assert_eq!(mirror.missing(), None);

        absorbed(&mut mirror, News::Failed { reason: "gone away".to_owned(), expired: false });
        absorbed(&mut mirror, News::Listing);
        absorbed(&mut mirror, News::Listed(key("b"), Some(3)));
        // A list that was given up does not count.
        absorbed(&mut mirror, News::Listing);
        absorbed(&mut mirror, News::Listed(key("a"), Some(1)));
        assert_eq!(mirror.objects().len(), 2);
        let seen = absorbed(&mut mirror, News::Complete);
        assert_eq!(seen, [("b".to_owned(), Some(2), None)]);
        assert_eq!((mirror.get(&key("a")), mirror.missing()), (Some(&1), None));
    }

    #[test]
    fn only_what_changed_is_told() {
        let mut mirror = Mirror::new("numbers");
        let seen = absorbed(&mut mirror, News::Now(key("a"), Some(1)));
        assert_eq!(seen, [("a".to_owned(), None, Some(1))]);
        assert!(absorbed(&mut mirror, News::Now(key("a"), Some(1))).is_empty());
        assert!(absorbed(&mut mirror, News::Now(key("b"), None)).is_empty());
        let seen = absorbed(&mut mirror, News::Now(key("a"), None));
        assert_eq!(seen, [("a".to_owned(), Some(1), None)]);
    }

    #[test]
    fn the_objects_of_one_namespace_are_found() {
        let mut mirror = Mirror::new("numbers");
        for (n, namespace) in ["trave", "travel", "travel-a", "a"].iter().enumerate() {
            let n = u32::try_from(n).unwrap();
            absorbed(&mut mirror, News::Now(Key::new(namespace, "a"), Some(n)));
            absorbed(&mut mirror, News::Now(Key::new(namespace, "b"), Some(n)));
        }
        let within: Vec<_> = mirror.within("travel").map(|(key, n)| (key.name.as_str(), *n)).collect();
        assert_eq!(within, [("a", 1), ("b", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_a_bound_and_start_anew_after_a_calm_time() {
        let mut pace = Pace { failures: 0, last: None, chance: SmallRng::seed_from_u64(7) };
        let pauses: Vec<_> = pace.by_ref().take(40).collect();
        for (n, pause) in pauses.iter().enumerate() {
            let full = PAUSE.saturating_mul(1 << n.min(16)).min(PAUSE_MAX);
            assert!(*pause >= full / 2 && *pause <= full, "{n}: {pause:?}");
        }
        Backoff::reset(&mut pace);
        assert!(pace.next().unwrap() > PAUSE, "one success is no calm time");
        tokio::time::advance(CALM + PAUSE).await;
        assert!(pace.next().unwrap() <= PAUSE);
    }

    fn config_map(name: &str, value: u32) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "travel", "name": name},
               "data": {"n": value.to_string()}})
    }

    /// Takes in everything that comes until nothing comes any more for a minute.
    async fn settle(mirror: &mut Mirror<u32>, news: &mut (impl Stream<Item = News<u32>> + Unpin)) -> usize {
        let mut listings = 0;
        while let Ok(Some(news)) = timeout(Duration::from_mins(1), news.next()).await {
            listings += usize::from(matches!(news, News::Listing));
            mirror.absorb(news, |_, _, _| {});
        }
        listings
    }

    fn number(object: ConfigMap) -> Option<u32> {
        object.data?.get("n")?.parse().ok()
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_while_a_watch_is_broken_is_not_missed() {
        let cluster = Cluster::default();
        cluster.put(config_map("a", 1));
        let api = Api::all(cluster.client());
        let chance = SmallRng::seed_from_u64(7);
        let mut news = Box::pin(follow(api, Config::default().page_size(1), chance, number));
        let mut mirror = Mirror::new("numbers");
        cluster.put(config_map("b", 2));
        assert_eq!(settle(&mut mirror, &mut news).await, 1);
        assert_eq!(mirror.objects().values().copied().collect::<Vec<_>>(), [1, 2]);

        cluster.put(config_map("a", 10));
        cluster.remove(&config_map("b", 2));
        assert_eq!(settle(&mut mirror, &mut news).await, 0);
        assert_eq!(mirror.objects().values().copied().collect::<Vec<_>>(), [10]);

        // The stream ends: it goes on from where it was.
        cluster.cut();
        cluster.put(config_map("c", 3));
        assert_eq!(settle(&mut mirror, &mut news).await, 0);
        assert_eq!(mirror.objects().values().copied().collect::<Vec<_>>(), [10, 3]);

        // The API server no longer knows how to go on from there: all is listed anew.
        cluster.fail("GET /api/v1/configmaps?", 500, 1);
        cluster.expire();
        cluster.put(config_map("a", 11));
        cluster.remove(&config_map("c", 3));
        assert!(settle(&mut mirror, &mut news).await >= 1);
        assert_eq!(mirror.objects().values().copied().collect::<Vec<_>>(), [11]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_is_asked_less_and_less_and_the_last_state_stays() {
        let cluster = Cluster::default();
        cluster.put(config_map("a", 1));
        let chance = SmallRng::seed_from_u64(7);
        let mut news = Box::pin(follow(Api::all(cluster.client()), Config::default(), chance, number));
        let mut mirror = Mirror::new("numbers");
        settle(&mut mirror, &mut news).await;
        cluster.fail("GET /api/v1/configmaps?", 403, usize::MAX);
        cluster.expire();
        let before = cluster.calls().len();
        let end = Instant::now() + Duration::from_mins(10);
        while let Ok(Some(news)) = tokio::time::timeout_at(end, news.next()).await {
            mirror.absorb(news, |_, _, _| {});
        }
        let asked = cluster.calls().len() - before;
        assert!((20..60).contains(&asked), "{asked}");
        assert_eq!((mirror.get(&key("a")), mirror.missing()), (Some(&1), None));
    }
}
