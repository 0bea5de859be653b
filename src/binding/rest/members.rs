//! Requests put together from path, query and body, and taken apart again. They stay text throughout: what a value is, and
//! how a number is spelled, is for the codec.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use percent_encoding::utf8_percent_encode;

use super::route::{ESCAPED, Place, Route, Wrapped, decode};
use crate::a2a::{Dialect, Fault, Reason};
use crate::codec;
use crate::codec::schema::{self, Kind, Message};
use crate::codec::text::{Scanner, number_len, write_string};

/// The version of A2A, as a parameter of the query (specification §3.6.1).
const VERSION: &str = "a2a-version";

/// The parameters of a query.
#[derive(Debug, Default)]
pub(super) struct Query {
    members: Vec<(String, String)>,
    /// The version of A2A, if it is said here instead of in a header.
    pub(super) version: Option<String>,
}

impl Query {
    /// Reads the text behind the question mark.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // As forms are encoded (WHATWG URL §5.1).
            let plain = |text: &str| decode(&text.replace('+', " "));
            let (Some(name), Some(value)) = (plain(name), plain(value)) else {
                return Err(wrong("", "an escape in the query is none, or no UTF-8"));
            };
            let version = name.eq_ignore_ascii_case(VERSION);
            if query.members.iter().any(|(known, _)| *known == name) || (version && query.version.is_some()) {
                return Err(wrong(&name, "given twice"));
            }
            if version {
                query.version = Some(value);
            } else {
                query.members.push((name, value));
            }
        }
        Ok(query)
    }
}

/// The text of a request: what the path tells, then the query, then the members of the body.
pub(super) fn compose(route: &Route, place: &Place, query: &Query, body: &Bytes) -> Result<Bytes, Fault> {
    let blank = body.iter().all(u8::is_ascii_whitespace);
    let fixed = fixed(route, place);
    if fixed.is_empty() && query.members.is_empty() && !blank {
        return Ok(body.clone());
    }
    let message = schema::request(route.operation);
    let mut object = Object::new(body.len());
    for (name, told) in &fixed {
        object.text(name, told);
    }
    for (name, value) in &query.members {
        match find(message, &fixed, name) {
            Some((_, told)) if value == told => {}
            Some((known, _)) => return Err(contradiction(known)),
            None => object.typed(message, name, value),
        }
    }
    match route.wrapped {
        _ if blank => {}
        Some(wrapped) if is_wrapped(wrapped, body)? => {
            object.key(wrapped.name);
            object.0.extend_from_slice(body);
        }
        _ => each(body, |key, value| match find(message, &fixed, key) {
            // Unset, in whichever way, says nothing else.
            Some((known, told)) => match Scanner::new(value).string() {
                Ok(text) if text.is_empty() || text == told => Ok(()),
                Err(_) if value == "null" => Ok(()),
                _ => Err(contradiction(known)),
            },
            None => {
                object.key(key);
                object.0.extend_from_slice(value.as_bytes());
                Ok(())
            }
        })?,
    }
    Ok(object.finish().into())
}

/// The members that a path tells, and what it says of them.
fn fixed(route: &Route, place: &Place) -> Vec<(&'static str, String)> {
    let tenant = (!place.tenant.is_empty()).then(|| ("tenant", place.tenant.clone()));
    let told = route.members.iter().map(|(name, text)| (*name, place.fill(text)));
    tenant.into_iter().chain(told).collect()
}

/// The member that has that name, in whichever of a field's two spellings.
fn find<'f>(
    message: &Message,
    fixed: &'f [(&'static str, String)],
    name: &str,
) -> Option<(&'static str, &'f str)> {
    let field = message.by_name(name);
    let same = |known: &str| known == name || (field.is_some() && message.by_name(known) == field);
    fixed.iter().find(|(known, _)| same(known)).map(|(known, told)| (*known, told.as_str()))
}

fn is_wrapped(wrapped: Wrapped, body: &[u8]) -> Result<bool, Fault> {
    let (mut whole, mut known) = (false, false);
    each(body, |key, _| {
        whole |= key == wrapped.name;
        known |= wrapped.known_by.contains(&key);
        Ok(())
    })?;
    Ok(known && !whole)
}

/// Goes over the members of an object.
fn each(object: &[u8], mut member: impl FnMut(&str, &str) -> Result<(), Fault>) -> Result<(), Fault> {
    let unreadable = |error: codec::Error| error.of_request();
    let mut scan = Scanner::of_bytes(object).map_err(unreadable)?;
    let mut more = scan.begin_object().map_err(unreadable)?;
    while more {
        let key = scan.key().map_err(unreadable)?;
        member(&key, scan.skip().map_err(unreadable)?)?;
        more = scan.more(b'}').map_err(unreadable)?;
    }
    scan.end().map_err(unreadable)
}

/// The text of an object, without its end.
struct Object(Vec<u8>);

impl Object {
    fn new(size: usize) -> Self {
        let mut text = Vec::with_capacity(size + 128);
        text.push(b'{');
        Self(text)
    }

    fn key(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        write_string(&mut self.0, name);
        self.0.push(b':');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        write_string(&mut self.0, value);
    }

    /// A parameter of a query, as its field has it. Nothing is no number, and nothing else that has a form.
    fn typed(&mut self, message: &Message, name: &str, value: &str) {
        let field = message.by_name(name).and_then(|index| message.fields.get(index));
        let plain = match field.map(|field| field.kind) {
            Some(Kind::Bool | Kind::Enum(_) | Kind::Int32 | Kind::Timestamp) if value.is_empty() => return,
            Some(Kind::Bool) => matches!(value, "true" | "false"),
            Some(Kind::Enum(_) | Kind::Int32) => number_len(value.as_bytes()) == value.len(),
            _ => false,
        };
        if plain {
            self.key(name);
            self.0.extend_from_slice(value.as_bytes());
        } else {
            self.text(name, value);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// The path and the query of a request in JSON, by that method: what is not in the path is in the query, except that a POST
/// has all of it in its body too, as the SDKs send it.
pub(super) fn target(route: &Route, method: &Method, tenant: &str, json: &[u8]) -> Result<String, Fault> {
    let mut place = Place::default();
    tenant.clone_into(&mut place.tenant);
    let has_query = *method != Method::POST;
    let mut query = String::new();
    let mut member = |key: &str, value: &str| {
        if let Some((_, text)) = route.members.iter().find(|(name, _)| *name == key) {
            let told = Scanner::new(value).string().is_ok_and(|told| place.learn(text, &told));
            return if told { Ok(()) } else { Err(wrong(key, UNTELLABLE)) };
        }
        let in_path = key == "tenant" && route.dialect == Dialect::V1_0;
        if has_query && !in_path { append(&mut query, key, value) } else { Ok(()) }
    };
    if has_query || !route.members.is_empty() {
        each(json, &mut member)?;
    }
    let mut path = route.path(&place).map_err(|member| wrong(member, UNTELLABLE))?;
    if !query.is_empty() {
        path.push('?');
        path.push_str(&query);
    }
    Ok(path)
}

const UNTELLABLE: &str = "the agent is asked over HTTP+JSON, and no path can tell that";

/// Adds a member to a query: a scalar of any type by its text, null not at all.
fn append(query: &mut String, key: &str, value: &str) -> Result<(), Fault> {
    let text = match value.as_bytes().first() {
        Some(b'n') => return Ok(()),
        Some(b'{' | b'[') => {
            return Err(wrong(key, "the agent is asked over HTTP+JSON, and no query holds objects or lists"));
        }
        Some(b'"') => Scanner::new(value).string().map_err(|error| error.of_request())?,
        _ => Cow::Borrowed(value),
    };
    if !query.is_empty() {
        query.push('&');
    }
    query.extend(utf8_percent_encode(key, ESCAPED));
    query.push('=');
    query.extend(utf8_percent_encode(&text, ESCAPED));
    Ok(())
}

fn contradiction(member: &str) -> Fault {
    wrong(member, "the path says otherwise")
}

fn wrong(member: &str, what: &str) -> Fault {
    let fault = |message| Fault::new(Reason::InvalidParams, message);
    if member.is_empty() {
        fault(what.to_owned())
    } else {
        let shown: String = member.chars().take(64).collect();
        fault(format!("{shown}: {what}")).violation(shown, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::Operation;
    use crate::binding::rest::route;

    /// The text that a request becomes.
    fn composed(method: &str, path: &str, body: &str) -> Result<String, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (route, place) = route::find(&method.parse().unwrap(), path, None).unwrap();
        let query = Query::read(query).map_err(|fault| fault.message().to_owned())?;
        let text = compose(route, &place, &query, &Bytes::from(body.to_owned()));
        text.map(|text| String::from_utf8(text.to_vec()).unwrap()).map_err(|fault| fault.message().to_owned())
    }

    #[test]
    fn path_query_and_body_become_one_object() {
        for (method, path, body, expected) in [
            ("POST", "message:send", r#" {"message": {"n": 1.0}} "#, r#" {"message": {"n": 1.0}} "#),
            ("POST", "message:send", "", "{}"),
            (
                "POST",
                "acme/message:send",
                r#" { "n": 1.0 , "tenant":"acme"} "#,
                r#"{"tenant":"acme","n":1.0}"#,
            ),
            ("POST", "acme/message:send", r#"{"tenant":""}"#, r#"{"tenant":"acme"}"#),
            (
                "GET",
                "tasks/a%22b?historyLength=03&x=&x%5B%5D=1+%2B",
                "",
                r#"{"id":"a\"b","historyLength":"03","x":"","x[]":"1 +"}"#,
            ),
            ("GET", "tasks/t?history_length=5&id=t&a2a-VERSION=1.0", "", r#"{"id":"t","history_length":5}"#),
            (
                "GET",
                "tasks?status=TASK_STATE_WORKING&pageSize=&includeArtifacts=true&pageToken=&statusTimestampAfter=2026-01-02T03%3A04%3A05%2B01:00",
                "",
                r#"{"status":"TASK_STATE_WORKING","includeArtifacts":true,"pageToken":"","statusTimestampAfter":"2026-01-02T03:04:05+01:00"}"#,
            ),
            ("GET", "tasks?status=2&includeArtifacts=yes", "", r#"{"status":2,"includeArtifacts":"yes"}"#),
            (
                "POST",
                "tasks/t:cancel",
                r#"{"id":null,"metadata":{"n":1.10}}"#,
                r#"{"id":"t","metadata":{"n":1.10}}"#,
            ),
            (
                "POST",
                "tasks/t/pushNotificationConfigs",
                r#"{"task_id":"t","url":"u"}"#,
                r#"{"taskId":"t","url":"u"}"#,
            ),
            ("DELETE", "tasks/t/pushNotificationConfigs/p", "", r#"{"taskId":"t","id":"p"}"#),
            ("GET", "v1/tasks/t?historyLength=0", "", r#"{"name":"tasks/t","historyLength":0}"#),
            ("POST", "v1/tasks/t:cancel", r#"{"name":"tasks/t"}"#, r#"{"name":"tasks/t"}"#),
            (
                "GET",
                "v1/tasks/t/pushNotificationConfigs/p",
                "",
                r#"{"name":"tasks/t/pushNotificationConfigs/p"}"#,
            ),
            (
                "POST",
                "v1/tasks/t/pushNotificationConfigs",
                r#"{"parent":"tasks/t","configId":"p","config":{}}"#,
                r#"{"parent":"tasks/t","configId":"p","config":{}}"#,
            ),
            (
                "POST",
                "v1/tasks/t/pushNotificationConfigs",
                r#"{"name":"x","pushNotificationConfig":{"n":1.0}}"#,
                r#"{"parent":"tasks/t","config":{"name":"x","pushNotificationConfig":{"n":1.0}}}"#,
            ),
        ] {
            assert_eq!(composed(method, path, body).as_deref(), Ok(expected), "{method} {path} {body}");
        }
    }

    #[test]
    fn what_contradicts_the_path_or_comes_twice_is_named() {
        for (method, path, body, expected) in [
            ("POST", "tasks/t:cancel", r#"{"id":"u"}"#, "id: the path says otherwise"),
            ("POST", "tasks/t:cancel", r#"{"id":7}"#, "id: the path says otherwise"),
            ("POST", "acme/message:send", r#"{"tenant":"other"}"#, "tenant: the path says otherwise"),
            ("GET", "acme/tasks?tenant=other", "", "tenant: the path says otherwise"),
            ("GET", "tasks/t/pushNotificationConfigs?task_id=u", "", "taskId: the path says otherwise"),
            ("POST", "v1/tasks/t:cancel", r#"{"name":"tasks/u"}"#, "name: the path says otherwise"),
            ("GET", "tasks/t?historyLength=1&historyLength=1", "", "historyLength: given twice"),
            ("GET", "tasks/t?a2a-version=1.0&A2A-Version=1.0", "", "A2A-Version: given twice"),
            ("GET", "tasks?x=%f", "", "an escape in the query is none, or no UTF-8"),
            ("POST", "tasks/t:cancel", "[]", "expected an object, found a list"),
            ("POST", "tasks/t:cancel", "{} x", "not JSON: expected the end at byte 3"),
            ("POST", "tasks/t:cancel", r#"{"a":tru}"#, "not JSON: expected a value at byte 5"),
        ] {
            assert_eq!(composed(method, path, body), Err(expected.to_owned()), "{path} {body}");
        }
    }

    fn targeted(operation: Operation, dialect: Dialect, tenant: &str, json: &str) -> Result<String, String> {
        let route = Route::of(operation, dialect).unwrap();
        target(route, &route.methods[0], tenant, json.as_bytes()).map_err(|fault| fault.message().to_owned())
    }

    #[test]
    fn a_request_is_told_by_path_and_query() {
        use Operation as O;
        for (operation, dialect, tenant, json, expected) in [
            (O::SendMessage, Dialect::V1_0, "a/b", r#"{"tenant":"a/b"}"#, "a%2Fb/message:send"),
            (
                O::GetTask,
                Dialect::V1_0,
                "",
                r#"{"id":"a:b","historyLength":0,"x":1.50,"y":null}"#,
                "tasks/a%3Ab?historyLength=0&x=1.50",
            ),
            (
                O::ListTasks,
                Dialect::V1_0,
                "t",
                r#"{"tenant":"t","pageToken":"a b&c","more":true}"#,
                "t/tasks?pageToken=a%20b%26c&more=true",
            ),
            (O::CancelTask, Dialect::V1_0, "", r#"{"id":"t","metadata":{}}"#, "tasks/t:cancel"),
            (O::SubscribeToTask, Dialect::V1_0, "", r#"{"id":"t","x":[]}"#, "tasks/t:subscribe"),
            (O::SubscribeToTask, Dialect::V0_3, "t", r#"{"name":"tasks/t"}"#, "v1/tasks/t:subscribe"),
            (
                O::GetTask,
                Dialect::V0_3,
                "",
                r#"{"name":"tasks/t","historyLength":7}"#,
                "v1/tasks/t?historyLength=7",
            ),
            (
                O::DeleteTaskPushNotificationConfig,
                Dialect::V0_3,
                "",
                r#"{"name":"tasks/t/pushNotificationConfigs/p"}"#,
                "v1/tasks/t/pushNotificationConfigs/p",
            ),
        ] {
            assert_eq!(targeted(operation, dialect, tenant, json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_neither_path_nor_query_can_tell_is_refused() {
        use Operation as O;
        for (operation, json, expected) in [
            (O::GetTask, r#"{"id":""}"#, format!("id: {UNTELLABLE}")),
            (O::GetTask, r#"{"id":".."}"#, format!("id: {UNTELLABLE}")),
            (O::GetTaskPushNotificationConfig, r#"{"taskId":"t"}"#, format!("id: {UNTELLABLE}")),
            (O::GetTaskPushNotificationConfig, r#"{"id":"p"}"#, format!("taskId: {UNTELLABLE}")),
            (
                O::GetTask,
                r#"{"id":"t","x":[1]}"#,
                "x: the agent is asked over HTTP+JSON, and no query holds objects or lists".to_owned(),
            ),
        ] {
            assert_eq!(targeted(operation, Dialect::V1_0, "", json), Err(expected), "{json}");
        }
        assert_eq!(
            targeted(O::GetTask, Dialect::V0_3, "", r#"{"name":"t"}"#),
            Err(format!("name: {UNTELLABLE}"))
        );
    }
}
