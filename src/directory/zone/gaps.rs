//! What the zone does not know yet, or not any more. A name that may be in such a gap is neither absent nor without records
//! only because nothing is known of it: whoever took that for the truth would drop endpoints that are good.

use std::collections::HashSet;

use super::Snapshot;
use crate::a2a::is_label;

/// The most labels below the zone that a name of the own mesh has; agents of other meshes have one more.
const OWN_LABELS_MAX: usize = 4;

/// Of whom not all agents are known.
#[derive(Debug)]
pub(super) struct Gaps {
    /// The own mesh.
    own: bool,
    /// Other meshes whose directories are asked. Of a mesh without one nothing will ever be known: that is no gap.
    meshes: HashSet<Box<str>>,
}

impl Gaps {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let untold = snapshot.others.iter().filter(|(_, told)| !**told);
        Self { own: !snapshot.complete, meshes: untold.map(|(mesh, _)| mesh.as_str().into()).collect() }
    }

    /// Whether there may be something at a name, given by its labels below the zone, the last one first.
    pub(super) fn may_hide(&self, labels: &[&str]) -> bool {
        // A namespace and an agent follow, as far as the name goes. What has a `_` there is a name of a namespace that is
        // called like the mesh.
        let foreign = labels.split_first().is_some_and(|(mesh, rest)| {
            self.meshes.contains(*mesh) && rest.iter().take(2).all(|label| is_label(label))
        });
        foreign || (self.own && labels.len() <= OWN_LABELS_MAX)
    }
}
