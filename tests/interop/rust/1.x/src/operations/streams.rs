//! The operations whose answer is a stream.

use std::time::Duration;

use a2a::{Message, Part, Role, StreamResponse, SubscribeToTaskRequest, TaskState};
use futures::StreamExt;
use tokio::time::Instant;

use super::{Outcome, Session, answers, check, fail, lifecycle, request};
use crate::{events, words};

/// How soon a subscription must show the task.
const PROMPT: Duration = Duration::from_secs(3);
/// The agent takes 750 ms from the first to the last event; less than this means that somebody held them back.
const SPREAD: Duration = Duration::from_millis(300);

/// Every event of `stream` comes, in order, as it is made.
pub async fn events(session: &Session) -> Outcome {
    let message = Message::new(Role::User, vec![Part::text("stream")]);
    let mut stream = session.client.send_streaming_message(&request(message)).await?;
    let (mut seen, mut times) = (vec![], vec![]);
    while let Some(event) = stream.next().await {
        seen.push(event?);
        times.push(Instant::now());
    }
    let told: Vec<String> = seen.iter().map(events::tell).collect();
    check(told == events::STREAMED, || format!("the events are {told:?}"))?;
    check(events::of_one_task(&seen), || "the events are of several tasks".into())?;
    let spread = *times.last().unwrap_or(&Instant::now()) - times[0];
    check(spread >= SPREAD, || format!("all events came within {spread:?}"))
}

/// A stream of one Message, and nothing more.
pub async fn echo(session: &Session) -> Outcome {
    let message = Message::new(Role::User, words::echo_parts());
    let mut stream = session.client.send_streaming_message(&request(message)).await?;
    let mut seen = vec![];
    while let Some(event) = stream.next().await {
        seen.push(event?);
    }
    match seen.as_slice() {
        [StreamResponse::Message(message)] => answers::same_parts(&words::echo_parts(), &message.parts),
        other => fail(format!("the events are {:?}", other.iter().map(events::tell).collect::<Vec<_>>())),
    }
}

/// A subscription shows the task at once, and its end.
pub async fn subscribe(session: &Session) -> Outcome {
    let task = lifecycle::waiting(session).await?;
    let wanted = SubscribeToTaskRequest { id: task.id.clone(), tenant: None };
    let mut stream = session.client.subscribe_to_task(&wanted).await?;
    match tokio::time::timeout(PROMPT, stream.next()).await {
        Ok(Some(event)) => {
            check(events::task_id(&event?) == Some(&task.id), || "the first event is of another task".into())?
        }
        Ok(None) => return fail("the stream ended at once"),
        Err(_) => return fail(format!("no event within {PROMPT:?}")),
    }
    lifecycle::end(session, &task.id).await?;
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = events::state(&event?).or(last);
    }
    check(last == Some(TaskState::Canceled), || format!("the last state is {last:?}"))
}
