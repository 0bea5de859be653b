//! What an operator sees of the injector.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

use super::decision::Decision;

/// A label set of few words.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The metrics of the injector. A clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    injections: Family<Labels<2>, Counter>,
    events: Family<Labels<1>, Counter>,
    expiry: Gauge,
}

impl Metrics {
    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_injections",
            "Pods that were looked at, by what became of them and why",
            self.injections.clone(),
        );
        registry.register(
            "dragoman_injector_events",
            "Events about pods: sent, refused by the API server, or not told because there were too many",
            self.events.clone(),
        );
        registry.register(
            "dragoman_injector_certificate_expiry_timestamp_seconds",
            "When the webhook's certificate expires, in Unix seconds",
            self.expiry.clone(),
        );
    }

    pub(super) fn decided(&self, decision: &Decision) {
        let labels = [("decision", decision.word()), ("reason", decision.reason())];
        self.injections.get_or_create(&labels).inc();
    }

    /// `invalid` or `unready`: a request that could not be answered.
    pub(super) fn unanswered(&self, reason: &'static str) {
        self.injections.get_or_create(&[("decision", "unanswered"), ("reason", reason)]).inc();
    }

    pub(super) fn event(&self, result: &'static str) {
        self.events.get_or_create(&[("result", result)]).inc();
    }

    pub(super) fn shows(&self, until: i64) {
        self.expiry.set(until);
    }
}
