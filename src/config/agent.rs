//! `agents`: the agents in this pod that peers may call.

use http::Uri;
use serde::Serialize;

use super::{
    address,
    check::{Check, Sifted, sift},
    field::{Field, Located},
    problem::Refused,
    raw::RawAgent,
    show, words,
};
use crate::a2a::Name;

/// An agent in this pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentConfig {
    /// Its full name: the namespace and mesh are this sidecar's.
    #[serde(serialize_with = "show::first_label")]
    pub name: Name,
    /// Its base URL: `http`, a host, perhaps a port and a path, nothing else.
    #[serde(serialize_with = "show::text")]
    pub url: Uri,
    /// What it speaks.
    pub binding: Binding,
    /// Which version of A2A it speaks.
    pub dialect: Dialect,
}

/// What an agent speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Binding {
    /// Whatever its card says.
    #[serde(rename = "auto")]
    Auto,
    /// Protobuf over gRPC.
    #[serde(rename = "GRPC")]
    Grpc,
    /// Plain HTTP with JSON.
    #[serde(rename = "HTTP+JSON")]
    HttpJson,
    /// JSON-RPC over HTTP.
    #[serde(rename = "JSONRPC")]
    JsonRpc,
}

/// The words for it.
pub(super) const BINDINGS: [(&str, Binding); 4] = [
    ("auto", Binding::Auto),
    ("JSONRPC", Binding::JsonRpc),
    ("HTTP+JSON", Binding::HttpJson),
    ("GRPC", Binding::Grpc),
];

/// Which version of A2A an agent speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Dialect {
    /// Whatever its card says.
    #[serde(rename = "auto")]
    Auto,
    /// A2A 0.3.
    #[serde(rename = "0.3")]
    V0_3,
    /// A2A 1.0.
    #[serde(rename = "1.0")]
    V1_0,
}

/// The words for it.
pub(super) const DIALECTS: [(&str, Dialect); 3] =
    [("auto", Dialect::Auto), ("0.3", Dialect::V0_3), ("1.0", Dialect::V1_0)];

impl AgentConfig {
    pub(super) fn check(check: &Check<'_>, field: Field<Vec<Field<RawAgent>>>) -> Result<Vec<Self>, Refused> {
        let raw = field.or_default()?;
        let Sifted { good: agents, mut outcome } =
            sift(raw.into_iter().map(|agent| Self::one(check, agent.optional()?.ok_or(Refused)?)));
        for (index, agent) in agents.iter().enumerate() {
            if agents.iter().take(index).any(|other| other.value.name == agent.value.name) {
                let name = agent.value.name.agent();
                outcome = Err(check.refuse(&agent.place, &format!(".name: {name:?} is there already")));
            }
        }
        outcome.map(|()| agents.into_iter().map(|agent| agent.value).collect())
    }

    fn one(check: &Check<'_>, raw: Located<RawAgent>) -> Result<Located<Self>, Refused> {
        let Located { place, value: raw } = raw;
        let name = check.required(&place, "name", raw.name, |text| {
            let label = words::label(text)?;
            Name::parse(&label, &check.home).map_err(|error| format!("is no agent name: {error}"))
        });
        let url = check.required(&place, "url", raw.url, address::agent_url);
        let binding = check.or(Binding::Auto, raw.binding, |text| words::choice(text, &BINDINGS));
        let dialect = check.or(Dialect::Auto, raw.dialect, |text| words::choice(text, &DIALECTS));
        Ok(Located { place, value: Self { name: name?, url: url?, binding: binding?, dialect: dialect? } })
    }
}
