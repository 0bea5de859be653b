//! What an answer to a send must look like, for the operations that send.

use a2a::{Message, Part, SendMessageResponse, Task, TaskState};

use super::{Failure, Outcome, check, fail};
use crate::words;

/// The Message of an answer.
pub fn message(answer: SendMessageResponse) -> Result<Message, Failure> {
    match answer {
        SendMessageResponse::Message(message) => Ok(message),
        SendMessageResponse::Task(task) => fail(format!("a task came: {:?}", task.status)),
    }
}

/// The Task of an answer, with ids, in this state.
pub fn task(answer: SendMessageResponse, state: TaskState) -> Result<Task, Failure> {
    match answer {
        SendMessageResponse::Task(task) => {
            in_state(&task, state)?;
            Ok(task)
        }
        SendMessageResponse::Message(message) => fail(format!("a message came: {:?}", message.parts)),
    }
}

/// The task has ids and is in this state.
pub fn in_state(task: &Task, state: TaskState) -> Outcome {
    check(task.status.state == state, || format!("the state is {:?}, not {state:?}", task.status.state))?;
    check(!task.id.is_empty() && !task.context_id.is_empty(), || "an id is empty".into())
}

/// The status has a message with this text.
pub fn says(task: &Task, text: &str) -> Outcome {
    let said = task.status.message.as_ref().and_then(Message::text);
    check(said == Some(text), || format!("the status says {said:?}, not {text:?}"))
}

/// The task has the one artifact that the agent makes for `task`.
pub fn has_result(task: &Task) -> Outcome {
    let artifacts = task.artifacts.as_deref().unwrap_or_default();
    let [artifact] = artifacts else {
        return fail(format!("{} artifacts, not 1", artifacts.len()));
    };
    check(artifact.name.as_deref() == Some("result"), || {
        format!("the artifact is named {:?}", artifact.name)
    })?;
    check(!artifact.artifact_id.is_empty(), || "the artifact has no id".into())?;
    same_parts(&words::result_parts(), &artifact.parts)
}

/// Both lists hold the same parts.
pub fn same_parts(want: &[Part], got: &[Part]) -> Outcome {
    words::parts_differ(want, got).map_or(Ok(()), fail)
}
