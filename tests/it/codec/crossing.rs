//! Any message of 1.0 through 0.3 and back: nothing may differ but what `docs/dialects.md` says is lost.

use dragoman::a2a::Operation;
use dragoman::codec::{Form, schema};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value as Field};
use serde_json::{Map, Value};

use super::dialects::Side;
use super::random::Choices;
use crate::harness::json::{canonical, value};
use crate::schema::pool;

/// Members that 0.3 has no room for.
const LOST: [&str; 7] =
    ["deviceCode", "nextPageToken", "pageSize", "pageToken", "pkceRequired", "supportedInterfaces", "tenant"];

/// What no dialect can say: a part without content, an answer that is none.
fn mend(message: &mut DynamicMessage) {
    let missing = match message.descriptor().name() {
        "Part" => Some(("text", Field::String("mended".into()))),
        "SendMessageResponse" | "StreamResponse" => {
            let task = pool().get_message_by_name("lf.a2a.v1.Task").unwrap();
            Some(("task", Field::Message(DynamicMessage::new(task))))
        }
        _ => None,
    };
    if let Some((name, value)) = missing
        && message.descriptor().oneofs().next().unwrap().fields().all(|field| !message.has_field(&field))
    {
        message.set_field_by_name(name, value);
    }
    for (_, value) in message.fields_mut() {
        match value {
            Field::Message(inner) => mend(inner),
            Field::List(list) => list.iter_mut().filter_map(Field::as_message_mut).for_each(mend),
            Field::Map(map) => map.values_mut().filter_map(Field::as_message_mut).for_each(mend),
            _ => {}
        }
    }
}

/// What is left of a text of 1.0 without what is lost, and without defaults, which mean the same when they are left out.
fn kept(name: &str, value: Value) -> Option<Value> {
    match value {
        _ if LOST.contains(&name) => None,
        // It cannot be told from the one that says that data is wrapped.
        Value::Object(object) if name == "metadata" && object.is_empty() => None,
        // Whatever stands in there is nobody's but the agents'.
        value @ Value::Object(_) if ["metadata", "data", "params", "header"].contains(&name) => Some(value),
        Value::Object(object) => {
            let is_part =
                ["text", "raw", "url", "data"].into_iter().any(|content| object.contains_key(content));
            let is_file = object.contains_key("raw") || object.contains_key("url");
            let of_files = |name: &str| is_part && !is_file && ["filename", "mediaType"].contains(&name);
            // The webhook of a task that is not there yet.
            let of_a_task = |member: &str| name == "taskPushNotificationConfig" && member == "taskId";
            let members = object.into_iter().filter(|(name, _)| !of_files(name) && !of_a_task(name));
            let members = members.filter_map(|(name, value)| Some((name.clone(), kept(&name, value)?)));
            let members: Map<String, Value> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        Value::Array(list) => {
            let list: Vec<Value> =
                list.into_iter().map(|element| kept("", element).unwrap_or(Value::Null)).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        // Who says nothing of it is taken for the agent, and for unknown.
        Value::String(text)
            if ["ROLE_UNSPECIFIED", "ROLE_AGENT", "TASK_STATE_UNSPECIFIED"].contains(&&*text) =>
        {
            None
        }
        Value::String(text) if text.is_empty() && name != "text" && name != "raw" && name != "url" => None,
        Value::Bool(false) | Value::Null if name != "data" => None,
        other => Some(other),
    }
}

fn any_message() -> impl Strategy<Value = (Operation, bool, Form, Vec<u8>)> {
    let operations: Vec<_> =
        Operation::ALL.into_iter().filter(|operation| *operation != Operation::GetAgentCard).collect();
    (
        prop::sample::select(operations),
        any::<bool>(),
        prop::sample::select(vec![Form::V0_3, Form::V0_3Rest]),
        prop::collection::vec(any::<u8>(), 0..2000),
    )
}

/// A random message of an operation, and the way it goes.
fn message(operation: Operation, is_request: bool, bytes: &[u8]) -> (Side, Vec<u8>) {
    let (side, table) = if is_request {
        (Side::Request, schema::request(operation))
    } else {
        (Side::Response, schema::response(operation))
    };
    let Some(descriptor) = pool().get_message_by_name(&format!("lf.a2a.v1.{}", table.name)) else {
        return (side, Vec::new());
    };
    let mut message = Choices(bytes).message(&descriptor, 16);
    mend(&mut message);
    (side, message.encode_to_vec())
}

/// A card's interfaces are those of whoever serves it, each of them once.
fn without_interfaces(text: &str) -> String {
    match value(text) {
        Value::Object(mut object) if object.contains_key("preferredTransport") => {
            for name in ["additionalInterfaces", "preferredTransport", "url"] {
                object.remove(name);
            }
            Value::Object(object).to_string()
        }
        _ => canonical(text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_what_is_documented_is_lost_between_the_dialects((operation, is_request, form, bytes) in any_message()) {
        let (side, wire) = message(operation, is_request, &bytes);
        // A message that prost wrote may be one that a request must not be: it is read as an agent's.
        let given = side.write(Form::V1_0, operation, &wire).unwrap();
        let Ok(wire) = side.read(Form::V1_0, operation, &given) else { return Ok(()) };
        let old = side.write(form, operation, &wire).unwrap();
        let back = side.read(form, operation, &old).unwrap_or_else(|error| panic!("{error}: {old}"));
        let back = side.write(Form::V1_0, operation, &back).unwrap();
        prop_assert_eq!(kept("", value(&given)), kept("", value(&back)), "{} {}\n{}", operation, old, given);
    }

    #[test]
    fn what_0_3_says_comes_back_to_the_letter((operation, is_request, form, bytes) in any_message()) {
        let (side, wire) = message(operation, is_request, &bytes);
        let given = side.write(form, operation, &wire).unwrap();
        let Ok(wire) = side.read(form, operation, &given) else { return Ok(()) };
        let back = side.write(form, operation, &wire).unwrap();
        prop_assert_eq!(without_interfaces(&given), without_interfaces(&back), "{}", operation);
    }
}
