//! Writes messages inside messages front to back, although their lengths are not known yet.

use super::super::{Cause, DEPTH_MAX, Error, Result};
use super::{append, put_header, put_varint};

/// Writes a message front to back although the lengths of nested messages are not known yet: room for a length is left
/// open and, where it turns out too small, what follows moves up.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    open: Vec<Open>,
    limit: usize,
}

/// Most messages nest no deeper.
const DEPTH_USUAL: usize = 8;

/// A field whose length is not known yet.
#[derive(Debug)]
struct Open {
    /// Where its first byte stands.
    start: usize,
    /// How many bytes before that are left for its length.
    room: usize,
}

impl Writer {
    /// Starts a message that may grow to `limit` bytes.
    pub fn new(limit: usize, capacity: usize) -> Self {
        Self { out: Vec::with_capacity(capacity), open: Vec::with_capacity(DEPTH_USUAL), limit }
    }

    /// The message.
    ///
    /// # Errors
    /// If it is too large: lengths may have taken more room than was left for them.
    pub fn finish(self) -> Result<Vec<u8>> {
        debug_assert!(self.open.is_empty());
        self.check()?;
        Ok(self.out)
    }

    #[inline]
    fn check(&self) -> Result<()> {
        if self.out.len() > self.limit { Err(self.too_large()) } else { Ok(()) }
    }

    #[cold]
    fn too_large(&self) -> Error {
        Cause::TooLarge { limit: self.limit }.into()
    }

    /// Begins a nested message.
    ///
    /// # Errors
    /// If it nests too deep, or the whole is too large already.
    #[inline]
    pub fn begin(&mut self, number: u32) -> Result<()> {
        if self.open.len() == DEPTH_MAX {
            return Err(Cause::TooDeep.into());
        }
        put_header(&mut self.out, number, 0);
        self.open.push(Open { start: self.out.len(), room: 1 });
        self.check()
    }

    /// Ends the nested message that was begun last.
    #[inline]
    pub fn end(&mut self) {
        let Some(open) = self.open.last() else { return };
        match (u8::try_from(self.out.len() - open.start), open.room) {
            (Ok(length @ ..0x80), 1) => self.out[open.start - 1] = length,
            _ => self.end_long(),
        }
        self.open.pop();
    }

    fn end_long(&mut self) {
        self.make_room(0);
        let Some(Open { start, room }) = self.open.last() else { return };
        let mut length = self.out.len() - start;
        for byte in &mut self.out[start - room..*start] {
            *byte = length.to_le_bytes()[0] | 0x80;
            length >>= 7;
        }
        self.out[start - 1] &= 0x7F;
    }

    /// Makes sure that the lengths of all that is open fit once `more` bytes have come. Whatever stands behind a length
    /// that needs more room moves once.
    fn make_room(&mut self, more: usize) {
        let end = self.out.len();
        let missing = |room: usize, start: usize, inside: usize| {
            varint_len(end - start + inside + more).saturating_sub(room)
        };
        // What an inner length takes is part of the outer ones.
        let mut all = self.open.iter().rev().fold(0, |all, open| all + missing(open.room, open.start, all));
        if all == 0 {
            return;
        }
        self.out.resize(end + all, 0);
        let (mut behind, mut inside) = (end, 0);
        for open in self.open.iter_mut().rev() {
            self.out.copy_within(open.start..behind, open.start + all);
            behind = open.start - open.room;
            let missing = missing(open.room, open.start, inside);
            open.start += all;
            open.room += missing;
            inside += missing;
            all -= missing;
        }
    }

    /// Announces that many bytes follow at once: room for all lengths is made now, while there is little to move.
    #[inline]
    fn announce(&mut self, more: usize) -> Result<()> {
        const WORTH_IT: usize = 0x80;
        if self.out.len() + more > self.limit {
            return Err(self.too_large());
        }
        if more >= WORTH_IT {
            self.make_room(more);
        }
        Ok(())
    }

    /// Writes a field with a length.
    ///
    /// # Errors
    /// If the whole gets too large.
    #[inline]
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        self.announce(bytes.len())?;
        append(&mut self.out, number, bytes);
        self.check()
    }

    /// Writes a field of the bytes that `write` appends, which are `least` or more. If it fails, nothing is written, though
    /// lengths may keep more room than they need.
    ///
    /// # Errors
    /// If the whole gets too large, or `write` fails.
    #[inline]
    pub fn with(
        &mut self,
        number: u32,
        least: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        self.announce(least)?;
        let before = self.out.len();
        put_header(&mut self.out, number, least);
        self.open.push(Open { start: self.out.len(), room: varint_len(least) });
        let written = write(&mut self.out);
        if written.is_err() {
            self.open.pop();
            self.out.truncate(before);
            return written;
        }
        self.end();
        self.check()
    }

    /// Writes a field with a length that other readers step over, which prost counts as one more level of nesting.
    ///
    /// # Errors
    /// If the message is nested as deep as allowed, or the whole gets too large.
    pub fn private(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        if self.open.len() == DEPTH_MAX {
            return Err(Cause::TooDeep.into());
        }
        self.bytes(number, bytes)
    }

    /// Writes a number.
    ///
    /// # Errors
    /// If the whole gets too large.
    #[inline]
    pub fn varint(&mut self, number: u32, value: u64) -> Result<()> {
        put_varint(&mut self.out, u64::from(number << 3));
        put_varint(&mut self.out, value);
        self.check()
    }

    /// Writes an `int32` or an enum.
    ///
    /// # Errors
    /// If the whole gets too large.
    #[expect(clippy::cast_sign_loss, reason = "protobuf writes negative numbers as their two's complement")]
    #[inline]
    pub fn int32(&mut self, number: u32, value: i32) -> Result<()> {
        self.varint(number, i64::from(value) as u64)
    }

    /// Writes a double.
    ///
    /// # Errors
    /// If the whole gets too large.
    #[inline]
    pub fn double(&mut self, number: u32, value: f64) -> Result<()> {
        put_varint(&mut self.out, u64::from(number << 3 | 1));
        self.out.extend_from_slice(&value.to_le_bytes());
        self.check()
    }
}

/// How many bytes a number takes.
fn varint_len(number: usize) -> usize {
    (number.max(1).ilog2() / 7) as usize + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::super::Fields;
    use super::*;

    fn nested(lengths: &[usize]) -> Vec<u8> {
        let mut writer = Writer::new(usize::MAX, 0);
        for length in lengths {
            writer.begin(1).unwrap();
            writer.bytes(2, &vec![b'x'; *length]).unwrap();
        }
        for _ in lengths {
            writer.end();
        }
        writer.finish().unwrap()
    }

    /// The same, built from the inside out.
    fn nested_naively(lengths: &[usize]) -> Vec<u8> {
        lengths.iter().rev().fold(Vec::new(), |inner, length| {
            let mut body = Vec::new();
            append(&mut body, 2, &vec![b'x'; *length]);
            body.extend(inner);
            let mut outer = Vec::new();
            append(&mut outer, 1, &body);
            outer
        })
    }

    proptest! {
        #[test]
        fn lengths_are_right_and_short_however_messages_nest(
            lengths in prop::collection::vec(prop_oneof![0..300_usize, 900..1200_usize, 16_000..17_000_usize], 0..12)
        ) {
            prop_assert!(nested(&lengths) == nested_naively(&lengths));
        }
    }

    proptest! {
        #[test]
        fn what_is_appended_gets_its_length_however_little_was_announced(
            lengths in prop::collection::vec((0..300_usize, 0..=300_usize), 1..6)
        ) {
            let mut writer = Writer::new(usize::MAX, 0);
            for (length, least) in &lengths {
                writer.begin(1).unwrap();
                let appended = writer.with(2, *least.min(length), |out| {
                    out.extend(std::iter::repeat_n(b'x', *length));
                    Ok(())
                });
                prop_assert!(appended.is_ok());
                prop_assert!(writer.with(3, 400, |_| Err(Error::invalid("no"))).is_err());
            }
            lengths.iter().for_each(|_| writer.end());
            let lengths: Vec<usize> = lengths.iter().map(|(length, _)| *length).collect();
            let mut fields = Vec::new();
            let mut rest = writer.finish().unwrap();
            while let Some(Ok(outer)) = Fields::new(&rest).next() {
                let inner = outer.value.bytes().unwrap();
                let field = Fields::new(inner).next().unwrap().unwrap();
                fields.push(field.value.bytes().unwrap().len());
                rest = inner[field.span.end..].to_vec();
            }
            prop_assert_eq!(fields, lengths);
        }
    }

    #[test]
    fn prost_reads_every_kind_that_is_written() {
        let mut writer = Writer::new(1000, 0);
        writer.bytes(2, b"id").unwrap();
        writer.int32(3, -7).unwrap();
        let read = crate::proto::GetTaskRequest::decode(&writer.finish().unwrap()[..]).unwrap();
        assert_eq!((read.id.as_str(), read.history_length), ("id", Some(-7)));
    }

    #[test]
    fn what_grows_past_the_limit_is_refused_before_it_is_written() {
        let mut writer = Writer::new(10, 0);
        assert!(writer.bytes(1, &[0; 8]).is_ok());
        assert_eq!(writer.varint(1, 1).unwrap_err().cause(), &Cause::TooLarge { limit: 10 });
        let mut writer = Writer::new(10, 0);
        assert_eq!(writer.bytes(1, &[0; 11]).unwrap_err().cause(), &Cause::TooLarge { limit: 10 });
    }
}
