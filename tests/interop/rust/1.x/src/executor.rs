//! What the agent does, decided by the first word of the message's first text part.

use std::time::Duration;

use a2a::{
    A2AError, Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState,
    TaskStatus, TaskStatusUpdateEvent,
};
use a2a_server::{AgentExecutor, ExecutorContext};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};

use crate::words;

type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

/// The pause between two events of `stream`.
const STEP: Duration = Duration::from_millis(150);
/// How long a `wait` task stays working when nobody cancels it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The executor; it keeps nothing, the SDK keeps the tasks.
pub struct Interop;

impl AgentExecutor for Interop {
    fn execute(&self, ctx: ExecutorContext) -> Events {
        let Some(message) = ctx.message.clone() else {
            return steps(vec![raised("a call without a message")]);
        };
        if ctx.message.as_ref().is_some_and(|m| m.task_id.is_some()) {
            // Only `input` tasks are ever continued: whatever the answer is, it completes them.
            return steps(vec![now(status(&ctx, TaskState::Completed, None))]);
        }
        let word = message.text().unwrap_or_default();
        let starts = |start: &str| word.starts_with(start);
        let ended = |state, text| vec![now(task(&ctx, TaskState::Working)), now(status(&ctx, state, text))];
        match word {
            _ if starts("task") => steps(vec![
                now(task(&ctx, TaskState::Working)),
                now(artifact(&ctx, Some("result"), words::result_parts(), None)),
                now(status(&ctx, TaskState::Completed, Some("finished"))),
            ]),
            _ if starts("stream") => steps(streamed(&ctx)),
            _ if starts("wait") => steps(vec![
                now(task(&ctx, TaskState::Submitted)),
                now(status(&ctx, TaskState::Working, Some("waiting"))),
                after(PATIENCE, status(&ctx, TaskState::Completed, None)),
            ]),
            _ if starts("input") => steps(ended(TaskState::InputRequired, Some("which one?"))),
            _ if starts("fail") => steps(ended(TaskState::Failed, Some("broken"))),
            _ if starts("raise") => steps(vec![raised("raised by the executor")]),
            _ if starts("headers") => steps(vec![now(headers(&ctx))]),
            _ => steps(vec![now(echo(message))]),
        }
    }

    fn cancel(&self, ctx: ExecutorContext) -> Events {
        steps(vec![now(status(&ctx, TaskState::Canceled, None))])
    }
}

/// One event, and how long after the one before it.
type Step = (Duration, Result<StreamResponse, A2AError>);

fn now(event: StreamResponse) -> Step {
    after(Duration::ZERO, event)
}

fn after(pause: Duration, event: StreamResponse) -> Step {
    (pause, Ok(event))
}

/// An executor has no exceptions: an error in its stream is what stands for one.
fn raised(text: &str) -> Step {
    (Duration::ZERO, Err(A2AError::internal(text)))
}

fn steps(steps: Vec<Step>) -> Events {
    stream::iter(steps)
        .then(|(pause, event)| async move {
            tokio::time::sleep(pause).await;
            event
        })
        .boxed()
}

fn streamed(ctx: &ExecutorContext) -> Vec<Step> {
    let chunk = |text: &str, append, last| {
        let parts = vec![Part::text(text)];
        after(STEP, artifact(ctx, None, parts, Some((append, last))))
    };
    vec![
        now(task(ctx, TaskState::Submitted)),
        after(STEP, status(ctx, TaskState::Working, Some("step 1"))),
        chunk("chunk 1", false, false),
        chunk("chunk 2", true, false),
        chunk("chunk 3", true, true),
        after(STEP, status(ctx, TaskState::Completed, None)),
    ]
}

fn task(ctx: &ExecutorContext, state: TaskState) -> StreamResponse {
    StreamResponse::Task(Task {
        id: ctx.task_id.clone(),
        context_id: ctx.context_id.clone(),
        status: TaskStatus { state, message: None, timestamp: None },
        artifacts: None,
        history: ctx.message.clone().map(|message| vec![message]),
        metadata: None,
    })
}

fn status(ctx: &ExecutorContext, state: TaskState, text: Option<&str>) -> StreamResponse {
    let message = text.map(|text| Message {
        context_id: Some(ctx.context_id.clone()),
        task_id: Some(ctx.task_id.clone()),
        ..Message::new(Role::Agent, vec![Part::text(text)])
    });
    StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: ctx.task_id.clone(),
        context_id: ctx.context_id.clone(),
        status: TaskStatus { state, message, timestamp: None },
        metadata: None,
    })
}

/// `append` and `lastChunk` are `chunk` when the artifact comes in pieces.
fn artifact(
    ctx: &ExecutorContext,
    name: Option<&str>,
    parts: Vec<Part>,
    chunk: Option<(bool, bool)>,
) -> StreamResponse {
    StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
        task_id: ctx.task_id.clone(),
        context_id: ctx.context_id.clone(),
        artifact: Artifact {
            artifact_id: "artifact-1".into(),
            name: name.map(str::to_string),
            description: None,
            parts,
            metadata: None,
            extensions: None,
        },
        append: chunk.map(|(append, _)| append),
        last_chunk: chunk.map(|(_, last)| last),
        metadata: None,
    })
}

fn echo(message: Message) -> StreamResponse {
    StreamResponse::Message(Message {
        context_id: message.context_id,
        metadata: message.metadata,
        ..Message::new(Role::Agent, message.parts)
    })
}

/// The SDK shows every header to the executor, but has no way to say which extensions became active.
fn headers(ctx: &ExecutorContext) -> StreamResponse {
    let header = |name: &str| ctx.service_params.get(name).and_then(|all| all.first());
    let asked = ctx.service_params.get("a2a-extensions");
    let extensions: Vec<Value> =
        asked.into_iter().flatten().flat_map(|list| list.split(',')).map(|uri| json!(uri.trim())).collect();
    let seen = json!({
        "authorization": header("authorization"),
        "x-api-key": header("x-api-key"),
        "traceparent": header("traceparent"),
        "extensions": extensions,
    });
    StreamResponse::Message(Message::new(Role::Agent, vec![Part::data(seen)]))
}
