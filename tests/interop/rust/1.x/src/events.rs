//! Tells the events of a stream in few words, to compare and to show.

use a2a::{Message, StreamResponse, TaskState};

/// The events of the agent's `stream`, as [`tell`] puts them.
pub const STREAMED: &[&str] = &[
    "task Submitted",
    "status Working 'step 1'",
    "artifact 'chunk 1' append=false last=false",
    "artifact 'chunk 2' append=true last=false",
    "artifact 'chunk 3' append=true last=true",
    "status Completed ''",
];

/// One event in few words.
pub fn tell(event: &StreamResponse) -> String {
    match event {
        StreamResponse::Task(task) => format!("task {:?}", task.status.state),
        StreamResponse::Message(message) => format!("message {:?}", message.text()),
        StreamResponse::StatusUpdate(update) => {
            let said = update.status.message.as_ref().and_then(Message::text);
            let said = said.unwrap_or_default();
            format!("status {:?} '{said}'", update.status.state)
        }
        StreamResponse::ArtifactUpdate(update) => {
            let texts = update.artifact.parts.iter().filter_map(|part| part.as_text());
            format!(
                "artifact '{}' append={} last={}",
                texts.collect::<String>(),
                update.append.unwrap_or(false),
                update.last_chunk.unwrap_or(false),
            )
        }
    }
}

/// The task that the event is about.
pub fn task_id(event: &StreamResponse) -> Option<&String> {
    match event {
        StreamResponse::Task(task) => Some(&task.id),
        StreamResponse::StatusUpdate(update) => Some(&update.task_id),
        StreamResponse::ArtifactUpdate(update) => Some(&update.task_id),
        StreamResponse::Message(_) => None,
    }
}

/// The state that the event tells.
pub fn state(event: &StreamResponse) -> Option<TaskState> {
    match event {
        StreamResponse::Task(task) => Some(task.status.state.clone()),
        StreamResponse::StatusUpdate(update) => Some(update.status.state.clone()),
        _ => None,
    }
}

/// All events name one and the same task.
pub fn of_one_task(events: &[StreamResponse]) -> bool {
    let first = events.first().and_then(task_id);
    first.is_some_and(|id| !id.is_empty()) && events.iter().all(|event| task_id(event) == first)
}
