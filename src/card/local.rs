//! What a card says about where the agent of this pod serves a binding. Only the path counts: no address from a card is
//! ever dialled.

use http::Uri;
use http::uri::PathAndQuery;

use super::rewrite::interface;
use super::{Result, field};
use crate::a2a::Binding;
use crate::codec::wire::{Fields, last_string};

/// Where an agent serves a binding, and how it wants to be addressed there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spot {
    /// The agent's configured URL with the card's path.
    pub url: Uri,
    /// The tenant that the interface names; empty if none.
    pub tenant: String,
    /// The protocol version that the interface names, exactly as it does.
    pub version: String,
}

/// Where the agent at `url` serves a binding by what its card says: the first interface of that binding, one of version
/// 1.0 before any other. `None` if the card has no such interface.
///
/// # Errors
/// If the card is no protobuf.
pub fn agent_url(card: &[u8], binding: Binding, url: &Uri) -> Result<Option<Spot>> {
    let mut found: Option<Spot> = None;
    for field in Fields::new(card) {
        let field = field?;
        if field.number != field::INTERFACES {
            continue;
        }
        let bytes = field.value.bytes()?;
        let text = |number| last_string(bytes, number);
        if !text(interface::BINDING)?.eq_ignore_ascii_case(binding.as_str()) {
            continue;
        }
        let (tenant, version) = (text(interface::TENANT)?, text(interface::VERSION)?);
        let better = found.as_ref().is_none_or(|found| !is_1_0(&found.version) && is_1_0(version));
        if let (true, Some(url)) = (better, at(url, text(interface::URL)?)) {
            found = Some(Spot { url, tenant: tenant.to_owned(), version: version.to_owned() });
        }
    }
    Ok(found)
}

fn is_1_0(version: &str) -> bool {
    version == "1.0" || version.starts_with("1.0.")
}

/// The agent's URL with the path of another one; `None` if that is no URL.
fn at(url: &Uri, other: &str) -> Option<Uri> {
    let other: Uri = other.parse().ok()?;
    let mut parts = url.clone().into_parts();
    parts.path_and_query =
        Some(other.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, Reading, schema::AGENT_CARD};

    fn spot(interfaces: &str, binding: Binding) -> Option<(String, String, String)> {
        let json = format!(r#"{{"supportedInterfaces":[{interfaces}]}}"#);
        let card = codec::read(&AGENT_CARD, &json, Reading::Reply, 1 << 20).unwrap();
        let url = Uri::from_static("http://127.0.0.1:9000/configured");
        let spot = agent_url(&card, binding, &url).unwrap()?;
        Some((spot.url.to_string(), spot.tenant, spot.version))
    }

    #[test]
    fn only_the_path_of_the_cards_url_counts() {
        for (url, expected) in [
            ("https://evil.example:1/a2a/rpc", "http://127.0.0.1:9000/a2a/rpc"),
            ("http://0.0.0.0:9000", "http://127.0.0.1:9000/"),
            ("http://localhost:9000/", "http://127.0.0.1:9000/"),
            ("http://localhost/a?tenant=b", "http://127.0.0.1:9000/a?tenant=b"),
            ("/relative", "http://127.0.0.1:9000/relative"),
            ("//evil.example/x", "http://127.0.0.1:9000//evil.example/x"),
            ("http://user:pass@evil.example/x", "http://127.0.0.1:9000/x"),
            ("localhost:9000", "http://127.0.0.1:9000/"),
        ] {
            let interface =
                format!(r#"{{"url":"{url}","protocolBinding":"JSONRPC","protocolVersion":"1.0"}}"#);
            let (found, ..) = spot(&interface, Binding::Jsonrpc).unwrap();
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn the_first_interface_of_the_binding_counts_and_one_of_1_0_before_any_other() {
        let interfaces = r#"
            {"url":"http://a/old","protocolBinding":"JSONRPC","protocolVersion":"0.3"},
            {"url":"http://a/rest","protocolBinding":"HTTP+JSON","protocolVersion":"1.0","tenant":"t"},
            {"url":"not a url","protocolBinding":"JSONRPC","protocolVersion":"1.0"},
            {"url":"http://a/first","protocolBinding":"jsonrpc","protocolVersion":"1.0","tenant":"one"},
            {"url":"http://a/second","protocolBinding":"JSONRPC","protocolVersion":"1.0"}"#;
        let expected = |path: &str, tenant: &str, version: &str| {
            Some((format!("http://127.0.0.1:9000/{path}"), tenant.to_owned(), version.to_owned()))
        };
        assert_eq!(spot(interfaces, Binding::Jsonrpc), expected("first", "one", "1.0"));
        assert_eq!(spot(interfaces, Binding::HttpJson), expected("rest", "t", "1.0"));
        assert_eq!(spot(interfaces, Binding::Grpc), None);
        let old = r#"{"url":"http://a/old","protocolBinding":"JSONRPC","protocolVersion":"0.3.0"},
            {"url":"http://a/older","protocolBinding":"JSONRPC"}"#;
        assert_eq!(spot(old, Binding::Jsonrpc), expected("old", "", "0.3.0"));
    }
}
