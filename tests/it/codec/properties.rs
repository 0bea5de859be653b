//! What must hold for every message, with prost + pbjson as the judge.

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::MessageDescriptor;

use super::random::Choices;
use super::{json, wire};
use crate::{oracle, schema::descriptor};

/// A root message by name, and bytes to fill it with.
fn any_root() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    (prop::sample::select(oracle::ROOTS), prop::collection::vec(any::<u8>(), 0..600))
}

/// One root message, its descriptor, and the wire bytes that prost would write.
fn message(root: &str, choices: &mut Choices<'_>) -> (MessageDescriptor, Vec<u8>) {
    let descriptor = descriptor(root);
    let wire = choices.message(&descriptor, 16).encode_to_vec();
    (descriptor, wire)
}

/// Whether both wire forms are one message to prost.
fn judge(root: &str, given: &[u8], back: &[u8], text: &str) -> Result<(), TestCaseError> {
    oracle::compare(root, given, back)
        .map_err(|error| TestCaseError::fail(format!("{given:x?}\n{text}\n{error}")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_oracle_reads_our_json((root, bytes) in any_root()) {
        let (_, given) = message(root, &mut Choices(&bytes));
        let ours = json(root, &given).unwrap();
        let back = oracle::from_json(root, &ours).unwrap_or_else(|error| panic!("{error}: {ours}"));
        judge(root, &given, &back, &ours)?;
    }

    #[test]
    fn we_read_the_oracles_json((root, bytes) in any_root()) {
        let (_, given) = message(root, &mut Choices(&bytes));
        let theirs = oracle::to_json(root, &given).unwrap();
        let back = wire(root, &theirs).unwrap_or_else(|error| panic!("{error}: {theirs}"));
        judge(root, &given, &back, &theirs)?;
    }

    #[test]
    fn what_has_crossed_once_changes_no_more((root, bytes) in any_root()) {
        let (_, given) = message(root, &mut Choices(&bytes));
        let once = wire(root, &json(root, &given).unwrap()).unwrap();
        judge(root, &given, &once, "")?;
        let text = json(root, &once).unwrap();
        let twice = wire(root, &text).unwrap();
        judge(root, &given, &twice, &text)?;
        prop_assert_eq!(json(root, &twice).unwrap(), text);
    }

    #[test]
    fn pieces_mean_what_they_mean_to_prost((root, bytes) in any_root()) {
        let mut choices = Choices(&bytes);
        let (descriptor, whole) = message(root, &mut choices);
        let given = choices.scatter(&descriptor, &whole);
        let ours = json(root, &given).unwrap_or_else(|error| panic!("{error}: {given:?}"));
        let back = oracle::from_json(root, &ours).unwrap_or_else(|error| panic!("{error}: {ours}"));
        judge(root, &given, &back, &ours)?;
    }
}
