//! The JSON-RPC 2.0 envelope of A2A (specification §9): requests and replies, ids with their exact spelling.

use std::io::Write as _;

use bytes::Bytes;

use super::schema::{self, EMPTY, Message};
use super::text::{Scanner, write_string};
use super::{Cause, Error, Reader, Reading, Result, read_value, write, write_value};
use crate::a2a::{AgentError, Fault, Operation, Reason};

/// The most bytes that an id may have; it is kept as long as its call.
pub const ID_MAX: usize = 1024;

/// The id of a request, as it was written: a string, a number or null.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Id(Box<str>);

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Id {
    /// The id of an answer to a request whose id is not known.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// An id of our own: a string, which every agent echoes (numbers are cut by some, null refused by others).
    pub fn of_number(number: u64) -> Self {
        let digits = (0..16).rev().map(|digit| char::from(HEX[(number >> (4 * digit) & 0xF) as usize]));
        Self(std::iter::once('"').chain(digits).chain(['"']).collect())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(scan: &mut Scanner<'_>) -> Result<Option<Self>> {
        let scalar = matches!(scan.peek(), Some(b'"' | b'-' | b'0'..=b'9' | b'n'));
        let text = scan.skip()?;
        Ok((scalar && text.len() <= ID_MAX).then(|| Self(text.into())))
    }
}

/// A request that is one.
#[derive(Debug)]
pub struct Request {
    /// The caller's id.
    pub id: Id,
    /// What is asked.
    pub operation: Operation,
    /// The parameters in canonical form.
    pub body: Vec<u8>,
}

/// A request that is none, with the id that the answer needs.
#[derive(Debug)]
pub struct Rejected {
    /// The caller's id, or null if it could not be read.
    pub id: Id,
    /// What is asked, if that much could be read: streams are refused in a stream.
    pub operation: Option<Operation>,
    /// Why.
    pub fault: Fault,
}

/// What an agent answered.
#[derive(Debug)]
pub enum Outcome {
    /// The error object, as a fault.
    Error(Fault),
    /// The result in canonical form.
    Result(Vec<u8>),
}

/// The members of a request, in whatever order they came.
#[derive(Default)]
struct Envelope<'a> {
    version: Option<&'a str>,
    id: Option<Option<Id>>,
    method: Option<Method>,
    params: Option<Params<'a>>,
}

enum Method {
    Known(Operation),
    NoString,
    Unknown(String),
}

/// Parameters are read where they stand if the method came before them, and skipped over otherwise.
enum Params<'a> {
    Read(Result<Vec<u8>>),
    Skipped(&'a str),
}

/// Reads a request of at most `limit` bytes in canonical form.
///
/// # Errors
/// With -32700, -32600, -32601 or -32602 and the id, if it could be read.
pub fn read_request(bytes: &[u8], limit: usize) -> Result<Request, Rejected> {
    let envelope = Scanner::of_bytes(bytes).and_then(|mut scan| {
        let envelope = match scan.peek() {
            Some(b'{') => Some(Envelope::read(&mut scan, limit)?),
            _ => scan.skip().map(|_| None)?,
        };
        scan.end()?;
        Ok(envelope)
    });
    let nameless = |fault| Rejected { id: Id::null(), operation: None, fault };
    match envelope {
        Ok(Some(envelope)) => envelope.check(limit),
        Ok(None) if bytes.trim_ascii_start().first() == Some(&b'[') => Err(nameless(Fault::new(
            Reason::InvalidRequest,
            "A2A has no batches: send one request at a time",
        ))),
        Ok(None) => Err(nameless(Fault::new(Reason::InvalidRequest, "a request is a JSON object"))),
        Err(error) => Err(nameless(Fault::new(Reason::ParseError, error.to_string()))),
    }
}

impl<'a> Envelope<'a> {
    fn read(scan: &mut Scanner<'a>, limit: usize) -> Result<Self> {
        let mut envelope = Self::default();
        let mut more = scan.begin_object()?;
        while more {
            match &*scan.key()? {
                "jsonrpc" => envelope.version = Some(scan.skip()?),
                "id" => envelope.id = Some(Id::read(scan)?),
                "method" => envelope.method = Some(Method::read(scan)?),
                "params" => envelope.params = Some(envelope.params(scan, limit)?),
                _ => drop(scan.skip()?),
            }
            more = scan.more(b'}')?;
        }
        Ok(envelope)
    }

    /// Only a text that is no JSON is an error here: what breaks the schema must not hide the id behind it.
    fn params(&self, scan: &mut Scanner<'a>, limit: usize) -> Result<Params<'a>> {
        let Some(Method::Known(operation)) = self.method else { return scan.skip().map(Params::Skipped) };
        let mut ahead = scan.clone();
        let size = scan.rest();
        let read = Reader::new(&mut ahead, Reading::Request, limit, size).read(schema::request(operation));
        if read.is_ok() {
            *scan = ahead;
        } else {
            scan.skip()?;
        }
        Ok(Params::Read(read))
    }

    fn check(self, limit: usize) -> Result<Request, Rejected> {
        let id = self.id.clone().flatten().unwrap_or_else(Id::null);
        let operation = if let Some(Method::Known(operation)) = self.method { Some(operation) } else { None };
        match self.checked(limit) {
            Ok((operation, body)) => Ok(Request { id, operation, body }),
            Err(fault) => Err(Rejected { id, operation, fault }),
        }
    }

    fn checked(self, limit: usize) -> Result<(Operation, Vec<u8>), Fault> {
        if self.version != Some("\"2.0\"") {
            return Err(Fault::new(Reason::InvalidRequest, "jsonrpc: must be \"2.0\""));
        }
        if matches!(self.id, Some(None)) {
            let what = format!("id: must be a string, a number or null, of at most {ID_MAX} bytes");
            return Err(Fault::new(Reason::InvalidRequest, what));
        }
        let operation = match self.method {
            Some(Method::Known(operation)) => operation,
            Some(Method::Unknown(method)) => {
                return Err(Fault::new(Reason::MethodNotFound, format!("no method {method:?} in A2A 1.0")));
            }
            Some(Method::NoString) | None => {
                return Err(Fault::new(Reason::InvalidRequest, "method: must be a string"));
            }
        };
        let message = schema::request(operation);
        let body = match self.params {
            Some(Params::Read(read)) => read,
            Some(Params::Skipped(text)) => super::read(message, text, Reading::Request, limit),
            None => super::read(message, "{}", Reading::Request, limit),
        };
        body.map(|body| (operation, body)).map_err(|error| error.of_request())
    }
}

impl Method {
    fn read(scan: &mut Scanner<'_>) -> Result<Self> {
        if scan.peek() != Some(b'"') {
            return scan.skip().map(|_| Self::NoString);
        }
        let method = scan.string()?;
        Ok(Operation::rpc(&method)
            .map_or_else(|| Self::Unknown(method.chars().take(64).collect()), Self::Known))
    }
}

/// Reads an agent's answer, of which the result is such a `message` and takes at most `limit` bytes in canonical form.
///
/// # Errors
/// If it is no JSON-RPC answer, or its result cannot be read.
pub fn read_reply(bytes: &[u8], message: &'static Message, limit: usize) -> Result<Outcome> {
    let mut scan = Scanner::of_bytes(bytes)?;
    let (mut result, mut fault) = (None, None);
    let mut more = scan.begin_object()?;
    while more {
        match &*scan.key()? {
            // SDKs write the member that does not apply as null.
            "result" | "error" if scan.take_literal("null") => {}
            "result" => {
                let size = scan.rest();
                let read = Reader::new(&mut scan, Reading::Reply, limit, size).read(message);
                result = Some(read.map_err(|error| error.within("result"))?);
            }
            "error" => fault = Some(read_error(&mut scan, limit).map_err(|error| error.within("error"))?),
            _ => drop(scan.skip()?),
        }
        more = scan.more(b'}')?;
    }
    scan.end()?;
    match (fault, result) {
        (Some(fault), _) => Ok(Outcome::Error(fault)),
        (None, Some(result)) => Ok(Outcome::Result(result)),
        // Nothing is the answer to a deletion, however an SDK spells it.
        (None, None) if std::ptr::eq(message, &raw const EMPTY) => Ok(Outcome::Result(Vec::new())),
        (None, None) => Err(Error::invalid("neither result nor error")),
    }
}

fn read_error(scan: &mut Scanner<'_>, limit: usize) -> Result<Fault> {
    let (mut code, mut message, mut data) = (None, String::new(), None);
    let mut more = scan.begin_object()?;
    while more {
        match &*scan.key()? {
            "code" => {
                let number = scan.number()?.parse().ok();
                code =
                    Some(number.ok_or_else(|| Error::invalid("no whole number of 64 bits").within("code"))?);
            }
            "message" if scan.peek() == Some(b'"') => message = scan.string()?.into_owned(),
            "data" => {
                data = Some(Bytes::from(read_value(scan, limit).map_err(|error| error.within("data"))?))
            }
            _ => drop(scan.skip()?),
        }
        more = scan.more(b'}')?;
    }
    let code = code.ok_or_else(|| Error::invalid("missing").within("code"))?;
    Ok(Fault::of_agent(AgentError { code, data }, message))
}

/// Writes a request to an agent.
///
/// # Errors
/// If the parameters are no protobuf of the operation's request.
pub fn write_request(id: &Id, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    begin(id, out);
    out.extend_from_slice(b",\"method\":");
    write_string(out, operation.name());
    out.extend_from_slice(b",\"params\":");
    write(schema::request(operation), wire, out)?;
    out.push(b'}');
    Ok(())
}

/// Writes the answer to a request.
///
/// # Errors
/// If the bytes are no protobuf of that message.
pub fn write_result(id: &Id, message: &'static Message, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    begin(id, out);
    out.extend_from_slice(b",\"result\":");
    write(message, wire, out)?;
    out.push(b'}');
    Ok(())
}

/// Writes a fault as the answer to a request: an agent's own error exactly as it was, any other with the details that
/// A2A asks for (specification §9.5).
///
/// # Errors
/// If the agent's `data` is no `google.protobuf.Value`.
pub fn write_fault(id: &Id, fault: &Fault, out: &mut Vec<u8>) -> Result<()> {
    begin(id, out);
    write!(out, ",\"error\":{{\"code\":{},\"message\":", fault.code())
        .map_err(|_| Cause::Wire("no number"))?;
    write_string(out, fault.message());
    match fault.agent_error() {
        Some(AgentError { data: Some(data), .. }) => {
            out.extend_from_slice(b",\"data\":");
            let start = out.len();
            write_value(data, out)?;
            if fault.grpc().is_some() {
                name_reason(fault, start, out);
            }
        }
        Some(_) if fault.grpc().is_none() => {}
        _ => {
            out.extend_from_slice(b",\"data\":");
            write_details(fault, out);
        }
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Puts the reason before the details that an agent gave in gRPC and that begin at `start`, if they do not name it: gRPC
/// has said it by the status.
fn name_reason(fault: &Fault, start: usize, out: &mut Vec<u8>) {
    let Some(details @ [b'[', ..]) = out.get(start..) else { return };
    let row = fault.row();
    let named = format!("\"reason\":\"{}\",\"domain\":\"{}\"", row.name, row.domain);
    if memchr::memmem::find(details, named.as_bytes()).is_none() {
        let mut info = vec![b'['];
        write_error_info(fault, &mut info);
        info.push(b',');
        out.splice(start..=start, info);
    }
}

fn begin(id: &Id, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_str().as_bytes());
}

/// The details of a fault as a list of `google.rpc` messages in ProtoJSON.
fn write_details(fault: &Fault, out: &mut Vec<u8>) {
    out.push(b'[');
    write_error_info(fault, out);
    if !fault.violations().is_empty() {
        out.push(b',');
        write_detail("google.rpc.BadRequest", out);
        out.extend_from_slice(b",\"fieldViolations\":[");
        for (index, violation) in fault.violations().iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{\"field\":" } else { b"{\"field\":" });
            write_string(out, &violation.field);
            write_member("description", &violation.description, out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    if let Some(after) = fault.retry_info() {
        out.push(b',');
        write_detail("google.rpc.RetryInfo", out);
        write_member("retryDelay", &format!("{}s", after.as_secs_f64()), out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_error_info(fault: &Fault, out: &mut Vec<u8>) {
    let row = fault.row();
    write_detail("google.rpc.ErrorInfo", out);
    write_member("reason", row.name, out);
    write_member("domain", row.domain, out);
    out.push(b'}');
}

fn write_detail(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"@type\":");
    write_string(out, &format!("type.googleapis.com/{name}"));
}

fn write_member(key: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(out, key);
    out.push(b':');
    write_string(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn rejected(text: &str) -> (String, i64) {
        let rejected = read_request(text.as_bytes(), LIMIT).unwrap_err();
        (rejected.id.as_str().to_owned(), rejected.fault.code())
    }

    #[test]
    fn members_come_in_any_order_and_ids_keep_their_spelling() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":1.0,"method":"GetTask","params":{"id":"t"}}"#, "1.0"),
            (
                r#"{"params":{"id":"t"},"x":[{}],"method":"GetTask","id":"a\u0062","jsonrpc":"2.0"}"#,
                r#""a\u0062""#,
            ),
            (r#" {"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"},"id":null} "#, "null"),
            (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"}}"#, "null"),
        ] {
            let request = read_request(text.as_bytes(), LIMIT).unwrap();
            assert_eq!((request.id.as_str(), request.operation), (id, Operation::GetTask));
            assert_eq!(request.body, b"\x12\x01t");
        }
    }

    #[test]
    fn each_mistake_has_its_code_and_the_id_if_it_can_be_read() {
        let long = format!(r#"{{"jsonrpc":"2.0","method":"GetTask","id":"{}"}}"#, "x".repeat(ID_MAX));
        for (text, id, code) in [
            ("", "null", -32700),
            ("{", "null", -32700),
            ("\u{feff}{}", "null", -32700),
            (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"},"id":1"#, "null", -32700),
            (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":7},"id":1} x"#, "null", -32700),
            ("[]", "null", -32600),
            ("7", "null", -32600),
            (r#"{"id":7}"#, "7", -32600),
            (r#"{"jsonrpc":"1.0","id":7,"method":"GetTask"}"#, "7", -32600),
            (r#"{"jsonrpc":"2.0","id":7,"method":7}"#, "7", -32600),
            (r#"{"jsonrpc":"2.0","id":{},"method":"GetTask"}"#, "null", -32600),
            (&long, "null", -32600),
            (r#"{"jsonrpc":"2.0","id":7,"method":"GetAgentCard"}"#, "7", -32601),
            (r#"{"jsonrpc":"2.0","id":7,"method":"getTask"}"#, "7", -32601),
            (r#"{"jsonrpc":"2.0","id":7,"method":"GetTask"}"#, "7", -32602),
            (r#"{"jsonrpc":"2.0","method":"GetTask","params":[],"id":"late"}"#, "\"late\"", -32602),
            (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":7},"id":"late"}"#, "\"late\"", -32602),
        ] {
            assert_eq!(rejected(text), (id.to_owned(), code), "{text}");
        }
    }

    #[test]
    fn an_agents_error_is_written_exactly_as_it_was_read() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"no such \"task\"","data":[{"@type":"x"},1.0]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":4711,"message":"","data":null}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"oh"}}"#,
        ] {
            let Outcome::Error(fault) = read_reply(text.as_bytes(), &schema::TASK, LIMIT).unwrap() else {
                panic!("{text}")
            };
            let mut out = Vec::new();
            write_fault(&Id("1".into()), &fault, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn what_an_agent_said_in_grpc_has_its_reason_first() {
        let own = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}"#;
        let other = r#"{"@type":"x/a.B","value":""}"#;
        for (data, written) in [
            (None, format!("[{own}]")),
            (Some(format!("[{other}]")), format!("[{own},{other}]")),
            (Some(format!("[{other},{own}]")), format!("[{other},{own}]")),
        ] {
            let data = data.map(|text| read_value(&mut Scanner::new(&text), LIMIT).unwrap().into());
            let error = AgentError { code: -32001, data };
            let fault = Fault::of_agent_in_grpc(error, "no", tonic::Code::NotFound, Reason::TaskNotFound);
            let mut out = Vec::new();
            write_fault(&Id("1".into()), &fault, &mut out).unwrap();
            let expected = format!(
                r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32001,"message":"no","data":{written}}}}}"#
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn answers_are_read_leniently_but_must_answer() {
        let read = |text: &str, message| read_reply(text.as_bytes(), message, LIMIT);
        for text in [r#"{"result":null}"#, "{}", r#"{"result":{},"error":null}"#] {
            assert!(matches!(read(text, &EMPTY), Ok(Outcome::Result(wire)) if wire.is_empty()), "{text}");
        }
        assert_eq!(read("{}", &schema::TASK).unwrap_err().to_string(), "neither result nor error");
        let error = read(r#"{"result":{"status":7}}"#, &schema::TASK).unwrap_err();
        assert_eq!(error.path(), "result.status");
        assert!(matches!(read(r#"{"result":{"status":{}}}"#, &schema::TASK), Ok(Outcome::Result(_))));
    }

    #[test]
    fn our_faults_say_where_and_when() {
        let fault = Fault::new(Reason::RateLimited, "slow down")
            .violation("a.b", "wrong")
            .retry_after(std::time::Duration::from_millis(1500));
        let mut out = Vec::new();
        write_fault(&Id::null(), &fault, &mut out).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["error"]["code"], -32603);
        assert_eq!(read["error"]["data"][0]["reason"], "RATE_LIMITED");
        assert_eq!(read["error"]["data"][0]["domain"], "dragoman.dev");
        assert_eq!(read["error"]["data"][1]["fieldViolations"][0]["field"], "a.b");
        assert_eq!(read["error"]["data"][2]["retryDelay"], "1.5s");
    }
}
