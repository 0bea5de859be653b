//! The card of the agent, and the one with one more skill that only `GetExtendedAgentCard` shows.

use a2a::{
    AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentSkill, TRANSPORT_PROTOCOL_GRPC,
    TRANSPORT_PROTOCOL_HTTP_JSON, TRANSPORT_PROTOCOL_JSONRPC,
};

/// The extension that the client may ask for.
pub const EXTENSION: &str = "urn:interop:ext";

/// The public card of an agent whose HTTP is at `url` and whose gRPC is at `grpc` (`host:port`).
pub fn public(url: &str, grpc: &str) -> AgentCard {
    AgentCard {
        name: "interop".into(),
        description: "Answers by the first word of the message".into(),
        version: "1.0.0".into(),
        supported_interfaces: vec![
            AgentInterface::new(format!("{url}/jsonrpc"), TRANSPORT_PROTOCOL_JSONRPC),
            AgentInterface::new(format!("{url}/rest"), TRANSPORT_PROTOCOL_HTTP_JSON),
            AgentInterface::new(grpc, TRANSPORT_PROTOCOL_GRPC),
        ],
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(true),
            extensions: Some(vec![AgentExtension {
                uri: EXTENSION.into(),
                description: None,
                required: Some(false),
                params: None,
            }]),
            extended_agent_card: Some(true),
        },
        default_input_modes: vec!["text/plain".into()],
        default_output_modes: vec!["text/plain".into()],
        skills: vec![skill("echo")],
        provider: None,
        documentation_url: None,
        icon_url: None,
        security_schemes: None,
        security_requirements: None,
        signatures: None,
    }
}

/// The public card with the skill `extended` added.
pub fn extended(mut card: AgentCard) -> AgentCard {
    card.skills.push(skill("extended"));
    card
}

fn skill(id: &str) -> AgentSkill {
    AgentSkill {
        id: id.into(),
        name: id.into(),
        description: format!("the skill {id}"),
        tags: vec!["interop".into()],
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    }
}
