//! Faults as plain HTTP answers: those of HTTP+JSON (A2A specification §11.6), and of requests that are no call of any
//! binding.

use std::io::Write as _;

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tonic::Code;
use tonic::body::Body;

use crate::a2a::{A2A_DOMAIN, AgentError, DRAGOMAN_DOMAIN, Dialect, Fault, Reason};
use crate::codec::details::{write_data, write_details, write_error_info};
use crate::codec::text::{Scanner, write_string};
use crate::codec::{self, write_value};

/// A fault under an HTTP status, as 1.0 tells it.
pub fn refusal(status: StatusCode, fault: &Fault) -> Response<Body> {
    refuse(status, fault, Dialect::V1_0)
}

/// A fault under an HTTP status. Its media type is JSON's own: clients in Go read errors of no other.
pub(super) fn refuse(status: StatusCode, fault: &Fault, dialect: Dialect) -> Response<Body> {
    let text = text(status, fault, dialect);
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    fault.params().append_for(dialect, headers);
    if let Some(after) = fault.retry_info() {
        // Whole seconds, rounded up.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.entry(header::RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The HTTP status of a fault: the agent's own if it has said one, else what the reason means.
pub(super) fn status(fault: &Fault, dialect: Dialect) -> StatusCode {
    if let Some(status) = fault.http() {
        return status;
    }
    let own = fault.agent_error().and_then(|error| u16::try_from(error.code).ok());
    let own = own.and_then(|code| StatusCode::from_u16(code).ok());
    if let Some(own) = own.filter(|status| status.is_client_error() || status.is_server_error()) {
        return own;
    }
    match (dialect, fault.reason()) {
        (Dialect::V0_3, Reason::InvalidParams) => StatusCode::UNPROCESSABLE_ENTITY,
        (Dialect::V0_3, Reason::PushNotificationNotSupported | Reason::UnsupportedOperation) => {
            StatusCode::NOT_IMPLEMENTED
        }
        (Dialect::V0_3, Reason::ExtendedAgentCardNotConfigured) => StatusCode::NOT_FOUND,
        (Dialect::V0_3, Reason::TaskNotCancelable) => StatusCode::CONFLICT,
        (Dialect::V0_3, Reason::ContentTypeNotSupported) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        (Dialect::V0_3, Reason::InvalidAgentResponse) => StatusCode::BAD_GATEWAY,
        _ => fault.row().http,
    }
}

/// The body that tells a fault.
pub(super) fn text(status: StatusCode, fault: &Fault, dialect: Dialect) -> Vec<u8> {
    let mut json = Vec::new();
    if let Err(error) = write(status, fault, dialect, &mut json) {
        json.clear();
        let written = write(status, &error.of_reply(), dialect, &mut json);
        debug_assert!(written.is_ok(), "a fault of ours has no data that could be wrong");
    }
    json
}

fn write(status: StatusCode, fault: &Fault, dialect: Dialect, out: &mut Vec<u8>) -> Result<(), codec::Error> {
    if dialect == Dialect::V0_3 {
        return write_old(status, fault, out);
    }
    out.push(b'{');
    begin_error(status, fault, out);
    match fault.agent_error() {
        None => write_details(fault, out),
        Some(error) => write_own_details(error, fault, out)?,
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// What clients of 0.3 read: the error object of JSON-RPC, without an envelope. Those in Go read what 1.0 has, which stands
/// beside it unless an agent of 0.3 has said it all.
fn write_old(status: StatusCode, fault: &Fault, out: &mut Vec<u8>) -> Result<(), codec::Error> {
    out.extend_from_slice(b"{\"code\":");
    write_number(fault.code(), out);
    out.extend_from_slice(b",\"message\":");
    // There is no other place for the reason of a fault of ours.
    if fault.row().domain == DRAGOMAN_DOMAIN && fault.agent_error().is_none() {
        write_string(out, &format!("{}: {}", fault.reason(), fault.message()));
    } else {
        write_string(out, fault.message());
    }
    match fault.agent_error() {
        // What 1.0 has for data means nothing to clients of 0.3.
        Some(AgentError { data: Some(data), dialect: Dialect::V0_3, .. }) => {
            out.extend_from_slice(b",\"data\":");
            write_value(data, out)?;
        }
        Some(AgentError { dialect: Dialect::V0_3, .. }) => {}
        _ => {
            out.push(b',');
            begin_error(status, fault, out);
            out.push(b'[');
            write_error_info(fault.row(), None, out);
            out.extend_from_slice(b"]}");
        }
    }
    out.push(b'}');
    Ok(())
}

/// The error object of 1.0, up to its details.
fn begin_error(status: StatusCode, fault: &Fault, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"error\":{\"code\":");
    write_number(status.as_u16().into(), out);
    out.extend_from_slice(b",\"status\":");
    write_string(out, &name(fault.grpc().unwrap_or_else(|| fault.row().grpc)));
    out.extend_from_slice(b",\"message\":");
    write_string(out, fault.message());
    out.extend_from_slice(b",\"details\":");
}

fn write_number(number: i64, out: &mut Vec<u8>) {
    // Writing into a Vec cannot fail.
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok());
}

/// The details of an agent's own error: its data, if that is a list of details already, and what names the error, if the
/// data does not.
fn write_own_details(error: &AgentError, fault: &Fault, out: &mut Vec<u8>) -> Result<(), codec::Error> {
    let mut data = Vec::new();
    if let Some(wire) = error.data.as_ref().filter(|_| error.dialect == Dialect::V1_0) {
        write_value(wire, &mut data)?;
    }
    out.push(b'[');
    let own = details_in(&data);
    if own.is_some() {
        out.extend_from_slice(data.get(1..data.len() - 1).unwrap_or_default());
    }
    if own != Some(true) {
        if !out.ends_with(b"[") {
            out.push(b',');
        }
        let row = fault.row();
        write_error_info(row, (row.domain != A2A_DOMAIN).then_some(error.code), out);
    }
    if let Some(data) = error.data.as_ref().filter(|_| own.is_none()) {
        out.push(b',');
        write_data(data, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Whether a text is a list of details, each an object with its `@type`; if so, whether one of them names the error.
fn details_in(json: &[u8]) -> Option<bool> {
    let mut scan = Scanner::of_bytes(json).ok()?;
    let mut named = false;
    let mut more = scan.begin_list().ok()?;
    while more {
        let mut typed = false;
        let mut another = scan.begin_object().ok()?;
        while another {
            if scan.key().ok()? == "@type" {
                let kind = scan.string().ok()?;
                typed = true;
                named |= kind.rsplit('/').next() == Some("google.rpc.ErrorInfo");
            } else {
                scan.skip().ok()?;
            }
            another = scan.more(b'}').ok()?;
        }
        if !typed {
            return None;
        }
        more = scan.more(b']').ok()?;
    }
    Some(named)
}

/// The name of a gRPC status as `google.rpc.Code` spells it.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn agent(code: i64, data: Option<&str>) -> Fault {
        agent_in(Dialect::V1_0, code, data)
    }

    fn agent_in(dialect: Dialect, code: i64, data: Option<&str>) -> Fault {
        let value = |text| codec::read_value(&mut Scanner::new(text), usize::MAX).unwrap().into();
        Fault::of_agent(AgentError { code, data: data.map(value), dialect }, "it said")
    }

    fn told(fault: &Fault, dialect: Dialect) -> (u16, String) {
        let status = status(fault, dialect);
        (status.as_u16(), String::from_utf8(text(status, fault, dialect)).unwrap())
    }

    #[test]
    fn statuses_have_the_names_of_google_rpc() {
        assert_eq!(name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(name(Code::Ok), "OK");
    }

    #[test]
    fn a_fault_of_ours_says_which_field_and_when() {
        let fault =
            Fault::new(Reason::RateLimited, "slow").violation("a.b", "c").retry_after(Duration::from_secs(2));
        let (status, text) = told(&fault, Dialect::V1_0);
        let text: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &text["error"]["code"]), (429, &429.into()));
        assert_eq!(text["error"]["status"], "RESOURCE_EXHAUSTED");
        assert_eq!(text["error"]["details"][0]["reason"], "RATE_LIMITED");
        assert_eq!(text["error"]["details"][1]["fieldViolations"][0]["field"], "a.b");
        assert_eq!(text["error"]["details"][2]["retryDelay"], "2s");
        let (status, old) = told(&fault, Dialect::V0_3);
        assert_eq!(status, 429);
        assert!(
            old.starts_with(r#"{"code":-32603,"message":"RATE_LIMITED: slow","error":{"code":429,"#),
            "{old}"
        );
    }

    #[test]
    fn an_agents_own_details_stay_as_they_are() {
        const INFO: &str =
            r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"D"}"#;
        const LISTED: &str = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}"#;
        const UNLISTED: &str = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"JSONRPC_ERROR","domain":"dragoman.dev","metadata":{"code":"7"}}"#;
        let value = |data: &str| {
            format!(r#"{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{"data":{data}}}}}"#)
        };
        for (code, data, details) in [
            (-32001, Some(format!("[{INFO}]")), format!("[{INFO}]")),
            (
                -32001,
                Some(r#"[{"@type":"x","n":1.0}]"#.to_owned()),
                format!(r#"[{{"@type":"x","n":1.0}},{LISTED}]"#),
            ),
            (-32001, Some("[]".to_owned()), format!("[{LISTED}]")),
            (-32001, Some(r#"{"n":1.50}"#.to_owned()), format!("[{LISTED},{}]", value(r#"{"n":1.50}"#))),
            (-32001, Some(r#"[{"n":1}]"#.to_owned()), format!("[{LISTED},{}]", value(r#"[{"n":1}]"#))),
            (-32001, None, format!("[{LISTED}]")),
            (7, Some("null".to_owned()), format!("[{UNLISTED},{}]", value("null"))),
        ] {
            let (_, text) = told(&agent(code, data.as_deref()), Dialect::V1_0);
            assert!(text.contains(&format!(r#""message":"it said","details":{details}}}"#)), "{text}");
        }
        let old = agent_in(Dialect::V0_3, -32001, Some("[1.0]"));
        let text = r#"{"code":-32001,"message":"it said","data":[1.0]}"#;
        assert_eq!(told(&old, Dialect::V0_3), (404, text.to_owned()));
        assert!(told(&old, Dialect::V1_0).1.contains(&format!("[{LISTED},{}]", value("[1.0]"))));
        let new = format!(
            r#""error":{{"code":404,"status":"NOT_FOUND","message":"it said","details":[{LISTED}]}}}}"#
        );
        let text = format!(r#"{{"code":-32001,"message":"it said",{new}"#);
        assert_eq!(told(&agent(-32001, Some("[1.0]")), Dialect::V0_3), (404, text));
    }

    #[test]
    fn each_dialect_has_its_statuses() {
        for (reason, new, old) in [
            (Reason::InvalidParams, 400, 422),
            (Reason::ParseError, 400, 400),
            (Reason::MethodNotFound, 404, 404),
            (Reason::TaskNotFound, 404, 404),
            (Reason::TaskNotCancelable, 400, 409),
            (Reason::UnsupportedOperation, 400, 501),
            (Reason::PushNotificationNotSupported, 400, 501),
            (Reason::ExtendedAgentCardNotConfigured, 400, 404),
            (Reason::ContentTypeNotSupported, 400, 415),
            (Reason::InvalidAgentResponse, 500, 502),
            (Reason::AgentUnreachable, 503, 503),
        ] {
            let fault = Fault::new(reason, "");
            let seen = [Dialect::V1_0, Dialect::V0_3].map(|dialect| status(&fault, dialect).as_u16());
            assert_eq!(seen, [new, old], "{reason}");
        }
        assert_eq!(told(&agent(418, None), Dialect::V1_0).0, 418);
        assert_eq!(told(&agent(200, None), Dialect::V1_0).0, 500);
        let refused = Fault::of_http(StatusCode::UNAUTHORIZED, "no").unwrap();
        assert_eq!(told(&refused, Dialect::V0_3).0, 401);
    }
}
