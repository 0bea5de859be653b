//! An API server for tests: it keeps objects, lists them in pages, lets them be watched, and applies patches.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, header::ACCEPT};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The whole cluster. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<Place, Value>,
    /// Everything that has happened, by version.
    history: Vec<(u64, Place, Value)>,
    /// What is older than this version is forgotten.
    forgotten: u64,
    watches: Vec<(Query, UnboundedSender<Bytes>)>,
    faults: VecDeque<Fault>,
    calls: Vec<String>,
}

#[derive(Debug)]
struct Fault {
    call: String,
    code: u16,
    times: usize,
}

/// Where an object is: `/api/v1`, `services`, namespace, name.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    group: String,
    plural: String,
    namespace: String,
    name: String,
}

/// Which objects are asked for.
#[derive(Clone, Debug)]
struct Query {
    place: Place,
    labels: Vec<(String, String)>,
    /// Whether only metadata is asked for.
    partial: bool,
}

impl Query {
    fn new(place: Place, query: &BTreeMap<String, String>, partial: bool) -> Self {
        let selector = query.get("labelSelector").map_or("", String::as_str);
        let pairs = selector.split(',').filter_map(|pair| pair.split_once('='));
        let labels = pairs.map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
        Self { place, labels, partial }
    }

    /// An object as it is shown to who asks so.
    fn show(&self, object: &Value) -> Value {
        if !self.partial {
            return object.clone();
        }
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
    }

    fn holds(&self, place: &Place, object: &Value) -> bool {
        let Self { place: wanted, labels, .. } = self;
        let own = &object["metadata"]["labels"];
        (&wanted.group, &wanted.plural) == (&place.group, &place.plural)
            && (wanted.namespace.is_empty() || wanted.namespace == place.namespace)
            && labels.iter().all(|(label, value)| own[label] == value.as_str())
    }
}

impl Place {
    fn of(object: &Value) -> Self {
        let version = object["apiVersion"].as_str().unwrap();
        let root = if version.contains('/') { "apis" } else { "api" };
        Self {
            group: format!("/{root}/{version}"),
            plural: object["kind"].as_str().unwrap().to_lowercase() + "s",
            namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
            name: object["metadata"]["name"].as_str().unwrap().to_owned(),
        }
    }

    fn at(path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let root = next();
        let group = if root == "api" { next() } else { next() + "/" + &next() };
        let (mut namespace, mut plural) = (String::new(), next());
        if plural == "namespaces" {
            namespace = next();
            plural = next();
        }
        Self { group: format!("/{root}/{group}"), plural, namespace, name: next() }
    }
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move { Ok::<_, Infallible>(cluster.answer(request).await) }
        });
        Client::new(service, "default")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Creates or replaces an object, as if somebody else did. What has no UID gets one.
    pub(crate) fn put(&self, object: Value) {
        self.inner().put(object);
    }

    /// Removes the object of that kind and name.
    pub(crate) fn remove(&self, object: &Value) {
        self.inner().remove(&Place::of(object));
    }

    /// The object at that path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.inner().objects.get(&Place::at(path)).cloned()
    }

    /// All calls so far: method, path and query. Watches are among them.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.inner().calls.clone()
    }

    /// The next `times` calls that begin like `call` get this status.
    pub(crate) fn fail(&self, call: &str, code: u16, times: usize) {
        self.inner().faults.push_back(Fault { call: call.to_owned(), code, times });
    }

    /// No call fails any more.
    pub(crate) fn heal(&self) {
        self.inner().faults.clear();
    }

    /// Ends all watches.
    pub(crate) fn cut(&self) {
        self.inner().watches.clear();
    }

    /// Ends all watches, and nothing that has happened so far can be watched any more.
    pub(crate) fn expire(&self) {
        let mut inner = self.inner();
        inner.forgotten = inner.version;
        for (_, watch) in inner.watches.drain(..) {
            drop(watch.send(line("ERROR", &status(410, "too old resource version"))));
        }
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let call = format!("{} {}", parts.method, parts.uri);
        let query = parts.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| {
                let value = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
                (key.to_owned(), value.into_owned())
            })
            .collect();
        let mut inner = self.inner();
        inner.calls.push(call.clone());
        if let Some(code) = inner.fault(&call) {
            return once(code, &status(code, "the test says so"));
        }
        let place = Place::at(parts.uri.path());
        let accept = parts.headers.get(ACCEPT).map(|accept| accept.to_str().unwrap());
        let partial = accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata"));
        let wanted = Query::new(place.clone(), &query, partial);
        let body = || serde_json::from_slice::<Value>(&body).unwrap();
        match parts.method {
            Method::GET if place.name.is_empty() && query.contains_key("watch") => {
                inner.watch(wanted, &query)
            }
            Method::GET if place.name.is_empty() => inner.list(&wanted, &query),
            Method::GET => {
                inner.objects.get(&place).map_or_else(absent, |object| once(200, &wanted.show(object)))
            }
            Method::POST => inner.create(body()),
            Method::PATCH => inner.apply(&place, body(), query.contains_key("force")),
            Method::DELETE => inner.delete(&place, &body()),
            _ => once(405, &status(405, "no such method")),
        }
    }
}

impl Inner {
    fn fault(&mut self, call: &str) -> Option<u16> {
        let at = self.faults.iter().position(|fault| call.starts_with(&fault.call))?;
        let fault = &mut self.faults[at];
        let code = fault.code;
        fault.times -= 1;
        if fault.times == 0 {
            self.faults.remove(at);
        }
        Some(code)
    }

    fn put(&mut self, mut object: Value) -> Value {
        let place = Place::of(&object);
        let old = self.objects.get(&place);
        let uid = old
            .map_or_else(|| json!(format!("uid-{}", self.version + 1)), |old| old["metadata"]["uid"].clone());
        let meta = object["metadata"].as_object_mut().unwrap();
        if !meta.contains_key("uid") {
            meta.insert("uid".to_owned(), uid);
        }
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        self.happened(kind, place.clone(), &mut object);
        self.objects.insert(place, object.clone());
        object
    }

    fn remove(&mut self, place: &Place) {
        if let Some(mut object) = self.objects.remove(place) {
            self.happened("DELETED", place.clone(), &mut object);
        }
    }

    fn happened(&mut self, kind: &str, place: Place, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        for (query, watch) in &self.watches {
            if query.holds(&place, object) {
                drop(watch.send(line(kind, &query.show(object))));
            }
        }
        self.history.push((self.version, place, json!({"type": kind, "object": object})));
    }

    fn list(&self, wanted: &Query, query: &BTreeMap<String, String>) -> Answer {
        let all = self.objects.iter().filter(|(place, object)| wanted.holds(place, object));
        let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
        let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let mut rest = all.skip(from);
        let items: Vec<Value> = rest.by_ref().take(limit).map(|(_, object)| wanted.show(object)).collect();
        let mut meta = json!({"resourceVersion": self.version.to_string()});
        if rest.next().is_some() {
            meta["continue"] = json!((from + limit).to_string());
        }
        once(200, &json!({"apiVersion": "v1", "kind": "List", "metadata": meta, "items": items}))
    }

    fn watch(&mut self, wanted: Query, query: &BTreeMap<String, String>) -> Answer {
        let (sender, receiver) = unbounded_channel();
        let from: u64 = query.get("resourceVersion").map_or(0, |version| version.parse().unwrap());
        if from < self.forgotten {
            drop(sender.send(line("ERROR", &status(410, "too old resource version"))));
            return streaming(receiver);
        }
        for (version, place, event) in &self.history {
            if *version > from && wanted.holds(place, &event["object"]) {
                drop(sender.send(line(event["type"].as_str().unwrap(), &wanted.show(&event["object"]))));
            }
        }
        let bookmark = json!({"apiVersion": "v1", "kind": "Bookmark", "metadata": {"resourceVersion": self.version.to_string()}});
        drop(sender.send(line("BOOKMARK", &bookmark)));
        self.watches.push((wanted, sender));
        streaming(receiver)
    }

    fn create(&mut self, object: Value) -> Answer {
        if self.objects.contains_key(&Place::of(&object)) {
            let mut taken = status(409, "already exists");
            taken["reason"] = json!("AlreadyExists");
            return once(409, &taken);
        }
        once(201, &self.put(object))
    }

    /// A server-side apply, near enough: what is given is taken over, and without force nothing may differ before.
    fn apply(&mut self, place: &Place, patch: Value, force: bool) -> Answer {
        let Some(old) = self.objects.get(place) else {
            if !patch["metadata"]["uid"].is_null() {
                return once(409, &status(409, "uid mismatch"));
            }
            return once(201, &self.put(patch));
        };
        let uid = &patch["metadata"]["uid"];
        if !uid.is_null() && *uid != old["metadata"]["uid"] {
            return once(409, &status(409, "uid mismatch"));
        }
        let mut new = old.clone();
        json_patch::merge(&mut new, &patch);
        // A selector is one value, not a map of them.
        new["spec"]["selector"] = patch["spec"]["selector"].clone();
        let alike = new["spec"] == old["spec"] && new["metadata"]["labels"] == old["metadata"]["labels"];
        if !alike && !force {
            return once(409, &status(409, "conflict"));
        }
        if new == *old {
            return once(200, &new);
        }
        once(200, &self.put(new))
    }

    fn delete(&mut self, place: &Place, options: &Value) -> Answer {
        let Some(old) = self.objects.get(place) else { return absent() };
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != old["metadata"]["uid"] {
            return once(409, &status(409, "another uid"));
        }
        self.remove(place);
        once(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }
}

fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        503 => "ServiceUnavailable",
        _ => "",
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": reason})
}

fn absent() -> Answer {
    once(404, &status(404, "not found"))
}

fn once(code: u16, body: &Value) -> Answer {
    let body = Full::from(body.to_string()).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}

fn line(kind: &str, object: &Value) -> Bytes {
    (json!({"type": kind, "object": object}).to_string() + "\n").into()
}

fn streaming(lines: UnboundedReceiver<Bytes>) -> Answer {
    let frames = stream::unfold(lines, |mut lines| async move {
        lines.recv().await.map(|line| (Ok(Frame::data(line)), lines))
    });
    Response::new(StreamBody::new(frames).boxed_unsync())
}
