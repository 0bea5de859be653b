//! A cluster's API server for tests, in memory: objects with versions, lists in pages, watches, conflicts, server-side apply and
//! reviews of tokens, with answers in the shape of a real one. It knows no sockets: clients reach it as a service, or a test
//! serves it over HTTP. The integration tests build it from this very file.

// Named by their paths, so that the integration tests can include this file too.
#[path = "fake/apply.rs"]
mod apply;
#[path = "fake/place.rs"]
mod place;
#[path = "fake/review.rs"]
mod review;
#[path = "fake/store.rs"]
mod store;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{Method, Request, Response, request::Parts};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use self::place::{Place, Query, parameters};
pub(crate) use self::review::Token;
use self::store::Store;

/// What an answer's body is: all of it, or the events of a watch.
pub(crate) type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// The cluster. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    store: Store,
    tokens: HashMap<String, Token>,
    faults: VecDeque<Fault>,
    calls: Vec<Call>,
}

/// What goes wrong with the next calls of a kind.
#[derive(Debug)]
struct Fault {
    call: String,
    /// The status that they get; without one, somebody else is faster.
    code: Option<u16>,
    times: usize,
}

/// A call, as it came.
#[derive(Debug)]
struct Call {
    method: Method,
    /// Path and query.
    uri: String,
    status: u16,
}

/// What comes of a call.
type Outcome = Result<Done, Refused>;

#[derive(Debug)]
enum Done {
    Once(u16, Value),
    Watch(UnboundedReceiver<Bytes>),
}

/// Why nothing comes of it: status, reason and message.
#[derive(Debug)]
struct Refused(u16, &'static str, String);

impl Cluster {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// A client of it that needs no socket.
    pub(crate) fn client(&self) -> Client {
        let cluster = self.clone();
        let answer = move |request: Request<kube::client::Body>| cluster.clone().answer(request);
        Client::new(tower::service_fn(answer), "default")
    }

    /// Creates or replaces an object that says what it is, as if somebody else did. What has no UID gets one.
    pub(crate) fn put(&self, object: Value) {
        self.inner().store.put(&Place::of(&object), object);
    }

    /// The same with an object that is what its path says.
    pub(crate) fn put_at(&self, path: &str, object: Value) {
        self.inner().store.put(&Place::at(path), object);
    }

    /// Removes the object of that kind and name, as if somebody else did.
    pub(crate) fn remove(&self, object: &Value) {
        self.inner().store.remove(&Place::of(object));
    }

    /// Removes the object at a path.
    pub(crate) fn remove_at(&self, path: &str) {
        self.inner().store.remove(&Place::at(path));
    }

    /// The object at a path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.inner().store.get(&Place::at(path)).cloned()
    }

    /// All objects of a kind, such as `events`.
    pub(crate) fn all(&self, plural: &str) -> Vec<Value> {
        self.inner().store.all(plural)
    }

    /// Waits for the next change of anything.
    pub(crate) async fn changed(&self) {
        let mut version = self.inner().store.version.subscribe();
        version.changed().await.unwrap();
    }

    /// A token that is good from now on.
    pub(crate) fn token(&self, text: &str, token: Token) {
        self.inner().tokens.insert(text.to_owned(), token);
    }

    /// All calls so far: method, path and query. Watches are among them.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.inner().calls.iter().map(|call| format!("{} {}", call.method, call.uri)).collect()
    }

    /// How many calls there were of that method with such a part in them.
    pub(crate) fn count(&self, method: &Method, part: &str) -> usize {
        self.inner().calls.iter().filter(|call| call.method == method && call.uri.contains(part)).count()
    }

    /// The calls with such a part that were meant to change something: method, path and query, status.
    pub(crate) fn writes(&self, part: &str) -> Vec<(Method, String, u16)> {
        let inner = self.inner();
        let writes = inner.calls.iter().filter(|call| call.method != Method::GET && call.uri.contains(part));
        writes.map(|call| (call.method.clone(), call.uri.clone(), call.status)).collect()
    }

    /// The next `times` calls of that kind get this status. `GET /api/v1/pods?` is any call of this method with such a part.
    pub(crate) fn fail(&self, call: &str, code: u16, times: usize) {
        self.inner().faults.push_back(Fault { call: call.to_owned(), code: Some(code), times });
    }

    /// Just before the next call of that kind, somebody else puts the label `meddled` on its object.
    pub(crate) fn meddle(&self, call: &str) {
        self.inner().faults.push_back(Fault { call: call.to_owned(), code: None, times: 1 });
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.inner().faults.clear();
    }

    /// Ends all watches.
    pub(crate) fn cut(&self) {
        self.inner().store.cut();
    }

    /// Ends all watches, and nothing that has happened so far can be watched any more.
    pub(crate) fn expire(&self) {
        self.inner().store.expire();
    }

    /// Answers a call.
    pub(crate) async fn answer<B>(self, request: Request<B>) -> Result<Response<Answer>, Infallible>
    where
        B: Body<Data = Bytes, Error: fmt::Debug>,
    {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut inner = self.inner();
        let outcome = inner.answer(&head, serde_json::from_slice(&body).unwrap_or_default());
        let response = respond(outcome);
        let (status, uri) = (response.status().as_u16(), head.uri.to_string());
        inner.calls.push(Call { method: head.method, uri, status });
        Ok(response)
    }
}

impl Inner {
    fn answer(&mut self, head: &Parts, body: Value) -> Outcome {
        let place = Place::at(head.uri.path());
        match self.fault(&head.method, &head.uri.to_string()) {
            Some(Some(code)) => return Err(Refused::new(code, "the test says so")),
            Some(None) => self.store.meddle(&place),
            None => {}
        }
        let header = |name: HeaderName| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let parameters = parameters(&head.uri);
        let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
        let query = Query::new(place.clone(), &parameters, header(ACCEPT));
        match head.method {
            Method::GET if !place.name.is_empty() => self.store.read(&query),
            Method::GET if parameter("watch") == "true" => self.store.watch(query, &parameters),
            Method::GET => self.store.list(&query, &parameters),
            Method::POST if place.plural == "tokenreviews" => {
                Ok(Done::Once(201, review::review(&self.tokens, body)))
            }
            Method::POST => self.store.create(place, body),
            Method::PUT => self.store.replace(&place, body),
            Method::PATCH if header(CONTENT_TYPE) == "application/apply-patch+yaml" => {
                self.store.apply(&place, &body, parameter("fieldManager"), parameter("force") == "true")
            }
            Method::PATCH if header(CONTENT_TYPE) == "application/merge-patch+json" => {
                self.store.merge(&place, &body)
            }
            Method::DELETE => self.store.delete(&place, &body),
            _ => Err(Refused::new(405, "no such method")),
        }
    }

    /// What goes wrong with a call, if anything does.
    fn fault(&mut self, method: &Method, uri: &str) -> Option<Option<u16>> {
        let at = self.faults.iter().position(|fault| {
            let (wanted, part) = fault.call.split_once(' ').unwrap_or((&fault.call, ""));
            method == wanted && uri.contains(part)
        })?;
        let fault = &mut self.faults[at];
        let code = fault.code;
        fault.times -= 1;
        if fault.times == 0 {
            self.faults.remove(at);
        }
        Some(code)
    }
}

impl Refused {
    fn new(code: u16, message: &str) -> Self {
        let reason = match code {
            403 => "Forbidden",
            404 => "NotFound",
            405 => "MethodNotAllowed",
            409 => "Conflict",
            410 => "Expired",
            422 => "Invalid",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            _ => "",
        };
        Self(code, reason, message.to_owned())
    }

    fn to_json(&self) -> Value {
        let Self(code, reason, message) = self;
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        })
    }
}

fn respond(outcome: Outcome) -> Response<Answer> {
    let (code, object) = match outcome {
        Ok(Done::Watch(lines)) => {
            let frames = stream::unfold(lines, |mut lines| async move {
                lines.recv().await.map(|line| (Ok(Frame::data(line)), lines))
            });
            return Response::new(StreamBody::new(frames).boxed_unsync());
        }
        Ok(Done::Once(code, object)) => (code, object),
        Err(refused) => (refused.0, refused.to_json()),
    };
    let response = Response::builder().status(code).header(CONTENT_TYPE, "application/json");
    response.body(Full::from(object.to_string()).boxed_unsync()).unwrap()
}
