//! `agents`: the agents in this pod that peers may call.

use http::Uri;
use serde::Serialize;

use super::{
    address,
    check::{Check, Sifted, sift},
    choice::{BINDINGS, Binding, DIALECTS, Dialect},
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
    /// The base URL below which its card is: another one than `url` where gRPC has a port of its own.
    #[serde(serialize_with = "show::text")]
    pub card: Uri,
    /// What it speaks.
    pub binding: Binding,
    /// Which version of A2A it speaks.
    pub dialect: Dialect,
}

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
        let card = check.optional(raw.card, address::agent_url);
        let binding = check.or(Binding::Auto, raw.binding, |text| words::choice(text, &BINDINGS));
        let dialect = check.or(Dialect::Auto, raw.dialect, |text| words::choice(text, &DIALECTS));
        let (url, card, binding, dialect) = (url?, card?, binding?, dialect?);
        if (binding, dialect) == (Binding::Grpc, Dialect::V0_3) {
            let what = ".dialect: gRPC is spoken in 1.0 alone; for 0.3 choose JSONRPC or HTTP+JSON";
            return Err(check.refuse(&place, what));
        }
        let card = card.unwrap_or_else(|| url.clone());
        Ok(Located { place, value: Self { name: name?, url, card, binding, dialect } })
    }
}
