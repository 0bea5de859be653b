//! The routes as one table, read from paths by the server and written into paths by the client.

use std::borrow::Cow;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::a2a::{Dialect, Operation};

/// What is escaped in a segment of a path or in a query: all but the unreserved (RFC 3986 §2.3). A colon too, because it
/// begins a verb.
pub(super) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One path of an operation.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) operation: Operation,
    pub(super) dialect: Dialect,
    /// The methods that are served, of which the first is sent, and another where that is not allowed.
    pub(super) methods: &'static [Method],
    /// In 1.0, the tenant may come before it.
    path: &'static str,
    /// The members of the request that the path tells.
    pub(super) members: &'static [(&'static str, Text)],
    /// How a body that is not the whole request becomes it.
    pub(super) wrapping: Option<Wrapping>,
}

/// What is put around a body that is only a member of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrapping {
    /// The member that the body is.
    pub(super) member: &'static str,
    /// The member that has the id of what is in it.
    pub(super) id: &'static str,
    /// The body's own member that names it, and how.
    pub(super) name: &'static str,
    pub(super) texts: [Text; 2],
}

/// A text with `{task}` and `{config}` in it.
pub(super) type Text = &'static str;

/// What a path tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// Empty if there is none.
    pub(super) tenant: String,
    task: Option<String>,
    config: Option<String>,
}

/// Why a path leads nowhere.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Lost {
    /// It is there, but not for that method: for these.
    Method(Vec<Method>),
    /// No such path.
    Path,
    /// An escape in it is none, or no UTF-8.
    Text,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];

const TASK: &[(&str, Text)] = &[("id", "{task}")];
const CONFIGS: &[(&str, Text)] = &[("taskId", "{task}")];
const CONFIG: &[(&str, Text)] = &[("taskId", "{task}"), ("id", "{config}")];
/// In 0.3, requests name what they are about by its resource name.
const OLD_TASK: &[(&str, Text)] = &[("name", "tasks/{task}")];
const OLD_CONFIGS: &[(&str, Text)] = &[("parent", "tasks/{task}")];
const OLD_CONFIG: &[(&str, Text)] = &[("name", "tasks/{task}/pushNotificationConfigs/{config}")];

const WRAPPING: Wrapping = Wrapping {
    member: "config",
    id: "configId",
    name: "name",
    texts: ["tasks/{task}/pushNotificationConfigs/{config}", "tasks/{task}"],
};

/// Every route; where a path fits several, the first one counts, so that those with a verb come first. The
/// specification has `POST` for `:subscribe` in its text, as every SDK sends it in 1.0, and `GET` in its schema.
#[rustfmt::skip]
pub(super) static ROUTES: [Route; 22] = {
    use Operation as O;

    const fn new(operation: O, methods: &'static [Method], path: &'static str, members: &'static [(&'static str, Text)]) -> Route {
        Route { operation, dialect: Dialect::V1_0, methods, path, members, wrapping: None }
    }
    const fn old(operation: O, methods: &'static [Method], path: &'static str, members: &'static [(&'static str, Text)]) -> Route {
        Route { operation, dialect: Dialect::V0_3, methods, path, members, wrapping: None }
    }
    [
        new(O::SendMessage, POST, "message:send", &[]),
        new(O::SendStreamingMessage, POST, "message:stream", &[]),
        new(O::CancelTask, POST, "tasks/{task}:cancel", TASK),
        new(O::SubscribeToTask, &[Method::POST, Method::GET], "tasks/{task}:subscribe", TASK),
        new(O::GetTask, GET, "tasks/{task}", TASK),
        new(O::ListTasks, GET, "tasks", &[]),
        new(O::CreateTaskPushNotificationConfig, POST, "tasks/{task}/pushNotificationConfigs", CONFIGS),
        new(O::ListTaskPushNotificationConfigs, GET, "tasks/{task}/pushNotificationConfigs", CONFIGS),
        new(O::GetTaskPushNotificationConfig, GET, "tasks/{task}/pushNotificationConfigs/{config}", CONFIG),
        new(O::DeleteTaskPushNotificationConfig, DELETE, "tasks/{task}/pushNotificationConfigs/{config}", CONFIG),
        new(O::GetExtendedAgentCard, GET, "extendedAgentCard", &[]),

        old(O::SendMessage, POST, "v1/message:send", &[]),
        old(O::SendStreamingMessage, POST, "v1/message:stream", &[]),
        old(O::CancelTask, POST, "v1/tasks/{task}:cancel", OLD_TASK),
        old(O::SubscribeToTask, &[Method::GET, Method::POST], "v1/tasks/{task}:subscribe", OLD_TASK),
        old(O::GetTask, GET, "v1/tasks/{task}", OLD_TASK),
        old(O::ListTasks, GET, "v1/tasks", &[]),
        Route { wrapping: Some(WRAPPING), ..old(O::CreateTaskPushNotificationConfig, POST, "v1/tasks/{task}/pushNotificationConfigs", OLD_CONFIGS) },
        old(O::ListTaskPushNotificationConfigs, GET, "v1/tasks/{task}/pushNotificationConfigs", OLD_CONFIGS),
        old(O::GetTaskPushNotificationConfig, GET, "v1/tasks/{task}/pushNotificationConfigs/{config}", OLD_CONFIG),
        old(O::DeleteTaskPushNotificationConfig, DELETE, "v1/tasks/{task}/pushNotificationConfigs/{config}", OLD_CONFIG),
        old(O::GetExtendedAgentCard, GET, "v1/card", &[]),
    ]
};

/// The dialect of a path, of which the caller may have said the version. Without a word, `v1` is no tenant: callers of 0.3
/// do not say what they speak.
pub(super) fn dialect(path: &str, said: Option<Dialect>) -> Dialect {
    if said != Some(Dialect::V1_0) && path.starts_with("v1/") { Dialect::V0_3 } else { Dialect::V1_0 }
}

/// The route of a path below an agent's base, without a slash in front, and what the path tells.
pub(super) fn find(
    method: &Method,
    path: &str,
    said: Option<Dialect>,
) -> Result<(&'static Route, Place), Lost> {
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let first = dialect(path, said);
    let mut found = find_in(first, method, &segments, 0);
    // The shortest tenant that fits is meant: mostly none.
    let mut tenant = 0;
    while matches!(found, Err(Lost::Path)) && tenant < segments.len() {
        found = find_in(Dialect::V1_0, method, &segments, tenant);
        tenant += 1;
    }
    found
}

/// Looks for a path in one dialect, behind so many segments of a tenant.
fn find_in(
    dialect: Dialect,
    method: &Method,
    segments: &[&str],
    tenant: usize,
) -> Result<(&'static Route, Place), Lost> {
    // Nothing, `.` and `..` lead elsewhere, and name nobody.
    let names = |segment: &&str| !["", ".", ".."].contains(segment);
    let Some((tenant, rest)) = segments.split_at_checked(tenant) else { return Err(Lost::Path) };
    if !segments.iter().all(names) {
        return Err(Lost::Path);
    }
    let mut allowed = Vec::new();
    for route in ROUTES.iter().filter(|route| route.dialect == dialect) {
        let Some(place) = route.place(rest) else { continue };
        if route.methods.contains(method) {
            let mut place = place.map_err(|Unreadable| Lost::Text)?;
            place.tenant = decode(&tenant.join("/")).ok_or(Lost::Text)?;
            return Ok((route, place));
        }
        allowed.extend(
            route.methods.iter().filter(|method| !allowed.contains(*method)).cloned().collect::<Vec<_>>(),
        );
    }
    Err(if allowed.is_empty() { Lost::Path } else { Lost::Method(allowed) })
}

/// An escape that is none.
struct Unreadable;

impl Route {
    /// The route of an operation.
    pub(super) fn of(operation: Operation, dialect: Dialect) -> Option<&'static Self> {
        ROUTES.iter().find(|route| route.operation == operation && route.dialect == dialect)
    }

    /// What these segments tell, if they are this route.
    fn place(&self, segments: &[&str]) -> Option<Result<Place, Unreadable>> {
        if self.path.split('/').count() != segments.len() {
            return None;
        }
        let mut told = Vec::new();
        for (part, segment) in self.path.split('/').zip(segments) {
            match variable(part) {
                Some(("", name, verb)) => {
                    let id = segment.strip_suffix(verb).filter(|id| !id.is_empty())?;
                    told.push((name, id));
                }
                _ if part == *segment => {}
                _ => return None,
            }
        }
        let mut place = Place::default();
        for (name, id) in told {
            let Some(id) = decode(id) else { return Some(Err(Unreadable)) };
            place.set(name, id);
        }
        Some(Ok(place))
    }

    /// The path that tells a place, without a slash in front; `Err` names the member that no path can tell.
    pub(super) fn path(&self, place: &Place) -> Result<String, &'static str> {
        let mut path = String::new();
        if !place.tenant.is_empty() && self.dialect == Dialect::V1_0 {
            path.push_str(&escape(&place.tenant).ok_or("tenant")?);
            path.push('/');
        }
        let mut rest = self.path;
        while let Some((before, name, after)) = variable(rest) {
            path.push_str(before);
            let id = place.get(name).and_then(escape);
            path.push_str(&id.ok_or_else(|| self.member_of(name))?);
            rest = after;
        }
        path.push_str(rest);
        Ok(path)
    }

    /// The member of the request that tells a variable of the path.
    fn member_of(&self, variable: &str) -> &'static str {
        let tells = |text: &str| text.contains(&format!("{{{variable}}}"));
        self.members.iter().find(|(_, text)| tells(text)).map_or("id", |(member, _)| member)
    }
}

impl Place {
    fn set(&mut self, variable: &str, id: String) {
        let slot = if variable == "task" { &mut self.task } else { &mut self.config };
        *slot = Some(id);
    }

    fn get(&self, variable: &str) -> Option<&str> {
        let slot = if variable == "task" { &self.task } else { &self.config };
        slot.as_deref()
    }

    /// The id of a webhook.
    pub(super) fn config(&self) -> Option<&str> {
        self.config.as_deref()
    }

    /// A text with what this place says in the place of its variables.
    pub(super) fn fill(&self, text: Text) -> String {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, name, after)) = variable(rest) {
            filled.push_str(before);
            filled.push_str(self.get(name).unwrap_or_default());
            rest = after;
        }
        filled + rest
    }

    /// Learns what a text tells that was filled; whether it was.
    pub(super) fn learn(&mut self, text: Text, mut filled: &str) -> bool {
        let mut rest = text;
        while let Some((before, name, after)) = variable(rest) {
            let Some(value) = filled.strip_prefix(before) else { return false };
            let until = variable(after).map_or(after, |(until, ..)| until);
            let end = if until.is_empty() { Some(value.len()) } else { value.find(until) };
            let Some((id, behind)) = end.and_then(|end| value.split_at_checked(end)) else { return false };
            self.set(name, id.to_owned());
            (rest, filled) = (after, behind);
        }
        rest == filled
    }
}

/// The first variable of a text, between what comes before and behind it.
fn variable(text: Text) -> Option<(&'static str, &'static str, &'static str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

/// A text without its escapes; `None` if it is no UTF-8 or has an escape that is none.
pub(super) fn decode(text: &str) -> Option<String> {
    let broken = text.match_indices('%').any(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    (!broken).then(|| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)).flatten()
}

/// A text as one segment of a path. Nothing, `.` and `..` are no segments: whoever reads them is led elsewhere, however they
/// are escaped.
fn escape(text: &str) -> Option<String> {
    (!["", ".", ".."].contains(&text)).then(|| utf8_percent_encode(text, ESCAPED).to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(method: &str, path: &str, said: Option<Dialect>) -> String {
        match find(&method.parse().unwrap(), path, said) {
            Ok((route, place)) => {
                let ids = [Some(place.tenant), place.task, place.config];
                let ids: Vec<_> = ids.into_iter().flatten().filter(|id| !id.is_empty()).collect();
                format!("{} {} {}", route.dialect.as_str(), route.operation, ids.join(" "))
            }
            Err(lost) => format!("{lost:?}"),
        }
    }

    #[test]
    fn every_route_of_the_published_table_is_served_with_and_without_a_tenant() {
        let table = include_str!("../../../tests/golden/schema/a2a-v1-methods.tsv");
        let mut count = 0;
        for line in table.lines().skip(1) {
            let [rpc, .., http] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            for route in http.split(" | ") {
                let (method, path) = route.split_once(" /").unwrap();
                let path = path.replace("{id=*}", "1").replace("{task_id=*}", "2").replace("{tenant}", "3");
                assert!(found(method, &path, None).starts_with(&format!("1.0 {rpc} ")), "{route}");
                assert_eq!(found(method, &path, None), found(method, &format!("{path}/"), None));
                count += 1;
            }
        }
        assert_eq!(count, 22);
    }

    #[test]
    fn ids_tenants_and_verbs_are_told_apart() {
        for (method, path, expected) in [
            ("GET", "tasks/a%2Fb%20c", "1.0 GetTask a/b c"),
            ("GET", "tasks/a%3Asubscribe", "1.0 GetTask a:subscribe"),
            ("GET", "tasks/a:cancel", "1.0 GetTask a:cancel"),
            ("GET", "tasks/a:b:subscribe", "1.0 SubscribeToTask a:b"),
            ("POST", "tasks/a:subscribe", "1.0 SubscribeToTask a"),
            ("POST", "tasks/a:b:cancel", "1.0 CancelTask a:b"),
            ("GET", "tasks/tasks", "1.0 GetTask tasks"),
            ("GET", "acme%2Feu/tasks/t", "1.0 GetTask acme/eu t"),
            ("GET", "acme/eu/tasks/t", "1.0 GetTask acme/eu t"),
            ("POST", "%C3%BC/message:send", "1.0 SendMessage ü"),
            ("GET", "v1/tasks/t", "0.3 GetTask t"),
            ("GET", "v1/tasks/t:subscribe/", "0.3 SubscribeToTask t"),
            ("GET", "v1/card", "0.3 GetExtendedAgentCard "),
            ("GET", "v1/extendedAgentCard", "1.0 GetExtendedAgentCard v1"),
            ("GET", "tasks/%ff", "Text"),
            ("GET", "tasks/%2", "Text"),
            ("GET", "%zz/tasks", "Text"),
            ("GET", "message:send", "Method([POST])"),
            ("PUT", "tasks/t:cancel", "Method([POST, GET])"),
            ("PUT", "v1/tasks/t/pushNotificationConfigs/p", "Method([GET, DELETE])"),
            ("DELETE", "x/tasks/t/pushNotificationConfigs", "Method([POST, GET])"),
            ("POST", "message%3Asend", "Path"),
            ("POST", "tasks/:cancel", "Method([GET])"),
            ("GET", "/tasks", "Path"),
            ("GET", "tasks//pushNotificationConfigs/x", "Path"),
            ("GET", "", "Path"),
            ("GET", "v1/cards", "Path"),
            ("GET", "v1/../tasks/t", "Path"),
            ("GET", "tasks/..", "Path"),
            ("POST", "agents/currency", "Path"),
        ] {
            assert_eq!(found(method, path, None), expected, "{method} {path}");
        }
        assert_eq!(found("GET", "v1/tasks/t", Some(Dialect::V1_0)), "1.0 GetTask v1 t");
        assert_eq!(found("GET", "v1/tasks/t", Some(Dialect::V0_3)), "0.3 GetTask t");
        assert_eq!(found("GET", "tasks/t", Some(Dialect::V0_3)), "1.0 GetTask t");
    }

    #[test]
    fn what_no_segment_can_be_is_no_path() {
        for id in ["", ".", ".."] {
            let place = Place { task: Some(id.into()), ..Place::default() };
            let path = |dialect| Route::of(Operation::GetTask, dialect).unwrap().path(&place);
            assert_eq!((path(Dialect::V1_0), path(Dialect::V0_3)), (Err("id"), Err("name")));
        }
        let place = Place { tenant: "..".into(), ..Place::default() };
        assert_eq!(Route::of(Operation::ListTasks, Dialect::V1_0).unwrap().path(&place), Err("tenant"));
    }

    proptest! {
        #[test]
        fn every_tenant_and_every_id_survives_its_path(tenant in "\\PC{0,8}|[/:.%{}]{0,4}", task in "\\PC{1,8}|[/:.%{}]{1,4}", config in any::<String>()) {
            let fits = |text: &str| ![".", ".."].contains(&text);
            prop_assume!(fits(&tenant) && fits(&task) && fits(&config) && !config.is_empty() && tenant != "tasks");
            for route in &ROUTES {
                let mut place = Place::default();
                if route.dialect == Dialect::V1_0 {
                    place.tenant.clone_from(&tenant);
                }
                if route.path.contains("{task}") {
                    place.task = Some(task.clone());
                }
                if route.path.contains("{config}") {
                    place.config = Some(config.clone());
                }
                let path = route.path(&place).unwrap();
                let (found, there) = find(&route.methods[0], &path, Some(route.dialect)).unwrap();
                prop_assert_eq!((found.operation, found.dialect), (route.operation, route.dialect), "{}", path);
                prop_assert_eq!(&there, &place);
            }
        }

        #[test]
        fn what_a_text_was_filled_with_can_be_learned_from_it(task in "[^/]{1,8}", config in "\\PC{1,8}") {
            let place = Place { task: Some(task), config: Some(config), ..Place::default() };
            for text in ROUTES.iter().flat_map(|route| route.members).map(|(_, text)| *text) {
                let mut learned = Place::default();
                prop_assert!(learned.learn(text, &place.fill(text)), "{}", text);
                prop_assert_eq!(learned.fill(text), place.fill(text));
            }
        }
    }
}
