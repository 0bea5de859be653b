//! JSON that is compared as it was written: the spelling of numbers counts, the order of members does not.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// The text with its members in the order of their names and without white space; numbers are as they were.
pub(crate) fn canonical(text: &str) -> String {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, Box<RawValue>> = parse(text);
            let members = members.iter().map(|(name, value)| format!("{name:?}:{}", canonical(value.get())));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Some(b'[') => {
            let elements: Vec<Box<RawValue>> = parse(text);
            let elements = elements.iter().map(|element| canonical(element.get()));
            format!("[{}]", elements.collect::<Vec<_>>().join(","))
        }
        Some(b'"') => format!("{:?}", parse::<String>(text)),
        _ => text.to_owned(),
    }
}

/// The text of a member of an object; `None` if there is none.
pub(crate) fn member(text: &str, name: &str) -> Option<String> {
    let members: BTreeMap<String, Box<RawValue>> = parse(text);
    members.get(name).map(|value| value.get().to_owned())
}

pub(crate) fn value(text: &str) -> Value {
    parse(text)
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:.2000}"))
}
