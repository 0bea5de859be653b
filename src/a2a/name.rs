//! The mesh name of an agent: `agent.namespace.mesh`, and the shorter forms that stand for it.

use std::{borrow::Cow, fmt, sync::Arc};

/// The most bytes a DNS label may have (RFC 1035 §2.3.4).
const LABEL_MAX: usize = 63;

/// The namespace and mesh that a short name is completed with: those of the sidecar that reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home {
    /// The Kubernetes namespace of the pod.
    pub namespace: String,
    /// The mesh that the pod belongs to.
    pub mesh: String,
}

/// An agent's full name, in lower case: three DNS labels.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name {
    /// `agent.namespace.mesh`
    full: Arc<str>,
    /// Where the first dot is.
    first: usize,
    /// Where the second dot is.
    second: usize,
}

/// Why a text is no name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// A label is empty, too long, or holds a character that DNS labels do not have.
    #[error("{0:?} is no agent name: {1:?} is no DNS label (a-z, 0-9 and '-' inside, 63 at most)")]
    Label(String, String),
    /// Not one to three labels.
    #[error("{0:?} is no agent name: write agent, agent.namespace or agent.namespace.mesh")]
    Shape(String),
}

impl Name {
    /// Reads `agent`, `agent.namespace` or `agent.namespace.mesh`, each with `.a2a` behind it or not; case, a trailing
    /// dot and a port are ignored. What is missing is taken from `home`.
    ///
    /// # Errors
    /// If the text has another shape or a part is no DNS label.
    pub fn parse(text: &str, home: &Home) -> Result<Self, NameError> {
        let lower = host(text);
        let name = lower.strip_suffix(".a2a").unwrap_or(&lower);
        if let Some(label) = name.split('.').find(|label| !is_label(label)) {
            return Err(NameError::Label(text.to_owned(), label.to_owned()));
        }
        let mut labels = name.split('.');
        let agent = labels.next().unwrap_or_default();
        let namespace = labels.next().unwrap_or(&home.namespace);
        let mesh = labels.next().unwrap_or(&home.mesh);
        match labels.next() {
            None => Ok(Self::join(agent, namespace, mesh)),
            Some(_) => Err(NameError::Shape(text.to_owned())),
        }
    }

    fn join(agent: &str, namespace: &str, mesh: &str) -> Self {
        Self {
            full: [agent, namespace, mesh].join(".").into(),
            first: agent.len(),
            second: agent.len() + 1 + namespace.len(),
        }
    }

    /// The first label: the agent within its namespace.
    pub fn agent(&self) -> &str {
        &self.full[..self.first]
    }

    /// The second label: the Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        &self.full[self.first + 1..self.second]
    }

    /// The third label: the mesh.
    pub fn mesh(&self) -> &str {
        &self.full[self.second + 1..]
    }

    /// `agent.namespace.mesh`.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The name on the mesh hop, as TLS server name and as HTTP authority: `agent.namespace.mesh.a2a`.
    pub fn authority(&self) -> String {
        format!("{}.a2a", self.full)
    }

    /// The shortest form that means this agent in every namespace of `home`'s mesh: `agent.namespace`, or the full name if
    /// the agent is in another mesh.
    pub fn clear_at(&self, home: &Home) -> &str {
        if self.mesh() == home.mesh { &self.full[..self.second] } else { &self.full }
    }

    /// The shortest form that means this agent to a reader at `home`.
    pub fn relative_to(&self, home: &Home) -> &str {
        if self.mesh() != home.mesh {
            &self.full
        } else if self.namespace() != home.namespace {
            &self.full[..self.second]
        } else {
            self.agent()
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// Whether the text is one DNS label in lower case (RFC 1123 §2.1).
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    !bytes.is_empty()
        && bytes.len() <= LABEL_MAX
        && bytes.iter().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The host of an authority: in lower case, without a port and a trailing dot.
pub fn host(authority: &str) -> Cow<'_, str> {
    let host = without_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// The host of `host` or `host:port`.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home { namespace: "travel".into(), mesh: "east".into() }
    }

    #[test]
    fn every_form_of_a_name_means_the_same_agent() {
        for text in [
            "currency",
            "Currency.Travel",
            "currency.travel.east",
            "currency.a2a",
            "currency.travel.a2a:2602",
            "CURRENCY.travel.east.a2a.",
            "currency.travel.east.a2a:80",
        ] {
            let name = Name::parse(text, &home()).unwrap();
            assert_eq!(name.as_str(), "currency.travel.east", "{text}");
            assert_eq!((name.agent(), name.namespace(), name.mesh()), ("currency", "travel", "east"));
            assert_eq!(name.authority(), "currency.travel.east.a2a");
            assert_eq!(name.relative_to(&home()), "currency");
        }
    }

    #[test]
    fn a_name_is_shortened_only_as_far_as_it_stays_clear() {
        let elsewhere = Name::parse("currency.bank", &home()).unwrap();
        assert_eq!(elsewhere.relative_to(&home()), "currency.bank");
        assert_eq!(Name::parse("currency", &home()).unwrap().clear_at(&home()), "currency.travel");
        let abroad = Name::parse("currency.travel.west", &home()).unwrap();
        assert_eq!(abroad.relative_to(&home()), "currency.travel.west");
        assert_eq!(abroad.clear_at(&home()), "currency.travel.west");
    }

    #[test]
    fn what_is_no_name_is_refused_and_named() {
        for text in ["", ".", "a..b", "-a", "a-", "a_b", "a.b.c.d", "ü", &"a".repeat(64)] {
            let error = Name::parse(text, &home()).unwrap_err();
            assert!(error.to_string().contains("no agent name"), "{text}: {error}");
        }
    }
}
