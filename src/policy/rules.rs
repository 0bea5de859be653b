//! The rules of `policy.allow`: a call is allowed if one of them covers it.

use std::fmt;
use std::sync::Arc;

use crate::a2a::{Call, Name, NamePattern, Operation};
use crate::identity::{Pattern, PatternError, TrustDomain};

/// What some callers may ask of some agents.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The callers.
    pub from: Vec<Pattern>,
    /// The agents.
    pub agents: Vec<NamePattern>,
    /// What may be asked; `None` is everything.
    pub operations: Option<Vec<Operation>>,
}

/// All rules together.
#[derive(Clone, Debug)]
pub struct Rules(Vec<Rule>);

/// A call that a rule allows. There is no other way to make one.
#[derive(Debug)]
pub struct Permitted(Call);

impl Permitted {
    /// The call.
    pub fn into_call(self) -> Call {
        self.0
    }
}

/// Why no rule covers a call, for the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denial {
    peer: Option<Arc<str>>,
    agent: Name,
    operation: Operation,
    /// The rules that the caller is named in, by their place.
    nearly: Vec<usize>,
}

impl Rules {
    /// These rules and no others.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Everyone of a trust domain may do everything.
    ///
    /// # Errors
    /// If the name of the trust domain makes no pattern.
    pub fn of_trust_domain(domain: &TrustDomain) -> Result<Self, PatternError> {
        let from = vec![Pattern::parse(&format!("spiffe://{}/**", domain.as_str()))?];
        Ok(Self(vec![Rule { from, agents: vec![NamePattern::Every], operations: None }]))
    }

    /// Whether a call of a peer is allowed.
    ///
    /// # Errors
    /// With the reason, if no rule covers it.
    pub fn decide(&self, call: Call) -> Result<Permitted, Denial> {
        let mut nearly = Vec::new();
        for (index, rule) in self.0.iter().enumerate() {
            let Some(peer) = &call.peer else { break };
            if rule.names(peer) {
                if rule.covers(&call.agent, call.operation) {
                    return Ok(Permitted(call));
                }
                nearly.push(index);
            }
        }
        Err(Denial { peer: call.peer, agent: call.agent, operation: call.operation, nearly })
    }

    /// Whether a peer may ask that of an agent, for who only wants to know.
    pub fn allow(&self, peer: &str, agent: &Name, operation: Operation) -> bool {
        self.0.iter().any(|rule| rule.names(peer) && rule.covers(agent, operation))
    }
}

impl Rule {
    fn names(&self, peer: &str) -> bool {
        self.from.iter().any(|pattern| pattern.matches(peer))
    }

    fn covers(&self, agent: &Name, operation: Operation) -> bool {
        self.agents.iter().any(|pattern| pattern.matches(agent))
            && self.operations.as_ref().is_none_or(|operations| operations.contains(&operation))
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer.as_deref().unwrap_or("a caller without an identity");
        write!(f, "no rule of policy.allow lets {peer} ask {} for {}", self.agent, self.operation)?;
        if !self.nearly.is_empty() {
            let rules: Vec<String> = self.nearly.iter().map(|index| format!("allow[{index}]")).collect();
            write!(f, "; it is named in {}, for other agents or operations", rules.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::a2a::{Binding, Dialect, Home, Params};

    fn home() -> Home {
        Home { namespace: "travel".into(), mesh: "east".into() }
    }

    fn call(peer: &str, agent: &str, operation: Operation) -> Call {
        Call {
            operation,
            body: Bytes::new(),
            params: Params::default(),
            binding: Binding::Grpc,
            dialect: Dialect::V1_0,
            agent: Name::parse(agent, &home()).unwrap(),
            peer: Some(peer.into()),
            base: None,
            deadline: None,
        }
    }

    #[test]
    fn the_own_trust_domain_may_do_everything_and_no_other() {
        let rules = Rules::of_trust_domain(&TrustDomain::parse("east.example").unwrap()).unwrap();
        assert!(
            rules.decide(call("spiffe://east.example/ns/a/sa/b", "currency", Operation::GetTask)).is_ok()
        );
        for peer in ["spiffe://west.example/ns/a/sa/b", "spiffe://east.example", "nobody"] {
            assert!(rules.decide(call(peer, "currency", Operation::GetTask)).is_err(), "{peer}");
        }
    }

    #[test]
    fn a_denial_says_how_near_the_rules_came() {
        let rules = Rules::new(vec![Rule {
            from: vec![Pattern::parse("spiffe://east.example/ns/travel/sa/*").unwrap()],
            agents: vec![NamePattern::parse("currency", &home()).unwrap()],
            operations: Some(vec![Operation::GetTask]),
        }]);
        let peer = "spiffe://east.example/ns/travel/sa/planner";
        assert!(rules.decide(call(peer, "currency", Operation::GetTask)).is_ok());
        for (agent, operation, allowed) in [
            ("currency", Operation::GetTask, true),
            ("currency", Operation::GetAgentCard, false),
            ("hotel", Operation::GetTask, false),
        ] {
            assert_eq!(
                rules.allow(peer, &Name::parse(agent, &home()).unwrap(), operation),
                allowed,
                "{agent}"
            );
        }
        let denial = rules.decide(call(peer, "hotel", Operation::GetTask)).unwrap_err().to_string();
        assert!(denial.contains("hotel.travel.east for GetTask") && denial.contains("allow[0]"), "{denial}");
        let denial =
            rules.decide(call("spiffe://west.example/x", "currency", Operation::GetTask)).unwrap_err();
        assert!(!denial.to_string().contains("allow["), "{denial}");
    }
}
