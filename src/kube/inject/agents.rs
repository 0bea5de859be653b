//! The agents of a pod: what they are called, and where they listen.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::ask::Wishes;
use super::config::Reader;
use super::decision::{Cause, Refusal};
use super::ports;
use crate::a2a::is_label;
use crate::kube::words::mesh_service;

/// The labels that name an agent, the first that is there.
const NAME_LABELS: [&str; 2] = ["app.kubernetes.io/name", "app"];

/// The part that a pod plays in the mesh.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// The agents, in the shape of `agents` in the sidecar's configuration; none in a pod that only calls.
    pub(super) agents: Vec<Value>,
    /// The port of the only agent.
    pub(super) port: Option<u16>,
    /// What whoever makes the pod should know.
    pub(super) warnings: Vec<String>,
}

impl Part {
    /// Whether peers may call.
    pub(super) fn serves(&self) -> bool {
        !self.agents.is_empty()
    }

    /// The names of the agents.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.agents.iter().filter_map(|agent| agent.get("name")?.as_str());
        names.map(str::to_owned).collect()
    }
}

/// What a pod is in the mesh.
pub(super) fn of(
    metadata: &ObjectMeta,
    spec: &PodSpec,
    wishes: &Wishes<'_>,
    reader: &dyn Reader,
) -> Result<Part, Refusal> {
    let serve = wishes.serve()?;
    if serve == Some(false) {
        return Ok(Part::default());
    }
    if let Some(text) = wishes.get("agents") {
        return several(text, reader);
    }
    let port = match wishes.get("port") {
        Some(wish) => Some(ports::named(spec, wish)?),
        None => ports::obvious(spec)?,
    };
    let wish = wishes.serving().or_else(|| (serve == Some(true)).then_some("serve"));
    match (port, wish) {
        (Some(port), _) => one(metadata, port, wishes),
        (None, Some(wish)) => {
            let message = format!(
                "annotation dragoman.dev/{wish} says that the pod has an agent, but no container declares a port: set the annotation dragoman.dev/port"
            );
            Err(Refusal::new(Cause::Port, message))
        }
        (None, None) => {
            let warning = "no container declares a port, so this pod can call agents but is none itself; set the annotation dragoman.dev/port or dragoman.dev/serve: \"false\"";
            Ok(Part { warnings: vec![warning.to_owned()], ..Part::default() })
        }
    }
}

/// The only agent of a pod.
fn one(metadata: &ObjectMeta, port: u16, wishes: &Wishes<'_>) -> Result<Part, Refusal> {
    let name = name(metadata.labels.as_ref(), wishes)?;
    let path = wishes.get("path").unwrap_or_default();
    if !path.is_empty() && !path.starts_with('/') {
        return Err(Refusal::annotation("path", &format!("{path:?} does not begin with '/'")));
    }
    let mut agent = json!({"name": name, "url": format!("http://127.0.0.1:{port}{path}")});
    for key in ["binding", "dialect"] {
        if let (Some(value), Some(agent)) = (wishes.get(key), agent.as_object_mut()) {
            agent.insert(key.to_owned(), value.into());
        }
    }
    Ok(Part { agents: vec![agent], port: Some(port), warnings: Vec::new() })
}

fn name<'a>(labels: Option<&'a BTreeMap<String, String>>, wishes: &Wishes<'a>) -> Result<&'a str, Refusal> {
    let label = |key: &&'static str| Some((format!("label {key}"), labels?.get(*key)?.as_str()));
    let wish = wishes.get("agent").map(|name| ("annotation dragoman.dev/agent".to_owned(), name));
    let Some((source, name)) = wish.or_else(|| NAME_LABELS.iter().find_map(label)) else {
        let message = "what is the agent called? Set the annotation dragoman.dev/agent, or the label app.kubernetes.io/name";
        return Err(Refusal::new(Cause::Name, message.to_owned()));
    };
    let wrong = || unnamable(&source, name, "set the annotation dragoman.dev/agent to such a name");
    mesh_service(name).map(|_| name).ok_or_else(wrong)
}

/// No Service can stand before an agent of that name, so nobody would find it.
fn unnamable(source: &str, name: &str, advice: &str) -> Refusal {
    let what = format!(
        "{source}: {name:?} is no agent name in Kubernetes, where its Service is called NAME-a2a: a-z, 0-9 and '-' inside, a letter first, 59 at most: {advice}"
    );
    Refusal::new(Cause::Name, what)
}

/// The agents of a list. What is in it is checked with the whole configuration.
fn several(text: &str, reader: &dyn Reader) -> Result<Part, Refusal> {
    let list = reader.read("annotation dragoman.dev/agents", text);
    let list = list.map_err(|message| Refusal::new(Cause::Annotation, message))?;
    match list {
        Value::Array(agents) if !agents.is_empty() => {
            let part = Part { agents, ..Part::default() };
            // What is no name anywhere is told with its place in the list, when that is checked.
            match part.names().iter().find(|name| is_label(name) && mesh_service(name).is_none()) {
                Some(name) => Err(unnamable("annotation dragoman.dev/agents", name, "give it such a name")),
                None => Ok(part),
            }
        }
        Value::Array(_) | Value::Null => {
            let what = "is empty; for a pod that only calls set dragoman.dev/serve: \"false\"";
            Err(Refusal::annotation("agents", what))
        }
        _ => Err(Refusal::annotation("agents", "is no list: write [{name: …, url: …}, …]")),
    }
}
