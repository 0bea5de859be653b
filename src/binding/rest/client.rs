//! The HTTP+JSON side that calls: an agent on plain HTTP.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use tonic::body::Body;

use super::members::{target, wrapped};
use super::route::Route;
use super::{JSON, failure, form};
use crate::a2a::{self, Call, Dialect, Event, Fault, Operation, Params, Reason, Reply};
use crate::binding::answers::{self, is_event_stream, unreachable, unread};
use crate::binding::{EVENT_STREAM, Edge};
use crate::card::Spot;
use crate::codec;
use crate::codec::schema::{self, EMPTY};
use crate::codec::text::Scanner;
use crate::codec::wire::{Fields, last_string};
use crate::net::budget::keeping;
use crate::net::collect;
use crate::net::http1::{self, Answer};
use crate::telemetry::Form;

/// What is asked for in 1.0: its own media type, or that of all JSON.
const ACCEPT: HeaderValue = HeaderValue::from_static("application/a2a+json, application/json");

/// Sends calls to an agent.
#[derive(Clone, Debug)]
pub struct Client {
    http: http1::Client,
    edge: Edge,
}

/// A call in the form of its agent.
struct Prepared<'s> {
    route: &'static Route,
    spot: &'s Spot,
    params: Params,
    tenant: String,
    /// All that is asked, the path and the query included.
    json: Bytes,
    /// The body, if it is another one.
    body: Option<Bytes>,
    /// The body without its wrapping, if it has one: some servers read only that.
    bare: Option<Bytes>,
}

impl Client {
    /// Calls go out over `http`.
    pub fn new(http: http1::Client, edge: Edge) -> Self {
        Self { http, edge }
    }

    /// Sends a call to where an agent is.
    ///
    /// # Errors
    /// If the agent cannot be reached, breaks off, or answers with an error; or if no path or query can say what is asked.
    pub async fn send(&self, call: Call, spot: &Spot) -> Result<Reply, Fault> {
        let (operation, dialect, url) = (call.operation, spot.dialect, &spot.url);
        let response = self.ask(Prepared::new(call, spot)?).await?;
        let is_success = response.status().is_success();
        if operation.is_streaming() && is_success && is_event_stream(&response) {
            return Ok(self.events(response, operation, dialect));
        }
        let (head, body) = response.into_parts();
        let (body, held) = self.edge.replies.count(body);
        let body = collect(body, self.edge.limit).await.map_err(|error| unread(&error))?;
        self.edge.metrics.count(self.edge.direction, Form::Json, body.len());
        if !is_success {
            let place = (url, self.edge.limit);
            return Err(failure::read(head.status, &head.headers, &body, (operation, dialect), place));
        }
        let params = Params::from_headers(&head.headers);
        let body = if operation.is_streaming() {
            let wire = read_event(&body, operation, dialect, self.edge.limit);
            let wire = wire.map_err(|fault| fault.with_params(params.clone()))?;
            let events = [Ok(Event::Data(keeping(wire, held))), Ok(Event::End(Params::default()))];
            a2a::Body::Events(stream::iter(events).boxed())
        } else {
            let wire = read(&body, operation, dialect, self.edge.limit);
            // It counts until whoever gets it is done with it.
            a2a::Body::Once(keeping(wire.map_err(|error| error.of_reply())?, held))
        };
        Ok(Reply { params, body })
    }

    /// Asks by the first method of the route, and by the next one if that is not allowed: the specification names two for
    /// one route, and servers have one of them. A body that is refused for its wrapping is sent once more without.
    async fn ask(&self, mut prepared: Prepared<'_>) -> Result<Response<Answer>, Fault> {
        let response = self.ask_once(&prepared).await?;
        let refused =
            [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(&response.status());
        match prepared.bare.take() {
            Some(bare) if refused => {
                drop(response);
                prepared.body = Some(bare);
                self.ask_once(&prepared).await
            }
            _ => Ok(response),
        }
    }

    async fn ask_once(&self, prepared: &Prepared<'_>) -> Result<Response<Answer>, Fault> {
        let mut methods = prepared.route.methods.iter().peekable();
        while let Some(method) = methods.next() {
            let request = prepared.request(method)?;
            if *method == Method::POST {
                self.edge.metrics.count(self.edge.direction, Form::Json, prepared.json.len());
            }
            let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
            if response.status() != StatusCode::METHOD_NOT_ALLOWED || methods.peek().is_none() {
                return Ok(response);
            }
        }
        Err(Fault::new(Reason::Internal, "a route without a method"))
    }

    fn events(&self, response: Response<Answer>, operation: Operation, dialect: Dialect) -> Reply {
        let (head, body) = response.into_parts();
        let limit = self.edge.limit;
        let read = move |data: &[u8]| read_event(data, operation, dialect, limit);
        let events = answers::events(body, &self.edge, read);
        Reply { params: Params::from_headers(&head.headers), body: a2a::Body::Events(events) }
    }
}

impl<'s> Prepared<'s> {
    fn new(call: Call, spot: &'s Spot) -> Result<Self, Fault> {
        let Call { operation, body, params, .. } = call;
        let route = Route::of(operation, spot.dialect).ok_or_else(|| {
            Fault::new(Reason::UnsupportedOperation, format!("HTTP+JSON has no path for {operation}"))
        })?;
        let tenant = schema::request(operation).by_name("tenant");
        let tenant = tenant.and_then(|index| schema::request(operation).fields.get(index));
        let tenant = tenant.map_or(Ok(""), |field| last_string(&body, field.number));
        let tenant = tenant.map_err(|error| error.of_request())?.to_owned();
        let mut json = Vec::with_capacity(body.len() * 5 / 4 + 128);
        let written = form(spot.dialect).write_request(operation, &body, &mut json);
        written.map_err(|error| error.of_request())?;
        let wrapped = wrapped(route, &json)?;
        // As long as the text is under way, so is the memory that it was made of.
        let (json, bare) = match wrapped {
            Some(wrapped) => (keeping(wrapped, body.clone()), Some(keeping(json, body))),
            None => (keeping(json, body), None),
        };
        Ok(Self { route, spot, params, tenant, json, body: None, bare })
    }

    fn request(&self, method: &Method) -> Result<Request<Body>, Fault> {
        let target = target(self.route, method, &self.tenant, &self.json)?;
        let has_body = *method == Method::POST;
        let body = self.body.as_ref().unwrap_or(&self.json);
        let body = if has_body { Body::new(Full::new(body.clone())) } else { Body::empty() };
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = below(&self.spot.url, &target).ok_or_else(|| {
            Fault::new(Reason::InvalidParams, "what is asked is too long for a path").because(&self.spot.url)
        })?;
        let headers = request.headers_mut();
        self.params.append_for(self.route.dialect, headers);
        let accept = match (self.route.operation.is_streaming(), self.route.dialect) {
            (true, _) => EVENT_STREAM,
            (false, Dialect::V0_3) => JSON,
            (false, Dialect::V1_0) => ACCEPT,
        };
        headers.insert(header::ACCEPT, accept);
        if has_body {
            headers.insert(header::CONTENT_TYPE, JSON);
        }
        Ok(request)
    }
}

/// A URL with a path, and perhaps a query, below its own. Its own query stays.
fn below(url: &Uri, target: &str) -> Option<Uri> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut text = format!("{}/{path}", url.path().trim_end_matches('/'));
    let queries = [url.query().unwrap_or_default(), query];
    for (mark, query) in ['?', '&'].into_iter().zip(queries.into_iter().filter(|query| !query.is_empty())) {
        text.push(mark);
        text.push_str(query);
    }
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// The answer in canonical form.
fn read(text: &[u8], operation: Operation, dialect: Dialect, limit: usize) -> Result<Vec<u8>, codec::Error> {
    // Nothing is the answer to a deletion, as some servers spell it.
    if std::ptr::eq(schema::response(operation), &raw const EMPTY) && text.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let mut scan = Scanner::of_bytes(text)?;
    let wire = form(dialect).read_response(&mut scan, operation, limit)?;
    scan.end()?;
    Ok(wire)
}

/// An event in canonical form. An error is told from it by what it says, because some servers give it no name of its own.
fn read_event(text: &[u8], operation: Operation, dialect: Dialect, limit: usize) -> Result<Vec<u8>, Fault> {
    let wire = read(text, operation, dialect, limit);
    let message = schema::response(operation);
    let known = |field: Result<codec::wire::Field<'_>, codec::Error>| {
        field.is_ok_and(|field| message.by_number(field.number).is_some())
    };
    match wire {
        Ok(wire) if Fields::new(&wire).any(known) => Ok(wire),
        wire => match failure::read_event(text, (operation, dialect), limit) {
            Some(fault) => Err(fault),
            None => wire.map_err(|error| error.of_reply()),
        },
    }
}
