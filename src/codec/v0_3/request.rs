//! What callers ask with.

use super::super::Result;
use super::super::tree::Node;
use super::message::MESSAGE;
use super::push;
use super::shape::{Down, Odd, Rule, Shape, Spelling, Up, member, same};
use super::task::STATES;

pub(super) static SEND: Shape = Shape {
    kind: None,
    members: &[
        same("message", Rule::Object(&MESSAGE)),
        same("configuration", Rule::Object(&CONFIGURATION)),
        same("metadata", Rule::Same),
    ],
    odd: Some(&Odd { names: &["request"], up: send_up, down: send_down }),
};

const MODES: &str = "acceptedOutputModes";

static CONFIGURATION: Shape = Shape {
    kind: None,
    members: &[
        same(MODES, Rule::Same),
        same("historyLength", Rule::Same),
        member("pushNotificationConfig", "taskPushNotificationConfig", Rule::Object(&push::CONFIG)),
    ],
    odd: Some(&Odd {
        names: &["blocking", "pushNotification"],
        up: configuration_up,
        down: configuration_down,
    }),
};

/// A task, of which 1.0 takes the request's metadata only when it is given up.
pub(super) static READ: Shape = Shape {
    kind: None,
    members: &[same("id", Rule::Same), same("historyLength", Rule::Same), member("metadata", "", Rule::Only)],
    odd: None,
};

/// The same in HTTP+JSON.
pub(super) static READ_NAME: Shape = Shape {
    kind: None,
    members: &[same("historyLength", Rule::Same), member("metadata", "", Rule::Only)],
    odd: Some(&NAMED),
};

pub(super) static CANCEL: Shape =
    Shape { kind: None, members: &[same("id", Rule::Same), same("metadata", Rule::Same)], odd: None };

/// The same in HTTP+JSON.
pub(super) static CANCEL_NAME: Shape =
    Shape { kind: None, members: &[same("metadata", Rule::Same)], odd: Some(&NAMED) };

/// Tasks page by page, as one SDK of 0.3 asks for them beyond the specification.
pub(super) static LIST: Shape = Shape {
    kind: None,
    members: &[
        member("context_id", "contextId", Rule::Same),
        same("status", Rule::Word(&STATES)),
        member("page_size", "pageSize", Rule::Same),
        member("page_token", "pageToken", Rule::Same),
        member("history_length", "historyLength", Rule::Same),
        member("last_updated_after", "statusTimestampAfter", Rule::Time),
        member("include_artifacts", "includeArtifacts", Rule::Same),
    ],
    odd: None,
};

/// Who asks for the extended card says nothing more.
pub(super) static CARD: Shape = Shape { kind: None, members: &[], odd: None };

/// HTTP+JSON names a task as a resource.
static NAMED: Odd = Odd { names: &["name"], up: named_up, down: named_down };

fn named_up(up: &mut Up<'_>) -> Result<()> {
    let name = up.v0_3.take_some("name");
    let task = name.as_ref().and_then(Node::as_string).map(|name| push::resource(&name).0);
    up.v1_0.push("id", Node::string(&task.unwrap_or_default()));
    Ok(())
}

fn named_down(down: &mut Down<'_>) -> Result<()> {
    let task = down.v1_0.take("id");
    let task = task.as_ref().and_then(Node::as_string).unwrap_or_default();
    down.v0_3.push("name", Node::string(&push::name(&task, "")));
    Ok(())
}

/// HTTP+JSON may have the name that the schema has.
fn send_up(up: &mut Up<'_>) -> Result<()> {
    up.v0_3.rename("request", "message");
    if up.spelling == Spelling::Rest && up.v0_3.get("configuration").is_none() {
        up.kept.push("configuration", Node::NULL);
    }
    Ok(())
}

/// Agents on HTTP+JSON take a configuration that is not there for one that says not to wait.
fn send_down(down: &mut Down<'_>) -> Result<()> {
    let unsaid = down.kept.get("configuration").is_some_and(Node::is_null);
    if unsaid {
        down.kept.take("configuration");
    }
    if down.spelling == Spelling::Rest && !unsaid && down.v0_3.get("configuration").is_none() {
        let configuration = CONFIGURATION.down(Node::EMPTY, Spelling::Rest)?;
        down.v0_3.push("configuration", configuration);
    }
    Ok(())
}

/// 0.3 says whether to wait, 1.0 whether not to. Who says nothing waits, but over HTTP+JSON, where false is left out. That
/// nothing was said is kept.
fn configuration_up(up: &mut Up<'_>) -> Result<()> {
    up.v0_3.rename("pushNotification", "pushNotificationConfig");
    // Nothing in 1.0; the oldest agents do not do without it.
    if up.v0_3.get(MODES).is_some_and(Node::is_empty_list)
        && let Some(none) = up.v0_3.take(MODES)
    {
        up.kept.push(MODES, none);
    }
    let at_once = match up.v0_3.take_some("blocking") {
        Some(blocking) if blocking.is_true() => Some(false),
        Some(blocking) if blocking == Node::FALSE => Some(true),
        Some(blocking) => return Err(blocking.other_type("true or false").within("blocking")),
        None => {
            up.kept.push("blocking", Node::NULL);
            (up.spelling == Spelling::Rest).then_some(true)
        }
    };
    if let Some(at_once) = at_once {
        up.v1_0.push("returnImmediately", Node::bool(at_once));
    }
    Ok(())
}

fn configuration_down(down: &mut Down<'_>) -> Result<()> {
    if down.spelling == Spelling::Rest {
        down.v0_3.rename("pushNotificationConfig", "pushNotification");
    }
    if down.v0_3.get(MODES).is_none()
        && let Some(none) = down.kept.take(MODES).filter(Node::is_empty_list)
    {
        down.v0_3.push(MODES, none);
    }
    let at_once = down.v1_0.take("returnImmediately").is_some_and(|value| value.is_true());
    let unsaid = down.kept.take("blocking").is_some_and(|kept| kept.is_null());
    let means_at_once = down.spelling == Spelling::Rest;
    if !unsaid || at_once != means_at_once {
        down.v0_3.push("blocking", Node::bool(!at_once));
    }
    Ok(())
}
