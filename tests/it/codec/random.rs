//! Random messages over the descriptor, and random ways to write one message on the wire, both driven by bytes that
//! proptest chooses and shrinks: where they run out, nothing more is added.

use prost::Message as _;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

const TEXTS: [&str; 8] = [
    "",
    "a",
    "text",
    "\"quoted\" \\ / \n\t\u{1}\u{7f}",
    "žluťoučký kůň",
    "日本語 🦀\u{2028}",
    "AAAA",
    "null",
];

/// Decisions to be made.
#[derive(Debug)]
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    /// One of `count` numbers; 0 when no decisions are left.
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// Whether something that need not be should be.
    fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    fn int32(&mut self) -> i32 {
        let number = i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]);
        number >> (8 * self.below(4))
    }

    fn text(&mut self) -> String {
        TEXTS[self.below(TEXTS.len())].to_owned()
    }

    /// A random message with so many levels of messages below it.
    pub(super) fn message(&mut self, descriptor: &MessageDescriptor, levels: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                let seconds = i64::from(self.int32()) * 70 + i64::from(self.byte());
                message.set_field_by_name("seconds", Value::I64(seconds.max(-62_135_596_800)));
                let scale = [0, 1, 1_000, 1_000_000][self.below(4)];
                message.set_field_by_name("nanos", Value::I32(i32::from(self.byte()) * scale));
            }
            "google.protobuf.Value" => return self.anything(descriptor, levels),
            _ => {
                for field in descriptor.fields() {
                    let message_below = matches!(field.kind(), Kind::Message(_));
                    if self.below(4) > 0 && (levels > 0 || !message_below) {
                        let value = self.field(&field, levels);
                        message.set_field(&field, value);
                    }
                }
            }
        }
        message
    }

    /// Any JSON but null, which pbjson takes for an absent value.
    fn anything(&mut self, descriptor: &MessageDescriptor, levels: usize) -> DynamicMessage {
        let names = ["bool_value", "string_value", "number_value", "struct_value", "list_value"];
        let name = names[self.below(if levels > 1 { 5 } else { 3 })];
        let field = descriptor.get_field_by_name(name).unwrap();
        let mut value = DynamicMessage::new(descriptor.clone());
        value.set_field(&field, self.single(&field.kind(), levels.saturating_sub(1)));
        value
    }

    fn field(&mut self, field: &FieldDescriptor, levels: usize) -> Value {
        let count = self.below(4);
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { panic!("a map has entries") };
            let kind = entry.map_entry_value_field().kind();
            let levels = levels.saturating_sub(2);
            let entries = (0..count).map(|_| (MapKey::String(self.text()), self.single(&kind, levels)));
            Value::Map(entries.collect())
        } else if field.is_list() {
            Value::List((0..count).map(|_| self.single(&field.kind(), levels.saturating_sub(1))).collect())
        } else {
            self.single(&field.kind(), levels.saturating_sub(1))
        }
    }

    fn single(&mut self, kind: &Kind, levels: usize) -> Value {
        match kind {
            Kind::Bool => Value::Bool(self.flip()),
            Kind::Bytes => Value::Bytes((0..self.below(9)).map(|_| self.byte()).collect::<Vec<_>>().into()),
            // Few enough digits for any reader to find the double again.
            Kind::Double => Value::F64(f64::from(self.int32()) / [1.0, 8.0][self.below(2)]),
            Kind::Enum(list) => {
                let numbers: Vec<_> = list.values().map(|value| value.number()).collect();
                Value::EnumNumber(numbers[self.below(numbers.len())])
            }
            Kind::Int32 => Value::I32(self.int32()),
            Kind::Message(message) => Value::Message(self.message(message, levels)),
            Kind::String => Value::String(self.text()),
            other => panic!("no field of the protocol is {other:?}"),
        }
    }

    /// The same kind of message, in pieces: fields in another order, given more than once, beside rivals of their
    /// oneof, and messages split in two, at every level. What it means is for protobuf to say.
    pub(super) fn scatter(&mut self, descriptor: &MessageDescriptor, wire: &[u8]) -> Vec<u8> {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        for (number, value) in split(wire) {
            let field = descriptor.get_field(number).unwrap();
            if !field.is_list() && !field.is_map() && self.flip() {
                fields.push(self.another(&field));
            }
            let value = match (field.kind(), value) {
                (Kind::Message(inner), Wire::Len(bytes)) => {
                    let scattered = self.scatter(&inner, &bytes);
                    let mut cut = self.cut(&scattered);
                    if inner.name() == "Value" && cut == scattered.len() {
                        // A rival might come between and leave the empty piece alone, which is null.
                        cut = 0;
                    }
                    if !field.is_list() && !field.is_map() && cut > 0 {
                        fields.push(Wire::Len(scattered[..cut].to_vec()).encode(number));
                        Wire::Len(scattered[cut..].to_vec())
                    } else {
                        Wire::Len(scattered)
                    }
                }
                (_, value) => value,
            };
            fields.push(value.encode(number));
        }
        for index in (1..fields.len()).rev() {
            fields.swap(index, self.below(index + 1));
        }
        fields.concat()
    }

    /// Where to cut a message in two, between fields.
    fn cut(&mut self, wire: &[u8]) -> usize {
        let mut ends: Vec<usize> = vec![0];
        for (number, value) in split(wire) {
            ends.push(ends[ends.len() - 1] + value.encode(number).len());
        }
        ends[self.below(ends.len())]
    }

    /// The same field with another value, or a rival.
    fn another(&mut self, field: &FieldDescriptor) -> Vec<u8> {
        let mut rivals = vec![field.clone()];
        if let Some(oneof) = field.containing_oneof() {
            rivals.extend(oneof.fields().filter(|rival| rival.name() != "null_value"));
        }
        let field = &rivals[self.below(rivals.len())];
        let value = match field.kind() {
            Kind::Bool => Wire::Varint(self.below(2) as u64),
            Kind::Double => Wire::Fixed64([0; 8]),
            Kind::Enum(_) | Kind::Int32 | Kind::Int64 => Wire::Varint(self.below(3) as u64),
            Kind::Message(message) => Wire::Len(self.message(&message, 2).encode_to_vec()),
            Kind::String | Kind::Bytes => Wire::Len(self.text().into_bytes()),
            other => panic!("no field of the protocol is {other:?}"),
        };
        value.encode(field.number())
    }
}

/// A value on the wire, read by prost's own means.
enum Wire {
    Fixed64([u8; 8]),
    Len(Vec<u8>),
    Varint(u64),
}

impl Wire {
    fn encode(&self, number: u32) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Fixed64(bytes) => {
                encode_key(number, WireType::SixtyFourBit, &mut out);
                out.put_slice(bytes);
            }
            Self::Len(bytes) => {
                encode_key(number, WireType::LengthDelimited, &mut out);
                encode_varint(bytes.len() as u64, &mut out);
                out.put_slice(bytes);
            }
            Self::Varint(value) => {
                encode_key(number, WireType::Varint, &mut out);
                encode_varint(*value, &mut out);
            }
        }
        out
    }
}

fn split(mut wire: &[u8]) -> Vec<(u32, Wire)> {
    let mut fields = Vec::new();
    while wire.has_remaining() {
        let (number, wire_type) = decode_key(&mut wire).unwrap();
        let value = match wire_type {
            WireType::SixtyFourBit => Wire::Fixed64(wire.get_u64_le().to_le_bytes()),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut wire).unwrap()).unwrap();
                Wire::Len(wire.copy_to_bytes(length).to_vec())
            }
            WireType::Varint => Wire::Varint(decode_varint(&mut wire).unwrap()),
            other => panic!("no field of the protocol is {other:?}"),
        };
        fields.push((number, value));
    }
    fields
}
