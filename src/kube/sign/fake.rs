//! An API server for tests, in memory: objects with versions, watches, conflicts, and reviews of tokens, with answers in the shape
//! of a real one. It knows no sockets: tests give it to a client as a service, or serve it over HTTP.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
};

use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What an answer's body is: all of it, or the events of a watch.
pub(crate) type Answer = UnsyncBoxBody<Bytes, Infallible>;

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// The API server. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    version: u64,
    /// By path, such as `/api/v1/namespaces/default/secrets/issuer`.
    objects: BTreeMap<String, Value>,
    /// Every event so far, with its version and the path of its object.
    events: Vec<(u64, String, Value)>,
    watches: Vec<Watch>,
    tokens: HashMap<String, Token>,
    /// Every request so far: method and path.
    asked: Vec<(Method, String)>,
    /// Requests that fail the next time: method, what stands in the path, and how.
    failures: Vec<(Method, String, StatusCode)>,
}

struct Watch {
    collection: String,
    name: Option<String>,
    events: mpsc::UnboundedSender<Value>,
}

/// A token that the API server knows.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) audience: String,
    pub(crate) namespace: String,
    pub(crate) account: String,
    /// Name and UID of the pod that it is bound to.
    pub(crate) pod: Option<(String, String)>,
}

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// A token that is good from now on.
    pub(crate) fn token(&self, text: &str, token: Token) {
        self.world().tokens.insert(text.to_owned(), token);
    }

    /// The object at a path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.world().objects.get(path).cloned()
    }

    /// Puts an object there as somebody else would, whatever was there.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.world().store(path, object);
    }

    /// Takes an object away as somebody else would.
    pub(crate) fn delete(&self, path: &str) {
        self.world().remove(path);
    }

    /// The next request of that kind fails like that.
    pub(crate) fn fail(&self, method: Method, part: &str, status: StatusCode) {
        self.world().failures.push((method, part.to_owned(), status));
    }

    /// How many requests there were of that kind.
    pub(crate) fn count(&self, method: &Method, part: &str) -> usize {
        self.world().asked.iter().filter(|(asked, path)| asked == method && path.contains(part)).count()
    }

    /// Answers a request.
    pub(crate) async fn answer<B>(self, request: Request<B>) -> Result<Response<Answer>, Infallible>
    where
        B: Body<Data = Bytes, Error: std::fmt::Debug>,
    {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query: HashMap<String, String> = head
            .uri
            .query()
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.replace("%3D", "=")))
            .collect();
        let path = head.uri.path().to_owned();
        let mut world = self.world();
        world.asked.push((head.method.clone(), path.clone()));
        let failing = |(method, part, _): &(Method, String, StatusCode)| {
            *method == head.method && path.contains(part.as_str())
        };
        if let Some(at) = world.failures.iter().position(failing) {
            let (_, _, status) = world.failures.remove(at);
            return Ok(failure(status, "Failing", "it was told to fail"));
        }
        let object = || serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(match head.method {
            Method::GET if query.get("watch").is_some_and(|watch| watch == "true") => {
                world.watch(&path, &query)
            }
            Method::GET => world.read(&path, &query),
            Method::POST if path == REVIEWS => world.review(object()),
            Method::POST => world.create(&path, object()),
            Method::PUT => world.replace(&path, object()),
            Method::DELETE => {
                world.remove(&path);
                success(StatusCode::OK, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            }
            _ => failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "not known here"),
        })
    }
}

impl World {
    fn read(&self, path: &str, query: &HashMap<String, String>) -> Response<Answer> {
        if is_collection(path) {
            let name = name(query);
            let items: Vec<&Value> = self
                .objects
                .iter()
                .filter(|(at, _)| is_in(at, path, name.as_deref()))
                .map(|(_, object)| object)
                .collect();
            let version = self.version.to_string();
            return success(
                StatusCode::OK,
                &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
            );
        }
        match self.objects.get(path) {
            Some(object) => success(StatusCode::OK, object),
            None => failure(StatusCode::NOT_FOUND, "NotFound", &format!("{path} not found")),
        }
    }

    fn create(&mut self, path: &str, object: Value) -> Response<Answer> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{path}/{name}");
        if self.objects.contains_key(&path) {
            return failure(StatusCode::CONFLICT, "AlreadyExists", &format!("{name} already exists"));
        }
        success(StatusCode::CREATED, &self.store(&path, object))
    }

    fn replace(&mut self, path: &str, object: Value) -> Response<Answer> {
        let Some(known) = self.objects.get(path) else {
            return failure(StatusCode::NOT_FOUND, "NotFound", &format!("{path} not found"));
        };
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if version(known) != version(&object) {
            let text = "the object has been modified; please apply your changes to the latest version";
            return failure(StatusCode::CONFLICT, "Conflict", text);
        }
        success(StatusCode::OK, &self.store(path, object))
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let kind = if self.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        let (collection, name) = path.rsplit_once('/').unwrap();
        let namespace = collection.split("/namespaces/").nth(1).and_then(|rest| rest.split('/').next());
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        metadata["name"] = name.into();
        metadata["namespace"] = namespace.into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{}", self.version).into();
        }
        self.objects.insert(path.to_owned(), object.clone());
        self.tell(path, &json!({"type": kind, "object": object}));
        object
    }

    fn remove(&mut self, path: &str) {
        if let Some(mut object) = self.objects.remove(path) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.tell(path, &json!({"type": "DELETED", "object": object}));
        }
    }

    fn tell(&mut self, path: &str, event: &Value) {
        self.events.push((self.version, path.to_owned(), event.clone()));
        self.watches.retain(|watch| {
            !is_in(path, &watch.collection, watch.name.as_deref()) || watch.events.send(event.clone()).is_ok()
        });
    }

    fn watch(&mut self, path: &str, query: &HashMap<String, String>) -> Response<Answer> {
        let since: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let name = name(query);
        let (events_tx, events) = mpsc::unbounded_channel();
        for (version, at, event) in &self.events {
            if *version > since && is_in(at, path, name.as_deref()) {
                events_tx.send(event.clone()).unwrap();
            }
        }
        self.watches.push(Watch { collection: path.to_owned(), name, events: events_tx });
        let lines = stream::unfold(events, |mut events| async move {
            let event: Value = events.recv().await?;
            Some((Ok(Frame::data(Bytes::from(format!("{event}\n")))), events))
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }

    fn review(&self, mut review: Value) -> Response<Answer> {
        let wanted: Vec<String> =
            serde_json::from_value(review["spec"]["audiences"].clone()).unwrap_or_default();
        let known = review["spec"]["token"].as_str().and_then(|token| self.tokens.get(token));
        review["status"] = match known {
            Some(token) if wanted.contains(&token.audience) => token.status(),
            Some(token) => {
                let error = format!(
                    "[invalid bearer token, token audiences [\"{}\"] is invalid for the target audiences {wanted:?}]",
                    token.audience
                );
                json!({"user": {}, "error": error})
            }
            None => {
                json!({"user": {}, "error": "[invalid bearer token, square/go-jose: error in cryptographic primitive]"})
            }
        };
        success(StatusCode::CREATED, &review)
    }
}

impl Token {
    fn status(&self) -> Value {
        let Self { audience, namespace, account, pod } = self;
        let mut extra = json!({"authentication.kubernetes.io/credential-id": ["JTI=0f3c9f3e-8a51-4f0c-b6a7-9a4f4f2d7c55"]});
        if let Some((name, uid)) = pod {
            extra["authentication.kubernetes.io/node-name"] = json!(["node-1"]);
            extra["authentication.kubernetes.io/pod-name"] = json!([name]);
            extra["authentication.kubernetes.io/pod-uid"] = json!([uid]);
        }
        json!({
            "authenticated": true,
            "user": {
                "username": format!("system:serviceaccount:{namespace}:{account}"),
                "uid": "7c6f3b1e-6c3f-4f55-9a45-6e2b0f6b8a10",
                "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
                "extra": extra,
            },
            "audiences": [audience],
        })
    }
}

/// Whether a path is one of many objects: those of a namespace, or of all.
fn is_collection(path: &str) -> bool {
    let rest = path.trim_start_matches('/').split('/');
    let below = if path.starts_with("/apis/") { 3 } else { 2 };
    let parts: Vec<&str> = rest.skip(below).collect();
    matches!(parts.as_slice(), [_] | ["namespaces", _, _])
}

/// Whether the object at a path is one of a collection, and has that name if one is given.
fn is_in(path: &str, collection: &str, wanted: Option<&str>) -> bool {
    let Some((of, name)) = path.rsplit_once('/') else { return false };
    let same = of == collection || {
        // Of all namespaces.
        let (root, kind) = collection.rsplit_once('/').unwrap_or_default();
        of.strip_prefix(root)
            .and_then(|rest| rest.strip_prefix("/namespaces/"))
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(_, rest)| rest == kind)
    };
    same && wanted.is_none_or(|wanted| wanted == name)
}

/// The name that a field selector asks for.
fn name(query: &HashMap<String, String>) -> Option<String> {
    query.get("fieldSelector")?.strip_prefix("metadata.name=").map(str::to_owned)
}

fn success(status: StatusCode, object: &Value) -> Response<Answer> {
    let mut response = Response::new(Full::new(Bytes::from(object.to_string())).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

fn failure(status: StatusCode, reason: &str, message: &str) -> Response<Answer> {
    let object = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": status.as_u16(),
    });
    success(status, &object)
}
