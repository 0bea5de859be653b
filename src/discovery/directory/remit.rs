//! What a directory is believed about: whoever answers proves its identity, and an identity of one mesh proves nothing about
//! the agents of another.

use std::sync::Arc;

use crate::a2a::{Home, Name};
use crate::proto::mesh::{Agent, Filter};

/// What a directory may tell of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Remit {
    /// The only mesh; none: all of them, because it is our own mesh's directory, which also tells what others told it.
    mesh: Option<Arc<str>>,
}

impl Remit {
    /// Agents of that mesh alone.
    pub(super) fn of_mesh(mesh: &str) -> Self {
        Self { mesh: Some(mesh.into()) }
    }

    /// Whether agents of that mesh are in it.
    pub(super) fn covers(&self, mesh: &str) -> bool {
        self.mesh.as_deref().is_none_or(|only| only == mesh)
    }

    /// What is asked where `filter` is wanted: a mesh's directory for its own agents, and not for what it relays.
    pub(super) fn narrow(&self, filter: &Filter) -> Filter {
        let filter = filter.clone();
        match self.mesh {
            None => filter,
            Some(_) => Filter { own: true, mesh: String::new(), ..filter },
        }
    }

    /// The agent's name, if it is one, and one that may be told of.
    pub(super) fn name_of(&self, agent: &Agent) -> Option<Name> {
        full_name(&agent.name).filter(|name| self.covers(name.mesh()))
    }
}

/// A name that says all three of its labels, as directories write it.
pub(super) fn full_name(text: &str) -> Option<Name> {
    let nowhere = Home { namespace: String::new(), mesh: String::new() };
    Name::parse(text, &nowhere).ok().filter(|name| name.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_name_names_an_agent() {
        assert!(full_name("currency.travel.east").is_some());
        for text in
            ["", "currency", "currency.travel", "Currency.travel.east", "a.b.c.a2a", "a.b.c.d", "a_b.c.d"]
        {
            assert_eq!(full_name(text), None, "{text}");
        }
    }

    #[test]
    fn a_directory_of_another_mesh_is_asked_for_its_own_agents_and_believed_about_them_alone() {
        let filter =
            Filter { namespace: "bank".into(), mesh: "west".into(), skill: "lend".into(), own: false };
        let named = |remit: &Remit, name: &str| {
            remit.name_of(&Agent { name: name.into(), ..Agent::default() }).is_some()
        };
        let (own, west) = (Remit::default(), Remit::of_mesh("west"));
        assert_eq!(own.narrow(&filter), filter);
        let narrow = Filter { mesh: String::new(), own: true, ..filter.clone() };
        assert_eq!(west.narrow(&filter), narrow);
        for (name, by_own, by_west) in
            [("a.x.west", true, true), ("a.x.east", true, false), ("west", false, false)]
        {
            assert_eq!((named(&own, name), named(&west, name)), (by_own, by_west), "{name}");
        }
    }
}
