//! Checked values as the YAML spells them, for the admin page.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use serde::{Serialize, Serializer};

use crate::a2a::Name;

/// Whatever it prints.
pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Whatever it prints, if it is there.
pub(super) fn some_text<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// The name of an agent in this pod.
pub(super) fn first_label<S: Serializer>(name: &Name, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.agent())
}

/// A map by full names.
pub(super) fn by_name<S: Serializer, T: Serialize>(
    map: &BTreeMap<Name, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(name, value)| (name.as_str(), value)))
}

/// A size in the largest unit that divides it.
pub(super) fn size<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    const MIB: usize = 1024 * 1024;
    match bytes % MIB {
        0 => serializer.collect_str(&format_args!("{}MiB", bytes / MIB)),
        _ => serializer.collect_str(&format_args!("{}KiB", bytes / 1024)),
    }
}

/// A duration in seconds, or in milliseconds if it has to be.
pub(super) fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match duration.subsec_nanos() {
        0 => serializer.collect_str(&format_args!("{}s", duration.as_secs())),
        _ => serializer.collect_str(&format_args!("{}ms", duration.as_millis())),
    }
}

/// A bound on time, or `none`.
pub(super) fn duration_or_none<S: Serializer>(
    bound: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bound {
        Some(bound) => duration(bound, serializer),
        None => serializer.serialize_str("none"),
    }
}
