//! What 0.3 expects that takes more than one call, or another look at a stream: at callers that speak it, and at agents.

mod agents;
mod callers;

pub use agents::agent;
pub use callers::callers;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::a2a::{Body, Call, Event, Fault, Operation, Reason, Reply};
use crate::codec;
use crate::codec::wire::{append, last_string};

type Events = BoxStream<'static, Result<Event, Fault>>;

/// The task that a request is about, as a request to read it.
fn get_task(call: &Call) -> Result<Call, Fault> {
    // `SubscribeToTaskRequest.id`, `GetTaskRequest.id`: both have the tenant before it.
    const TENANT: u32 = 1;
    const ID: u32 = 2;
    let text = |number| last_string(&call.body, number).map_err(unreadable);
    let (tenant, id) = (text(TENANT)?, text(ID)?);
    let mut body = Vec::with_capacity(tenant.len() + id.len() + 8);
    if !tenant.is_empty() {
        append(&mut body, TENANT, tenant.as_bytes());
    }
    append(&mut body, ID, id.as_bytes());
    Ok(Call { operation: Operation::GetTask, body: body.into(), ..call.clone() })
}

/// The single answer of a reply.
fn once(reply: Reply) -> Result<Bytes, Fault> {
    match reply.body {
        Body::Once(wire) => Ok(wire),
        Body::Events(_) => Err(Fault::new(Reason::Internal, "a stream came where one answer was due")),
    }
}

/// An event of a stream that is the task as it stands.
fn task_event(task: &[u8]) -> Event {
    /// `StreamResponse.task`.
    const TASK: u32 = 1;
    let mut event = Vec::with_capacity(task.len() + 8);
    append(&mut event, TASK, task);
    Event::Data(event.into())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn unreadable(error: codec::Error) -> Fault {
    error.of_reply()
}
