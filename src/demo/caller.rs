//! An ordinary A2A client: JSON-RPC 1.0 over plain HTTP, to whatever base URL it is given.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyStream, Full};
use serde_json::{Value, json};
use tonic::body::Body;

use super::agent::TRACEPARENT;
use crate::a2a::A2A_VERSION;
use crate::codec::sse;
use crate::net::{collect, describe, http1};

const CONNECT: Duration = Duration::from_secs(2);
/// The most bytes of an answer or an event.
const ANSWER_MAX: usize = 1 << 20;

/// Calls one agent.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    http: http1::Client,
    url: Uri,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The agent, or what stands before it, says no.
    #[error("{message} ({})", reason.as_deref().unwrap_or("no reason given"))]
    Refused {
        /// `ErrorInfo.reason`.
        reason: Option<String>,
        /// In words.
        message: String,
    },
    /// What came back is not the protocol.
    #[error("{url}: {what}")]
    Strange {
        /// Who answered.
        url: Uri,
        /// In which way.
        what: String,
    },
    /// Nobody answers.
    #[error("{url}: {cause}")]
    Unreachable {
        /// Who was asked.
        url: Uri,
        /// Why.
        cause: String,
    },
}

impl Caller {
    /// A client of the agent at `url`.
    pub(super) fn new(url: Uri) -> Self {
        Self { http: http1::Client::new(CONNECT), url }
    }

    /// Calls a method and waits for its result.
    pub(super) async fn call(
        &self,
        method: &str,
        params: Value,
        traceparent: Option<&str>,
    ) -> Result<Value, CallError> {
        let response = self.post(method, params, traceparent).await?;
        let body = collect(response.into_body(), ANSWER_MAX).await;
        let body = body.map_err(|error| self.strange(error.to_string()))?;
        self.result(&body)
    }

    /// Calls a streaming method and hands over each event as it comes.
    pub(super) async fn stream(
        &self,
        method: &str,
        params: Value,
        traceparent: Option<&str>,
        mut event: impl FnMut(Value),
    ) -> Result<(), CallError> {
        let response = self.post(method, params, traceparent).await?;
        let mut events = sse::Reader::new(ANSWER_MAX);
        let mut body = BodyStream::new(response.into_body());
        while let Some(frame) = body.next().await {
            let frame = frame.map_err(|error| self.strange(describe(&error)))?;
            events.push(frame.data_ref().map_or(&[], |data| &data[..]));
            while let Some(data) = events.event().map_err(|error| self.strange(error.to_string()))? {
                event(self.result(&data)?);
            }
        }
        Ok(())
    }

    /// Reads a page that is no call, such as metrics.
    pub(super) async fn get(&self) -> Result<String, CallError> {
        let request = Request::get(self.url.clone()).body(Body::empty());
        let response = self.send(request).await?;
        let status = response.status();
        let body = collect(response.into_body(), ANSWER_MAX).await;
        let body = body.map_err(|error| self.strange(error.to_string()))?;
        match String::from_utf8(body.into()) {
            Ok(page) if status == StatusCode::OK => Ok(page),
            _ => Err(self.strange(format!("HTTP {status}"))),
        }
    }

    async fn post(
        &self,
        method: &str,
        params: Value,
        traceparent: Option<&str>,
    ) -> Result<Response<http1::Answer>, CallError> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut builder = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(A2A_VERSION, HeaderValue::from_static("1.0"));
        if let Some(traceparent) = traceparent {
            builder = builder.header(TRACEPARENT, traceparent);
        }
        self.send(builder.body(Body::new(Full::from(request.to_string())))).await
    }

    async fn send(&self, request: http::Result<Request<Body>>) -> Result<Response<http1::Answer>, CallError> {
        let unreachable = |cause| CallError::Unreachable { url: self.url.clone(), cause };
        let request = request.map_err(|error| unreachable(error.to_string()))?;
        self.http.request(request).await.map_err(|error| unreachable(describe(&error)))
    }

    fn result(&self, body: &[u8]) -> Result<Value, CallError> {
        let mut answer: Value =
            serde_json::from_slice(body).map_err(|error| self.strange(format!("no JSON: {error}")))?;
        if answer["error"].is_null() {
            return Ok(answer["result"].take());
        }
        let error = &answer["error"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let reason = error["data"].as_array().into_iter().flatten().find_map(|info| text(&info["reason"]));
        let message = text(&error["message"]).unwrap_or_default();
        Err(CallError::Refused { reason, message })
    }

    fn strange(&self, what: String) -> CallError {
        CallError::Strange { url: self.url.clone(), what }
    }
}

/// The params that say something, in a task that is under way if there is one.
pub(super) fn message(id: &str, text: &str, task: Option<&str>) -> Value {
    let mut message = json!({"messageId": id, "role": "ROLE_USER", "parts": [{"text": text}]});
    if let Some(task) = task {
        message["taskId"] = task.into();
    }
    json!({"message": message})
}
