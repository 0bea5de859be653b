//! Server-side apply: an object remembers who has applied which of its fields.

use std::collections::BTreeMap;

use serde_json::Value;

/// Lists whose items have names and are merged one by one. Any other list is one value.
const NAMED: [&str; 1] = ["webhooks"];
/// Maps that are one value.
const ATOMIC: [&str; 1] = ["selector"];

/// Where a field is: the members on the way to it. An item of a list is called by its name.
type Path = Vec<String>;

/// An object as it is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub(super) value: Value,
    /// The manager of each field that was applied, and that nobody has changed since.
    managers: BTreeMap<Path, String>,
}

impl Object {
    /// What it becomes when somebody writes all of it.
    pub(super) fn replaced(&self, value: Value) -> Self {
        let mut managers = self.managers.clone();
        managers.retain(|path, _| find(&self.value, path) == find(&value, path));
        Self { value, managers }
    }

    /// What it becomes when a manager applies a patch. What the patch does not name stays, even if the manager applied it
    /// before. Without force, what somebody else has made of a field counts: then that field is the error.
    pub(super) fn applied(&self, patch: &Value, manager: &str, force: bool) -> Result<Self, String> {
        let mut wanted = BTreeMap::new();
        fields(Path::new(), patch, &mut wanted);
        let mut next = self.clone();
        for (path, value) in wanted {
            let there = find(&self.value, &path);
            let own = self.managers.get(&path).is_some_and(|own| own == manager);
            if there == Some(&value) {
                next.managers.entry(path).or_insert_with(|| manager.to_owned());
            } else if there.is_none() || own || force {
                *path.iter().fold(&mut next.value, |value, key| member(value, key)) = value;
                next.managers.insert(path, manager.to_owned());
            } else {
                return Err(path.join("."));
            }
        }
        Ok(next)
    }
}

/// The fields of what is at a path, with their values.
fn fields(path: Path, value: &Value, found: &mut BTreeMap<Path, Value>) {
    let below = |key: &str| [&*path, &[key.to_owned()]].concat();
    let is = |names: &[&str]| path.last().is_some_and(|last| names.contains(&last.as_str()));
    match value {
        Value::Object(members) if !is(&ATOMIC) => {
            members.iter().for_each(|(key, value)| fields(below(key), value, found));
        }
        Value::Array(items) if is(&NAMED) => {
            items.iter().for_each(|item| fields(below(item["name"].as_str().unwrap()), item, found));
        }
        _ => drop(found.insert(path, value.clone())),
    }
}

/// What is at a path.
fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Array(items) => items.iter().find(|item| item["name"] == **key),
        members => members.get(key),
    })
}

/// A member, which is there from now on. An item of a list has to be there already.
fn member<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    match value {
        Value::Array(items) => items.iter_mut().find(|item| item["name"] == key).unwrap(),
        members => &mut members[key],
    }
}
