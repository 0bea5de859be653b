//! Any bytes: what can be written is JSON that crosses unchanged, and prost finds the same in both wire forms.
#![no_main]

use dragoman_fuzz::{as_doubles, choose, crosses_unchanged, json, through_prost, wire};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((message, given)) = choose(data) else { return };
    let Ok(text) = json(message, given) else { return };
    crosses_unchanged(message, &text);
    let canonical = wire(message, &text).expect("own text is read");
    if let Some(theirs) = through_prost(message, given) {
        let ours = through_prost(message, &canonical).expect("prost reads what the codec wrote");
        let known = |wire: &[u8]| as_doubles(&json(message, wire).expect("prost writes what can be read"));
        assert_eq!(known(&theirs), known(&ours), "{text}");
    }
});
