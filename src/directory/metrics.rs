//! What an operator sees of the directory.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use super::Snapshot;

/// A label set of one label.
type Label = [(&'static str, String); 1];

/// The metrics of this room. A clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    agents: Family<Label, Gauge>,
    cards: Family<[(&'static str, &'static str); 1], Counter>,
    /// How many callers follow the changes.
    pub(super) watchers: Gauge,
}

impl Metrics {
    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_directory_agents",
            "How many agents are known, by mesh",
            self.agents.clone(),
        );
        registry.register(
            "dragoman_directory_cards",
            "How often cards of agents were read, or could not be",
            self.cards.clone(),
        );
        registry.register(
            "dragoman_directory_watchers",
            "How many callers follow the changes",
            self.watchers.clone(),
        );
    }

    /// A card was read, or could not be.
    pub(super) fn card(&self, ok: bool) {
        self.cards.get_or_create(&[("result", if ok { "ok" } else { "error" })]).inc();
    }

    /// This is known from now on, and that was before. Names are sorted by agent, so a mesh's are all over the list.
    pub(super) fn snapshot(&self, snapshot: &Snapshot) {
        let mut counts = std::collections::BTreeMap::<&str, i64>::new();
        for name in snapshot.agents.keys() {
            *counts.entry(name.mesh()).or_default() += 1;
        }
        // A mesh that has no agents any more has no label any more.
        self.agents.clear();
        for (mesh, count) in counts {
            self.agents.get_or_create(&[("mesh", mesh.to_owned())]).set(count);
        }
    }
}
