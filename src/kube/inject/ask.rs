//! What the annotations of a pod ask for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::decision::{Cause, Refusal};
use super::{AGENT, AGENTS, CONFIG, DOMAIN, INJECT, INJECTED};

/// Every annotation that may be written, without the domain.
const KNOWN: [&str; 13] = [
    "agent",
    "agents",
    "binding",
    "cpu-limit",
    "cpu-request",
    "dialect",
    "image",
    "memory-limit",
    "memory-request",
    "path",
    "port",
    "serve",
    "settings",
];
/// Those that describe one agent, which `agents` excludes.
const ONE_AGENT: [&str; 5] = ["agent", "port", "path", "binding", "dialect"];

/// The annotations of a pod that are ours.
#[derive(Debug)]
pub(super) struct Wishes<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Wishes<'a> {
    /// Reads them. What is in our domain and unknown is refused: a slip in a policy must not open a door.
    pub(super) fn read(metadata: &'a ObjectMeta) -> Result<Self, Refusal> {
        for key in metadata.labels.iter().flatten().map(|(key, _)| key) {
            if let Some(name) = key.strip_prefix(DOMAIN)
                && ![INJECT, AGENT, INJECTED].contains(&key.as_str())
            {
                let known = KNOWN.contains(&name);
                let advice = if known { "it is read as an annotation" } else { "there is none of that name" };
                let what = format!("label {key}: no label of Dragoman; {advice}");
                return Err(Refusal::new(Cause::Annotation, what));
            }
        }
        let ours = metadata.annotations.iter().flatten();
        let ours = ours.filter_map(|(key, value)| Some((key.strip_prefix(DOMAIN)?, value.trim())));
        let wishes = Self(ours.collect());
        for name in wishes.0.keys() {
            if !KNOWN.contains(name) {
                return Err(Refusal::annotation(name, &unknown(name)));
            }
        }
        let one = ONE_AGENT.iter().find(|name| wishes.has(name));
        match one.filter(|_| wishes.has("agents")) {
            Some(one) => {
                Err(Refusal::annotation("agents", &format!("stands beside dragoman.dev/{one}; keep one")))
            }
            None => Ok(wishes),
        }
    }

    /// What an annotation says.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    /// Whether there is such an annotation.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The first annotation that makes sense for a pod with an agent only.
    pub(super) fn serving(&self) -> Option<&'static str> {
        ONE_AGENT.into_iter().find(|name| self.has(name))
    }

    /// Whether the pod is said to have an agent, or to have none.
    pub(super) fn serve(&self) -> Result<Option<bool>, Refusal> {
        match self.get("serve") {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                Err(Refusal::annotation("serve", &format!("{other:?} is neither \"true\" nor \"false\"")))
            }
        }
    }
}

fn unknown(name: &str) -> String {
    let key = format!("{DOMAIN}{name}");
    if key == CONFIG {
        return "is written by the injector alone; use dragoman.dev/settings".to_owned();
    }
    if key == INJECT || key == INJECTED {
        return "is a label, not an annotation".to_owned();
    }
    let near = KNOWN.into_iter().map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    match near {
        Some((away, known)) if away <= 2 => {
            format!("there is no such annotation; did you mean {DOMAIN}{known}?")
        }
        _ => "there is no such annotation".to_owned(),
    }
}

/// The agents that labels of a pod name.
pub(super) fn labelled(metadata: &ObjectMeta) -> impl Iterator<Item = (&str, &str)> {
    let labels = metadata.labels.iter().flatten();
    labels.filter_map(|(key, value)| Some((key.strip_prefix(AGENTS)?, value.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Option<String> {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let metadata = ObjectMeta {
            labels: Some(map(labels)),
            annotations: Some(map(annotations)),
            ..ObjectMeta::default()
        };
        Wishes::read(&metadata)
            .and_then(|wishes| wishes.serve().map(drop))
            .err()
            .map(|refusal| refusal.message)
    }

    #[test]
    fn a_slip_is_refused_and_corrected() {
        for (annotation, what) in [
            ("setings", "there is no such annotation; did you mean dragoman.dev/settings?"),
            ("prot", "there is no such annotation; did you mean dragoman.dev/port?"),
            ("upstream", "there is no such annotation"),
            ("inject", "is a label, not an annotation"),
            ("config", "is written by the injector alone; use dragoman.dev/settings"),
        ] {
            let message = format!("annotation dragoman.dev/{annotation}: {what}");
            assert_eq!(refusal(&[], &[(&format!("dragoman.dev/{annotation}"), "x")]), Some(message));
        }
        let label = refusal(&[("dragoman.dev/port", "80")], &[]);
        let what = "label dragoman.dev/port: no label of Dragoman; it is read as an annotation";
        assert_eq!(label.as_deref(), Some(what));
        let serve = refusal(&[], &[("dragoman.dev/serve", "no")]);
        assert_eq!(
            serve.as_deref(),
            Some("annotation dragoman.dev/serve: \"no\" is neither \"true\" nor \"false\"")
        );
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let labels = [("dragoman.dev/inject", "true"), ("app", "a"), ("example.com/dragoman.dev", "b")];
        assert_eq!(refusal(&labels, &[("prometheus.io/scrape", "true"), ("dragoman.devx/a", "b")]), None);
    }

    #[test]
    fn one_agent_and_a_list_of_agents_exclude_each_other() {
        let both = refusal(&[], &[("dragoman.dev/agents", "[]"), ("dragoman.dev/path", "/a")]);
        assert_eq!(
            both.as_deref(),
            Some("annotation dragoman.dev/agents: stands beside dragoman.dev/path; keep one")
        );
    }
}
