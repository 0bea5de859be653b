//! The parts that both ends agree on, and how two lists of parts are compared.

use a2a::{Part, PartContent};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The largest integer that a double holds exactly: what a `Struct` on the wire can still carry.
const BIG: i64 = 9_007_199_254_740_991;

/// The four parts of the artifact that the agent makes for `task`.
pub fn result_parts() -> Vec<Part> {
    vec![
        Part::text("done ü"),
        Part::data(json!({"n": 1, "f": 1.5, "big": BIG, "s": "ü", "list": [1, null, true], "o": {}})),
        Part::raw(vec![0x00, 0x01, 0xFE, 0xFF])
            .with_filename("a.bin")
            .with_media_type("application/octet-stream"),
        Part::url("https://example.org/x.png").with_media_type("image/png"),
    ]
}

/// The four parts that the client sends for `echo`.
pub fn echo_parts() -> Vec<Part> {
    vec![
        Part::text("echo ü€😀"),
        Part::data(json!({"n": 1, "f": 1.5, "big": BIG, "deep": {"a": [1, [2, {"b": null}]]}})),
        Part::raw(vec![0x00, 0x01, 0xFE, 0xFF])
            .with_filename("b.bin")
            .with_media_type("application/octet-stream"),
        Part::url("https://example.org/y.pdf").with_media_type("application/pdf"),
    ]
}

/// The metadata that the client sends with `echo`.
pub fn echo_metadata() -> HashMap<String, Value> {
    HashMap::from([("k".to_string(), json!("v")), ("n".to_string(), json!(7))])
}

/// Says where two lists of parts differ; `None` when they are the same.
pub fn parts_differ(want: &[Part], got: &[Part]) -> Option<String> {
    if want.len() != got.len() {
        return Some(format!("{} parts, not {}", got.len(), want.len()));
    }
    let unequal = want.iter().zip(got).position(|(w, g)| !same_part(w, g))?;
    Some(format!("part {unequal} is {:?}", got[unequal]))
}

fn same_part(want: &Part, got: &Part) -> bool {
    // An empty name or type and an absent one are the same thing in protobuf.
    let same_word = |a: &Option<String>, b: &Option<String>| {
        a.as_deref().unwrap_or_default() == b.as_deref().unwrap_or_default()
    };
    let content = match (&want.content, &got.content) {
        (PartContent::Data(w), PartContent::Data(g)) => same_value(w, g),
        (w, g) => w == g,
    };
    content
        && same_word(&want.filename, &got.filename)
        && same_word(&want.media_type, &got.media_type)
        && got.metadata.as_ref().is_none_or(HashMap::is_empty)
}

/// Equal as JSON values, where numbers are equal by value: `1` and `1.0` are one number in a `Struct`.
pub fn same_value(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Number(w), Value::Number(g)) => w.as_f64() == g.as_f64(),
        (Value::Array(w), Value::Array(g)) => {
            w.len() == g.len() && w.iter().zip(g).all(|(w, g)| same_value(w, g))
        }
        (Value::Object(w), Value::Object(g)) => {
            w.len() == g.len() && w.iter().all(|(key, w)| g.get(key).is_some_and(|g| same_value(w, g)))
        }
        (w, g) => w == g,
    }
}
