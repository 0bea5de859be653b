//! `google.protobuf.Value` and `Struct`: any JSON, with every number exactly as it was written.

mod number;

use super::pieces::Pieces;
use super::text::{Begun, Scanner, Utf8};
use super::wire::{Field, Fields, Value as Wire, Writer};
use super::{Cause, DEPTH_MAX, EXACT_NUMBER, Error, Result};

/// Reads an object into a `Struct` that has been begun.
pub(super) fn read_struct(scan: &mut Scanner<'_>, out: &mut Writer) -> Result<()> {
    let mut more = scan.begin_object()?;
    while more {
        let key = scan.key()?;
        read_entry(&key, scan, out).map_err(|error| error.within(&key))?;
        more = scan.more(b'}')?;
    }
    Ok(())
}

/// Reads a member's value into an entry of a `Struct` that has been begun.
pub(super) fn read_entry(key: &str, scan: &mut Scanner<'_>, out: &mut Writer) -> Result<()> {
    out.begin(1)?;
    out.bytes(1, key.as_bytes())?;
    out.begin(2)?;
    read(scan, out)?;
    out.end();
    out.end();
    Ok(())
}

/// Reads anything into a `Value` that has been begun.
pub(super) fn read(scan: &mut Scanner<'_>, out: &mut Writer) -> Result<()> {
    match scan.peek() {
        Some(b'{') => {
            out.begin(5)?;
            read_struct(scan, out)?;
        }
        Some(b'[') => {
            out.begin(6)?;
            read_list(scan, out)?;
        }
        Some(b'"') => return read_text(3, scan, out),
        Some(b't' | b'f') => return out.varint(4, u64::from(scan.bool()?)),
        _ if scan.take_literal("null") => return out.varint(1, 0),
        _ => return number::read(scan.number()?, out),
    }
    out.end();
    Ok(())
}

/// Reads a string into a field, unescaped on its way.
pub(super) fn read_text(number: u32, scan: &mut Scanner<'_>, out: &mut Writer) -> Result<()> {
    match scan.begin_string()? {
        Begun::Whole(text) => out.bytes(number, text.as_bytes()),
        Begun::Escaped(plain) => out.with(number, plain.len(), |out| {
            out.extend_from_slice(plain.as_bytes());
            scan.rest_of_string(out)
        }),
    }
}

fn read_list(scan: &mut Scanner<'_>, out: &mut Writer) -> Result<()> {
    let mut more = scan.begin_list()?;
    let mut index = 0;
    while more {
        out.begin(1)?;
        read(scan, out).map_err(|error| error.at(index))?;
        out.end();
        index += 1;
        more = scan.more(b']')?;
    }
    Ok(())
}

/// Writes a `Struct` as an object: every entry, in order; duplicates travel.
pub(super) fn write_struct(wire: &Pieces<'_>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Cause::TooDeep.into());
    }
    out.push(b'{');
    let mut empty = true;
    for field in wire.fields() {
        let Some(Entry { key, value }) = Entry::read(field?)? else { continue };
        if !empty {
            out.push(b',');
        }
        empty = false;
        key.write(out);
        out.push(b':');
        write(&value, depth + 2, out).map_err(|error| error.within(key.as_str()))?;
    }
    out.push(b'}');
    Ok(())
}

/// An entry of a `Struct`.
pub(super) struct Entry<'a> {
    pub(super) key: Utf8<'a>,
    /// A `Value`.
    pub(super) value: Pieces<'a>,
}

impl<'a> Entry<'a> {
    /// Reads a field of a `Struct`, if it is an entry.
    #[inline]
    pub(super) fn read(field: Field<'a>) -> Result<Option<Self>> {
        if field.number != 1 {
            return Ok(None);
        }
        let mut entry = Self { key: Utf8::default(), value: Pieces::default() };
        for field in Fields::new(field.value.bytes()?) {
            let field = field?;
            match field.number {
                1 => entry.key = field.value.utf8()?,
                2 => entry.value.push(field.value.bytes()?),
                _ => {}
            }
        }
        Ok(Some(entry))
    }
}

/// The text of a `Value` that is one.
pub(super) fn text<'a>(wire: &Pieces<'a>) -> Result<Option<&'a str>> {
    Ok(match Parsed::read(wire)?.content {
        Content::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// A `Value`: what it holds, and the exact text of a number.
struct Parsed<'a> {
    content: Content<'a>,
    /// Whether that is a message of which only the last piece is here.
    in_pieces: bool,
    exact: Option<&'a str>,
}

/// What a `Value` holds: of several kinds the last.
#[derive(Clone, Copy)]
enum Content<'a> {
    Bool(bool),
    List(&'a [u8]),
    Null,
    Number(f64),
    Struct(&'a [u8]),
    Text(Utf8<'a>),
}

/// Writes a `Value` as JSON. `depth` is how many messages it is nested in.
pub(super) fn write(wire: &Pieces<'_>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Cause::TooDeep.into());
    }
    let Parsed { content, in_pieces, exact } = Parsed::read(wire)?;
    if exact.is_some() && depth == DEPTH_MAX {
        // As deep as a reader that steps over the text allows.
        return Err(Cause::TooDeep.into());
    }
    match content {
        Content::Number(number) => return number::write(number, exact, out),
        _ if exact.is_some() => {
            return Err(Error::invalid("the text of a number beside a value that is none"));
        }
        Content::Bool(true) => out.extend_from_slice(b"true"),
        Content::Bool(false) => out.extend_from_slice(b"false"),
        Content::List(_) if in_pieces => write_list(&last_pieces(wire)?, depth + 1, out)?,
        Content::List(list) => write_list(&list.into(), depth + 1, out)?,
        Content::Null => out.extend_from_slice(b"null"),
        Content::Struct(_) if in_pieces => write_struct(&last_pieces(wire)?, depth + 1, out)?,
        Content::Struct(entries) => write_struct(&entries.into(), depth + 1, out)?,
        Content::Text(text) => text.write(out),
    }
    Ok(())
}

impl<'a> Parsed<'a> {
    #[inline]
    fn read(wire: &Pieces<'a>) -> Result<Self> {
        let mut parsed = Self { content: Content::Null, in_pieces: false, exact: None };
        for field in wire.fields() {
            let field = field?;
            if field.number == EXACT_NUMBER {
                parsed.exact = Some(field.value.text()?);
            } else if let Some(content) = Content::read(field.number, field.value)? {
                parsed.in_pieces = content.goes_on(parsed.content);
                parsed.content = content;
            }
        }
        Ok(parsed)
    }
}

impl<'a> Content<'a> {
    /// What a field says that a `Value` holds; nothing if it has another purpose.
    #[inline]
    fn read(number: u32, wire: Wire<'a>) -> Result<Option<Self>> {
        Ok(Some(match number {
            1 => wire.varint().map(|_| Self::Null)?,
            2 => Self::Number(wire.double()?),
            3 => Self::Text(wire.utf8()?),
            4 => Self::Bool(wire.varint()? != 0),
            5 => Self::Struct(wire.bytes()?),
            6 => Self::List(wire.bytes()?),
            _ => return Ok(None),
        }))
    }

    /// Whether it is one more piece of the message that was there before.
    fn goes_on(self, before: Self) -> bool {
        matches!((before, self), (Self::List(_), Self::List(_)) | (Self::Struct(_), Self::Struct(_)))
    }
}

/// The pieces of the message that a `Value` holds in the end.
fn last_pieces<'a>(wire: &Pieces<'a>) -> Result<Pieces<'a>> {
    let (mut pieces, mut before) = (Pieces::default(), Content::Null);
    for field in wire.fields() {
        let field = field?;
        if let Some(content) = Content::read(field.number, field.value)? {
            if !content.goes_on(before) {
                pieces = Pieces::default();
            }
            if let Content::List(piece) | Content::Struct(piece) = content {
                pieces.push(piece);
            }
            before = content;
        }
    }
    Ok(pieces)
}

fn write_list(wire: &Pieces<'_>, depth: usize, out: &mut Vec<u8>) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Cause::TooDeep.into());
    }
    out.push(b'[');
    let mut index = 0;
    for field in wire.fields() {
        let field = field?;
        if field.number == 1 {
            if index > 0 {
                out.push(b',');
            }
            write(&field.value.bytes()?.into(), depth + 1, out).map_err(|error| error.at(index))?;
            index += 1;
        }
    }
    out.push(b']');
    Ok(())
}
