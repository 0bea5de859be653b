//! The pod itself: who it is, what time it is, whom it lets in, and whether its agents are there.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::peers::apart;
use super::{Finding, Inside, Local, advice};
use crate::a2a::{self, Binding, Call, Dialect, Operation, Params};
use crate::config::Source;
use crate::identity::{Pattern, State, TrustDomain};

/// How long an agent of this pod may take for its card.
const PATIENCE: Duration = Duration::from_secs(5);
/// The part of a certificate's life that is left when a renewal is overdue: it was due at a third.
const OVERDUE: i64 = 5;

impl Inside {
    pub(super) fn version(&self) -> Finding {
        Finding::ok("version", format!("dragoman {}", env!("CARGO_PKG_VERSION")))
    }

    /// The own certificate.
    pub(super) fn identity(&self) -> Finding {
        let state = self.identity.borrow();
        let material = match &*state {
            State::Loaded(material) => material,
            State::Missing(reason) => return Finding::failed("identity", reason, self.source_advice()),
        };
        let left = material.not_after - self.clock.now();
        let hours = left / 3600;
        let what = format!("{}, valid for {hours} h {} min", material.id, left / 60 % 60);
        if left <= 0 {
            let what = format!("the certificate of {} has expired", material.id);
            Finding::failed("identity", what, self.source_advice())
        } else if left < (material.not_after - material.not_before) / OVERDUE {
            let what = format!("{what}: its renewal is overdue");
            Finding::warning("identity", what, self.source_advice())
        } else {
            Finding::ok("identity", what)
        }
    }

    fn source_advice(&self) -> String {
        match &self.config.identity.source {
            Source::Files { dir } => format!(
                "see what keeps {} up to date (cert-manager, a CSI driver, dragoman certs issue), and that this user may \
                 read it",
                dir.display()
            ),
            Source::Issuer { url, token_file, .. } => format!(
                "see that {url} answers (kubectl get endpointslice -n dragoman-system) and that {} is a token for its \
                 audience",
                token_file.display()
            ),
            Source::WorkloadApi { socket } => {
                format!("see that a SPIFFE agent listens at {}", socket.display())
            }
        }
    }

    /// Whether every mesh that is configured can be believed.
    pub(super) fn bundles(&self) -> Vec<Finding> {
        let state = self.identity.borrow();
        let Some(material) = state.material() else { return Vec::new() };
        let missing = self.config.meshes.iter().filter(|mesh| {
            let domain = TrustDomain::parse(&mesh.trust_domain).ok();
            !domain.is_some_and(|domain| material.bundles.contains_key(&domain))
        });
        missing
            .map(|mesh| {
                let domain = &mesh.trust_domain;
                let what = format!("there is no bundle of {domain}: nobody of the mesh {} is believed", mesh.name);
                let next = format!(
                    "give this side the roots of {domain}: {domain}.trust-bundle.pem beside the certificate, or \
                     meshes[].bundle of the controller"
                );
                Finding::failed("identity", what, next)
            })
            .collect()
    }

    /// Whether the certificate's time and ours agree.
    pub(super) fn clock(&self) -> Option<Finding> {
        let state = self.identity.borrow();
        let material = state.material()?;
        // It was issued in what the issuer holds to be the past.
        let early = material.not_before - self.clock.now();
        apart("the certificate's issuer", self.clock.now() + early, self.clock.now()).filter(|_| early > 0)
    }

    /// Whether the rules let in whom they seem to be meant for.
    pub(super) fn policy(&self) -> Vec<Finding> {
        let agents = &self.config.agents;
        let Some(rules) = self.config.policy.allow.as_ref().filter(|_| !agents.is_empty()) else {
            let who = &self.config.mesh.trust_domain;
            let everybody =
                || Finding::ok("policy", format!("everybody of {who} may call the agents of this pod"));
            return (!agents.is_empty()).then(everybody).into_iter().collect();
        };
        if rules.is_empty() {
            let next = "an empty policy.allow lets nobody in: add a rule, or leave the key out";
            return vec![Finding::warning("policy", "nobody may call the agents of this pod", next)];
        }
        let known: BTreeSet<&str> = std::iter::once(&*self.config.mesh.trust_domain)
            .chain(self.config.meshes.iter().map(|mesh| &*mesh.trust_domain))
            .collect();
        let mut findings = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let named =
                agents.iter().any(|agent| rule.agents.iter().any(|pattern| pattern.matches(&agent.name)));
            if !named {
                let what = format!("policy.allow[{index}] is about none of this pod's agents");
                findings.push(Finding::warning("policy", what, "see the names in its agents"));
            }
            for from in &rule.from {
                let domain = Pattern::parse(from).ok().map(|pattern| pattern.trust_domain().to_string());
                if domain.as_deref().is_some_and(|domain| !known.contains(domain)) {
                    let what = format!(
                        "policy.allow[{index}] lets in {from}, of a trust domain that is not configured"
                    );
                    let next = "name its mesh under meshes, or mend the rule";
                    findings.push(Finding::warning("policy", what, next));
                }
            }
        }
        if findings.is_empty() {
            let rules = if rules.len() == 1 {
                "1 rule lets".to_owned()
            } else {
                format!("{} rules let", rules.len())
            };
            findings.push(Finding::ok("policy", format!("{rules} peers in")));
        }
        findings
    }

    /// An agent of this pod, by its card.
    pub(super) async fn agent(&self, agent: &Local) -> Finding {
        let Local { name, settled, card } = agent;
        let call = Call {
            operation: Operation::GetAgentCard,
            body: Bytes::new(),
            params: Params::default(),
            binding: Binding::Jsonrpc,
            dialect: Dialect::V1_0,
            agent: name.clone(),
            peer: None,
            base: None,
            deadline: None,
        };
        let answered = timeout(PATIENCE, card.send(&call)).await;
        let Ok(answered) = answered else {
            let what = format!("{name} has not given its card within {PATIENCE:?} ({})", settled.url);
            return Finding::failed("agent", what, advice::of(a2a::Reason::DeadlineExceeded));
        };
        let spot = answered.map(|reply| match reply.body {
            a2a::Body::Once(card) => settled.spot_of(&card).unwrap_or_else(|_| settled.spot()),
            a2a::Body::Events(_) => settled.spot(),
        });
        match spot {
            Ok(spot) => {
                let (binding, dialect) = (spot.binding.as_str(), spot.dialect.as_str());
                Finding::ok("agent", format!("{name} speaks {binding} {dialect} at {}", spot.url))
            }
            // It can be called all the same.
            Err(fault) if fault.reason() == a2a::Reason::CardNotFound => {
                let what = format!("{name} answers at {}, but has no card", settled.url);
                Finding::warning("agent", what, advice::of(fault.reason()))
            }
            Err(fault) => {
                let cause = fault.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
                let what = format!("{name}: {}{cause}", fault.message());
                let next = format!(
                    "see that the agent listens at {} and not only at another address or port (agents[].url)",
                    settled.url
                );
                Finding::failed("agent", what, next)
            }
        }
    }
}
