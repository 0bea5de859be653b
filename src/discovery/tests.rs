//! Discovery over a lookup that the test holds, on paused time.

use std::{collections::VecDeque, iter};

use futures_util::{FutureExt, future::join_all};
use prometheus_client::registry::Registry;
use tokio::time::{advance, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// What is said about one agent, lookup by lookup.
#[derive(Default)]
struct Lines(VecDeque<Answer>);

/// Answers as it was told, the last one for ever, and remembers when it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<String, Lines>>,
    asked: Mutex<Vec<Instant>>,
    takes: Mutex<Duration>,
}

impl Script {
    fn say(&self, agent: &str, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().insert(agent.into(), Lines(answers.into_iter().collect()));
    }

    fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn answer(&self, name: &Name) -> Answer {
        match self.answers.lock().unwrap().get_mut(name.agent()) {
            Some(Lines(lines)) if lines.len() > 1 => lines.pop_front().unwrap(),
            Some(Lines(lines)) => lines[0].clone(),
            None => absent(),
        }
    }
}

impl Lookup for Script {
    fn lookup<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Answer> {
        self.asked.lock().unwrap().push(Instant::now());
        let time = *self.takes.lock().unwrap();
        async move {
            sleep(time).await;
            self.answer(name)
        }
        .boxed()
    }
}

struct Room {
    script: Arc<Script>,
    discovery: Discovery,
    registry: Registry,
}

fn room_with(change: impl FnOnce(&mut Config)) -> Room {
    let mut config = Config {
        home: home(),
        cluster_domain: "cluster.local".into(),
        port: 2643,
        nameservers: Source::Listed(Vec::new()),
        meshes: HashMap::new(),
        directory: None,
        fixed: HashMap::new(),
        bounds: Bounds::default(),
    };
    change(&mut config);
    let (script, metrics) = (Arc::new(Script::default()), Metrics::default());
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let discovery = Discovery::new(config, Arc::clone(&script) as _, 7, metrics);
    Room { script, discovery, registry }
}

fn room() -> Room {
    room_with(|_| {})
}

impl Room {
    async fn ask(&self, agent: &str) -> Result<usize, Unresolved> {
        let endpoints = self.discovery.endpoints(&name(agent)).await?;
        let count = endpoints.borrow().addresses.len();
        Ok(count)
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

fn home() -> Home {
    Home { namespace: "travel".into(), mesh: "east".into() }
}

fn name(agent: &str) -> Name {
    Name::parse(agent, &home()).unwrap()
}

fn found(last: &[u8]) -> Answer {
    let addresses = last.iter().map(|last| SocketAddr::from(([10, 0, 0, *last], 2643))).collect();
    Answer::Found { addresses, ttl: 5 * SECOND }
}

fn absent() -> Answer {
    Answer::Absent { reason: "NXDOMAIN".into() }
}

fn failed() -> Answer {
    Answer::Failed { reason: "SERVFAIL".into() }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_first_callers_wait_for_one_lookup() {
    let room = room();
    room.script.say("currency", [found(&[1, 2])]);
    room.script.takes(SECOND);
    let began = Instant::now();
    let answers = join_all((0..100).map(|_| room.ask("currency"))).await;
    assert!(answers.iter().all(|answer| *answer == Ok(2)), "{answers:?}");
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(room.script.count(), 1);
    assert!(room.metrics().contains("dragoman_dns_resolutions_total{result=\"found\"} 1\n"));
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_waits_for_two_seconds_and_the_lookup_goes_on_without_it() {
    let room = room();
    room.script.say("currency", [found(&[1])]);
    room.script.takes(3 * SECOND);
    let began = Instant::now();
    let answer = room.ask("currency").await;
    assert_eq!(answer, Err(Unresolved::Late { name: name("currency"), waited: 2 * SECOND }));
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert_eq!(room.ask("currency").await, Ok(1));
    assert_eq!(began.elapsed(), 3 * SECOND);
    assert_eq!(room.script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_that_leaves_takes_nothing_with_it() {
    let room = room();
    room.script.say("currency", [found(&[1])]);
    room.script.takes(SECOND);
    assert!(timeout(SECOND / 2, room.ask("currency")).await.is_err());
    assert_eq!(room.ask("currency").await, Ok(1));
    assert_eq!(room.script.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_name_is_refreshed_without_anybody_waiting() {
    let room = room();
    room.script.say("currency", [found(&[1]), found(&[2, 3])]);
    let mut endpoints = room.discovery.endpoints(&name("currency")).await.unwrap();
    room.script.takes(SECOND);
    endpoints.mark_unchanged();
    timeout(6 * SECOND, endpoints.changed()).await.unwrap().unwrap();
    assert_eq!(endpoints.borrow().addresses.len(), 2);

    sleep(MINUTE).await;
    let began = Instant::now();
    assert_eq!(room.ask("currency").await, Ok(2));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!((10..=16).contains(&room.script.count()), "{}", room.script.count());
    assert!(!endpoints.has_changed().unwrap(), "the same again is no news");
    let asked = room.script.asked.lock().unwrap().clone();
    let gaps: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().skip(1).any(|gap| *gap != gaps[1]), "no two alike: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_confirmed_before_the_set_is_dropped() {
    let room = room();
    room.script.say("currency", [found(&[1]), absent(), found(&[1]), absent()]);
    let mut endpoints = room.discovery.endpoints(&name("currency")).await.unwrap();
    let stale = |now: &Arc<Endpoints>| matches!(now.freshness, Freshness::Stale { .. });
    let fresh = |now: &Arc<Endpoints>| now.freshness == Freshness::Fresh;

    endpoints.wait_for(stale).await.unwrap();
    assert_eq!(room.ask("currency").await, Ok(1), "one denial keeps it");
    assert!(room.metrics().contains("{agent=\"currency.travel.east\",state=\"stale\"} 1\n"));
    endpoints.wait_for(fresh).await.unwrap();
    assert!(room.metrics().contains("{agent=\"currency.travel.east\",state=\"stale\"} 0\n"));

    endpoints.wait_for(stale).await.unwrap();
    let denied = Instant::now();
    endpoints.wait_for(|now| now.addresses.is_empty()).await.unwrap();
    assert_eq!(denied.elapsed(), 2 * SECOND);
    let answer = room.ask("currency").await;
    assert_eq!(answer, Err(Unresolved::Absent { name: name("currency"), reason: "NXDOMAIN".into() }));
    assert!(!room.metrics().contains("currency"), "no label is left behind");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_dns_keeps_the_last_good_set_for_ten_minutes() {
    let room = room();
    room.script.say("currency", [found(&[1, 2]), failed()]);
    assert_eq!(room.ask("currency").await, Ok(2));
    for _ in 0..9 {
        sleep(MINUTE).await;
        assert_eq!(room.ask("currency").await, Ok(2));
    }
    assert!(room.script.count() < 90, "backs off: {}", room.script.count());
    sleep(MINUTE + SECOND).await;
    let answer = room.ask("currency").await;
    assert_eq!(answer, Err(Unresolved::Failed { name: name("currency"), reason: "SERVFAIL".into() }));
}

#[tokio::test(start_paused = true)]
async fn a_name_without_endpoints_is_asked_about_only_while_somebody_wants_it() {
    let room = room();
    room.script.takes(SECOND / 10);
    assert!(join_all((0..9).map(|_| room.ask("currency"))).await.iter().all(Result::is_err));
    sleep(MINUTE).await;
    assert_eq!(room.script.count(), 1, "nobody wanted it");

    // Scaled from zero meanwhile: whoever comes next waits for a new answer instead of getting the old one.
    room.script.say("currency", [absent(), found(&[1])]);
    room.script.takes(SECOND);
    assert!(matches!(room.ask("currency").await, Err(Unresolved::Absent { .. })));
    assert_eq!(room.script.count(), 2);
    sleep(SECOND / 10).await;
    assert!(
        matches!(room.ask("currency").await, Err(Unresolved::Absent { .. })),
        "believed for three seconds"
    );
    sleep(4 * SECOND).await;
    assert_eq!(room.script.count(), 3, "somebody wanted it");
    assert_eq!(room.ask("currency").now_or_never(), Some(Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_endpoint_makes_dns_asked_at_once_but_once_a_second() {
    let room = room();
    room.script.say("currency", [Answer::Found { addresses: vec![([10, 0, 0, 1], 1).into()], ttl: MINUTE }]);
    assert_eq!(room.ask("currency").await, Ok(1));
    sleep(5 * SECOND).await;
    assert_eq!(room.script.count(), 1);
    room.discovery.refused(&name("currency"));
    room.discovery.refused(&name("nobody"));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(room.script.count(), 2, "at once");

    for _ in 0..50 {
        room.discovery.refused(&name("currency"));
        sleep(SECOND / 10).await;
    }
    assert!((6..=7).contains(&room.script.count()), "{}", room.script.count());
    let asked = room.script.asked.lock().unwrap().clone();
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_forgotten_after_five_idle_minutes() {
    let room = room();
    room.script.say("currency", [found(&[1])]);
    room.script.say("weather", [found(&[2])]);
    let mut endpoints = room.discovery.endpoints(&name("currency")).await.unwrap();
    room.ask("weather").await.unwrap();
    room.ask("nobody").await.unwrap_err();
    for _ in 0..4 {
        sleep(MINUTE).await;
        room.ask("weather").await.unwrap();
    }
    assert_eq!(room.discovery.snapshot().len(), 3);
    sleep(MINUTE + SECOND).await;
    let left: Vec<_> = room.discovery.snapshot().into_iter().map(|kept| kept.name).collect();
    assert_eq!(left, [name("weather")]);
    assert!(!room.metrics().contains("currency"));
    while endpoints.changed().await.is_ok() {}

    let count = room.script.count();
    sleep(10 * MINUTE).await;
    assert!(room.script.count() > count, "weather was refreshed while it was kept");
    let count = room.script.count();
    sleep(10 * MINUTE).await;
    assert_eq!(room.script.count(), count, "nobody is kept any more");
    assert_eq!(room.ask("currency").await, Ok(1), "and yet it can be found again");
}

#[tokio::test(start_paused = true)]
async fn when_too_many_are_kept_the_longest_idle_makes_room() {
    let room = room_with(|config| config.bounds.names = 3);
    for (index, agent) in ["one", "two", "three", "four"].iter().enumerate() {
        room.script.say(agent, [found(&[u8::try_from(index).unwrap()])]);
    }
    for agent in ["one", "two", "nobody"] {
        advance(SECOND).await;
        assert_eq!(room.ask(agent).await.is_ok(), agent != "nobody");
    }
    advance(MINUTE).await;
    assert_eq!(room.ask("three").await, Ok(1));
    let left: Vec<_> = room.discovery.snapshot().into_iter().map(|kept| kept.name).collect();
    assert_eq!(left, [name("one"), name("three"), name("two")], "a name without endpoints goes first");
    for agent in ["one", "two"] {
        advance(SECOND).await;
        room.ask(agent).await.unwrap();
    }
    let full = room.ask("four").await.unwrap_err();
    assert_eq!(full, Unresolved::Full { name: name("four"), names: 3 });

    advance(31 * SECOND).await;
    assert_eq!(room.ask("four").await, Ok(1));
    let left: Vec<_> = room.discovery.snapshot().into_iter().map(|kept| kept.name).collect();
    assert_eq!(left, [name("four"), name("one"), name("two")], "three was idle for longest");
}

#[tokio::test(start_paused = true)]
async fn names_in_the_config_are_never_looked_up() {
    let address = SocketAddr::from(([127, 0, 0, 1], 2643));
    let room = room_with(|config| {
        config.fixed = HashMap::from([
            (name("currency"), vec![address, address]),
            (name("abroad.travel.west"), vec![address]),
            (name("empty"), vec![]),
        ]);
    });
    assert_eq!(room.ask("currency").await, Ok(1));
    assert_eq!(room.ask("abroad.travel.west").await, Ok(1), "even in a mesh that is not configured");
    assert!(matches!(room.ask("empty").await, Err(Unresolved::Absent { .. })));
    sleep(10 * MINUTE).await;
    assert_eq!(room.ask("currency").await, Ok(1));
    assert_eq!(room.script.count(), 0);
    assert!(room.metrics().contains("{agent=\"currency.travel.east\",state=\"known\"} 1\n"));
    assert_eq!(room.discovery.snapshot().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_mesh_is_an_error_of_its_own() {
    let room = room_with(|config| {
        let west = Remote { cluster_domain: "west.local".into(), nameservers: Vec::new() };
        config.meshes.insert("west".into(), west);
    });
    room.script.say("currency", [found(&[1])]);
    let error = room.ask("currency.travel.north").await.unwrap_err();
    assert_eq!(error, Unresolved::UnknownMesh { name: name("currency.travel.north") });
    assert!(error.to_string().contains("\"north\""), "{error}");
    assert_eq!(room.script.count(), 0);
    assert_eq!(room.ask("currency.travel.west").await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn the_snapshot_tells_age_and_idleness() {
    let room = room();
    room.script.say("currency", [found(&[1]), failed()]);
    room.ask("currency").await.unwrap();
    sleep(MINUTE).await;
    let [kept] = &room.discovery.snapshot()[..] else { panic!("one name") };
    assert_eq!((kept.age, kept.idle), (Some(MINUTE), Some(MINUTE)));
    assert!(matches!(kept.endpoints.freshness, Freshness::Stale { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_never_ends_is_given_up() {
    let room = room();
    room.script.say("currency", [found(&[1])]);
    room.script.takes(60 * MINUTE);
    room.ask("currency").await.unwrap_err();
    sleep(8 * SECOND + Duration::from_millis(10)).await;
    assert!(room.metrics().contains("dragoman_dns_resolutions_total{result=\"failed\"} 1\n"));
    assert!(matches!(room.ask("currency").now_or_never(), Some(Err(Unresolved::Failed { .. }))));
}

#[tokio::test(start_paused = true)]
async fn dropping_discovery_ends_its_tasks() {
    let Room { script, discovery, .. } = room();
    script.say("currency", iter::once(found(&[1])));
    let clone = discovery.clone();
    clone.endpoints(&name("currency")).await.unwrap();
    drop(discovery);
    assert!(Arc::strong_count(&script) > 1);
    drop(clone);
    sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&script), 1);
}

#[test]
fn what_readers_await_may_move_between_threads() {
    fn movable<T: Send>(_: T) {}
    let room = room();
    movable(room.discovery.endpoints(&name("currency")));
}
