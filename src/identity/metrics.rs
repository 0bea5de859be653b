//! What an operator sees of the own identity.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::Material;

/// A label set of one label.
type Label = [(&'static str, String); 1];

/// The metrics of this room. A clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    expiry: Family<Label, Gauge>,
    reloads: Family<Label, Counter>,
}

impl Metrics {
    /// Shows the metrics in `registry`, below the names that the design gives them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_certificate_expiry_timestamp_seconds",
            "When the own certificate expires, in Unix seconds",
            self.expiry.clone(),
        );
        registry.register(
            "dragoman_identity_reloads",
            "How often own key, chain and bundles were read anew, or could not be",
            self.reloads.clone(),
        );
    }

    /// `material` is in use from now on.
    pub(super) fn published(&self, material: &Material) {
        let label = [("trust_domain", material.id.trust_domain().to_string())];
        self.expiry.get_or_create(&label).set(material.not_after);
        self.reloads.get_or_create(&[("result", "ok".to_owned())]).inc();
    }

    /// What there is to read is no good.
    pub(super) fn failed(&self) {
        self.reloads.get_or_create(&[("result", "error".to_owned())]).inc();
    }
}
