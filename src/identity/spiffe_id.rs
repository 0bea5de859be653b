//! Trust domains and SPIFFE IDs, by the grammar of the SPIFFE-ID standard, section 2.

use std::{fmt, sync::Arc};

/// The scheme, with what stands between it and the trust domain.
pub(super) const SCHEME: &str = "spiffe://";
/// The most bytes that an ID may have.
const ID_MAX: usize = 2048;
/// The most bytes that a trust domain may have.
const DOMAIN_MAX: usize = 255;

/// The name of a trust domain, in lower case. Cheap to clone.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TrustDomain(Arc<str>);

/// A SPIFFE ID: a trust domain and a path, which may be empty. Cheap to clone.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SpiffeId {
    /// The whole ID: scheme and trust domain in lower case, the path as it was written.
    text: Arc<str>,
    domain: TrustDomain,
}

/// Why a text is no trust domain or no SPIFFE ID.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdError {
    /// A segment of the path is `.` or `..`.
    #[error("{0:?}: a path segment is \".\" or \"..\"")]
    DotSegment(String),
    /// The trust domain is empty.
    #[error("{0:?}: the trust domain is empty")]
    EmptyDomain(String),
    /// The path has an empty segment, or ends with a slash.
    #[error("{0:?}: the path has an empty segment or ends with a slash")]
    EmptySegment(String),
    /// A character that a trust domain does not have: ports, user names and percent-encoding among them.
    #[error("{0:?}: {1:?} is no character of a trust domain (a-z, 0-9, '.', '-' and '_')")]
    InDomain(String, char),
    /// A character that a path does not have: queries, fragments and percent-encoding among them.
    #[error("{0:?}: {1:?} is no character of a path (letters, digits, '.', '-' and '_')")]
    InPath(String, char),
    /// The text does not begin with `spiffe://`.
    #[error("{0:?} does not begin with spiffe://")]
    Scheme(String),
    /// More bytes than the standard allows.
    #[error("{0} bytes are too long: a SPIFFE ID has at most 2048, a trust domain at most 255")]
    TooLong(usize),
}

impl TrustDomain {
    /// Reads a trust domain's bare name, such as `east.example`. Capital letters become small ones.
    ///
    /// # Errors
    ///
    /// When the text is empty, longer than 255 bytes, or holds a character outside `a-z`, `0-9`, `.`, `-` and `_`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        Self::of(text, text)
    }

    /// Reads `name`, a part of `whole`, which is what errors show.
    pub(super) fn of(name: &str, whole: &str) -> Result<Self, IdError> {
        if name.len() > DOMAIN_MAX {
            return Err(IdError::TooLong(name.len()));
        }
        if name.is_empty() {
            return Err(IdError::EmptyDomain(whole.to_owned()));
        }
        match name.chars().find(|c| !is_path_character(*c)) {
            Some(c) => Err(IdError::InDomain(whole.to_owned(), c)),
            None => Ok(Self(name.to_ascii_lowercase().into())),
        }
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SpiffeId {
    /// Reads an ID such as `spiffe://east.example/ns/travel/sa/currency`.
    ///
    /// # Errors
    ///
    /// When the text is not in the grammar; the error says where.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (domain, path) = split(text)?;
        for segment in segments(path) {
            check_segment(segment, text)?;
        }
        let normal = format!("{SCHEME}{domain}{path}");
        Ok(Self { text: normal.into(), domain })
    }

    /// The whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The ID as a shared text, for whoever carries it without knowing this module.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The trust domain that the ID resides in.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The path with its leading slash, or nothing.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(SCHEME.len() + self.domain.0.len()..).unwrap_or_default()
    }
}

/// Takes an ID, or a pattern of IDs, apart: the trust domain, and the path with its leading slash.
pub(super) fn split(text: &str) -> Result<(TrustDomain, &str), IdError> {
    if text.len() > ID_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    let rest = match text.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
        _ => return Err(IdError::Scheme(text.to_owned())),
    };
    let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Ok((TrustDomain::of(domain, text)?, path))
}

/// The segments of a path: none of an empty one, one empty segment of `/`.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').into_iter().flat_map(|rest| rest.split('/'))
}

/// Whether `segment` is one of a path; `whole` is what errors show.
pub(super) fn check_segment(segment: &str, whole: &str) -> Result<(), IdError> {
    match segment {
        "" => return Err(IdError::EmptySegment(whole.to_owned())),
        "." | ".." => return Err(IdError::DotSegment(whole.to_owned())),
        _ => {}
    }
    match segment.chars().find(|c| !is_path_character(*c)) {
        Some(c) => Err(IdError::InPath(whole.to_owned(), c)),
        None => Ok(()),
    }
}

fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_trust_domain_and_a_path() {
        let id = SpiffeId::parse("spiffe://east.example/ns/travel/sa/currency").unwrap();
        assert_eq!(id.trust_domain().as_str(), "east.example");
        assert_eq!(id.path(), "/ns/travel/sa/currency");
        assert_eq!(id.to_string(), "spiffe://east.example/ns/travel/sa/currency");
    }

    #[test]
    fn an_id_may_have_no_path() {
        let id = SpiffeId::parse("spiffe://east.example").unwrap();
        assert_eq!(id.path(), "");
    }

    #[test]
    fn scheme_and_trust_domain_become_lower_case_and_the_path_stays() {
        let id = SpiffeId::parse("SPIFFE://East.Example/NS/a_B-c.9").unwrap();
        assert_eq!(id.as_str(), "spiffe://east.example/NS/a_B-c.9");
        assert_ne!(id, SpiffeId::parse("spiffe://east.example/ns/a_B-c.9").unwrap());
        assert_eq!(TrustDomain::parse("EAST").unwrap(), TrustDomain::parse("east").unwrap());
    }

    #[test]
    fn a_trust_domain_may_look_like_an_address() {
        assert_eq!(SpiffeId::parse("spiffe://10.0.0.1/x").unwrap().trust_domain().as_str(), "10.0.0.1");
    }

    #[test]
    fn what_is_outside_the_grammar_is_refused_with_its_place() {
        let refused = |text: &str| SpiffeId::parse(text).unwrap_err();
        let text = str::to_owned;
        for other in ["", "spiffe", "spiffe:/a/b", "https://a.test/x", "a.test/x", "spiffé://a", "é"] {
            assert_eq!(refused(other), IdError::Scheme(text(other)));
        }
        assert_eq!(refused("spiffe://"), IdError::EmptyDomain(text("spiffe://")));
        assert_eq!(refused("spiffe:///x"), IdError::EmptyDomain(text("spiffe:///x")));
        for (id, c) in [
            ("spiffe://a.test:443/x", ':'),
            ("spiffe://me@a.test/x", '@'),
            ("spiffe://a%2e/x", '%'),
            ("spiffe://a.test?q", '?'),
            ("spiffe://a.test#f", '#'),
            ("spiffe://bücher/x", 'ü'),
            ("spiffe://a b/x", ' '),
            ("spiffe://*/x", '*'),
        ] {
            assert_eq!(refused(id), IdError::InDomain(text(id), c));
        }
        for (id, c) in [
            ("spiffe://a.test/x?q=1", '?'),
            ("spiffe://a.test/x#f", '#'),
            ("spiffe://a.test/%78", '%'),
            ("spiffe://a.test/x\0", '\0'),
            ("spiffe://a.test/*", '*'),
            ("spiffe://a.test/é", 'é'),
        ] {
            assert_eq!(refused(id), IdError::InPath(text(id), c));
        }
        for id in ["spiffe://a.test/", "spiffe://a.test/x/", "spiffe://a.test//x", "spiffe://a.test/x//y"] {
            assert_eq!(refused(id), IdError::EmptySegment(text(id)));
        }
        for id in ["spiffe://a.test/./x", "spiffe://a.test/x/.."] {
            assert_eq!(refused(id), IdError::DotSegment(text(id)));
        }
    }

    #[test]
    fn lengths_end_where_the_standard_says() {
        let domain = "d".repeat(255);
        assert!(TrustDomain::parse(&domain).is_ok());
        assert_eq!(TrustDomain::parse(&format!("{domain}d")), Err(IdError::TooLong(256)));
        let longest = format!("spiffe://a.test/{}", "x".repeat(2048 - 16));
        assert_eq!(SpiffeId::parse(&longest).unwrap().as_str().len(), 2048);
        assert_eq!(SpiffeId::parse(&format!("{longest}x")), Err(IdError::TooLong(2049)));
    }

    #[test]
    fn three_dots_are_a_segment_like_any_other() {
        assert!(SpiffeId::parse("spiffe://a.test/.../x").is_ok());
    }
}
