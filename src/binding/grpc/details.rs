//! The `google.rpc` details of an error, as gRPC has them and as A2A writes them in JSON (specification §9.5): a list of
//! objects, each with its `@type`. What an agent says in one form arrives in the other, and back again.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::Any;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tonic_types::pb;

use crate::codec;
use crate::codec::text::Scanner;
use crate::codec::wire::{Fields, append};

pub(super) const BAD_REQUEST: &str = "google.rpc.BadRequest";
pub(super) const ERROR_INFO: &str = "google.rpc.ErrorInfo";
pub(super) const RETRY_INFO: &str = "google.rpc.RetryInfo";
pub(super) const STRUCT: &str = "google.protobuf.Struct";
pub(super) const VALUE: &str = "google.protobuf.Value";

/// The field `struct_value` of a `google.protobuf.Value`.
const STRUCT_VALUE: u32 = 5;

/// A detail that is that message.
pub(super) fn any(name: &str, value: Vec<u8>) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value }
}

/// The name of the message that a detail is: behind the last slash of its type URL.
pub(super) fn name(detail: &Any) -> &str {
    detail.type_url.rsplit('/').next().unwrap_or_default()
}

/// A detail in JSON.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Detail {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Texts; agents that speak JSON write other things too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    field_violations: Vec<FieldViolation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay: Option<String>,
    /// An object is a `Struct`. A text is base64: the whole message, because there is more in it than the other members say.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct FieldViolation {
    field: String,
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

/// The `error.data` that says what these details say, as a `google.protobuf.Value`; `None` if there are none.
pub(super) fn to_data(details: &[Any]) -> Option<Vec<u8>> {
    if details.is_empty() {
        return None;
    }
    let data = |objects: Vec<Detail>| {
        let text = serde_json::to_string(&objects).ok()?;
        codec::read_value(&mut Scanner::new(&text), usize::MAX).ok()
    };
    // A `Struct` may be just so deep that it does not fit into the list.
    data(details.iter().map(Detail::of).collect())
        .or_else(|| data(details.iter().map(Detail::opaque).collect()))
}

/// The details that an agent's `error.data` is, as far as gRPC has messages for them.
pub(super) fn of_data(data: &[u8]) -> Vec<Any> {
    let mut json = Vec::new();
    let read = codec::write_value(data, &mut json).ok();
    let list: Option<Vec<Box<RawValue>>> = read.and_then(|()| serde_json::from_slice(&json).ok());
    let details = list.into_iter().flatten();
    details.filter_map(|detail| serde_json::from_str::<Detail>(detail.get()).ok()?.to_any()).collect()
}

impl Detail {
    fn of(detail: &Any) -> Self {
        let told = Self::told(detail).unwrap_or_default();
        let told = Self { kind: detail.type_url.clone(), ..told };
        match told.to_any() {
            Some(again) if is_same(&again, detail) => told,
            _ => Self { value: base64(&detail.value), ..told },
        }
    }

    fn opaque(detail: &Any) -> Self {
        Self { kind: detail.type_url.clone(), value: base64(&detail.value), ..Self::default() }
    }

    /// What is known of it.
    fn told(detail: &Any) -> Option<Self> {
        let mut told = Self::default();
        match name(detail) {
            ERROR_INFO => {
                let info = pb::ErrorInfo::decode(&*detail.value).ok()?;
                (told.reason, told.domain) = (Some(info.reason), Some(info.domain));
                let texts = info.metadata.into_iter();
                told.metadata =
                    texts.filter_map(|(key, text)| Some((key, to_raw_value(&text).ok()?))).collect();
            }
            BAD_REQUEST => {
                let bad = pb::BadRequest::decode(&*detail.value).ok()?;
                let violation = |violation: pb::bad_request::FieldViolation| FieldViolation {
                    field: violation.field,
                    description: violation.description,
                    reason: violation.reason,
                };
                told.field_violations = bad.field_violations.into_iter().map(violation).collect();
            }
            RETRY_INFO => {
                let retry = pb::RetryInfo::decode(&*detail.value).ok()?;
                told.retry_delay = retry.retry_delay.map(|delay| delay.to_string());
            }
            STRUCT => {
                let (mut value, mut json) = (Vec::new(), Vec::new());
                append(&mut value, STRUCT_VALUE, &detail.value);
                codec::write_value(&value, &mut json).ok()?;
                told.value = RawValue::from_string(String::from_utf8(json).ok()?).ok();
            }
            _ => return None,
        }
        Some(told)
    }

    fn to_any(&self) -> Option<Any> {
        let kind = self.kind.rsplit('/').next()?;
        let value = match (&self.value, kind) {
            (Some(json), STRUCT) if json.get().starts_with('{') => structure(json.get())?,
            (Some(json), _) => whole(json.get())?,
            (None, ERROR_INFO) => {
                let text = |json: &RawValue| {
                    serde_json::from_str(json.get()).unwrap_or_else(|_| json.get().to_owned())
                };
                let info = pb::ErrorInfo {
                    reason: self.reason.clone().unwrap_or_default(),
                    domain: self.domain.clone().unwrap_or_default(),
                    metadata: self.metadata.iter().map(|(key, json)| (key.clone(), text(json))).collect(),
                };
                info.encode_to_vec()
            }
            (None, BAD_REQUEST) => {
                let violation = |violation: &FieldViolation| pb::bad_request::FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                    reason: violation.reason.clone(),
                    ..Default::default()
                };
                let violations = self.field_violations.iter().map(violation).collect();
                pb::BadRequest { field_violations: violations }.encode_to_vec()
            }
            (None, RETRY_INFO) => {
                let delay = self.retry_delay.as_ref().map(|delay| delay.parse()).transpose().ok()?;
                pb::RetryInfo { retry_delay: delay }.encode_to_vec()
            }
            _ => return None,
        };
        let type_url =
            if self.kind.contains('/') { self.kind.clone() } else { any(kind, Vec::new()).type_url };
        Some(Any { type_url, value })
    }
}

/// Whether nothing was lost: the order in a map is nothing.
fn is_same(one: &Any, other: &Any) -> bool {
    let info = |detail: &Any| pb::ErrorInfo::decode(&*detail.value).ok();
    one.value == other.value
        || (name(one) == ERROR_INFO && one.value.len() == other.value.len() && info(one) == info(other))
}

fn base64(bytes: &[u8]) -> Option<Box<RawValue>> {
    to_raw_value(&base64_simd::STANDARD.encode_to_string(bytes)).ok()
}

/// The message that a text has in base64. Messages of Google's own may have a text there that is none.
fn whole(json: &str) -> Option<Vec<u8>> {
    let text: String = serde_json::from_str(json).ok()?;
    let bytes = base64_simd::STANDARD.decode_to_vec(&text).ok()?;
    Fields::new(&bytes).all(|field| field.is_ok()).then_some(bytes)
}

/// The `Struct` that an object is.
fn structure(json: &str) -> Option<Vec<u8>> {
    let value = codec::read_value(&mut Scanner::new(json), usize::MAX).ok()?;
    let field = Fields::new(&value).next()?.ok()?;
    (field.number == STRUCT_VALUE).then(|| field.value.bytes().ok().map(<[u8]>::to_vec))?
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn json(details: &[Any]) -> String {
        let mut text = Vec::new();
        codec::write_value(&to_data(details).unwrap(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn info(pairs: &[(&str, &str)]) -> pb::ErrorInfo {
        let metadata: HashMap<_, _> =
            pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        pb::ErrorInfo { reason: "TASK_NOT_FOUND".into(), domain: "a2a-protocol.org".into(), metadata }
    }

    #[test]
    fn what_json_can_say_is_said_in_json_and_comes_back_as_it_was() {
        let violation = |field: &str, reason: &str| pb::bad_request::FieldViolation {
            field: field.into(),
            description: "d".into(),
            reason: reason.into(),
            localized_message: None,
        };
        let bad = pb::BadRequest { field_violations: vec![violation("a.b", ""), violation("c", "R")] };
        let delay = prost_types::Duration { seconds: 1, nanos: 500_000_000 };
        let retry = pb::RetryInfo { retry_delay: Some(delay) };
        let details = [
            any(ERROR_INFO, info(&[("n", "1"), ("m", "\"x\"")]).encode_to_vec()),
            any(BAD_REQUEST, bad.encode_to_vec()),
            any(RETRY_INFO, retry.encode_to_vec()),
            any(STRUCT, structure(r#"{"b":1.0,"a":[null,{}]}"#).unwrap()),
        ];
        let text = json(&details);
        let expected = concat!(
            r#"[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","#,
            r#""domain":"a2a-protocol.org","metadata":{"m":"\"x\"","n":"1"}},"#,
            r#"{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":"#,
            r#"[{"field":"a.b","description":"d"},{"field":"c","description":"d","reason":"R"}]},"#,
            r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"},"#,
            r#"{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"b":1.0,"a":[null,{}]}}]"#,
        );
        assert_eq!(text, expected);
        let again = of_data(&to_data(&details).unwrap());
        assert_eq!(again.len(), details.len());
        for (again, detail) in again.iter().zip(&details) {
            assert_eq!(again.type_url, detail.type_url);
            assert!(is_same(again, detail), "{again:?} {detail:?}");
        }
    }

    #[test]
    fn what_json_cannot_say_comes_back_as_it_was_too() {
        let later = {
            let mut later = info(&[]).encode_to_vec();
            append(&mut later, 99, b"of tomorrow");
            later
        };
        // Deeper than our JSON goes.
        let deep = (0..60).fold(Vec::new(), |inner, _| {
            let (mut value, mut entry, mut outer) = (Vec::new(), Vec::new(), Vec::new());
            append(&mut value, STRUCT_VALUE, &inner);
            append(&mut entry, 1, b"a");
            append(&mut entry, 2, &value);
            append(&mut outer, 1, &entry);
            outer
        });
        for (kind, value, told) in [
            ("type.googleapis.com/google.rpc.ErrorInfo", later, Some("TASK_NOT_FOUND")),
            ("type.googleapis.com/google.rpc.ErrorInfo", b"\xff\xff".to_vec(), None),
            ("other.example/a.b.Later", b"\x0a\x01x".to_vec(), None),
            ("type.googleapis.com/google.rpc.Help", Vec::new(), None),
            ("type.googleapis.com/google.protobuf.Struct", deep, None),
        ] {
            let detail = Any { type_url: kind.into(), value };
            let text = json(std::slice::from_ref(&detail));
            assert!(text.contains(&format!(r#""@type":"{kind}""#)), "{text}");
            assert_eq!(told.is_some_and(|told| text.contains(told)), told.is_some(), "{text}");
            let again = of_data(&to_data(std::slice::from_ref(&detail)).unwrap());
            if Fields::new(&detail.value).all(|field| field.is_ok()) {
                assert_eq!(again, [detail], "{text}");
            } else {
                assert!(again.is_empty(), "{text}");
            }
        }
    }

    #[test]
    fn of_json_that_is_no_detail_nothing_is_made() {
        let data = |text: &str| codec::read_value(&mut Scanner::new(text), usize::MAX).unwrap();
        for text in ["null", "{}", "[1, null, {}]", r#"[{"@type":7}]"#, r#"[{"@type":"x/a.B","n":1}]"#] {
            assert!(of_data(&data(text)).is_empty(), "{text}");
        }
        let loose = r#"[{"@type":"google.rpc.ErrorInfo","metadata":{"n":[1.0],"t":"x"}}]"#;
        let [detail] = &of_data(&data(loose))[..] else { panic!("one detail") };
        assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.ErrorInfo");
        let info = pb::ErrorInfo::decode(&*detail.value).unwrap();
        assert_eq!((&*info.metadata["n"], &*info.metadata["t"]), ("[1.0]", "x"));
    }
}
