//! Headers and extensions: what a call says beside its message.

use std::sync::Arc;

use a2a::{Message, Part, PartContent, Role, SVC_PARAM_EXTENSIONS, SendMessageResponse};
use a2a_client::auth::AuthInterceptor;
use serde_json::Value;

use super::{Client, Failure, Outcome, Session, check, fail, request};
use crate::card::EXTENSION;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Three headers, each set by an interceptor of the SDK, arrive.
pub async fn headers(session: &Session) -> Outcome {
    let client = session
        .client_with(vec![
            Arc::new(AuthInterceptor::bearer("s3cret")),
            Arc::new(AuthInterceptor::custom("X-API-Key", "k3y")),
            Arc::new(AuthInterceptor::custom("traceparent", TRACEPARENT)),
        ])
        .await?;
    let seen = ask(&client).await?;
    if seen["unsupported"] == true {
        let why = "the agent's SDK shows no headers to its executor";
        return Err(Failure::Unsupported(why.into()));
    }
    // The mesh may add a span of its own, so only the trace must be the same.
    let traceparent = seen["traceparent"].as_str().unwrap_or_default();
    let arrived = seen["authorization"] == "Bearer s3cret"
        && seen["x-api-key"] == "k3y"
        && traceparent.starts_with(&TRACEPARENT[..35]);
    check(arrived, || format!("the agent saw {seen}"))
}

/// The extension that the client asks for is seen by the agent.
pub async fn extensions(session: &Session) -> Outcome {
    let asks = AuthInterceptor::custom(SVC_PARAM_EXTENSIONS, EXTENSION);
    let client = session.client_with(vec![Arc::new(asks)]).await?;
    let seen = ask(&client).await?;
    if seen["unsupported"] == true {
        let why = "the agent's SDK shows no extensions to its executor";
        return Err(Failure::Unsupported(why.into()));
    }
    let asked = seen["extensions"].as_array();
    let found = asked.is_some_and(|all| all.iter().any(|uri| uri == EXTENSION));
    check(found, || format!("the agent saw {seen}"))
}

async fn ask(client: &Client) -> Result<Value, Failure> {
    let message = Message::new(Role::User, vec![Part::text("headers")]);
    match client.send_message(&request(message)).await? {
        SendMessageResponse::Message(message) => match message.parts.first().map(|p| &p.content) {
            Some(PartContent::Data(seen)) => Ok(seen.clone()),
            other => fail(format!("the answer is {other:?}")),
        },
        SendMessageResponse::Task(task) => fail(format!("a task came: {:?}", task.status)),
    }
}
