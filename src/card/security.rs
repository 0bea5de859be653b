//! Mutual TLS in the security requirements of a card. They are a list of which one must be met, so it goes into each, or
//! a caller could think that it does without; and it comes out of each again where the mesh takes care of it.

use super::{MTLS_SCHEME, Result, field};
use crate::codec::wire::{Edit, append, edit, last_string};

/// In a map entry.
const KEY: u32 = 1;
/// In a map entry.
const VALUE: u32 = 2;
/// `SecurityRequirement.schemes`.
const SCHEMES: u32 = 1;
/// `AgentSkill.security_requirements`.
const SKILL_REQUIREMENTS: u32 = 8;
/// `SecurityScheme.mtls_security_scheme`.
const MTLS: u32 = 5;
/// `MutualTlsSecurityScheme.description`.
const DESCRIPTION: u32 = 1;
const WHAT_IT_IS: &[u8] = b"The mutual TLS of the mesh, with SPIFFE X.509-SVIDs";

/// Adds the scheme, and puts it into every requirement. A card without any gets one.
pub(super) fn add(card: &[u8]) -> Result<Vec<u8>> {
    // Whatever has the reserved name already is none of ours.
    let mut out = remove(card)?;
    let mut any = false;
    out = edit(&out, |field, out| match field.number {
        field::REQUIREMENTS => {
            any = true;
            append(out, field::REQUIREMENTS, &with_mtls(field.value.bytes()?));
            Ok(Edit::Done)
        }
        field::SKILLS => {
            let skill = edit(field.value.bytes()?, |field, out| match field.number {
                SKILL_REQUIREMENTS => {
                    append(out, SKILL_REQUIREMENTS, &with_mtls(field.value.bytes()?));
                    Ok(Edit::Done)
                }
                _ => Ok(Edit::Keep),
            })?;
            append(out, field::SKILLS, &skill);
            Ok(Edit::Done)
        }
        _ => Ok(Edit::Keep),
    })?;
    if !any {
        append(&mut out, field::REQUIREMENTS, &alone());
    }
    let (mut inner, mut scheme) = (Vec::new(), Vec::new());
    append(&mut inner, DESCRIPTION, WHAT_IT_IS);
    append(&mut scheme, MTLS, &inner);
    let mut entry = named();
    append(&mut entry, VALUE, &scheme);
    append(&mut out, field::SCHEMES, &entry);
    Ok(out)
}

/// Takes the scheme, and its name in every requirement, out again.
pub(super) fn remove(card: &[u8]) -> Result<Vec<u8>> {
    edit(card, |field, out| match field.number {
        field::SCHEMES if is_mtls(field.value.bytes()?)? => Ok(Edit::Done),
        field::REQUIREMENTS => without_mtls(field.number, field.value.bytes()?, out),
        field::SKILLS => {
            let skill = edit(field.value.bytes()?, |field, out| match field.number {
                SKILL_REQUIREMENTS => without_mtls(field.number, field.value.bytes()?, out),
                _ => Ok(Edit::Keep),
            })?;
            append(out, field::SKILLS, &skill);
            Ok(Edit::Done)
        }
        _ => Ok(Edit::Keep),
    })
}

/// A map entry with the reserved name and no value yet.
fn named() -> Vec<u8> {
    let mut entry = Vec::new();
    append(&mut entry, KEY, MTLS_SCHEME.as_bytes());
    entry
}

fn is_mtls(entry: &[u8]) -> Result<bool> {
    Ok(last_string(entry, KEY)? == MTLS_SCHEME)
}

fn with_mtls(requirement: &[u8]) -> Vec<u8> {
    let mut requirement = requirement.to_vec();
    let mut entry = named();
    append(&mut entry, VALUE, &[]);
    append(&mut requirement, SCHEMES, &entry);
    requirement
}

/// The requirement of a card that has none. Its entry has no value, which means the same as an empty one, and tells that
/// the whole requirement is ours: without the scheme, "nothing is required" must not be left behind in its place.
fn alone() -> Vec<u8> {
    let mut requirement = Vec::new();
    append(&mut requirement, SCHEMES, &named());
    requirement
}

fn without_mtls(number: u32, requirement: &[u8], out: &mut Vec<u8>) -> Result<Edit> {
    if requirement == alone() {
        return Ok(Edit::Done);
    }
    let rest = edit(requirement, |field, _| {
        let ours = field.number == SCHEMES && is_mtls(field.value.bytes()?)?;
        Ok(if ours { Edit::Done } else { Edit::Keep })
    })?;
    append(out, number, &rest);
    Ok(Edit::Done)
}

/// Whether a card names the scheme anywhere.
#[cfg(test)]
pub(super) fn is_in(card: &[u8]) -> bool {
    remove(card).unwrap() != card
}
