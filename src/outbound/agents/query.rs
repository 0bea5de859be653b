//! What a caller wants to know: the query of `GET /agents`.

use percent_encoding::percent_decode_str;

use crate::a2a::{Home, is_label};
use crate::discovery::Words;
use crate::proto::mesh::Filter;

/// Which agents are meant.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Query {
    pub(super) namespace: Option<String>,
    pub(super) mesh: Option<String>,
    skill: String,
    pub(super) words: Words,
    pub(super) watch: bool,
}

impl Query {
    /// Reads `namespace=`, `mesh=`, `skill=`, `all=` and `watch=true`. All agents are meant unless the query says otherwise;
    /// with `all=false`, and neither a namespace nor a mesh, those of the own namespace.
    ///
    /// # Errors
    /// If there is something else in it; with the reason.
    pub(super) fn parse(text: &str, home: &Home) -> Result<Self, String> {
        let mut query = Self::default();
        let mut all = None;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8().map_err(|_| format!("{key}: no UTF-8"))?;
            match key {
                "all" => all = Some(flag(key, &value)?),
                "mesh" => query.mesh = Some(label(key, &value)?),
                "namespace" => query.namespace = Some(label(key, &value)?),
                "skill" => {
                    query.words = Words::of(&value);
                    query.skill = value.into_owned();
                }
                "watch" => query.watch = flag(key, &value)?,
                _ => return Err(format!("{key:?} is none of namespace, all, skill, mesh and watch")),
            }
        }
        match (all, &query.namespace, &query.mesh) {
            (Some(true), Some(namespace), _) => {
                return Err(format!("all=true and namespace={namespace} exclude each other"));
            }
            (Some(false), None, None) => {
                query.namespace = Some(home.namespace.clone());
                query.mesh = Some(home.mesh.clone());
            }
            _ => {}
        }
        Ok(query)
    }

    /// The same question for a directory.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            namespace: self.namespace.clone().unwrap_or_default(),
            mesh: self.mesh.clone().unwrap_or_default(),
            skill: self.skill.clone(),
            own: false,
        }
    }
}

fn flag(key: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("{key}={value:?}: write true or false"))
}

fn label(key: &str, value: &str) -> Result<String, String> {
    let lower = value.to_ascii_lowercase();
    if is_label(&lower) { Ok(lower) } else { Err(format!("{key}={value:?} is no DNS label")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Query, String> {
        Query::parse(text, &Home { namespace: "travel".into(), mesh: "east".into() })
    }

    #[test]
    fn all_agents_are_meant_unless_somebody_says_otherwise() {
        for (text, namespace, mesh, skill, watch) in [
            ("", "", "", "", false),
            ("skill=fly", "", "", "fly", false),
            ("all=true", "", "", "", false),
            ("all", "", "", "", false),
            ("all=false&watch=true", "travel", "east", "", true),
            ("all=true&mesh=West", "", "west", "", false),
            ("mesh=west", "", "west", "", false),
            ("namespace=bank", "bank", "", "", false),
            ("namespace=bank&mesh=west&skill=convert+money%21&", "bank", "west", "convert money!", false),
        ] {
            let query = parse(text).unwrap();
            let filter = query.filter();
            let seen = (&*filter.namespace, &*filter.mesh, &*filter.skill, query.watch);
            assert_eq!(seen, (namespace, mesh, skill, watch), "{text}");
        }
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (text, reason) in [
            ("alll=true", "\"alll\""),
            ("all=yes", "true or false"),
            ("namespace=a.b", "no DNS label"),
            ("mesh=", "no DNS label"),
            ("all=true&namespace=a", "exclude"),
            ("skill=%ff", "no UTF-8"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
