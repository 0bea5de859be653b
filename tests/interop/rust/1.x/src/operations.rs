//! The operations by name, and the session that they share: the card and the SDK's client for the wanted binding.

mod answers;
mod calls;
mod errors;
mod lifecycle;
mod sending;
mod streams;

use std::sync::Arc;

use a2a::{A2AError, AgentCard, Message, SendMessageRequest};
use a2a_client::agent_card::AgentCardResolver;
use a2a_client::middleware::CallInterceptor;
use a2a_client::{A2AClient, A2AClientFactory, Transport};
use a2a_grpc::GrpcTransportFactory;

/// The SDK's client over whatever transport its factory chose.
pub type Client = A2AClient<Box<dyn Transport>>;

/// Why an operation did not pass.
#[derive(Clone)]
pub enum Failure {
    /// It did not do what it must.
    Fail(String),
    /// The SDK has no means for it.
    Unsupported(String),
}

/// What an operation ends with.
pub type Outcome = Result<(), Failure>;

impl From<A2AError> for Failure {
    fn from(error: A2AError) -> Self {
        Failure::Fail(format!("{} (code {})", error.message, error.code))
    }
}

/// A failure with this text.
pub fn fail<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Fail(why.into()))
}

/// Fails with `why` unless `holds`.
pub fn check(holds: bool, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { fail(why()) }
}

/// Every operation, in the order in which they run.
pub const NAMES: &[&str] = &[
    "Card",
    "SendMessage/echo",
    "SendMessage/task",
    "SendMessage/input",
    "SendMessage/fail",
    "SendStreamingMessage",
    "SendStreamingMessage/echo",
    "GetTask",
    "ListTasks",
    "CancelTask",
    "SubscribeToTask",
    "PushNotificationConfig",
    "GetExtendedAgentCard",
    "Errors/TaskNotFound",
    "Errors/NotCancelable",
    "Headers",
    "Extensions",
];

/// Runs the operation of this name.
pub async fn run(name: &str, session: &Session) -> Outcome {
    match name {
        "Card" => session.check_card(),
        "SendMessage/echo" => sending::echo(session).await,
        "SendMessage/task" => sending::task(session).await,
        "SendMessage/input" => sending::input(session).await,
        "SendMessage/fail" => sending::fails(session).await,
        "SendStreamingMessage" => streams::events(session).await,
        "SendStreamingMessage/echo" => streams::echo(session).await,
        "GetTask" => lifecycle::get(session).await,
        "ListTasks" => lifecycle::list(session).await,
        "CancelTask" => lifecycle::cancel(session).await,
        "SubscribeToTask" => streams::subscribe(session).await,
        "PushNotificationConfig" => lifecycle::push(session).await,
        "GetExtendedAgentCard" => lifecycle::extended_card(session).await,
        "Errors/TaskNotFound" => errors::not_found(session).await,
        "Errors/NotCancelable" => errors::not_cancelable(session).await,
        "Headers" => calls::headers(session).await,
        "Extensions" => calls::extensions(session).await,
        other => fail(format!("no operation {other}")),
    }
}

/// One target: its card as the SDK resolved it, and a client for the wanted binding.
pub struct Session {
    pub client: Client,
    card: AgentCard,
    binding: String,
}

impl Session {
    /// Resolves the card below `base` and lets the SDK's factory choose `binding` from it.
    pub async fn open(base: String, binding: String) -> Result<Self, Failure> {
        let card = AgentCardResolver::new(None).resolve(&base).await?;
        let client = connect(&card, &binding, vec![]).await?;
        Ok(Session { client, card, binding })
    }

    /// A second client of the same target that adds service parameters to every call.
    pub async fn client_with(&self, added: Vec<Arc<dyn CallInterceptor>>) -> Result<Client, Failure> {
        connect(&self.card, &self.binding, added).await
    }

    fn check_card(&self) -> Outcome {
        check(self.card.name == "interop", || format!("the card's name is {:?}", self.card.name))
    }
}

async fn connect(
    card: &AgentCard,
    binding: &str,
    added: Vec<Arc<dyn CallInterceptor>>,
) -> Result<Client, Failure> {
    let mut builder = A2AClientFactory::builder()
        .preferred_bindings(vec![binding.to_string()])
        .register(Arc::new(GrpcTransportFactory::new()));
    for interceptor in added {
        builder = builder.with_interceptor(interceptor);
    }
    let (client, chosen) = builder.build().create_from_card_with_interface(card).await?;
    // The factory falls back to any other binding; that would test the wrong lane.
    check(chosen.protocol_binding == binding, || {
        format!("the SDK chose {}, not {binding}", chosen.protocol_binding)
    })?;
    Ok(client)
}

/// A request with nothing but this message.
pub fn request(message: Message) -> SendMessageRequest {
    SendMessageRequest { message, configuration: None, metadata: None, tenant: None }
}
