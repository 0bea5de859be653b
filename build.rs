//! Compiles `proto/lf` three ways: the prost types of `proto` (with the members that Dragoman carries), the schema table
//! that drives the codec, and, for tests and benches alone, prost + pbjson types as an independent reader and writer of
//! ProtoJSON. `proto/dragoman` and `proto/spiffe` become messages with clients and servers. No `protoc` is needed.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use prost_types::{
    FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const PACKAGE: &str = "lf.a2a.v1";

/// Where JSON members that the schema does not know travel, in every message (`docs/wire.md`).
const CARRIED: i32 = 52_602;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file("lf/a2a/v1/a2a.proto")?;
    let bytes = compiler.encode_file_descriptor_set();
    fs::write(out.join("a2a.binpb"), &bytes)?;
    let pool = DescriptorPool::decode(bytes.as_slice())?;

    fs::write(out.join("schema_table.rs"), schema_table(&pool)?)?;
    views(FileDescriptorSet::decode(bytes.as_slice())?, out)?;
    oracle(&bytes, out)?;
    services()
}

/// The services of the controller: messages, clients and servers.
fn services() -> Result<()> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true);
    compiler.open_files(["dragoman/v1/directory.proto", "dragoman/v1/identity.proto"])?;
    // Cards are long, kept and told again and again.
    let config = tonic_prost_build::configure().build_transport(false).bytes(".dragoman.v1.Agent.card");
    config.compile_fds(compiler.file_descriptor_set())?;
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.open_file("spiffe/workload.proto")?;
    // It holds a key, which nobody is to print.
    let config = tonic_prost_build::configure().build_transport(false).skip_debug(["X509SVID"]);
    config.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The prost types: each message has one more field, `carried`, so that who looks inside sees all that travels.
fn views(mut files: FileDescriptorSet, out: &Path) -> Result<()> {
    for message in
        files.file.iter_mut().filter(|file| file.package() == PACKAGE).flat_map(|file| &mut file.message_type)
    {
        message.field.push(FieldDescriptorProto {
            name: Some("carried".into()),
            number: Some(CARRIED),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::Message.into()),
            type_name: Some(".google.protobuf.Struct".into()),
            ..Default::default()
        });
    }
    files.file.retain(|file| file.package() != "google.api");
    prost_build::Config::new().out_dir(out).compile_fds(files)?;
    Ok(())
}

/// The types that tests compare the codec with.
fn oracle(bytes: &[u8], out: &Path) -> Result<()> {
    let out = out.join("oracle");
    fs::create_dir_all(&out)?;
    let mut files = FileDescriptorSet::decode(bytes)?;
    files.file.retain(|file| file.package() != "google.api");
    prost_build::Config::new()
        .out_dir(&out)
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(files)?;
    pbjson_build::Builder::new().register_descriptors(bytes)?.out_dir(&out).build(&[".lf.a2a.v1"])?;
    Ok(())
}

/// Rust source of the statics that `codec/schema` includes: one `Message` per message, one `Enum` per enum.
fn schema_table(pool: &DescriptorPool) -> Result<String> {
    let mut table = String::new();
    for message in
        pool.all_messages().filter(|message| message.package_name() == PACKAGE && !message.is_map_entry())
    {
        write_message(&mut table, pool, &message)?;
    }
    for list in pool.all_enums().filter(|list| list.package_name() == PACKAGE) {
        write_enum(&mut table, &list)?;
    }
    Ok(table)
}

fn write_message(table: &mut String, pool: &DescriptorPool, message: &MessageDescriptor) -> Result<()> {
    let name = message.name();
    writeln!(table, "/// The table of `{name}`.")?;
    writeln!(table, "pub static {}: Message = Message::new(\"{name}\", &[", constant(name))?;
    for field in message.fields() {
        let kind =
            kind(&field).ok_or_else(|| format!("{}: the codec has no such kind", field.full_name()))?;
        let shape = match (field.is_map(), field.cardinality()) {
            (true, _) => "Map",
            (_, Cardinality::Repeated) => "Many",
            _ => "One",
        };
        // A proto3 `optional` field is a oneof of its own in the descriptor, but has no rivals.
        let rivals: u32 = field
            .containing_oneof()
            .into_iter()
            .flat_map(|oneof| oneof.fields().collect::<Vec<_>>())
            .filter(|rival| rival.number() != field.number())
            .filter_map(|rival| message.fields().position(|other| other.number() == rival.number()))
            .map(|index| 1 << index)
            .sum();
        writeln!(
            table,
            "    Field {{ number: {}, json: {:?}, proto: {:?}, key: {:?}, kind: {kind}, shape: Shape::{shape}, rivals: {rivals}, required: {} }},",
            field.number(),
            field.json_name(),
            field.name(),
            format!(",\"{}\":", field.json_name()),
            required(pool, &field)?,
        )?;
    }
    writeln!(table, "]);")?;
    Ok(())
}

/// The codec's word for the type of a field (of a map's values, where it is a map), if it has one.
fn kind(field: &FieldDescriptor) -> Option<String> {
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            if entry.map_entry_key_field().kind() != Kind::String {
                return None;
            }
            entry.map_entry_value_field().kind()
        }
        kind => kind,
    };
    Some(match kind {
        Kind::String => "Kind::String".into(),
        // Repeated numbers would be packed on the wire, which the codec does not read.
        Kind::Bool if !field.is_list() => "Kind::Bool".into(),
        Kind::Int32 if !field.is_list() => "Kind::Int32".into(),
        Kind::Enum(list) if !field.is_list() => format!("Kind::Enum(&{})", constant(list.name())),
        Kind::Bytes => "Kind::Bytes".into(),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Struct" => "Kind::Struct".into(),
            "google.protobuf.Timestamp" => "Kind::Timestamp".into(),
            "google.protobuf.Value" => "Kind::Value".into(),
            _ if message.package_name() == PACKAGE => format!("Kind::Message(&{})", constant(message.name())),
            _ => return None,
        },
        _ => return None,
    })
}

/// Whether `google.api.field_behavior` (extension 1052) says REQUIRED.
fn required(pool: &DescriptorPool, field: &FieldDescriptor) -> Result<bool> {
    let extension = pool
        .get_extension_by_name("google.api.field_behavior")
        .ok_or("google.api.field_behavior is not declared")?;
    let options = field.options();
    let behaviors = options.get_extension(&extension);
    let required = |value: &Value| value.as_enum_number() == Some(2);
    Ok(behaviors.as_list().is_some_and(|list| list.iter().any(required)))
}

fn write_enum(table: &mut String, list: &EnumDescriptor) -> Result<()> {
    let name = list.name();
    writeln!(table, "/// The values of `{name}`.")?;
    writeln!(table, "pub static {}: Enum = Enum {{ name: \"{name}\", values: &[", constant(name))?;
    for value in list.values() {
        writeln!(table, "    ({:?}, {}),", value.name(), value.number())?;
    }
    writeln!(table, "] }};")?;
    Ok(())
}

/// `OAuth2SecurityScheme` → `O_AUTH2_SECURITY_SCHEME`.
fn constant(name: &str) -> String {
    let mut constant = String::new();
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_lower {
            constant.push('_');
        }
        after_lower = !letter.is_ascii_uppercase();
        constant.push(letter.to_ascii_uppercase());
    }
    constant
}
