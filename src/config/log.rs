//! `log`: what is written to stderr.

use serde::Serialize;

use super::{
    check::Check,
    choice::{FORMATS, LEVELS, LogFormat, LogLevel},
    field::Field,
    problem::Refused,
    raw::RawLog,
    words,
};

/// What is written to stderr.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least that is worth a line.
    pub level: LogLevel,
}

impl Log {
    pub(super) fn check(check: &Check<'_>, field: Field<RawLog>) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let format = check.or(LogFormat::Json, raw.format, |text| words::choice(text, &FORMATS));
        let level = check.or(LogLevel::Info, raw.level, |text| words::choice(text, &LEVELS));
        Ok(Self { format: format?, level: level? })
    }
}
