//! The protobuf wire format: reading fields and editing without decoding here, writing in [`Writer`].

mod writer;

use std::ops::Range;

pub use self::writer::Writer;
use super::text::Utf8;
use super::{Cause, DEPTH_MAX, Error, Result};

/// A value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Anything with a length: strings, bytes, messages.
    Len(&'a [u8]),
    /// A field whose kind no field of ours has (a group, four fixed bytes), stepped over.
    Other,
    /// A number of variable length.
    Varint(u64),
}

impl<'a> Value<'a> {
    /// The bytes of a value with a length.
    ///
    /// # Errors
    /// If the value is of another wire type.
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Self::Len(bytes) => Ok(bytes),
            _ => Err(broken("a field has another wire type than its schema")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// If the value is of another wire type, or no UTF-8.
    #[inline]
    pub fn text(self) -> Result<&'a str> {
        simdutf8::basic::from_utf8(self.bytes()?).map_err(|_| broken("a string is not UTF-8"))
    }

    /// A text that is to be written.
    ///
    /// # Errors
    /// If the value is of another wire type, or no UTF-8.
    #[inline]
    pub(super) fn utf8(self) -> Result<Utf8<'a>> {
        Utf8::new(self.bytes()?).ok_or_else(|| broken("a string is not UTF-8"))
    }

    /// A number.
    ///
    /// # Errors
    /// If the value is of another wire type.
    #[inline]
    pub fn varint(self) -> Result<u64> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(broken("a field has another wire type than its schema")),
        }
    }

    /// A double.
    ///
    /// # Errors
    /// If the value is of another wire type.
    #[inline]
    pub fn double(self) -> Result<f64> {
        match self {
            Self::Fixed64(bytes) => Ok(f64::from_le_bytes(bytes)),
            _ => Err(broken("a field has another wire type than its schema")),
        }
    }

    /// An `int32` or an enum: the low 32 bits, as protobuf reads them.
    ///
    /// # Errors
    /// If the value is of another wire type.
    #[expect(clippy::cast_possible_truncation, reason = "protobuf keeps the low 32 bits")]
    #[inline]
    pub fn int32(self) -> Result<i32> {
        self.varint().map(|number| number as i32)
    }
}

#[cold]
fn broken(what: &'static str) -> Error {
    Cause::Wire(what).into()
}

/// One field of a message: its number, its value, and the bytes that it takes with its tag.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// The number in the schema.
    pub number: u32,
    /// The value.
    pub value: Value<'a>,
    /// Where the field stands in the message, tag included.
    pub span: Range<usize>,
}

/// The fields of a message, in the order of the wire.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    wire: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Starts at the beginning of a message.
    pub fn new(wire: &'a [u8]) -> Self {
        Self { wire, at: 0 }
    }

    /// Most numbers have one byte.
    #[inline(always)]
    fn varint(&mut self) -> Result<u64> {
        match self.wire.get(self.at) {
            Some(byte @ ..0x80) => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.wire.get(self.at).ok_or_else(|| broken("cut off within a number"))?;
            self.at += 1;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 && (shift < 63 || byte < 2) {
                return Ok(number);
            }
        }
        Err(broken("a number of more than 64 bits"))
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length);
        let bytes = end.and_then(|end| self.wire.get(self.at..end));
        let bytes = bytes.ok_or_else(|| broken("cut off within a field"))?;
        self.at += length;
        Ok(bytes)
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u8)> {
        let tag = u32::try_from(self.varint()?).map_err(|_| broken("a field number above 2^29-1"))?;
        if tag >> 3 == 0 {
            return Err(broken("a field number of 0"));
        }
        Ok((tag >> 3, (tag & 7) as u8))
    }

    #[inline(always)]
    fn value(&mut self, number: u32, wire_type: u8) -> Result<Value<'a>> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => {
                let bytes = self.take(8)?.first_chunk().copied();
                bytes.map(Value::Fixed64).ok_or_else(|| broken("cut off within a field"))
            }
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                self.take(length).map(Value::Len)
            }
            3 => self.group(number).map(|()| Value::Other),
            5 => self.take(4).map(|_| Value::Other),
            _ => Err(broken("an unknown wire type")),
        }
    }

    /// Steps over a group, an old way to nest that no message of ours uses.
    fn group(&mut self, number: u32) -> Result<()> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let (number, wire_type) = self.tag()?;
            match wire_type {
                3 => open.push(number),
                4 if number == innermost => drop(open.pop()),
                4 => return Err(broken("a group ends that did not begin")),
                other => drop(self.value(number, other)?),
            }
            if open.len() > DEPTH_MAX {
                return Err(Cause::TooDeep.into());
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn field(&mut self) -> Result<Field<'a>> {
        let start = self.at;
        let (number, wire_type) = self.tag()?;
        let value = self.value(number, wire_type)?;
        Ok(Field { number, value, span: start..self.at })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    // Inlined with all that it calls: a field that is moved costs more than one that is read.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.wire.len() {
            return None;
        }
        Some(self.field().inspect_err(|_| self.at = self.wire.len()))
    }
}

/// The last occurrence of a string field, which is the one that counts; `""` if there is none.
///
/// # Errors
/// If the message is no protobuf, or the field no string.
pub fn last_string(wire: &[u8], number: u32) -> Result<&str> {
    let mut last = "";
    for field in Fields::new(wire) {
        let field = field?;
        if field.number == number {
            last = field.value.text()?;
        }
    }
    Ok(last)
}

/// The message without the fields of that number.
///
/// # Errors
/// If the message is no protobuf.
pub fn without(wire: &[u8], number: u32) -> Result<Vec<u8>> {
    let mut rest = Vec::with_capacity(wire.len());
    for field in Fields::new(wire) {
        let field = field?;
        if field.number != number {
            rest.extend_from_slice(&wire[field.span]);
        }
    }
    Ok(rest)
}

/// Goes over the fields of a message once: `edit` writes something else in a field's place, or says that it stays.
///
/// # Errors
/// If the message is no protobuf, or `edit` refuses a field.
pub fn edit(
    message: &[u8],
    mut edit: impl FnMut(&Field<'_>, &mut Vec<u8>) -> Result<Edit>,
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len() + 256);
    for field in Fields::new(message) {
        let field = field?;
        if edit(&field, &mut out)? == Edit::Keep {
            let span = message.get(field.span).ok_or_else(|| broken("cut off within a field"))?;
            out.extend_from_slice(span);
        }
    }
    Ok(out)
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Edit {
    /// It goes, or something was written in its place.
    Done,
    /// It stays as it is.
    Keep,
}

/// Appends a field with a length. After all others, it wins over a field of the same number, or adds to a list.
#[inline]
pub fn append(wire: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_header(wire, number, bytes.len());
    wire.extend_from_slice(bytes);
}

/// Appends what stands before the bytes of a field with a length.
#[inline]
fn put_header(out: &mut Vec<u8>, number: u32, length: usize) {
    match (u8::try_from(number << 3 | 2), u8::try_from(length)) {
        (Ok(tag @ ..0x80), Ok(length @ ..0x80)) => out.extend_from_slice(&[tag, length]),
        _ => {
            put_varint(out, u64::from(number << 3 | 2));
            put_varint(out, length as u64);
        }
    }
}

#[inline]
fn put_varint(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(byte @ ..0x80) => out.push(byte),
        _ => put_long_varint(out, number),
    }
}

fn put_long_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_disagree_with_prost(wire in prop::collection::vec(any::<u8>(), 0..64)) {
            let ours = Fields::new(&wire).all(|field| field.is_ok());
            // An empty message reads every field as unknown, so prost only checks the wire format.
            prop_assert_eq!(ours, <() as prost::Message>::decode(&wire[..]).is_ok(), "{:?}", wire);
        }
    }

    #[test]
    fn the_last_string_counts_and_fields_can_be_taken_out() {
        let mut wire = Vec::new();
        append(&mut wire, 1, b"first");
        append(&mut wire, 2, b"kept");
        append(&mut wire, 1, b"last");
        assert_eq!(last_string(&wire, 1).unwrap(), "last");
        assert_eq!(last_string(&wire, 9).unwrap(), "");
        let mut expected = Vec::new();
        append(&mut expected, 2, b"kept");
        assert_eq!(without(&wire, 1).unwrap(), expected);
        assert!(without(&wire[..3], 1).is_err());
    }
}
