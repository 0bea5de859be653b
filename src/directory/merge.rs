//! All that is known, put together: one task writes the snapshot that everybody answers from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending, select_all};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::cards::{Cards, Reading};
use super::{Agent, Endpoint, Found, Metrics, Snapshot, message};
use crate::a2a::Name;
use crate::discovery::directory::Told;
use crate::task;

/// How long changes are gathered before they are told.
const GATHER: Duration = Duration::from_millis(100);

/// Where the knowledge comes from.
#[derive(Debug)]
pub struct Sources {
    /// The agents of the own mesh.
    pub found: watch::Receiver<Arc<Found>>,
    /// Whether those are all; else what is missing. It is said after the last of them was found.
    pub complete: watch::Receiver<Result<(), String>>,
    /// Their cards.
    pub cards: watch::Receiver<Cards>,
    /// What the directories of other meshes tell, each of its own mesh, by its name.
    pub others: BTreeMap<String, watch::Receiver<Told>>,
}

/// Puts the sources together, again whenever one of them changes, as long as the handle lives.
pub fn merge(
    mut sources: Sources,
    metrics: Metrics,
) -> (watch::Receiver<Arc<Snapshot>>, AbortOnDropHandle<()>) {
    let first = sources.snapshot(&Snapshot::default());
    metrics.snapshot(&first);
    let (snapshots, receiver) = watch::channel(Arc::new(first));
    (receiver, task::spawn(run(sources, metrics, snapshots)))
}

async fn run(mut sources: Sources, metrics: Metrics, snapshots: watch::Sender<Arc<Snapshot>>) {
    loop {
        sources.change().await;
        sleep(GATHER).await;
        let before = Arc::clone(&snapshots.borrow());
        let now = sources.snapshot(&before);
        if now != *before {
            metrics.snapshot(&now);
            snapshots.send_replace(Arc::new(now));
        }
    }
}

impl Sources {
    /// Waits until one of them has changed.
    async fn change(&mut self) {
        let Self { found, complete, cards, others } = self;
        let mut changes = vec![changed(found), changed(complete), changed(cards)];
        changes.extend(others.values_mut().map(changed));
        select_all(changes).await;
    }

    /// What they say now. What is as it was `before` is shared with it.
    fn snapshot(&mut self, before: &Snapshot) -> Snapshot {
        let mut agents = BTreeMap::new();
        // Before what is found: whatever is there then is in it.
        let complete = self.complete.borrow_and_update().is_ok();
        let found = self.found.borrow_and_update();
        let cards = self.cards.borrow_and_update();
        let unread = Reading::default();
        for (name, endpoints) in &found.agents {
            let reading = cards.get(name).unwrap_or(&unread);
            agents.insert(name.clone(), own(name, endpoints, reading, before));
        }
        let mut others = BTreeMap::new();
        for (mesh, other) in &mut self.others {
            let other = other.borrow_and_update();
            others.insert(mesh.clone(), other.complete);
            for (name, told) in &other.agents {
                // The own mesh is known best here.
                agents
                    .entry(name.clone())
                    .or_insert_with(|| theirs(message::read(name.clone(), told), before));
            }
        }
        Snapshot { agents, addresses: found.addresses.clone(), complete, others }
    }
}

fn changed<T: Send + Sync>(receiver: &mut watch::Receiver<T>) -> BoxFuture<'_, ()> {
    async {
        if receiver.changed().await.is_err() {
            // Who is gone says nothing more.
            pending::<()>().await;
        }
    }
    .boxed()
}

fn own(name: &Name, endpoints: &[Endpoint], reading: &Reading, before: &Snapshot) -> Arc<Agent> {
    if let Some(agent) = before.agents.get(name) {
        let card = agent.card.as_ref() == reading.card.as_deref();
        if card && agent.endpoints == endpoints && agent.card_error.as_deref() == reading.error.as_deref() {
            return Arc::clone(agent);
        }
    }
    Arc::new(Agent {
        name: name.clone(),
        endpoints: endpoints.to_vec(),
        card: reading.card.as_deref().cloned(),
        card_error: reading.error.as_deref().map(str::to_owned),
    })
}

fn theirs(agent: Agent, before: &Snapshot) -> Arc<Agent> {
    match before.agents.get(&agent.name) {
        Some(known) if **known == agent => Arc::clone(known),
        _ => Arc::new(agent),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Card;
    use super::*;
    use crate::a2a::Home;
    use crate::proto::mesh;

    fn name(text: &str) -> Name {
        Name::parse(text, &Home { namespace: "travel".into(), mesh: "east".into() }).unwrap()
    }

    fn endpoint(last: u8, ready: bool) -> Endpoint {
        Endpoint { address: ([10, 0, 0, last], 2643).into(), ready }
    }

    fn told(name: &str) -> mesh::Agent {
        mesh::Agent { name: name.into(), ..mesh::Agent::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_anywhere_makes_a_new_snapshot_that_shares_what_stayed() {
        let (found_tx, found) = watch::channel(Arc::new(Found {
            agents: [(name("a"), vec![endpoint(1, true)]), (name("b"), vec![])].into(),
            addresses: vec!["10.9.9.9".parse().unwrap()],
        }));
        let (cards_tx, cards) = watch::channel(Cards::new());
        let (_complete, complete) = watch::channel(Ok(()));
        let (west_tx, west) = watch::channel(Told::default());
        let others = BTreeMap::from([("west".to_owned(), west)]);
        let (mut snapshots, _merging) = merge(Sources { found, complete, cards, others }, Metrics::default());
        let names = |snapshot: &Snapshot| snapshot.agents.keys().map(Name::to_string).collect::<Vec<_>>();
        let first =
            snapshots.wait_for(|now| names(now) == ["a.travel.east", "b.travel.east"]).await.unwrap().clone();
        assert_eq!(first.addresses.len(), 1);

        let card = Arc::new(Card::read(r#"{"name":"A"}"#.into(), 7).unwrap());
        cards_tx.send_modify(|cards| {
            cards.insert(name("a"), Reading { card: Some(card), error: Some("late".into()) });
        });
        let second = snapshots.wait_for(|now| now.agents[&name("a")].card.is_some()).await.unwrap().clone();
        assert_eq!(second.agents[&name("a")].card_error.as_deref(), Some("late"));
        assert!(Arc::ptr_eq(&first.agents[&name("b")], &second.agents[&name("b")]));

        west_tx.send_modify(|west| {
            // Another directory cannot speak for an agent of this mesh.
            for agent in ["a.travel.east", "c.x.west"] {
                west.agents.insert(name(agent), Arc::new(told(agent)));
            }
        });
        let third = snapshots.wait_for(|now| now.agents.len() == 3).await.unwrap().clone();
        assert!(Arc::ptr_eq(&third.agents[&name("a")], &second.agents[&name("a")]));

        found_tx.send_modify(|found| drop(Arc::make_mut(found).agents.remove(&name("b"))));
        snapshots.wait_for(|now| names(now) == ["a.travel.east", "c.x.west"]).await.unwrap();
        drop((found_tx, cards_tx));
        west_tx.send_modify(|west| west.agents.clear());
        snapshots.wait_for(|now| names(now) == ["a.travel.east"]).await.unwrap();
    }
    #[tokio::test(start_paused = true)]
    async fn it_is_said_of_each_mesh_whether_all_of_its_agents_are_known() {
        let (found_tx, found) = watch::channel(Arc::default());
        let (complete_tx, complete) = watch::channel(Err("not yet".to_owned()));
        let (west_tx, west) = watch::channel(Told::default());
        let (_cards, cards) = watch::channel(Cards::new());
        let others = BTreeMap::from([("west".to_owned(), west)]);
        let (mut snapshots, _merging) = merge(Sources { found, complete, cards, others }, Metrics::default());
        let west_has = |told| BTreeMap::from([("west".to_owned(), told)]);
        let first = Arc::clone(&snapshots.borrow_and_update());
        assert_eq!((first.complete, &first.others), (false, &west_has(false)), "from the beginning");
        west_tx.send_modify(|west| west.complete = true);
        snapshots.changed().await.unwrap();
        let second = Arc::clone(&snapshots.borrow_and_update());
        assert_eq!((second.complete, &second.others), (false, &west_has(true)));
        found_tx.send_modify(|found| drop(Arc::make_mut(found).agents.insert(name("a"), vec![])));
        drop(complete_tx.send_replace(Ok(())));
        snapshots.changed().await.unwrap();
        let third = Arc::clone(&snapshots.borrow_and_update());
        assert_eq!((third.complete, third.agents.len()), (true, 1));
        west_tx.send_modify(|west| west.complete = false);
        snapshots.wait_for(|now| now.others == west_has(false)).await.unwrap();
    }
}
