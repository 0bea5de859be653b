//! The schema as one table: what `build.rs` read from `proto/`, in the shape that the codec walks.

use crate::a2a::Operation;

/// Slots for the starts of names: many more than the 15 fields that a message can have.
const STARTS: usize = 64;

/// A message of the protocol.
#[derive(Debug)]
pub struct Message {
    /// The name without its package.
    pub name: &'static str,
    /// The fields in the order of their declaration; at most 32.
    pub fields: &'static [Field],
    /// Index of the field by its number, plus one; 0 where there is none.
    by_number: [u8; 16],
    /// The same by the start of its key; where a slot is taken, the next free one.
    by_start: [u8; STARTS],
    /// The fields that a request must have, one bit per index.
    pub required: u32,
    /// The required fields that are written even when they are unset: scalars, lists and maps.
    pub always_written: u32,
    /// Whether a field is a map.
    pub has_map: bool,
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// The number on the wire.
    pub number: u32,
    /// The name in JSON, camelCase.
    pub json: &'static str,
    /// The name in the schema, `snake_case`, which readers of JSON accept too.
    pub proto: &'static str,
    /// The name in JSON as it stands between two members: `,"name":`.
    pub(super) key: &'static str,
    /// The type, of a map that of its values.
    pub kind: Kind,
    /// How many there are.
    pub shape: Shape,
    /// The other members of the field's oneof, one bit per index.
    pub rivals: u32,
    /// Whether `google.api.field_behavior` says REQUIRED.
    pub required: bool,
}

/// The types that the codec knows.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `bool`
    Bool,
    /// `bytes`, base64 in JSON
    Bytes,
    /// An enum, by name in JSON.
    Enum(&'static Enum),
    /// `int32`
    Int32,
    /// Another message of the protocol.
    Message(&'static Message),
    /// `string`
    String,
    /// `google.protobuf.Struct`, any object in JSON.
    Struct,
    /// `google.protobuf.Timestamp`, RFC 3339 in JSON.
    Timestamp,
    /// `google.protobuf.Value`, anything in JSON.
    Value,
}

impl Kind {
    /// Whether the value is a message, which may come in pieces.
    pub fn is_message(self) -> bool {
        matches!(self, Self::Message(_) | Self::Struct | Self::Timestamp | Self::Value)
    }
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// A list.
    Many,
    /// A map from strings.
    Map,
    /// One value or none.
    One,
}

/// An enum of the protocol.
#[derive(Debug)]
pub struct Enum {
    /// The name without its package.
    pub name: &'static str,
    /// Names and numbers.
    pub values: &'static [(&'static str, i32)],
}

impl Message {
    const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        let mut message = Self {
            name,
            fields,
            by_number: [0; 16],
            by_start: [0; STARTS],
            required: 0,
            always_written: 0,
            has_map: false,
        };
        let mut index = 0;
        while index < fields.len() {
            let field = &fields[index];
            let entry = index.to_le_bytes()[0] + 1;
            message.by_number[field.number as usize] = entry;
            let mut slot = slot(field.start());
            while message.by_start[slot] != 0 {
                slot = (slot + 1) % STARTS;
            }
            message.by_start[slot] = entry;
            message.has_map |= matches!(field.shape, Shape::Map);
            if field.required {
                message.required |= 1 << index;
                let scalar = matches!(field.kind, Kind::Bool | Kind::Bytes | Kind::Int32 | Kind::String);
                if scalar || !matches!(field.shape, Shape::One) {
                    message.always_written |= 1 << index;
                }
            }
            index += 1;
        }
        message
    }

    /// The index of the field with that number.
    pub fn by_number(&self, number: u32) -> Option<usize> {
        let entry = *self.by_number.get(usize::try_from(number).ok()?)?;
        usize::from(entry).checked_sub(1)
    }

    /// The index of the field with that name, in camelCase or `snake_case`.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.json == name || field.proto == name)
    }

    /// The index of the field whose key starts with these letters behind its quote, and which is the one.
    #[inline]
    pub(super) fn by_start(&self, start: [u8; 4], mut is_it: impl FnMut(&Field) -> bool) -> Option<usize> {
        let mut slot = slot(start);
        loop {
            let index = usize::from(self.by_start[slot]).checked_sub(1)?;
            if is_it(&self.fields[index]) {
                return Some(index);
            }
            slot = (slot + 1) % STARTS;
        }
    }

    /// The index of the field whose name differs from this one in case alone, if at all. Letters beyond ASCII count as
    /// what they are in another case: to some readers of JSON `ſ` is an `s`.
    pub fn by_name_ignoring_case(&self, name: &str) -> Option<usize> {
        let folded: String = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        let same = |field: &Field| {
            field.json.eq_ignore_ascii_case(&folded) || field.proto.eq_ignore_ascii_case(&folded)
        };
        self.fields.iter().position(same)
    }
}

impl Field {
    /// The first letters of its key behind the quote: of a short name, with what follows it.
    const fn start(&self) -> [u8; 4] {
        let key = self.key.as_bytes();
        [key[2], key[3], key[4], key[5]]
    }
}

/// Where the fields whose keys start so are looked for first (Knuth's multiplicative hash, of which the upper bits are the
/// best).
const fn slot(start: [u8; 4]) -> usize {
    (u32::from_le_bytes(start).wrapping_mul(0x9E37_79B1) >> 26) as usize % STARTS
}

impl Enum {
    /// The number of a name.
    pub fn number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
    }

    /// The name of a number.
    pub fn name(&self, number: i32) -> Option<&'static str> {
        self.values.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
    }
}

/// The message that an operation asks with. The card is asked for with nothing.
pub fn request(operation: Operation) -> &'static Message {
    match operation {
        Operation::CancelTask => &CANCEL_TASK_REQUEST,
        Operation::CreateTaskPushNotificationConfig => &TASK_PUSH_NOTIFICATION_CONFIG,
        Operation::DeleteTaskPushNotificationConfig => &DELETE_TASK_PUSH_NOTIFICATION_CONFIG_REQUEST,
        Operation::GetAgentCard => &EMPTY,
        Operation::GetExtendedAgentCard => &GET_EXTENDED_AGENT_CARD_REQUEST,
        Operation::GetTask => &GET_TASK_REQUEST,
        Operation::GetTaskPushNotificationConfig => &GET_TASK_PUSH_NOTIFICATION_CONFIG_REQUEST,
        Operation::ListTaskPushNotificationConfigs => &LIST_TASK_PUSH_NOTIFICATION_CONFIGS_REQUEST,
        Operation::ListTasks => &LIST_TASKS_REQUEST,
        Operation::SendMessage | Operation::SendStreamingMessage => &SEND_MESSAGE_REQUEST,
        Operation::SubscribeToTask => &SUBSCRIBE_TO_TASK_REQUEST,
    }
}

/// The message that an operation is answered with; of a stream, each event.
pub fn response(operation: Operation) -> &'static Message {
    match operation {
        Operation::CancelTask | Operation::GetTask => &TASK,
        Operation::CreateTaskPushNotificationConfig | Operation::GetTaskPushNotificationConfig => {
            &TASK_PUSH_NOTIFICATION_CONFIG
        }
        Operation::DeleteTaskPushNotificationConfig => &EMPTY,
        Operation::GetAgentCard | Operation::GetExtendedAgentCard => &AGENT_CARD,
        Operation::ListTaskPushNotificationConfigs => &LIST_TASK_PUSH_NOTIFICATION_CONFIGS_RESPONSE,
        Operation::ListTasks => &LIST_TASKS_RESPONSE,
        Operation::SendMessage => &SEND_MESSAGE_RESPONSE,
        Operation::SendStreamingMessage | Operation::SubscribeToTask => &STREAM_RESPONSE,
    }
}

/// `google.protobuf.Empty`.
pub static EMPTY: Message = Message::new("Empty", &[]);

include!(concat!(env!("OUT_DIR"), "/schema_table.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_number_and_by_both_names() {
        let index = TASK.by_name("contextId").unwrap();
        assert_eq!(TASK.by_name("context_id"), Some(index));
        assert_eq!(TASK.by_name("contextID"), None);
        assert_eq!(TASK.by_name_ignoring_case("CONTEXT_ID"), Some(index));
        assert_eq!(MESSAGE.by_name_ignoring_case("taſ\u{212A}ID"), MESSAGE.by_name("taskId"));
        assert_eq!(TASK.by_number(2), Some(index));
        assert_eq!(TASK.by_number(0), None);
        assert_eq!(TASK.by_number(u32::MAX), None);
    }

    #[test]
    fn every_key_is_found_by_its_start() {
        for message in [&AGENT_CARD, &LIST_TASKS_REQUEST, &MESSAGE, &PART, &SECURITY_SCHEME, &TASK] {
            for (index, field) in message.fields.iter().enumerate() {
                let key = format!("{}: 1", field.json).replace(':', "\":");
                let start = *key.as_bytes().first_chunk().unwrap();
                assert_eq!(message.by_start(start, |likely| likely.json == field.json), Some(index));
                assert_eq!(message.by_start(start, |_| false), None);
            }
        }
    }

    #[test]
    fn members_of_a_oneof_are_rivals_and_optional_fields_have_none() {
        let names = |message: &Message, mask: u32| -> Vec<&str> {
            let named = message.fields.iter().enumerate();
            named.filter(|(index, _)| mask >> index & 1 == 1).map(|(_, field)| field.json).collect()
        };
        assert_eq!(names(&PART, PART.fields[0].rivals), ["raw", "url", "data"]);
        assert_eq!(GET_TASK_REQUEST.fields[2].rivals, 0);
        assert_eq!(names(&MESSAGE, MESSAGE.required), ["messageId", "role", "parts"]);
        assert_eq!(names(&MESSAGE, MESSAGE.always_written), ["messageId", "parts"]);
    }
}
