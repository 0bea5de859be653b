//! The keys that take one word of a few.

use serde::Serialize;

/// What an agent speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Binding {
    /// Whatever its card says.
    #[serde(rename = "auto")]
    Auto,
    /// Protobuf over gRPC.
    #[serde(rename = "GRPC")]
    Grpc,
    /// Plain HTTP with JSON.
    #[serde(rename = "HTTP+JSON")]
    HttpJson,
    /// JSON-RPC over HTTP.
    #[serde(rename = "JSONRPC")]
    JsonRpc,
}

/// The words for it.
pub(super) const BINDINGS: [(&str, Binding); 4] = [
    ("auto", Binding::Auto),
    ("JSONRPC", Binding::JsonRpc),
    ("HTTP+JSON", Binding::HttpJson),
    ("GRPC", Binding::Grpc),
];

/// Which version of A2A an agent speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum Dialect {
    /// Whatever its card says.
    #[serde(rename = "auto")]
    Auto,
    /// A2A 0.3.
    #[serde(rename = "0.3")]
    V0_3,
    /// A2A 1.0.
    #[serde(rename = "1.0")]
    V1_0,
}

/// The words for it.
pub(super) const DIALECTS: [(&str, Dialect); 3] =
    [("auto", Dialect::Auto), ("0.3", Dialect::V0_3), ("1.0", Dialect::V1_0)];

/// What a controller does.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Knows all agents.
    Directory,
    /// Issues identities.
    Identity,
    /// Puts sidecars into pods.
    Injector,
}

/// The words for it.
pub(super) const ROLES: [(&str, Role); 3] =
    [("directory", Role::Directory), ("identity", Role::Identity), ("injector", Role::Injector)];

/// How a line looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// Text for people.
    Text,
}

/// The words for it.
pub(super) const FORMATS: [(&str, LogFormat); 2] = [("json", LogFormat::Json), ("text", LogFormat::Text)];

/// How much a line matters, most first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Somebody has to look.
    Error,
    /// Somebody should look.
    Warn,
    /// What happens.
    Info,
    /// Why it happens.
    Debug,
    /// Every step.
    Trace,
}

/// The words for it.
pub(super) const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
