//! The operations on tasks that are there: get, list, cancel, push configurations; and the extended card.

use a2a::{
    CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest,
    ListTasksRequest, Message, Part, Role, SendMessageConfiguration, SendMessageRequest, Task,
    TaskPushNotificationConfig, TaskState,
};

use super::{Failure, Outcome, Session, answers, check, request, sending};

/// A task that is completed.
pub async fn finished(session: &Session) -> Result<Task, Failure> {
    answers::task(sending::say(session, "task").await?, TaskState::Completed)
}

/// A task that works until somebody cancels it; the send does not wait for its end.
pub async fn waiting(session: &Session) -> Result<Task, Failure> {
    let message = Message::new(Role::User, vec![Part::text("wait")]);
    let at_once = SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: None,
        history_length: None,
        return_immediately: Some(true),
    };
    let request = SendMessageRequest { configuration: Some(at_once), ..request(message) };
    match session.client.send_message(&request).await? {
        a2a::SendMessageResponse::Task(task) => Ok(task),
        a2a::SendMessageResponse::Message(message) => {
            super::fail(format!("a message came: {:?}", message.parts))
        }
    }
}

/// Cancels a task.
pub async fn end(session: &Session, id: &str) -> Result<Task, Failure> {
    let cancel = CancelTaskRequest { id: id.to_string(), metadata: None, tenant: None };
    Ok(session.client.cancel_task(&cancel).await?)
}

/// The task comes back whole, and with one message of history at most when asked so.
pub async fn get(session: &Session) -> Outcome {
    let made = finished(session).await?;
    let mut wanted = GetTaskRequest { id: made.id.clone(), history_length: None, tenant: None };
    let task = session.client.get_task(&wanted).await?;
    check(task.id == made.id, || format!("another task: {}", task.id))?;
    answers::in_state(&task, TaskState::Completed)?;
    answers::has_result(&task)?;
    wanted.history_length = Some(1);
    let short = session.client.get_task(&wanted).await?;
    let length = short.history.unwrap_or_default().len();
    check(length <= 1, || format!("{length} messages of history, not 1"))
}

/// The task is in the list of its context.
pub async fn list(session: &Session) -> Outcome {
    let made = finished(session).await?;
    let wanted = ListTasksRequest {
        context_id: Some(made.context_id),
        status: None,
        page_size: None,
        page_token: None,
        history_length: None,
        status_timestamp_after: None,
        include_artifacts: None,
        tenant: None,
    };
    let listed = session.client.list_tasks(&wanted).await?.tasks;
    check(listed.iter().any(|task| task.id == made.id), || {
        format!("not among the {} tasks listed", listed.len())
    })
}

/// A working task becomes canceled.
pub async fn cancel(session: &Session) -> Outcome {
    let task = waiting(session).await?;
    let ended = end(session, &task.id).await?;
    check(ended.id == task.id, || format!("another task: {}", ended.id))?;
    answers::in_state(&ended, TaskState::Canceled)
}

/// A push configuration is made, read, listed and deleted.
pub async fn push(session: &Session) -> Outcome {
    let task_id = waiting(session).await?.id;
    let outcome = push_of(session, &task_id).await;
    // The task would work on for half a minute; that it ends is not what is tested here.
    let _ = end(session, &task_id).await;
    outcome
}

async fn push_of(session: &Session, task_id: &str) -> Outcome {
    let client = &session.client;
    let config = TaskPushNotificationConfig {
        url: "https://example.org/hook".into(),
        id: Some("hook-1".into()),
        task_id: task_id.to_string(),
        token: Some("t0k".into()),
        authentication: None,
        tenant: None,
    };
    same_config("created", &client.create_push_config(&config).await?, &config)?;
    let get = GetTaskPushNotificationConfigRequest {
        task_id: task_id.to_string(),
        id: "hook-1".into(),
        tenant: None,
    };
    same_config("got", &client.get_push_config(&get).await?, &config)?;
    let list = ListTaskPushNotificationConfigsRequest {
        task_id: task_id.to_string(),
        page_size: None,
        page_token: None,
        tenant: None,
    };
    let listed = client.list_push_configs(&list).await?.configs;
    check(listed.len() == 1, || format!("{} configurations, not 1", listed.len()))?;
    same_config("listed", &listed[0], &config)?;
    let delete = DeleteTaskPushNotificationConfigRequest {
        task_id: task_id.to_string(),
        id: "hook-1".into(),
        tenant: None,
    };
    client.delete_push_config(&delete).await?;
    let left = client.list_push_configs(&list).await?.configs.len();
    check(left == 0, || format!("{left} configurations after delete"))
}

fn same_config(step: &str, got: &TaskPushNotificationConfig, want: &TaskPushNotificationConfig) -> Outcome {
    let same =
        (&got.id, &got.url, &got.token, &got.task_id) == (&want.id, &want.url, &want.token, &want.task_id);
    check(same, || format!("{step}: id {:?}, url {}, task {:?}", got.id, got.url, got.task_id))
}

/// The extended card shows one more skill.
pub async fn extended_card(session: &Session) -> Outcome {
    let wanted = GetExtendedAgentCardRequest { tenant: None };
    let card = session.client.get_extended_agent_card(&wanted).await?;
    check(card.name == "interop", || format!("the card's name is {:?}", card.name))?;
    check(card.skills.iter().any(|skill| skill.id == "extended"), || {
        "the skill `extended` is not there".into()
    })
}
