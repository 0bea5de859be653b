//! What travels beside the body of a call or a reply: HTTP headers and gRPC metadata, minus what belongs to one hop.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Dialect;

/// The A2A version that a caller speaks (specification §3.6).
pub const A2A_VERSION: HeaderName = HeaderName::from_static("a2a-version");
/// The extensions that a caller asks for, or that an agent has activated (specification §3.2.6).
pub const A2A_EXTENSIONS: HeaderName = HeaderName::from_static("a2a-extensions");
/// The same as 0.3 calls it.
const X_A2A_EXTENSIONS: HeaderName = HeaderName::from_static("x-a2a-extensions");
/// How a gRPC caller without a path names the agent it wants.
pub const DRAGOMAN_AGENT: HeaderName = HeaderName::from_static("dragoman-agent");

/// Headers of one connection or one message form, by name; prefixes are in [`BELONGS_TO_HOP_PREFIX`].
const BELONGS_TO_HOP: [&str; 15] = [
    "connection",
    "cookie",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-forwarded-client-cert",
    "date",
];

/// Prefixes of headers that stay on their hop; those with our own name are stripped at every edge.
const BELONGS_TO_HOP_PREFIX: [&str; 7] =
    ["accept", "content-", "dragoman-", "grpc-", "proxy-", "sec-", "x-dragoman-"];

/// What travels beside a body, in both directions.
#[derive(Clone, Debug, Default)]
pub struct Params(HeaderMap);

impl Params {
    /// Takes over the headers that travel; everything that belongs to the hop it arrived on stays behind.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let named_by_connection: Vec<&str> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        let travels = |name: &HeaderName| {
            travels(name.as_str())
                && !named_by_connection.iter().any(|hop| hop.eq_ignore_ascii_case(name.as_str()))
        };
        let mut params = HeaderMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| travels(name)) {
            let name = if *name == X_A2A_EXTENSIONS { &A2A_EXTENSIONS } else { name };
            params.append(name.clone(), value.clone());
        }
        Self(params)
    }

    /// Writes all of it into the headers of a hop where that dialect is spoken. Extensions have both names in 0.3: its SDKs
    /// look for their own, but an SDK of 1.0 that speaks it may look for the other.
    pub fn append_for(&self, dialect: Dialect, headers: &mut HeaderMap) {
        self.append_to(headers);
        if dialect == Dialect::V0_3 {
            for value in self.0.get_all(A2A_EXTENSIONS) {
                headers.append(X_A2A_EXTENSIONS, value.clone());
            }
        }
    }

    /// Writes all of it into the headers of the next hop, beside what is there.
    pub fn append_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.append(name.clone(), value.clone());
        }
    }

    /// Says that the body is of that dialect, unless a version of it is named already.
    pub fn speak(&mut self, dialect: Dialect) {
        if self.get(&A2A_VERSION).and_then(Dialect::of_version) != Some(dialect) {
            self.set(A2A_VERSION, HeaderValue::from_static(dialect.as_str()));
        }
    }

    /// The value of a header, the first if there are several.
    pub fn get(&self, name: &HeaderName) -> Option<&str> {
        self.0.get(name).and_then(|value| value.to_str().ok())
    }

    /// Sets a header to one value.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.insert(name, value);
    }

    /// Whether nothing travels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what came later, as trailers do.
    pub fn extend(&mut self, later: Self) {
        for (name, value) in &later.0 {
            self.0.append(name.clone(), value.clone());
        }
    }
}

/// Whether a header travels from hop to hop.
fn travels(name: &str) -> bool {
    !name.ends_with("-bin")
        && !BELONGS_TO_HOP.contains(&name)
        && !BELONGS_TO_HOP_PREFIX.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_hop_stays_there() {
        let mut headers = HeaderMap::new();
        for name in [
            "accept",
            "accept-language",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "dragoman-agent",
            "expect",
            "grpc-timeout",
            "host",
            "origin",
            "proxy-authorization",
            "sec-fetch-site",
            "te",
            "trace-bin",
            "upgrade",
            "x-dragoman-peer",
            "x-forwarded-client-cert",
            "x-hop",
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close, X-Hop"));
        assert!(Params::from_headers(&headers).is_empty());
    }

    #[test]
    fn what_speaks_to_the_agent_travels_with_every_value() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "a2a-version", "traceparent", "x-api-key", "baggage"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        headers.append("a2a-extensions", HeaderValue::from_static("urn:a"));
        headers.append("a2a-extensions", HeaderValue::from_static("urn:b"));
        let mut out = HeaderMap::new();
        Params::from_headers(&headers).append_to(&mut out);
        assert_eq!(out, headers);
    }
}
