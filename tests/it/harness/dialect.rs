//! The words of both dialects, and every pair of a caller and an agent that speak them.

use std::fmt;

pub(crate) use dragoman::a2a::Dialect::{self, V0_3, V1_0};
use dragoman::a2a::Operation;
use serde_json::json;

use super::agent::Received;
use super::client::{Client, JSON};
use super::mesh::Pair;

/// Callers and agents.
pub(crate) const PAIRS: [(Dialect, Dialect); 4] = [(V0_3, V0_3), (V0_3, V1_0), (V1_0, V0_3), (V1_0, V1_0)];

/// What is said in either dialect; states have their names of 0.3.
#[derive(Clone, Copy)]
pub(crate) enum Said<'a> {
    /// The parameters of a message of one text.
    Send(&'a str),
    /// A message as an answer to one, or as an event.
    Message(&'a str),
    /// The task `t` in that state, as an answer to a message, or as an event.
    Task(&'a str),
    /// The same as an answer to who asked for it.
    Bare(&'a str),
    /// The task is in that state now, which may be the last of it.
    Update(&'a str, bool),
}

/// Says it in that dialect.
pub(crate) fn speak(dialect: Dialect, said: Said<'_>) -> String {
    let wrapped = |name: &str, text: String| match dialect {
        V0_3 => text,
        V1_0 => format!(r#"{{"{name}":{text}}}"#),
    };
    let kind = |kind: &str| match dialect {
        V0_3 => format!(r#""kind":"{kind}","#),
        V1_0 => String::new(),
    };
    let message = |role: &str, text: &str| {
        let role = match dialect {
            V0_3 => role.to_owned(),
            V1_0 => format!("ROLE_{}", role.to_uppercase()),
        };
        let (message, part) = (kind("message"), kind("text"));
        format!(r#"{{{message}"messageId":"m","role":"{role}","parts":[{{{part}"text":{text:?}}}]}}"#)
    };
    let state = |state: &str| match dialect {
        V0_3 => state.to_owned(),
        V1_0 => format!("TASK_STATE_{}", state.to_uppercase().replace('-', "_")),
    };
    let task = |name: &str| {
        format!(r#"{{{}"id":"t","contextId":"c","status":{{"state":"{}"}}}}"#, kind("task"), state(name))
    };
    match said {
        Said::Send(text) => format!(r#"{{"message":{}}}"#, message("user", text)),
        Said::Message(text) => wrapped("message", message("agent", text)),
        Said::Task(state) => wrapped("task", task(state)),
        Said::Bare(state) => task(state),
        Said::Update(name, last) => {
            let last = if dialect == V0_3 { format!(r#","final":{last}"#) } else { String::new() };
            let (kind, state) = (kind("status-update"), state(name));
            let status = format!(r#""status":{{"state":"{state}"}}"#);
            wrapped("statusUpdate", format!(r#"{{{kind}"taskId":"t","contextId":"c",{status}{last}}}"#))
        }
    }
}

/// The name of a method.
pub(crate) fn method(dialect: Dialect, operation: Operation) -> &'static str {
    use Operation as O;
    match (dialect, operation) {
        (V1_0, _) => operation.name(),
        (V0_3, O::SendMessage) => "message/send",
        (V0_3, O::SendStreamingMessage) => "message/stream",
        (V0_3, O::GetTask) => "tasks/get",
        (V0_3, O::ListTasks) => "tasks/list",
        (V0_3, O::CancelTask) => "tasks/cancel",
        (V0_3, O::SubscribeToTask) => "tasks/resubscribe",
        (V0_3, O::CreateTaskPushNotificationConfig) => "tasks/pushNotificationConfig/set",
        (V0_3, O::GetTaskPushNotificationConfig) => "tasks/pushNotificationConfig/get",
        (V0_3, O::ListTaskPushNotificationConfigs) => "tasks/pushNotificationConfig/list",
        (V0_3, O::DeleteTaskPushNotificationConfig) => "tasks/pushNotificationConfig/delete",
        (V0_3, O::GetExtendedAgentCard) => "agent/getAuthenticatedExtendedCard",
        (V0_3, O::GetAgentCard) => panic!("no method asks for the card"),
    }
}

/// The header lines of a call: SDKs of 0.3 say nothing of their version.
pub(crate) fn headers(dialect: Dialect) -> &'static str {
    match dialect {
        V0_3 => "Host: localhost\r\nContent-Type: application/json\r\n",
        V1_0 => JSON,
    }
}

/// A request with that id as it is written; without parameters if they are nothing.
pub(crate) fn request(id: &str, method: &str, params: &str) -> String {
    let params = if params.is_empty() { String::new() } else { format!(r#","params":{params}"#) };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"{params}}}"#)
}

/// A caller and an agent, and what they speak.
pub(crate) struct Talk {
    pub(crate) caller: Dialect,
    pub(crate) agent: Dialect,
    pub(crate) pair: Pair,
}

impl Talk {
    pub(crate) async fn start((caller, agent): (Dialect, Dialect)) -> Self {
        let pair = Pair::speaking(json!({"dialect": agent.as_str()})).await;
        Self { caller, agent, pair }
    }

    /// Begins a call, whose parameters are in the caller's words.
    pub(crate) async fn ask(&self, operation: Operation, params: &str) -> Client {
        self.ask_with("", operation, params).await
    }

    /// The same with more header lines.
    pub(crate) async fn ask_with(&self, more: &str, operation: Operation, params: &str) -> Client {
        let mut client = Client::connect(self.pair.planner.outbound).await;
        let body = request("1", method(self.caller, operation), params);
        let headers = format!("{}{more}", headers(self.caller));
        client.request("POST /agents/currency", &headers, &body).await;
        client
    }

    /// The next request at the agent, which must be that one.
    pub(crate) async fn asked(&mut self, operation: Operation) -> Received {
        let request = self.pair.agent.request().await;
        assert_eq!(request.method(), method(self.agent, operation), "{self}");
        request
    }

    /// Begins a call and waits until it has reached the agent.
    pub(crate) async fn begin(&mut self, operation: Operation, params: &str) -> (Client, Received) {
        let client = self.ask(operation, params).await;
        (client, self.asked(operation).await)
    }

    /// Begins to send a message.
    pub(crate) async fn send(&mut self, operation: Operation) -> (Client, Received) {
        self.begin(operation, &speak(self.caller, Said::Send("x"))).await
    }

    pub(crate) fn caller(&self, said: Said<'_>) -> String {
        speak(self.caller, said)
    }

    pub(crate) fn agent(&self, said: Said<'_>) -> String {
        speak(self.agent, said)
    }
}

impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls {}", self.caller.as_str(), self.agent.as_str())
    }
}
