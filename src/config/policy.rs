//! `policy`: who may call the agents of this pod.

use serde::{Serialize, Serializer};

use super::{
    check::{Check, all},
    field::{Field, Located},
    problem::Refused,
    raw::{RawPolicy, RawRule},
    words,
};
use crate::a2a::{NamePattern, Operation};

/// Who may call the agents of this pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// The rules, of which one must cover a call. `None` lets everybody of the own trust domain call everything; an empty
    /// list lets nobody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Rule>>,
}

/// Who may call what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// The callers, as patterns of SPIFFE IDs.
    pub from: Vec<String>,
    /// The agents that they may call.
    pub agents: Vec<NamePattern>,
    /// What they may ask of them.
    pub operations: Operations,
}

/// A set of operations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operations {
    /// All there are.
    Every,
    /// These.
    Only(Vec<Operation>),
}

impl Operations {
    /// Whether this operation is among them.
    pub fn contains(&self, operation: Operation) -> bool {
        match self {
            Self::Every => true,
            Self::Only(operations) => operations.contains(&operation),
        }
    }
}

impl Serialize for Operations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Every => serializer.collect_seq(["*"]),
            Self::Only(operations) => {
                serializer.collect_seq(operations.iter().map(|operation| operation.name()))
            }
        }
    }
}

impl Policy {
    pub(super) fn check(check: &Check<'_>, field: Field<RawPolicy>) -> Result<Self, Refused> {
        let Some(rules) = field.or_default()?.allow.optional()? else { return Ok(Self { allow: None }) };
        let rules = rules.value.into_iter().map(|rule| Rule::check(check, rule.optional()?.ok_or(Refused)?));
        Ok(Self { allow: Some(all(rules)?) })
    }
}

impl Rule {
    fn check(check: &Check<'_>, raw: Located<RawRule>) -> Result<Self, Refused> {
        let Located { place, value: raw } = raw;
        let from = check.present(&place, "from", raw.from);
        let from = from.and_then(|from| check.some(from, words::spiffe_pattern));
        let agents = check.list(raw.agents, |text| words::name_pattern(text, &check.home));
        let operations = check.list(raw.operations, operation);
        Ok(Self {
            from: from?,
            agents: agents?.unwrap_or_else(|| vec![NamePattern::Every]),
            operations: operations?.map_or(Operations::Every, together),
        })
    }
}

/// An operation by its name, or all of them.
fn operation(text: &str) -> Result<Operations, String> {
    match (text, Operation::named(text)) {
        ("*", _) => Ok(Operations::Every),
        (_, Some(operation)) => Ok(Operations::Only(vec![operation])),
        (_, None) => {
            let names = Operation::ALL.map(Operation::name);
            let near = names.into_iter().min_by_key(|name| strsim::damerau_levenshtein(name, text));
            let near = near.unwrap_or(Operation::SendMessage.name());
            Err(format!("is no operation: write * or a name of A2A's, such as {near}"))
        }
    }
}

/// The union of sets.
fn together(sets: Vec<Operations>) -> Operations {
    let mut all = Vec::new();
    for set in sets {
        match set {
            Operations::Every => return Operations::Every,
            Operations::Only(operations) => all.extend(operations),
        }
    }
    Operations::Only(all)
}
