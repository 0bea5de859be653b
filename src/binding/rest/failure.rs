//! What agents say over HTTP when they cannot or will not: every shape that the SDKs have for it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::value::RawValue;

use crate::a2a::{A2A_DOMAIN, AgentError, DRAGOMAN_DOMAIN, Dialect, Fault, Operation, Params, Reason, TABLE};
use crate::codec::text::Scanner;
use crate::codec::{Error, read_value};

/// What an error object tells.
#[derive(Debug, Default)]
struct Told {
    /// A code of JSON-RPC, or an HTTP status once more.
    code: Option<i64>,
    message: String,
    /// The details as a `google.protobuf.Value`.
    data: Option<Bytes>,
    /// What an `ErrorInfo` in the details names, or the class of an exception in Java.
    reason: Option<Reason>,
    /// The agent's own code, as the `ErrorInfo` of a sidecar says it.
    own_code: Option<i64>,
    /// Whether only A2A says it so: a gateway before the agent may well answer `{"message": …}` too.
    certain: bool,
    /// Whether the data is a list of details, which agents of 0.3 on SDKs of 1.0 write, too.
    as_in_1_0: bool,
}

/// The fault of an answer that is none.
pub(super) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    asked: (Operation, Dialect),
    (url, limit): (&Uri, usize),
) -> Fault {
    let told = Told::read(body, limit).ok().flatten();
    let message = format!("the agent answered HTTP {status}");
    let plain = Fault::of_http(status, &*message);
    let fault = match (told, plain) {
        (Some(told), None) => told.into_fault(status, asked),
        (Some(told), Some(_)) if told.certain => told.into_fault(status, asked),
        (_, Some(plain)) => plain,
        (None, None) => match meaning(status, asked.0, false) {
            Some(reason) => Fault::new(reason, message).because(url),
            None => {
                Fault::new(Reason::AgentProtocolError, format!("{message}, and nothing of A2A")).because(url)
            }
        },
    };
    fault.with_params(Params::from_headers(headers))
}

/// The fault in an event that is no message; `None` if it is no error either.
pub(super) fn read_event(data: &[u8], asked: (Operation, Dialect), limit: usize) -> Option<Fault> {
    let told = Told::read(data, limit).ok()??;
    let status = told.code.and_then(|code| u16::try_from(code).ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    Some(told.into_fault(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), asked))
}

impl Told {
    /// Reads an error object; `None` if it is not one.
    fn read(text: &[u8], limit: usize) -> Result<Option<Self>, Error> {
        let mut scan = Scanner::of_bytes(text)?;
        let (mut outer, mut inner, mut class) = (Self::default(), None, None);
        let mut more = scan.begin_object()?;
        while more {
            let key = scan.key()?;
            match (&*key, scan.peek()) {
                // HTTP+JSON 1.0, and JSON-RPC.
                ("error", Some(b'{')) => inner = Some(Self::object(&mut scan, limit)?),
                // Java 1.0: the name of a class.
                ("error", Some(b'"')) => class = reason_of_class(&scan.string()?),
                // JavaScript and Python 0.3.
                _ => outer.member(&key, &mut scan, limit)?,
            }
            more = scan.more(b'}')?;
        }
        scan.end()?;
        let mut told = inner.unwrap_or(outer);
        told.reason = told.reason.or(class);
        told.certain |= told.reason.is_some();
        let is_error = told.certain || told.code.is_some() || !told.message.is_empty();
        Ok(is_error.then_some(told))
    }

    /// The object within `error`.
    fn object(scan: &mut Scanner<'_>, limit: usize) -> Result<Self, Error> {
        let mut told = Self::default();
        let mut more = scan.begin_object()?;
        while more {
            let key = scan.key()?;
            told.member(&key, scan, limit)?;
            more = scan.more(b'}')?;
        }
        told.certain = told.code.is_some();
        Ok(told)
    }

    fn member(&mut self, key: &str, scan: &mut Scanner<'_>, limit: usize) -> Result<(), Error> {
        match (key, scan.peek()) {
            ("code", Some(b'-' | b'0'..=b'9')) => {
                self.code = scan.number()?.parse().ok();
                self.certain |= self.code.is_some_and(|code| code < 0);
            }
            ("message", Some(b'"')) => self.message = scan.string()?.into_owned(),
            ("details" | "data", Some(byte)) if byte != b'n' => {
                let mut ahead = scan.clone();
                self.look_into(ahead.skip()?);
                self.as_in_1_0 |= key == "details";
                self.data = Some(read_value(scan, limit)?.into());
            }
            _ => drop(scan.skip()?),
        }
        Ok(())
    }

    /// Looks for what names the error among its details: A2A's word counts before ours.
    fn look_into(&mut self, details: &str) {
        let details: Vec<&RawValue> = serde_json::from_str(details).unwrap_or_default();
        let infos = details.into_iter().filter_map(|detail| serde_json::from_str::<Info>(detail.get()).ok());
        let infos: Vec<Info> =
            infos.filter(|info| info.kind.rsplit('/').next() == Some("google.rpc.ErrorInfo")).collect();
        self.reason = [A2A_DOMAIN, DRAGOMAN_DOMAIN].into_iter().find_map(|domain| {
            let of_domain = infos.iter().filter(|info| info.domain == domain);
            of_domain.filter_map(|info| Reason::of_error_info(domain, &info.reason)).next()
        });
        if self.reason == Some(Reason::JsonrpcError) {
            self.own_code = infos.iter().find_map(|info| info.metadata.as_ref()?.code.as_ref()?.parse().ok());
        }
    }

    /// The agent's own error: its details are the data that JSON-RPC has for them, and its code is what the reason is
    /// there, or else the HTTP status.
    fn into_fault(self, status: StatusCode, (operation, dialect): (Operation, Dialect)) -> Fault {
        let own = self.own_code.or_else(|| Some(self.reason?.row().jsonrpc));
        let jsonrpc = own.or_else(|| self.code.filter(|code| *code < 0));
        let code = jsonrpc.unwrap_or_else(|| {
            let meaning = meaning(status, operation, true).map(Reason::row);
            let meaning = meaning.filter(|row| row.domain == A2A_DOMAIN);
            meaning.map_or_else(|| status.as_u16().into(), |row| row.jsonrpc)
        });
        let dialect = if self.as_in_1_0 { Dialect::V1_0 } else { dialect };
        Fault::of_agent(AgentError { code, data: self.data, dialect }, self.message)
    }
}

/// An `ErrorInfo` among the details.
#[derive(serde::Deserialize)]
struct Info {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(serde::Deserialize)]
struct Metadata {
    #[serde(default)]
    code: Option<String>,
}

/// The reason that a class such as `io.a2a.spec.TaskNotFoundError` is named after.
fn reason_of_class(class: &str) -> Option<Reason> {
    let name = class.rsplit('.').next()?.strip_suffix("Error")?;
    let same = |known: &str| known.replace('_', "").eq_ignore_ascii_case(name);
    TABLE.iter().find(|row| row.domain == A2A_DOMAIN && same(row.name)).map(|row| row.reason)
}

/// What an HTTP status means for an operation; `told` by an error object, or by nothing else.
fn meaning(status: StatusCode, operation: Operation, told: bool) -> Option<Reason> {
    use Operation as O;
    let is_push = matches!(
        operation,
        O::CreateTaskPushNotificationConfig
            | O::DeleteTaskPushNotificationConfig
            | O::GetTaskPushNotificationConfig
            | O::ListTaskPushNotificationConfigs
    );
    let names_a_task = is_push || matches!(operation, O::CancelTask | O::GetTask | O::SubscribeToTask);
    let sends = matches!(operation, O::SendMessage | O::SendStreamingMessage);
    Some(match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Reason::InvalidParams,
        StatusCode::NOT_FOUND if operation == O::GetExtendedAgentCard => {
            Reason::ExtendedAgentCardNotConfigured
        }
        // A message may be about a task, but without a word it is the path that is not there.
        StatusCode::NOT_FOUND if names_a_task || (sends && told) => Reason::TaskNotFound,
        StatusCode::NOT_FOUND => Reason::MethodNotFound,
        StatusCode::METHOD_NOT_ALLOWED => Reason::UnsupportedOperation,
        StatusCode::CONFLICT if operation == O::CancelTask => Reason::TaskNotCancelable,
        StatusCode::PAYLOAD_TOO_LARGE => Reason::MessageTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Reason::ContentTypeNotSupported,
        StatusCode::NOT_IMPLEMENTED if is_push => Reason::PushNotificationNotSupported,
        StatusCode::NOT_IMPLEMENTED => Reason::UnsupportedOperation,
        StatusCode::INTERNAL_SERVER_ERROR if told => Reason::Internal,
        StatusCode::BAD_GATEWAY if told => Reason::InvalidAgentResponse,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::write_value;

    /// The code, the message and the data of the fault that an answer is.
    fn failed(status: u16, body: &str, operation: Operation) -> (i64, String, String) {
        let url = Uri::from_static("http://a/");
        let status = StatusCode::from_u16(status).unwrap();
        let fault =
            read(status, &HeaderMap::new(), body.as_bytes(), (operation, Dialect::V1_0), (&url, 1 << 20));
        let mut data = Vec::new();
        if let Some(AgentError { data: Some(wire), .. }) = fault.agent_error() {
            write_value(wire, &mut data).unwrap();
        }
        (fault.code(), fault.message().to_owned(), String::from_utf8(data).unwrap())
    }

    #[test]
    fn every_shape_of_an_error_is_read() {
        const INFO: &str = r#"[{"@type":"type.googleapis.com/google.rpc.Other","n":1.0},{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_CANCELABLE","domain":"a2a-protocol.org","metadata":{}}]"#;
        const OURS: &str = r#"[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"JSONRPC_ERROR","domain":"dragoman.dev","metadata":{"code":"-32050"}}]"#;
        let named = |details| {
            format!(r#"{{"error":{{"code":400,"status":"X","message":"no","details":{details}}}}}"#)
        };
        for (body, code, data) in [
            (named(INFO), -32002, INFO),
            (named(OURS), -32050, OURS),
            (named("[]"), -32602, "[]"),
            (named("null"), -32602, ""),
            (
                r#"{"error":{"code":-32007,"message":"no","data":{"n":1.0}},"id":1}"#.to_owned(),
                -32007,
                r#"{"n":1.0}"#,
            ),
            (r#"{"code":-32050,"message":"no","data":[1.0]}"#.to_owned(), -32050, "[1.0]"),
            (r#"{"message":"no"}"#.to_owned(), -32602, ""),
            (r#"{"error":"io.a2a.spec.TaskNotFoundError","message":"no"}"#.to_owned(), -32001, ""),
            (r#"{"error":"io.a2a.spec.StrangeError","message":"no"}"#.to_owned(), -32602, ""),
        ] {
            let seen = failed(400, &body, Operation::GetTask);
            assert_eq!(seen, (code, "no".to_owned(), data.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_status_means_what_the_operation_makes_of_it() {
        use Operation as O;
        const TOLD: &str = r#"{"message":"no"}"#;
        for (status, operation, told, silent) in [
            (404, O::GetTask, -32001, "TASK_NOT_FOUND"),
            (404, O::SendMessage, -32001, "METHOD_NOT_FOUND"),
            (404, O::ListTasks, -32601, "METHOD_NOT_FOUND"),
            (404, O::GetExtendedAgentCard, -32007, "EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
            (405, O::CancelTask, -32004, "UNSUPPORTED_OPERATION"),
            (409, O::CancelTask, -32002, "TASK_NOT_CANCELABLE"),
            (409, O::GetTask, 409, "AGENT_PROTOCOL_ERROR"),
            (413, O::SendMessage, 413, "MESSAGE_TOO_LARGE"),
            (415, O::SendMessage, -32005, "CONTENT_TYPE_NOT_SUPPORTED"),
            (418, O::SendMessage, 418, "AGENT_PROTOCOL_ERROR"),
            (422, O::SendMessage, -32602, "INVALID_PARAMS"),
            (500, O::GetTask, -32603, "AGENT_PROTOCOL_ERROR"),
            (501, O::ListTaskPushNotificationConfigs, -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED"),
            (501, O::SendMessage, -32004, "UNSUPPORTED_OPERATION"),
            (502, O::SendMessage, -32006, "AGENT_PROTOCOL_ERROR"),
        ] {
            assert_eq!(failed(status, TOLD, operation).0, told, "{status} {operation}");
            let (url, status) = (Uri::from_static("http://a/"), StatusCode::from_u16(status).unwrap());
            for body in ["", "<html>", r#"{"detail":"Not Found"}"#] {
                let fault = read(
                    status,
                    &HeaderMap::new(),
                    body.as_bytes(),
                    (operation, Dialect::V1_0),
                    (&url, 1 << 20),
                );
                assert_eq!((fault.reason().to_string(), fault.agent_error()), (silent.to_owned(), None));
            }
        }
    }

    #[test]
    fn a_gateway_before_the_agent_is_not_taken_for_it() {
        for body in
            ["", r#"{"message":"Unauthorized"}"#, r#"{"error":"invalid_token","error_description":"x"}"#]
        {
            let url = Uri::from_static("http://a/");
            let fault = read(
                StatusCode::UNAUTHORIZED,
                &HeaderMap::new(),
                body.as_bytes(),
                (Operation::GetTask, Dialect::V1_0),
                (&url, 1 << 20),
            );
            assert_eq!(fault.http(), Some(StatusCode::UNAUTHORIZED), "{body}");
        }
        let told = r#"{"error":{"code":401,"status":"UNAUTHENTICATED","message":"no","details":[{"n":1}]}}"#;
        assert_eq!(failed(401, told, Operation::GetTask), (401, "no".into(), r#"[{"n":1}]"#.into()));
    }

    #[test]
    fn an_event_is_an_error_only_if_it_says_so() {
        let read = |text: &str| {
            read_event(text.as_bytes(), (Operation::SubscribeToTask, Dialect::V1_0), 1 << 20)
                .map(|fault| fault.code())
        };
        assert_eq!(read(r#"{"error":{"code":404,"message":"gone"}}"#), Some(-32001));
        assert_eq!(read(r#"{"code":-32004,"message":"no"}"#), Some(-32004));
        assert_eq!(read(r#"{"error":"io.a2a.spec.InternalError","message":""}"#), Some(-32603));
        assert_eq!(read(r#"{"error":{}}"#), None);
        assert_eq!(read(r#"{"other":1}"#), None);
        assert_eq!(read("what?"), None);
    }
}
