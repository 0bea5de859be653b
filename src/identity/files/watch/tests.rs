//! The task over real directories: with events in real time, and with polling alone in paused time.

use std::fs;

use prometheus_client::{encoding::text::encode, registry::Registry};
use tempfile::TempDir;

use super::*;
use crate::identity::{
    Authority, Issued,
    forge::{A, NOW, clock, domain, id, swap},
};

/// How long a test in real time waits: less than a poll, so that only events can be in time.
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    dir: TempDir,
    authority: Authority,
    metrics: Metrics,
}

impl Bench {
    fn new() -> Self {
        let authority = Authority::new(&domain("a.test"), NOW).unwrap();
        Self { dir: TempDir::new().unwrap(), authority, metrics: Metrics::default() }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(self.dir.path().to_owned(), domain("a.test"), clock(), self.metrics.clone())
    }

    fn watch(&self) -> (channel::Receiver<State>, AbortOnDropHandle<()>) {
        watch(self.dir.path().to_owned(), domain("a.test"), clock(), self.metrics.clone())
    }

    fn issue(&self) -> Issued {
        self.authority.issue(&id(A), &[], Duration::from_secs(3600), NOW).unwrap()
    }

    /// Replaces the directory's content as the kubelet does.
    fn swap(&self, issued: &Issued, more: &[(&str, &str)], stamp: &str) {
        let (chain, key, root) = (issued.chain_pem(), issued.key_pem(), self.authority.root_pem());
        let mut files = vec![("tls.crt", chain.as_str()), ("tls.key", key.as_str()), ("ca.crt", root)];
        files.extend(more);
        swap(self.dir.path(), &files, stamp);
    }

    /// Reads once, as the task would.
    fn read_into(&self, keeper: &mut Keeper) {
        keeper.take(read(self.dir.path(), &domain("a.test"), NOW));
    }

    /// Every metric, as an operator sees it.
    fn metrics(&self) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        self.metrics.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text
    }
}

/// Waits for material that `wanted` says yes to.
async fn material(
    states: &mut channel::Receiver<State>,
    wanted: impl Fn(&Material) -> bool,
) -> Arc<Material> {
    let state = states.wait_for(|state| state.material().is_some_and(|material| wanted(material)));
    Arc::clone(state.await.unwrap().material().unwrap())
}

#[tokio::test]
async fn swapped_volumes_are_seen_each_time() {
    let bench = Bench::new();
    let first = bench.issue();
    bench.swap(&first, &[], "1");
    let (mut states, _task) = bench.watch();
    let loaded = tokio::time::timeout(PATIENCE, material(&mut states, |_| true)).await.unwrap();
    assert_eq!((loaded.chain(), loaded.generation), (&first.chain()[..], 1));
    // Not once but again and again: a watch on a file would see the first swap only.
    for (stamp, generation) in [("2", 2), ("3", 3), ("4", 4)] {
        let next = bench.issue();
        bench.swap(&next, &[], stamp);
        let is_next = |material: &Material| material.chain() == next.chain();
        let loaded = tokio::time::timeout(PATIENCE, material(&mut states, is_next)).await.unwrap();
        assert_eq!(loaded.generation, generation);
    }
    let text = bench.metrics();
    assert!(text.contains(r#"dragoman_identity_reloads_total{result="ok"} 4"#), "{text}");
}

#[tokio::test]
async fn a_bundle_that_comes_or_goes_is_seen() {
    let bench = Bench::new();
    let issued = bench.issue();
    let b = Authority::new(&domain("b.test"), NOW).unwrap();
    bench.swap(&issued, &[], "1");
    let (mut states, _task) = bench.watch();
    let knows_b = |material: &Material| material.bundles.contains_key(&domain("b.test"));
    tokio::time::timeout(PATIENCE, material(&mut states, |_| true)).await.unwrap();
    bench.swap(&issued, &[("b.test.trust-bundle.pem", b.root_pem())], "2");
    tokio::time::timeout(PATIENCE, material(&mut states, knows_b)).await.unwrap();
    bench.swap(&issued, &[], "3");
    tokio::time::timeout(PATIENCE, material(&mut states, |material| !knows_b(material))).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_comes_later_is_seen() {
    let bench = Bench::new();
    let later = bench.dir.path().join("later");
    let (mut states, _task) = watch(later.clone(), domain("a.test"), clock(), bench.metrics.clone());
    states.changed().await.unwrap();
    assert!(matches!(&*states.borrow(), State::Missing(reason) if reason.contains("later")));
    bench.issue().save(&later).unwrap();
    tokio::time::timeout(PATIENCE, material(&mut states, |_| true)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_change_without_an_event_is_found_by_polling() {
    let bench = Bench::new();
    bench.issue().save(bench.dir.path()).unwrap();
    let (mut states, _task) = start(bench.keeper(), None);
    material(&mut states, |_| true).await;
    let begin = tokio::time::Instant::now();
    let next = bench.issue();
    next.save(bench.dir.path()).unwrap();
    material(&mut states, |material| material.chain() == next.chain()).await;
    assert!(begin.elapsed() <= POLL + Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_first_identity_gets_it_soon() {
    let bench = Bench::new();
    let (mut states, _task) = start(bench.keeper(), None);
    states.changed().await.unwrap();
    assert!(matches!(&*states.borrow(), State::Missing(reason) if reason.ends_with("tls.crt is missing")));
    let begin = tokio::time::Instant::now();
    bench.issue().save(bench.dir.path()).unwrap();
    material(&mut states, |_| true).await;
    assert!(begin.elapsed() <= POLL_MISSING * 2, "{:?}", begin.elapsed());
}

#[test]
fn half_a_set_is_never_published() {
    let bench = Bench::new();
    let mut keeper = bench.keeper();
    let (first, next) = (bench.issue(), bench.issue());
    first.save(bench.dir.path()).unwrap();
    bench.read_into(&mut keeper);
    let states = keeper.publisher.subscribe();
    fs::write(bench.dir.path().join("tls.key"), next.key_pem()).unwrap();
    bench.read_into(&mut keeper);
    assert!(!states.has_changed().unwrap(), "the old material stays");
    assert_eq!(states.borrow().material().unwrap().chain(), first.chain());
    fs::write(bench.dir.path().join("tls.crt"), next.chain_pem()).unwrap();
    bench.read_into(&mut keeper);
    assert_eq!(states.borrow().material().unwrap().chain(), next.chain());
    let text = bench.metrics();
    assert!(text.contains(r#"dragoman_identity_reloads_total{result="error"} 1"#), "{text}");
    assert!(text.contains(r#"dragoman_identity_reloads_total{result="ok"} 2"#), "{text}");
    let expiry =
        format!(r#"dragoman_certificate_expiry_timestamp_seconds{{trust_domain="a.test"}} {}"#, NOW + 3600);
    assert!(text.contains(&expiry), "{text}");
}

#[test]
fn the_same_files_are_published_once() {
    let bench = Bench::new();
    let mut keeper = bench.keeper();
    bench.issue().save(bench.dir.path()).unwrap();
    bench.read_into(&mut keeper);
    let states = keeper.publisher.subscribe();
    bench.read_into(&mut keeper);
    assert!(!states.has_changed().unwrap());
    assert_eq!(states.borrow().material().unwrap().generation, 1);
}

#[test]
fn the_old_identity_outlives_its_files() {
    let bench = Bench::new();
    let mut keeper = bench.keeper();
    bench.issue().save(bench.dir.path()).unwrap();
    bench.read_into(&mut keeper);
    fs::remove_file(bench.dir.path().join("tls.crt")).unwrap();
    bench.read_into(&mut keeper);
    assert!(keeper.publisher.material().is_some());
}

#[test]
fn our_own_reading_is_no_change() {
    let event = |kind| Ok(Event::new(kind));
    assert!(!is_change(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)))));
    assert!(!is_change(&event(EventKind::Access(AccessKind::Close(AccessMode::Read)))));
    assert!(is_change(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
    assert!(is_change(&event(EventKind::Any)));
}
