//! A directory's list of agents, put together page by page.

use std::collections::BTreeMap;
use std::pin::pin;

use futures_util::{Stream, TryStreamExt as _};

use super::remit::Remit;
use super::{BRIEF_MAX, MOST, NOT_ITS_OWN, Unlisted, weight};
use crate::a2a::Name;
use crate::proto::mesh::{Agent, ListAgentsResponse};

/// What a directory lists.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// By name.
    pub agents: BTreeMap<Name, Agent>,
    /// How much memory was told, in bytes.
    pub bytes: usize,
}

/// Takes the pages until one is the last; `directory` is who tells.
pub(super) async fn gather(
    directory: String,
    remit: &Remit,
    pages: impl Stream<Item = Result<ListAgentsResponse, Unlisted>>,
) -> Result<Listed, Unlisted> {
    let (mut listed, mut odd) = (Listed::default(), None);
    let mut pages = pin!(pages);
    while let Some(page) = pages.try_next().await? {
        for agent in page.agents {
            // What is not kept has to come to an end too.
            listed.bytes += weight(&agent);
            match remit.admit(agent) {
                Ok((name, agent)) => drop(listed.agents.insert(name, agent)),
                Err(name) => drop(odd.get_or_insert(name)),
            }
        }
        if listed.bytes > BRIEF_MAX {
            return Err(Unlisted::TooMuch { directory });
        }
        if listed.agents.len() > MOST {
            break;
        }
        if page.next_page_token.is_empty() {
            if let Some(agent) = odd {
                tracing::warn!(directory, agent, "{NOT_ITS_OWN}");
            }
            return Ok(listed);
        }
    }
    Err(Unlisted::TooMany { directory })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::proto::mesh::Skill;

    /// A page with an agent of these skills, which say nothing; there is always another one.
    fn page(agent: &str, skills: usize) -> Result<ListAgentsResponse, Unlisted> {
        let skills = vec![Skill::default(); skills];
        let agents = vec![Agent { name: agent.into(), skills, ..Agent::default() }];
        Ok(ListAgentsResponse { agents, next_page_token: "more".into() })
    }

    #[tokio::test]
    async fn a_list_takes_no_more_memory_than_there_is_room_for() {
        let each = BRIEF_MAX / 3 / size_of::<Skill>();
        let last = Ok(ListAgentsResponse::default());
        let two = [page("a.x.west", each), page("b.x.west", each), last.clone()];
        let listed = gather("west".into(), &Remit::of_mesh("west"), stream::iter(two)).await.unwrap();
        assert_eq!(listed.agents.len(), 2);
        assert!((BRIEF_MAX / 2..BRIEF_MAX).contains(&listed.bytes), "{}", listed.bytes);
        // Neither what replaces another nor what is not taken is for nothing.
        for name in ["c.x.west", "a.x.west", "a.x.east"] {
            let pages = [page("a.x.west", each), page("b.x.west", each), page(name, each), last.clone()];
            let error =
                gather("west".into(), &Remit::of_mesh("west"), stream::iter(pages)).await.unwrap_err();
            assert_eq!(error.to_string(), "west tells more than 32 MiB: ask for one namespace");
        }
    }

    #[tokio::test]
    async fn a_list_without_end_is_none() {
        let pages = stream::iter((0..10).map(|_| page("a.x.west", 0)));
        let error = gather("west".into(), &Remit::default(), pages).await.unwrap_err();
        assert!(matches!(error, Unlisted::TooMany { .. }), "{error}");
    }
}
