//! Messages with private fields of an attacker's choice: no member of the JSON looks like a known field but is none.
#![no_main]

use dragoman_fuzz::{
    choose, crosses_unchanged, json,
    smuggle::{check, forge},
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((message, mut choices)) = choose(data) else { return };
    let wire = forge(message, &mut choices, 6);
    if let Ok(text) = json(message, &wire) {
        check(message, &text);
        crosses_unchanged(message, &text);
    }
});
