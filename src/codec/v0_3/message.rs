//! Messages, their parts, and artifacts.

use base64_simd::STANDARD;

use super::super::tree::{Node, Object};
use super::super::{Error, KEPT, Result};
use super::shape::{Down, Odd, Rule, Shape, Spelling, Up, Words, member, same, take_over};

/// Says in a part's metadata that its data is wrapped in an object, which 0.3 asks for (a convention of the SDKs).
const COMPAT: &str = "data_part_compat";

pub(super) static MESSAGE: Shape = Shape {
    kind: Some("message"),
    members: &[
        same("messageId", Rule::Same),
        same("contextId", Rule::Filled),
        same("taskId", Rule::Filled),
        same("role", Rule::Word(&ROLES)),
        same("parts", Rule::Each(&PART)),
        same("metadata", Rule::Same),
        same("extensions", Rule::Same),
        same("referenceTaskIds", Rule::Same),
    ],
    odd: Some(&Odd { names: &["content"], up: message_up, down: message_down }),
};

static ROLES: Words = Words {
    otherwise: "agent",
    words: &[("user", "ROLE_USER", "ROLE_USER"), ("agent", "ROLE_AGENT", "ROLE_AGENT")],
};

pub(super) static ARTIFACT: Shape = Shape {
    kind: None,
    members: &[
        same("artifactId", Rule::Same),
        same("name", Rule::Same),
        same("description", Rule::Same),
        same("parts", Rule::Each(&PART)),
        same("metadata", Rule::Same),
        same("extensions", Rule::Same),
    ],
    odd: None,
};

/// Its content is a oneof in 1.0, and a member of its own for each kind in 0.3.
static PART: Shape = Shape {
    kind: None,
    members: &[same("text", Rule::Same), same("metadata", Rule::Same)],
    odd: Some(&Odd { names: &["kind", "file", "data", COMPAT], up: part_up, down: part_down }),
};

static FILE: Shape = Shape {
    kind: None,
    members: &[
        member("bytes", "raw", Rule::Same),
        member("uri", "url", Rule::Same),
        member("mimeType", "mediaType", Rule::Filled),
        member("name", "filename", Rule::Filled),
    ],
    odd: Some(&Odd { names: &["fileWithBytes", "fileWithUri", ONCE], up: file_up, down: file_down }),
};

/// Kept of a file of HTTP+JSON whose bytes are in base64 only once, as the schema says. SDKs in Go, Java and Python write
/// base64 of the base64 that JSON-RPC has, and read nothing else.
const ONCE: &str = "base64Once";

/// The data of a part in the old package, where it is one level deeper.
static DATA: Shape = Shape { kind: None, members: &[same("data", Rule::Same)], odd: None };

fn message_up(up: &mut Up<'_>) -> Result<()> {
    up.v0_3.rename("content", "parts");
    Ok(())
}

fn message_down(down: &mut Down<'_>) -> Result<()> {
    if down.spelling == Spelling::Rest {
        down.v0_3.rename("parts", "content");
    }
    Ok(())
}

fn file_up(up: &mut Up<'_>) -> Result<()> {
    up.v0_3.rename("fileWithBytes", "bytes");
    up.v0_3.rename("fileWithUri", "uri");
    if up.spelling == Spelling::Rest
        && let Some(bytes) = up.v0_3.take_some("bytes")
    {
        let inner = bytes.as_string().and_then(|outer| base64_of_base64(&outer));
        if inner.is_none() && !bytes.is_empty_string() {
            up.kept.push(ONCE, Node::TRUE);
        }
        up.v0_3.push("bytes", inner.map_or(bytes, |inner| Node::string(&inner)));
    }
    // 1.0 has room for one of them.
    if up.v0_3.get("bytes").is_some_and(|bytes| !bytes.is_null())
        && let Some(uri) = up.v0_3.take_some("uri")
    {
        up.kept.push("uri", uri);
    }
    Ok(())
}

fn file_down(down: &mut Down<'_>) -> Result<()> {
    if down.v0_3.get("uri").is_none()
        && let Some(uri) = down.kept.take("uri")
    {
        down.v0_3.push("uri", uri);
    }
    let once = down.kept.take(ONCE).is_some();
    if down.spelling == Spelling::Rest {
        if let Some(bytes) = down.v0_3.take("bytes") {
            let twice =
                bytes.as_string().filter(|_| !once).map(|text| STANDARD.encode_to_string(text.as_bytes()));
            down.v0_3.push("bytes", twice.map_or(bytes, |twice| Node::string(&twice)));
        }
        down.v0_3.rename("bytes", "fileWithBytes");
        down.v0_3.rename("uri", "fileWithUri");
    }
    Ok(())
}

/// The base64 that base64 is of, if it is.
fn base64_of_base64(outer: &str) -> Option<String> {
    let inner = STANDARD.decode_to_vec(outer.as_bytes()).ok().filter(|inner| !inner.is_empty())?;
    STANDARD.check(&inner).ok()?;
    String::from_utf8(inner).ok()
}

/// The kinds of parts that both dialects know.
const KINDS: [&str; 3] = ["text", "file", "data"];

fn part_up(up: &mut Up<'_>) -> Result<()> {
    // The other name is older; beside the kind it is one that nobody knows.
    let kind = up.v0_3.take("kind").or_else(|| up.v0_3.take("type"));
    let has = |name| up.v0_3.get(name).is_some_and(|value| !value.is_null());
    if !KINDS.into_iter().any(has) && !up.v0_3.get("data").is_some_and(Node::is_null) {
        return match kind {
            // A later kind: the other side may know it.
            Some(kind) if kind.as_string().is_some_and(|kind| !KINDS.contains(&&*kind)) => {
                up.kept.push("kind", kind);
                Ok(())
            }
            _ => Err(Error::invalid("a part has a text, a file or data")),
        };
    }
    if let Some(file) = up.v0_3.take_some("file") {
        let file = FILE.up(file, up.spelling).map_err(|error| error.within("file"))?;
        take_over("file", file, up)?;
        if up.v1_0.get("raw").is_none() && up.v1_0.get("url").is_none() {
            return Err(Error::invalid("a file has bytes or a uri").within("file"));
        }
    }
    match (up.spelling, up.v0_3.take("data")) {
        (_, None) => Ok(()),
        (Spelling::Rpc, Some(data)) => data_up(data, up),
        (Spelling::Rest, Some(data)) => {
            let data = DATA.up(data, Spelling::Rest).map_err(|error| error.within("data"))?;
            take_over("data", data, up)?;
            let data = up.v1_0.take("data").unwrap_or(Node::EMPTY);
            data_up(data, up)
        }
    }
}

/// Data that is wrapped comes out of its object. Whether it was is kept where it could not be told on the way back.
fn data_up<'a>(data: Node<'a>, up: &mut Up<'a>) -> Result<()> {
    let mut wrapped = false;
    if let Some(metadata) = up.v0_3.take_some("metadata") {
        let mut metadata = metadata.object().map_err(|error| error.within("metadata"))?;
        wrapped = metadata.get(COMPAT).is_some_and(Node::is_true) && is_wrapped(&data)?;
        if wrapped {
            metadata.take(COMPAT);
        }
        if !(wrapped && metadata.is_empty()) {
            up.v0_3.push("metadata", Node::Object(metadata));
        }
    }
    let data = if wrapped { data.object()?.take("value").unwrap_or(Node::NULL) } else { data };
    if wrapped == data.is_object() {
        up.kept.push(COMPAT, Node::bool(wrapped));
    }
    up.v1_0.push("data", data);
    Ok(())
}

/// Whether data is an object with a value and nothing else.
fn is_wrapped(data: &Node<'_>) -> Result<bool> {
    if !data.is_object() {
        return Ok(false);
    }
    let names: Vec<String> = data.clone().object()?.names().map(str::to_owned).collect();
    Ok(names == ["value"])
}

fn part_down(down: &mut Down<'_>) -> Result<()> {
    let spelling = down.spelling;
    let kind = if down.v0_3.get("text").is_some() {
        Some("text")
    } else if let Some(file) = file_of(down) {
        let file = FILE.down(Node::Object(file), spelling).map_err(|error| error.within("file"))?;
        down.v0_3.push("file", file);
        Some("file")
    } else if let Some(data) = down.v1_0.take("data") {
        data_down(data, down)?;
        Some("data")
    } else {
        None
    };
    match (kind, down.kept.take("kind")) {
        (Some(kind), None) if spelling == Spelling::Rpc => down.v0_3.push("kind", Node::string(kind)),
        (Some(_), None) | (None, None) => {}
        (None, Some(kind)) if kind.as_string().is_some_and(|kind| !KINDS.contains(&&*kind)) => {
            down.v0_3.push("kind", kind);
        }
        (_, Some(_)) => return Err(Error::invalid("kept from 0.3, but of no use here").within("kind")),
    }
    Ok(())
}

/// The members of a file in 1.0, if that is what the part is.
fn file_of<'a>(down: &mut Down<'a>) -> Option<Object<'a>> {
    let is_file = ["raw", "url"].into_iter().any(|name| down.v1_0.get(name).is_some());
    is_file.then(|| {
        let mut file = Object::default();
        for name in ["raw", "url", "mediaType", "filename"] {
            if let Some(value) = down.v1_0.take(name) {
                file.push(name, value);
            }
        }
        if let Some(kept) = down.kept.take("file") {
            file.push(KEPT, kept);
        }
        file
    })
}

fn data_down<'a>(data: Node<'a>, down: &mut Down<'a>) -> Result<()> {
    let wrap = down.kept.take(COMPAT).map_or_else(|| !data.is_object(), |kept| kept.is_true());
    let mut object = Object::default();
    let data = if wrap {
        let metadata = down.v0_3.take("metadata").map_or_else(|| Ok(Object::default()), Node::object);
        let mut metadata = metadata.map_err(|error| error.within("metadata"))?;
        metadata.take(COMPAT);
        metadata.push(COMPAT, Node::TRUE);
        down.v0_3.push("metadata", Node::Object(metadata));
        object.push("value", data);
        Node::Object(object)
    } else {
        data
    };
    // What stood beside it one level deeper has no place in JSON-RPC.
    let beside = down.kept.take("data");
    let data = match down.spelling {
        Spelling::Rpc => data,
        Spelling::Rest => {
            let mut outer = Object::default();
            outer.push("data", data);
            if let Some(kept) = beside {
                outer.push(KEPT, kept);
            }
            DATA.down(Node::Object(outer), Spelling::Rest)?
        }
    };
    down.v0_3.push("data", data);
    Ok(())
}
