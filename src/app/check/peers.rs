//! An agent as this pod reaches it: by DNS, over mutual TLS, past its policy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use super::{Finding, Inside, advice};
use crate::a2a::{Binding, Call, Dialect, Fault, Name, NamePattern, Operation, Params, Reason};
use crate::binding::grpc::Probe;
use crate::discovery::Unresolved;
use crate::identity::State;

/// How long one endpoint may take for one question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many endpoints are asked.
const ENDPOINTS_MAX: usize = 5;
/// How far clocks may be apart before certificates that were just issued are not valid yet.
const APART: u64 = 60;
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Inside {
    /// An agent, from its name to its card.
    pub(super) async fn peer(&self, name: &Name) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.config.outbound.allow.iter().any(|pattern: &NamePattern| pattern.matches(name)) {
            let what = format!("outbound.allow does not let this pod call {name}");
            findings.push(Finding::failed("policy", what, format!("add {name} to outbound.allow")));
        }
        let (found, addresses) = self.resolved(name).await;
        findings.push(found);
        let expected = match self.expected.of(name) {
            Ok(expected) => expected,
            Err(fault) => {
                findings.push(failed("peer", name, &fault));
                return findings;
            }
        };
        let mut reached = false;
        for address in addresses.iter().take(ENDPOINTS_MAX) {
            let asked = timeout(PATIENCE, self.client.probe(name, *address, &expected)).await;
            match asked.unwrap_or_else(|_| Err(late())) {
                Ok(probe) => {
                    reached = true;
                    findings.extend(self.well(name, *address, &probe));
                }
                Err(fault) => findings.push(failed("peer", &format!("{name} at {address}"), &fault)),
            }
        }
        if reached {
            findings.push(self.card(name).await);
        }
        findings
    }

    /// Whether DNS finds an agent of this pod, as others will ask for it.
    pub(super) async fn visible(&self, name: &Name) -> Finding {
        match self.resolved(name).await {
            (found, addresses) if !addresses.is_empty() => found,
            (found, _) => Finding::warning(
                "dns",
                format!("others do not find the agent of this pod: {}", found.what),
                "a headless Service with a port named a2a (2643) must select this pod, and the pod must be ready",
            ),
        }
    }

    /// What DNS says of a name.
    async fn resolved(&self, name: &Name) -> (Finding, Arc<[SocketAddr]>) {
        match self.discovery.endpoints(name).await {
            Ok(endpoints) => {
                let addresses = Arc::clone(&endpoints.borrow().addresses);
                let listed = addresses.iter().take(ENDPOINTS_MAX).map(ToString::to_string);
                let listed = listed.collect::<Vec<_>>().join(", ");
                let what = format!("{name} has {} endpoints: {listed}", addresses.len());
                (Finding::ok("dns", what), addresses)
            }
            Err(error) => {
                let next = match &error {
                    Unresolved::Absent { .. } => advice::of(Reason::AgentNotFound),
                    Unresolved::Failed { .. } | Unresolved::Late { .. } => {
                        "a DNS server does not answer: see discovery.nameservers or /etc/resolv.conf, and \
                         discovery.directory.nameservers, and that UDP and TCP port 53 are open to them"
                    }
                    Unresolved::Full { .. } => "too many agents in use at once: wait a few minutes",
                    Unresolved::UnknownMesh { .. } => "name the mesh under meshes in the configuration",
                };
                (Finding::failed("dns", error.to_string(), next), Arc::new([]))
            }
        }
    }

    /// A sidecar that answers: it may still be about to end, of another version, or of another time.
    fn well(&self, name: &Name, address: SocketAddr, probe: &Probe) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.push(if probe.serving {
            Finding::ok("peer", format!("{name} at {address} answers over mutual TLS"))
        } else {
            let next = "its pod is ending; another one should take its place";
            Finding::warning("peer", format!("{name} at {address} takes no more calls"), next)
        });
        let whose = format!("{name} at {address}");
        findings.extend(probe.version.as_deref().and_then(|version| versions(&whose, version)));
        let there = probe.date.and_then(seconds);
        findings.extend(there.and_then(|there| apart(&whose, there, self.clock.now())));
        findings
    }

    /// Asks for the card, as any caller would.
    async fn card(&self, name: &Name) -> Finding {
        let call = Call {
            operation: Operation::GetAgentCard,
            body: Bytes::new(),
            params: Params::default(),
            binding: Binding::Jsonrpc,
            dialect: Dialect::V1_0,
            agent: name.clone(),
            peer: None,
            base: None,
            deadline: Some(Instant::now() + PATIENCE),
        };
        let answered = timeout(PATIENCE, self.mesh.clone().oneshot(call)).await;
        match answered.unwrap_or_else(|_| Err(late())) {
            Ok(_) => Finding::ok("peer", format!("{name} has let this pod read its card")),
            Err(fault) => failed("peer", name, &fault).naming(&self.identity.borrow()),
        }
    }
}

impl Finding {
    /// Whoever has to let somebody in wants to know whom.
    fn naming(mut self, state: &State) -> Self {
        if let (State::Loaded(material), Some(next)) = (state, &mut self.next) {
            *next = next.replace("this pod's SPIFFE ID", material.id.as_str());
        }
        self
    }
}

/// Another version than ours, if it is one.
pub(super) fn versions(whose: &str, version: &str) -> Option<Finding> {
    let next = "versions side by side are meant for an upgrade only: restart the older pods";
    let what = || format!("{whose} runs {version}, this sidecar {VERSION}");
    (version != VERSION).then(|| Finding::warning("version", what(), next))
}

/// A date as Unix seconds.
pub(super) fn seconds(date: SystemTime) -> Option<i64> {
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// A clock that is too far from ours, if it is.
pub(super) fn apart(whose: &str, there: i64, here: i64) -> Option<Finding> {
    let seconds = there.abs_diff(here);
    (seconds > APART).then(|| {
        let which = if there > here { "behind" } else { "ahead of" };
        let what = format!("this clock is {seconds} s {which} that of {whose}");
        Finding::failed("clock", what, "one of the two clocks is wrong: see NTP on both nodes")
    })
}

fn failed(subject: &str, whom: &(impl std::fmt::Display + ?Sized), fault: &Fault) -> Finding {
    let cause = fault.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let what = format!("{whom}: {}: {}{cause}", fault.row().name, fault.message());
    Finding::failed(subject, what, advice::of(fault.reason()))
}

fn late() -> Fault {
    Fault::new(Reason::DeadlineExceeded, format!("no answer within {PATIENCE:?}"))
}
