//! Forged messages with private fields, and the check that nothing is smuggled through them.

use std::fmt;

use dragoman::codec::schema::{Field, Kind, Message, Shape};
use dragoman::codec::wire::append;
use dragoman::codec::{CARRIED, EXACT_NUMBER};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What only 0.3 can say.
const ONLY_0_3: u32 = 52_604;
/// A member that only [`ONLY_0_3`] has.
const MARK: &str = "only-0.3";

/// A message whose fields, the private ones among them, are chosen byte by byte.
pub fn forge(message: &Message, choices: &mut &[u8], levels: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while let Some((choice, rest)) = choices.split_first() {
        *choices = rest;
        match choice % 8 {
            0 => break,
            1 | 2 => append(&mut wire, CARRIED, &entry(&name(message, choices), &value(choices))),
            3 => append(&mut wire, ONLY_0_3, &entry(MARK, &value(choices))),
            _ => {
                let index = usize::from(byte(choices));
                if let Some(field) = message.fields.get(index % message.fields.len().max(1)) {
                    forge_field(field, choices, levels, &mut wire);
                }
            }
        }
    }
    wire
}

fn forge_field(field: &Field, choices: &mut &[u8], levels: usize, wire: &mut Vec<u8>) {
    let payload = match field.kind {
        Kind::Bool | Kind::Enum(_) | Kind::Int32 => {
            return wire.extend([(field.number << 3) as u8, byte(choices) & 0x7f]);
        }
        Kind::Bytes | Kind::String => vec![b'a'; usize::from(byte(choices) % 3)],
        Kind::Message(inner) if levels > 0 => forge(inner, choices, levels - 1),
        Kind::Message(_) | Kind::Timestamp => Vec::new(),
        Kind::Struct => entry("k", &value(choices)),
        Kind::Value => value(choices),
    };
    if field.shape == Shape::Map {
        let mut entry = Vec::new();
        append(&mut entry, 1, b"key");
        append(&mut entry, 2, &payload);
        append(wire, field.number, &entry);
    } else {
        append(wire, field.number, &payload);
    }
}

fn byte(choices: &mut &[u8]) -> u8 {
    choices.split_off_first().copied().unwrap_or_default()
}

/// A name that a field has or nearly has.
fn name(message: &Message, choices: &mut &[u8]) -> String {
    let Some(field) = message.fields.get(usize::from(byte(choices)) % message.fields.len().max(1)) else {
        return "unknown".to_owned();
    };
    let name = if byte(choices) % 2 == 0 { field.json } else { field.proto };
    match byte(choices) % 8 {
        0 => name.to_owned(),
        1 => name.to_uppercase(),
        2 => name.to_lowercase(),
        3 => name.replace('s', "\u{17f}"),
        4 => name.replace('k', "\u{212a}"),
        5 => format!("{name}_"),
        6 => format!("x{name}"),
        _ => name.chars().rev().collect(),
    }
}

/// A `Value`, with the text of a number or without.
fn value(choices: &mut &[u8]) -> Vec<u8> {
    const TEXTS: [&str; 8] = ["1.0", "1", "1e0", "01", "2", "\"1\"", "", "1,\"id\":2"];
    let mut wire = Vec::new();
    match byte(choices) % 4 {
        0 => append(&mut wire, 3, b"TASK_STATE_WORKING"),
        1 => append(&mut wire, 3, b"LATER"),
        2 => {
            wire.push(0x11);
            wire.extend(1_f64.to_le_bytes());
        }
        _ => {}
    }
    let text = usize::from(byte(choices));
    if text % 2 == 1 {
        append(&mut wire, EXACT_NUMBER, TEXTS[text / 2 % TEXTS.len()].as_bytes());
    }
    wire
}

/// A `Struct` of one member.
fn entry(name: &str, value: &[u8]) -> Vec<u8> {
    let (mut entry, mut wire) = (Vec::new(), Vec::new());
    append(&mut entry, 1, name.as_bytes());
    append(&mut entry, 2, value);
    append(&mut wire, 1, &entry);
    wire
}

/// Checks the names of all members that belong to messages.
///
/// # Panics
/// If a name is, but for case, one of a field and not that field's own, or comes twice.
pub fn check(message: &Message, text: &str) {
    assert!(!text.contains(MARK), "{text}");
    let members: Members = serde_json::from_str(text).expect("JSON");
    let fold = |name: &str| name.to_uppercase().to_lowercase();
    for field in message.fields {
        let alike: Vec<_> = members
            .0
            .iter()
            .filter(|(name, _)| [fold(field.json), fold(field.proto)].contains(&fold(name)))
            .collect();
        assert!(
            alike.len() < 2 && alike.iter().all(|(name, _)| name == field.json),
            "{} in {text}",
            field.json
        );
        if let (Kind::Message(inner), Some((_, value))) = (field.kind, alike.first()) {
            match field.shape {
                Shape::One => check(inner, value.get()),
                Shape::Many => {
                    let list: Vec<Box<RawValue>> = serde_json::from_str(value.get()).expect("a list");
                    list.iter().for_each(|element| check(inner, element.get()));
                }
                Shape::Map => {
                    let map: Members = serde_json::from_str(value.get()).expect("a map");
                    map.0.iter().for_each(|(_, value)| check(inner, value.get()));
                }
            }
        }
    }
}

/// An object as it was written, duplicates and spelling included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
