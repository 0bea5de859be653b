//! A small A2A agent: JSON-RPC 1.0 over plain HTTP, as any SDK would serve it. It knows nothing of meshes; what it is good
//! at is the business of its [`Skill`].

mod tasks;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;

use self::tasks::{Begun, Events, Tasks};
pub(super) use self::tasks::{Progress, Status};
use crate::a2a::{A2A_VERSION, Reason};
use crate::codec::sse;
use crate::drain::Drain;
use crate::net::collect;
use crate::net::serve::{Accepted, Callers, Http};
use crate::task;

/// The largest request.
const REQUEST_MAX: usize = 1 << 20;
const STREAM_WINDOW: u32 = 1 << 18;
/// The W3C trace context, which agents hand on so that a call can be followed.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What an agent is good at.
pub(super) trait Skill: Send + Sync + 'static {
    /// What the IDs of its tasks begin with.
    fn kind(&self) -> &'static str;

    /// Its card, but for where it is and what it speaks.
    fn card(&self) -> Value;

    /// Works on a task, until it is over or the caller must say more.
    fn turn(&self, turn: Turn) -> BoxFuture<'static, ()>;
}

/// What there is to do.
pub(super) struct Turn {
    /// Everything that the caller has said in this task, oldest first.
    pub(super) said: Vec<String>,
    /// The trace that it belongs to.
    pub(super) traceparent: Option<String>,
    /// Where to report.
    pub(super) progress: Progress,
}

/// Why a request is answered with an error.
#[derive(Debug)]
pub(super) struct Refusal {
    reason: Reason,
    message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The error object of JSON-RPC, with the details that A2A asks for (§9.5).
    fn to_json(&self) -> Value {
        let row = self.reason.row();
        let info = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": row.name,
            "domain": row.domain,
        });
        json!({"code": row.jsonrpc, "message": self.message, "data": [info]})
    }
}

/// Serves an agent for as long as the handle is kept.
pub(super) fn serve(
    listener: TcpListener,
    skill: Arc<dyn Skill>,
    drain: Drain,
) -> io::Result<AbortOnDropHandle<()>> {
    let url = format!("http://{}/", listener.local_addr()?);
    let agent = Arc::new(Agent { tasks: Arc::new(Tasks::new(skill.kind())), skill, url });
    let accept = move |stream: TcpStream| {
        let agent = Arc::clone(&agent);
        let service = service_fn(move |request: Request<Incoming>| {
            let agent = Arc::clone(&agent);
            async move { Ok::<_, Infallible>(agent.answer(request).await) }
        });
        std::future::ready(Some(Accepted::new(stream, service)))
    };
    let http = Http::new(Callers::Known { stream_window: STREAM_WINDOW });
    Ok(task::spawn(http.serve(listener, drain, None, accept)))
}

struct Agent {
    skill: Arc<dyn Skill>,
    tasks: Arc<Tasks>,
    url: String,
}

/// What an operation gives.
enum Answer {
    Once(Value),
    /// The task as it is, and what happens to it.
    Stream(Value, Events),
}

impl Agent {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/.well-known/agent-card.json") => json_response(StatusCode::OK, &self.card()),
            (&Method::POST, "/") => self.rpc(request).await,
            _ => json_response(StatusCode::NOT_FOUND, &json!({"error": "POST JSON-RPC to /"})),
        }
    }

    fn card(&self) -> Value {
        let mut card = self.skill.card();
        card["supportedInterfaces"] =
            json!([{"url": self.url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]);
        card["version"] = env!("CARGO_PKG_VERSION").into();
        card["capabilities"] = json!({"streaming": true, "pushNotifications": false});
        card["defaultInputModes"] = json!(["text/plain"]);
        card["defaultOutputModes"] = json!(["text/plain", "application/json"]);
        card
    }

    async fn rpc(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let request = match collect(Body::new(body), REQUEST_MAX).await {
            Ok(body) => serde_json::from_slice::<Value>(&body)
                .map_err(|error| Refusal::new(Reason::ParseError, format!("no JSON: {error}"))),
            Err(error) => Err(Refusal::new(Reason::InvalidRequest, error.to_string())),
        };
        let id = request.as_ref().map_or(Value::Null, |request| request["id"].clone());
        let answer = match request {
            Ok(request) => self.call(&head.headers, request).await,
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok(Answer::Once(result)) => json_response(StatusCode::OK, &result_of(&id, &result)),
            Ok(Answer::Stream(task, events)) => event_response(id, task, events),
            Err(refusal) => {
                let answer = json!({"jsonrpc": "2.0", "id": id, "error": refusal.to_json()});
                json_response(StatusCode::OK, &answer)
            }
        }
    }

    async fn call(&self, headers: &HeaderMap, mut request: Value) -> Result<Answer, Refusal> {
        // A missing version means 0.3 (§3.6.2), which this agent does not speak.
        let version = headers.get(A2A_VERSION).and_then(|version| version.to_str().ok()).unwrap_or("0.3");
        if version != "1.0" {
            let what = format!("A2A {version} is not spoken here, only 1.0");
            return Err(Refusal::new(Reason::VersionNotSupported, what));
        }
        if request["jsonrpc"] != "2.0" {
            return Err(Refusal::new(Reason::InvalidRequest, "jsonrpc must be \"2.0\""));
        }
        let params = request["params"].take();
        let method = request["method"].as_str().unwrap_or_default();
        match method {
            "SendMessage" => {
                let Begun { id, mut events, .. } = self.begin(headers, &params)?;
                if params["configuration"]["returnImmediately"] != true {
                    // The turn is over when nobody reports any more.
                    while events.recv().await.is_some() {}
                }
                let task = self.tasks.show(&id, history(&params["configuration"]))?;
                Ok(Answer::Once(json!({"task": task})))
            }
            "SendStreamingMessage" => {
                self.begin(headers, &params).map(|begun| Answer::Stream(begun.task, begun.events))
            }
            "GetTask" => self.tasks.show(id_of(&params)?, history(&params)).map(Answer::Once),
            "CancelTask" => self.tasks.cancel(id_of(&params)?).map(Answer::Once),
            "SubscribeToTask" => {
                self.tasks.follow(id_of(&params)?).map(|(task, events)| Answer::Stream(task, events))
            }
            method => Err(not_done(method)),
        }
    }

    /// Takes a message and sets to work.
    fn begin(&self, headers: &HeaderMap, params: &Value) -> Result<Begun, Refusal> {
        let wrong = |what: &str| Refusal::new(Reason::InvalidParams, what);
        let message = &params["message"];
        if !message.is_object() {
            return Err(wrong("message is missing"));
        }
        if message["messageId"].as_str().is_none_or(str::is_empty) {
            return Err(wrong("message.messageId is missing"));
        }
        if message["role"] != "ROLE_USER" {
            return Err(wrong("message.role must be ROLE_USER"));
        }
        let parts = message["parts"].as_array().filter(|parts| !parts.is_empty());
        let parts = parts.ok_or_else(|| wrong("message.parts is missing"))?;
        if !parts.iter().any(|part| part["text"].is_string()) {
            return Err(Refusal::new(Reason::ContentTypeNotSupported, "only text is read here"));
        }
        let mut begun = self.tasks.begin(message.clone(), history(&params["configuration"]))?;
        let traceparent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let progress = Progress::new(Arc::clone(&self.tasks), begun.id.clone());
        let turn = Turn { said: std::mem::take(&mut begun.said), traceparent, progress };
        self.tasks.keep(&begun.id, task::spawn(self.skill.turn(turn)));
        Ok(begun)
    }
}

/// Why a method is none that this agent has.
fn not_done(method: &str) -> Refusal {
    let (reason, what) = match method {
        "GetExtendedAgentCard" => (Reason::ExtendedAgentCardNotConfigured, "there is no other card"),
        "ListTasks" => (Reason::UnsupportedOperation, "tasks are not listed here"),
        _ if method.contains("PushNotificationConfig") => {
            (Reason::PushNotificationNotSupported, "no webhooks are called from here")
        }
        _ => (Reason::MethodNotFound, "no such method"),
    };
    Refusal::new(reason, what)
}

fn id_of(params: &Value) -> Result<&str, Refusal> {
    params["id"].as_str().ok_or_else(|| Refusal::new(Reason::InvalidParams, "id is missing"))
}

/// How many messages of the history are wanted at most.
fn history(wanted: &Value) -> Option<usize> {
    wanted["historyLength"].as_u64().and_then(|most| usize::try_from(most).ok())
}

fn result_of(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn event_response(id: Value, task: Value, events: Events) -> Response<Body> {
    let first = stream::iter([json!({"task": task})]);
    let frames = first.chain(received(events)).map(move |event| {
        let mut frame = Vec::new();
        sse::write_event(&mut frame, |out| serde_json::to_writer(out, &result_of(&id, &event)))?;
        Ok::<_, serde_json::Error>(Frame::data(Bytes::from(frame)))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn received(events: Events) -> impl Stream<Item = Value> {
    stream::unfold(events, |mut events| async move { events.recv().await.map(|event| (event, events)) })
}

#[cfg(test)]
mod tests;
