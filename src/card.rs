//! Cards (specification §8): rewritten so that whoever reads one talks through the mesh, checked, and served.
//!
//! A card is edited in its canonical form, field by field, and never decoded and encoded again: what this version does
//! not know stays in it. Only the interfaces and the signatures go, the former replaced, the latter void after that.

pub mod canonical;
pub mod key;
mod local;
mod rewrite;
mod security;
pub mod serve;
pub mod signature;
pub mod stage;

pub use local::{Settled, Spot};
pub use rewrite::{Base, MeshAddress, for_caller, for_mesh};

use crate::codec;
use crate::codec::wire::{self, Fields};

/// Beside the fields of a card between sidecars: its JSON text as the agent sent it (`bytes`), for who wants to see it,
/// and because its signatures cover nothing else.
pub const ORIGINAL: u32 = 52_605;
/// The name of the security scheme that stands for the mesh's mutual TLS, reserved in every card.
pub const MTLS_SCHEME: &str = "dragomanMtls";
/// The most bytes that the JSON text of a card may have.
pub const MAX: usize = 1 << 20;

/// The fields of an `AgentCard` that are edited.
mod field {
    pub(super) const INTERFACES: u32 = 3;
    pub(super) const SCHEMES: u32 = 8;
    pub(super) const REQUIREMENTS: u32 = 9;
    pub(super) const SKILLS: u32 = 12;
    pub(super) const SIGNATURES: u32 = 13;
}

type Result<T, E = codec::Error> = std::result::Result<T, E>;

/// The JSON text that the agent sent, if it came along.
///
/// # Errors
/// If the card is no protobuf, or the text none.
pub fn original(card: &[u8]) -> Result<Option<&str>> {
    let mut last = None;
    for field in Fields::new(card) {
        let field = field?;
        if field.number == ORIGINAL {
            last = Some(field.value.text()?);
        }
    }
    Ok(last)
}

/// Puts the JSON text that the agent sent beside a card.
pub fn attach_original(card: &mut Vec<u8>, json: &str) {
    wire::append(card, ORIGINAL, json.as_bytes());
}
