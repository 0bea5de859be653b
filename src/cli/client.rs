//! `dragoman card` and `dragoman send`: a client of a running sidecar, by the same door as any agent.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyStream, Full};
use serde_json::{Value, json};
use tonic::body::Body;

use super::{Card, Failure, Running, Send, print, runtime};
use crate::a2a::A2A_VERSION;
use crate::codec::sse;
use crate::net::{collect, describe, http1};

const CONNECT: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const ANSWER_MAX: usize = 64 << 20;

/// Shows an agent's card.
pub(super) fn card(args: &Card) -> Result<(), Failure> {
    let url = url(&args.running, &args.name, "/.well-known/agent-card.json")?;
    let card = runtime()?.block_on(async {
        let response = send_request(Request::get(url).body(Body::empty())).await?;
        let status = response.status();
        let body = whole(response).await?;
        if status == StatusCode::OK { parse(&body) } else { Err(refused(status, &body)) }
    })?;
    if args.running.json { print(&card.to_string()) } else { print(&describe_card(&card)) }
}

fn describe_card(card: &Value) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut lines =
        vec![format!("{} {}", text(card, "name"), text(card, "version")), text(card, "description")];
    for skill in card["skills"].as_array().into_iter().flatten() {
        lines.push(format!("  {}: {}", text(skill, "id"), text(skill, "description")));
    }
    for interface in card["supportedInterfaces"].as_array().into_iter().flatten() {
        lines.push(format!("  {} at {}", text(interface, "protocolBinding"), text(interface, "url")));
    }
    lines.join("\n")
}

/// Sends a text to an agent and prints what comes of it.
pub(super) fn send(args: &Send) -> Result<(), Failure> {
    let url = url(&args.running, &args.name, "")?;
    let method = if args.stream { "SendStreamingMessage" } else { "SendMessage" };
    let message = json!({
        "messageId": format!("{:032x}", rand::random::<u128>()),
        "role": "ROLE_USER",
        "parts": [{"text": args.text}],
    });
    let request = json!({"jsonrpc": "2.0", "id": "1", "method": method, "params": {"message": message}});
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(A2A_VERSION, HeaderValue::from_static("1.0"))
        .body(Body::new(Full::from(request.to_string())));
    runtime()?.block_on(async {
        let response = send_request(request).await?;
        let mut outcome = Outcome { json: args.running.json, failed: None };
        let streams =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|text| text == "text/event-stream");
        if args.stream && streams {
            let mut events = sse::Reader::new(ANSWER_MAX);
            let mut body = BodyStream::new(response.into_body());
            while let Some(frame) = body.next().await {
                let frame = frame.map_err(|error| Failure::operation(describe(&error)))?;
                events.push(frame.data_ref().map_or(&[], |data| &data[..]));
                while let Some(data) = events.event().map_err(Failure::operation)? {
                    outcome.answer(&data)?;
                }
            }
        } else {
            let status = response.status();
            let body = whole(response).await?;
            outcome
                .answer(&body)
                .map_err(|failure| if status.is_success() { failure } else { refused(status, &body) })?;
        }
        outcome.failed.map_or(Ok(()), |state| Err(Failure::operation(format!("the task ended as {state}"))))
    })
}

/// What has come of a message so far.
struct Outcome {
    json: bool,
    /// The state of a task that did not succeed.
    failed: Option<String>,
}

impl Outcome {
    /// Prints one answer of the agent.
    fn answer(&mut self, body: &[u8]) -> Result<(), Failure> {
        let answer = parse(body)?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            let message = error["message"].as_str().unwrap_or_default();
            let reason =
                error["data"][0]["reason"].as_str().map(|reason| format!("{reason}: ")).unwrap_or_default();
            return Err(Failure::operation(format!("{reason}{message} ({})", error["code"])));
        }
        let result = &answer["result"];
        let state = result["task"]["status"]["state"]
            .as_str()
            .or_else(|| result["statusUpdate"]["status"]["state"].as_str());
        let bad = ["TASK_STATE_FAILED", "TASK_STATE_REJECTED", "TASK_STATE_CANCELED"];
        if let Some(state) = state.filter(|state| bad.contains(state)) {
            self.failed = Some(state.to_owned());
        }
        if self.json { print(&result.to_string()) } else { print(&describe_result(result, state)) }
    }
}

fn describe_result(result: &Value, state: Option<&str>) -> String {
    let mut lines: Vec<String> =
        state.map(|state| format!("[{}]", state.trim_start_matches("TASK_STATE_"))).into_iter().collect();
    let artifacts = result["task"]["artifacts"].as_array().into_iter().flatten();
    let carriers = [
        &result["message"],
        &result["task"]["status"]["message"],
        &result["statusUpdate"]["status"]["message"],
        &result["artifactUpdate"]["artifact"],
    ];
    for carrier in carriers.into_iter().chain(artifacts) {
        for part in carrier["parts"].as_array().into_iter().flatten() {
            lines.push(part["text"].as_str().map_or_else(|| part.to_string(), str::to_owned));
        }
    }
    lines.join("\n")
}

fn url(running: &Running, name: &str, below: &str) -> Result<Uri, Failure> {
    let base = running.sidecar.to_string();
    let url = format!("{}/agents/{name}{below}", base.trim_end_matches('/'));
    url.parse().map_err(|error| Failure::usage(format!("{url}: {error}")))
}

pub(super) async fn send_request(
    request: http::Result<Request<Body>>,
) -> Result<http::Response<Body>, Failure> {
    let request = request.map_err(Failure::usage)?;
    let url = request.uri().clone();
    let response = http1::Client::new(CONNECT).request(request).await;
    let response = response.map_err(|error| {
        Failure::operation(format!(
            "no sidecar answers at {url}: {}; is one running? (--sidecar)",
            describe(&error)
        ))
    })?;
    Ok(response.map(Body::new))
}

pub(super) async fn whole(response: http::Response<Body>) -> Result<Bytes, Failure> {
    collect(response.into_body(), ANSWER_MAX).await.map_err(Failure::operation)
}

pub(super) fn parse(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::operation(format!("the answer is no JSON: {error}")))
}

/// What the sidecar's own HTTP errors say.
pub(super) fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = error["error"]["message"].as_str().unwrap_or("no reason given");
    Failure::operation(format!("HTTP {status}: {message}"))
}
