//! Patterns of SPIFFE IDs: `*` is one whole path segment, a trailing `/**` one or more; never inside a segment or the
//! trust domain. And templates of patterns, for the ID that is expected of an agent.

use std::{fmt, sync::Arc};

use super::{
    IdError, TrustDomain,
    spiffe_id::{SCHEME, check_segment, segments, split},
};

/// Which IDs are meant. Cheap to clone.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern {
    domain: TrustDomain,
    /// The path with its leading slash. An ID has no `*`, so a segment `*` or `**` is always a wildcard.
    path: Arc<str>,
}

/// A pattern with `{trustDomain}`, `{namespace}` and `{agent}` in it, all three the callee's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PatternTemplate(Arc<[Part]>);

/// A piece of a template.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Agent,
    Namespace,
    Text(String),
    TrustDomain,
}

/// Why a text is no pattern, or no template of one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// A brace without its other half.
    #[error("{0:?}: a brace without its other half")]
    Brace(String),
    /// What is no wildcard is not in the grammar of SPIFFE IDs.
    #[error(transparent)]
    Id(#[from] IdError),
    /// `**` stands elsewhere than at the end.
    #[error("{0:?}: \"**\" may only be the last segment")]
    Inner(String),
    /// `*` is a part of a segment or of the trust domain.
    #[error("{0:?}: \"*\" stands for one whole path segment, never for a part of one or of the trust domain")]
    Partial(String),
    /// There is no path, so no workload's ID could match.
    #[error("{0:?} has no path, so it matches no workload: write \"/**\" behind it to mean all of them")]
    Pathless(String),
    /// Braces around something else than the three known words.
    #[error("{0:?}: {{{1}}} is unknown: {{trustDomain}}, {{namespace}} and {{agent}} are known")]
    Placeholder(String, String),
    /// A value that cannot stand in a path.
    #[error("{0:?} cannot be put into a SPIFFE ID")]
    Value(String),
}

impl Pattern {
    /// Reads a pattern such as `spiffe://east.example/ns/*/sa/currency` or `spiffe://east.example/ns/travel/**`.
    ///
    /// # Errors
    ///
    /// When a wildcard stands where it may not, or the rest is not in the grammar of SPIFFE IDs.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (domain, path) = split(text).map_err(|error| match error {
            IdError::InDomain(text, '*') => PatternError::Partial(text),
            other => PatternError::Id(other),
        })?;
        let mut rest = segments(path).peekable();
        if rest.peek().is_none() {
            return Err(PatternError::Pathless(text.to_owned()));
        }
        while let Some(segment) = rest.next() {
            match segment {
                "*" => {}
                "**" if rest.peek().is_none() => {}
                "**" => return Err(PatternError::Inner(text.to_owned())),
                part if part.contains('*') => return Err(PatternError::Partial(text.to_owned())),
                plain => check_segment(plain, text)?,
            }
        }
        Ok(Self { domain, path: path.into() })
    }

    /// Whether `id` is meant: the text of a [`SpiffeId`](super::SpiffeId), as whoever knows no identities carries it. A text that is none
    /// is never meant.
    #[must_use]
    pub fn matches(&self, id: &str) -> bool {
        let Some(rest) = id.strip_prefix(SCHEME) else { return false };
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if self.domain.as_str() != domain {
            return false;
        }
        let mut have = segments(path);
        for want in segments(&self.path) {
            let Some(segment) = have.next() else { return false };
            match want {
                "**" => return true,
                "*" => {}
                plain if plain == segment => {}
                _ => return false,
            }
        }
        have.next().is_none()
    }

    /// The trust domain that every matching ID resides in.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }
}

impl PatternTemplate {
    /// Reads a template such as `spiffe://{trustDomain}/ns/{namespace}/sa/*`.
    ///
    /// # Errors
    ///
    /// When a brace is alone, a word in braces is unknown, or what remains is no pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (plain, brace) = rest.split_at(at);
            let inner = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((word, after)) = inner else { return Err(PatternError::Brace(text.to_owned())) };
            parts.push(Part::Text(plain.to_owned()));
            parts.push(match word {
                "agent" => Part::Agent,
                "namespace" => Part::Namespace,
                "trustDomain" => Part::TrustDomain,
                _ => return Err(PatternError::Placeholder(text.to_owned(), word.to_owned())),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Self(parts.into());
        // Whatever the values will be, they are plain characters: a template that works once works always.
        template.fill(&TrustDomain::parse("x")?, "x", "x")?;
        Ok(template)
    }

    /// The pattern for one callee.
    ///
    /// # Errors
    ///
    /// When a value holds a character that a path segment does not have, or the pattern becomes too long.
    pub fn fill(&self, domain: &TrustDomain, namespace: &str, agent: &str) -> Result<Pattern, PatternError> {
        let mut text = String::new();
        for part in self.0.iter() {
            match part {
                Part::Agent => text.push_str(plain(agent)?),
                Part::Namespace => text.push_str(plain(namespace)?),
                Part::Text(plain) => text.push_str(plain),
                Part::TrustDomain => text.push_str(domain.as_str()),
            }
        }
        Pattern::parse(&text)
    }
}

/// A value that is nothing but text once it is part of a pattern: no wildcard, no slash.
fn plain(value: &str) -> Result<&str, PatternError> {
    match check_segment(value, value) {
        Ok(()) => Ok(value),
        Err(_) => Err(PatternError::Value(value.to_owned())),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}{}", self.domain, self.path)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SpiffeId;

    fn matches(pattern: &str, id: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(SpiffeId::parse(id).unwrap().as_str())
    }

    #[test]
    fn a_plain_pattern_matches_that_id_alone() {
        let pattern = "spiffe://a.test/ns/travel/sa/currency";
        assert!(matches(pattern, pattern));
        assert!(matches("SPIFFE://A.test/ns/travel/sa/currency", pattern));
        assert!(!matches(pattern, "spiffe://b.test/ns/travel/sa/currency"));
        assert!(!matches(pattern, "spiffe://a.test/ns/travel/sa/Currency"));
        assert!(!matches(pattern, "spiffe://a.test/ns/travel/sa/currency/x"));
        assert!(!matches(pattern, "spiffe://a.test/ns/travel/sa"));
        assert!(!matches(pattern, "spiffe://a.test"));
    }

    #[test]
    fn one_star_is_one_whole_segment() {
        let pattern = "spiffe://a.test/ns/*/sa/*";
        assert!(matches(pattern, "spiffe://a.test/ns/travel/sa/currency"));
        assert!(!matches(pattern, "spiffe://a.test/ns/travel/sa"));
        assert!(!matches(pattern, "spiffe://a.test/ns/travel/sa/x/y"));
        assert!(!matches(pattern, "spiffe://a.test/ns/a/b/sa/x"));
    }

    #[test]
    fn two_stars_are_one_segment_or_more() {
        let pattern = "spiffe://a.test/ns/travel/**";
        assert!(matches(pattern, "spiffe://a.test/ns/travel/sa"));
        assert!(matches(pattern, "spiffe://a.test/ns/travel/sa/currency"));
        assert!(!matches(pattern, "spiffe://a.test/ns/travel"));
        assert!(!matches(pattern, "spiffe://a.test/ns/travels/sa"));
        assert!(!matches("spiffe://a.test/**", "spiffe://a.test"));
        assert!(matches("spiffe://a.test/**", "spiffe://a.test/x"));
    }

    #[test]
    fn a_wildcard_never_stands_inside_a_segment_or_the_trust_domain() {
        for text in [
            "spiffe://a.test/cur*",
            "spiffe://a.test/***",
            "spiffe://a.test/*x/y",
            "spiffe://*/x",
            "spiffe://*.test/x",
        ] {
            assert_eq!(Pattern::parse(text), Err(PatternError::Partial(text.to_owned())), "{text}");
        }
        let inner = "spiffe://a.test/**/x";
        assert_eq!(Pattern::parse(inner), Err(PatternError::Inner(inner.to_owned())));
    }

    #[test]
    fn a_pattern_that_could_match_nothing_is_refused() {
        assert_eq!(
            Pattern::parse("spiffe://a.test"),
            Err(PatternError::Pathless("spiffe://a.test".to_owned()))
        );
        assert!(matches!(
            Pattern::parse("spiffe://a.test/"),
            Err(PatternError::Id(IdError::EmptySegment(_)))
        ));
        assert!(matches!(Pattern::parse("a.test/x"), Err(PatternError::Id(IdError::Scheme(_)))));
        assert!(matches!(Pattern::parse("*"), Err(PatternError::Id(IdError::Scheme(_)))));
    }

    #[test]
    fn a_template_takes_the_callees_values() {
        let east = TrustDomain::parse("east.example").unwrap();
        let default = PatternTemplate::parse("spiffe://{trustDomain}/ns/{namespace}/sa/*").unwrap();
        let filled = default.fill(&east, "travel", "currency").unwrap();
        assert_eq!(filled.to_string(), "spiffe://east.example/ns/travel/sa/*");
        let all = PatternTemplate::parse("spiffe://{trustDomain}/{namespace}/a2a-{agent}").unwrap();
        let filled = all.fill(&east, "travel", "currency").unwrap();
        assert_eq!(filled.to_string(), "spiffe://east.example/travel/a2a-currency");
        let none = PatternTemplate::parse("spiffe://fixed.example/x").unwrap();
        assert_eq!(none.fill(&east, "travel", "currency").unwrap().to_string(), "spiffe://fixed.example/x");
    }

    #[test]
    fn a_template_knows_three_words() {
        let text = "spiffe://{trustDomain}/{pod}".to_owned();
        assert_eq!(PatternTemplate::parse(&text), Err(PatternError::Placeholder(text, "pod".to_owned())));
        for text in ["spiffe://{trustDomain/x", "spiffe://trustDomain}/x", "spiffe://a.test/{{agent}}", "}{"]
        {
            assert!(PatternTemplate::parse(text).is_err(), "{text}");
        }
        assert!(matches!(PatternTemplate::parse("spiffe://{trustDomain}"), Err(PatternError::Pathless(_))));
    }

    #[test]
    fn a_value_never_becomes_a_wildcard_or_a_path() {
        let east = TrustDomain::parse("east.example").unwrap();
        let template = PatternTemplate::parse("spiffe://{trustDomain}/sa/{agent}").unwrap();
        for value in ["*", "**", "a/b", "", "..", "a b"] {
            assert_eq!(template.fill(&east, "ns", value), Err(PatternError::Value(value.to_owned())));
        }
    }
}
