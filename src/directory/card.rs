//! What a card says that agents are found by, read from its text whatever its dialect is. What is missing or odd is left
//! out: a card that somebody can talk by is one to list.

use bytes::Bytes;
use serde_json::Value;

use super::{Card, Skill};
use crate::a2a::Dialect;

/// The most bytes of a card's text that a directory keeps.
pub const MAX: usize = 256 << 10;

impl Card {
    /// Reads a card's text, which was there at `now` (Unix seconds).
    ///
    /// # Errors
    /// If it is no JSON object, or too long to be kept; with the reason.
    pub fn read(text: Bytes, now: i64) -> Result<Self, String> {
        if text.len() > MAX {
            return Err(format!(
                "the card has {} bytes, and a directory keeps no more than {MAX}",
                text.len()
            ));
        }
        let card: Value =
            serde_json::from_slice(&text).map_err(|error| format!("the card is no JSON: {error}"))?;
        if !card.is_object() {
            return Err("the card is no JSON object".to_owned());
        }
        Ok(Self {
            display_name: string(&card, "name"),
            description: string(&card, "description"),
            version: string(&card, "version"),
            dialects: dialects(&card),
            skills: list(&card, "skills").filter(|skill| skill.is_object()).map(skill).collect(),
            read: now,
            text,
        })
    }
}

fn skill(skill: &Value) -> Skill {
    Skill {
        id: string(skill, "id"),
        name: string(skill, "name"),
        description: string(skill, "description"),
        tags: list(skill, "tags").filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// The versions of A2A that the interfaces name, and the one that cards of 0.3 name at their top; of those that are spoken
/// here the name that they have here.
fn dialects(card: &Value) -> Vec<String> {
    let interfaces = list(card, "supportedInterfaces").map(|interface| &interface["protocolVersion"]);
    let mut dialects: Vec<String> = Vec::new();
    for version in interfaces.chain([&card["protocolVersion"]]).filter_map(Value::as_str) {
        let name = Dialect::of_version(version).map_or(version, |dialect| dialect.as_str());
        if !name.is_empty() && !dialects.iter().any(|known| known == name) {
            dialects.push(name.to_owned());
        }
    }
    if dialects.is_empty() && card["url"].is_string() {
        dialects.push(Dialect::V0_3.as_str().to_owned());
    }
    dialects
}

fn string(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Card, String> {
        Card::read(Bytes::copy_from_slice(text.as_bytes()), 7)
    }

    #[test]
    fn cards_of_both_dialects_are_read() {
        let skills =
            r#""skills":[{"id":"convert","name":"Convert","description":"Money","tags":["fx",1,"€"]},7,{}]"#;
        for (rest, dialects) in [
            (
                r#""supportedInterfaces":[{"protocolVersion":"1.0"},{"protocolVersion":"0.3"}]"#,
                &["1.0", "0.3"][..],
            ),
            (r#""supportedInterfaces":[{"protocolVersion":"1.0"},{"protocolVersion":"1.0"},{}]"#, &["1.0"]),
            (r#""protocolVersion":"0.3.0","url":"http://x""#, &["0.3"]),
            (r#""url":"http://x""#, &["0.3"]),
            (r#""supportedInterfaces":[{"protocolVersion":"2.0"}]"#, &["2.0"]),
            (r#""supportedInterfaces":7"#, &[]),
        ] {
            let card =
                read(&format!(r#"{{"name":"Currency","description":"d","version":"3",{skills},{rest}}}"#));
            let card = card.unwrap();
            assert_eq!((&*card.display_name, &*card.description, &*card.version), ("Currency", "d", "3"));
            assert_eq!(
                (card.dialects, card.read),
                (dialects.iter().map(|&name| name.to_owned()).collect(), 7)
            );
            assert_eq!(card.skills.len(), 2);
            assert_eq!(
                (&*card.skills[0].id, &card.skills[0].tags[..]),
                ("convert", &["fx".into(), "€".into()][..])
            );
        }
        assert_eq!(read("{}").unwrap().skills, []);
    }

    #[test]
    fn what_is_no_card_or_too_much_is_refused() {
        for (text, reason) in [
            ("", "no JSON"),
            ("[]", "no JSON object"),
            (&format!("{{\"name\":\"{}\"}}", "x".repeat(MAX)), "keeps no more than"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
