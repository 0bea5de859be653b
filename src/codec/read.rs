//! JSON text → wire bytes, in one pass.

use std::borrow::Cow;
use std::collections::HashSet;

use super::schema::{Enum, Field, Kind, Message, Shape};
use super::text::{Scanner, number_len};
use super::wire::Writer;
use super::{CARRIED, Cause, Error, KEPT, KEPT_FIELD, Result, timestamp, value};

/// How strict a reader is about fields that the schema requires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// SDKs leave out defaults, so nothing is missed.
    Reply,
    /// A required field that is missing or null is an error.
    Request,
}

/// Reads messages out of a JSON text.
#[derive(Debug)]
pub struct Reader<'a, 's> {
    scan: &'s mut Scanner<'a>,
    out: Writer,
    reading: Reading,
    /// Whether the text is made of one of 0.3.
    keeping: bool,
}

/// The fields of a message that have come so far, one bit per index.
#[derive(Debug, Default)]
struct Seen {
    /// With any value.
    named: u32,
    /// With a value that is not null.
    given: u32,
}

/// A member's key.
enum Key<'a> {
    /// Of the field with that index.
    Known(usize),
    /// Of no field.
    Unknown(Cow<'a, str>),
}

/// Reads a text that is one message.
///
/// # Errors
/// If it is no JSON, breaks the schema, or takes more than `limit` bytes on the wire.
pub fn read(message: &'static Message, text: &str, reading: Reading, limit: usize) -> Result<Vec<u8>> {
    let mut scan = Scanner::new(text);
    let wire = Reader::new(&mut scan, reading, limit, text.len()).read(message)?;
    scan.end()?;
    Ok(wire)
}

/// Reads one value of any type as a `google.protobuf.Value`.
///
/// # Errors
/// If it is no JSON, or takes more than `limit` bytes on the wire.
pub fn read_value(scan: &mut Scanner<'_>, limit: usize) -> Result<Vec<u8>> {
    let mut out = Writer::new(limit, 64);
    value::read(scan, &mut out)?;
    out.finish()
}

impl<'a, 's> Reader<'a, 's> {
    /// A reader of the message that starts where the scanner stands; `size` is about how many bytes of text it has.
    pub fn new(scan: &'s mut Scanner<'a>, reading: Reading, limit: usize, size: usize) -> Self {
        let capacity = size.min(limit).saturating_add(64);
        Self { scan, out: Writer::new(limit, capacity), reading, keeping: false }
    }

    /// Reads what was made of 0.3: what is kept goes into its field, and nothing is carried.
    pub(super) fn keeping(self) -> Self {
        Self { keeping: true, ..self }
    }

    /// Reads one message and leaves the scanner behind it.
    ///
    /// # Errors
    /// If it is no JSON, breaks the schema, or takes more than the limit on the wire.
    pub fn read(mut self, message: &'static Message) -> Result<Vec<u8>> {
        self.message(message)?;
        self.out.finish()
    }

    fn message(&mut self, message: &'static Message) -> Result<()> {
        let mut seen = Seen::default();
        let mut more = self.scan.begin_object()?;
        while more {
            match self.key(message)? {
                Key::Known(index) => {
                    let read = self.member(message, index, &mut seen);
                    read.map_err(|error| error.within(message.fields[index].json))?;
                }
                Key::Unknown(key) => self.carry(message, &key).map_err(|error| error.within(&key))?,
            }
            more = self.scan.more(b'}')?;
        }
        let missing = message.required & !seen.given;
        if self.reading == Reading::Request && missing != 0 {
            let field = &message.fields[missing.trailing_zeros() as usize];
            return Err(
                Error::invalid(format!("required in {}, but missing", message.name)).within(field.json)
            );
        }
        Ok(())
    }

    /// The key of a member, in its usual spelling at one glance.
    #[inline]
    fn key(&mut self, message: &'static Message) -> Result<Key<'a>> {
        let start = self.scan.key_start();
        let known =
            start.and_then(|start| message.by_start(start, |field| self.scan.take_literal(&field.key[1..])));
        known.map_or_else(|| self.other_key(message), |index| Ok(Key::Known(index)))
    }

    fn other_key(&mut self, message: &'static Message) -> Result<Key<'a>> {
        let key = self.scan.key()?;
        Ok(message.by_name(&key).map_or(Key::Unknown(key), Key::Known))
    }

    fn member(&mut self, message: &'static Message, index: usize, seen: &mut Seen) -> Result<()> {
        let field = &message.fields[index];
        if seen.named & (1 << index) != 0 {
            return Err(Error::invalid("given twice"));
        }
        seen.named |= 1 << index;
        let is_value = matches!((field.kind, field.shape), (Kind::Value, Shape::One));
        if !is_value && self.scan.peek() == Some(b'n') && self.scan.take_literal("null") {
            return Ok(());
        }
        let rivals = seen.given & field.rivals;
        if rivals != 0 {
            let rival = message.fields[rivals.trailing_zeros() as usize].json;
            return Err(Error::invalid(format!("given beside {rival}, of which only one may be")));
        }
        seen.given |= 1 << index;
        match field.shape {
            Shape::One => self.value(field.number, field.kind, field),
            Shape::Many => self.list(field),
            Shape::Map => self.map(field),
        }
    }

    fn list(&mut self, field: &'static Field) -> Result<()> {
        let mut more = self.scan.begin_list()?;
        let mut index = 0;
        while more {
            self.value(field.number, field.kind, field).map_err(|error| error.at(index))?;
            index += 1;
            more = self.scan.more(b']')?;
        }
        Ok(())
    }

    fn map(&mut self, field: &'static Field) -> Result<()> {
        let mut seen = HashSet::new();
        let mut more = self.scan.begin_object()?;
        while more {
            let key = self.scan.key()?;
            if !seen.insert(key.clone()) {
                return Err(Error::invalid("given twice").within(&key));
            }
            self.entry(&key, field).map_err(|error| error.within(&key))?;
            more = self.scan.more(b'}')?;
        }
        Ok(())
    }

    fn entry(&mut self, key: &str, field: &'static Field) -> Result<()> {
        self.out.begin(field.number)?;
        self.out.bytes(1, key.as_bytes())?;
        self.value(2, field.kind, field)?;
        self.out.end();
        Ok(())
    }

    fn value(&mut self, number: u32, kind: Kind, field: &'static Field) -> Result<()> {
        match kind {
            Kind::Bool => {
                let value = self.scan.bool()?;
                return self.out.varint(number, u64::from(value));
            }
            Kind::Bytes => return self.bytes(number),
            Kind::Enum(list) => return self.enumerated(number, list, field),
            Kind::Int32 => {
                let value = self.int32()?;
                return self.out.int32(number, value);
            }
            Kind::String => return value::read_text(number, self.scan, &mut self.out),
            Kind::Message(_) | Kind::Struct | Kind::Timestamp | Kind::Value => self.out.begin(number)?,
        }
        match kind {
            Kind::Message(message) => self.message(message)?,
            Kind::Struct => value::read_struct(self.scan, &mut self.out)?,
            Kind::Timestamp => timestamp::read(&self.scan.string()?, &mut self.out)?,
            _ => value::read(self.scan, &mut self.out)?,
        }
        self.out.end();
        Ok(())
    }

    /// Base64 in either alphabet, padded or not. The usual spelling is decoded in place.
    fn bytes(&mut self, number: u32) -> Result<()> {
        let text = self.scan.string()?;
        let padded = text.len();
        let text = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(&text);
        if text.len() < padded && text.len() % 4 == 0 {
            return Err(Error::invalid("not base64"));
        }
        let length = text.len() / 4 * 3 + text.len() % 4 * 3 / 4;
        let decoded = self.out.with(number, length, |out| {
            let decoded = base64_simd::STANDARD_NO_PAD.decode_append(text.as_bytes(), out);
            decoded.map_err(|_| Error::invalid("not base64"))
        });
        match decoded {
            Err(error) if matches!(error.cause(), Cause::Invalid(_)) => {}
            done => return done,
        }
        let standard = |letter| match letter {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let mut text: Vec<u8> = text.bytes().map(standard).collect();
        let decoded = base64_simd::forgiving_decode_inplace(&mut text);
        self.out.bytes(number, decoded.map_err(|_| Error::invalid("not base64"))?)
    }

    /// An enum by name or number. A name that this version has not heard of is carried under the field's name.
    fn enumerated(&mut self, number: u32, list: &'static Enum, field: &'static Field) -> Result<()> {
        if self.scan.peek() != Some(b'"') {
            let value = self.int32()?;
            return self.out.int32(number, value);
        }
        let mut ahead = self.scan.clone();
        let name = ahead.string()?;
        match list.number(&name) {
            Some(value) => {
                *self.scan = ahead;
                self.out.int32(number, value)
            }
            None => self.carry_member(field.json),
        }
    }

    /// A whole number, as a number or as text.
    fn int32(&mut self) -> Result<i32> {
        let quoted;
        let text = if self.scan.peek() == Some(b'"') {
            quoted = self.scan.string()?;
            &*quoted
        } else {
            self.scan.number()?
        };
        int32(text).ok_or_else(|| Error::invalid("not a whole number of 32 bits"))
    }

    fn carry(&mut self, message: &'static Message, key: &str) -> Result<()> {
        if self.keeping {
            return self.keep(key);
        }
        match message.by_name_ignoring_case(key) {
            Some(index) => {
                let field = message.fields[index].json;
                Err(Error::invalid(format!(
                    "unknown in {}, and too like {field} to be carried",
                    message.name
                )))
            }
            None => self.carry_member(key),
        }
    }

    fn keep(&mut self, key: &str) -> Result<()> {
        if key != KEPT {
            return Err(Error::invalid("no member of 1.0"));
        }
        self.out.begin(KEPT_FIELD)?;
        value::read_struct(self.scan, &mut self.out)?;
        self.out.end();
        Ok(())
    }

    fn carry_member(&mut self, key: &str) -> Result<()> {
        self.out.begin(CARRIED)?;
        value::read_entry(key, self.scan, &mut self.out)?;
        self.out.end();
        Ok(())
    }
}

/// `7`, `7.0` and `7e0` are whole numbers; `7.5` is none.
fn int32(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        // `+7` and `007` are numbers to Rust, but not to JSON.
        return (number_len(text.as_bytes()) == text.len()).then_some(number);
    }
    let number: f64 = text.parse().ok().filter(|_| number_len(text.as_bytes()) == text.len())?;
    let whole = number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
    #[expect(clippy::cast_possible_truncation, reason = "whole and within range")]
    whole.then_some(number as i32)
}
