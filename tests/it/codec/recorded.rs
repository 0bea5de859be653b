//! What official SDKs really said (`tests/golden/sdk`, a file for each lane, as `tests/interop/run --record` kept it): every request and every answer is
//! understood, is something in the other dialect, and comes out as it went in.

use std::fs;
use std::path::Path;

use dragoman::a2a::{Dialect, Operation};
use dragoman::codec::Form;
use dragoman::codec::jsonrpc::{Id, Outcome, read_reply, read_request, write_fault};
use serde_json::{Map, Value};

use super::LIMIT;
use super::dialects::Side;
use crate::harness::json::value;

/// How the lane of a directory looks in JSON, by its name: `js1-rest-03`.
fn form(lane: &str) -> Form {
    match (lane.contains("-rest-"), lane.ends_with("-03")) {
        (_, false) => Form::V1_0,
        (true, true) => Form::V0_3Rest,
        (false, true) => Form::V0_3,
    }
}

/// The operation of a path below the agent's base.
fn operation(method: &str, path: &str) -> Operation {
    use Operation as O;
    let path = path.split('?').next().unwrap();
    let configs = path.contains("/pushNotificationConfigs");
    let one = configs && !path.ends_with("/pushNotificationConfigs");
    match method {
        _ if path.ends_with("message:send") => O::SendMessage,
        _ if path.ends_with("message:stream") => O::SendStreamingMessage,
        _ if path.ends_with(":cancel") => O::CancelTask,
        _ if path.ends_with(":subscribe") => O::SubscribeToTask,
        _ if path.ends_with("/card") || path.ends_with("/extendedAgentCard") => O::GetExtendedAgentCard,
        "POST" if configs => O::CreateTaskPushNotificationConfig,
        "DELETE" => O::DeleteTaskPushNotificationConfig,
        "GET" if one => O::GetTaskPushNotificationConfig,
        "GET" if configs => O::ListTaskPushNotificationConfigs,
        "GET" if path.ends_with("/tasks") => O::ListTasks,
        "GET" => O::GetTask,
        other => panic!("{other} {path}"),
    }
}

/// A value without what means the same when it is left out, and without what has many spellings: moments, and a card's
/// interfaces, each of which is named once.
fn lean(name: &str, value: Value) -> Option<Value> {
    match value {
        _ if ["additionalInterfaces", "protocolVersion", "timestamp"].contains(&name) => None,
        Value::Object(_) if ["metadata", "data"].contains(&name) => Some(value),
        Value::Object(object) => {
            let members =
                object.into_iter().filter_map(|(name, value)| Some((name.clone(), lean(&name, value)?)));
            let members: Map<String, Value> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        Value::Array(list) => {
            let list: Vec<Value> =
                list.into_iter().map(|element| lean("", element).unwrap_or(Value::Null)).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        other => Some(other),
    }
}

/// What an SDK said, through the codec and back, in its own form and in that of the other dialect.
fn crosses(side: Side, form: Form, operation: Operation, said: &Value) -> Result<(), String> {
    let text = said.to_string();
    let wire = side.read(form, operation, &text)?;
    let other = if form == Form::V1_0 { Form::V0_3 } else { Form::V1_0 };
    side.write(other, operation, &wire)?;
    let back = side.write(form, operation, &wire)?;
    let (given, back) = (lean("", said.clone()), lean("", value(&back)));
    if given == back { Ok(()) } else { Err(format!("{given:?}\nis not {back:?}")) }
}

/// An error of JSON-RPC comes out as it went in.
fn error_crosses(form: Form, operation: Operation, answer: &Value) -> Result<(), String> {
    let text = answer.to_string();
    let outcome = read_reply(text.as_bytes(), form, operation, LIMIT).map_err(|error| error.to_string())?;
    let Outcome::Error(fault) = outcome else { return Err("no error".to_owned()) };
    for dialect in [Dialect::V0_3, Dialect::V1_0] {
        let mut out = Vec::new();
        write_fault(&Id::null(), dialect, &fault, &mut out).map_err(|error| error.to_string())?;
        let written: Value = serde_json::from_slice(&out).map_err(|error| error.to_string())?;
        if dialect == form.dialect()
            && lean("", written["error"].clone()) != lean("", answer["error"].clone())
        {
            return Err(format!("{answer} is not {written}"));
        }
    }
    Ok(())
}

/// What is wrong with an exchange, if anything.
fn check(lane: &str, exchange: &Value) -> Result<(), String> {
    let (request, response, form) = (&exchange["request"], &exchange["response"], form(lane));
    let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
    let is_card = path.contains("/.well-known/");
    let is_json_rpc = lane.contains("-jsonrpc-");
    if is_card {
        return card(&response["body"]);
    }
    let operation = if is_json_rpc {
        let text = request["body"].to_string();
        let request = read_request(text.as_bytes(), LIMIT).map_err(|rejected| rejected.fault.to_string())?;
        if request.form != form {
            return Err(format!("{:?} in {lane}", request.form));
        }
        request.operation
    } else {
        operation(method, path)
    };
    let answers = match response["events"].as_array() {
        Some(events) => events.clone(),
        None => vec![response["body"].clone()],
    };
    for answer in answers {
        if is_json_rpc && answer.get("error").is_some_and(|error| !error.is_null()) {
            error_crosses(form, operation, &answer)?;
        } else if is_json_rpc && operation == Operation::DeleteTaskPushNotificationConfig {
            // Nothing, null or an empty object.
            assert!(lean("", answer["result"].clone()).is_none(), "{answer}");
        } else if is_json_rpc {
            crosses(Side::Response, form, operation, &answer["result"])?;
        } else if response["status"].as_u64().unwrap() < 300
            && !answer.is_null()
            && answer.get("error").is_none()
        {
            crosses(Side::Response, form, operation, &answer)?;
        }
    }
    Ok(())
}

/// A card is understood, and can be told in both dialects.
fn card(card: &Value) -> Result<(), String> {
    let read = dragoman::codec::v0_3::card::read(&card.to_string(), LIMIT);
    let wire = read.map_err(|error| error.to_string())?;
    let mut hybrid = Vec::new();
    dragoman::codec::v0_3::card::write_hybrid(&wire, &mut hybrid).map_err(|error| error.to_string())?;
    let hybrid: Value = serde_json::from_slice(&hybrid).map_err(|error| error.to_string())?;
    for name in ["url", "supportedInterfaces", "preferredTransport", "protocolVersion", "skills"] {
        if hybrid.get(name).is_none() {
            return Err(format!("no {name} in {hybrid}"));
        }
    }
    if hybrid["name"] == card["name"] { Ok(()) } else { Err(format!("{hybrid} is not {card}")) }
}

#[test]
fn whatever_the_sdks_have_said_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sdk");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()) {
        let lane = file.file_stem().unwrap().to_str().unwrap();
        let Value::Object(exchanges) = value(&fs::read_to_string(&file).unwrap()) else { panic!("{lane}") };
        for (kind, exchange) in exchanges {
            count += 1;
            if let Err(why) = check(lane, &exchange) {
                wrong.push(format!("{lane}: {kind}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "{count}");
}
