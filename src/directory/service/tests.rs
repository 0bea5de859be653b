//! What callers are told, asked as the generated server would ask.

use std::time::Duration;

use futures_util::StreamExt as _;
use tonic::Code;

use tokio::sync::watch;

use super::super::{Card, Endpoint, Snapshot};
use super::*;
use crate::a2a::NamePattern;
use crate::drain::{Trigger, drain};
use crate::identity::Pattern;
use crate::policy::rules::Rule;
use crate::proto::mesh::agent_event::Event;

const PLANNER: &str = "spiffe://east.example/ns/travel/sa/planner";
const WEST: &str = "spiffe://west.example/ns/dragoman-system/sa/dragoman-controller";

fn name(text: &str) -> Name {
    Name::parse(text, &Home { namespace: "travel".into(), mesh: "east".into() }).unwrap()
}

fn agent(text: &str, skill: &str) -> Arc<Agent> {
    let card = format!(r#"{{"name":"X","skills":[{{"id":"{skill}","tags":["t"]}}]}}"#);
    let endpoints = vec![Endpoint { address: ([10, 0, 0, 1], 2643).into(), ready: true }];
    let card = Some(Card::read(card.into(), 7).unwrap());
    Arc::new(Agent { name: name(text), endpoints, card, card_error: None })
}

fn snapshot(agents: &[(&str, &str)]) -> Arc<Snapshot> {
    let agents = agents.iter().map(|(text, skill)| (name(text), agent(text, skill))).collect();
    Arc::new(Snapshot { agents, complete: true, ..Snapshot::default() })
}

/// A directory of `east`, in which the planner may see all and the other mesh only what is in `travel`.
struct House {
    service: Service,
    snapshots: watch::Sender<Arc<Snapshot>>,
    complete: watch::Sender<Result<(), String>>,
    trigger: Trigger,
}

fn house(agents: &[(&str, &str)]) -> House {
    let rule = |from: &str, agents: &str| Rule {
        from: vec![Pattern::parse(from).unwrap()],
        agents: vec![
            NamePattern::parse(agents, &Home { namespace: "travel".into(), mesh: "east".into() }).unwrap(),
        ],
        operations: None,
    };
    let rules =
        Rules::new(vec![rule("spiffe://east.example/**", "*"), rule("spiffe://west.example/**", "*.travel")]);
    let (snapshots, receiver) = watch::channel(snapshot(agents));
    let (trigger, drain) = drain();
    let (complete_tx, complete) = watch::channel(Ok(()));
    let known = Known { snapshots: receiver, complete, mesh: "east".into() };
    let service = Service::new(known, Arc::new(rules), drain, Metrics::default());
    House { service, snapshots, complete: complete_tx, trigger }
}

fn request<T>(caller: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller(SpiffeId::parse(caller).unwrap()));
    request
}

fn filter(namespace: &str, mesh: &str, skill: &str, own: bool) -> Option<Filter> {
    Some(Filter { namespace: namespace.into(), mesh: mesh.into(), skill: skill.into(), own })
}

async fn names(house: &House, caller: &str, filter: Option<Filter>) -> Vec<String> {
    let asked = ListAgentsRequest { filter, ..ListAgentsRequest::default() };
    let answer = house.service.list_agents(request(caller, asked)).await.unwrap().into_inner();
    assert_eq!(answer.next_page_token, "");
    answer.agents.into_iter().map(|agent| agent.name).collect()
}

const AGENTS: [(&str, &str); 4] =
    [("a", "Convert money"), ("b.bank", "loans"), ("c", "trains"), ("d.x.west", "money")];

#[tokio::test]
async fn who_asks_sees_what_it_asks_for_and_may_know_of() {
    let house = house(&AGENTS);
    let (a, b, c, d) = ("a.travel.east", "b.bank.east", "c.travel.east", "d.x.west");
    for (filter, seen) in [
        (None, &[a, b, c, d][..]),
        (filter("bank", "", "", false), &[b]),
        (filter("", "west", "", false), &[d]),
        (filter("", "", "MONEY", false), &[a, d]),
        (filter("", "", "convert t", true), &[a]),
        (filter("", "", "", true), &[a, b, c]),
        (filter("", "east", "", true), &[a, b, c]),
        (filter("nowhere", "", "", false), &[]),
    ] {
        assert_eq!(names(&house, PLANNER, filter.clone()).await, seen, "{filter:?}");
    }
    assert_eq!(names(&house, WEST, None).await, [a, c]);
    assert!(names(&house, "spiffe://north.example/x", None).await.is_empty());
    let nobody = house.service.list_agents(Request::new(ListAgentsRequest::default())).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    let asked = ListAgentsRequest { filter: filter("", "west", "", true), ..ListAgentsRequest::default() };
    let odd = house.service.list_agents(request(PLANNER, asked)).await.unwrap_err();
    assert_eq!(odd.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn pages_follow_each_other_while_agents_come_and_go() {
    let house = house(&AGENTS);
    let page = async |page_size, token: &str| {
        let page_token = token.to_owned();
        let asked = ListAgentsRequest { page_size, page_token, brief: true, filter: None };
        let answer = house.service.list_agents(request(PLANNER, asked)).await.map(Response::into_inner);
        answer.map(|page| {
            assert!(page.agents.iter().all(|agent| agent.card.is_empty() && agent.skills.len() == 1));
            let names = page.agents.into_iter().map(|agent| agent.name);
            (names.collect::<Vec<_>>(), page.next_page_token)
        })
    };
    let (first, token) = page(2, "").await.unwrap();
    assert_eq!(first, ["a.travel.east", "b.bank.east"]);
    house.snapshots.send_replace(snapshot(&[("aa", ""), ("c", "trains"), ("d.x.west", "")]));
    let (second, end) = page(2, &token).await.unwrap();
    assert_eq!((second, &*end), (vec!["c.travel.east".to_owned(), "d.x.west".to_owned()], ""));
    for (size, token) in [(-1, ""), (0, "no name")] {
        assert_eq!(page(size, token).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_page_is_full_before_a_client_would_refuse_it() {
    let house = house(&[]);
    let text = format!(r#"{{"name":"{}"}}"#, "x".repeat(200_000));
    let card = Card::read(text.into(), 7).unwrap();
    let agents = (10..40).map(|number| {
        let name = name(&format!("a{number}"));
        let agent =
            Agent { name: name.clone(), endpoints: Vec::new(), card: Some(card.clone()), card_error: None };
        (name, Arc::new(agent))
    });
    house.snapshots.send_replace(Arc::new(Snapshot {
        agents: agents.collect(),
        complete: true,
        ..Snapshot::default()
    }));
    let (mut seen, mut token) = (0, String::new());
    loop {
        let asked = ListAgentsRequest { page_token: token, ..ListAgentsRequest::default() };
        let page = house.service.list_agents(request(PLANNER, asked)).await.unwrap().into_inner();
        assert!(page.encoded_len() < 4 << 20);
        seen += page.agents.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 30);
}

type Events = <Service as Directory>::WatchAgentsStream;

async fn watch(house: &House, caller: &str, filter: Option<Filter>) -> Events {
    let asked = WatchAgentsRequest { filter, brief: true };
    house.service.watch_agents(request(caller, asked)).await.unwrap().into_inner()
}

async fn next(events: &mut Events) -> String {
    match events.next().await.unwrap().unwrap().event.unwrap() {
        Event::Updated(agent) => format!("+{} {}", agent.name, agent.skills[0].id),
        Event::Removed(name) => format!("-{name}"),
        Event::Synced(_) => "synced".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_told_of_each_change_that_it_may_see() {
    let house = house(&AGENTS);
    let mut all = watch(&house, PLANNER, None).await;
    let mut some = watch(&house, WEST, filter("", "", "money", false)).await;
    for event in [
        "+a.travel.east Convert money",
        "+b.bank.east loans",
        "+c.travel.east trains",
        "+d.x.west money",
        "synced",
    ] {
        assert_eq!(next(&mut all).await, event);
    }
    for event in ["+a.travel.east Convert money", "synced"] {
        assert_eq!(next(&mut some).await, event);
    }
    assert_eq!(house.service.metrics.watchers.get(), 2);
    // One changes, one goes, two come, of which one is hidden.
    let agents =
        [("a", "talk"), ("b.bank", "loans"), ("d.x.west", "money"), ("e.bank", "money"), ("f", "money")];
    house.snapshots.send_replace(snapshot(&agents));
    for event in ["-c.travel.east", "+a.travel.east talk", "+e.bank.east money", "+f.travel.east money"] {
        assert_eq!(next(&mut all).await, event);
    }
    // What does not match any more is gone.
    for event in ["-a.travel.east", "+f.travel.east money"] {
        assert_eq!(next(&mut some).await, event);
    }
    drop(all);
    assert_eq!(house.service.metrics.watchers.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_sent_away_and_has_missed_only_what_was_in_between() {
    let house = house(&[]);
    let many = |skill: &str| {
        let names: Vec<String> = (100..200).map(|number| format!("a{number}")).collect();
        let agents: Vec<(&str, &str)> = names.iter().map(|name| (&**name, skill)).collect();
        snapshot(&agents)
    };
    house.snapshots.send_replace(many("one"));
    let mut slow = watch(&house, PLANNER, None).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    // It reads in time: there is more to come.
    for _ in 0..100 {
        assert!(next(&mut slow).await.ends_with(" one"));
    }
    assert_eq!(next(&mut slow).await, "synced");
    for skill in ["two", "three"] {
        house.snapshots.send_replace(many(skill));
    }
    assert!(next(&mut slow).await.ends_with(" three"));
    tokio::time::sleep(Duration::from_secs(31)).await;
    let rest: Vec<_> = slow.collect().await;
    let end = rest.last().unwrap().as_ref().unwrap_err();
    assert_eq!((rest.len() < 100, end.code()), (true, Code::ResourceExhausted));
}

#[tokio::test]
async fn who_does_not_know_all_agents_says_so_and_denies_none() {
    let house = house(&AGENTS);
    house.complete.send_replace(Err("the agents are not known yet".into())).unwrap();
    let list = house.service.list_agents(request(PLANNER, ListAgentsRequest::default())).await.unwrap_err();
    let watch = house.service.watch_agents(request(PLANNER, WatchAgentsRequest::default())).await;
    for status in [list, watch.map(drop).unwrap_err()] {
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "the agents are not known yet"));
    }
    // They are known, but the snapshot is still of the time before.
    house.complete.send_replace(Ok(())).unwrap_err();
    house.snapshots.send_replace(Arc::default());
    let watch = house.service.watch_agents(request(PLANNER, WatchAgentsRequest::default())).await;
    assert_eq!(watch.map(drop).unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_house_ends_every_stream() {
    let House { service, snapshots: _snapshots, complete: _complete, trigger } = house(&AGENTS);
    let asked = request(PLANNER, WatchAgentsRequest::default());
    let events = service.watch_agents(asked).await.unwrap().into_inner();
    let ending = crate::task::spawn(trigger.pull(Duration::from_secs(25)));
    let events: Vec<_> = events.collect().await;
    assert_eq!(events.last().unwrap().as_ref().unwrap_err().code(), Code::Unavailable);
    drop(ending);
}
