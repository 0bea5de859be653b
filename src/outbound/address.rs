//! Which agent a request on localhost means: by path, by Host header, as a proxy request, or by the port it came to.

use std::net::IpAddr;
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, Method, Uri, Version, header};

use crate::a2a::{Home, Name, NameError, host, without_port};

/// What a request is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// An agent; the rest of the path, without a slash in front, and the base URL that came before it.
    Agent {
        /// Which one.
        name: Name,
        /// What of the path is left for the binding.
        rest: String,
        /// The caller's URL up to there.
        base: Arc<str>,
    },
    /// All agents that are known.
    Agents,
    /// How this sidecar is.
    Check,
    /// A host outside the mesh, asked for as through a proxy.
    Forward(Authority),
}

/// Why a request means nothing here.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoAddress {
    /// Two agents are named.
    #[error("{0}: name one agent")]
    Ambiguous(String),
    /// CONNECT.
    #[error("no tunnels here: send plain HTTP to the mesh, and nothing else (NO_PROXY)")]
    Connect,
    /// Another host, asked for as through a proxy.
    #[error("{0} is outside the mesh: add it to NO_PROXY, or to outbound.forward")]
    Foreign(String),
    /// Metadata that names no agent.
    #[error("the metadata dragoman-agent: {0}")]
    Metadata(#[source] NameError),
    /// A Host that is neither ours nor an agent's.
    #[error("the Host {0:?} is neither this sidecar nor an agent; use http://127.0.0.1:2602/agents/NAME")]
    Misdirected(String),
    /// No Host at all.
    #[error("the Host is missing")]
    NoHost,
    /// A path that no agent has.
    #[error("nothing at {0}; agents are at /agents/NAME")]
    NotFound(String),
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nothing names an agent, nor does the tenant.
    #[error(
        "no agent is named (the tenant is {0:?}): send the tenant AGENT.NAMESPACE that the agent's card has, the metadata \
         dragoman-agent, the authority AGENT.NAMESPACE.a2a, or use a port of outbound.ports"
    )]
    Unnamed(String),
}

/// The names and addresses under which this sidecar and the agents of the mesh are known.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// What completes a short name.
    pub home: Home,
    /// The addresses that are listened on, beside every loopback address.
    pub listen: Vec<IpAddr>,
    /// Meshes by the DNS zone of their cluster.
    pub cluster_domains: Vec<(String, String)>,
    /// Hosts outside the mesh that requests are passed on to, with or without a port.
    pub forward: Vec<String>,
}

impl Hosts {
    /// What a request is about. On a port of its own, `only` is the agent that all requests mean.
    ///
    /// # Errors
    /// If it means nothing here.
    pub fn address(
        &self,
        method: &Method,
        uri: &Uri,
        version: Version,
        headers: &HeaderMap,
        only: Option<&Name>,
    ) -> Result<Address, NoAddress> {
        if method == Method::CONNECT {
            return Err(NoAddress::Connect);
        }
        // In HTTP/2 every request names its authority; in HTTP/1.1 only one meant for a proxy does.
        let proxied = uri.authority().filter(|_| version != Version::HTTP_2);
        let authority = authority(uri, headers)?;
        if let Some(name) = self.agent(authority) {
            return Ok(whole(name?, uri.path(), authority));
        }
        match proxied {
            Some(foreign) if !self.is_ours(authority) && self.forwards(authority) => {
                return Ok(Address::Forward(foreign.clone()));
            }
            Some(foreign) if !self.is_ours(authority) => return Err(NoAddress::Foreign(foreign.to_string())),
            _ if !self.is_ours(authority) => return Err(NoAddress::Misdirected(authority.to_owned())),
            _ => {}
        }
        match only {
            Some(name) => Ok(whole(name.clone(), uri.path(), authority)),
            None => self.by_path(uri.path(), authority),
        }
    }

    fn by_path(&self, path: &str, authority: &str) -> Result<Address, NoAddress> {
        if path == "/check" {
            return Ok(Address::Check);
        }
        let below = path.strip_prefix("/agents").ok_or_else(|| NoAddress::NotFound(path.to_owned()))?;
        let Some(below) = below.strip_prefix('/').filter(|below| !below.is_empty()) else {
            return match below {
                "" | "/" => Ok(Address::Agents),
                _ => Err(NoAddress::NotFound(path.to_owned())),
            };
        };
        let (name, rest) = below.split_once('/').unwrap_or((below, ""));
        let base = format!("http://{authority}/agents/{name}").into();
        Ok(Address::Agent { name: Name::parse(name, &self.home)?, rest: rest.to_owned(), base })
    }

    /// The agent of a mesh name (`….a2a`) or of a Service name.
    pub(super) fn agent(&self, authority: &str) -> Option<Result<Name, NameError>> {
        let host = host(authority);
        if host.ends_with(".a2a") {
            return Some(Name::parse(&host, &self.home));
        }
        self.cluster_domains.iter().find_map(|(domain, mesh)| {
            let service = host.strip_suffix(domain)?.strip_suffix(".svc.")?;
            let (agent, namespace) = service.split_once('.').filter(|(_, rest)| !rest.contains('.'))?;
            Some(Name::parse(&format!("{agent}.{namespace}.{mesh}"), &self.home))
        })
    }

    /// Whether it is this listener, by address.
    pub(super) fn is_ours(&self, authority: &str) -> bool {
        let host = without_port(authority);
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback() || self.listen.contains(&address))
    }

    /// Whether there is such a mesh.
    pub(super) fn knows(&self, mesh: &str) -> bool {
        self.cluster_domains.iter().any(|(_, known)| known == mesh)
    }

    fn forwards(&self, authority: &str) -> bool {
        let host = without_port(authority);
        self.forward.iter().any(|allowed| {
            allowed.eq_ignore_ascii_case(authority)
                || allowed.eq_ignore_ascii_case(host)
                || (authority == host && allowed.eq_ignore_ascii_case(&format!("{host}:80")))
        })
    }
}

/// Which host a request was sent to.
pub(super) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, NoAddress> {
    match uri.authority() {
        Some(authority) => Ok(authority.as_str()),
        None => headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or(NoAddress::NoHost),
    }
}

fn whole(name: Name, path: &str, authority: &str) -> Address {
    let rest = path.strip_prefix('/').unwrap_or(path).to_owned();
    Address::Agent { name, rest, base: format!("http://{authority}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts {
            home: Home { namespace: "travel".into(), mesh: "east".into() },
            listen: vec!["10.0.0.7".parse().unwrap()],
            cluster_domains: vec![
                ("cluster.local".into(), "east".into()),
                ("west.local".into(), "west".into()),
            ],
            forward: vec!["allowed.example".into(), "ported.example:8080".into()],
        }
    }

    fn address(uri: &str, host: Option<&str>, version: Version) -> Result<Address, NoAddress> {
        let headers = host.map(|host| (header::HOST, host.parse().unwrap())).into_iter().collect();
        hosts().address(&Method::POST, &uri.parse().unwrap(), version, &headers, None)
    }

    fn agent(name: &str, rest: &str, base: &str) -> Result<Address, NoAddress> {
        let name = Name::parse(name, &hosts().home).unwrap();
        Ok(Address::Agent { name, rest: rest.into(), base: base.into() })
    }

    #[test]
    fn an_agent_is_named_by_path_by_host_or_as_through_a_proxy() {
        const H1: Version = Version::HTTP_11;
        const H2: Version = Version::HTTP_2;
        for (uri, host, version, name, rest, base) in [
            (
                "/agents/currency",
                Some("127.0.0.1:2602"),
                H1,
                "currency",
                "",
                "http://127.0.0.1:2602/agents/currency",
            ),
            (
                "/agents/a.b.west/x/y",
                Some("localhost"),
                H1,
                "a.b.west",
                "x/y",
                "http://localhost/agents/a.b.west",
            ),
            ("/agents/a.b/", Some("[::1]:9"), H1, "a.b", "", "http://[::1]:9/agents/a.b"),
            ("/agents/a", Some("10.0.0.7:2602"), H1, "a", "", "http://10.0.0.7:2602/agents/a"),
            ("http://127.0.0.1:2602/agents/a", None, H2, "a", "", "http://127.0.0.1:2602/agents/a"),
            (
                "http://currency.travel.a2a/x",
                Some("ignored"),
                H1,
                "currency",
                "x",
                "http://currency.travel.a2a",
            ),
            ("/x", Some("Currency.travel.a2a:80"), H1, "currency", "x", "http://Currency.travel.a2a:80"),
            ("/", Some("c.bank.svc.cluster.local"), H1, "c.bank", "", "http://c.bank.svc.cluster.local"),
            (
                "/",
                Some("c.bank.svc.west.local:2602"),
                H1,
                "c.bank.west",
                "",
                "http://c.bank.svc.west.local:2602",
            ),
        ] {
            assert_eq!(address(uri, host, version), agent(name, rest, base), "{uri} {host:?}");
        }
    }

    #[test]
    fn what_is_not_ours_is_refused_with_its_reason() {
        const H1: Version = Version::HTTP_11;
        let refused = |uri, host| address(uri, host, H1).unwrap_err();
        assert!(matches!(refused("/agents/a", Some("evil.example")), NoAddress::Misdirected(_)));
        assert!(matches!(refused("/agents/a", Some("127.0.0.1.evil.example")), NoAddress::Misdirected(_)));
        assert!(matches!(refused("/agents/a", Some("10.0.0.8")), NoAddress::Misdirected(_)));
        assert!(matches!(refused("http://other.example/", None), NoAddress::Foreign(_)));
        assert!(matches!(refused("/agents/a", None), NoAddress::NoHost));
        assert!(matches!(refused("/", Some("localhost")), NoAddress::NotFound(_)));
        assert!(matches!(refused("/agentsx", Some("localhost")), NoAddress::NotFound(_)));
        assert!(matches!(refused("/agents/A_b", Some("localhost")), NoAddress::Name(_)));
        let connect =
            hosts().address(&Method::CONNECT, &"a:443".parse().unwrap(), H1, &HeaderMap::new(), None);
        assert_eq!(connect, Err(NoAddress::Connect));
    }

    #[test]
    fn only_listed_hosts_are_passed_on_to() {
        for (uri, passed) in [
            ("http://allowed.example/x", true),
            ("http://allowed.example:81/x", true),
            ("http://ported.example:8080/", true),
            ("http://ported.example/", false),
            ("http://sub.allowed.example/", false),
        ] {
            let forward = matches!(address(uri, None, Version::HTTP_11), Ok(Address::Forward(_)));
            assert_eq!(forward, passed, "{uri}");
        }
        assert_eq!(address("/agents", Some("localhost"), Version::HTTP_11), Ok(Address::Agents));
    }
}
