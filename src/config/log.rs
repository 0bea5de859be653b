//! `log`: what is written to stderr.

use serde::Serialize;

use super::{check::Check, field::Field, problem::Refused, raw::RawLog, words};

/// What is written to stderr.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least that is worth a line.
    pub level: LogLevel,
}

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

impl Log {
    pub(super) fn check(check: &Check<'_>, field: Field<RawLog>) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let format = check.or(LogFormat::Json, raw.format, |text| words::choice(text, &FORMATS));
        let level = check.or(LogLevel::Info, raw.level, |text| words::choice(text, &LEVELS));
        Ok(Self { format: format?, level: level? })
    }
}
