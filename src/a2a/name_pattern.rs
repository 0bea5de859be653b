//! Which agents are meant: a name in which `*` stands for any one label.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Home, Name, is_label};

/// A pattern of agent names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NamePattern {
    /// `*`: every agent of every mesh.
    Every,
    /// Agent, namespace and mesh; `None` is any.
    Labels([Option<String>; 3]),
}

/// Why a text is no pattern of names.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NamePatternError {
    /// A part is neither `*` nor a DNS label.
    #[error(
        "is no agent name or pattern: {0:?} is neither * nor a DNS label (a-z, 0-9 and '-' inside, 63 at most)"
    )]
    Label(String),
    /// Not one to three labels.
    #[error("is no agent name or pattern: write agent, *.namespace, *.*.mesh or *")]
    Shape,
}

impl NamePattern {
    /// Whether this agent is meant.
    pub fn matches(&self, name: &Name) -> bool {
        match self {
            Self::Every => true,
            Self::Labels(labels) => {
                let parts = [name.agent(), name.namespace(), name.mesh()];
                labels
                    .iter()
                    .zip(parts)
                    .all(|(label, part)| label.as_deref().is_none_or(|label| label == part))
            }
        }
    }

    /// Reads `*`, or one to three labels; missing ones are taken from `home`.
    ///
    /// # Errors
    /// If the text has another shape or a part is neither `*` nor a DNS label.
    pub fn parse(text: &str, home: &Home) -> Result<Self, NamePatternError> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let lower = text.to_ascii_lowercase();
        let labels: Vec<&str> = lower.strip_suffix(".a2a").unwrap_or(&lower).split('.').collect();
        if let Some(label) = labels.iter().find(|label| **label != "*" && !is_label(label)) {
            return Err(NamePatternError::Label((*label).to_owned()));
        }
        let label = |label: &str| (label != "*").then(|| label.to_owned());
        let (namespace, mesh) = (home.namespace.as_str(), home.mesh.as_str());
        let parts = match labels[..] {
            [agent] => [agent, namespace, mesh],
            [agent, namespace] => [agent, namespace, mesh],
            [agent, namespace, mesh] => [agent, namespace, mesh],
            _ => return Err(NamePatternError::Shape),
        };
        Ok(Self::Labels(parts.map(label)))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("*"),
            Self::Labels(labels) => {
                let [agent, namespace, mesh] = labels.each_ref().map(|label| label.as_deref().unwrap_or("*"));
                write!(f, "{agent}.{namespace}.{mesh}")
            }
        }
    }
}

impl Serialize for NamePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home { namespace: "travel".into(), mesh: "east".into() }
    }

    #[test]
    fn a_star_stands_for_one_label_and_alone_for_every_agent() {
        for (pattern, name, matches) in [
            ("*", "a.b.c", true),
            ("currency", "currency.travel.east", true),
            ("currency", "currency.bank.east", false),
            ("Currency.Travel.a2a", "currency.travel.east", true),
            ("*.bank", "currency.bank.east", true),
            ("*.bank", "currency.bank.west", false),
            ("*.bank", "currency.travel.east", false),
            ("*.*", "currency.bank.east", true),
            ("*.*", "currency.bank.west", false),
            ("*.*.west", "currency.bank.west", true),
            ("currency.*.*", "currency.bank.west", true),
            ("currency.*.*", "hotel.bank.west", false),
        ] {
            let parsed = NamePattern::parse(pattern, &home()).unwrap();
            let name = Name::parse(name, &home()).unwrap();
            assert_eq!(parsed.matches(&name), matches, "{pattern} and {name}");
            assert_eq!(NamePattern::parse(&parsed.to_string(), &home()), Ok(parsed), "{pattern}");
        }
    }

    #[test]
    fn a_star_inside_a_label_is_no_pattern() {
        for text in ["", ".", "cur*", "**", "*.", "a..b", "a.b.c.d", "*.*.*.*", "a b"] {
            let wrong = NamePattern::parse(text, &home()).unwrap_err();
            assert!(wrong.to_string().starts_with("is no agent name or pattern: "), "{text}: {wrong}");
        }
    }
}
