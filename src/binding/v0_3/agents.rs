//! Agents that speak 0.3, whoever calls them.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;
use tower::service_fn;

use super::{Events, get_task, once, task_event};
use crate::a2a::{Body, Call, Event, Fault, Operation, Params, Reason, Reply, Stage};
use crate::codec::v0_3::says_final;
use crate::codec::wire::Fields;

/// How long an agent may take to begin with the task, as it must in 1.0 and may in 0.3, before it is asked for it.
const FIRST: Duration = Duration::from_millis(250);
/// How long a stream may stay open after what the agent said was the last event.
const GRACE: Duration = Duration::from_secs(1);

/// Gives callers of an agent of 0.3 behind `inner` what they expect of one of 1.0.
pub fn agent(mut inner: impl Stage) -> impl Stage {
    service_fn(move |call: Call| match call.operation {
        Operation::ListTasks => {
            let fault =
                Fault::new(Reason::MethodNotFound, "this agent speaks A2A 0.3, which has no list of tasks");
            std::future::ready(Err(fault)).boxed()
        }
        Operation::SendStreamingMessage => follow(inner.clone(), call).boxed(),
        Operation::SubscribeToTask => subscribe(inner.clone(), call).boxed(),
        _ => inner.call(call).boxed(),
    })
}

async fn follow(mut inner: impl Stage, call: Call) -> Result<Reply, Fault> {
    let Reply { params, body } = inner.call(call).await?;
    let body = match body {
        Body::Events(events) => Body::Events(ending(events)),
        Body::Once(wire) => Body::Once(wire),
    };
    Ok(Reply { params, body })
}

/// In 1.0 the task comes first, as it stands (specification §3.1.6). Some agents of 0.3 do not even answer before something
/// happens.
async fn subscribe(mut inner: impl Stage, call: Call) -> Result<Reply, Fault> {
    let get = get_task(&call)?;
    let mut reply = follow(inner.clone(), call).boxed();
    let (params, events) = match timeout(FIRST, &mut reply).await {
        Ok(reply) => {
            let Reply { params, body } = reply?;
            let Body::Events(events) = body else { return Ok(Reply { params, body }) };
            (params, beginning(inner, get, events).flatten_stream().boxed())
        }
        Err(_) => {
            let task = task(&mut inner, get).await;
            let events = but_for(task.clone(), later(reply));
            (Params::default(), stream::iter(task.map(Ok)).chain(events).boxed())
        }
    };
    Ok(Reply { params, body: Body::Events(events) })
}

/// The events of a reply that is not there yet.
fn later(reply: BoxFuture<'static, Result<Reply, Fault>>) -> Events {
    let events = reply.map(|reply| match reply {
        Ok(Reply { body: Body::Events(events), .. }) => events,
        Ok(_) => stream::empty().boxed(),
        Err(fault) => stream::iter([Err(fault)]).boxed(),
    });
    events.flatten_stream().boxed()
}

async fn beginning(mut inner: impl Stage, get: Call, mut events: Events) -> Events {
    let first = timeout(FIRST, events.next()).await.ok();
    match first {
        // It begins with the task itself, or with an error; or it ends.
        Some(Some(first)) if !is_update(&first) => stream::iter([first]).chain(events).boxed(),
        Some(None) => stream::empty().boxed(),
        Some(Some(update)) => {
            let task = task(&mut inner, get).await.map(Ok);
            stream::iter(task.into_iter().chain([update])).chain(events).boxed()
        }
        None => {
            let task = task(&mut inner, get).await;
            let events = but_for(task.clone(), events);
            stream::iter(task.map(Ok)).chain(events).boxed()
        }
    }
}

/// The task as it stands. An agent that cannot be asked now is followed all the same.
async fn task(inner: &mut impl Stage, get: Call) -> Option<Event> {
    inner.call(get).await.and_then(once).ok().map(|task| task_event(&task))
}

/// Events without the first one if it is the task that has come already: some clients stop at a second one.
fn but_for(task: Option<Event>, events: Events) -> Events {
    let known = match task {
        Some(Event::Data(wire)) => wire,
        Some(Event::End(_)) | None => return events,
    };
    let news = events.enumerate().filter(move |(index, event)| {
        let again = *index == 0 && matches!(event, Ok(Event::Data(wire)) if *wire == known);
        std::future::ready(!again)
    });
    news.map(|(_, event)| event).boxed()
}

/// Whether an event tells of a change, and not of the task as a whole.
fn is_update(event: &Result<Event, Fault>) -> bool {
    /// `StreamResponse.task`.
    const TASK: u32 = 1;
    match event {
        Ok(Event::Data(wire)) => {
            !Fields::new(wire).any(|field| field.is_ok_and(|field| field.number == TASK))
        }
        Ok(Event::End(_)) | Err(_) => false,
    }
}

/// Events up to the one that the agent says is the last, though it may leave the connection open behind it.
fn ending(events: Events) -> Events {
    stream::unfold((events, false), |(mut events, over)| async move {
        let event = if over {
            match timeout(GRACE, events.next()).await {
                Ok(event) => event?,
                Err(_) => Ok(Event::End(Params::default())),
            }
        } else {
            events.next().await?
        };
        let over = matches!(&event, Ok(Event::Data(wire)) if matches!(says_final(wire), Ok(Some(true))));
        if matches!(event, Ok(Event::End(_))) {
            events = stream::empty().boxed();
        }
        Some((event, (events, over)))
    })
    .boxed()
}
