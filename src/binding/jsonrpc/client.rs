//! The JSON-RPC side that calls: an agent on plain HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream;
use http::response::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use tonic::body::Body;

use super::{JSON, form};
use crate::a2a::{self, Call, Event, Fault, Operation, Params, Reason, Reply};
use crate::binding::answers::{self, is_event_stream, unreachable, unread};
use crate::binding::{EVENT_STREAM, Edge};
use crate::card::Spot;
use crate::codec::Form;
use crate::codec::jsonrpc::{Id, Outcome, read_reply, write_request};
use crate::net::budget::keeping;
use crate::net::collect;
use crate::net::http1::{self, Answer};
use crate::telemetry;

/// Sends calls to an agent.
#[derive(Clone, Debug)]
pub struct Client {
    http: http1::Client,
    edge: Edge,
    next_id: Arc<AtomicU64>,
}

impl Client {
    /// Calls go out over `http`.
    pub fn new(http: http1::Client, edge: Edge) -> Self {
        Self { http, edge, next_id: Arc::default() }
    }

    /// Posts a call to where an agent is.
    ///
    /// # Errors
    /// If the agent cannot be reached, breaks off, or answers with an error.
    pub async fn send(&self, call: Call, spot: &Spot) -> Result<Reply, Fault> {
        let (operation, url) = (call.operation, &spot.url);
        let form = form(spot.dialect);
        let request = self.request(call, form, url)?;
        let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        if operation.is_streaming() && is_event_stream(&response) {
            return Ok(self.events(response, form, operation));
        }
        let (head, body) = response.into_parts();
        let (body, held) = self.edge.replies.count(body);
        let body = collect(body, self.edge.limit).await.map_err(|error| unread(&error))?;
        self.edge.metrics.count(self.edge.direction, telemetry::Form::Json, body.len());
        let wire = self.answer(&head, &body, form, operation, url)?;
        // It counts until whoever gets it is done with it.
        let wire = keeping(wire, held);
        let body = if operation.is_streaming() {
            let events = [Ok(Event::Data(wire)), Ok(Event::End(Params::default()))];
            a2a::Body::Events(stream::iter(events).boxed())
        } else {
            a2a::Body::Once(wire)
        };
        Ok(Reply { params: Params::from_headers(&head.headers), body })
    }

    fn request(&self, call: Call, form: Form, url: &Uri) -> Result<Request<Body>, Fault> {
        let id = Id::of_number(self.next_id.fetch_add(1, Ordering::Relaxed));
        let mut json = Vec::with_capacity(call.body.len() * 5 / 4 + 256);
        let written = write_request(&id, form, call.operation, &call.body, &mut json);
        written.map_err(|error| error.of_request())?;
        self.edge.metrics.count(self.edge.direction, telemetry::Form::Json, json.len());
        // As long as the text is under way, so is the memory that it was made of.
        let json = keeping(json, call.body);
        let mut request = Request::new(Body::new(Full::new(json)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        call.params.append_for(form.dialect(), headers);
        let accept = if call.operation.is_streaming() { EVENT_STREAM } else { JSON };
        headers.insert(header::ACCEPT, accept);
        headers.insert(header::CONTENT_TYPE, JSON);
        Ok(request)
    }

    /// The result in an answer of any status: some SDKs send their errors with 4xx and 5xx.
    fn answer(
        &self,
        head: &Parts,
        body: &[u8],
        form: Form,
        operation: Operation,
        url: &Uri,
    ) -> Result<Vec<u8>, Fault> {
        let Parts { headers, status, .. } = head;
        match read_reply(body, form, operation, self.edge.limit) {
            Ok(Outcome::Result(wire)) if status.is_success() => Ok(wire),
            Ok(Outcome::Error(fault)) => Err(fault.with_params(Params::from_headers(headers))),
            Err(error) if status.is_success() => Err(error.of_reply()),
            Ok(Outcome::Result(_)) | Err(_) => Err(refusal(headers, *status, url)),
        }
    }

    fn events(&self, response: Response<Answer>, form: Form, operation: Operation) -> Reply {
        let (head, body) = response.into_parts();
        let limit = self.edge.limit;
        let read = move |data: &[u8]| match read_reply(data, form, operation, limit) {
            Ok(Outcome::Result(wire)) => Ok(wire),
            Ok(Outcome::Error(fault)) => Err(fault),
            Err(error) => Err(error.of_reply()),
        };
        let events = answers::events(body, &self.edge, read);
        Reply { params: Params::from_headers(&head.headers), body: a2a::Body::Events(events) }
    }
}

/// The fault of an HTTP status that says what JSON-RPC does not.
fn refusal(headers: &HeaderMap, status: StatusCode, url: &Uri) -> Fault {
    let message = format!("the agent answered HTTP {status}");
    let fault = Fault::of_http(status, &message).unwrap_or_else(|| {
        Fault::new(Reason::AgentProtocolError, format!("{message}, and no JSON-RPC")).because(url)
    });
    fault.with_params(Params::from_headers(headers))
}
