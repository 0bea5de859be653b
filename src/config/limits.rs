//! `limits` and `cards`: bounds on time, size and memory, and how cards are trusted and kept.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

use super::{
    check::Check,
    field::Field,
    problem::Refused,
    raw::{RawCards, RawLimits},
    show, words,
};

/// Bounds on time, size and memory. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The largest message, as JSON text and in canonical form.
    #[serde(serialize_with = "show::size")]
    pub message: usize,
    /// The memory for all messages on their way; at least one message.
    #[serde(serialize_with = "show::size")]
    pub buffered: usize,
    /// The HTTP/2 stream window of the mesh hop; at most 2³¹−1.
    #[serde(serialize_with = "show::size")]
    pub stream_window: usize,
    /// The longest that connecting may take.
    #[serde(serialize_with = "show::duration")]
    pub connect: Duration,
    /// The longest that a call with one answer may take.
    #[serde(serialize_with = "show::duration_or_none")]
    pub unary: Option<Duration>,
    /// The longest that a stream may be silent.
    #[serde(serialize_with = "show::duration_or_none")]
    pub stream_idle: Option<Duration>,
    /// How long calls in flight may take to end once the sidecar is told to stop.
    #[serde(serialize_with = "show::duration")]
    pub drain: Duration,
    /// How many threads do the work: one costs the least for each call, more carry more calls.
    pub threads: u16,
}

/// Agent cards.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cards {
    /// Files with the keys that may sign cards.
    pub keys: Vec<PathBuf>,
    /// How long a card may be kept before it is asked for again.
    #[serde(serialize_with = "show::duration")]
    pub max_age: Duration,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Limits {
    pub(super) fn check(check: &Check<'_>, field: Field<RawLimits>) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let place = raw.buffered.place().or_else(|| raw.message.place());
        let message = check.or(16 * MIB, raw.message, words::size);
        let buffered = check.or(64 * MIB, raw.buffered, words::size);
        let stream_window = check.or(256 * KIB, raw.stream_window, words::size);
        let connect = check.or(Duration::from_secs(2), raw.connect, words::some_time);
        let unary = check.or(None, raw.unary, words::some_time_or_none);
        let stream_idle = check.or(None, raw.stream_idle, words::some_time_or_none);
        let drain = check.or(Duration::from_secs(25), raw.drain, words::duration);
        let threads = check.or(1, raw.threads, words::threads);
        let (message, buffered) = (message?, buffered?);
        if let Some(place) = place.filter(|_| buffered < message) {
            let what = ": limits.message does not fit into limits.buffered; make that one larger";
            return Err(check.refuse(&place, what));
        }
        Ok(Self {
            message,
            buffered,
            stream_window: stream_window?,
            connect: connect?,
            unary: unary?,
            stream_idle: stream_idle?,
            drain: drain?,
            threads: threads?,
        })
    }
}

impl Cards {
    pub(super) fn check(check: &Check<'_>, field: Field<RawCards>) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let keys = check.list(raw.keys, words::path);
        let max_age = check.or(Duration::from_secs(60), raw.max_age, words::duration);
        Ok(Self { keys: keys?.unwrap_or_default(), max_age: max_age? })
    }
}
