//! Where things are: addresses to bind and to dial, URLs of agents, hosts and web origins. As in `words`, an error is
//! the rest of the sentence `key: "text" …`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use http::Uri;
use serde::{Serialize, Serializer};

/// A host, and perhaps a port of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostPort {
    /// A DNS name in lower case or an IP address, IPv6 in brackets.
    pub host: String,
    /// The only port that is meant; `None` is any port.
    pub port: Option<u16>,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address to listen at. Port 0 lets the system choose.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "is no address: write IP:PORT, such as 127.0.0.1:2602 or [::1]:2602".to_owned())
}

/// An address that can be dialled.
pub(super) fn endpoint(text: &str) -> Result<SocketAddr, String> {
    match text.parse() {
        Ok(address) if dialable(address) => Ok(address),
        _ => Err("is no address to dial: write IP:PORT, such as 10.0.0.7:2643 or [fd00::7]:2643".to_owned()),
    }
}

/// A DNS server; without a port it is 53.
pub(super) fn nameserver(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    match bare.or_else(|_| text.parse()) {
        Ok(address) if dialable(address) => Ok(address),
        _ => Err("is no DNS server: write IP:PORT, such as 10.96.0.10:53".to_owned()),
    }
}

/// A DNS server that may be known by name; without a port it is 53.
pub(super) fn nameserver_or_host(text: &str) -> Result<HostPort, String> {
    let named = || {
        let HostPort { host, port } = host_and_port(text)?;
        // What ends with a number is a mistaken address.
        let name = host.trim_end_matches('.').rsplit('.').next()?.bytes().any(|byte| !byte.is_ascii_digit());
        let port = port.unwrap_or(53);
        (name && port != 0 && !host.starts_with('[')).then_some(HostPort { host, port: Some(port) })
    };
    let address = nameserver(text).ok().map(|address| {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        HostPort { host, port: Some(address.port()) }
    });
    let wrong = "is no DNS server: write IP:PORT or HOST:PORT, such as 10.96.0.10:53";
    address.or_else(named).ok_or_else(|| wrong.to_owned())
}

fn dialable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified()
}

/// The base URL of the local agent.
pub(super) fn agent_url(text: &str) -> Result<Uri, String> {
    let uri = base_url(text, "http://127.0.0.1:9000")?;
    match uri.scheme_str() {
        Some("http") => Ok(uri),
        _ => {
            Err("is not plain HTTP: an agent stands beside its sidecar, such as http://127.0.0.1:9000"
                .to_owned())
        }
    }
}

/// The URL of a certificate issuer, to which a token is shown.
pub(super) fn issuer_url(text: &str) -> Result<Uri, String> {
    let uri = base_url(text, "https://issuer.dragoman.svc")?;
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if uri.host().is_some_and(is_loopback) => Ok(uri),
        _ => {
            Err("would show the token to the network: write https, or http with a loopback address"
                .to_owned())
        }
    }
}

/// The URL of a directory, to which a certificate is shown: a host and perhaps a port.
pub(super) fn service_url(text: &str) -> Result<Uri, String> {
    let uri = base_url(text, "https://dragoman-directory.dragoman-system.svc.cluster.local:2646")?;
    match uri.scheme_str() {
        Some("https") if uri.path() == "/" => Ok(uri),
        Some("https") => Err("has a path: write https, a host and perhaps a port".to_owned()),
        _ => Err("is no https: a directory is asked over mutual TLS".to_owned()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let v4 = bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    let v6 = bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback());
    v4 || v6 || bare.eq_ignore_ascii_case("localhost")
}

/// A URL of scheme, host, port and path, and nothing else.
fn base_url(text: &str, example: &str) -> Result<Uri, String> {
    // `Uri` drops a fragment without a word.
    if text.contains('#') || text.contains('?') {
        return Err("has a query or a fragment: leave it out".to_owned());
    }
    let no_url = || format!("is no URL: write one such as {example}");
    let uri: Uri = text.parse().map_err(|_| no_url())?;
    let (Some(_), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(no_url());
    };
    if authority.as_str().contains('@') {
        return Err("carries a user name or password: leave it out".to_owned());
    }
    match host_and_port(authority.as_str()) {
        Some(HostPort { port: Some(0), .. }) | None => Err(no_url()),
        Some(_) => Ok(uri),
    }
}

/// A host outside the mesh that calls may be passed on to.
pub(super) fn forward(text: &str) -> Result<HostPort, String> {
    match host_and_port(text) {
        Some(HostPort { port: Some(0), .. }) | None => {
            Err("is no host: write host or host:port, such as api.example:443".to_owned())
        }
        Some(host) => Ok(host),
    }
}

/// A web origin (RFC 6454 §6.2), in lower case as browsers send it.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match lower.split_once("://") {
        Some((left, right)) if scheme(left) && host_and_port(right).is_some() => Ok(lower),
        _ => Err("is no origin: write SCHEME://HOST[:PORT] without a path, such as http://localhost:3000"
            .to_owned()),
    }
}

/// The two parts of `host` or `host:port`; an IPv6 address stands in brackets.
fn host_and_port(text: &str) -> Option<HostPort> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let digits =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    let port = match port.map(digits) {
        Some(None) => return None,
        port => port.flatten(),
    };
    is_host(host).then(|| HostPort { host: host.to_ascii_lowercase(), port })
}

fn is_host(text: &str) -> bool {
    if let Some(inside) = text.strip_prefix('[') {
        return inside.strip_suffix(']').is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok());
    }
    // Names of containers have underscores.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_reached_by_a_plain_base_url() {
        for (text, path) in [
            ("http://127.0.0.1:9000", "/"),
            ("http://[::1]:9000/a2a/", "/a2a/"),
            ("http://my_agent/v1", "/v1"),
            ("HTTP://localhost", "/"),
            ("http://host:9000/@x", "/@x"),
        ] {
            assert_eq!(agent_url(text).map(|url| url.path().to_owned()), Ok(path.to_owned()), "{text}");
        }
        for (text, wrong) in [
            ("", "is no URL"),
            ("127.0.0.1:9000", "is no URL"),
            ("/path", "is no URL"),
            ("http://", "is no URL"),
            ("http://:9000", "is no URL"),
            ("http://host:0", "is no URL"),
            ("http://host:99999", "is no URL"),
            ("http://host:", "is no URL"),
            ("http://a b", "is no URL"),
            ("https://host", "is not plain HTTP"),
            ("ftp://host", "is not plain HTTP"),
            ("http://me:pw@host", "carries a user name"),
            ("http://host/?a=b", "has a query"),
            ("http://host/#a", "has a query"),
        ] {
            let error = agent_url(text).unwrap_err();
            assert!(error.starts_with(wrong), "{text}: {error}");
        }
    }

    #[test]
    fn a_token_is_shown_over_tls_or_at_home() {
        for text in ["https://issuer:8443/sign", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
        {
            assert!(issuer_url(text).is_ok(), "{text}");
        }
        for text in ["http://issuer", "http://10.0.0.1", "http://127.0.0.1.example"] {
            assert!(issuer_url(text).unwrap_err().starts_with("would show the token"), "{text}");
        }
    }

    #[test]
    fn addresses_are_numbers() {
        assert!(listen("127.0.0.1:0").is_ok() && listen("[::]:2643").is_ok());
        assert_eq!(nameserver("10.96.0.10"), Ok("10.96.0.10:53".parse().unwrap()));
        assert_eq!(nameserver("::1"), Ok("[::1]:53".parse().unwrap()));
        for text in ["", "2602", ":2602", "localhost:2602", "127.0.0.1", "::1:2602:", "127.0.0.1:65536"] {
            assert!(listen(text).is_err() && endpoint(text).is_err(), "{text}");
        }
        for text in ["10.0.0.1:0", "0.0.0.0:53", "[::]:53"] {
            assert!(endpoint(text).is_err() && nameserver(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_directory_s_dns_may_be_known_by_name() {
        let shown = |text: &str| nameserver_or_host(text).map(|server| server.to_string());
        for (text, expected) in [
            ("10.96.0.10", "10.96.0.10:53"),
            ("10.96.0.10:5353", "10.96.0.10:5353"),
            ("::1", "[::1]:53"),
            ("[fd00::a]:54", "[fd00::a]:54"),
            ("Directory.Mesh", "directory.mesh:53"),
            ("directory.mesh.:5353", "directory.mesh.:5353"),
        ] {
            assert_eq!(shown(text), Ok(expected.to_owned()), "{text}");
        }
        for text in
            ["", "53", "10.96.0.300", "10.0.0:53", "0.0.0.0", "[::]:53", "a:0", "a:x", "a..b", "https://a"]
        {
            assert!(shown(text).unwrap_err().starts_with("is no DNS server"), "{text}");
        }
    }

    #[test]
    fn hosts_and_origins_have_no_path() {
        let shown = |text: &str| forward(text).map(|forward| forward.to_string());
        assert_eq!(shown("API.example:443"), Ok("api.example:443".to_owned()));
        assert_eq!(shown("[::1]"), Ok("[::1]".to_owned()));
        assert_eq!(shown("[::1]:80"), Ok("[::1]:80".to_owned()));
        for text in ["", "*", "http://a", "a/b", "a:", "a:0", "a:x", "a:-1", "::1", "a..b", "me@a", "[::1"] {
            assert!(forward(text).is_err(), "{text}");
        }
        for text in ["http://localhost:3000", "https://App.example", "chrome-extension://abcdef"] {
            assert_eq!(origin(text), Ok(text.to_ascii_lowercase()));
        }
        for text in ["", "*", "null", "localhost", "http://", "http://a/", "http://a/b", "://a", "1x://a"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
