//! What an operator sees of the identity service.

use std::sync::atomic::AtomicI64;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A label set of one label.
type Label = [(&'static str, &'static str); 1];

/// The metrics of this room. A clone counts into the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    issued: Family<Label, Counter>,
    expiry: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Shows the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dragoman_certificates_issued",
            "How often a certificate was asked for, by what came of it",
            self.issued.clone(),
        );
        registry.register(
            "dragoman_issuer_expiry_timestamp_seconds",
            "When the issuer that signs expires, in Unix seconds",
            self.expiry.clone(),
        );
    }

    /// A request has ended like that.
    pub(super) fn decided(&self, result: &'static str) {
        self.issued.get_or_create(&[("result", result)]).inc();
    }

    /// Who signs is valid until then, in Unix seconds.
    pub(super) fn expiry(&self, not_after: i64) {
        self.expiry.set(not_after);
    }
}
