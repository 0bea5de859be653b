//! The loop in paused time, with a service that the test holds.

use std::{
    fs,
    sync::{Mutex, MutexGuard},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::identity::{
    Authority, PublicKey,
    forge::{A, NOW, domain, id, root},
    issuer,
};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What the service knows and does, which the test changes.
struct Mood {
    clock: Clock,
    authority: Authority,
    /// Trust domains beside the authority's own.
    others: Vec<(String, Vec<CertificateDer<'static>>)>,
    /// What is told of the own trust domain, if not the authority's roots.
    own: Option<Vec<CertificateDer<'static>>>,
    lifetime: Duration,
    renew_in: Option<Duration>,
    refresh_in: Option<Duration>,
    refusal: Option<Refused>,
    /// When it was asked for certificates, with which token and by which roots; and how often for bundles.
    certified: Vec<(Instant, String, usize)>,
    polled: usize,
}

#[derive(Clone)]
struct Service(Arc<Mutex<Mood>>);

impl Service {
    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.0.lock().unwrap()
    }

    fn times(&self) -> usize {
        self.mood().certified.len()
    }
}

impl Mood {
    fn told(&self) -> Told {
        let own = self.own.clone().unwrap_or_else(|| self.authority.roots().to_vec());
        let mut bundles = vec![("a.test".to_owned(), own)];
        bundles.retain(|(_, roots)| !roots.is_empty());
        bundles.extend(self.others.iter().cloned());
        Told { bundles, refresh_in: self.refresh_in }
    }
}

impl Certifier for Service {
    fn certify<'a>(
        &'a self,
        roots: &'a Bundles,
        request: Vec<u8>,
        token: &'a Token,
    ) -> BoxFuture<'a, Result<Granted, Refused>> {
        async move {
            let mut mood = self.mood();
            let count = roots.get(&domain("a.test")).map_or(0, |bundle| bundle.roots().len());
            mood.certified.push((Instant::now(), token.secret().to_owned(), count));
            if let Some(refusal) = &mood.refusal {
                return Err(refusal.clone());
            }
            let key = PublicKey::of_request(&request).unwrap();
            let now = mood.clock.now();
            let signed = mood.authority.sign(&id(A), &[], mood.lifetime, now, &key).unwrap();
            Ok(Granted { chain: signed.chain, told: mood.told(), renew_in: mood.renew_in })
        }
        .boxed()
    }

    fn bundles<'a>(&'a self, _: &'a Bundles) -> BoxFuture<'a, Result<Told, Refused>> {
        async move {
            let mut mood = self.mood();
            mood.polled += 1;
            mood.refusal.clone().map_or_else(|| Ok(mood.told()), Err)
        }
        .boxed()
    }
}

/// A pod: its token, its state, and the service that it asks.
struct Bench {
    dir: TempDir,
    service: Service,
    roots: Roots,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("token"), "first").unwrap();
        let start = Instant::now();
        let clock = Clock::new(move || NOW + i64::try_from(start.elapsed().as_secs()).unwrap());
        let authority = Authority::new(&domain("a.test"), NOW).unwrap();
        let roots = Roots::Given(authority.root_pem().to_owned());
        let mood = Mood {
            clock: clock.clone(),
            authority,
            others: Vec::new(),
            own: None,
            lifetime: HOUR,
            renew_in: None,
            refresh_in: Some(HOUR),
            refusal: None,
            certified: Vec::new(),
            polled: 0,
        };
        Self { dir, service: Service(Arc::new(Mutex::new(mood))), roots, clock }
    }

    fn start(&self) -> (watch::Receiver<State>, AbortOnDropHandle<()>) {
        let settings = Settings {
            trust_domain: domain("a.test"),
            token_file: self.dir.path().join("token"),
            roots: self.roots.clone(),
            state: Some(self.dir.path().join("state")),
        };
        issuer::watch(Arc::new(self.service.clone()), settings, self.clock.clone(), Metrics::default(), 7)
    }

    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.service.mood()
    }
}

/// Material of that generation, once it is there.
async fn generation(states: &mut watch::Receiver<State>, generation: u64) -> Arc<Material> {
    let wanted = |state: &State| state.material().is_some_and(|material| material.generation >= generation);
    let state = tokio::time::timeout(HOUR * 48, states.wait_for(wanted)).await;
    let material = Arc::clone(state.expect("published").unwrap().material().unwrap());
    assert_eq!(material.generation, generation);
    material
}

/// Why there is no identity, once there is a reason that says so.
async fn missing(states: &mut watch::Receiver<State>, part: &str) {
    let wanted = |state: &State| matches!(state, State::Missing(reason) if reason.contains(part));
    let state = tokio::time::timeout(HOUR, states.wait_for(wanted)).await;
    state.unwrap_or_else(|_| panic!("nothing about {part}")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_at_two_thirds_of_its_life_with_a_new_key_and_the_token_of_then() {
    let bench = Bench::new();
    let (mut states, _task) = bench.start();
    let first = generation(&mut states, 1).await;
    assert_eq!((first.id.as_str(), first.not_after), (A, NOW + 3600));
    fs::write(bench.dir.path().join("token"), "second\n").unwrap();
    let second = generation(&mut states, 2).await;
    let at = bench.clock.now() - (NOW - 60);
    assert!((3660 * 17 / 30 - 2..=3660 * 2 / 3 + 1).contains(&at), "{at}");
    let key = |material: &Material| material.key().key.public_key().unwrap().to_vec();
    assert_ne!(key(&first), key(&second));
    let tokens: Vec<String> = bench.mood().certified.iter().map(|(_, token, _)| token.clone()).collect();
    assert_eq!(tokens, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn no_key_is_ever_written() {
    let bench = Bench::new();
    let (mut states, _task) = bench.start();
    generation(&mut states, 2).await;
    tokio::time::sleep(MINUTE).await;
    let mut names = Vec::new();
    for dir in [bench.dir.path().to_owned(), bench.dir.path().join("state")] {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                assert!(!fs::read_to_string(&path).unwrap().contains("PRIVATE"), "{}", path.display());
            }
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    assert_eq!(names, ["a.test.trust-bundle.pem", "state", "token"]);
}

#[tokio::test(start_paused = true)]
async fn the_service_may_ask_for_an_early_renewal() {
    let bench = Bench::new();
    bench.mood().renew_in = Some(Duration::from_secs(30));
    let (mut states, _task) = bench.start();
    generation(&mut states, 1).await;
    bench.mood().renew_in = None;
    let begin = Instant::now();
    generation(&mut states, 2).await;
    assert!(begin.elapsed() >= Duration::from_secs(29) && begin.elapsed() <= Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn the_old_certificate_stays_while_the_service_is_away_and_after_it_has_expired() {
    let bench = Bench::new();
    let (mut states, _task) = bench.start();
    generation(&mut states, 1).await;
    bench.mood().refusal = Some(Refused::Away("nobody there".to_owned()));
    tokio::time::sleep(HOUR * 3).await;
    assert_eq!(states.borrow().material().unwrap().generation, 1);
    assert!(bench.clock.now() > states.borrow().material().unwrap().not_after);
    let attempts = bench.service.times();
    assert!((100..400).contains(&attempts), "{attempts} attempts in two hours and twenty minutes");
    bench.mood().refusal = None;
    let begin = Instant::now();
    generation(&mut states, 2).await;
    assert!(begin.elapsed() <= MINUTE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn pauses_between_attempts_grow() {
    let bench = Bench::new();
    bench.mood().refusal = Some(Refused::Away("nobody there".to_owned()));
    let (mut states, _task) = bench.start();
    missing(&mut states, "nobody there").await;
    tokio::time::sleep(MINUTE * 5).await;
    let times: Vec<Instant> = bench.mood().certified.iter().map(|(at, ..)| *at).collect();
    let pauses: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (pause, longest) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]) {
        assert!((longest / 2.0 - 0.01..=longest + 0.01).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_waits_as_long_as_asked() {
    let bench = Bench::new();
    let retry = Some(Duration::from_secs(45));
    bench.mood().refusal = Some(Refused::Busy { reason: "too often".to_owned(), retry });
    let (mut states, _task) = bench.start();
    missing(&mut states, "too often").await;
    bench.mood().refusal = None;
    let begin = Instant::now();
    generation(&mut states, 1).await;
    assert!(begin.elapsed() >= Duration::from_secs(45) && begin.elapsed() <= Duration::from_secs(55));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_is_explained() {
    let bench = Bench::new();
    let claims = base64_simd::URL_SAFE_NO_PAD.encode_to_string(r#"{"aud":["vault"],"exp":1800000600}"#);
    fs::write(bench.dir.path().join("token"), format!("x.{claims}.secret")).unwrap();
    bench.mood().refusal = Some(Refused::Unauthenticated("not for dragoman-identity".to_owned()));
    let (mut states, _task) = bench.start();
    missing(&mut states, "does not accept the token: not for dragoman-identity (it is for vault and valid")
        .await;
    assert!(!format!("{:?}", *states.borrow()).contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_later_is_taken() {
    let bench = Bench::new();
    fs::remove_file(bench.dir.path().join("token")).unwrap();
    let (mut states, _task) = bench.start();
    missing(&mut states, "token: No such file").await;
    fs::write(bench.dir.path().join("token"), "late").unwrap();
    generation(&mut states, 1).await;
}

#[tokio::test(start_paused = true)]
async fn new_bundles_are_published_at_once_with_the_certificate_in_use() {
    let bench = Bench::new();
    bench.mood().refresh_in = Some(MINUTE);
    let (mut states, _task) = bench.start();
    let first = generation(&mut states, 1).await;
    tokio::time::sleep(MINUTE * 3).await;
    assert!(bench.mood().polled >= 3);
    assert_eq!(states.borrow().material().unwrap().generation, 1, "nothing new is no news");
    bench.mood().others = vec![("b.test".to_owned(), vec![root("b.test").der().clone()])];
    let begin = Instant::now();
    let second = generation(&mut states, 2).await;
    assert!(begin.elapsed() <= MINUTE, "{:?}", begin.elapsed());
    assert_eq!(second.chain(), first.chain());
    assert!(second.bundles.contains_key(&domain("b.test")));
    // What is not told any more is not believed any more.
    bench.mood().others.clear();
    assert!(!generation(&mut states, 3).await.bundles.contains_key(&domain("b.test")));
    assert_eq!(bench.service.times(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_would_not_have_us_believed_is_refused() {
    let stranger = root("a.test").der().clone();
    for (own, why) in
        [(vec![stranger.clone()], "does not verify"), (Vec::new(), "there is no bundle for a.test")]
    {
        let bench = Bench::new();
        bench.mood().own = Some(own);
        let (mut states, _task) = bench.start();
        missing(&mut states, why).await;
        bench.mood().own = None;
        generation(&mut states, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bundles_that_leave_us_out_are_refused_and_a_certificate_is_asked_for() {
    let bench = Bench::new();
    bench.mood().refresh_in = Some(MINUTE);
    let (mut states, _task) = bench.start();
    let first = generation(&mut states, 1).await;
    // The whole authority is another one from now on.
    bench.mood().authority = Authority::new(&domain("a.test"), NOW).unwrap();
    let second = generation(&mut states, 2).await;
    assert_ne!(first.bundles, second.bundles);
    assert!(bench.clock.now() < NOW + 120, "long before it would have been renewed");
}

#[tokio::test(start_paused = true)]
async fn a_broken_bundle_of_others_costs_nobody_an_identity() {
    let bench = Bench::new();
    bench.mood().others = vec![("b.test".to_owned(), vec![root("c.test").der().clone()])];
    let (mut states, _task) = bench.start();
    let material = generation(&mut states, 1).await;
    assert_eq!(material.bundles.keys().collect::<Vec<_>>(), [&domain("a.test")]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_service_is_believed_by_what_it_told_last() {
    let bench = Bench::new();
    let next = root("a.test").der().clone();
    let both = [bench.mood().authority.roots(), &[next]].concat();
    bench.mood().own = Some(both);
    let (mut states, task) = bench.start();
    generation(&mut states, 1).await;
    tokio::time::sleep(MINUTE).await;
    drop(task);
    let (mut states, _task) = bench.start();
    generation(&mut states, 1).await;
    let roots: Vec<usize> = bench.mood().certified.iter().map(|(.., roots)| *roots).collect();
    assert_eq!(roots, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn roots_that_were_told_too_long_ago_give_way_to_the_file_but_never_to_the_configuration() {
    let given = Bench::new();
    let beside = Bench { roots: Roots::Beside, ..Bench::new() };
    for (bench, expected) in [(given, [2, 2, 2]), (beside, [2, 1, 2])] {
        fs::create_dir(bench.dir.path().join("state")).unwrap();
        let told = [root("a.test").pem(), root("a.test").pem()].concat();
        fs::write(bench.dir.path().join("state/a.test.trust-bundle.pem"), told).unwrap();
        fs::write(bench.dir.path().join("ca.crt"), bench.mood().authority.root_pem()).unwrap();
        bench.mood().refusal = Some(Refused::Away("it does not prove itself".to_owned()));
        let (_states, _task) = bench.start();
        tokio::time::sleep(MINUTE).await;
        let roots = bench.mood().certified.iter().map(|(.., roots)| *roots).take(3).collect::<Vec<_>>();
        assert_eq!(roots, expected, "{:?}", bench.roots);
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_used_stops_nobody() {
    let bench = Bench::new();
    fs::write(bench.dir.path().join("state"), "no directory").unwrap();
    let (mut states, _task) = bench.start();
    generation(&mut states, 2).await;
}

#[tokio::test(start_paused = true)]
async fn roots_beside_the_token_are_read_at_each_attempt() {
    let bench = Bench { roots: Roots::Beside, ..Bench::new() };
    let (mut states, _task) = bench.start();
    missing(&mut states, "ca.crt: No such file").await;
    let beside = bench.dir.path().join("ca.crt");
    fs::write(&beside, " ").unwrap();
    missing(&mut states, "ca.crt: it is empty").await;
    fs::write(&beside, root("b.test").pem()).unwrap();
    missing(&mut states, "it belongs to trust domain b.test").await;
    assert_eq!(bench.service.times(), 0, "nobody is asked who cannot be verified");
    fs::write(&beside, bench.mood().authority.root_pem()).unwrap();
    generation(&mut states, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_at_home_is_asked_without_roots() {
    let bench = Bench { roots: Roots::Unneeded, ..Bench::new() };
    let (mut states, _task) = bench.start();
    generation(&mut states, 1).await;
    assert_eq!(bench.mood().certified[0].2, 0);
    assert!(!bench.dir.path().join("state").exists());
}
