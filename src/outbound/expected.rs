//! Which identity an agent must show.

use std::collections::{BTreeMap, HashMap};

use crate::a2a::{Fault, Name, Reason};
use crate::identity::{Pattern, PatternTemplate, TrustDomain};

/// The identities that called agents must show.
#[derive(Clone, Debug)]
pub struct Expected {
    /// For agents that are not named: `identity.server`.
    pub template: PatternTemplate,
    /// For single agents: `identity.servers`.
    pub named: BTreeMap<Name, Pattern>,
    /// The trust domain of each mesh.
    pub domains: HashMap<String, TrustDomain>,
}

impl Expected {
    /// The identity that must answer for `name`.
    ///
    /// # Errors
    /// If the name's mesh is not known, or the template does not make a pattern for it.
    pub fn of(&self, name: &Name) -> Result<Pattern, Fault> {
        if let Some(pattern) = self.named.get(name) {
            return Ok(pattern.clone());
        }
        let domain = self.domains.get(name.mesh()).ok_or_else(|| {
            let fault = Fault::new(Reason::AgentNotFound, format!("no agent {name}"));
            fault.because(format!("the mesh {} is not configured", name.mesh()))
        })?;
        self.template.fill(domain, name.namespace(), name.agent()).map_err(|error| {
            Fault::new(Reason::Internal, "this sidecar's configuration cannot judge that agent")
                .because(error)
        })
    }
}
