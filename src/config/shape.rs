//! The JSON Schema of single values: what an editor can tell about a text before Dragoman reads it. A value with a
//! `${VAR}` in it is always let through: only the sidecar knows what stands there.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{choice, words};
use crate::a2a::Operation;

const DURATION: &str = r"^[0-9]+(ms|s|m|h)$|\$\{";
const DURATION_OR_NONE: &str = r"^([0-9]+(ms|s|m|h)|none)$|\$\{";
const SIZE: &str = r"^[0-9]+(KiB|MiB)$|\$\{";
const NUMBER: &str = r"^[0-9]+$|\$\{";
const VARIABLE: &str = r"\$\{";

pub(super) fn binding(_: &mut SchemaGenerator) -> Schema {
    one_of(&choice::BINDINGS.map(|(word, _)| json!(word)), "auto")
}

pub(super) fn dialect(_: &mut SchemaGenerator) -> Schema {
    // Without quotes YAML takes the versions for numbers.
    let mut all = choice::DIALECTS.map(|(word, _)| json!(word)).to_vec();
    all.extend([json!(0.3), json!(1.0)]);
    one_of(&all, "auto")
}

pub(super) fn log_format(_: &mut SchemaGenerator) -> Schema {
    one_of(&choice::FORMATS.map(|(word, _)| json!(word)), "json")
}

pub(super) fn log_level(_: &mut SchemaGenerator) -> Schema {
    one_of(&choice::LEVELS.map(|(word, _)| json!(word)), "info")
}

pub(super) fn operations(_: &mut SchemaGenerator) -> Schema {
    let mut all = vec![json!("*")];
    all.extend(Operation::ALL.iter().map(|operation| json!(operation.name())));
    json_schema!({
        "type": "array",
        "items": { "anyOf": [{ "enum": all }, { "type": "string", "pattern": VARIABLE }] },
        "default": ["*"],
    })
}

pub(super) fn roles(_: &mut SchemaGenerator) -> Schema {
    let words = choice::ROLES.map(|(word, _)| json!(word));
    json_schema!({
        "type": "array",
        "items": { "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }] },
        "default": words,
    })
}

pub(super) fn ports(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": port(0), "default": {} })
}

pub(super) fn mesh_port(_: &mut SchemaGenerator) -> Schema {
    let mut schema = port(1);
    schema.insert("default".to_owned(), json!(2643));
    schema
}

pub(super) fn message(_: &mut SchemaGenerator) -> Schema {
    text(SIZE, "16MiB")
}

pub(super) fn buffered(_: &mut SchemaGenerator) -> Schema {
    text(SIZE, "64MiB")
}

pub(super) fn stream_window(_: &mut SchemaGenerator) -> Schema {
    text(SIZE, "256KiB")
}

pub(super) fn connect(_: &mut SchemaGenerator) -> Schema {
    text(DURATION, "2s")
}

pub(super) fn drain(_: &mut SchemaGenerator) -> Schema {
    text(DURATION, "25s")
}

pub(super) fn threads(_: &mut SchemaGenerator) -> Schema {
    let mut schema = number(1, words::THREADS_MAX);
    schema.insert("default".to_owned(), json!(1));
    schema
}

pub(super) fn max_age(_: &mut SchemaGenerator) -> Schema {
    text(DURATION, "60s")
}

pub(super) fn no_time(_: &mut SchemaGenerator) -> Schema {
    text(DURATION_OR_NONE, "none")
}

fn text(pattern: &str, default: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": pattern, "default": default })
}

fn one_of(words: &[Value], default: &str) -> Schema {
    json_schema!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }], "default": default })
}

fn port(least: u16) -> Schema {
    number(least, u16::MAX)
}

fn number(least: u16, most: u16) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "integer", "minimum": least, "maximum": most },
        { "type": "string", "pattern": NUMBER },
    ] })
}
