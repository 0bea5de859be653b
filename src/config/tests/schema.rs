//! The schema, the reference page and the reader say the same.

use regex::Regex;
use serde_json::json;

use super::*;

const PAGE: &str = include_str!("../../../docs/config.md");

/// Follows a `$ref`.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(at) => root.pointer(at.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// Whether a value has the shape that the schema asks for, as far as our schema goes.
fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolve(root, schema);
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(number) if number.is_u64() => "integer",
        _ => "other",
    };
    let fail = |why: &str| Err(format!("{why}: {value} in {schema}"));
    if schema["type"].as_str().is_some_and(|wanted| wanted != kind) {
        return fail("type");
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return fail("enum");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        return fail("pattern");
    }
    if let (Some(most), Some(number)) = (schema["maximum"].as_u64(), value.as_u64())
        && (number > most || number < schema["minimum"].as_u64().unwrap())
    {
        return fail("range");
    }
    if let Some(choices) = schema["anyOf"].as_array()
        && !choices.iter().any(|choice| fits(root, choice, value).is_ok())
    {
        return fail("anyOf");
    }
    for item in value.as_array().into_iter().flatten() {
        if schema.get("items").is_some() {
            fits(root, &schema["items"], item)?;
        }
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        if value.get(key.as_str().unwrap()).is_none() {
            return fail("required");
        }
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(property), _) => fits(root, property, value)?,
            (None, Value::Bool(false)) => return fail("unknown key"),
            (None, Value::Null) => {}
            (None, other) => fits(root, other, value)?,
        }
    }
    Ok(())
}

/// Every key with its path and its schema, depth first.
fn keys(root: &Value, schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    let schema = resolve(root, schema);
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.push((path.clone(), property.clone()));
        keys(root, property, &path, found);
        let items = &resolve(root, property)["items"];
        if !items.is_null() {
            keys(root, items, &format!("{path}[]"), found);
        }
    }
}

fn all_keys() -> Vec<(String, Value)> {
    keys_of(&Config::schema())
}

fn keys_of(schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    keys(schema, schema, "", &mut found);
    found
}

fn verdict(text: &str) -> Result<(), String> {
    let value: Value = serde_saphyr::from_str(text).unwrap();
    let schema = Config::schema();
    fits(&schema, &schema, &value)
}

#[test]
fn what_is_right_fits_the_schema() {
    for text in [EXAMPLE, MINIMAL] {
        verdict(text).unwrap();
    }
    verdict(&parse(DIFFERENT).unwrap().redacted().to_string()).unwrap();
    for rest in [
        "discovery: {port: '${PORT}'}",
        "log: {level: '${LEVEL}'}",
        "limits: {message: '${SIZE}', unary: 5s}",
        "inbound: {listen: '[::]:1'}",
        "agents: [{name: a, url: 'http://h', dialect: 0.3}, {name: b, url: 'http://h', dialect: '1.0'}]",
    ] {
        verdict(&format!("{MINIMAL}{rest}")).unwrap();
    }
}

#[test]
fn what_is_wrong_does_not_fit_the_schema() {
    assert!(verdict("log: {}").unwrap_err().starts_with("required"));
    for (rest, why) in [
        ("meshs: []", "unknown key"),
        ("outbound: {lisen: []}", "unknown key"),
        ("identity: {files: {path: x}}", "unknown key"),
        ("agents: [{name: a, url: u, uri: u}]", "unknown key"),
        ("policy: {allow: [{agents: []}]}", "required"),
        ("policy: {allow: [{from: [], operations: [Send]}]}", "anyOf"),
        ("log: {level: loud}", "anyOf"),
        ("log: []", "type"),
        ("log: ~", "type"),
        ("outbound: {allow: '*'}", "type"),
        ("outbound: {ports: {a: x}}", "anyOf"),
        ("discovery: {port: 0}", "anyOf"),
        ("discovery: {port: 65536}", "anyOf"),
        ("limits: {message: 16MB}", "pattern"),
        ("limits: {connect: none}", "pattern"),
        ("cards: {maxAge: 5}", "type"),
    ] {
        let error = verdict(&format!("{MINIMAL}{rest}")).unwrap_err();
        assert!(error.starts_with(why), "{rest}: {error}");
    }
}

#[test]
fn every_key_is_described_and_every_map_of_keys_is_closed() {
    let found = all_keys();
    assert!(found.len() > 50, "{}", found.len());
    for (path, property) in found {
        let described = property["description"].as_str().is_some_and(|text| text.len() > 10);
        assert!(described, "{path} has no description");
    }
    let schema = Config::schema();
    let sections = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for section in sections {
        assert_eq!(section["additionalProperties"], json!(false), "{section}");
    }
}

#[test]
fn the_defaults_of_the_schema_are_the_defaults_of_the_reader() {
    /// All defaults, in the shape of the file.
    fn defaults(root: &Value, schema: &Value) -> Value {
        let mut all = serde_json::Map::new();
        for (key, property) in resolve(root, schema)["properties"].as_object().into_iter().flatten() {
            let value = match property.get("default") {
                Some(default) => default.clone(),
                None => defaults(root, property),
            };
            if value != json!({}) {
                all.insert(key.clone(), value);
            }
        }
        Value::Object(all)
    }
    let schema = Config::schema();
    let mut file = defaults(&schema, &schema);
    file["mesh"]["name"] = "east".into();
    file["mesh"]["trustDomain"] = "east.example".into();
    assert!(file.to_string().len() > 500, "{file}");
    assert_eq!(parse(&file.to_string()).unwrap().redacted(), parse(MINIMAL).unwrap().redacted());
}

#[test]
fn every_key_and_its_default_stand_on_the_reference_page() {
    for (path, property) in all_keys() {
        let rows: Vec<&str> = PAGE.lines().filter(|line| line.contains(&format!("`{path}`"))).collect();
        assert!(!rows.is_empty(), "`{path}` is not on the page");
        let default = match &property["default"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        assert!(rows.iter().any(|row| row.contains(&format!("`{default}`"))), "{path} without {default}");
    }
    assert!(PAGE.lines().count() <= 140);
}

#[test]
fn every_key_of_the_controller_stands_on_its_page() {
    let page = include_str!("../../../docs/controller.md");
    let found = keys_of(&ControllerConfig::schema());
    assert!(found.len() > 40, "{}", found.len());
    for (path, property) in found {
        // A section is there with its keys.
        let section = page.contains(&format!("`{path}.")) || page.contains(&format!("`{path}[]"));
        assert!(section || page.contains(&format!("`{path}`")), "`{path}` is not on the page");
        if let Value::String(default) = &property["default"] {
            let common = ["identity.server", "identity.files.dir"].contains(&&*path);
            assert!(common || page.contains(&format!("`{default}`")), "{path} without {default}");
        }
    }
}

#[test]
fn the_schema_command_prints_the_schema() {
    let printed: Value = serde_json::from_str(&schema()).unwrap();
    assert_eq!(printed, Config::schema());
}
