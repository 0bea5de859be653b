//! What can go wrong with a call, as a value: one type, and one table that says how each reason looks on each binding.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use tonic::Code;

use super::{Dialect, Params};

/// The `ErrorInfo` domain of the protocol's own errors (A2A specification §9.5, §10.6).
pub const A2A_DOMAIN: &str = "a2a-protocol.org";
/// The `ErrorInfo` domain of the mesh's errors.
pub const DRAGOMAN_DOMAIN: &str = "dragoman.dev";

/// Why a call failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// No agent of that name.
    AgentNotFound,
    /// The agent, or its sidecar, answered something that is not the protocol.
    AgentProtocolError,
    /// Nothing listens where the agent should be.
    AgentUnreachable,
    /// The agent has no card.
    CardNotFound,
    /// No configured key has signed the agent's card.
    CardUntrusted,
    /// The agent does not take or give that media type.
    ContentTypeNotSupported,
    /// The caller's time ran out.
    DeadlineExceeded,
    /// The agent has no extended card.
    ExtendedAgentCardNotConfigured,
    /// The agent insists on an extension that the caller did not name.
    ExtensionSupportRequired,
    /// Something broke that should not.
    Internal,
    /// The agent says that its own answer was no good.
    InvalidAgentResponse,
    /// The parameters do not fit the operation.
    InvalidParams,
    /// The envelope is no request.
    InvalidRequest,
    /// An agent's own error with a code that no table lists.
    JsonrpcError,
    /// More bytes than `limits.message`.
    MessageTooLarge,
    /// No such operation.
    MethodNotFound,
    /// Not JSON at all.
    ParseError,
    /// The peer's identity is not the one expected of this agent.
    PeerMismatch,
    /// The peer's certificate does not verify.
    PeerUntrusted,
    /// A policy does not allow it.
    PermissionDenied,
    /// The agent calls no webhooks.
    PushNotificationNotSupported,
    /// Too much at once.
    RateLimited,
    /// A stream ended before it was over.
    StreamBroken,
    /// The task cannot be given up any more.
    TaskNotCancelable,
    /// No such task.
    TaskNotFound,
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// The agent does not do that.
    UnsupportedOperation,
    /// The agent does not speak that version.
    VersionNotSupported,
}

/// One row of the table: how a reason looks on each binding.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The reason that the row is about.
    pub reason: Reason,
    /// `ErrorInfo.reason`.
    pub name: &'static str,
    /// `ErrorInfo.domain`.
    pub domain: &'static str,
    /// The code in JSON-RPC.
    pub jsonrpc: i64,
    /// The status in gRPC.
    pub grpc: Code,
    /// The status in HTTP+JSON.
    pub http: StatusCode,
}

/// The one table of faults: `dragoman.dev` first, then A2A, then JSON-RPC.
#[rustfmt::skip]
pub const TABLE: [Row; 28] = {
    use Reason as R;
    use StatusCode as S;

    const fn own(reason: R, name: &'static str, grpc: Code, http: S) -> Row {
        Row { reason, name, domain: DRAGOMAN_DOMAIN, jsonrpc: -32603, grpc, http }
    }
    const fn a2a(reason: R, name: &'static str, jsonrpc: i64, grpc: Code, http: S) -> Row {
        Row { reason, name, domain: A2A_DOMAIN, jsonrpc, grpc, http }
    }
    [
        own(R::AgentNotFound, "AGENT_NOT_FOUND", Code::Unavailable, S::NOT_FOUND),
        own(R::AgentProtocolError, "AGENT_PROTOCOL_ERROR", Code::Internal, S::BAD_GATEWAY),
        own(R::AgentUnreachable, "AGENT_UNREACHABLE", Code::Unavailable, S::SERVICE_UNAVAILABLE),
        own(R::CardNotFound, "CARD_NOT_FOUND", Code::NotFound, S::NOT_FOUND),
        own(R::CardUntrusted, "CARD_UNTRUSTED", Code::FailedPrecondition, S::BAD_GATEWAY),
        own(R::DeadlineExceeded, "DEADLINE_EXCEEDED", Code::DeadlineExceeded, S::GATEWAY_TIMEOUT),
        own(R::JsonrpcError, "JSONRPC_ERROR", Code::Unknown, S::INTERNAL_SERVER_ERROR),
        own(R::MessageTooLarge, "MESSAGE_TOO_LARGE", Code::ResourceExhausted, S::PAYLOAD_TOO_LARGE),
        own(R::PeerMismatch, "PEER_MISMATCH", Code::Unavailable, S::BAD_GATEWAY),
        own(R::PeerUntrusted, "PEER_UNTRUSTED", Code::Unavailable, S::BAD_GATEWAY),
        own(R::PermissionDenied, "PERMISSION_DENIED", Code::PermissionDenied, S::FORBIDDEN),
        own(R::RateLimited, "RATE_LIMITED", Code::ResourceExhausted, S::TOO_MANY_REQUESTS),
        own(R::StreamBroken, "STREAM_BROKEN", Code::Unavailable, S::BAD_GATEWAY),
        own(R::Unauthenticated, "UNAUTHENTICATED", Code::Unauthenticated, S::UNAUTHORIZED),

        a2a(R::TaskNotFound, "TASK_NOT_FOUND", -32001, Code::NotFound, S::NOT_FOUND),
        a2a(R::TaskNotCancelable, "TASK_NOT_CANCELABLE", -32002, Code::FailedPrecondition, S::BAD_REQUEST),
        a2a(R::PushNotificationNotSupported, "PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, Code::FailedPrecondition, S::BAD_REQUEST),
        a2a(R::UnsupportedOperation, "UNSUPPORTED_OPERATION", -32004, Code::FailedPrecondition, S::BAD_REQUEST),
        a2a(R::ContentTypeNotSupported, "CONTENT_TYPE_NOT_SUPPORTED", -32005, Code::InvalidArgument, S::BAD_REQUEST),
        a2a(R::InvalidAgentResponse, "INVALID_AGENT_RESPONSE", -32006, Code::Internal, S::INTERNAL_SERVER_ERROR),
        a2a(R::ExtendedAgentCardNotConfigured, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", -32007, Code::FailedPrecondition, S::BAD_REQUEST),
        a2a(R::ExtensionSupportRequired, "EXTENSION_SUPPORT_REQUIRED", -32008, Code::FailedPrecondition, S::BAD_REQUEST),
        a2a(R::VersionNotSupported, "VERSION_NOT_SUPPORTED", -32009, Code::FailedPrecondition, S::BAD_REQUEST),

        a2a(R::ParseError, "PARSE_ERROR", -32700, Code::InvalidArgument, S::BAD_REQUEST),
        a2a(R::InvalidRequest, "INVALID_REQUEST", -32600, Code::InvalidArgument, S::BAD_REQUEST),
        a2a(R::MethodNotFound, "METHOD_NOT_FOUND", -32601, Code::Unimplemented, S::NOT_FOUND),
        a2a(R::InvalidParams, "INVALID_PARAMS", -32602, Code::InvalidArgument, S::BAD_REQUEST),
        a2a(R::Internal, "INTERNAL", -32603, Code::Internal, S::INTERNAL_SERVER_ERROR),
    ]
};

impl Reason {
    /// How the reason looks on each binding.
    pub fn row(self) -> &'static Row {
        static ROWS: [Row; 28] = TABLE;
        ROWS.iter().find(|row| row.reason == self).unwrap_or(&ROWS[ROWS.len() - 1])
    }

    /// The reason of a JSON-RPC code that the tables list, if it has one of its own.
    pub fn of_jsonrpc(code: i64) -> Option<Self> {
        TABLE.iter().find(|row| row.domain == A2A_DOMAIN && row.jsonrpc == code).map(|row| row.reason)
    }

    /// The reason that an `ErrorInfo` names.
    pub fn of_error_info(domain: &str, name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.domain == domain && row.name == name).map(|row| row.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// One field that is wrong, as `google.rpc.BadRequest` reports it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The JSON path, such as `message.parts[2].raw`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// The error object that an agent sent itself, so that it can be handed on exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentError {
    /// `error.code`, listed or not.
    pub code: i64,
    /// `error.data` as a `google.protobuf.Value` on the wire; `None` if the member was absent.
    pub data: Option<Bytes>,
    /// The version of A2A that it was said in: what `data` may be depends on it.
    pub dialect: Dialect,
}

/// A call that failed: why, what the caller is told, what the operator is told, and what travels beside.
#[derive(Clone, Debug)]
pub struct Fault(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    reason: Reason,
    message: String,
    cause: Option<String>,
    violations: Vec<Violation>,
    agent_error: Option<AgentError>,
    http: Option<StatusCode>,
    grpc: Option<Code>,
    retry_after: Option<Duration>,
    never_processed: bool,
    params: Params,
}

impl Fault {
    /// A fault with a message that the caller may read: it must not tell secrets of the mesh.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            message: message.into(),
            cause: None,
            violations: Vec::new(),
            agent_error: None,
            http: None,
            grpc: None,
            retry_after: None,
            never_processed: false,
            params: Params::default(),
        }))
    }

    /// An agent's own error object.
    pub fn of_agent(error: AgentError, message: impl Into<String>) -> Self {
        let mut fault = Self::new(Reason::of_jsonrpc(error.code).unwrap_or(Reason::JsonrpcError), message);
        fault.0.agent_error = Some(error);
        fault
    }

    /// The reason of an HTTP status that an agent answered without a JSON-RPC body, if that status has a meaning
    /// beyond "something broke": 401, 403, 429 and 503 keep it all the way (A2A specification §7.3).
    pub fn of_http(status: StatusCode, message: impl Into<String>) -> Option<Self> {
        let reason = match status {
            StatusCode::UNAUTHORIZED => Reason::Unauthenticated,
            StatusCode::FORBIDDEN => Reason::PermissionDenied,
            StatusCode::TOO_MANY_REQUESTS => Reason::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Reason::AgentUnreachable,
            _ => return None,
        };
        let mut fault = Self::new(reason, message);
        fault.0.http = Some(status);
        Some(fault)
    }

    /// An agent's own error that it has said in gRPC under that status, and why: JSON-RPC has no codes for some of its
    /// reasons.
    pub fn of_agent_in_grpc(
        error: AgentError,
        message: impl Into<String>,
        status: Code,
        reason: Reason,
    ) -> Self {
        let mut fault = Self::of_agent(error, message);
        fault.0.grpc = Some(status);
        fault.0.reason = reason;
        fault
    }

    /// Adds what only the operator is told.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Adds a field that is wrong.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.0.violations.push(Violation { field: field.into(), description: description.into() });
        self
    }

    /// Adds after what time trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Marks the call as surely not processed by anyone, so that it may be sent again.
    #[must_use]
    pub fn never_processed(mut self) -> Self {
        self.0.never_processed = true;
        self
    }

    /// Replaces what travels beside the fault: challenges, extensions.
    #[must_use]
    pub fn with_params(mut self, params: Params) -> Self {
        self.0.params = params;
        self
    }

    /// Why the call failed.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// How the reason looks on each binding.
    pub fn row(&self) -> &'static Row {
        self.0.reason.row()
    }

    /// The JSON-RPC code: the agent's own, or the table's.
    pub fn code(&self) -> i64 {
        self.0.agent_error.as_ref().map_or_else(|| self.row().jsonrpc, |error| error.code)
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What only the operator is told.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The fields that are wrong.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// The agent's own error object.
    pub fn agent_error(&self) -> Option<&AgentError> {
        self.0.agent_error.as_ref()
    }

    /// The HTTP status that the agent itself answered with.
    pub fn http(&self) -> Option<StatusCode> {
        self.0.http
    }

    /// The gRPC status that the agent itself answered with.
    pub fn grpc(&self) -> Option<Code> {
        self.0.grpc
    }

    /// After what time trying again makes sense.
    pub fn retry_info(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the call was surely not processed by anyone.
    pub fn is_never_processed(&self) -> bool {
        self.0.never_processed
    }

    /// What travels beside the fault.
    pub fn params(&self) -> &Params {
        &self.0.params
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason(), self.message())?;
        match self.cause() {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_one_row() {
        for row in TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.reason == row.reason).count(), 1, "{}", row.name);
            assert_eq!(row.reason.row().name, row.name);
            assert_eq!(Reason::of_error_info(row.domain, row.name), Some(row.reason));
        }
    }

    #[test]
    fn only_the_protocols_own_codes_name_a_reason() {
        assert_eq!(Reason::of_jsonrpc(-32001), Some(Reason::TaskNotFound));
        assert_eq!(Reason::of_jsonrpc(-32603), Some(Reason::Internal));
        assert_eq!(Reason::of_jsonrpc(-32099), None);
        let fault = Fault::of_agent(AgentError { code: 7, data: None, dialect: Dialect::V1_0 }, "seven");
        assert_eq!((fault.reason(), fault.code()), (Reason::JsonrpcError, 7));
    }

    #[test]
    fn the_caller_is_told_less_than_the_operator() {
        let fault = Fault::new(Reason::PeerMismatch, "not the expected peer").because("spiffe://a/b");
        assert_eq!(fault.message(), "not the expected peer");
        assert_eq!(fault.to_string(), "PEER_MISMATCH: not the expected peer (spiffe://a/b)");
    }
}
