//! Callers of 0.3, whoever they call.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;
use tower::service_fn;

use super::{Events, get_task, once, task_event, unreadable};
use crate::a2a::{Body, Call, Dialect, Event, Fault, Operation, Params, Reason, Reply, Stage};
use crate::codec::v0_3::{Follows, follows, keeps, say_final, says_final};
use crate::codec::wire::{Fields, append, last_string, without};

/// How long an event that may be the last one is held back to see whether it is.
const HELD_BACK: Duration = Duration::from_millis(100);
/// How many pages of webhooks are put together.
const PAGES_MAX: usize = 100;

/// `ListTaskPushNotificationConfigsRequest`: of which task, and from where on.
const LIST_TASK_ID: u32 = 1;
const LIST_PAGE_TOKEN: u32 = 3;
const LIST_TENANT: u32 = 4;
/// `ListTaskPushNotificationConfigsResponse`.
const CONFIGS: u32 = 1;
const NEXT_PAGE_TOKEN: u32 = 2;

/// Gives callers of 0.3 what they expect of `inner`; calls of 1.0 pass as they are.
pub fn callers(mut inner: impl Stage) -> impl Stage {
    service_fn(move |call: Call| {
        if call.dialect == Dialect::V1_0 {
            return Either::Left(inner.call(call));
        }
        Either::Right(match call.operation {
            Operation::GetTaskPushNotificationConfig => config(inner.clone(), call).boxed(),
            Operation::ListTaskPushNotificationConfigs => configs(inner.clone(), call).boxed(),
            Operation::SendStreamingMessage => stream(inner.clone(), call).boxed(),
            Operation::SubscribeToTask => subscribe(inner.clone(), call).boxed(),
            _ => inner.call(call).boxed(),
        })
    })
}

/// A webhook whose id the caller has left out is the one of the task's own id, as agents of 0.3 make it, else the first.
async fn config(mut inner: impl Stage, call: Call) -> Result<Reply, Fault> {
    if !keeps(&call.body, "pushNotificationConfigId").map_err(unreadable)? {
        return inner.call(call).await;
    }
    let list = list_request(&call)?;
    let fault = match inner.call(call).await {
        Err(fault) if fault.agent_error().is_some() => fault,
        other => return other,
    };
    let Ok(reply) = inner.call(list).await else { return Err(fault) };
    let params = reply.params.clone();
    let configs = once(reply)?;
    for field in Fields::new(&configs) {
        let field = field.map_err(unreadable)?;
        if field.number == CONFIGS {
            let config = Bytes::copy_from_slice(field.value.bytes().map_err(unreadable)?);
            return Ok(Reply { params, body: Body::Once(config) });
        }
    }
    Err(fault)
}

/// The webhooks of the task that a request for one of them names.
fn list_request(call: &Call) -> Result<Call, Fault> {
    // `GetTaskPushNotificationConfigRequest`.
    const TENANT: u32 = 1;
    const TASK_ID: u32 = 2;
    let text = |number| last_string(&call.body, number).map_err(unreadable);
    let (tenant, task) = (text(TENANT)?, text(TASK_ID)?);
    let mut body = Vec::new();
    append(&mut body, LIST_TASK_ID, task.as_bytes());
    if !tenant.is_empty() {
        append(&mut body, LIST_TENANT, tenant.as_bytes());
    }
    let operation = Operation::ListTaskPushNotificationConfigs;
    Ok(Call { operation, body: body.into(), ..call.clone() })
}

/// All webhooks of a task: 0.3 has no pages.
async fn configs(mut inner: impl Stage, call: Call) -> Result<Reply, Fault> {
    let (mut all, mut token) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let mut page = call.clone();
        if !token.is_empty() {
            let mut body = page.body.to_vec();
            append(&mut body, LIST_PAGE_TOKEN, token.as_bytes());
            page.body = body.into();
        }
        let reply = inner.call(page).await?;
        let params = reply.params.clone();
        let wire = once(reply)?;
        // Lists of several pieces are one list.
        all.extend_from_slice(&without(&wire, NEXT_PAGE_TOKEN).map_err(unreadable)?);
        last_string(&wire, NEXT_PAGE_TOKEN).map_err(unreadable)?.clone_into(&mut token);
        if token.is_empty() {
            return Ok(Reply { params, body: Body::Once(all.into()) });
        }
    }
    let what = format!("the agent has more than {PAGES_MAX} pages of webhooks");
    Err(Fault::new(Reason::AgentProtocolError, what))
}

async fn stream(mut inner: impl Stage, call: Call) -> Result<Reply, Fault> {
    let Reply { params, body } = inner.call(call).await?;
    let body = match body {
        Body::Events(events) => Body::Events(concluding(events)),
        Body::Once(wire) => Body::Once(wire),
    };
    Ok(Reply { params, body })
}

/// A task that has ended is no error to follow: it comes as it stands, and that is all.
async fn subscribe(mut inner: impl Stage, call: Call) -> Result<Reply, Fault> {
    let get = get_task(&call)?;
    match stream(inner.clone(), call).await {
        Ok(Reply { params, body: Body::Events(mut events) }) => {
            // Many agents tell of an error in the stream.
            let events = async move {
                match events.next().await {
                    Some(Err(fault)) => ended(inner, get, fault).await,
                    first => stream::iter(first).chain(events).boxed(),
                }
            };
            Ok(Reply { params, body: Body::Events(events.flatten_stream().boxed()) })
        }
        Err(fault) if is_over(&fault) => match inner.call(get).await {
            Ok(reply) => {
                let events = [Ok(task_event(&once(reply)?)), Ok(Event::End(Params::default()))];
                Ok(Reply { params: Params::default(), body: Body::Events(stream::iter(events).boxed()) })
            }
            Err(_) => Err(fault),
        },
        other => other,
    }
}

/// Whether an agent may mean that the task has ended. What one of 0.3 refuses to its own kind is none of our business.
fn is_over(fault: &Fault) -> bool {
    fault.reason() == Reason::UnsupportedOperation
        && fault.agent_error().is_none_or(|error| error.dialect == Dialect::V1_0)
}

/// The events of a task that cannot be followed any more.
async fn ended(mut inner: impl Stage, get: Call, fault: Fault) -> Events {
    if is_over(&fault)
        && let Ok(task) = inner.call(get).await.and_then(once)
    {
        return stream::iter([Ok(task_event(&task)), Ok(Event::End(Params::default()))]).boxed();
    }
    stream::iter([Err(fault)]).boxed()
}

/// Events of which each says whether it is the last one of its interaction. One of which that is open is held back for a
/// moment to see.
fn concluding(events: Events) -> Events {
    stream::unfold((events, None), |(mut events, ahead)| async move {
        let event = match ahead {
            Some(event) => event,
            None => events.next().await,
        };
        let (event, ahead) = match event? {
            Ok(Event::Data(wire)) => match is_open(&wire) {
                Ok(true) => {
                    let next = timeout(HELD_BACK, events.next()).await.ok();
                    let last = matches!(next, Some(None | Some(Ok(Event::End(_)))));
                    (say_final(&wire, last).map(|wire| Event::Data(wire.into())).map_err(unreadable), next)
                }
                Ok(false) => (Ok(Event::Data(wire)), None),
                Err(fault) => (Err(fault), None),
            },
            other => (other, None),
        };
        Some((event, (events, ahead)))
    })
    .boxed()
}

/// Whether it is left open whether the event is the last one: it leaves the task waiting for the caller, which mostly is, or
/// the task has ended and yet the agent says that more follows. Some clients wait for nothing but that word.
fn is_open(event: &[u8]) -> Result<bool, Fault> {
    let said = says_final(event).map_err(unreadable)?;
    Ok(match follows(event).map_err(unreadable)? {
        Follows::Maybe => said.is_none(),
        Follows::More => false,
        Follows::Nothing => said == Some(false),
    })
}
