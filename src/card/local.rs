//! What a card says about where the agent of this pod is, and what it speaks there. Only the path counts: no address from
//! a card is ever dialled.

use http::Uri;
use http::uri::PathAndQuery;

use super::rewrite::interface;
use super::{Result, field};
use crate::a2a::{Binding, Dialect};
use crate::codec::wire::{Fields, last_string};

/// Where the agent of this pod is called, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spot {
    /// What it speaks there.
    pub binding: Binding,
    /// In which version of A2A.
    pub dialect: Dialect,
    /// The agent's configured URL, with the card's path.
    pub url: Uri,
    /// The tenant that the interface names; empty if none.
    pub tenant: String,
    /// The protocol version in the agent's own spelling, which some SDKs compare letter by letter; empty if it does not say.
    pub version: String,
}

/// What is known of an agent without its card, and what of its card does not count.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The agent's configured URL.
    pub url: Uri,
    /// What it speaks, whatever its card says.
    pub binding: Option<Binding>,
    /// In which version of A2A, whatever its card says.
    pub dialect: Option<Dialect>,
}

impl Settled {
    /// Where the agent is called as long as no card says more.
    pub fn spot(&self) -> Spot {
        Spot {
            binding: self.binding.unwrap_or(Binding::Jsonrpc),
            dialect: self.dialect.unwrap_or(Dialect::V1_0),
            url: self.url.clone(),
            tenant: String::new(),
            version: String::new(),
        }
    }

    /// Where the agent is called by what its card says: at the first interface of version 1.0, else at the first one. What is
    /// settled beforehand stays; an interface that agrees with it is taken before one that does not.
    ///
    /// # Errors
    /// If the card is no protobuf.
    pub fn spot_of(&self, card: &[u8]) -> Result<Spot> {
        let mut best: Option<(Rank, Spot)> = None;
        for field in Fields::new(card) {
            let field = field?;
            if field.number != field::INTERFACES {
                continue;
            }
            let Some((rank, spot)) = self.interface(field.value.bytes()?)? else { continue };
            if best.as_ref().is_none_or(|(best, _)| rank > *best) {
                best = Some((rank, spot));
            }
        }
        Ok(best.map_or_else(|| self.spot(), |(_, spot)| spot))
    }

    /// An interface as a spot; `None` if it is of no use here.
    fn interface(&self, bytes: &[u8]) -> Result<Option<(Rank, Spot)>> {
        let text = |number| last_string(bytes, number);
        let (url, tenant, version) =
            (text(interface::URL)?, text(interface::TENANT)?, text(interface::VERSION)?);
        let binding = text(interface::BINDING)?;
        let binding = Binding::ALL.into_iter().find(|known| binding.eq_ignore_ascii_case(known.as_str()));
        // Without a version it is as new as the list of interfaces itself.
        let dialect = if version.is_empty() { Some(Dialect::V1_0) } else { Dialect::of_version(version) };
        let (Some(binding), Some(dialect), Some(other)) = (binding, dialect, url.parse::<Uri>().ok()) else {
            return Ok(None);
        };
        let agrees = |settled: Option<Binding>| settled.is_none_or(|settled| settled == binding);
        // The gRPC of 0.3 is another one, which nobody speaks here.
        let old_grpc =
            binding == Binding::Grpc && [Some(dialect), self.dialect].contains(&Some(Dialect::V0_3));
        if !agrees(self.binding) || old_grpc {
            return Ok(None);
        }
        let rank = Rank {
            settled: self.dialect.is_none_or(|settled| settled == dialect),
            // gRPC may well be on another port, which nobody dials.
            here: binding != Binding::Grpc
                || self.binding.is_some()
                || other.port_u16() == self.url.port_u16(),
            new: dialect == Dialect::V1_0,
        };
        // What was settled otherwise, the card cannot spell.
        let version = if rank.settled { version } else { "" }.to_owned();
        let dialect = self.dialect.unwrap_or(dialect);
        let url = if binding == Binding::Grpc { Some(self.url.clone()) } else { at(&self.url, &other) };
        Ok(url.map(|url| (rank, Spot { binding, dialect, url, tenant: tenant.to_owned(), version })))
    }
}

/// How well an interface fits, the most important thing first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    settled: bool,
    here: bool,
    new: bool,
}

/// The agent's URL with the path of another one.
fn at(url: &Uri, other: &Uri) -> Option<Uri> {
    let mut parts = url.clone().into_parts();
    parts.path_and_query =
        Some(other.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, Reading, schema::AGENT_CARD};

    fn spot(interfaces: &str, binding: Option<Binding>, dialect: Option<Dialect>) -> Spot {
        let json = format!(r#"{{"supportedInterfaces":[{interfaces}]}}"#);
        let card = codec::read(&AGENT_CARD, &json, Reading::Reply, 1 << 20).unwrap();
        let url = Uri::from_static("http://127.0.0.1:9000/configured");
        Settled { url, binding, dialect }.spot_of(&card).unwrap()
    }

    /// Binding, path, tenant and version, which is the dialect if the card has no words of its own for it.
    fn told(spot: &Spot) -> (Binding, &str, &str, &str) {
        assert_eq!(spot.url.authority().unwrap(), "127.0.0.1:9000");
        let version = if spot.version.is_empty() { spot.dialect.as_str() } else { &spot.version };
        (spot.binding, spot.url.path(), &spot.tenant, version)
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
            assert_eq!(spot(&interface, None, None).url.to_string(), expected, "{url}");
        }
    }

    #[test]
    fn the_first_interface_of_1_0_counts_before_any_other() {
        let interfaces = r#"
            {"url":"http://a/old","protocolBinding":"JSONRPC","protocolVersion":"0.3"},
            {"url":"http://a/strange","protocolBinding":"SLIMRPC","protocolVersion":"1.0"},
            {"url":"http://a/later","protocolBinding":"JSONRPC","protocolVersion":"2.0"},
            {"url":"not a url","protocolBinding":"JSONRPC","protocolVersion":"1.0"},
            {"url":"http://a/rest","protocolBinding":"http+json","protocolVersion":"1.0","tenant":"t"},
            {"url":"http://a/first","protocolBinding":"JSONRPC","protocolVersion":"1.0.1","tenant":"one"},
            {"url":"http://a/second","protocolBinding":"JSONRPC","protocolVersion":"1.0"}"#;
        let at = |binding, dialect| spot(interfaces, binding, dialect);
        assert_eq!(told(&at(None, None)), (Binding::HttpJson, "/rest", "t", "1.0"));
        assert_eq!(told(&at(Some(Binding::Jsonrpc), None)), (Binding::Jsonrpc, "/first", "one", "1.0.1"));
        assert_eq!(told(&at(None, Some(Dialect::V0_3))), (Binding::Jsonrpc, "/old", "", "0.3"));
        let old = r#"{"url":"http://a/old","protocolBinding":"JSONRPC","protocolVersion":"0.3.0"}"#;
        assert_eq!(told(&spot(old, None, None)), (Binding::Jsonrpc, "/old", "", "0.3.0"));
        assert_eq!(told(&spot(old, None, Some(Dialect::V1_0))), (Binding::Jsonrpc, "/old", "", "1.0"));
    }

    #[test]
    fn what_no_interface_says_is_as_configured() {
        for interfaces in ["", r#"{"url":"http://a/x","protocolBinding":"SLIMRPC","protocolVersion":"1.0"}"#]
        {
            assert_eq!(told(&spot(interfaces, None, None)), (Binding::Jsonrpc, "/configured", "", "1.0"));
            let settled = spot(interfaces, Some(Binding::HttpJson), Some(Dialect::V0_3));
            assert_eq!(told(&settled), (Binding::HttpJson, "/configured", "", "0.3"));
        }
    }

    #[test]
    fn grpc_on_another_port_is_for_who_has_no_choice() {
        let grpc = |port| {
            format!(r#"{{"url":"127.0.0.1:{port}","protocolBinding":"GRPC","protocolVersion":"1.0"}}"#)
        };
        let json = r#"{"url":"http://a/rpc","protocolBinding":"JSONRPC","protocolVersion":"1.0"}"#;
        let both = |port| format!("{},{json}", grpc(port));
        assert_eq!(spot(&both(9000), None, None).binding, Binding::Grpc);
        assert_eq!(spot(&both(9001), None, None).binding, Binding::Jsonrpc);
        assert_eq!(spot(&grpc(9001), None, None).binding, Binding::Grpc);
        assert_eq!(spot(&both(9001), Some(Binding::Grpc), None).binding, Binding::Grpc);
        assert_eq!(spot(&both(9000), None, Some(Dialect::V0_3)).binding, Binding::Jsonrpc);
    }
}
