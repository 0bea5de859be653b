//! The part that keeps a Service in front of every agent.

use super::{Gate, Ground};
use crate::config::Role;
use crate::kube::services::{self, Metrics};

/// Starts it.
pub(super) fn start(ground: &mut Ground<'_>) {
    let metrics = Metrics::default();
    metrics.register(&mut ground.registry);
    let services = services::start(&ground.kubernetes, ground.clock.clone(), ground.seed, metrics);
    ground.gates.push(Gate { role: Role::Injector, name: "mesh services", state: services.state });
    ground.tasks.push(services.task);
}
