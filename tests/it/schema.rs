//! The schema three times over: the descriptor that `proto/` compiles to, the table that the codec walks, and the tables
//! of the published protocol in `tests/golden/schema/`.

use std::collections::BTreeMap;

use dragoman::a2a::Operation;
use dragoman::codec::schema::{self, Kind, Message, Shape};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind as Type, MessageDescriptor,
    MethodDescriptor, Value,
};

const FIELDS: &str = include_str!("../golden/schema/a2a-v1-fields.tsv");
const ENUMS: &str = include_str!("../golden/schema/a2a-v1-enums.tsv");
const METHODS: &str = include_str!("../golden/schema/a2a-v1-methods.tsv");

/// What `proto/` compiles to.
pub(crate) fn pool() -> DescriptorPool {
    let bytes = include_bytes!(concat!(env!("OUT_DIR"), "/a2a.binpb"));
    DescriptorPool::decode(bytes.as_slice()).expect("protox wrote it")
}

/// The codec's table of every message, by name, found from the operations downwards.
pub(crate) fn tables() -> BTreeMap<&'static str, &'static Message> {
    fn visit(message: &'static Message, found: &mut BTreeMap<&'static str, &'static Message>) {
        if found.insert(message.name, message).is_none() {
            for field in message.fields {
                if let Kind::Message(inner) = field.kind {
                    visit(inner, found);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    for operation in Operation::ALL {
        visit(schema::request(operation), &mut found);
        visit(schema::response(operation), &mut found);
    }
    assert!(found.remove("Empty").is_some());
    found
}

/// The rows of a table without its heading, sorted, since neither side promises an order.
fn rows(table: &str) -> Vec<String> {
    sorted(table.lines().skip(1).map(str::to_owned))
}

fn sorted(rows: impl Iterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

fn messages() -> impl Iterator<Item = MessageDescriptor> {
    let messages: Vec<_> = pool().all_messages().collect();
    messages.into_iter().filter(|message| message.package_name() == "lf.a2a.v1" && !message.is_map_entry())
}

#[test]
fn the_descriptor_has_the_published_fields() {
    let ours = messages().flat_map(|message| {
        let fields: Vec<_> = message.fields().collect();
        fields.into_iter().map(move |field| field_row(&message, &field))
    });
    assert_eq!(sorted(ours), rows(FIELDS));
}

fn field_row(message: &MessageDescriptor, field: &FieldDescriptor) -> String {
    let presence = match field.containing_oneof() {
        Some(oneof) if oneof.is_synthetic() => "optional".to_owned(),
        Some(oneof) => format!("oneof:{}", oneof.name()),
        None => String::new(),
    };
    let extension = extension("google.protobuf.FieldOptions", 1052);
    let options = field.options();
    let behaviours = options.get_extension(&extension);
    let required = behaviours.as_list().unwrap().contains(&Value::EnumNumber(2));
    let deprecated = field.field_descriptor_proto().options.as_ref().is_some_and(|it| it.deprecated());
    [
        message.name(),
        field.name(),
        field.json_name(),
        &field.number().to_string(),
        &type_name(field),
        &presence,
        if required { "required" } else { "" },
        if deprecated { "deprecated" } else { "" },
    ]
    .join("\t")
}

/// An extension of the options of a field or a method.
fn extension(options: &str, number: u32) -> ExtensionDescriptor {
    pool().get_message_by_name(options).unwrap().get_extension(number).unwrap()
}

fn type_name(field: &FieldDescriptor) -> String {
    let name = |kind: Type| match kind {
        Type::Message(message) => message.full_name().trim_start_matches("lf.a2a.v1.").to_owned(),
        Type::Enum(list) => list.name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    match field.kind() {
        Type::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            format!("map<{}, {}>", name(key.kind()), name(value.kind()))
        }
        kind if field.is_list() => format!("repeated {}", name(kind)),
        kind => name(kind),
    }
}

#[test]
fn the_descriptor_has_the_published_enums() {
    let pool = pool();
    let ours = pool.all_enums().filter(|list| list.package_name() == "lf.a2a.v1").flat_map(|list| {
        let values: Vec<_> = list.values().collect();
        values.into_iter().map(move |value| format!("{}\t{}\t{}", list.name(), value.name(), value.number()))
    });
    assert_eq!(sorted(ours), rows(ENUMS));
}

#[test]
fn the_descriptor_has_the_published_methods() {
    let service = pool().get_service_by_name("lf.a2a.v1.A2AService").unwrap();
    assert_eq!(sorted(service.methods().map(|method| method_row(&method))), rows(METHODS));
}

fn method_row(method: &MethodDescriptor) -> String {
    let extension = extension("google.protobuf.MethodOptions", 72_295_728);
    let options = method.options();
    let rule = options.get_extension(&extension);
    let message =
        |message: MessageDescriptor| message.full_name().trim_start_matches("lf.a2a.v1.").to_owned();
    assert!(!method.is_client_streaming());
    [
        method.name(),
        &message(method.input()),
        &message(method.output()),
        if method.is_server_streaming() { "yes" } else { "" },
        &routes(rule.as_message().unwrap()).join(" | "),
    ]
    .join("\t")
}

/// `POST /message:send` and the further routes of the same rule. A POST's whole body is the message.
fn routes(rule: &DynamicMessage) -> Vec<String> {
    let text = |name: &str| rule.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
    let patterns = ["get", "post", "delete"].into_iter().filter(|verb| rule.has_field_by_name(verb));
    let mut routes: Vec<_> = patterns.map(|verb| format!("{} {}", verb.to_uppercase(), text(verb))).collect();
    assert_eq!(text("body"), if rule.has_field_by_name("post") { "*" } else { "" });
    for more in rule.get_field_by_name("additional_bindings").unwrap().as_list().unwrap() {
        routes.extend(self::routes(more.as_message().unwrap()));
    }
    routes
}

#[test]
fn the_operations_are_the_published_methods() {
    let ours = Operation::ALL.into_iter().filter(|operation| Operation::rpc(operation.name()).is_some()).map(
        |operation| {
            let streams = if operation.is_streaming() { "yes" } else { "" };
            let response = match schema::response(operation).name {
                "Empty" => "google.protobuf.Empty",
                name => name,
            };
            [operation.name(), schema::request(operation).name, response, streams].join("\t")
        },
    );
    let published = rows(METHODS);
    let published = published.iter().map(|row| row.rsplit_once('\t').unwrap().0.to_owned());
    assert_eq!(sorted(ours), sorted(published));
}

#[test]
fn the_codec_has_all_messages() {
    let names: Vec<_> = messages().map(|message| message.name().to_owned()).collect();
    assert_eq!(names.len(), 44);
    assert_eq!(tables().into_keys().collect::<Vec<_>>(), sorted(names.into_iter()));
}

#[test]
fn the_codec_has_the_published_fields() {
    let ours = tables().into_values().flat_map(|message| {
        message.fields.iter().map(move |field| {
            let rivals = (0..message.fields.len()).filter(|index| field.rivals >> index & 1 == 1);
            let rivals: Vec<_> = rivals.map(|index| message.fields[index].proto).collect();
            let required = if field.required { "required" } else { "" };
            let number = field.number.to_string();
            let kind = kind_name(field.kind, field.shape);
            [message.name, field.proto, field.json, &number, &kind, &rivals.join(","), required].join("\t")
        })
    });
    let published: Vec<Vec<String>> =
        rows(FIELDS).iter().map(|row| row.split('\t').map(str::to_owned).collect()).collect();
    let expected = published.iter().map(|row| {
        let rival = |other: &&Vec<String>| {
            row[5].starts_with("oneof:") && other[0] == row[0] && other[5] == row[5] && other[1] != row[1]
        };
        let mut rivals: Vec<_> = published.iter().filter(rival).collect();
        rivals.sort_by_key(|row| row[3].parse::<u32>().unwrap());
        let rivals: Vec<_> = rivals.into_iter().map(|row| row[1].as_str()).collect();
        [&row[0], &row[1], &row[2], &row[3], &row[4], &*rivals.join(","), &row[6]].join("\t")
    });
    assert_eq!(sorted(ours), sorted(expected));
}

fn kind_name(kind: Kind, shape: Shape) -> String {
    let name = match kind {
        Kind::Bool => "bool",
        Kind::Bytes => "bytes",
        Kind::Enum(list) => list.name,
        Kind::Int32 => "int32",
        Kind::Message(message) => message.name,
        Kind::String => "string",
        Kind::Struct => "google.protobuf.Struct",
        Kind::Timestamp => "google.protobuf.Timestamp",
        Kind::Value => "google.protobuf.Value",
    };
    match shape {
        Shape::Many => format!("repeated {name}"),
        Shape::Map => format!("map<string, {name}>"),
        Shape::One => name.to_owned(),
    }
}

#[test]
fn the_codec_has_the_published_enums() {
    let mut ours = Vec::new();
    for message in tables().into_values() {
        for field in message.fields {
            if let Kind::Enum(list) = field.kind {
                ours.extend(
                    list.values.iter().map(|(name, number)| format!("{}\t{name}\t{number}", list.name)),
                );
            }
        }
    }
    ours.sort();
    ours.dedup();
    assert_eq!(ours, rows(ENUMS));
}
