//! Agents as directories tell each other and sidecars of them.

use super::{Agent, Card, Endpoint, Skill, card};
use crate::a2a::Name;
use crate::proto::mesh;

/// What is told of an agent; `brief` leaves out the text of its card.
pub(super) fn write(agent: &Agent, brief: bool) -> mesh::Agent {
    let mut message = mesh::Agent {
        name: agent.name.to_string(),
        endpoints: agent.endpoints.iter().map(endpoint).collect(),
        card_error: agent.card_error.clone().unwrap_or_default(),
        ..mesh::Agent::default()
    };
    if let Some(card) = &agent.card {
        message.display_name.clone_from(&card.display_name);
        message.description.clone_from(&card.description);
        message.version.clone_from(&card.version);
        message.dialects.clone_from(&card.dialects);
        message.skills = card.skills.iter().map(skill).collect();
        message.card_read = Some(prost_types::Timestamp { seconds: card.read, nanos: 0 });
        if !brief {
            message.card = card.text.clone();
        }
    }
    message
}

/// What another directory tells of an agent. What is odd in it is left out.
pub(super) fn read(name: Name, message: &mesh::Agent) -> Agent {
    let endpoints = message.endpoints.iter().filter_map(|endpoint| {
        Some(Endpoint { address: endpoint.address.parse().ok()?, ready: endpoint.ready })
    });
    let mut endpoints: Vec<Endpoint> = endpoints.collect();
    endpoints.sort_unstable();
    let known = !message.card.is_empty() && message.card.len() <= card::MAX;
    let card = known.then(|| Card {
        text: message.card.clone(),
        display_name: message.display_name.clone(),
        description: message.description.clone(),
        version: message.version.clone(),
        dialects: message.dialects.clone(),
        skills: message.skills.iter().map(read_skill).collect(),
        read: message.card_read.map_or(0, |read| read.seconds),
    });
    let card_error = Some(message.card_error.clone()).filter(|error| !error.is_empty());
    Agent { name, endpoints, card, card_error }
}

fn endpoint(endpoint: &Endpoint) -> mesh::Endpoint {
    mesh::Endpoint { address: endpoint.address.to_string(), ready: endpoint.ready }
}

fn skill(skill: &Skill) -> mesh::Skill {
    let Skill { id, name, description, tags } = skill.clone();
    mesh::Skill { id, name, description, tags }
}

fn read_skill(skill: &mesh::Skill) -> Skill {
    let mesh::Skill { id, name, description, tags } = skill.clone();
    Skill { id, name, description, tags }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::Home;

    #[test]
    fn an_agent_arrives_as_it_was_sent() {
        let home = Home { namespace: "travel".into(), mesh: "east".into() };
        let name = Name::parse("currency", &home).unwrap();
        let text = r#"{"name":"Currency","version":"1","description":"d","url":"http://x","skills":[{"id":"a","tags":["t"]}]}"#;
        let endpoints = vec![
            Endpoint { address: "10.0.0.1:2643".parse().unwrap(), ready: true },
            Endpoint { address: "[fd00::1]:2643".parse().unwrap(), ready: false },
        ];
        let card = Card::read(text.into(), 7).unwrap();
        let agent =
            Agent { name: name.clone(), endpoints, card: Some(card), card_error: Some("late".into()) };
        assert_eq!(read(name.clone(), &write(&agent, false)), agent);
        let brief = write(&agent, true);
        assert!(brief.card.is_empty() && brief.skills.len() == 1);
        assert_eq!(read(name.clone(), &brief).card, None);
        let bare = Agent { card: None, card_error: None, ..agent };
        assert_eq!(read(name, &write(&bare, false)), bare);
    }
}
