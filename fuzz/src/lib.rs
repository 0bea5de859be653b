//! What the fuzz targets share: the root messages, both directions of the codec, and how to compare what comes out.

pub mod smuggle;

use dragoman::a2a::Operation;
use dragoman::codec::schema::{Message, request, response};
use dragoman::codec::text::Scanner;
use dragoman::codec::{Error, Form, Reading, read, write};
use dragoman::proto;
use serde_json::Value;

/// How large the canonical form may get: far more than the fuzzer sends.
pub const LIMIT: usize = 1 << 24;

/// A message that may stand at the root, chosen by the first byte, and the other bytes.
pub fn choose(data: &[u8]) -> Option<(&'static Message, &[u8])> {
    let (first, rest) = data.split_first()?;
    let roots = Operation::ALL.map(|operation| [request(operation), response(operation)]);
    let roots = roots.as_flattened();
    Some((roots[usize::from(*first) % roots.len()], rest))
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    Request,
    Response,
}

impl Side {
    /// Text → wire.
    pub fn read(self, form: Form, operation: Operation, text: &str) -> Result<Vec<u8>, Error> {
        let mut scan = Scanner::new(text);
        let wire = match self {
            Self::Request => form.read_request(&mut scan, operation, LIMIT)?,
            Self::Response => form.read_response(&mut scan, operation, LIMIT)?,
        };
        scan.end()?;
        Ok(wire)
    }

    /// Wire → text.
    pub fn write(self, form: Form, operation: Operation, wire: &[u8]) -> Result<String, Error> {
        let mut out = Vec::new();
        match self {
            Self::Request => form.write_request(operation, wire, &mut out)?,
            Self::Response => form.write_response(operation, wire, &mut out)?,
        }
        Ok(String::from_utf8(out).expect("JSON is UTF-8"))
    }
}

/// One of the RPCs.
pub fn operation(number: u8) -> Operation {
    let rpcs: Vec<_> = Operation::ALL.into_iter().filter(|operation| *operation != Operation::GetAgentCard).collect();
    rpcs[usize::from(number) % rpcs.len()]
}

/// A side and an operation, chosen by the first byte, and the other bytes.
pub fn ask(data: &[u8]) -> Option<(Side, Operation, &[u8])> {
    let (first, rest) = data.split_first()?;
    let side = if first & 1 == 0 { Side::Request } else { Side::Response };
    Some((side, operation(first >> 1), rest))
}

/// Text → wire, as of a reply.
pub fn wire(message: &'static Message, text: &str) -> Result<Vec<u8>, Error> {
    read(message, text, Reading::Reply, LIMIT)
}

/// Wire → text.
pub fn json(message: &'static Message, wire: &[u8]) -> Result<String, Error> {
    let mut out = Vec::new();
    write(message, wire, &mut out)?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

/// Takes a text that the codec wrote across once more and checks that nothing but the order of members changes, and
/// from then on nothing at all.
pub fn crosses_unchanged(message: &'static Message, text: &str) {
    let cross =
        |text: &str| json(message, &wire(message, text).expect("own text is read")).expect("and written");
    let (once, twice) = (cross(text), cross(&cross(text)));
    assert_eq!(once, twice);
    assert_eq!((letters(text), as_doubles(text)), (letters(&once), as_doubles(&once)), "{text}\n{once}");
}

/// What a text is made of, in whatever order.
pub fn letters(text: &str) -> Vec<u8> {
    let mut letters = text.as_bytes().to_vec();
    letters.sort_unstable();
    letters
}

/// JSON as serde reads it, with every number as a double.
pub fn as_doubles(text: &str) -> Value {
    fn convert(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(convert),
            Value::Object(members) => members.values_mut().for_each(convert),
            Value::Number(number) => *value = number.as_f64().into(),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    convert(&mut value);
    value
}

/// The message as prost reads and writes it: merged, without unknown fields and without defaults.
pub fn through_prost(message: &'static Message, wire: &[u8]) -> Option<Vec<u8>> {
    fn through<M: prost::Message + Default>(wire: &[u8]) -> Option<Vec<u8>> {
        M::decode(wire).ok().map(|message| message.encode_to_vec())
    }
    match message.name {
        "AgentCard" => through::<proto::AgentCard>(wire),
        "ListTasksRequest" => through::<proto::ListTasksRequest>(wire),
        "ListTasksResponse" => through::<proto::ListTasksResponse>(wire),
        "SendMessageRequest" => through::<proto::SendMessageRequest>(wire),
        "SendMessageResponse" => through::<proto::SendMessageResponse>(wire),
        "StreamResponse" => through::<proto::StreamResponse>(wire),
        "Task" => through::<proto::Task>(wire),
        "TaskPushNotificationConfig" => through::<proto::TaskPushNotificationConfig>(wire),
        _ => None,
    }
}
