//! Faults as gRPC statuses with `google.rpc` details, and back. Our own details are read first, then the reason that A2A
//! names, then the bare status.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use prost::Message as _;
use prost_types::Any;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::pb;

use super::details::{self, BAD_REQUEST, ERROR_INFO, RETRY_INFO, VALUE, any, name};
use crate::a2a::{
    A2A_DOMAIN, AgentError, DRAGOMAN_DOMAIN, Dialect, Fault, Operation, Params, Reason, Violation,
};
use crate::codec;

/// `ErrorInfo.metadata` of ours: the agent's own code and dialect, the status that it said in gRPC or HTTP, and that nobody
/// has processed the call.
const CODE: &str = "code";
const DIALECT: &str = "dialect";
const GRPC: &str = "grpc";
const HTTP: &str = "http";
const NEVER_PROCESSED: &str = "neverProcessed";

/// The most bytes of details that fit between sidecars, and toward a foreign client. They are written in base64, and
/// the message travels twice.
const OWN_MAX: usize = 700 << 10;
const FOREIGN_MAX: usize = 8 << 10;
/// The most bytes of a message in the header of its own, where each may take three.
const MESSAGE_MAX: usize = 1 << 10;

/// What came of writing a fault.
pub(super) struct Written {
    pub(super) status: Status,
    /// How many bytes of an agent's `data` did not fit.
    pub(super) truncated: Option<usize>,
}

/// Writes a fault as a status. A foreign client gets no more details than its headers can hold.
pub(super) fn write(fault: &Fault, foreign: bool) -> Written {
    let row = fault.row();
    let code = fault.grpc().unwrap_or_else(|| fault.http().map_or(row.grpc, of_http));
    let most = if foreign { FOREIGN_MAX } else { OWN_MAX };
    let mut details = said(fault, foreign);
    let mut truncated = None;
    if size(fault, &details) > most {
        let data = fault.agent_error().and_then(|error| error.data.as_ref()).map(Bytes::len);
        details.retain(|detail| name(detail) == ERROR_INFO);
        if size(fault, &details) > most {
            // An agent can make even those too long.
            details = vec![error_info(row.name, row.domain, HashMap::new())];
        }
        if let Some(bytes) = data {
            truncated = Some(bytes);
            if !foreign {
                details.push(value_any(&truncation(bytes)));
            }
        }
    }
    let message = cut(fault.message(), most / 2);
    let encoded = pb::Status { code: code.into(), message: message.to_owned(), details }.encode_to_vec();
    let mut metadata = HeaderMap::new();
    fault.params().append_to(&mut metadata);
    let metadata = MetadataMap::from_headers(metadata);
    let short = cut(message, MESSAGE_MAX);
    let status = Status::with_details_and_metadata(code, short, encoded.into(), metadata);
    Written { status, truncated }
}

fn value_any(value: &[u8]) -> Any {
    any(VALUE, value.to_vec())
}

fn error_info(reason: &str, domain: &str, metadata: HashMap<String, String>) -> Any {
    let info = pb::ErrorInfo { reason: reason.to_owned(), domain: domain.to_owned(), metadata };
    any(ERROR_INFO, info.encode_to_vec())
}

/// The details of a fault.
fn said(fault: &Fault, foreign: bool) -> Vec<Any> {
    let row = fault.row();
    let data = fault.agent_error().and_then(|error| error.data.as_deref());
    // A foreign client looks for the agent's own details where gRPC has them; a sidecar has them in the data.
    let mut details = data.filter(|_| foreign).map(details::of_data).unwrap_or_default();
    if foreign && fault.grpc().is_some() {
        // It was said in gRPC, and is said once more as it was.
        return details;
    }
    if row.domain == A2A_DOMAIN && !details.iter().any(|detail| name(detail) == ERROR_INFO) {
        details.push(error_info(row.name, A2A_DOMAIN, HashMap::new()));
    }
    let mut metadata = HashMap::new();
    if let Some(error) = fault.agent_error() {
        if foreign && row.domain == A2A_DOMAIN {
            // The reason says what the code does, and some clients believe the last one.
            details.extend(error.data.as_deref().map(value_any));
            return details;
        }
        metadata.insert(CODE.to_owned(), error.code.to_string());
        if error.dialect != Dialect::V1_0 {
            metadata.insert(DIALECT.to_owned(), error.dialect.as_str().to_owned());
        }
        metadata.extend(fault.grpc().map(|status| (GRPC.to_owned(), i32::from(status).to_string())));
        details.push(error_info(Reason::JsonrpcError.row().name, DRAGOMAN_DOMAIN, metadata));
        details.extend(error.data.as_deref().map(value_any));
    } else if row.domain == DRAGOMAN_DOMAIN {
        metadata.extend(fault.http().map(|status| (HTTP.to_owned(), status.as_u16().to_string())));
        metadata.extend(fault.is_never_processed().then(|| (NEVER_PROCESSED.to_owned(), "true".to_owned())));
        details.push(error_info(row.name, DRAGOMAN_DOMAIN, metadata));
    }
    if !fault.violations().is_empty() {
        let violation = |violation: &Violation| (violation.field.clone(), violation.description.clone());
        details.push(bad_request(fault.violations().iter().map(violation)));
    }
    if let Some(after) = fault.retry_info() {
        let retry = pb::RetryInfo { retry_delay: prost_types::Duration::try_from(after).ok() };
        details.push(any(RETRY_INFO, retry.encode_to_vec()));
    }
    details
}

fn bad_request(violations: impl Iterator<Item = (String, String)>) -> Any {
    let violation =
        |(field, description)| pb::bad_request::FieldViolation { field, description, ..Default::default() };
    let bad = pb::BadRequest { field_violations: violations.map(violation).collect() };
    any(BAD_REQUEST, bad.encode_to_vec())
}

fn size(fault: &Fault, details: &[Any]) -> usize {
    fault.message().len() + details.iter().map(Any::encoded_len).sum::<usize>()
}

/// `{"truncated": N}` as a `google.protobuf.Value`.
fn truncation(bytes: usize) -> Vec<u8> {
    let text = format!("{{\"truncated\":{bytes}}}");
    codec::read_value(&mut codec::text::Scanner::new(&text), usize::MAX).unwrap_or_default()
}

/// As much of a text as fits, whole characters.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The status of an HTTP status that an agent answered with.
fn of_http(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        _ => Code::Unavailable,
    }
}

/// The details of a status, and the message, which they have in full.
fn rich(status: &Status) -> pb::Status {
    let mut rich = pb::Status::decode(status.details()).unwrap_or_default();
    if rich.message.is_empty() {
        status.message().clone_into(&mut rich.message);
    }
    rich
}

fn infos(rich: &pb::Status) -> Vec<pb::ErrorInfo> {
    let infos = rich.details.iter().filter(|detail| name(detail) == ERROR_INFO);
    infos.filter_map(|detail| pb::ErrorInfo::decode(&*detail.value).ok()).collect()
}

/// The reason that A2A gives.
fn of_a2a(infos: &[pb::ErrorInfo]) -> Option<Reason> {
    let info = infos.iter().find(|info| info.domain == A2A_DOMAIN)?;
    Reason::of_error_info(A2A_DOMAIN, &info.reason)
}

/// Reads a status that an agent of this pod sent as the fault that it means. It speaks for itself alone: what only sidecars
/// may say is handed on as its own words, and not believed.
pub(super) fn of_agent(status: &Status, operation: Operation) -> Fault {
    let rich = rich(status);
    let reason = of_a2a(&infos(&rich)).unwrap_or_else(|| of_status(status.code(), operation));
    let data = details::to_data(&rich.details).map(Bytes::from);
    let error = AgentError { code: reason.row().jsonrpc, data, dialect: Dialect::V1_0 };
    let fault = Fault::of_agent_in_grpc(error, rich.message, status.code(), reason);
    fault.with_params(Params::from_headers(&status.metadata().clone().into_headers()))
}

/// Reads a status that a peer sent as the fault that it means.
pub(super) fn of_peer(status: &Status, operation: Operation) -> Fault {
    let rich = rich(status);
    let infos = infos(&rich);
    let find = |kind: &'static str| rich.details.iter().filter(move |detail| name(detail) == kind);
    let ours = infos.iter().find(|info| info.domain == DRAGOMAN_DOMAIN);
    let by_the_agent = ours.filter(|info| info.reason == Reason::JsonrpcError.row().name);
    let mut fault = if let Some((info, code)) =
        by_the_agent.and_then(|info| Some((info, info.metadata.get(CODE)?.parse().ok()?)))
    {
        let data = find(VALUE).next().map(|detail| Bytes::copy_from_slice(&detail.value));
        let dialect = info.metadata.get(DIALECT).and_then(|version| Dialect::of_version(version));
        let error = AgentError { code, data, dialect: dialect.unwrap_or(Dialect::V1_0) };
        match info.metadata.get(GRPC).and_then(|status| status.parse::<i32>().ok()).map(Code::from) {
            Some(status) => {
                let meant = Some(of_status(status, operation)).filter(|reason| reason.row().jsonrpc == code);
                let reason = meant.or_else(|| Reason::of_jsonrpc(code)).unwrap_or(Reason::JsonrpcError);
                Fault::of_agent_in_grpc(error, &*rich.message, status, reason)
            }
            None => Fault::of_agent(error, &*rich.message),
        }
    } else {
        let own = ours.and_then(|info| Reason::of_error_info(DRAGOMAN_DOMAIN, &info.reason));
        let http = ours.and_then(|info| StatusCode::from_bytes(info.metadata.get(HTTP)?.as_bytes()).ok());
        let fault = http.and_then(|status| Fault::of_http(status, &*rich.message));
        fault.unwrap_or_else(|| {
            let reason = own.or_else(|| of_a2a(&infos));
            Fault::new(reason.unwrap_or_else(|| of_status(status.code(), operation)), &*rich.message)
        })
    };
    if ours.is_some_and(|info| info.metadata.contains_key(NEVER_PROCESSED)) {
        fault = fault.never_processed();
    }
    let bad = find(BAD_REQUEST).filter_map(|detail| pb::BadRequest::decode(&*detail.value).ok());
    for violation in bad.flat_map(|bad| bad.field_violations) {
        fault = fault.violation(violation.field, violation.description);
    }
    let retry = find(RETRY_INFO).filter_map(|detail| pb::RetryInfo::decode(&*detail.value).ok());
    if let Some(after) = retry.filter_map(|retry| Duration::try_from(retry.retry_delay?).ok()).next() {
        fault = fault.retry_after(after);
    }
    fault.with_params(Params::from_headers(&status.metadata().clone().into_headers()))
}

/// The reason of a status without details, which depends on what was asked.
fn of_status(code: Code, operation: Operation) -> Reason {
    use Operation as O;
    match code {
        Code::NotFound => match operation {
            O::GetAgentCard | O::GetExtendedAgentCard => Reason::ExtendedAgentCardNotConfigured,
            _ => Reason::TaskNotFound,
        },
        Code::Unimplemented => Reason::UnsupportedOperation,
        Code::InvalidArgument => Reason::InvalidParams,
        Code::FailedPrecondition => match operation {
            O::CancelTask => Reason::TaskNotCancelable,
            O::CreateTaskPushNotificationConfig
            | O::GetTaskPushNotificationConfig
            | O::ListTaskPushNotificationConfigs
            | O::DeleteTaskPushNotificationConfig => Reason::PushNotificationNotSupported,
            O::GetAgentCard | O::GetExtendedAgentCard => Reason::ExtendedAgentCardNotConfigured,
            _ => Reason::UnsupportedOperation,
        },
        Code::Unauthenticated => Reason::Unauthenticated,
        Code::PermissionDenied => Reason::PermissionDenied,
        Code::ResourceExhausted => Reason::RateLimited,
        Code::OutOfRange => Reason::MessageTooLarge,
        Code::Unavailable => Reason::AgentUnreachable,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        _ => Reason::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::details::{DETAILS, sanitize};

    fn through(fault: &Fault, foreign: bool) -> Fault {
        let mut headers = HeaderMap::new();
        write(fault, foreign).status.add_header(&mut headers).unwrap();
        sanitize(&mut headers);
        of_peer(&Status::from_header_map(&headers).unwrap(), Operation::GetTask)
    }

    fn value(text: &str) -> Bytes {
        codec::read_value(&mut codec::text::Scanner::new(text), usize::MAX).unwrap().into()
    }

    #[test]
    fn every_reason_crosses() {
        for row in crate::a2a::TABLE {
            let fault = through(&Fault::new(row.reason, "why: ü"), false);
            assert_eq!((fault.reason(), fault.message(), fault.code()), (row.reason, "why: ü", row.jsonrpc));
        }
    }

    #[test]
    fn an_agents_error_crosses_exactly() {
        let large = value(&format!("[{:?}]", "x".repeat(64 << 10)));
        for data in [None, Some(value("null")), Some(value(r#"{"a":1.0}"#)), Some(large)] {
            for code in [-32001, -32603, 7, i64::MIN] {
                let error = AgentError { code, data: data.clone(), dialect: Dialect::V1_0 };
                let fault = through(&Fault::of_agent(error.clone(), "said\nthe agent"), false);
                assert_eq!((fault.agent_error(), fault.message()), (Some(&error), "said\nthe agent"));
            }
        }
    }

    #[test]
    fn a_foreign_client_finds_the_agents_details_where_grpc_has_them() {
        let data = r#"[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"INTERNAL_ERROR","domain":"a2a-protocol.org",
            "metadata":{"errors":[1]}},{"@type":"x/google.rpc.BadRequest","fieldViolations":[{"field":"a","description":"b"}]}]"#;
        let fault = Fault::of_agent(
            AgentError { code: -32603, data: Some(value(data)), dialect: Dialect::V1_0 },
            "broken",
        );
        let infos = |foreign| {
            let status = write(&fault, foreign).status;
            let rich = pb::Status::decode(status.details()).unwrap();
            let infos = rich.details.iter().filter(|detail| name(detail) == ERROR_INFO);
            infos.map(|info| pb::ErrorInfo::decode(&*info.value).unwrap().reason).collect::<Vec<_>>()
        };
        assert_eq!(infos(true), ["INTERNAL_ERROR"]);
        assert_eq!(infos(false), ["INTERNAL", "JSONRPC_ERROR"]);
        assert_eq!(through(&fault, true).violations()[0].field, "a");
    }

    #[test]
    fn what_a_fault_carries_crosses_too() {
        let fault = Fault::new(Reason::AgentNotFound, "who?")
            .never_processed()
            .violation("a.b", "c")
            .retry_after(Duration::from_millis(1500));
        let fault = through(&fault, false);
        assert!(fault.is_never_processed());
        assert_eq!(fault.retry_info(), Some(Duration::from_millis(1500)));
        assert_eq!(fault.violations()[0].field, "a.b");
        let refused = Fault::of_http(StatusCode::UNAUTHORIZED, "no").unwrap();
        assert_eq!(through(&refused, false).http(), Some(StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn what_does_not_fit_is_cut_and_told() {
        let data = value(&format!("{:?}", "x".repeat(1 << 20)));
        let fault = Fault::of_agent(
            AgentError { code: 5, data: Some(data.clone()), dialect: Dialect::V1_0 },
            "large",
        );
        assert_eq!(write(&fault, false).truncated, Some(data.len()));
        let mut json = Vec::new();
        codec::write_value(through(&fault, false).agent_error().unwrap().data.as_ref().unwrap(), &mut json)
            .unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), format!("{{\"truncated\":{}}}", data.len()));
        let foreign = through(&fault, true);
        assert_eq!((foreign.code(), foreign.message()), (5, "large"));
    }

    /// A status of an agent with these details, as it comes.
    fn said(code: Code, details: Vec<Any>) -> Status {
        let rich = pb::Status { code: code.into(), message: "all of it".into(), details };
        Status::with_details(code, "short", rich.encode_to_vec().into())
    }

    #[test]
    fn what_an_agent_says_in_grpc_crosses_and_is_said_again_as_it_was() {
        let other = Any { type_url: "other.example/a.B".into(), value: b"\x0a\x01x".to_vec() };
        let info = error_info("TASK_NOT_FOUND", A2A_DOMAIN, HashMap::new());
        for (code, details, reason) in [
            (Code::NotFound, vec![], Reason::TaskNotFound),
            (Code::Unimplemented, vec![info, other.clone()], Reason::TaskNotFound),
            (Code::Unimplemented, vec![other.clone()], Reason::UnsupportedOperation),
            (Code::Aborted, vec![other.clone()], Reason::Internal),
            (Code::Unauthenticated, vec![other.clone(), other], Reason::Unauthenticated),
            (Code::PermissionDenied, vec![], Reason::PermissionDenied),
        ] {
            let fault = of_agent(&said(code, details.clone()), Operation::GetTask);
            assert_eq!((fault.reason(), fault.message(), fault.grpc()), (reason, "all of it", Some(code)));
            let fault = through(&fault, false);
            assert_eq!(
                (fault.reason(), fault.code(), fault.grpc()),
                (reason, reason.row().jsonrpc, Some(code))
            );
            let again = write(&fault, true).status;
            let rich = pb::Status::decode(again.details()).unwrap();
            assert_eq!((again.code(), rich.message, rich.details), (code, "all of it".into(), details));
        }
    }

    #[test]
    fn an_agent_does_not_speak_for_the_mesh() {
        let metadata = [(NEVER_PROCESSED, "true"), (HTTP, "401"), (CODE, "7"), (GRPC, "16")];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned()));
        for reason in ["AGENT_NOT_FOUND", "JSONRPC_ERROR", "PEER_UNTRUSTED"] {
            let detail = error_info(reason, DRAGOMAN_DOMAIN, HashMap::from(metadata.clone()));
            for fault in [
                of_agent(&said(Code::Unavailable, vec![detail.clone()]), Operation::GetTask),
                of_agent(&said(Code::FailedPrecondition, vec![detail]), Operation::CancelTask),
            ] {
                let far = through(&fault, false);
                for fault in [fault, far] {
                    assert!(!fault.is_never_processed() && fault.http().is_none(), "{fault:?}");
                    assert!(matches!(fault.reason(), Reason::AgentUnreachable | Reason::TaskNotCancelable));
                    assert_eq!(fault.code(), fault.row().jsonrpc);
                }
            }
        }
    }

    #[test]
    fn even_a_reason_with_too_much_beside_it_fits() {
        let metadata = HashMap::from([("k".to_owned(), "x".repeat(10 << 10))]);
        let detail = error_info("TASK_NOT_FOUND", A2A_DOMAIN, metadata);
        let fault = of_agent(&said(Code::NotFound, vec![detail]), Operation::GetTask);
        let written = write(&fault, true);
        assert!(written.truncated.is_some() && written.status.details().len() < 200);
        assert_eq!(through(&fault, true).reason(), Reason::TaskNotFound);
    }

    #[test]
    fn details_that_are_no_base64_are_dropped() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert(DETAILS, "not base64!".parse().unwrap());
        sanitize(&mut headers);
        let fault = of_peer(&Status::from_header_map(&headers).unwrap(), Operation::CancelTask);
        assert_eq!(fault.reason(), Reason::TaskNotFound);
    }
}
