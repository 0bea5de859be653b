//! Moments: 0.3 takes any ISO 8601 text, 1.0 a `google.protobuf.Timestamp`. What the latter does not tell (an offset, how many
//! digits) is kept.

use super::super::Result;
use super::super::timestamp::normal;
use super::super::tree::Node;
use super::shape::{Member, Up};

/// Digits of a second that a `Timestamp` has room for.
const DIGITS: usize = 9;

/// A moment of 0.3. One that nobody understands is only kept: it must not fail the task that it is part of.
pub(super) fn up<'a>(member: &Member, value: Node<'a>, up: &mut Up<'a>) -> Result<()> {
    let text = value.as_string();
    let moment = text.as_deref().and_then(understand);
    let exact = moment.as_deref() == text.as_deref();
    if let Some(moment) = moment {
        up.v1_0.push(member.v1_0, Node::string(&moment));
    }
    if !exact {
        up.kept.push(member.v0_3, value);
    }
    Ok(())
}

/// The text as it was written, if it was kept and means that moment; else the moment itself.
pub(super) fn down<'a>(moment: Option<Node<'a>>, kept: Option<Node<'a>>) -> Option<Node<'a>> {
    let meant = kept.as_ref().and_then(Node::as_string).and_then(|text| understand(&text));
    let same = moment.as_ref().and_then(Node::as_string).as_deref() == meant.as_deref();
    match kept {
        Some(kept) if same => Some(kept),
        _ => moment,
    }
}

/// The text as 1.0 writes it: RFC 3339, or that without an offset (which is UTC then), or with more digits than count.
fn understand(text: &str) -> Option<String> {
    let (head, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, offset) = rest.split_at(digits);
    let fraction = fraction.get(..DIGITS).unwrap_or(fraction);
    let short = if fraction.is_empty() { text.to_owned() } else { format!("{head}.{fraction}{offset}") };
    normal(&short).or_else(|| normal(&format!("{short}Z")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_sdks_write_is_understood() {
        for (text, moment) in [
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05.678+02:00", Some("2026-01-02T01:04:05.678Z")),
            ("2026-01-02T03:04:05.123456+00:00", Some("2026-01-02T03:04:05.123456Z")),
            ("2026-01-02T03:04:05", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05.5", Some("2026-01-02T03:04:05.500Z")),
            ("2026-01-02T03:04:05.1234567891Z", Some("2026-01-02T03:04:05.123456789Z")),
            ("yesterday", None),
            ("2026-13-02T03:04:05Z", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(understand(text).as_deref(), moment, "{text}");
        }
    }

    #[test]
    fn only_a_text_that_means_the_moment_comes_back() {
        let moment = || Some(Node::string("2026-01-02T01:04:05Z"));
        let kept = Some(Node::string("2026-01-02T03:04:05+02:00"));
        assert_eq!(down(moment(), kept.clone()), kept);
        assert_eq!(down(moment(), Some(Node::string("2027-01-02T03:04:05+02:00"))), moment());
        assert_eq!(down(None, Some(Node::string("yesterday"))), Some(Node::string("yesterday")));
        assert_eq!(down(None, Some(Node::string("2027-01-02T03:04:05Z"))), None);
        assert_eq!(down(moment(), Some(Node::string("yesterday"))), moment());
    }
}
