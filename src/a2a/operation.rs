//! The operations of A2A (specification §3.1): eleven RPCs, and the card.

use std::fmt;

/// What a caller asks of an agent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Operation {
    /// Gives up a task.
    CancelTask,
    /// Registers a webhook.
    CreateTaskPushNotificationConfig,
    /// Removes a webhook.
    DeleteTaskPushNotificationConfig,
    /// Reads the agent's card: no RPC of A2A, but it passes the same stages.
    GetAgentCard,
    /// Reads the card that only authenticated callers see.
    GetExtendedAgentCard,
    /// Reads a task.
    GetTask,
    /// Reads a webhook.
    GetTaskPushNotificationConfig,
    /// Lists the webhooks of a task.
    ListTaskPushNotificationConfigs,
    /// Lists tasks.
    ListTasks,
    /// Sends a message and waits for the outcome.
    SendMessage,
    /// Sends a message and follows what happens.
    SendStreamingMessage,
    /// Follows a task that is under way.
    SubscribeToTask,
}

impl Operation {
    /// Every operation, the card included.
    pub const ALL: [Self; 12] = [
        Self::CancelTask,
        Self::CreateTaskPushNotificationConfig,
        Self::DeleteTaskPushNotificationConfig,
        Self::GetAgentCard,
        Self::GetExtendedAgentCard,
        Self::GetTask,
        Self::GetTaskPushNotificationConfig,
        Self::ListTaskPushNotificationConfigs,
        Self::ListTasks,
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::SubscribeToTask,
    ];

    /// The name in policies, metrics and logs; of the eleven also the gRPC method and the JSON-RPC 1.0 method.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CancelTask => "CancelTask",
            Self::CreateTaskPushNotificationConfig => "CreateTaskPushNotificationConfig",
            Self::DeleteTaskPushNotificationConfig => "DeleteTaskPushNotificationConfig",
            Self::GetAgentCard => "GetAgentCard",
            Self::GetExtendedAgentCard => "GetExtendedAgentCard",
            Self::GetTask => "GetTask",
            Self::GetTaskPushNotificationConfig => "GetTaskPushNotificationConfig",
            Self::ListTaskPushNotificationConfigs => "ListTaskPushNotificationConfigs",
            Self::ListTasks => "ListTasks",
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::SubscribeToTask => "SubscribeToTask",
        }
    }

    /// The operation of that name, the card included.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The RPC of that name: a method of the gRPC service and of JSON-RPC 1.0.
    pub fn rpc(name: &str) -> Option<Self> {
        Self::named(name).filter(|operation| *operation != Self::GetAgentCard)
    }

    /// Whether the reply is a stream of events.
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }

    /// Whether it only reads, so that asking twice is as good as once. The streams are left out: events of a broken
    /// one have been seen already.
    pub const fn is_idempotent_read(self) -> bool {
        matches!(
            self,
            Self::GetAgentCard
                | Self::GetExtendedAgentCard
                | Self::GetTask
                | Self::GetTaskPushNotificationConfig
                | Self::ListTaskPushNotificationConfigs
                | Self::ListTasks
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_found_by_its_name() {
        for operation in Operation::ALL {
            assert_eq!(Operation::named(operation.name()), Some(operation));
        }
        assert_eq!(Operation::named("sendmessage"), None);
        assert_eq!(Operation::rpc("GetAgentCard"), None);
    }
}
