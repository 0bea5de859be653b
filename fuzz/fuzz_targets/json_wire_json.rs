//! Any text: if it can be read, it can be written, and from then on it crosses unchanged.
#![no_main]

use dragoman_fuzz::{choose, crosses_unchanged, json, wire};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((message, rest)) = choose(data) else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if let Ok(wire) = wire(message, text) {
        crosses_unchanged(message, &json(message, &wire).expect("what was read can be written"));
    }
});
