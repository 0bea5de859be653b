//! What was kept from 0.3, looked up and added on the wire.

use super::super::wire::{Edit, Fields, Value, append, edit};
use super::super::{KEPT_FIELD, Result};

/// `StreamResponse.status_update`.
const STATUS_UPDATE: u32 = 3;
/// `TaskStatusUpdateEvent.status`.
const STATUS: u32 = 3;
/// `TaskStatus.state`.
const STATE: u32 = 1;
/// `TASK_STATE_INPUT_REQUIRED` and `TASK_STATE_AUTH_REQUIRED`.
const INTERRUPTED: [u64; 2] = [6, 8];
/// `TASK_STATE_COMPLETED`, `_FAILED`, `_CANCELED` and `_REJECTED`.
const TERMINAL: [u64; 4] = [3, 4, 5, 7];

/// Whether something of that name was kept in a message.
///
/// # Errors
/// If the message is no protobuf.
pub fn keeps(message: &[u8], name: &str) -> Result<bool> {
    Ok(kept(message, name)?.is_some())
}

/// Whether an event of a stream said that it is the last one of its interaction; `None` if it said nothing of it.
///
/// # Errors
/// If the event is no protobuf.
pub fn says_final(event: &[u8]) -> Result<Option<bool>> {
    let Some(update) = last(event, STATUS_UPDATE)? else { return Ok(None) };
    let Some(value) = kept(update, FINAL)? else { return Ok(None) };
    let mut says = None;
    for field in Fields::new(value) {
        let field = field?;
        if let (4, Value::Varint(value)) = (field.number, field.value) {
            says = Some(value != 0);
        }
    }
    Ok(says)
}

/// The event with a word on whether it is the last one of its interaction, in the place of what it said of that.
///
/// # Errors
/// If the event is no protobuf.
pub fn say_final(event: &[u8], last: bool) -> Result<Vec<u8>> {
    let mut said = false;
    edit(event, |field, out| {
        if field.number != STATUS_UPDATE {
            return Ok(Edit::Keep);
        }
        let mut update = without_final(field.value.bytes()?)?;
        // An update in pieces is one.
        if !std::mem::replace(&mut said, true) {
            let (mut entry, mut object) = (Vec::new(), Vec::new());
            append(&mut entry, 1, FINAL.as_bytes());
            // `Value.bool_value`
            append(&mut entry, 2, &[4 << 3, u8::from(last)]);
            append(&mut object, 1, &entry);
            append(&mut update, KEPT_FIELD, &object);
        }
        append(out, STATUS_UPDATE, &update);
        Ok(Edit::Done)
    })
}

const FINAL: &str = "final";

fn without_final(update: &[u8]) -> Result<Vec<u8>> {
    edit(update, |field, out| {
        if field.number != KEPT_FIELD {
            return Ok(Edit::Keep);
        }
        let rest = edit(field.value.bytes()?, |entry, _| {
            let is_final = last(entry.value.bytes()?, 1)? == Some(FINAL.as_bytes());
            Ok(if is_final { Edit::Done } else { Edit::Keep })
        })?;
        if !rest.is_empty() {
            append(out, KEPT_FIELD, &rest);
        }
        Ok(Edit::Done)
    })
}

/// What follows an event, as far as the state of its task tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Follows {
    /// Mostly nothing: the task waits for something from outside.
    Maybe,
    /// More.
    More,
    /// Nothing: the task has ended.
    Nothing,
}

/// What follows an event.
///
/// # Errors
/// If the event is no protobuf.
pub fn follows(event: &[u8]) -> Result<Follows> {
    let Some(update) = last(event, STATUS_UPDATE)? else { return Ok(Follows::More) };
    let Some(status) = last(update, STATUS)? else { return Ok(Follows::More) };
    let mut state = 0;
    for field in Fields::new(status) {
        let field = field?;
        if field.number == STATE {
            state = field.value.varint()?;
        }
    }
    Ok(match state {
        state if INTERRUPTED.contains(&state) => Follows::Maybe,
        state if TERMINAL.contains(&state) => Follows::Nothing,
        _ => Follows::More,
    })
}

/// The `Value` that was kept under a name.
fn kept<'a>(message: &'a [u8], name: &str) -> Result<Option<&'a [u8]>> {
    for field in Fields::new(message) {
        let field = field?;
        if field.number != KEPT_FIELD {
            continue;
        }
        for entry in Fields::new(field.value.bytes()?) {
            let entry = entry?.value.bytes()?;
            if last(entry, 1)? == Some(name.as_bytes()) {
                return Ok(Some(last(entry, 2)?.unwrap_or_default()));
            }
        }
    }
    Ok(None)
}

/// The last occurrence of a field with a length.
fn last(message: &[u8], number: u32) -> Result<Option<&[u8]>> {
    let mut last = None;
    for field in Fields::new(message) {
        let field = field?;
        if field.number == number {
            last = Some(field.value.bytes()?);
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::Operation;
    use crate::codec::{Form, text::Scanner};

    fn event(json: &str) -> Vec<u8> {
        Form::V0_3.read_response(&mut Scanner::new(json), Operation::SubscribeToTask, 1 << 20).unwrap()
    }

    fn text(event: &[u8]) -> String {
        let mut out = Vec::new();
        Form::V0_3.write_response(Operation::SubscribeToTask, event, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    const UPDATE: &str = r#""kind":"status-update","taskId":"t","contextId":"c""#;

    #[test]
    fn whether_an_event_is_the_last_one_is_said_and_read() {
        let waits = format!(r#"{{{UPDATE},"status":{{"state":"input-required"}}}}"#);
        let waits = event(&waits);
        assert_eq!(follows(&waits).unwrap(), Follows::Maybe);
        assert_eq!(says_final(&waits).unwrap(), None);
        assert!(text(&waits).contains(r#""final":false"#));
        let waits = say_final(&waits, true).unwrap();
        assert_eq!(says_final(&waits).unwrap(), Some(true));
        assert!(text(&waits).contains(r#""final":true"#), "{}", text(&waits));
        let works = event(&format!(r#"{{{UPDATE},"status":{{"state":"working"}},"final":true}}"#));
        assert_eq!((follows(&works).unwrap(), says_final(&works).unwrap()), (Follows::More, Some(true)));
        let works = say_final(&works, false).unwrap();
        assert!(text(&works).contains(r#""final":false"#), "{}", text(&works));
        let done = event(&format!(r#"{{{UPDATE},"status":{{"state":"canceled"}},"final":false,"x":1}}"#));
        assert_eq!(follows(&done).unwrap(), Follows::Nothing);
        let done = text(&say_final(&done, true).unwrap());
        assert!(done.contains(r#""final":true"#) && done.contains(r#""x":1"#), "{done}");
        let task = event(r#"{"kind":"task","id":"t","contextId":"c","status":{"state":"input-required"}}"#);
        assert_eq!((follows(&task).unwrap(), says_final(&task).unwrap()), (Follows::More, None));
    }

    #[test]
    fn what_was_kept_is_found_by_its_name() {
        let read = |json| {
            let operation = Operation::GetTaskPushNotificationConfig;
            Form::V0_3.read_request(&mut Scanner::new(json), operation, 1 << 20).unwrap()
        };
        assert!(keeps(&read(r#"{"id":"t"}"#), "pushNotificationConfigId").unwrap());
        assert!(
            !keeps(&read(r#"{"id":"t","pushNotificationConfigId":"p"}"#), "pushNotificationConfigId")
                .unwrap()
        );
        assert!(keeps(&read(r#"{"id":"t","metadata":{}}"#), "metadata").unwrap());
    }
}
