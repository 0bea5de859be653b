//! Wire bytes → JSON text: in the order of the wire, in one pass. Where a field comes in pieces, which protobuf allows,
//! the message is written once more field by field, merged by protobuf's rules.

use std::borrow::Cow;
use std::io::Write as _;

use super::schema::{Enum, Field, Kind, Message, Shape};
use super::text::write_string;
use super::value::Entry;
use super::wire::{Fields, Value as Wire};
use super::{CARRIED, Cause, DEPTH_MAX, Error, Result, timestamp, value};

/// Writes one message as a JSON object.
///
/// # Errors
/// If the bytes are no protobuf of that message, nest too deep, or carry a member that may not be carried.
pub fn write(message: &'static Message, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    write_message(message, wire, 0, out)
}

/// Writes a `google.protobuf.Value` as JSON.
///
/// # Errors
/// As [`write()`].
pub fn write_value(wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    value::write(wire, 0, out)
}

fn write_message(message: &'static Message, wire: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Cause::TooDeep.into());
    }
    let start = out.len();
    let mut object = Object { message, depth, out, seen: 0, carried: 0, empty: true };
    object.out.push(b'{');
    if message.has_map || !object.in_order(wire)? {
        object.out.truncate(start + 1);
        object = Object { message, depth, out, seen: 0, carried: 0, empty: true };
        object.merged(wire)?;
    }
    object.finish()
}

/// An object that is being written.
struct Object<'o> {
    message: &'static Message,
    depth: usize,
    out: &'o mut Vec<u8>,
    /// The fields that were written, one bit per index.
    seen: u32,
    /// The enum fields whose value was carried by name.
    carried: u32,
    empty: bool,
}

impl Object<'_> {
    /// Writes the fields as they come; `false` if one comes in pieces.
    fn in_order(&mut self, wire: &[u8]) -> Result<bool> {
        let mut open = None;
        for field in Fields::new(wire) {
            let field = field?;
            let index = self.message.by_number(field.number);
            if open.is_some() && open != index {
                self.out.push(b']');
                open = None;
            }
            let Some(index) = index else {
                if field.number == CARRIED {
                    self.carry(field.value.bytes()?)?;
                }
                continue;
            };
            let schema = &self.message.fields[index];
            if open.is_some() {
                self.out.push(b',');
            } else {
                if self.seen & (1 << index | schema.rivals) != 0 {
                    return Ok(false);
                }
                self.key(index);
                if schema.shape == Shape::Many {
                    self.out.push(b'[');
                    open = Some(index);
                }
            }
            self.value(schema, field.value).map_err(|error| error.within(schema.json))?;
        }
        if open.is_some() {
            self.out.push(b']');
        }
        Ok(true)
    }

    /// Writes the fields by their index, each merged from its pieces: of single values the last counts, messages are
    /// put together, lists go on, of a oneof the last member stays.
    fn merged(&mut self, wire: &[u8]) -> Result<()> {
        let mut pieces: Vec<Vec<Wire<'_>>> = vec![Vec::new(); self.message.fields.len()];
        for field in Fields::new(wire) {
            let field = field?;
            let Some(index) = self.message.by_number(field.number) else {
                if field.number == CARRIED {
                    self.carry(field.value.bytes()?)?;
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
            if let Some(last) = pieces.last() {
                self.key(index);
                let written = match field.shape {
                    Shape::Many => self.list(field, pieces),
                    Shape::Map => self.map(field, pieces),
                    Shape::One => self.single(field, pieces, *last),
                };
                written.map_err(|error| error.within(field.json))?;
            }
        }
        Ok(())
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
        let mut unique: Vec<(&str, Wire<'_>)> = Vec::new();
        for entry in entries {
            let default = match field.kind {
                Kind::String | Kind::Message(_) => Wire::Len(&[]),
                _ => Wire::Varint(0),
            };
            let (mut key, mut value) = ("", default);
            for field in Fields::new(entry.bytes()?) {
                let field = field?;
                match field.number {
                    1 => key = field.value.text()?,
                    2 => value = field.value,
                    _ => {}
                }
            }
            match unique.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => unique.push((key, value)),
            }
        }
        self.out.push(b'{');
        for (index, (key, value)) in unique.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_string(self.out, key);
            self.out.push(b':');
            // The entry is a message too.
            self.depth += 1;
            self.value(field, value).map_err(|error| error.within(key))?;
            self.depth -= 1;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn single(&mut self, field: &'static Field, pieces: &[Wire<'_>], last: Wire<'_>) -> Result<()> {
        if !matches!(field.kind, Kind::Message(_) | Kind::Struct | Kind::Timestamp | Kind::Value) {
            return self.value(field, last);
        }
        let mut whole = Cow::Borrowed(&[][..]);
        for piece in pieces {
            value::merge(&mut whole, piece.bytes()?);
        }
        self.value(field, Wire::Len(&whole))
    }

    /// Starts a member.
    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_string(self.out, name);
        self.out.push(b':');
    }

    fn key(&mut self, index: usize) {
        self.seen |= 1 << index;
        self.name(self.message.fields[index].json);
    }

    fn value(&mut self, field: &'static Field, wire: Wire<'_>) -> Result<()> {
        let depth = self.depth + 1;
        match field.kind {
            Kind::Bool if wire.varint()? == 0 => self.out.extend_from_slice(b"false"),
            Kind::Bool => self.out.extend_from_slice(b"true"),
            Kind::Bytes => {
                self.out.push(b'"');
                base64_simd::STANDARD.encode_append(wire.bytes()?, self.out);
                self.out.push(b'"');
            }
            Kind::Enum(list) => self.enumerated(list, wire.int32()?)?,
            Kind::Int32 => self.number(wire.int32()?)?,
            Kind::Message(message) => return write_message(message, wire.bytes()?, depth, self.out),
            Kind::String => write_string(self.out, wire.text()?),
            Kind::Struct => return value::write_struct(wire.bytes()?, depth, self.out),
            Kind::Timestamp => return timestamp::write(wire.bytes()?, self.out),
            Kind::Value => return value::write(wire.bytes()?, depth, self.out),
        }
        Ok(())
    }

    /// By name; a number without a name in this version as it is.
    fn enumerated(&mut self, list: &'static Enum, number: i32) -> Result<()> {
        match list.name(number) {
            Some(name) => write_string(self.out, name),
            None => return self.number(number),
        }
        Ok(())
    }

    fn number(&mut self, number: i32) -> Result<()> {
        write!(self.out, "{number}").map_err(|_| Error::invalid("not a number"))
    }

    /// Writes members that the schema does not know, unless a name is, but for case, one that it does: nothing may be
    /// smuggled past who looks at the known fields.
    fn carry(&mut self, wire: &[u8]) -> Result<()> {
        for entry in value::entries(wire) {
            let Entry { key, value } = entry?;
            if let Some(index) = self.message.by_name_ignoring_case(key) {
                self.carry_enum(index, key, &value).map_err(|error| error.within(key))?;
            }
            self.name(key);
            value::write(&value, self.depth + 3, self.out).map_err(|error| error.within(key))?;
        }
        Ok(())
    }

    /// The one known name that may be carried: an enum's, with a text that is none of its values.
    fn carry_enum(&mut self, index: usize, key: &str, value: &[u8]) -> Result<()> {
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
}
