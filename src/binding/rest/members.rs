//! Requests put together from path, query and body, and taken apart again. They stay text throughout: what a value is, and
//! how a number is spelled, is for the codec.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use percent_encoding::utf8_percent_encode;

use super::route::{ESCAPED, Place, Route, decode};
use crate::a2a::{Dialect, Fault, Operation, Reason};
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
            // The only SDK of 0.3 with a list of tasks asks for it so.
            None if (route.dialect, route.operation) == (Dialect::V0_3, Operation::ListTasks) => {
                object.typed(message, &snake(name), value);
            }
            None => object.typed(message, name, value),
        }
    }
    if !blank {
        each(body, |key, value| match find(message, &fixed, key) {
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
        })?;
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

/// A name in `snake_case`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The body of a request as most agents of its dialect read it, if that is not the message: a webhook of 0.3 is wrapped once
/// more, although the specification does without.
pub(super) fn wrapped(route: &Route, json: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let Some(wrapping) = route.wrapping else { return Ok(None) };
    let mut place = Place::default();
    each(json, |key, value| {
        if key == wrapping.name
            && let Ok(name) = Scanner::new(value).string()
        {
            // The task alone, where the webhook has no id.
            wrapping.texts.iter().find(|text| place.learn(text, &name));
        }
        Ok(())
    })?;
    let mut object = Object::new(json.len());
    for (name, told) in fixed(route, &place) {
        object.text(name, &told);
    }
    if let Some(id) = place.config() {
        object.text(wrapping.id, id);
    }
    object.key(wrapping.member);
    object.0.extend_from_slice(json);
    Ok(Some(object.finish()))
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
mod tests;
