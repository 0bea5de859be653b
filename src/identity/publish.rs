//! What every source does with what it has got: material that is good is published, and what is wrong is said once.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Material, Metrics, State, date};

/// Publishes the own identity, and complains.
#[derive(Debug)]
pub struct Publisher {
    states: watch::Sender<State>,
    metrics: Metrics,
    /// What was wrong the last time, so that the log says it once.
    complaint: Option<String>,
}

impl Publisher {
    /// Nothing is published yet, for that reason.
    #[must_use]
    pub fn new(reason: String, metrics: Metrics) -> Self {
        Self { states: watch::Sender::new(State::Missing(reason)), metrics, complaint: None }
    }

    /// The state from now on. It is [`State::Missing`] until the first material, and never again after.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    /// What is in use.
    #[must_use]
    pub fn material(&self) -> Option<Arc<Material>> {
        self.states.borrow().material().map(Arc::clone)
    }

    /// Puts `material` in the place of what there was, as the next generation.
    pub fn publish(&mut self, mut material: Material) {
        self.content();
        let before = self.states.borrow().material().map_or(0, |material| material.generation);
        material.generation = before + 1;
        self.metrics.published(&material);
        tracing::info!(
            id = %material.id,
            expires = date(material.not_after),
            bundles = ?material.bundles,
            generation = material.generation,
            "Identity loaded"
        );
        self.states.send_replace(State::Loaded(Arc::new(material)));
    }

    /// Nothing is wrong any more: the next complaint is said again.
    pub fn content(&mut self) {
        self.complaint = None;
    }

    /// Keeps what there is. A first identity that is not there yet is said to be missing, with the reason.
    pub fn refuse(&mut self, reason: String) {
        self.metrics.failed();
        let again = self.complaint.as_ref() == Some(&reason);
        match self.material() {
            _ if again => tracing::debug!(reason, "Identity still not loaded"),
            Some(material) => {
                let expires = date(material.not_after);
                tracing::warn!(reason, expires, "Identity not reloaded, the old one stays in use");
            }
            None => tracing::warn!(reason, "Identity not loaded"),
        }
        self.states.send_if_modified(|state| match state {
            State::Missing(old) if *old != reason => {
                old.clone_from(&reason);
                true
            }
            _ => false,
        });
        self.complaint = Some(reason);
    }
}
