//! Tasks, and what happens to them.

use super::super::tree::{Node, Object};
use super::super::{Error, Result};
use super::message::{ARTIFACT, MESSAGE};
use super::shape::{Down, Odd, Rule, Shape, Spelling, Up, Words, member, same};

pub(super) static TASK: Shape = Shape {
    kind: Some("task"),
    members: &[
        same("id", Rule::Same),
        same("contextId", Rule::Required),
        same("status", Rule::Object(&STATUS)),
        same("history", Rule::Each(&MESSAGE)),
        same("artifacts", Rule::Each(&ARTIFACT)),
        same("metadata", Rule::Same),
    ],
    odd: Some(&Odd { names: &[], up: nothing, down: task_down }),
};

static STATUS: Shape = Shape {
    kind: None,
    members: &[
        same("state", Rule::Word(&STATES)),
        same("message", Rule::Object(&MESSAGE)),
        same("timestamp", Rule::Time),
    ],
    odd: Some(&Odd { names: &["update"], up: status_up, down: as_it_is }),
};

pub(super) static STATES: Words = Words {
    otherwise: "unknown",
    words: &[
        ("submitted", "TASK_STATE_SUBMITTED", "TASK_STATE_SUBMITTED"),
        ("working", "TASK_STATE_WORKING", "TASK_STATE_WORKING"),
        ("input-required", "TASK_STATE_INPUT_REQUIRED", "TASK_STATE_INPUT_REQUIRED"),
        ("completed", "TASK_STATE_COMPLETED", "TASK_STATE_COMPLETED"),
        ("canceled", "TASK_STATE_CANCELED", "TASK_STATE_CANCELLED"),
        ("failed", "TASK_STATE_FAILED", "TASK_STATE_FAILED"),
        ("rejected", "TASK_STATE_REJECTED", "TASK_STATE_REJECTED"),
        ("auth-required", "TASK_STATE_AUTH_REQUIRED", "TASK_STATE_AUTH_REQUIRED"),
        ("unknown", "TASK_STATE_UNSPECIFIED", "TASK_STATE_UNSPECIFIED"),
        // Only read.
        ("cancelled", "TASK_STATE_CANCELED", "TASK_STATE_CANCELLED"),
    ],
};

/// The states after which nothing happens, in both spellings.
const TERMINAL: [&str; 8] = [
    "completed",
    "canceled",
    "failed",
    "rejected",
    "TASK_STATE_COMPLETED",
    "TASK_STATE_CANCELLED",
    "TASK_STATE_FAILED",
    "TASK_STATE_REJECTED",
];

static STATUS_UPDATE: Shape = Shape {
    kind: Some("status-update"),
    members: &[
        same("taskId", Rule::Same),
        same("contextId", Rule::Same),
        same("status", Rule::Object(&STATUS)),
        same("metadata", Rule::Same),
        member("final", "", Rule::Only),
    ],
    odd: Some(&Odd { names: &[], up: update_up, down: update_down }),
};

static ARTIFACT_UPDATE: Shape = Shape {
    kind: Some("artifact-update"),
    members: &[
        same("taskId", Rule::Same),
        same("contextId", Rule::Same),
        same("artifact", Rule::Object(&ARTIFACT)),
        same("append", Rule::Same),
        same("lastChunk", Rule::Same),
        same("metadata", Rule::Same),
    ],
    odd: None,
};

/// Tasks page by page, as one SDK of 0.3 asks for them beyond the specification.
pub(super) static TASKS: Shape = Shape {
    kind: None,
    members: &[
        same("tasks", Rule::Each(&TASK)),
        member("total_size", "totalSize", Rule::Same),
        member("page_size", "pageSize", Rule::Same),
        member("next_page_token", "nextPageToken", Rule::Same),
    ],
    odd: None,
};

#[expect(clippy::unnecessary_wraps, reason = "other objects can fail")]
fn nothing(_: &mut Up<'_>) -> Result<()> {
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "other objects can fail")]
fn as_it_is(_: &mut Down<'_>) -> Result<()> {
    Ok(())
}

/// HTTP+JSON may have the name that the schema has.
#[expect(clippy::unnecessary_wraps, reason = "other objects can fail")]
fn status_up(up: &mut Up<'_>) -> Result<()> {
    up.v0_3.rename("update", "message");
    Ok(())
}

fn task_down(down: &mut Down<'_>) -> Result<()> {
    if down.v0_3.get("status").is_none() {
        down.v0_3.push("status", STATUS.down(Node::EMPTY, down.spelling)?);
    }
    Ok(())
}

/// HTTP+JSON leaves out what is false.
#[expect(clippy::unnecessary_wraps, reason = "other objects can fail")]
fn update_up(up: &mut Up<'_>) -> Result<()> {
    if up.spelling == Spelling::Rest && up.v0_3.get("final").is_none() {
        up.kept.push("final", Node::FALSE);
    }
    Ok(())
}

/// 0.3 must say whether an update is the last one of this interaction. After a terminal state nothing follows.
fn update_down(down: &mut Down<'_>) -> Result<()> {
    if down.v0_3.get("final").is_none() {
        let status = down.v0_3.get("status").cloned().map(Node::object).transpose()?;
        let state = status.as_ref().and_then(|status| status.get("state")?.as_string());
        let last = state.is_some_and(|state| TERMINAL.contains(&&*state));
        down.v0_3.push("final", Node::bool(last));
    }
    Ok(())
}

/// What a message or a stream is answered with: `kind`, the member of 1.0, and how it goes over.
static PAYLOADS: [(&str, &str, &Shape); 4] = [
    ("task", "task", &TASK),
    ("message", "message", &MESSAGE),
    ("status-update", "statusUpdate", &STATUS_UPDATE),
    ("artifact-update", "artifactUpdate", &ARTIFACT_UPDATE),
];

/// An answer of 0.3: bare in JSON-RPC, in a member of its own in HTTP+JSON.
pub(super) fn payload_up<'a>(value: Node<'a>, spelling: Spelling) -> Result<Node<'a>> {
    let mut object = value.object()?;
    let mut v1_0 = Object::default();
    if spelling == Spelling::Rest && object.get("kind").is_none() {
        // As the schema has it.
        object.rename("msg", "message");
    }
    let wrapped = PAYLOADS.iter().find(|(_, name, _)| {
        spelling == Spelling::Rest && object.get("kind").is_none() && object.get(name).is_some()
    });
    if let Some((_, name, shape)) = wrapped
        && let Some(payload) = object.take(name)
    {
        v1_0.push(*name, shape.up(payload, spelling).map_err(|error| error.within(name))?);
        return Ok(Node::Object(v1_0));
    }
    let kind = kind(&object)?;
    let known = PAYLOADS.iter().find(|(known, ..)| *known == kind);
    let (_, name, shape) = known.ok_or_else(|| {
        Error::invalid(format!("no answer is of kind {:?}", kind.chars().take(64).collect::<String>()))
            .within("kind")
    })?;
    v1_0.push(*name, shape.up(Node::Object(object), spelling)?);
    Ok(Node::Object(v1_0))
}

/// The kind of an answer. Old agents leave it to be inferred.
fn kind(object: &Object<'_>) -> Result<String> {
    if let Some(kind) = object.get("kind").and_then(Node::as_string) {
        return Ok(kind.into_owned());
    }
    let has = |name| object.get(name).is_some_and(|value| !value.is_null());
    let kind = if has("artifact") {
        "artifact-update"
    } else if has("status") && (has("final") || has("taskId")) {
        "status-update"
    } else if has("messageId") && has("parts") {
        "message"
    } else if has("id") && has("status") {
        "task"
    } else {
        return Err(Error::invalid("missing, and not to be inferred").within("kind"));
    };
    Ok(kind.to_owned())
}

/// An answer of 1.0 as one of 0.3.
pub(super) fn payload_down<'a>(value: Node<'a>, spelling: Spelling) -> Result<Node<'a>> {
    let mut object = value.object()?;
    for (_, name, shape) in &PAYLOADS {
        if let Some(payload) = object.take_some(name) {
            let payload = shape.down(payload, spelling).map_err(|error| error.within(name))?;
            if spelling == Spelling::Rpc {
                return Ok(payload);
            }
            let mut outer = Object::default();
            outer.push(*name, payload);
            return Ok(Node::Object(outer));
        }
    }
    Err(Error::invalid("an answer that 0.3 has no word for"))
}
