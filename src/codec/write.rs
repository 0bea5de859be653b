//! Wire bytes → JSON text: in the order of the wire, in one pass. Where a field comes in pieces, which protobuf allows,
//! the message is written once more field by field, merged by protobuf's rules.

use std::collections::HashSet;

use super::pieces::Pieces;
use super::schema::{Enum, Field, Kind, Message, Shape};
use super::text::write_string;
use super::value::Entry;
use super::wire::{Fields, Value as Wire};
use super::{CARRIED, Cause, DEPTH_MAX, Error, KEPT, KEPT_FIELD, Result, timestamp, value};

/// Writes one message as a JSON object.
///
/// # Errors
/// If the bytes are no protobuf of that message, nest too deep, or carry a member that may not be carried.
pub fn write(message: &'static Message, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    write_message(message, &wire.into(), 0, Mode::default(), out)
}

/// Writes one message on its way to 0.3: what was kept stands in its member, and nothing that is carried.
pub(super) fn write_keeping(message: &'static Message, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    write_message(message, &wire.into(), 0, Mode { keeping: true, ..Mode::default() }, out)
}

/// Writes a `google.protobuf.Value` as JSON.
///
/// # Errors
/// As [`write()`].
pub fn write_value(wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    value::write(&wire.into(), 0, out)
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default)]
struct Mode {
    /// Whether a message further out came in pieces. Then this one is not tried in one pass first, or each level would
    /// double the work of those below it.
    merging: bool,
    /// Whether it is on its way to 0.3.
    keeping: bool,
}

fn write_message(
    message: &'static Message,
    wire: &Pieces<'_>,
    depth: usize,
    mode: Mode,
    out: &mut Vec<u8>,
) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Cause::TooDeep.into());
    }
    let start = out.len();
    let mut object = Object { message, depth, mode, out, seen: 0, carried: 0, empty: true };
    object.out.push(b'{');
    if mode.merging || message.has_map {
        object.merged(wire)?;
    } else if !object.in_order(wire)? {
        object.out.truncate(start + 1);
        let mode = Mode { merging: true, ..mode };
        object = Object { message, depth, mode, out, seen: 0, carried: 0, empty: true };
        object.merged(wire)?;
    }
    object.finish()
}

/// The bit of what was kept, which no field has: a message has 15 at most.
const SEEN_KEPT: u32 = 1 << 31;

/// An object that is being written.
struct Object<'o> {
    message: &'static Message,
    depth: usize,
    mode: Mode,
    out: &'o mut Vec<u8>,
    /// The fields that were written, one bit per index.
    seen: u32,
    /// The enum fields whose value was carried by name.
    carried: u32,
    empty: bool,
}

impl Object<'_> {
    /// Writes the fields as they come; `false` if one comes in pieces.
    fn in_order(&mut self, wire: &Pieces<'_>) -> Result<bool> {
        // The list that is being written, and the index of its last element.
        let mut open: Option<(usize, usize)> = None;
        for field in wire.fields() {
            let field = field?;
            let index = self.message.by_number(field.number);
            if open.is_some_and(|(list, _)| Some(list) != index) {
                self.out.push(b']');
                open = None;
            }
            let Some(index) = index else {
                if self.is_carried(field.number) {
                    self.carry(field.value.bytes()?)?;
                } else if self.is_kept(field.number) {
                    if self.seen & SEEN_KEPT != 0 {
                        return Ok(false);
                    }
                    self.keep(&field.value.bytes()?.into())?;
                }
                continue;
            };
            let schema = &self.message.fields[index];
            if let Some((_, element)) = &mut open {
                self.out.push(b',');
                *element += 1;
            } else {
                if self.seen & (1 << index | schema.rivals) != 0 {
                    return Ok(false);
                }
                self.key(index);
                if schema.shape == Shape::Many {
                    self.out.push(b'[');
                    open = Some((index, 0));
                }
            }
            self.value(schema, field.value).map_err(|error| match open {
                Some((_, element)) => error.at(element).within(schema.json),
                None => error.within(schema.json),
            })?;
        }
        if open.is_some() {
            self.out.push(b']');
        }
        Ok(true)
    }

    /// Writes the fields by their index, each merged from its pieces: of single values the last counts, messages are
    /// put together, lists go on, of a oneof the last member stays.
    fn merged(&mut self, wire: &Pieces<'_>) -> Result<()> {
        let mut pieces: Vec<Vec<Wire<'_>>> = vec![Vec::new(); self.message.fields.len()];
        let mut kept = Pieces::default();
        for field in wire.fields() {
            let field = field?;
            let Some(index) = self.message.by_number(field.number) else {
                if self.is_carried(field.number) {
                    self.carry(field.value.bytes()?)?;
                } else if self.is_kept(field.number) {
                    kept.push(field.value.bytes()?);
                }
                continue;
            };
            let rivals = self.message.fields[index].rivals;
            for (other, pieces) in pieces.iter_mut().enumerate() {
                if rivals & (1 << other) != 0 {
                    pieces.clear();
                }
            }
            pieces[index].push(field.value);
        }
        for (index, pieces) in pieces.iter().enumerate() {
            let field = &self.message.fields[index];
            if !pieces.is_empty() {
                self.key(index);
                let written = match field.shape {
                    Shape::Many => self.list(field, pieces),
                    Shape::Map => self.map(field, pieces),
                    Shape::One => self.single(field, pieces),
                };
                written.map_err(|error| error.within(field.json))?;
            }
        }
        if kept.fields().next().is_some() { self.keep(&kept) } else { Ok(()) }
    }

    /// Members that the schema does not know never cross to another dialect.
    fn is_carried(&self, number: u32) -> bool {
        number == CARRIED && !self.mode.keeping
    }

    fn is_kept(&self, number: u32) -> bool {
        number == KEPT_FIELD && self.mode.keeping
    }

    /// Writes what was kept from 0.3.
    fn keep(&mut self, wire: &Pieces<'_>) -> Result<()> {
        self.seen |= SEEN_KEPT;
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_string(self.out, KEPT);
        self.out.push(b':');
        value::write_struct(wire, self.depth + 1, self.out).map_err(|error| error.within(KEPT))
    }

    fn list(&mut self, field: &'static Field, elements: &[Wire<'_>]) -> Result<()> {
        self.out.push(b'[');
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(field, *element).map_err(|error| error.at(index))?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Of entries with the same key the last counts.
    fn map(&mut self, field: &'static Field, entries: &[Wire<'_>]) -> Result<()> {
        let (mut unique, mut keys) = (Vec::new(), HashSet::new());
        for entry in entries.iter().rev() {
            let entry = MapEntry::read(field.kind, entry.bytes()?)?;
            if keys.insert(entry.key) {
                unique.push(entry);
            }
        }
        self.out.push(b'{');
        for (index, MapEntry { key, pieces }) in unique.iter().rev().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_string(self.out, key);
            self.out.push(b':');
            // The entry is a message too.
            self.depth += 1;
            self.single(field, pieces).map_err(|error| error.within(key))?;
            self.depth -= 1;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// One value of its pieces: all of a message, the last of anything else.
    fn single(&mut self, field: &'static Field, pieces: &[Wire<'_>]) -> Result<()> {
        if field.kind.is_message() {
            let mut whole = Pieces::default();
            for piece in pieces {
                whole.push(piece.bytes()?);
            }
            return self.nested(field.kind, &whole);
        }
        pieces.last().map_or(Ok(()), |last| self.value(field, *last))
    }

    /// Starts a member that the schema knows.
    fn key(&mut self, index: usize) {
        self.seen |= 1 << index;
        let key = self.message.fields[index].key.as_bytes();
        self.out.extend_from_slice(if self.empty { &key[1..] } else { key });
        self.empty = false;
    }

    fn value(&mut self, field: &'static Field, wire: Wire<'_>) -> Result<()> {
        match field.kind {
            Kind::Bool if wire.varint()? == 0 => self.out.extend_from_slice(b"false"),
            Kind::Bool => self.out.extend_from_slice(b"true"),
            Kind::Bytes => {
                self.out.push(b'"');
                base64_simd::STANDARD.encode_append(wire.bytes()?, self.out);
                self.out.push(b'"');
            }
            Kind::Enum(list) => self.enumerated(list, wire.int32()?),
            Kind::Int32 => self.number(wire.int32()?),
            Kind::String => wire.utf8()?.write(self.out),
            Kind::Message(_) | Kind::Struct | Kind::Timestamp | Kind::Value => {
                return self.nested(field.kind, &wire.bytes()?.into());
            }
        }
        Ok(())
    }

    fn nested(&mut self, kind: Kind, wire: &Pieces<'_>) -> Result<()> {
        let depth = self.depth + 1;
        match kind {
            Kind::Message(message) => write_message(message, wire, depth, self.mode, self.out),
            Kind::Struct => value::write_struct(wire, depth, self.out),
            Kind::Timestamp => timestamp::write(wire, self.out),
            _ => value::write(wire, depth, self.out),
        }
    }

    /// By name; a number without a name in this version as it is.
    fn enumerated(&mut self, list: &'static Enum, number: i32) {
        match list.name(number) {
            Some(name) => {
                self.out.push(b'"');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'"');
            }
            None => self.number(number),
        }
    }

    fn number(&mut self, number: i32) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Writes members that the schema does not know, unless a name is, but for case, one that it does: nothing may be
    /// smuggled past who looks at the known fields.
    fn carry(&mut self, wire: &[u8]) -> Result<()> {
        for field in Fields::new(wire) {
            let Some(Entry { key, value }) = Entry::read(field?)? else { continue };
            let key = key.as_str();
            if let Some(index) = self.message.by_name_ignoring_case(key) {
                self.carry_enum(index, key, &value).map_err(|error| error.within(key))?;
            }
            if !self.empty {
                self.out.push(b',');
            }
            self.empty = false;
            write_string(self.out, key);
            self.out.push(b':');
            value::write(&value, self.depth + 3, self.out).map_err(|error| error.within(key))?;
        }
        Ok(())
    }

    /// The one known name that may be carried: an enum's, with a text that is none of its values.
    fn carry_enum(&mut self, index: usize, key: &str, value: &Pieces<'_>) -> Result<()> {
        let field = &self.message.fields[index];
        let unheard_of = match field.kind {
            Kind::Enum(list) if key == field.json => {
                value::text(value)?.is_some_and(|name| list.number(name).is_none())
            }
            _ => false,
        };
        if !unheard_of || self.carried & (1 << index) != 0 {
            return Err(Error::invalid(format!(
                "carried, but {} has a field of that name",
                self.message.name
            )));
        }
        self.carried |= 1 << index;
        Ok(())
    }

    /// Writes what is never left out, and ends the object.
    fn finish(mut self) -> Result<()> {
        if self.carried & self.seen != 0 {
            let field = &self.message.fields[(self.carried & self.seen).trailing_zeros() as usize];
            return Err(Error::invalid("carried beside its field").within(field.json));
        }
        let missing = self.message.always_written & !self.seen;
        for (index, field) in self.message.fields.iter().enumerate() {
            if missing & (1 << index) != 0 {
                self.key(index);
                self.out.extend_from_slice(match (field.shape, field.kind) {
                    (Shape::Many, _) => b"[]",
                    (Shape::Map, _) => b"{}",
                    (Shape::One, Kind::Bool) => b"false",
                    (Shape::One, Kind::Int32) => b"0",
                    (Shape::One, _) => b"\"\"",
                });
            }
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// An entry of a map.
struct MapEntry<'a> {
    key: &'a str,
    /// The pieces of the value, after the value that it has by default.
    pieces: Vec<Wire<'a>>,
}

impl<'a> MapEntry<'a> {
    fn read(kind: Kind, wire: &'a [u8]) -> Result<Self> {
        let default = match kind {
            Kind::Bool | Kind::Enum(_) | Kind::Int32 => Wire::Varint(0),
            _ => Wire::Len(&[]),
        };
        let mut entry = Self { key: "", pieces: vec![default] };
        for field in Fields::new(wire) {
            let field = field?;
            match field.number {
                1 => entry.key = field.value.text()?,
                2 => entry.pieces.push(field.value),
                _ => {}
            }
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Reading, read, schema};
    use super::*;

    fn through(message: &'static Message, text: &str) -> Result<String> {
        let wire = read(message, text, Reading::Request, 1 << 20)?;
        let mut out = Vec::new();
        write(message, &wire, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_json_says_and_protobuf_cannot_comes_out_again() {
        for (message, text) in [
            (&schema::PART, r#"{"data":null}"#),
            (
                &schema::PART,
                r#"{"data":[1,1.0,9007199254740993,123456789012345678901234567890,-0,-0.0,0.1,1e3]}"#,
            ),
            (&schema::PART, r#"{"text":"","future":{"a":[null]},"metadata":{}}"#),
            (&schema::MESSAGE, r#"{"messageId":"","role":"ROLE_OBSERVER","parts":[]}"#),
        ] {
            assert_eq!(through(message, text).unwrap(), text);
        }
    }

    #[test]
    fn pieces_are_put_together() {
        use super::super::wire::append;
        let mut wire = Vec::new();
        append(&mut wire, 5, b"\x0a\x01a");
        append(&mut wire, 1, b"first");
        append(&mut wire, 5, b"\x0a\x01b");
        append(&mut wire, 1, b"last");
        let mut out = Vec::new();
        write(&schema::MESSAGE, &wire, &mut out).unwrap();
        let expected = r#"{"messageId":"last","parts":[{"text":"a"},{"text":"b"}]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_value_of_a_map_in_pieces_is_put_together_and_of_equal_keys_the_last_counts() {
        let entry = b"\x0a\x11\x0a\x01k\x12\x03\x0a\x01a\x12\0\x12\x03\x0a\x01b\x18\x01";
        let list = |wire: &[u8]| {
            let mut out = Vec::new();
            write(&schema::SECURITY_REQUIREMENT, wire, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(list(entry), r#"{"schemes":{"k":{"list":["a","b"]}}}"#);
        let again = [&entry[..], b"\x0a\x03\x0a\x01k"].concat();
        assert_eq!(list(&again), r#"{"schemes":{"k":{}}}"#);
    }

    #[test]
    fn what_cannot_be_written_is_found_where_it_is() {
        use super::super::wire::append;
        let mut parts = Vec::new();
        append(&mut parts, 5, b"\x0a\x01a");
        append(&mut parts, 5, b"\x0a\x01\xff");
        let path = |wire: &[u8]| write(&schema::MESSAGE, wire, &mut Vec::new()).unwrap_err().path();
        assert_eq!(path(&parts), "parts[1].text");
        append(&mut parts, 1, b"m");
        append(&mut parts, 5, b"");
        assert_eq!(path(&parts), "parts[1].text");
        let mut wire = Vec::new();
        append(&mut wire, 1, b"m");
        append(&mut wire, 6, b"\x0a\x0e\x0a\x01k\x12\x09\x11\0\0\0\0\0\0\xf0\x7f");
        assert_eq!(path(&wire), "metadata.k");
    }
}
