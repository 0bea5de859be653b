//! An API server: objects by path, resource versions, watches, and no opinion on what the objects say. A test holds it in its
//! hands; clients reach it as a service, or over HTTP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use dragoman::drain::drain;
use dragoman::net::serve::{Accepted, Callers, Http};
use dragoman::task;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;

use crate::harness::soon;

/// Where the Secret is.
pub(super) const SECRET: &str = "/api/v1/namespaces/dragoman-system/secrets/dragoman-injector-tls";
/// Where the webhook's configuration is.
pub(super) const WEBHOOK: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dragoman-injector";
/// Where the roots for sidecars are.
pub(super) const BUNDLE: &str = "/api/v1/namespaces/dragoman-system/configmaps/dragoman-trust-bundle";

/// Lists of the whole cluster, of which there is nothing here.
const EMPTY: [&str; 2] = ["/api/v1/pods", "/api/v1/services"];

/// The server. A clone is the same one.
#[derive(Clone)]
pub(super) struct Api {
    state: Arc<Mutex<State>>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    history: Vec<(u64, String, Value)>,
    /// Writes as they came: method, path with query, and status.
    writes: Vec<(Method, String, u16)>,
    denied: Option<Method>,
    meddling: bool,
}

impl Api {
    pub(super) fn new() -> Self {
        Self { state: Arc::default(), version: watch::Sender::new(1) }
    }

    /// With a webhook's configuration as a chart leaves it.
    pub(super) fn installed() -> Self {
        let api = Self::new();
        let webhook = |name: &str| {
            let service =
                json!({"name": "dragoman-injector", "namespace": "dragoman-system", "path": "/inject"});
            json!({"name": name, "clientConfig": {"service": service}, "sideEffects": "NoneOnDryRun"})
        };
        let webhooks = ["namespace.inject.dragoman.dev", "pod.inject.dragoman.dev"].map(webhook);
        api.put(WEBHOOK, json!({"metadata": {"name": "dragoman-injector"}, "webhooks": webhooks}));
        api
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts an object there, as somebody else would.
    pub(super) fn put(&self, path: &str, object: Value) -> Value {
        self.change(&mut self.state(), path, Some(object)).unwrap()
    }

    /// Takes an object away.
    pub(super) fn delete(&self, path: &str) {
        self.change(&mut self.state(), path, None);
    }

    pub(super) fn get(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// Refuses everything of this method from now on.
    pub(super) fn deny(&self, method: Option<Method>) {
        self.state().denied = method;
    }

    /// Writes every object that somebody replaces once more just before, the next time.
    pub(super) fn meddle(&self) {
        self.state().meddling = true;
    }

    /// The writes to paths that contain a text: method, path with query, and status.
    pub(super) fn writes(&self, text: &str) -> Vec<(Method, String, u16)> {
        self.state().writes.iter().filter(|(_, path, _)| path.contains(text)).cloned().collect()
    }

    /// Objects at paths that contain a text.
    pub(super) fn all(&self, text: &str) -> Vec<Value> {
        let state = self.state();
        state
            .objects
            .iter()
            .filter(|(path, _)| path.contains(text))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Waits for the next change of anything.
    pub(super) async fn changed(&self) {
        let mut version = self.version.subscribe();
        version.borrow_and_update();
        soon("a change", version.changed()).await.unwrap();
    }

    /// A client that needs no socket.
    pub(super) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Serves over HTTP: a kubeconfig that names it, and the server.
    pub(super) async fn listen(&self) -> (Value, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let api = self.clone();
        let (trigger, drain) = drain();
        let serving = task::spawn(async move {
            let _trigger = trigger;
            let accept = move |stream: TcpStream| {
                let api = api.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let api = api.clone();
                    async move { Ok::<_, Infallible>(api.answer(request).await) }.boxed()
                });
                std::future::ready(Some(Accepted::new(stream, service)))
            };
            let http = Http::new(Callers::Known { stream_window: 1 << 20 });
            http.serve(listener, drain, None, accept).await;
        });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        (config, serving)
    }

    fn change(&self, state: &mut State, path: &str, object: Option<Value>) -> Option<Value> {
        let version = *self.version.borrow() + 1;
        let event = match object {
            Some(mut object) => {
                let new = !state.objects.contains_key(path);
                object["metadata"]["resourceVersion"] = version.to_string().into();
                state.objects.insert(path.to_owned(), object.clone());
                json!({"type": if new { "ADDED" } else { "MODIFIED" }, "object": object})
            }
            None => json!({"type": "DELETED", "object": state.objects.remove(path)?}),
        };
        let object = event["object"].clone();
        state.history.push((version, path.to_owned(), event));
        self.version.send_replace(version);
        Some(object)
    }

    async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let (head, body) = request.into_parts();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
        if head.method == Method::GET && query.contains("watch=true") {
            return self.watch(path, &query);
        }
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut state = self.state();
        let denied = state.denied.as_ref() == Some(&head.method);
        let outcome = match head.method {
            _ if denied => Err(StatusCode::FORBIDDEN),
            Method::GET => Self::read(&state, &path, &query),
            _ => self.write(&mut state, &head.method, &path, body),
        };
        let status = outcome.as_ref().map_or_else(|status| *status, |_| StatusCode::OK);
        if head.method != Method::GET {
            state.writes.push((head.method, format!("{path}?{query}"), status.as_u16()));
        }
        let body = outcome.unwrap_or_else(|status| {
            json!({
                "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status.as_u16(),
                "reason": status.canonical_reason().unwrap().replace(' ', ""), "message": format!("{path}: {status}"),
            })
        });
        let mut response = Response::new(Body::new(http_body_util::Full::from(body.to_string())));
        *response.status_mut() = status;
        response
    }

    fn read(state: &State, path: &str, query: &str) -> Result<Value, StatusCode> {
        let items: Vec<_> = match selected(query) {
            Some(name) => state.objects.get(&format!("{path}/{name}")).cloned().into_iter().collect(),
            None if EMPTY.contains(&path) => Vec::new(),
            None => return state.objects.get(path).cloned().ok_or(StatusCode::NOT_FOUND),
        };
        let version = state.history.last().map_or(1, |(version, ..)| *version).to_string();
        Ok(json!({"metadata": {"resourceVersion": version}, "items": items}))
    }

    fn write(
        &self,
        state: &mut State,
        method: &Method,
        path: &str,
        body: Value,
    ) -> Result<Value, StatusCode> {
        if *method == Method::POST {
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if state.objects.contains_key(&path) {
                return Err(StatusCode::CONFLICT);
            }
            return Ok(self.change(state, &path, Some(body)).unwrap());
        }
        if std::mem::take(&mut state.meddling) {
            let mut there = state.objects.get(path).cloned().ok_or(StatusCode::NOT_FOUND)?;
            there["metadata"]["labels"]["meddled"] = "yes".into();
            self.change(state, path, Some(there));
        }
        let mut there = state.objects.get(path).cloned().ok_or(StatusCode::NOT_FOUND)?;
        let object = match *method {
            Method::PUT if body["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"] => {
                return Err(StatusCode::CONFLICT);
            }
            Method::PUT => body,
            _ => {
                // Lists of objects with names are merged by them, as in server-side apply.
                for applied in body["webhooks"].as_array().into_iter().flatten() {
                    let webhooks = there["webhooks"].as_array_mut().unwrap();
                    let webhook = webhooks.iter_mut().find(|webhook| webhook["name"] == applied["name"]);
                    json_patch::merge(webhook.unwrap(), applied);
                }
                there["series"] = body["series"].clone();
                there
            }
        };
        Ok(self.change(state, path, Some(object)).unwrap())
    }

    fn watch(&self, path: String, query: &str) -> Response<Body> {
        // Where there is nothing, nothing happens.
        let path = selected(query).map_or_else(|| path.clone(), |name| format!("{path}/{name}"));
        let from = parameter(query, "resourceVersion").unwrap_or("0").parse::<u64>().unwrap();
        let mut versions = self.version.subscribe();
        versions.mark_changed();
        let api = self.clone();
        let events =
            stream::unfold((from, versions, api, path), |(from, mut versions, api, path)| async move {
                versions.changed().await.ok()?;
                let version = *versions.borrow_and_update();
                let state = api.state();
                let news =
                    state.history.iter().filter(|(version, changed, _)| *version > from && *changed == path);
                let lines: String = news.map(|(_, _, event)| format!("{event}\n")).collect();
                drop(state);
                Some((lines, (version, versions, api, path)))
            });
        let frames = events.filter(|lines| std::future::ready(!lines.is_empty()));
        let frames = frames.map(|lines| Ok::<_, Infallible>(Frame::data(Bytes::from(lines))));
        Response::new(Body::new(StreamBody::new(frames.boxed())))
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The only object that a list or a watch is about.
fn selected(query: &str) -> Option<&str> {
    let selector = parameter(query, "fieldSelector")?;
    selector.rsplit_once("%3D").or_else(|| selector.rsplit_once('=')).map(|(_, name)| name)
}
