//! How callers prove who they are: security schemes and requirements of cards.

use super::super::tree::{Node, Object};
use super::super::{KEPT, Result};
use super::shape::{Down, Odd, Rule, Shape, Up, member, same};

/// A scheme: `type` in 0.3, a oneof in 1.0.
pub(super) static SCHEME: Shape = Shape {
    kind: None,
    members: &[],
    odd: Some(&Odd { names: &["type"], up: scheme_up, down: scheme_down }),
};

static TYPES: [(&str, &str, &Shape); 5] = [
    ("apiKey", "apiKeySecurityScheme", &API_KEY),
    ("http", "httpAuthSecurityScheme", &HTTP),
    ("oauth2", "oauth2SecurityScheme", &OAUTH2),
    ("openIdConnect", "openIdConnectSecurityScheme", &OPEN_ID_CONNECT),
    ("mutualTLS", "mtlsSecurityScheme", &MUTUAL_TLS),
];

static API_KEY: Shape = Shape {
    kind: None,
    members: &[
        same("description", Rule::Same),
        member("in", "location", Rule::Same),
        same("name", Rule::Same),
    ],
    // Cards of the old package have the name of 1.0.
    odd: Some(&Odd { names: &["location"], up: api_key_up, down: nothing }),
};

static HTTP: Shape = Shape {
    kind: None,
    members: &[same("description", Rule::Same), same("scheme", Rule::Same), same("bearerFormat", Rule::Same)],
    odd: None,
};

static OAUTH2: Shape = Shape {
    kind: None,
    members: &[
        same("description", Rule::Same),
        same("flows", Rule::Object(&FLOWS)),
        same("oauth2MetadataUrl", Rule::Same),
    ],
    odd: None,
};

static OPEN_ID_CONNECT: Shape = Shape {
    kind: None,
    members: &[same("description", Rule::Same), same("openIdConnectUrl", Rule::Same)],
    odd: None,
};

static MUTUAL_TLS: Shape = Shape { kind: None, members: &[same("description", Rule::Same)], odd: None };

/// Any of them in 0.3, one of them in 1.0.
static FLOWS: Shape = Shape {
    kind: None,
    members: &[],
    odd: Some(&Odd { names: &FLOW_NAMES, up: flows_up, down: flows_down }),
};

/// The flows that both dialects know, the one that 1.0 gets first.
const FLOW_NAMES: [&str; 4] = ["authorizationCode", "clientCredentials", "implicit", "password"];

static FLOW_SHAPES: [&Shape; 4] = [
    &Shape {
        kind: None,
        members: &[
            same("authorizationUrl", Rule::Same),
            same("tokenUrl", Rule::Same),
            same("refreshUrl", Rule::Same),
            same("scopes", Rule::Same),
        ],
        odd: None,
    },
    &TOKEN_FLOW,
    &Shape {
        kind: None,
        members: &[
            same("authorizationUrl", Rule::Same),
            same("refreshUrl", Rule::Same),
            same("scopes", Rule::Same),
        ],
        odd: None,
    },
    &TOKEN_FLOW,
];

static TOKEN_FLOW: Shape = Shape {
    kind: None,
    members: &[same("tokenUrl", Rule::Same), same("refreshUrl", Rule::Same), same("scopes", Rule::Same)],
    odd: None,
};

/// A scheme that has no type, but the oneof of 1.0 and of the old package, is read as that.
fn scheme_up(up: &mut Up<'_>) -> Result<()> {
    let spelling = up.spelling;
    let wrapped = TYPES.iter().find(|(_, name, _)| up.v0_3.get(name).is_some_and(Node::is_object));
    if let Some((_, name, shape)) = wrapped
        && let Some(inner) = up.v0_3.take(name)
    {
        // What stands beside it says the same once more.
        up.v0_3 = Object::default();
        up.v1_0.push(*name, shape.up(inner, spelling).map_err(|error| error.within(name))?);
        return Ok(());
    }
    let known = up.v0_3.get("type").and_then(Node::as_string);
    let known = known.and_then(|kind| TYPES.iter().find(|(known, ..)| *known == kind));
    if let Some((_, name, shape)) = known {
        let mut inner = std::mem::take(&mut up.v0_3);
        inner.take("type");
        up.v1_0.push(*name, shape.up(Node::Object(inner), spelling)?);
    } else if let Some(kind) = up.v0_3.take("type") {
        up.kept.push("type", kind);
    }
    Ok(())
}

fn scheme_down(down: &mut Down<'_>) -> Result<()> {
    for (kind, name, shape) in &TYPES {
        if let Some(inner) = down.v1_0.take_some(name) {
            down.v0_3.push("type", Node::string(kind));
            let inner = shape.down(inner, down.spelling).map_err(|error| error.within(name))?;
            for (name, value) in inner.object()? {
                down.v0_3.push(name, value);
            }
            return Ok(());
        }
    }
    // A type that 1.0 does not know is as it was.
    let kind = down.kept.take("type");
    down.v0_3.push("type", kind.unwrap_or_else(|| Node::string("")));
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "other objects can fail")]
fn nothing(_: &mut Down<'_>) -> Result<()> {
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "other objects can fail")]
fn api_key_up(up: &mut Up<'_>) -> Result<()> {
    up.v0_3.rename("location", "in");
    Ok(())
}

fn flows_up(up: &mut Up<'_>) -> Result<()> {
    for (name, shape) in FLOW_NAMES.into_iter().zip(FLOW_SHAPES) {
        let Some(flow) = up.v0_3.take_some(name) else { continue };
        if up.v1_0.is_empty() {
            up.v1_0.push(name, shape.up(flow, up.spelling).map_err(|error| error.within(name))?);
        } else {
            up.kept.push(name, flow);
        }
    }
    Ok(())
}

fn flows_down(down: &mut Down<'_>) -> Result<()> {
    for (name, shape) in FLOW_NAMES.into_iter().zip(FLOW_SHAPES) {
        if let Some(flow) = down.v1_0.take_some(name) {
            let flow = shape.down(flow, down.spelling).map_err(|error| error.within(name))?;
            down.v0_3.push(name, flow);
        } else if let Some(flow) = down.kept.take(name) {
            down.v0_3.push(name, flow);
        }
    }
    Ok(())
}

/// Requirements: which schemes, with which scopes.
pub(super) fn requirements_up(list: Node<'_>) -> Result<Node<'_>> {
    list.each(|requirement| {
        let mut object = requirement.object()?;
        let schemes = match object.get("schemes") {
            // As the old package has it.
            Some(schemes) if schemes.is_object() => object.take("schemes").unwrap_or(Node::NULL),
            _ => Node::Object(object).each_member(|scopes| {
                let mut list = Object::default();
                list.push("list", Node::List(scopes.list()?));
                Ok(Node::Object(list))
            })?,
        };
        let mut v1_0 = Object::default();
        v1_0.push("schemes", schemes);
        Ok(Node::Object(v1_0))
    })
}

pub(super) fn requirements_down(list: Node<'_>) -> Result<Node<'_>> {
    list.each(|requirement| {
        let schemes = requirement.object()?.take_some("schemes").unwrap_or(Node::EMPTY);
        schemes.each_member(|scopes| {
            let mut scopes = scopes.object()?;
            scopes.take(KEPT);
            Ok(scopes.take_some("list").unwrap_or(Node::List(Vec::new())))
        })
    })
}
