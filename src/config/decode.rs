//! Tree → raw structs, by serde, and without stopping at the first mistake: what is wrong is written down, the key is
//! marked as refused, and reading goes on behind it.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{
    expand::{Variables, expand},
    field::{Field, Located, ONE_OR_MANY},
    problem::{Mark, Problems, quote},
    tree::{Kind, Node},
};

/// Reads the whole document as a `T`.
pub(super) fn decode<'a, T: Deserialize<'a>>(
    document: &'a Node,
    env: &'a dyn Variables,
    problems: &'a Problems,
) -> Option<Located<T>> {
    let decoder = Decoder { node: document, at: document.at, path: String::new(), env, problems };
    match Field::deserialize(decoder.clone()) {
        Ok(Field::Given(root)) => Some(root),
        Ok(Field::Absent | Field::Refused) => None,
        Err(halt) => {
            decoder.note(halt);
            None
        }
    }
}

/// Reads one node.
#[derive(Clone)]
struct Decoder<'a> {
    node: &'a Node,
    /// Where to point: at the node, or at the key of one that begins on a later line or nowhere.
    at: Mark,
    path: String,
    env: &'a dyn Variables,
    problems: &'a Problems,
}

/// Why a value could not be had.
#[derive(Debug)]
enum Halt {
    /// It is written down.
    Noted,
    /// Not yet: serde itself had something to say.
    Said(String),
}

impl<'a> Decoder<'a> {
    /// Writes a problem with this node down.
    fn refuse(&self, what: &str) -> Halt {
        let text =
            if self.path.is_empty() { format!("the file {what}") } else { format!("{}: {what}", self.path) };
        self.problems.add(self.at, text);
        Halt::Noted
    }

    /// Sees to it that a halt is written down.
    fn note(&self, halt: Halt) {
        if let Halt::Said(message) = halt {
            self.refuse(&message);
        }
    }

    /// The node is something else than what the key wants.
    fn mismatch(&self, wanted: &str) -> Halt {
        match &self.node.kind {
            Kind::Refused => Halt::Noted,
            Kind::Null => self.refuse("has no value; give it one or leave the key out"),
            Kind::List(_) => self.refuse(&format!("is a list; it should be {wanted}")),
            Kind::Map(_) => self.refuse(&format!("is a map; it should be {wanted}")),
            Kind::Text(text) => self.refuse(&format!("is {}; it should be {wanted}", quote(text))),
        }
    }

    fn step(&self, node: &'a Node, path: String) -> Self {
        Decoder { node, at: node.at, path, ..self.clone() }
    }

    /// The value of a key.
    fn value(&self, key: &'a Node, value: &'a Node, path: String) -> Self {
        let at = if matches!(value.kind, Kind::Text(_)) { value.at } else { key.at };
        Decoder { node: value, at, path, ..self.clone() }
    }

    /// The path of a key below this one.
    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The entries of a map, each key once; `known` are the keys that it may have, if they are few and fixed.
    fn entries(&self, entries: &'a [(Node, Node)], known: Option<&[&str]>) -> Vec<(&'a Node, Self)> {
        let mut seen: Vec<(&str, &Node)> = Vec::new();
        let mut kept = Vec::new();
        for (key, value) in entries {
            let Kind::Text(name) = &key.kind else {
                if !matches!(key.kind, Kind::Refused) {
                    self.problems.add(key.at, "a key should be a word");
                }
                continue;
            };
            if let Some((_, first)) = seen.iter().find(|(seen, _)| seen == name) {
                let line = first.at.line;
                let twice =
                    format!("{} is already written at line {line}; keep one of the two", self.below(name));
                self.problems.add(key.at, twice);
                continue;
            }
            seen.push((name, key));
            match known {
                Some(known) if !known.contains(&name.as_str()) => self.unknown(key, name, known),
                _ => kept.push((key, self.value(key, value, self.below(name)))),
            }
        }
        kept
    }

    fn unknown(&self, key: &Node, name: &str, known: &[&str]) {
        let place =
            if self.path.is_empty() { "at the top level".to_owned() } else { format!("in {}", self.path) };
        let advice = match closest(name, known) {
            Some(close) => format!("did you mean {close:?}?"),
            None => format!("the keys here are {}", known.join(", ")),
        };
        self.problems.add(key.at, format!("unknown key {} {place}; {advice}", quote(name)));
    }
}

/// The key that was most likely meant.
fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let distance = |key: &str| strsim::damerau_levenshtein(&plain(name), &plain(key));
    let (close, away) = known.iter().map(|key| (*key, distance(key))).min_by_key(|(_, away)| *away)?;
    (away <= 2 && away * 2 < close.len()).then_some(close)
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = Halt;

    /// A [`Field`]: the place, then the value.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        visitor.visit_seq(Parts { decoder: self, step: 0 })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        let Kind::Text(text) = &self.node.kind else {
            return Err(self.mismatch("a single value"));
        };
        match expand(text, self.env) {
            Ok(text) => visitor.visit_string(text),
            Err(wrong) => {
                wrong.iter().for_each(|what| drop(self.refuse(what)));
                Err(Halt::Noted)
            }
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(Items { decoder: self, items, next: 0 }),
            _ => Err(self.mismatch("a list: [a, b], or one line with \"- \" for each")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Halt> {
        match &self.node.kind {
            Kind::List(_) if name == ONE_OR_MANY => self.deserialize_seq(visitor),
            Kind::Text(_) if name == ONE_OR_MANY => {
                let items = std::slice::from_ref(self.node);
                visitor.visit_seq(Items { decoder: self, items, next: 0 })
            }
            _ => Err(self.mismatch("one value or a list of them")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        match &self.node.kind {
            Kind::Map(entries) => visitor.visit_map(Entries::new(self.entries(entries, None))),
            _ => Err(self.mismatch("a map: {key: value}, or one line with \"key: value\" for each")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        match &self.node.kind {
            Kind::Map(entries) => visitor.visit_map(Entries::new(self.entries(entries, Some(fields)))),
            // A section of which every key is commented out.
            Kind::Null => visitor.visit_map(Entries::new(Vec::new())),
            _ => Err(self.mismatch(&format!("a map with the keys {}", fields.join(", ")))),
        }
    }

    /// The name of a struct's key.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        match &self.node.kind {
            Kind::Text(name) => visitor.visit_borrowed_str(name),
            _ => Err(self.mismatch("a word")),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        self.deserialize_string(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct tuple
        tuple_struct enum ignored_any
    }
}

/// The four parts of a [`Field`]: line, column, path, and the value if it could be had.
struct Parts<'a> {
    decoder: Decoder<'a>,
    step: u8,
}

impl<'de> SeqAccess<'de> for Parts<'de> {
    type Error = Halt;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Halt> {
        self.step += 1;
        let decoder = &self.decoder;
        match self.step {
            1 => seed.deserialize(decoder.at.line.into_deserializer()).map(Some),
            2 => seed.deserialize(decoder.at.column.into_deserializer()).map(Some),
            3 => seed.deserialize(decoder.path.as_str().into_deserializer()).map(Some),
            _ => Ok(seed.deserialize(decoder.clone()).map_err(|halt| decoder.note(halt)).ok()),
        }
    }
}

/// The items of a list.
struct Items<'a> {
    decoder: Decoder<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Halt;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Halt> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        // The only item of a list that is not written as one has the list's own name.
        let whole = std::ptr::eq(item, self.decoder.node);
        let path = &self.decoder.path;
        let path = if whole { path.clone() } else { format!("{path}[{}]", self.next) };
        self.next += 1;
        seed.deserialize(self.decoder.step(item, path)).map(Some)
    }
}

/// The entries of a map, as pairs of key and value, last one first.
struct Entries<'a> {
    left: Vec<(&'a Node, Decoder<'a>)>,
    value: Option<Decoder<'a>>,
}

impl<'a> Entries<'a> {
    fn new(mut entries: Vec<(&'a Node, Decoder<'a>)>) -> Self {
        entries.reverse();
        Self { left: entries, value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Halt;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Halt> {
        let Some((key, value)) = self.left.pop() else { return Ok(None) };
        let path = value.path.clone();
        let key = value.step(key, path);
        self.value = Some(value);
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Halt> {
        match self.value.take() {
            Some(value) => seed.deserialize(value),
            None => Err(Halt::Said("a value without a key".to_owned())),
        }
    }
}

impl serde::de::Error for Halt {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Said(message.to_string())
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noted => f.write_str("already written down"),
            Self::Said(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Halt {}
