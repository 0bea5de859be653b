//! What is asked of the API server, and written there.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::{
    api::{
        apps::v1::ReplicaSet,
        batch::v1::Job,
        core::v1::{ObjectReference, Pod, Service},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client, Error,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::ObjectMeta,
};

use super::{
    MANAGER,
    pod::{self, Link, Owner, Owners},
    service::{self, Ours, Standing},
};
use crate::{
    identity::Clock,
    kube::{mirror::Key, words::INJECTED},
};

/// What is above objects that stand between a pod and its owner, by their UIDs.
pub(super) type Tops = BTreeMap<String, Owner>;

/// The API server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) clock: Clock,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// There was nothing to do.
    InOrder,
    /// The Service was not there and is now.
    Created,
    /// The Service has more owners now.
    Adopted,
    /// The Service is again as it has to be.
    Mended,
    /// The Service could not be mended and is gone, so that it can be made anew.
    Discarded,
    /// The Service is not needed any more and is gone.
    Deleted,
    /// The Service has no pod, but may still be needed.
    Kept,
    /// What the pods belong to is gone: soon they will be.
    Ownerless,
    /// Somebody else was faster, or has a Service of that name.
    Conflict,
    /// Somebody was told.
    Told,
}

/// What the Service of an agent has to become.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) agent: Key,
    /// The owners of its pods, as far as they are known.
    pub(super) owners: Owners,
    /// What controls its other pods, and has to be looked behind.
    pub(super) links: Vec<Owner>,
    pub(super) existing: Option<Ours>,
}

/// Something that somebody ought to know.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) kind: &'static str,
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) note: String,
}

impl Server {
    /// Sees to it that an agent has its Service. What was learnt about owners is left in `tops`.
    pub(super) async fn ensure(&self, wanted: Wanted, tops: &mut Tops) -> Result<Outcome, Error> {
        let Wanted { agent, owners: mut of_pods, links, existing } = wanted;
        for link in links {
            if let Some(top) = self.top(&agent.namespace, &link).await? {
                of_pods.insert(top.uid.clone(), top.clone());
                tops.insert(link.uid, top);
            }
        }
        let Some(key) = service::service_of(&agent).filter(|_| !of_pods.is_empty()) else {
            return Ok(Outcome::Ownerless);
        };
        let services: Api<Service> = Api::namespaced(self.client.clone(), &key.namespace);
        let existing = match existing {
            Some(existing) => Some(existing),
            // The mirror may be behind: nothing of somebody else is ever written to.
            None => match services.get_opt(&key.name).await?.as_ref().and_then(service::standing) {
                Some(Standing::Theirs { .. }) => return Ok(Outcome::Conflict),
                Some(Standing::Ours(ours)) => Some(ours),
                None => None,
            },
        };
        let has = existing.as_ref().map(|service| service.owners.clone()).unwrap_or_default();
        let owners = service::owners(&of_pods, &has);
        if existing.as_ref().is_some_and(|service| service::is_in_order(service, &owners)) {
            return Ok(Outcome::InOrder);
        }
        let Some(service) = service::desired(&agent, &owners, existing.as_ref()) else {
            return Ok(Outcome::Ownerless);
        };
        let mut params = PatchParams::apply(MANAGER);
        // Without force nobody's value is overwritten, should somebody make such a Service at this very moment.
        params.force = existing.is_some();
        match (services.patch(&key.name, &params, &Patch::Apply(&service)).await, existing) {
            (Ok(_), None) => Ok(Outcome::Created),
            (Ok(_), Some(existing)) if existing.intact => Ok(Outcome::Adopted),
            (Ok(_), Some(_)) => Ok(Outcome::Mended),
            (Err(Error::Api(status)), _) if status.is_conflict() || status.is_already_exists() => {
                Ok(Outcome::Conflict)
            }
            // Somebody made something of it that cannot be changed back.
            (Err(Error::Api(status)), Some(existing)) if status.code == 422 => {
                tracing::warn!(
                    namespace = key.namespace,
                    service = key.name,
                    reason = status.message,
                    "Not mendable"
                );
                self.delete(&key, &existing, Outcome::Discarded).await
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Deletes the Service of an agent that has no pods any more, if what it belongs to has other ones now. Mirrors may be
    /// behind, so the API server is asked.
    pub(super) async fn sweep(&self, agent: &Key, ours: &Ours, tops: &mut Tops) -> Result<Outcome, Error> {
        let Some(key) = service::service_of(agent) else { return Ok(Outcome::Kept) };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &agent.namespace);
        let pods = pods.list(&ListParams::default().labels(&format!("{INJECTED}=true"))).await?;
        let mut living = HashSet::new();
        for object in &pods {
            let pod = pod::pod(&object.metadata);
            if pod.agents.contains(&agent.name) {
                return Ok(Outcome::Kept);
            }
            if !pod::is_ready(object) || living.contains(&pod.owner.uid) {
                continue;
            }
            if let Some(top) = tops.get(&pod.owner.uid) {
                living.insert(top.uid.clone());
            } else if let Some(top) = self.top(&agent.namespace, &pod.owner).await? {
                living.insert(top.uid.clone());
                tops.insert(pod.owner.uid, top);
            }
        }
        if !ours.owners.keys().all(|uid| living.contains(uid)) {
            return Ok(Outcome::Kept);
        }
        self.delete(&key, ours, Outcome::Deleted).await
    }

    /// Deletes this very Service.
    async fn delete(&self, key: &Key, ours: &Ours, outcome: Outcome) -> Result<Outcome, Error> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &key.namespace);
        let preconditions = Preconditions { uid: Some(ours.uid.clone()), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match services.delete(&key.name, &params).await {
            Ok(_) => Ok(outcome),
            Err(Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(Outcome::Conflict),
            Err(error) => Err(error),
        }
    }

    /// What a pod belongs to in the end, if that is still there.
    async fn top(&self, namespace: &str, owner: &Owner) -> Result<Option<Owner>, Error> {
        let client = self.client.clone();
        let meta: Option<ObjectMeta> = match owner.link() {
            None => return Ok(Some(owner.clone())),
            Some(Link::ReplicaSet) => {
                let all: Api<ReplicaSet> = Api::namespaced(client, namespace);
                all.get_metadata_opt(&owner.name).await?.map(|object| object.metadata)
            }
            Some(Link::Job) => {
                let all: Api<Job> = Api::namespaced(client, namespace);
                all.get_metadata_opt(&owner.name).await?.map(|object| object.metadata)
            }
        };
        let stays =
            |meta: &ObjectMeta| meta.uid.as_ref() == Some(&owner.uid) && meta.deletion_timestamp.is_none();
        Ok(meta.filter(stays).map(|meta| pod::controller(&meta).unwrap_or_else(|| owner.clone())))
    }

    /// Writes an Event, once for all controllers: its name says what it is about.
    pub(super) async fn tell(&self, notice: Notice) -> Result<Outcome, Error> {
        let Notice { kind, key, uid, warning, reason, note } = notice;
        let events: Api<Event> = Api::namespaced(self.client.clone(), &key.namespace);
        let now = Timestamp::from_second(self.clock.now()).unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{uid}", key.name)),
                namespace: Some(key.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(format!("dragoman.dev/{MANAGER}")),
            reporting_instance: Some("dragoman-controller".to_owned()),
            action: Some("KeepService".to_owned()),
            reason: Some(reason.to_owned()),
            note: Some(note),
            regarding: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some(kind.to_owned()),
                namespace: Some(key.namespace),
                name: Some(key.name),
                uid: Some(uid),
                ..ObjectReference::default()
            }),
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        };
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => Ok(Outcome::Told),
            // Another controller has told it already.
            Err(Error::Api(status)) if status.is_already_exists() => Ok(Outcome::Told),
            Err(error) => Err(error),
        }
    }
}
