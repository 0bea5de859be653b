//! The objects with their versions, everything that has happened to them, and who watches.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::apply::Object;
use super::place::{Place, Query};
use super::{Done, Outcome, Refused};

#[derive(Debug, Default)]
pub(super) struct Store {
    /// The version of the latest change.
    pub(super) version: watch::Sender<u64>,
    objects: BTreeMap<Place, Object>,
    history: Vec<Event>,
    /// What is older than this version is forgotten.
    forgotten: u64,
    watches: Vec<(Query, UnboundedSender<Bytes>)>,
}

#[derive(Debug)]
struct Event {
    version: u64,
    kind: &'static str,
    place: Place,
    object: Value,
}

impl Store {
    pub(super) fn get(&self, place: &Place) -> Option<&Value> {
        self.objects.get(place).map(|object| &object.value)
    }

    pub(super) fn all(&self, plural: &str) -> Vec<Value> {
        let all = self.objects.iter().filter(|(place, _)| place.plural == plural);
        all.map(|(_, object)| object.value.clone()).collect()
    }

    /// Writes all of an object, whatever was there.
    pub(super) fn put(&mut self, place: &Place, value: Value) -> Value {
        let old = self.objects.get(place).cloned().unwrap_or_default();
        self.write(place, old.replaced(value))
    }

    pub(super) fn remove(&mut self, place: &Place) {
        if let Some(mut object) = self.objects.remove(place) {
            self.happened("DELETED", place, &mut object.value);
        }
    }

    /// Changes an object that is there, as somebody else would.
    pub(super) fn meddle(&mut self, place: &Place) {
        let mut object = self.get(place).unwrap().clone();
        object["metadata"]["labels"]["meddled"] = "yes".into();
        self.put(place, object);
    }

    fn write(&mut self, place: &Place, mut object: Object) -> Value {
        let old = self.get(place);
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let uid = old
            .map_or_else(|| json!(format!("uid-{}", self.now() + 1)), |old| old["metadata"]["uid"].clone());
        let metadata = &mut object.value["metadata"];
        metadata["name"] = json!(place.name);
        if !place.namespace.is_empty() {
            metadata["namespace"] = json!(place.namespace);
        }
        if metadata["uid"].is_null() {
            metadata["uid"] = uid;
        }
        self.happened(kind, place, &mut object.value);
        let value = object.value.clone();
        self.objects.insert(place.clone(), object);
        value
    }

    fn now(&self) -> u64 {
        *self.version.borrow()
    }

    fn happened(&mut self, kind: &'static str, place: &Place, object: &mut Value) {
        let version = self.now() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        for (query, watch) in &self.watches {
            if query.holds(place, object) {
                drop(watch.send(line(kind, &query.show(object))));
            }
        }
        self.history.push(Event { version, kind, place: place.clone(), object: object.clone() });
        self.version.send_replace(version);
    }

    pub(super) fn read(&self, query: &Query) -> Outcome {
        let object = self.get(&query.place).ok_or_else(absent)?;
        Ok(Done::Once(200, query.show(object)))
    }

    pub(super) fn list(&self, query: &Query, parameters: &HashMap<String, String>) -> Outcome {
        let all = self.objects.iter().filter(|(place, object)| query.holds(place, &object.value));
        let number = |name, default| parameters.get(name).map_or(default, |text| text.parse().unwrap());
        let (from, limit) = (number("continue", 0), number("limit", usize::MAX));
        let mut rest = all.skip(from);
        let items = rest.by_ref().take(limit).map(|(_, object)| query.show(&object.value));
        let items: Vec<Value> = items.collect();
        let mut meta = json!({"resourceVersion": self.now().to_string()});
        if rest.next().is_some() {
            meta["continue"] = json!((from + limit).to_string());
        }
        Ok(Done::Once(200, json!({"apiVersion": "v1", "kind": "List", "metadata": meta, "items": items})))
    }

    pub(super) fn watch(&mut self, query: Query, parameters: &HashMap<String, String>) -> Outcome {
        let (sender, receiver) = unbounded_channel();
        let from: u64 = parameters.get("resourceVersion").map_or(0, |version| version.parse().unwrap());
        if from < self.forgotten {
            drop(sender.send(expired()));
            return Ok(Done::Watch(receiver));
        }
        for Event { version, kind, place, object } in &self.history {
            if *version > from && query.holds(place, object) {
                drop(sender.send(line(kind, &query.show(object))));
            }
        }
        if parameters.contains_key("allowWatchBookmarks") {
            let metadata = json!({"resourceVersion": self.now().to_string()});
            let bookmark = json!({"apiVersion": "v1", "kind": "Bookmark", "metadata": metadata});
            drop(sender.send(line("BOOKMARK", &bookmark)));
        }
        self.watches.push((query, sender));
        Ok(Done::Watch(receiver))
    }

    pub(super) fn create(&mut self, mut place: Place, object: Value) -> Outcome {
        object["metadata"]["name"].as_str().unwrap().clone_into(&mut place.name);
        if self.objects.contains_key(&place) {
            return Err(Refused(409, "AlreadyExists", format!("{} already exists", place.name)));
        }
        Ok(Done::Once(201, self.put(&place, object)))
    }

    pub(super) fn replace(&mut self, place: &Place, object: Value) -> Outcome {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if version(self.get(place).ok_or_else(absent)?) != version(&object) {
            return Err(Refused::new(409, "the object has been modified: apply to the latest version"));
        }
        Ok(Done::Once(200, self.put(place, object)))
    }

    pub(super) fn merge(&mut self, place: &Place, patch: &Value) -> Outcome {
        let mut object = self.get(place).ok_or_else(absent)?.clone();
        json_patch::merge(&mut object, patch);
        Ok(Done::Once(200, self.put(place, object)))
    }

    pub(super) fn apply(&mut self, place: &Place, patch: &Value, manager: &str, force: bool) -> Outcome {
        let old = self.objects.get(place);
        same_uid(&patch["metadata"], old.map(|old| &old.value))?;
        let next = old.cloned().unwrap_or_default().applied(patch, manager, force);
        let next = next.map_err(|field| Refused::new(409, &format!("conflict over {field}")))?;
        let code = match old {
            Some(old) if old.value == next.value => {
                let value = next.value.clone();
                self.objects.insert(place.clone(), next);
                return Ok(Done::Once(200, value));
            }
            Some(_) => 200,
            None => 201,
        };
        Ok(Done::Once(code, self.write(place, next)))
    }

    pub(super) fn delete(&mut self, place: &Place, options: &Value) -> Outcome {
        let old = self.get(place).ok_or_else(absent)?;
        same_uid(&options["preconditions"], Some(old))?;
        self.remove(place);
        Ok(Done::Once(200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})))
    }

    pub(super) fn cut(&mut self) {
        self.watches.clear();
    }

    pub(super) fn expire(&mut self) {
        self.forgotten = self.now();
        for (_, watch) in self.watches.drain(..) {
            drop(watch.send(expired()));
        }
    }
}

/// Refuses who means another object than the one that is there.
fn same_uid(wanted: &Value, object: Option<&Value>) -> Result<(), Refused> {
    let uid = &wanted["uid"];
    let same = uid.is_null() || object.is_some_and(|object| object["metadata"]["uid"] == *uid);
    same.then_some(()).ok_or_else(|| Refused::new(409, "another uid"))
}

fn absent() -> Refused {
    Refused::new(404, "not found")
}

fn expired() -> Bytes {
    line("ERROR", &Refused::new(410, "too old resource version").to_json())
}

fn line(kind: &str, object: &Value) -> Bytes {
    (json!({"type": kind, "object": object}).to_string() + "\n").into()
}
