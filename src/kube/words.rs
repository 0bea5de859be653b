//! Words that several parts of this room, and objects in the cluster, must agree on.

use crate::a2a::is_label;

/// What stands behind an agent's name in that of its mesh Service.
pub(super) const SUFFIX: &str = "-a2a";

/// What the mesh Service of an agent is called; nothing if no Service can be called so (RFC 1035: 63 letters, digits and `-`,
/// a letter first).
pub(super) fn mesh_service(agent: &str) -> Option<String> {
    let name = format!("{agent}{SUFFIX}");
    let possible = is_label(&name) && name.starts_with(|first: char| first.is_ascii_lowercase());
    possible.then_some(name)
}
