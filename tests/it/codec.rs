//! The codec, seen from outside: goldens, limits, and the oracle's opinion on random messages.

use dragoman::codec::schema::Message;
use dragoman::codec::{Error, Reading, read, write};

use crate::schema::tables;

/// 1.0 through 0.3 and back.
mod crossing;
/// Pairs of texts in both dialects.
mod dialects;
/// The worked examples of `docs/wire.md`.
mod documented;
/// Pairs of texts: what is read, and what comes out at the far side or why nothing does.
mod goldens;
/// Depth and size, to the last message and byte.
mod limits;
/// Random messages, and prost + pbjson as the judge.
mod properties;
/// A source of random messages and of the many ways in which one message can stand on the wire.
mod random;
/// What official SDKs have said.
mod recorded;
/// Private fields as an attacker would write them.
mod smuggling;

const LIMIT: usize = 16 << 20;

fn table(message: &str) -> &'static Message {
    tables()[message]
}

/// The text that comes out of wire bytes.
fn json(message: &str, wire: &[u8]) -> Result<String, Error> {
    let mut out = Vec::new();
    write(table(message), wire, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// The wire bytes of a reply.
fn wire(message: &str, text: &str) -> Result<Vec<u8>, Error> {
    read(table(message), text, Reading::Reply, LIMIT)
}
