//! What discovery counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::set::{Answer, Endpoints, Freshness};
use crate::a2a::Name;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Resolution {
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Known {
    agent: String,
    state: &'static str,
}

/// The numbers of one [`Discovery`](super::Discovery); clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    resolutions: Family<Resolution, Counter>,
    endpoints: Family<Known, Gauge>,
}

impl Metrics {
    /// Adds `dragoman_dns_resolutions_total{result}` and `dragoman_endpoints{agent,state}`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_dns_resolutions",
            "Lookups of a name in DNS, by what they brought: found, absent or failed",
            self.resolutions.clone(),
        );
        registry.register(
            "dragoman_endpoints",
            "Endpoints of each agent that has any: known (as DNS says now) or stale (the last good answer)",
            self.endpoints.clone(),
        );
    }

    /// Counts one lookup.
    pub(super) fn resolved(&self, answer: &Answer) {
        let result = match answer {
            Answer::Absent { .. } => "absent",
            Answer::Failed { .. } => "failed",
            Answer::Found { .. } => "found",
        };
        self.resolutions.get_or_create(&Resolution { result }).inc();
    }

    /// The gauges of one name, which go away with the value.
    pub(super) fn gauges(&self, name: &Name) -> Gauges {
        let label = |state| Known { agent: name.as_str().to_owned(), state };
        Gauges { family: self.endpoints.clone(), known: label("known"), stale: label("stale") }
    }
}

/// The gauges of one name. A name without endpoints has no labels, so that invented names leave no trace.
#[derive(Debug)]
pub(super) struct Gauges {
    family: Family<Known, Gauge>,
    known: Known,
    stale: Known,
}

impl Gauges {
    /// Shows `endpoints`.
    pub(super) fn show(&self, endpoints: &Endpoints) {
        let count = i64::try_from(endpoints.addresses.len()).unwrap_or(i64::MAX);
        match endpoints.freshness {
            _ if count == 0 => self.clear(),
            Freshness::Stale { .. } => self.set(0, count),
            _ => self.set(count, 0),
        }
    }

    fn set(&self, known: i64, stale: i64) {
        self.family.get_or_create(&self.known).set(known);
        self.family.get_or_create(&self.stale).set(stale);
    }

    fn clear(&self) {
        self.family.remove(&self.known);
        self.family.remove(&self.stale);
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::Home;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn lookups_are_counted_by_what_they_brought() {
        let metrics = Metrics::default();
        metrics.resolved(&Answer::Absent { reason: String::new() });
        metrics.resolved(&Answer::Failed { reason: String::new() });
        metrics.resolved(&Answer::Failed { reason: String::new() });
        let text = text(&metrics);
        assert!(text.contains("dragoman_dns_resolutions_total{result=\"absent\"} 1\n"), "{text}");
        assert!(text.contains("dragoman_dns_resolutions_total{result=\"failed\"} 2\n"), "{text}");
    }

    #[test]
    fn a_name_that_is_gone_leaves_no_label() {
        let metrics = Metrics::default();
        let name =
            Name::parse("currency.travel.east", &Home { namespace: "x".into(), mesh: "y".into() }).unwrap();
        let gauges = metrics.gauges(&name);
        gauges.show(&Endpoints::fixed(&[([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into()]));
        let shown = text(&metrics);
        assert!(
            shown.contains("dragoman_endpoints{agent=\"currency.travel.east\",state=\"known\"} 2\n"),
            "{shown}"
        );
        gauges.show(&Endpoints::pending());
        assert!(!text(&metrics).contains("currency"));
        gauges.show(&Endpoints::fixed(&[([10, 0, 0, 1], 1).into()]));
        drop(gauges);
        assert!(!text(&metrics).contains("currency"));
    }
}
