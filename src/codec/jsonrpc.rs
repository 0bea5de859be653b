//! The JSON-RPC 2.0 envelope of A2A (specification §9, and 0.3 §3.2.1): requests and replies, ids with their exact spelling.
//! The method tells the dialect: no two have the same name.

#[cfg(test)]
mod tests;

use std::io::Write as _;

use bytes::Bytes;

use super::details::{write_details, write_foreign, write_own};
use super::text::{Scanner, write_string};
use super::{Cause, Error, Form, Result, read_value, v0_3};
use crate::a2a::{AgentError, DRAGOMAN_DOMAIN, Dialect, Fault, Operation, Reason};

/// The most bytes that an id may have; it is kept as long as its call.
pub const ID_MAX: usize = 1024;

/// What one SDK calls [`Operation::ListTaskPushNotificationConfigs`].
const SINGULAR: &str = "ListTaskPushNotificationConfig";

/// The id of a request, as it was written: a string, a number or null.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Id(Box<str>);

impl Id {
    /// The id of an answer to a request whose id is not known.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// An id of our own: a string, which every agent echoes (numbers are cut by some, null refused by others), in the form
    /// of a UUID, because some take a string of digits for a number.
    pub fn of_number(number: u64) -> Self {
        Self(format!("\"00000000-0000-0000-{:04x}-{:012x}\"", number >> 48, number & 0xFFFF_FFFF_FFFF).into())
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
    /// In which form, as the method tells.
    pub form: Form,
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
    /// The dialect of the method, or of what looks like one.
    pub dialect: Dialect,
    /// Why.
    pub fault: Fault,
}

impl Rejected {
    /// A request of which nothing is known.
    pub fn nameless(fault: Fault) -> Self {
        Self { id: Id::null(), operation: None, dialect: Dialect::V1_0, fault }
    }
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
    /// The member that came more than once: whoever reads the other one takes it for another call.
    twice: Option<&'static str>,
}

enum Method {
    Known(Operation, Form),
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
    let nameless = Rejected::nameless;
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
            let key = scan.key()?;
            envelope.check_twice(&key);
            match &*key {
                "jsonrpc" => envelope.version = Some(scan.skip()?),
                "id" => envelope.id = Some(Id::read(scan)?),
                "method" => envelope.method = Some(Method::read(scan)?),
                "params" if scan.take_literal("null") => {}
                "params" => envelope.params = Some(envelope.params(scan, limit)?),
                _ => drop(scan.skip()?),
            }
            more = scan.more(b'}')?;
        }
        Ok(envelope)
    }

    fn check_twice(&mut self, key: &str) {
        let known = [
            ("jsonrpc", self.version.is_some()),
            ("id", self.id.is_some()),
            ("method", self.method.is_some()),
            ("params", self.params.is_some()),
        ];
        let twice = known.into_iter().find(|(name, is_there)| *name == key && *is_there);
        self.twice = self.twice.or_else(|| twice.map(|(name, _)| name));
    }

    /// Only a text that is no JSON is an error here: what breaks the schema must not hide the id behind it.
    fn params(&self, scan: &mut Scanner<'a>, limit: usize) -> Result<Params<'a>> {
        let Some(Method::Known(operation, form)) = self.method else {
            return scan.skip().map(Params::Skipped);
        };
        let mut ahead = scan.clone();
        let read = form.read_request(&mut ahead, operation, limit);
        if read.is_ok() {
            *scan = ahead;
        } else {
            scan.skip()?;
        }
        Ok(Params::Read(read))
    }

    fn check(self, limit: usize) -> Result<Request, Rejected> {
        let id = self.id.clone().flatten().unwrap_or_else(Id::null);
        let operation =
            if let Some(Method::Known(operation, _)) = self.method { Some(operation) } else { None };
        let dialect = self.method.as_ref().map_or(Dialect::V1_0, Method::dialect);
        match self.checked(limit) {
            Ok((operation, form, body)) => Ok(Request { id, operation, form, body }),
            Err(fault) => Err(Rejected { id, operation, dialect, fault }),
        }
    }

    fn checked(self, limit: usize) -> Result<(Operation, Form, Vec<u8>), Fault> {
        if self.version != Some("\"2.0\"") {
            return Err(Fault::new(Reason::InvalidRequest, "jsonrpc: must be \"2.0\""));
        }
        if let Some(member) = self.twice {
            return Err(Fault::new(Reason::InvalidRequest, format!("{member}: given twice")));
        }
        if matches!(self.id, Some(None)) {
            let what = format!("id: must be a string, a number or null, of at most {ID_MAX} bytes");
            return Err(Fault::new(Reason::InvalidRequest, what));
        }
        let (operation, form) = match self.method {
            Some(Method::Known(operation, form)) => (operation, form),
            Some(Method::Unknown(method)) => {
                let what = format!("no method {method:?} in A2A 1.0 or 0.3");
                return Err(Fault::new(Reason::MethodNotFound, what));
            }
            Some(Method::NoString) | None => {
                return Err(Fault::new(Reason::InvalidRequest, "method: must be a string"));
            }
        };
        let read = |text| form.read_request(&mut Scanner::new(text), operation, limit);
        let body = match self.params {
            Some(Params::Read(read)) => read,
            Some(Params::Skipped(text)) => read(text),
            None => read("{}"),
        };
        body.map(|body| (operation, form, body)).map_err(|error| error.of_request())
    }
}

impl Method {
    fn read(scan: &mut Scanner<'_>) -> Result<Self> {
        if scan.peek() != Some(b'"') {
            return scan.skip().map(|_| Self::NoString);
        }
        let method = scan.string()?;
        Ok(if let Some(operation) = Operation::rpc(&method) {
            Self::Known(operation, Form::V1_0)
        } else if method == SINGULAR {
            Self::Known(Operation::ListTaskPushNotificationConfigs, Form::V1_0)
        } else if let Some(operation) = v0_3::operation(&method) {
            Self::Known(operation, Form::V0_3)
        } else {
            Self::Unknown(method.chars().take(64).collect())
        })
    }

    /// Methods of 0.3 have a slash in them, those of 1.0 have not.
    fn dialect(&self) -> Dialect {
        match self {
            Self::Known(_, form) => form.dialect(),
            Self::Unknown(method) if method.contains('/') => Dialect::V0_3,
            Self::Unknown(_) | Self::NoString => Dialect::V1_0,
        }
    }
}

/// Reads an agent's answer to an operation, of which the result takes at most `limit` bytes in canonical form.
///
/// # Errors
/// If it is no JSON-RPC answer, or its result cannot be read.
pub fn read_reply(bytes: &[u8], form: Form, operation: Operation, limit: usize) -> Result<Outcome> {
    let mut scan = Scanner::of_bytes(bytes)?;
    let (mut result, mut fault) = (None, None);
    let mut more = scan.begin_object()?;
    while more {
        match &*scan.key()? {
            // SDKs write the member that does not apply as null.
            "result" | "error" if scan.take_literal("null") => {}
            "result" => {
                let read = form.read_response(&mut scan, operation, limit);
                result = Some(read.map_err(|error| error.within("result"))?);
            }
            "error" => {
                fault = Some(read_error(&mut scan, form, limit).map_err(|error| error.within("error"))?)
            }
            _ => drop(scan.skip()?),
        }
        more = scan.more(b'}')?;
    }
    scan.end()?;
    match (fault, result) {
        (Some(fault), _) => Ok(Outcome::Error(fault)),
        (None, Some(result)) => Ok(Outcome::Result(result)),
        (None, None) if may_be_nothing(operation) => Ok(Outcome::Result(Vec::new())),
        (None, None) => Err(Error::invalid("neither result nor error")),
    }
}

/// Whether nothing is an answer: to a deletion, and of an empty list, which one SDK writes as null.
fn may_be_nothing(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::DeleteTaskPushNotificationConfig | Operation::ListTaskPushNotificationConfigs
    )
}

fn read_error(scan: &mut Scanner<'_>, form: Form, limit: usize) -> Result<Fault> {
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
    Ok(Fault::of_agent(AgentError { code, data, dialect: form.dialect() }, message))
}

/// Writes a request to an agent.
///
/// # Errors
/// If the parameters are no protobuf of the operation's request.
pub fn write_request(
    id: &Id,
    form: Form,
    operation: Operation,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    let method = match form.dialect() {
        Dialect::V0_3 => v0_3::method(operation).unwrap_or_default(),
        Dialect::V1_0 => operation.name(),
    };
    begin(id, out);
    out.extend_from_slice(b",\"method\":");
    write_string(out, method);
    // 0.3 asks for the extended card without parameters.
    if (form.dialect(), operation) != (Dialect::V0_3, Operation::GetExtendedAgentCard) {
        out.extend_from_slice(b",\"params\":");
        form.write_request(operation, wire, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes the answer to a request.
///
/// # Errors
/// If the bytes are no protobuf of the operation's response.
pub fn write_result(id: &Id, form: Form, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    begin(id, out);
    out.extend_from_slice(b",\"result\":");
    form.write_response(operation, wire, out)?;
    out.push(b'}');
    Ok(())
}

/// Writes a fault as the answer to a request. An agent's own error is exactly as it was in its dialect; any other has the
/// details that 1.0 asks for (specification §9.5), and in 0.3 none: its SDKs do not agree on what they may be.
///
/// # Errors
/// If the agent's `data` is no `google.protobuf.Value`.
pub fn write_fault(id: &Id, dialect: Dialect, fault: &Fault, out: &mut Vec<u8>) -> Result<()> {
    begin(id, out);
    write!(out, ",\"error\":{{\"code\":{},\"message\":", fault.code())
        .map_err(|_| Cause::Wire("no number"))?;
    let row = fault.row();
    if dialect == Dialect::V0_3 && fault.agent_error().is_none() && row.domain == DRAGOMAN_DOMAIN {
        write_string(out, &format!("{}: {}", row.name, fault.message()));
    } else {
        write_string(out, fault.message());
    }
    let start = out.len();
    out.extend_from_slice(b",\"data\":");
    let written = match (fault.agent_error(), dialect) {
        (Some(AgentError { data: None, .. }), _) if fault.grpc().is_some() => details(dialect, fault, out),
        (Some(error), _) if error.dialect == dialect => write_own(fault, error, out)?,
        (Some(error), Dialect::V1_0) => write_foreign(fault, error, out)?,
        (Some(_), Dialect::V0_3) => false,
        (None, _) => details(dialect, fault, out),
    };
    if !written {
        out.truncate(start);
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Writes the details of a fault, which only 1.0 has; whether it did.
fn details(dialect: Dialect, fault: &Fault, out: &mut Vec<u8>) -> bool {
    let has_details = dialect == Dialect::V1_0;
    if has_details {
        write_details(fault, out);
    }
    has_details
}

fn begin(id: &Id, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_str().as_bytes());
}
