//! Webhooks: nested in 0.3, flat in 1.0, and addressed by resource names in the old package.

use super::super::tree::{Node, Object};
use super::super::{Error, KEPT, Result};
use super::shape::{Down, Odd, Rule, Shape, Spelling, Up, member, same, take_over};

/// The webhook itself.
pub(super) static CONFIG: Shape = Shape {
    kind: None,
    members: &[
        same("id", Rule::Filled),
        same("url", Rule::Same),
        same("token", Rule::Same),
        same("authentication", Rule::Object(&AUTHENTICATION)),
    ],
    odd: None,
};

static AUTHENTICATION: Shape = Shape {
    kind: None,
    members: &[same("credentials", Rule::Same)],
    odd: Some(&Odd { names: &["schemes"], up: authentication_up, down: authentication_down }),
};

/// The webhook of a task, as it is set and as it comes back.
pub(super) static OF_TASK: Shape = Shape {
    kind: None,
    members: &[same("taskId", Rule::Required)],
    odd: Some(&Odd { names: &[INNER], up: of_task_up, down: of_task_down }),
};

/// The same in HTTP+JSON.
pub(super) static OF_NAME: Shape = Shape {
    kind: None,
    members: &[],
    odd: Some(&Odd {
        names: &[INNER, "name", "parent", "config", "configId"],
        up: of_name_up,
        down: of_name_down,
    }),
};

/// All webhooks of a task.
pub(super) static ALL: Shape = Shape {
    kind: None,
    members: &[member("id", "taskId", Rule::Same), member("metadata", "", Rule::Only)],
    odd: None,
};

/// The same in HTTP+JSON.
pub(super) static ALL_NAME: Shape = Shape {
    kind: None,
    members: &[],
    odd: Some(&Odd { names: &["parent"], up: all_name_up, down: all_name_down }),
};

/// Which webhook of which task.
pub(super) static WHICH: Shape = Shape {
    kind: None,
    members: &[member("id", "taskId", Rule::Same), member("metadata", "", Rule::Only)],
    odd: Some(&Odd { names: &[CONFIG_ID], up: which_up, down: which_down }),
};

/// The same in HTTP+JSON.
pub(super) static WHICH_NAME: Shape = Shape {
    kind: None,
    members: &[member("metadata", "", Rule::Only)],
    odd: Some(&Odd { names: &["name"], up: which_name_up, down: which_name_down }),
};

const INNER: &str = "pushNotificationConfig";
const CONFIG_ID: &str = "pushNotificationConfigId";
/// The members of 1.0 that are nested in 0.3.
const NESTED: [&str; 4] = ["id", "url", "token", "authentication"];

/// 1.0 has room for one scheme.
fn authentication_up(up: &mut Up<'_>) -> Result<()> {
    let Some(schemes) = up.v0_3.take_some("schemes") else { return Ok(()) };
    let list = schemes.clone().list().map_err(|error| error.within("schemes"))?;
    let first = list.first().cloned().unwrap_or_else(|| Node::string(""));
    if list.len() > 1 || (list.len() == 1 && first.is_empty_string()) {
        up.kept.push("schemes", schemes);
    }
    up.v1_0.push("scheme", first);
    Ok(())
}

fn authentication_down(down: &mut Down<'_>) -> Result<()> {
    let scheme = down.v1_0.take_some("scheme").unwrap_or_else(|| Node::string(""));
    let kept = down.kept.take("schemes").map(Node::list).transpose()?;
    let schemes = match kept {
        Some(kept) if kept.first() == Some(&scheme) => kept,
        _ if scheme.is_empty_string() => Vec::new(),
        _ => vec![scheme],
    };
    down.v0_3.push("schemes", Node::List(schemes));
    Ok(())
}

fn of_task_up(up: &mut Up<'_>) -> Result<()> {
    let Some(config) = up.v0_3.take_some(INNER) else { return Ok(()) };
    let config = CONFIG.up(config, up.spelling).map_err(|error| error.within(INNER))?;
    take_over(INNER, config, up)
}

fn of_task_down(down: &mut Down<'_>) -> Result<()> {
    let mut config = Object::default();
    for name in NESTED {
        if let Some(value) = down.v1_0.take(name) {
            config.push(name, value);
        }
    }
    if let Some(kept) = down.kept.take(INNER) {
        config.push(KEPT, kept);
    }
    let config = CONFIG.down(Node::Object(config), down.spelling).map_err(|error| error.within(INNER))?;
    down.v0_3.push(INNER, config);
    Ok(())
}

/// What is asked for comes in one of two forms: the specification's, and that of SDKs which wrap it once more.
fn of_name_up(up: &mut Up<'_>) -> Result<()> {
    let (parent, _) = taken(up, "parent");
    let own = up.v0_3.take_some("configId").filter(|id| !id.is_empty_string());
    if let Some(config) = up.v0_3.take_some("config") {
        let config = OF_NAME.up(config, up.spelling).map_err(|error| error.within("config"))?;
        take_over("config", config, up)?;
    } else {
        of_task_up(up)?;
        let (task, config) = taken(up, "name");
        up.v1_0.push("taskId", Node::string(&task));
        if up.v1_0.get("id").is_none() && !config.is_empty() {
            up.v1_0.push("id", Node::string(&config));
        }
    }
    if !parent.is_empty() {
        up.v1_0.take("taskId");
        up.v1_0.push("taskId", Node::string(&parent));
    }
    if let (None, Some(id)) = (up.v1_0.get("id"), own) {
        up.v1_0.push("id", id);
    }
    Ok(())
}

/// The specification's form. What was kept of a wrapping has no place in it.
fn of_name_down(down: &mut Down<'_>) -> Result<()> {
    let name = name(&text(down, "taskId"), &text(down, "id"));
    down.kept.take("config");
    of_task_down(down)?;
    down.v0_3.push("name", Node::string(&name));
    Ok(())
}

/// Agents of 0.3 let a task's webhook go without an id, and take the task's for it.
fn which_up(up: &mut Up<'_>) -> Result<()> {
    if let Some(id) = up.v0_3.take_some(CONFIG_ID) {
        up.v1_0.push("id", id);
    } else if let Some(task) = up.v0_3.get("id").cloned() {
        up.kept.push(CONFIG_ID, Node::NULL);
        up.v1_0.push("id", task);
    }
    Ok(())
}

fn which_down(down: &mut Down<'_>) -> Result<()> {
    let left_out = down.kept.take(CONFIG_ID).is_some_and(|kept| kept.is_null());
    match down.v1_0.take_some("id") {
        Some(id) if !left_out => down.v0_3.push(CONFIG_ID, id),
        _ => {}
    }
    Ok(())
}

fn which_name_up(up: &mut Up<'_>) -> Result<()> {
    if up.v0_3.get("name").is_none() {
        return Err(Error::invalid("missing: tasks/TASK/pushNotificationConfigs/CONFIG").within("name"));
    }
    let (task, config) = taken(up, "name");
    up.v1_0.push("taskId", Node::string(&task));
    up.v1_0.push("id", Node::string(&config));
    Ok(())
}

fn which_name_down(down: &mut Down<'_>) -> Result<()> {
    let name = name(&text(down, "taskId"), &text(down, "id"));
    down.v0_3.push("name", Node::string(&name));
    Ok(())
}

fn all_name_up(up: &mut Up<'_>) -> Result<()> {
    let (task, _) = taken(up, "parent");
    up.v1_0.push("taskId", Node::string(&task));
    Ok(())
}

fn all_name_down(down: &mut Down<'_>) -> Result<()> {
    let parent = name(&text(down, "taskId"), "");
    down.v0_3.push("parent", Node::string(&parent));
    Ok(())
}

/// The ids in a member that is a resource name.
fn taken(up: &mut Up<'_>, member: &str) -> (String, String) {
    let name = up.v0_3.take_some(member);
    name.as_ref().and_then(Node::as_string).map(|name| resource(&name)).unwrap_or_default()
}

/// What a member of 1.0 says; nothing if it is not there.
fn text(down: &Down<'_>, member: &str) -> String {
    down.v1_0.get(member).and_then(Node::as_string).unwrap_or_default().into_owned()
}

/// The ids of a task and of its webhook in a resource name; empty where there is none.
pub(super) fn resource(name: &str) -> (String, String) {
    const INFIX: &str = "/pushNotificationConfigs/";
    let rest = name.strip_prefix("tasks/").unwrap_or(name);
    let (task, config) = rest.split_once(INFIX).unwrap_or((rest, ""));
    (task.to_owned(), config.to_owned())
}

/// The resource name of a task, or of a webhook of it.
pub(super) fn name(task: &str, config: &str) -> String {
    if config.is_empty() {
        format!("tasks/{task}")
    } else {
        format!("tasks/{task}/pushNotificationConfigs/{config}")
    }
}

/// The webhooks of a task: a bare list in JSON-RPC.
pub(super) fn list_up<'a>(value: Node<'a>, spelling: Spelling) -> Result<Node<'a>> {
    let configs = if value.is_list() {
        value
    } else {
        value.object()?.take_some("configs").unwrap_or(Node::List(Vec::new()))
    };
    let mut v1_0 = Object::default();
    v1_0.push("configs", configs.each(|config| of(spelling).up(config, spelling))?);
    Ok(Node::Object(v1_0))
}

/// The same to 0.3, which has no pages: whoever asks for them puts them together.
pub(super) fn list_down<'a>(value: Node<'a>, spelling: Spelling) -> Result<Node<'a>> {
    let configs = value.object()?.take_some("configs").unwrap_or(Node::List(Vec::new()));
    let configs = configs.each(|config| of(spelling).down(config, spelling))?;
    if spelling == Spelling::Rpc {
        return Ok(configs);
    }
    let mut v0_3 = Object::default();
    v0_3.push("configs", configs);
    Ok(Node::Object(v0_3))
}

/// A webhook of a task in that spelling.
pub(super) fn of(spelling: Spelling) -> &'static Shape {
    match spelling {
        Spelling::Rpc => &OF_TASK,
        Spelling::Rest => &OF_NAME,
    }
}
