//! The sends that wait for their answer.

use a2a::{Message, Part, Role, SendMessageResponse, TaskState};
use serde_json::json;

use super::{Failure, Outcome, Session, answers, check, request};
use crate::words;

/// Sends one text and waits for the answer.
pub async fn say(session: &Session, text: &str) -> Result<SendMessageResponse, Failure> {
    let message = Message::new(Role::User, vec![Part::text(text)]);
    Ok(session.client.send_message(&request(message)).await?)
}

/// Every kind of part and the metadata come back as they went.
pub async fn echo(session: &Session) -> Outcome {
    let message =
        Message { metadata: Some(words::echo_metadata()), ..Message::new(Role::User, words::echo_parts()) };
    let answer = session.client.send_message(&request(message)).await?;
    let answer = answers::message(answer)?;
    check(answer.role == Role::Agent, || format!("the role is {:?}", answer.role))?;
    answers::same_parts(&words::echo_parts(), &answer.parts)?;
    let metadata = answer.metadata.unwrap_or_default();
    let (want, got) = (json!(words::echo_metadata()), json!(metadata));
    check(words::same_value(&want, &got), || format!("the metadata is {got}"))
}

/// A completed task with its artifact.
pub async fn task(session: &Session) -> Outcome {
    let task = answers::task(say(session, "task").await?, TaskState::Completed)?;
    answers::says(&task, "finished")?;
    answers::has_result(&task)
}

/// A task that asks, and the second message that completes the same task.
pub async fn input(session: &Session) -> Outcome {
    let asking = answers::task(say(session, "input").await?, TaskState::InputRequired)?;
    answers::says(&asking, "which one?")?;
    let reply = Message {
        task_id: Some(asking.id.clone()),
        context_id: Some(asking.context_id.clone()),
        ..Message::new(Role::User, vec![Part::text("the second")])
    };
    let answer = session.client.send_message(&request(reply)).await?;
    let done = answers::task(answer, TaskState::Completed)?;
    check(done.id == asking.id && done.context_id == asking.context_id, || {
        format!("another task: {} in {}", done.id, done.context_id)
    })
}

/// A task that fails, and says why.
pub async fn fails(session: &Session) -> Outcome {
    let task = answers::task(say(session, "fail").await?, TaskState::Failed)?;
    answers::says(&task, "broken")
}
