//! What is to be done about an agent, as far as pods and Services tell.

use std::collections::{BTreeMap, HashSet};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{Keeper, LINKS_MAX, Next, Report};
use crate::kube::{
    mirror::Key,
    services::{
        GRACE,
        pod::Owners,
        server::{Notice, Tops, Wanted},
        service::{self, Ours, Standing, service_of},
    },
    why,
};

impl Keeper {
    /// Decides.
    pub(super) fn look(&mut self, agent: &Key, now: Instant) -> Next {
        let service = service_of(agent);
        let standing = service.as_ref().and_then(|key| self.services.get(key)).cloned();
        let pods = self.holders.get(agent).into_iter().flatten();
        let mut pods =
            pods.filter_map(|key| Some((key, self.pods.get(key)?))).filter(|(_, pod)| !pod.leaving);
        let Some((key, pod)) = pods.next() else {
            return match standing {
                Some(Standing::Ours(ours)) => self.unneeded(agent, ours, now),
                _ => self.forget(agent),
            };
        };
        let (key, uid) = (key.clone(), pod.uid.clone());
        self.idle.remove(agent);
        match (service, standing) {
            (None, _) => self.unnamable(agent, key, uid),
            (Some(key), Some(Standing::Theirs { uid, meshed })) => self.leave(agent, key, uid, meshed),
            (Some(_), Some(Standing::Ours(ours))) => self.ensure(agent, Some(ours)),
            (Some(_), None) => self.ensure(agent, None),
        }
    }

    fn forget(&mut self, agent: &Key) -> Next {
        self.idle.remove(agent);
        self.told.remove(agent);
        self.patience.remove(agent);
        Next::Nothing
    }

    /// An agent with pods has to have its Service.
    fn ensure(&self, agent: &Key, existing: Option<Ours>) -> Next {
        let (mut owners, mut links) = (Owners::new(), BTreeMap::new());
        let pods = self.holders.get(agent).into_iter().flatten().filter_map(|key| self.pods.get(key));
        for pod in pods.filter(|pod| !pod.leaving) {
            let owner = &pod.owner;
            match (owner.link(), self.tops.get(&owner.uid)) {
                (None, _) => drop(owners.insert(owner.uid.clone(), owner.clone())),
                (_, Some(top)) => drop(owners.insert(top.uid.clone(), top.clone())),
                (Some(_), None) => drop(links.insert(owner.uid.clone(), owner.clone())),
            }
        }
        let wanted = |ours: &Ours| service::owners(&owners, &ours.owners);
        if links.is_empty() && existing.as_ref().is_some_and(|ours| service::is_in_order(ours, &wanted(ours)))
        {
            return Next::Nothing;
        }
        let links = links.into_values().take(LINKS_MAX).collect();
        let wanted = Wanted { agent: agent.clone(), owners, links, existing };
        let (server, agent) = (self.server.clone(), agent.clone());
        let work = async move {
            let mut learnt = Tops::new();
            let outcome = server.ensure(wanted, &mut learnt).await.map_err(|error| why(&error));
            Report { agent, outcome, learnt }
        };
        Next::Work(work.boxed())
    }

    /// A Service of ours whose agent has no pods: perhaps the agent is scaled to zero, perhaps it was renamed.
    fn unneeded(&mut self, agent: &Key, ours: Ours, now: Instant) -> Next {
        let over = *self.idle.entry(agent.clone()).or_insert(now) + GRACE;
        if over > now {
            return Next::At(over);
        }
        // What does not say what it is for was perhaps not made by us.
        if !ours.marked || !self.may_be_renamed(&agent.namespace, &ours) {
            self.idle.insert(agent.clone(), now);
            return Next::At(now + GRACE);
        }
        let (server, agent) = (self.server.clone(), agent.clone());
        let pods = self.pods.within(&agent.namespace).filter_map(|(_, pod)| {
            let uid = &pod.owner.uid;
            self.tops.get(uid).map(|top| (uid.clone(), top.clone()))
        });
        let mut learnt: Tops = pods.collect();
        let work = async move {
            let outcome = server.sweep(&agent, &ours, &mut learnt).await.map_err(|error| why(&error));
            Report { agent, outcome, learnt }
        };
        Next::Work(work.boxed())
    }

    /// Whether all owners of a Service may have pods, none of which has its agent.
    fn may_be_renamed(&self, namespace: &str, ours: &Ours) -> bool {
        let mut living = HashSet::new();
        for (_, pod) in self.pods.within(namespace).filter(|(_, pod)| !pod.leaving) {
            let owner = &pod.owner;
            match (owner.link(), self.tops.get(&owner.uid)) {
                (None, _) => living.insert(&owner.uid),
                (_, Some(top)) => living.insert(&top.uid),
                // It is asked then.
                (Some(_), None) => return true,
            };
        }
        ours.owners.keys().all(|uid| living.contains(uid))
    }

    /// The Service of that name is somebody else's: it stays as it is, which is said once.
    fn leave(&mut self, agent: &Key, key: Key, uid: String, meshed: bool) -> Next {
        let note = if meshed {
            "This Service is not Dragoman's and is left alone: it finds the agent's pods itself".to_owned()
        } else {
            format!(
                "This Service is not Dragoman's and is left alone, but without a port named a2a the agent {} cannot be found by it",
                agent.name
            )
        };
        let reason = "MeshServiceLeftAlone";
        self.tell(agent, "left", Notice { kind: "Service", key, uid, warning: !meshed, reason, note })
    }

    /// No Service can have that name, which is said once.
    fn unnamable(&mut self, agent: &Key, key: Key, uid: String) -> Next {
        let note = format!(
            "The agent {:?} gets no Service: its name has to be a DNS label of at most 59 characters that begins with a letter",
            agent.name
        );
        let notice = Notice { kind: "Pod", key, uid, warning: true, reason: "AgentNameUnusable", note };
        if self.told.contains_key(agent) {
            // One of its pods is enough.
            return Next::Nothing;
        }
        self.tell(agent, "refused", notice)
    }

    fn tell(&mut self, agent: &Key, result: &'static str, notice: Notice) -> Next {
        if self.told.get(agent) == Some(&notice.uid) {
            return Next::Nothing;
        }
        self.told.insert(agent.clone(), notice.uid.clone());
        self.metrics.did(result);
        let Notice { reason, note, .. } = &notice;
        let (namespace, object, agent_name) = (&notice.key.namespace, &notice.key.name, &agent.name);
        if notice.warning {
            tracing::warn!(namespace, object, agent = agent_name, reason, note, "No mesh Service of ours");
        } else {
            tracing::info!(namespace, object, agent = agent_name, reason, note, "No mesh Service of ours");
        }
        let (server, agent) = (self.server.clone(), agent.clone());
        let work = async move {
            let outcome = server.tell(notice).await.map_err(|error| format!("no Event: {}", why(&error)));
            Report { agent, outcome, learnt: Tops::new() }
        };
        Next::Work(work.boxed())
    }
}
