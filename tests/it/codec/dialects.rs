//! A2A 0.3 and 1.0: pairs as data (`tests/golden/json/v0_3/*.json`), and what must hold for every message.

use std::{fs, path::Path};

use dragoman::a2a::Operation;
use dragoman::codec::{Form, text::Scanner};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::LIMIT;
use crate::harness::json::canonical;

/// A text of 0.3, and what it is in 1.0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    operation: String,
    side: Side,
    /// The binding of 0.3.
    #[serde(default)]
    form: Spelling,
    v0_3: Box<RawValue>,
    #[serde(default)]
    v1_0: Option<Box<RawValue>>,
    /// What comes out where 0.3 is spoken again, if that is something else.
    #[serde(default)]
    back: Option<Box<RawValue>>,
    /// Why it cannot be read.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Request,
    Response,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Spelling {
    Rest,
    #[default]
    Rpc,
}

impl Side {
    pub(super) fn read(self, form: Form, operation: Operation, text: &str) -> Result<Vec<u8>, String> {
        let mut scan = Scanner::new(text);
        let read = match self {
            Self::Request => form.read_request(&mut scan, operation, LIMIT),
            Self::Response => form.read_response(&mut scan, operation, LIMIT),
        };
        let wire = read.map_err(|error| error.to_string())?;
        scan.end().map_err(|error| error.to_string())?;
        Ok(wire)
    }

    pub(super) fn write(self, form: Form, operation: Operation, wire: &[u8]) -> Result<String, String> {
        let mut out = Vec::new();
        let written = match self {
            Self::Request => form.write_request(operation, wire, &mut out),
            Self::Response => form.write_response(operation, wire, &mut out),
        };
        written.map_err(|error| format!("written: {error}"))?;
        Ok(String::from_utf8(out).unwrap())
    }
}

impl Case {
    fn operation(&self) -> Operation {
        Operation::named(&self.operation).unwrap()
    }

    /// What is wrong with it, if anything.
    fn check(&self) -> Option<String> {
        let (operation, side) = (self.operation(), self.side);
        let form = match self.form {
            Spelling::Rest => Form::V0_3Rest,
            Spelling::Rpc => Form::V0_3,
        };
        let wire = match (side.read(form, operation, self.v0_3.get()), &self.error) {
            (Ok(wire), None) => wire,
            (Err(error), Some(expected)) if error == *expected => return None,
            (read, expected) => return Some(format!("read: {read:?}, not {expected:?}")),
        };
        let new = side.write(Form::V1_0, operation, &wire);
        let expected = self.v1_0.as_ref().map(|text| canonical(text.get()));
        if new.as_ref().ok().map(|new| canonical(new)) != expected {
            return Some(format!("in 1.0: {new:?}"));
        }
        let old = side.write(form, operation, &wire);
        let expected = self.back.as_ref().unwrap_or(&self.v0_3);
        (old.as_ref().ok().map(|old| canonical(old)) != Some(canonical(expected.get())))
            .then(|| format!("back in 0.3: {old:?}"))
    }
}

#[test]
fn every_pair_is_one_thing_in_both_dialects() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/json/v0_3");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let cases: Vec<Case> = serde_json::from_slice(&fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for case in cases {
            count += 1;
            if let Some(why) = case.check() {
                wrong.push(format!("{}: {}: {why}", path.file_name().unwrap().display(), case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 80, "{count}");
}
