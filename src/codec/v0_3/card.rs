//! Cards of both dialects, and the one that says everything in both.

use super::super::schema::AGENT_CARD;
use super::super::text::Scanner;
use super::super::tree::{Node, Object};
use super::super::{Cause, Reading, Result, write};
use super::security::{SCHEME, requirements_down, requirements_up};
use super::shape::{Down, Odd, Rule, Shape, Spelling, Up, member, same};
use super::{kept, read as read_tree};

/// What cards of 0.3 say about themselves.
const VERSION: &str = "0.3.0";

static CARD: Shape = Shape {
    kind: None,
    members: &[
        same("name", Rule::Same),
        same("description", Rule::Same),
        same("provider", Rule::Object(&PROVIDER)),
        same("version", Rule::Same),
        same("documentationUrl", Rule::Same),
        same("iconUrl", Rule::Same),
        same("capabilities", Rule::Object(&CAPABILITIES)),
        same("securitySchemes", Rule::ByName(&SCHEME)),
        same("defaultInputModes", Rule::Same),
        same("defaultOutputModes", Rule::Same),
        same("skills", Rule::Each(&SKILL)),
        same("signatures", Rule::Each(&SIGNATURE)),
    ],
    odd: Some(&Odd {
        names: &[
            "url",
            "preferredTransport",
            "protocolVersion",
            "additionalInterfaces",
            "supportsAuthenticatedExtendedCard",
            "security",
        ],
        up: card_up,
        down: card_down,
    }),
};

static PROVIDER: Shape =
    Shape { kind: None, members: &[same("url", Rule::Same), same("organization", Rule::Same)], odd: None };

static CAPABILITIES: Shape = Shape {
    kind: None,
    members: &[
        same("streaming", Rule::Same),
        same("pushNotifications", Rule::Same),
        same("extensions", Rule::Each(&EXTENSION)),
        // Elsewhere in 0.3: [`card_up`] and [`card_down`] move it.
        same(EXTENDED, Rule::Same),
        member("stateTransitionHistory", "", Rule::Only),
    ],
    odd: None,
};

const EXTENDED: &str = "extendedAgentCard";

static EXTENSION: Shape = Shape {
    kind: None,
    members: &[
        same("uri", Rule::Same),
        same("description", Rule::Same),
        same("required", Rule::Same),
        same("params", Rule::Same),
    ],
    odd: None,
};

static SKILL: Shape = Shape {
    kind: None,
    members: &[
        same("id", Rule::Same),
        same("name", Rule::Same),
        same("description", Rule::Same),
        same("tags", Rule::Same),
        same("examples", Rule::Same),
        same("inputModes", Rule::Same),
        same("outputModes", Rule::Same),
    ],
    odd: Some(&Odd { names: &["security"], up: security_up, down: security_down }),
};

static SIGNATURE: Shape = Shape {
    kind: None,
    members: &[same("protected", Rule::Same), same("signature", Rule::Same), same("header", Rule::Same)],
    odd: None,
};

fn security_up(up: &mut Up<'_>) -> Result<()> {
    if let Some(security) = up.v0_3.take_some("security") {
        let requirements = requirements_up(security).map_err(|error| error.within("security"))?;
        up.v1_0.push("securityRequirements", requirements);
    }
    Ok(())
}

fn security_down(down: &mut Down<'_>) -> Result<()> {
    if let Some(requirements) = down.v1_0.take_some("securityRequirements") {
        let security =
            requirements_down(requirements).map_err(|error| error.within("securityRequirements"))?;
        down.v0_3.push("security", security);
    }
    Ok(())
}

fn card_up(up: &mut Up<'_>) -> Result<()> {
    security_up(up)?;
    if let Some(extended) = up.v0_3.take_some("supportsAuthenticatedExtendedCard") {
        let capabilities =
            up.v0_3.take_some("capabilities").map_or_else(|| Ok(Object::default()), Node::object);
        let mut capabilities = capabilities.map_err(|error| error.within("capabilities"))?;
        capabilities.push(EXTENDED, extended);
        up.v0_3.push("capabilities", Node::Object(capabilities));
    }
    let version = up.v0_3.take_some("protocolVersion").unwrap_or_else(|| Node::string("0.3"));
    let mut interfaces = Vec::new();
    let url = up.v0_3.take_some("url");
    let transport = up.v0_3.take_some("preferredTransport").unwrap_or_else(|| Node::string("JSONRPC"));
    let more = up.v0_3.take_some("additionalInterfaces").map_or_else(|| Ok(Vec::new()), Node::list)?;
    let url = url.filter(|url| !url.is_empty_string());
    let mut pairs: Vec<_> = url.map(|url| (url, transport)).into_iter().collect();
    for interface in more {
        let mut interface = interface.object().map_err(|error| error.within("additionalInterfaces"))?;
        let url = interface.take_some("url");
        let pair = url.zip(interface.take_some("transport"));
        pairs.extend(pair.filter(|pair| !pairs.contains(pair)));
    }
    for (url, transport) in pairs {
        let mut interface = Object::default();
        interface.push("url", url);
        interface.push("protocolBinding", transport);
        interface.push("protocolVersion", version.clone());
        interfaces.push(Node::Object(interface));
    }
    up.v1_0.push("supportedInterfaces", Node::List(interfaces));
    Ok(())
}

/// An interface as far as 0.3 knows it.
struct Interface<'a> {
    url: Node<'a>,
    transport: Node<'a>,
    is_grpc: bool,
    /// Whether it is for callers of 0.3.
    is_old: bool,
}

impl<'a> Interface<'a> {
    fn read(value: Node<'a>) -> Result<Self> {
        let mut object = value.object()?;
        let mut text = |name| object.take_some(name).unwrap_or_else(|| Node::string(""));
        let (url, transport, version) = (text("url"), text("protocolBinding"), text("protocolVersion"));
        let is_grpc = transport.as_string().as_deref() == Some("GRPC");
        let is_old = version.as_string().is_some_and(|version| version.starts_with("0."));
        Ok(Self { url, transport, is_grpc, is_old })
    }
}

fn card_down(down: &mut Down<'_>) -> Result<()> {
    security_down(down)?;
    // Cards of 0.3 must have capabilities, even none.
    let mut capabilities = down.v0_3.take("capabilities").unwrap_or(Node::EMPTY).object()?;
    let extended = capabilities.take(EXTENDED);
    down.v0_3.push("capabilities", Node::Object(capabilities));
    if let Some(extended) = extended {
        down.v0_3.push("supportsAuthenticatedExtendedCard", extended);
    }
    let interfaces = down.v1_0.take_some("supportedInterfaces").map_or_else(|| Ok(Vec::new()), Node::list)?;
    let mut interfaces = interfaces.into_iter().map(Interface::read).collect::<Result<Vec<_>>>()?;
    // The gRPC of 0.3 is another one.
    if !interfaces.iter().all(|interface| interface.is_grpc) {
        interfaces.retain(|interface| !interface.is_grpc);
    }
    if interfaces.iter().any(|interface| interface.is_old) {
        interfaces.retain(|interface| interface.is_old);
    }
    let (url, transport) = interfaces.first().map_or_else(
        || (Node::string(""), Node::string("JSONRPC")),
        |first| (first.url.clone(), first.transport.clone()),
    );
    down.v0_3.push("url", url);
    down.v0_3.push("preferredTransport", transport);
    down.v0_3.push("protocolVersion", Node::string(VERSION));
    interfaces.retain(|interface| !interface.is_grpc);
    let additional = interfaces.into_iter().map(|Interface { url, transport, .. }| {
        let mut interface = Object::default();
        interface.push("url", url);
        interface.push("transport", transport);
        Node::Object(interface)
    });
    down.v0_3.push("additionalInterfaces", Node::List(additional.collect()));
    Ok(())
}

/// A card of 0.3 as one of 1.0. What is one of 1.0 already, with or without members of 0.3 beside it, is taken as that.
pub(super) fn up(value: Node<'_>) -> Result<Node<'_>> {
    CARD.up(value, Spelling::Rpc)
}

pub(super) fn down(value: Node<'_>) -> Result<Node<'_>> {
    CARD.down(value, Spelling::Rpc)
}

/// Reads a card of either dialect: one that lists its interfaces as 1.0 does is of that.
///
/// # Errors
/// If it is no JSON, no card, or takes more than `limit` bytes in canonical form.
pub fn read(text: &str, limit: usize) -> Result<Vec<u8>> {
    let mut scan = Scanner::new(text);
    let object = Object::read(&mut scan)?;
    scan.end()?;
    let is_old = object.get("supportedInterfaces").is_none() && object.get("supported_interfaces").is_none();
    if is_old && (object.get("url").is_some() || object.get("protocolVersion").is_some()) {
        return read_tree(&up(Node::Object(object))?, &AGENT_CARD, Reading::Reply, limit);
    }
    super::super::read(&AGENT_CARD, text, Reading::Reply, limit)
}

/// Writes a card that callers of both dialects can read: all that 1.0 says, and what 0.3 says elsewhere or otherwise.
///
/// # Errors
/// If the bytes are no card.
pub fn write_hybrid(wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut new = Vec::with_capacity(wire.len() * 2);
    write(&AGENT_CARD, wire, &mut new)?;
    let new = std::str::from_utf8(&new).map_err(|_| Cause::Wire("a string is not UTF-8"))?;
    let old = kept(&AGENT_CARD, wire)?;
    let old = down(Node::of(&old))?;
    merge(Node::of(new), old)?.write(out);
    Ok(())
}

/// Lays what 0.3 says beside what 1.0 says: members of objects, and objects in lists of the same length.
fn merge<'a>(new: Node<'a>, old: Node<'a>) -> Result<Node<'a>> {
    if new.is_object() && old.is_object() {
        let (mut old, mut merged) = (old.object()?, Object::default());
        for (name, value) in new.object()? {
            let value = match old.take(&name) {
                Some(other) => merge(value, other)?,
                None => value,
            };
            merged.push(name, value);
        }
        for (name, value) in old {
            merged.push(name, value);
        }
        return Ok(Node::Object(merged));
    }
    if new.is_list() && old.is_list() {
        let (new, old) = (new.list()?, old.list()?);
        if new.len() == old.len() {
            let merged = new.into_iter().zip(old).map(|(new, old)| merge(new, old));
            return merged.collect::<Result<_>>().map(Node::List);
        }
        return Ok(Node::List(new));
    }
    Ok(new)
}
