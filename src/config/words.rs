//! What single words mean: durations, sizes, ports, names of domains. Each reader takes the text of a scalar and
//! answers with the value, or with the rest of the sentence `key: "text" …`.

use std::{path::PathBuf, time::Duration};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::a2a::{Home, NamePattern, is_label};
use crate::identity::{Pattern, PatternTemplate};

/// The longest duration: anything beyond is a slip, and adding it to the present must not overflow.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The shortest life of a certificate: shorter ones would be renewed all the time.
const LEAF_MIN: Duration = Duration::from_hours(1);

/// The largest size: protobuf and HTTP/2 windows both end at 2³¹−1 bytes.
const SIZE_MAX: u64 = 2047 * 1024 * 1024;

/// A DNS label in lower case.
pub(super) fn label(text: &str) -> Result<String, String> {
    if is_label(text) { Ok(text.to_owned()) } else { Err(format!("is no DNS label: {LABEL_RULE}")) }
}

/// What a label is.
pub(super) const LABEL_RULE: &str = "write a-z, 0-9 and '-' inside, 63 at most";

/// A DNS domain, without the dot at its end.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if lower.len() <= 253 && lower.split('.').all(is_label) {
        Ok(lower)
    } else {
        Err("is no DNS domain: write labels with dots between, such as cluster.local".to_owned())
    }
}

/// A text that says something.
pub(super) fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// How long a certificate is valid.
pub(super) fn leaf_lifetime(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if short < LEAF_MIN => Err("is too short for a certificate: 1h is the least".to_owned()),
        lifetime => Ok(lifetime),
    }
}

/// Root certificates in PEM, at least one.
pub(super) fn roots(text: &str) -> Result<String, String> {
    let mut found = 0;
    for root in CertificateDer::pem_slice_iter(text.as_bytes()) {
        root.map_err(|error| format!("is no PEM: {error}"))?;
        found += 1;
    }
    if found > 0 { Ok(text.to_owned()) } else { Err("holds no certificate in PEM".to_owned()) }
}

/// A service account with its namespace.
pub(super) fn account(text: &str) -> Result<String, String> {
    let wrong = || "is no service account: write name.namespace".to_owned();
    let (name, namespace) = text.rsplit_once('.').ok_or_else(wrong)?;
    let fits = domain(name).is_ok_and(|domain| domain == name) && is_label(namespace);
    fits.then(|| text.to_owned()).ok_or_else(wrong)
}

/// A DNS name that a certificate may carry: one that may begin with `*.`.
pub(super) fn certificate_name(text: &str) -> Result<String, String> {
    let (wildcard, rest) = text.strip_prefix("*.").map_or(("", text), |rest| ("*.", rest));
    domain(rest).map(|domain| format!("{wildcard}{domain}"))
}

/// The name of a SPIFFE trust domain (SPIFFE-ID §2.1).
pub(super) fn trust_domain(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if text.starts_with("spiffe://") {
        Err("is no trust domain: leave out spiffe:// and the path, such as east.example".to_owned())
    } else if (1..=255).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("is no trust domain: write a-z, 0-9, '.', '-' and '_', such as east.example".to_owned())
    }
}

/// A pattern of agent names.
pub(super) fn name_pattern(text: &str, home: &Home) -> Result<NamePattern, String> {
    NamePattern::parse(text, home).map_err(|error| error.to_string())
}

/// A pattern of SPIFFE IDs.
pub(super) fn spiffe_pattern(text: &str) -> Result<String, String> {
    let pattern = Pattern::parse(spiffe(text)?);
    pattern.map(|_| text.to_owned()).map_err(|error| format!("is no pattern of SPIFFE IDs: {error}"))
}

/// A pattern of SPIFFE IDs with places to fill in.
pub(super) fn spiffe_template(text: &str) -> Result<String, String> {
    let template = PatternTemplate::parse(spiffe(text)?);
    template.map(|_| text.to_owned()).map_err(|error| format!("is no pattern of SPIFFE IDs: {error}"))
}

/// A pattern of SPIFFE IDs of a service of a mesh, in which only the trust domain is filled in.
pub(super) fn spiffe_service(text: &str) -> Result<String, String> {
    let filled = text.replace("{trustDomain}", "x");
    if filled.contains(['{', '}']) {
        return Err(
            "has other braces than {trustDomain}: a service has no agent to take a name from".to_owned()
        );
    }
    spiffe_pattern(&filled).map(|_| text.to_owned())
}

fn spiffe(text: &str) -> Result<&str, String> {
    match text.strip_prefix("spiffe://") {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text),
        _ => Err("is no SPIFFE ID: write spiffe://TRUST-DOMAIN/PATH".to_owned()),
    }
}

/// A TCP port that can be dialled.
pub(super) fn port(text: &str) -> Result<u16, String> {
    number(text)
        .filter(|port| *port != 0)
        .ok_or_else(|| "is no port: write a number from 1 to 65535".to_owned())
}

/// A TCP port to listen at; 0 lets the system choose.
pub(super) fn listen_port(text: &str) -> Result<u16, String> {
    number(text).ok_or_else(|| "is no port: write a number from 0 to 65535".to_owned())
}

/// The most threads that are of any use.
pub(super) const THREADS_MAX: u16 = 256;

/// A number of threads.
pub(super) fn threads(text: &str) -> Result<u16, String> {
    number(text)
        .filter(|threads| (1..=THREADS_MAX).contains(threads))
        .ok_or_else(|| format!("is no number of threads: write one from 1 to {THREADS_MAX}"))
}

/// Digits alone: the standard library would take a sign too.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A size in bytes, more than none.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let units = [("KiB", 1024), ("MiB", 1024 * 1024)];
    let Some(bytes) = measured(text, &units) else {
        return Err("is no size: write KiB or MiB, such as 16MiB".to_owned());
    };
    match bytes.filter(|bytes| *bytes <= SIZE_MAX).and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(0) => Err("is nothing: write a size above 0, such as 16MiB".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("is too much: 2047MiB is the most".to_owned()),
    }
}

/// A duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let Some(millis) = measured(text, &units) else {
        return Err("is no duration: write ms, s, m or h, such as 25s".to_owned());
    };
    let duration = millis.map(Duration::from_millis);
    duration.filter(|duration| *duration <= YEAR).ok_or_else(|| "is too long: 8760h is the most".to_owned())
}

/// A duration that may not be nothing.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("is no time at all: write a duration above 0, such as 2s".to_owned()),
        duration => Ok(duration),
    }
}

/// A bound on time, or `none`.
pub(super) fn some_time_or_none(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "none" => Ok(None),
        text => some_time(text).map(Some).map_err(|wrong| format!("{wrong}, or none")),
    }
}

/// What a number and its unit are worth: `None` if there is no such unit, `Some(None)` if it is beyond counting.
fn measured(text: &str, units: &[(&str, u64)]) -> Option<Option<u64>> {
    units.iter().find_map(|(unit, worth)| {
        let digits = text.strip_suffix(unit)?;
        let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        numeric.then(|| digits.parse::<u64>().ok()?.checked_mul(*worth))
    })
}

/// A path in the file system.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        Err("is no path".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

/// A Unix socket, as an absolute path or in the form of `SPIFFE_ENDPOINT_SOCKET`.
pub(super) fn socket(text: &str) -> Result<PathBuf, String> {
    let plain = text.strip_prefix("unix:").unwrap_or(text);
    let plain = plain.strip_prefix("//").unwrap_or(plain);
    if plain.starts_with('/') && !plain.contains('\0') {
        Ok(PathBuf::from(plain))
    } else {
        Err("is no Unix socket: write its absolute path, such as /run/spire/agent.sock".to_owned())
    }
}

/// One word of a table, in any case.
pub(super) fn choice<T: Copy>(text: &str, table: &[(&str, T)]) -> Result<T, String> {
    let chosen = table.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
        format!("is none of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("8760h"), Ok(YEAR));
        for text in ["", "s", "5", "5 s", "-5s", "+5s", "1.5s", "5S", "5d", "1m30s", "none", "٣s"] {
            let wrong = duration(text).unwrap_err();
            assert_eq!(wrong, "is no duration: write ms, s, m or h, such as 25s", "{text}");
        }
        for text in ["8761h", "18446744073709551615h", "99999999999999999999s"] {
            assert_eq!(duration(text).unwrap_err(), "is too long: 8760h is the most", "{text}");
        }
        assert!(some_time("0ms").unwrap_err().starts_with("is no time at all"));
        assert_eq!(some_time_or_none("none"), Ok(None));
        assert_eq!(some_time_or_none("1h"), Ok(Some(Duration::from_secs(3600))));
        assert!(some_time_or_none("None").unwrap_err().ends_with("such as 25s, or none"));
    }

    #[test]
    fn a_size_is_counted_in_kibibytes_or_mebibytes() {
        assert_eq!(size("256KiB"), Ok(256 * 1024));
        assert_eq!(size("2047MiB"), Ok(2047 * 1024 * 1024));
        for text in ["", "16", "16MB", "16M", "16GiB", "16 MiB", "-1MiB", "1.5MiB", "16mib", "MiB"] {
            assert_eq!(size(text).unwrap_err(), "is no size: write KiB or MiB, such as 16MiB", "{text}");
        }
        for text in ["2048MiB", "99999999999999999999MiB", "18014398509481984KiB"] {
            assert_eq!(size(text).unwrap_err(), "is too much: 2047MiB is the most", "{text}");
        }
        assert!(size("0KiB").unwrap_err().starts_with("is nothing"));
    }

    #[test]
    fn threads_are_at_least_one_and_not_absurdly_many() {
        assert_eq!((threads("1"), threads("256")), (Ok(1), Ok(256)));
        for text in ["0", "257", "-1", "1.5", "", "all"] {
            assert_eq!(
                threads(text).unwrap_err(),
                "is no number of threads: write one from 1 to 256",
                "{text}"
            );
        }
    }

    #[test]
    fn a_port_is_digits_alone() {
        assert_eq!(port("2643"), Ok(2643));
        assert_eq!(listen_port("0"), Ok(0));
        for text in ["", "0", "-1", "+80", "80.0", "65536", "0x50", "http"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn domains_are_names_and_no_urls() {
        assert_eq!(domain("Cluster.Local."), Ok("cluster.local".to_owned()));
        for text in ["", ".", "a..b", "a_b", "a b", &"a.".repeat(128)] {
            assert!(domain(text).is_err(), "{text}");
        }
        assert_eq!(trust_domain("east_1.example"), Ok("east_1.example".to_owned()));
        for text in ["", "East", "a/b", "spiffe://east.example", "a:1", &"a".repeat(256)] {
            assert!(trust_domain(text).is_err(), "{text}");
        }
        for text in ["", "east.example", "spiffe://", "spiffe:///path", "SPIFFE://a/b"] {
            assert!(spiffe_pattern(text).is_err(), "{text}");
        }
        assert!(spiffe_service("spiffe://{trustDomain}/ns/mesh/sa/*").is_ok());
        for text in ["spiffe://{trustDomain}/ns/{namespace}/sa/*", "spiffe://a/sa/{agent}", "{trustDomain}"] {
            assert!(spiffe_service(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_socket_is_known_by_its_path_or_its_spiffe_address() {
        for text in ["/run/a.sock", "unix:/run/a.sock", "unix:///run/a.sock"] {
            assert_eq!(socket(text), Ok(PathBuf::from("/run/a.sock")), "{text}");
        }
        for text in ["", "run/a.sock", "unix:", "unix://run/a.sock", "tcp://127.0.0.1:8000", "/a\0b"] {
            assert!(socket(text).is_err(), "{text}");
        }
    }
}
