//! Goldens as data: `tests/golden/json/v1/*.json`, each a list of cases. Both texts are strings, so that a number's
//! spelling is part of the case.

use std::{fs, path::Path};

use dragoman::codec::{Reading, read};
use serde::Deserialize;

use super::{LIMIT, json, table};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    message: String,
    name: String,
    /// Read as a reply instead of a request.
    #[serde(default)]
    lenient: bool,
    r#in: String,
    #[serde(flatten)]
    expected: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    /// `path: what is wrong`
    Error(String),
    /// The text at the far side, to the letter.
    Out(String),
}

fn through(case: &Case, text: &str) -> Result<String, String> {
    let reading = if case.lenient { Reading::Reply } else { Reading::Request };
    let wire = read(table(&case.message), text, reading, LIMIT).map_err(|error| error.to_string())?;
    json(&case.message, &wire).map_err(|error| format!("written: {error}"))
}

fn cases() -> Vec<(String, Case)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/json/v1");
    let mut cases = Vec::new();
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let parsed: Vec<Case> = serde_json::from_slice(&fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        cases.extend(parsed.into_iter().map(|case| (file.clone(), case)));
    }
    cases
}

#[test]
fn every_text_comes_out_as_it_should() {
    let mut wrong = Vec::new();
    for (file, case) in cases() {
        let got = through(&case, &case.r#in);
        let expected = match &case.expected {
            Expected::Error(error) => Err(error.clone()),
            Expected::Out(text) => Ok(text.clone()),
        };
        if got != expected {
            wrong.push(format!(
                "{file}: {}\n      in {}\n     got {got:?}\n    want {expected:?}",
                case.name, case.r#in
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_came_out_once_comes_out_the_same_again() {
    // Maps bring their message's members into the order of the schema, and order is all that may change.
    let in_any_order = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        (bytes, serde_json::from_str::<serde_json::Value>(text).unwrap())
    };
    for (file, case) in cases() {
        if let Expected::Out(text) = &case.expected {
            let again = through(&case, text).map(|again| in_any_order(&again));
            assert_eq!(again, Ok(in_any_order(text)), "{file}: {}", case.name);
        }
    }
}
