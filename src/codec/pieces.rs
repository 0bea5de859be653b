//! A message in pieces: protobuf lets a field that holds a message come more than once, and then its pieces add up.

use std::slice;

use super::Result;
use super::wire::{Field, Fields};

/// A message, in all the places where it stands on the wire. Nothing is copied to put it together.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces<'a> {
    first: &'a [u8],
    /// Almost always none.
    more: Vec<&'a [u8]>,
}

impl<'a> Pieces<'a> {
    /// Adds a piece.
    pub(super) fn push(&mut self, piece: &'a [u8]) {
        if self.first.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.more.push(piece);
        }
    }

    /// The fields of all pieces, in the order of the wire.
    #[inline]
    pub(super) fn fields(&self) -> PiecesFields<'_, 'a> {
        PiecesFields { piece: Fields::new(self.first), more: self.more.iter() }
    }
}

/// The fields of a message in pieces.
pub(super) struct PiecesFields<'p, 'a> {
    piece: Fields<'a>,
    more: slice::Iter<'p, &'a [u8]>,
}

impl<'a> Iterator for PiecesFields<'_, 'a> {
    type Item = Result<Field<'a>>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(field) = self.piece.next() {
                return Some(field);
            }
            self.piece = Fields::new(self.more.next()?);
        }
    }
}

impl<'a> From<&'a [u8]> for Pieces<'a> {
    #[inline]
    fn from(whole: &'a [u8]) -> Self {
        Self { first: whole, more: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_all_pieces_come_in_order_and_empty_pieces_take_no_room() {
        let mut pieces = Pieces::default();
        for piece in [&b""[..], b"\x08\x01", b"", b"\x10\x02\x18\x03", b""] {
            pieces.push(piece);
        }
        let numbers: Vec<_> = pieces.fields().map(|field| field.unwrap().number).collect();
        assert_eq!((numbers, pieces.more.len()), (vec![1, 2, 3], 1));
    }
}
