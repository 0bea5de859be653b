//! Errors keep their meaning: the SDK reports each by its code.

use a2a::{A2AError, CancelTaskRequest, GetTaskRequest, error_code};

use super::{Outcome, Session, fail, lifecycle};

/// A task that never was.
pub async fn not_found(session: &Session) -> Outcome {
    let unknown = GetTaskRequest {
        id: "00000000-0000-4000-8000-000000000000".into(),
        history_length: None,
        tenant: None,
    };
    expect(session.client.get_task(&unknown).await, error_code::TASK_NOT_FOUND)
}

/// A task that is over.
pub async fn not_cancelable(session: &Session) -> Outcome {
    let task = lifecycle::finished(session).await?;
    let cancel = CancelTaskRequest { id: task.id, metadata: None, tenant: None };
    expect(session.client.cancel_task(&cancel).await, error_code::TASK_NOT_CANCELABLE)
}

fn expect<T>(result: Result<T, A2AError>, code: i32) -> Outcome {
    match result {
        Err(error) if error.code == code => Ok(()),
        Err(error) => fail(format!("code {}, not {code}: {}", error.code, error.message)),
        Ok(_) => fail("no error came"),
    }
}
