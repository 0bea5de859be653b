//! What was kept from 0.3, looked up and added on the wire.

use super::super::wire::{Fields, Value, append};
use super::super::{KEPT_FIELD, Result};

/// `StreamResponse.status_update`.
const STATUS_UPDATE: u32 = 3;
/// `TaskStatusUpdateEvent.status`.
const STATUS: u32 = 3;
/// `TaskStatus.state`.
const STATE: u32 = 1;
/// `TASK_STATE_INPUT_REQUIRED` and `TASK_STATE_AUTH_REQUIRED`.
const INTERRUPTED: [u64; 2] = [6, 8];

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
    let Some(value) = kept(update, "final")? else { return Ok(None) };
    let mut says = None;
    for field in Fields::new(value) {
        let field = field?;
        if let (4, Value::Varint(value)) = (field.number, field.value) {
            says = Some(value != 0);
        }
    }
    Ok(says)
}

/// Says of an event whether it is the last one of its interaction: one more piece of its update, which merges.
pub fn say_final(event: &mut Vec<u8>, last: bool) {
    let (mut entry, mut object, mut update) = (Vec::new(), Vec::new(), Vec::new());
    append(&mut entry, 1, b"final");
    // `Value.bool_value`
    append(&mut entry, 2, &[4 << 3, u8::from(last)]);
    append(&mut object, 1, &entry);
    append(&mut update, KEPT_FIELD, &object);
    append(event, STATUS_UPDATE, &update);
}

/// Whether an event says that its task waits for something from outside.
///
/// # Errors
/// If the event is no protobuf.
pub fn is_interrupted(event: &[u8]) -> Result<bool> {
    let Some(update) = last(event, STATUS_UPDATE)? else { return Ok(false) };
    let Some(status) = last(update, STATUS)? else { return Ok(false) };
    let mut state = 0;
    for field in Fields::new(status) {
        let field = field?;
        if field.number == STATE {
            state = field.value.varint()?;
        }
    }
    Ok(INTERRUPTED.contains(&state))
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
        let mut waits = event(&waits);
        assert!(is_interrupted(&waits).unwrap());
        assert_eq!(says_final(&waits).unwrap(), None);
        assert!(text(&waits).contains(r#""final":false"#));
        say_final(&mut waits, true);
        assert_eq!(says_final(&waits).unwrap(), Some(true));
        assert!(text(&waits).contains(r#""final":true"#), "{}", text(&waits));
        let works = event(&format!(r#"{{{UPDATE},"status":{{"state":"working"}},"final":true}}"#));
        assert!(!is_interrupted(&works).unwrap());
        assert_eq!(says_final(&works).unwrap(), Some(true));
        let task = event(r#"{"kind":"task","id":"t","contextId":"c","status":{"state":"input-required"}}"#);
        assert!(!is_interrupted(&task).unwrap());
        assert_eq!(says_final(&task).unwrap(), None);
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
