//! The directory of the mesh: whether it answers this pod, and whether version and clock agree with it.

use super::peers::{apart, seconds, versions};
use super::{Finding, Inside};
use crate::discovery::directory::{About, Unlisted};

impl Inside {
    /// The directory, if there is one.
    pub(super) async fn directory(&self) -> Vec<Finding> {
        let Some(directory) = &self.directory else { return Vec::new() };
        let About { version, date } = match directory.about().await {
            Ok(about) => about,
            Err(unlisted) => {
                let next = match &unlisted {
                    Unlisted::Unreachable { .. } => {
                        "calls go on by the cluster's DNS; see kubectl get pods,endpointslices -n dragoman-system, a \
                         NetworkPolicy on TCP port 2646, and discovery.directory.server"
                    }
                    _ => "calls go on by the cluster's DNS; the controller's log says more",
                };
                return vec![Finding::warning("directory", unlisted.to_string(), next)];
            }
        };
        let mut findings = vec![Finding::ok("directory", format!("{directory} answers over mutual TLS"))];
        let whose = directory.to_string();
        findings.extend(version.and_then(|version| versions(&whose, &version)));
        if let Some(there) = date.and_then(seconds) {
            let agreed = || Finding::ok("clock", format!("this clock agrees with that of {whose}"));
            findings.push(apart(&whose, there, self.clock.now()).unwrap_or_else(agreed));
        }
        findings
    }
}
