//! What must hold for every message, with prost + pbjson as the judge.

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::MessageDescriptor;

use super::random::Choices;
use super::{json, wire};
use crate::{oracle, schema::pool};

/// A root message, and bytes to fill it with.
fn any_root() -> impl Strategy<Value = (MessageDescriptor, Vec<u8>)> {
    let pool = pool();
    let root = |name: &&str| pool.get_message_by_name(&format!("lf.a2a.v1.{name}")).unwrap();
    let roots: Vec<_> = oracle::ROOTS.iter().map(root).collect();
    (prop::sample::select(roots), prop::collection::vec(any::<u8>(), 0..3000))
}

/// The wire bytes that prost would write of a random message.
fn message(root: &MessageDescriptor, choices: &mut Choices<'_>) -> Vec<u8> {
    choices.message(root, 16).encode_to_vec()
}

/// Whether both wire forms are one message to prost.
fn judge(root: &str, given: &[u8], back: &[u8], text: &str) -> Result<(), TestCaseError> {
    oracle::compare(root, given, back)
        .map_err(|error| TestCaseError::fail(format!("{given:x?}\n{text}\n{error}")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_oracle_reads_our_json((root, bytes) in any_root()) {
        let given = message(&root, &mut Choices(&bytes));
        let root = root.name();
        let ours = json(root, &given).unwrap();
        let back = oracle::from_json(root, &ours).unwrap_or_else(|error| panic!("{error}: {ours}"));
        judge(root, &given, &back, &ours)?;
    }

    #[test]
    fn we_read_the_oracles_json((root, bytes) in any_root()) {
        let given = message(&root, &mut Choices(&bytes));
        let root = root.name();
        let theirs = oracle::to_json(root, &given).unwrap();
        let back = wire(root, &theirs).unwrap_or_else(|error| panic!("{error}: {theirs}"));
        judge(root, &given, &back, &theirs)?;
    }

    #[test]
    fn what_has_crossed_once_changes_no_more((root, bytes) in any_root()) {
        let given = message(&root, &mut Choices(&bytes));
        let root = root.name();
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
        let whole = message(&root, &mut choices);
        let given = choices.scatter(&root, &whole);
        let root = root.name();
        let ours = json(root, &given).unwrap_or_else(|error| panic!("{error}: {given:?}"));
        let back = oracle::from_json(root, &ours).unwrap_or_else(|error| panic!("{error}: {ours}"));
        judge(root, &given, &back, &ours)?;
    }
}
