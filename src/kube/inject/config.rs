//! What the injector is told: what every sidecar's container and configuration have in common, and how a configuration is
//! read and checked.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Container, Volume};
use serde_json::{Map, Value};

use super::ask::Wishes;
use super::assemble;
use super::decision::{Cause, Refusal};
use super::{MESH_PORT_NAME, TOKEN_FILE};

/// What in the container is the injector's alone.
const FIXED: [&str; 5] = ["args", "command", "name", "ports", "restartPolicy"];
/// What in the sidecar's configuration is the injector's alone: agents come from the pod, and Services and probes rely on
/// the ports.
const OWN: [&str; 3] = ["admin", "agents", "inbound"];
/// What a pod may say about its sidecar's configuration. Who it is and what mesh it is in are not for it to say.
const SETTINGS: [&str; 7] = ["cards", "discovery", "limits", "log", "meshes", "outbound", "policy"];

/// How a sidecar's configuration is read and checked: by those who know it, and they do not live in this room.
pub trait Reader: fmt::Debug + Send + Sync {
    /// Reads YAML as JSON, scalars as text; `name` is what errors call it.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    fn read(&self, name: &str, text: &str) -> Result<Value, String>;

    /// Checks a whole configuration, where `env` knows the environment variables that it may refer to: the ports that such
    /// a sidecar listens at.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    fn check(&self, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<u16>, Vec<Wrong>>;
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrong {
    /// Line and column.
    pub at: String,
    /// What is wrong; it begins with the key.
    pub message: String,
}

/// The files that an injector is told by.
#[derive(Clone, Copy, Debug)]
pub struct Templates<'a> {
    /// What the file with the partial Container is called, and what is in it.
    pub container: (&'a str, &'a str),
    /// What the file with the partial configuration is called, and what is in it.
    pub sidecar: (&'a str, &'a str),
    /// What the sidecar's token is for.
    pub audience: &'a str,
    /// How a configuration is read and checked.
    pub reader: &'static dyn Reader,
}

/// Why templates cannot be used: a line for each thing that is wrong, with the file and the place.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

/// What every sidecar has in common.
#[derive(Clone, Debug)]
pub struct InjectConfig {
    container: Map<String, Value>,
    volumes: Vec<Value>,
    sidecar: Map<String, Value>,
    env: BTreeMap<String, String>,
    reader: &'static dyn Reader,
}

/// What is told of the container.
struct Partial {
    container: Map<String, Value>,
    volumes: Vec<Value>,
}

/// A sidecar's configuration.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) text: String,
    /// The ports that it listens at.
    pub(super) listens: Vec<u16>,
}

impl InjectConfig {
    /// Reads the templates.
    ///
    /// # Errors
    /// With everything that is wrong in the first of them that is wrong.
    pub fn parse(templates: &Templates<'_>) -> Result<Self, TemplateError> {
        let Templates { container: (file, text), reader, .. } = *templates;
        let Partial { container: partial, mut volumes } = partial(file, text)?;
        let env = environment(&partial);
        let sidecar = sidecar(templates, &env)?;
        let issued = issuer(&sidecar).is_some();
        let container = assemble::container(partial, issued);
        volumes.splice(0..0, assemble::volumes(issued.then_some(templates.audience)));
        Ok(Self { container, volumes, sidecar, env, reader })
    }

    /// Whether sidecars are to be given the roots by which they believe the issuer.
    pub fn wants_roots(&self) -> bool {
        issuer(&self.sidecar).is_some_and(|issuer| !issuer.contains_key("roots"))
    }

    /// The same with the roots, in PEM, by which sidecars believe the issuer.
    #[must_use]
    pub fn with_roots(&self, roots: &str) -> Self {
        let mut with = self.clone();
        let issuer = with.sidecar.get_mut("identity").and_then(|identity| identity.get_mut("issuer"));
        if let Some(issuer) = issuer.and_then(Value::as_object_mut) {
            issuer.insert("roots".to_owned(), roots.into());
        }
        with
    }

    /// What sidecars are told of their mesh, such as its `name`.
    pub fn mesh(&self, key: &str) -> Option<&str> {
        self.sidecar.get("mesh")?.get(key)?.as_str()
    }

    pub(super) fn reader(&self) -> &dyn Reader {
        self.reader
    }

    /// The volumes that are added to a pod.
    pub(super) fn volumes(&self) -> &[Value] {
        &self.volumes
    }

    /// The container that is added to a pod. One without agents has no port for peers.
    pub(super) fn container(&self, serves: bool) -> Map<String, Value> {
        let mut container = self.container.clone();
        if let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) {
            ports.retain(|port| serves || port["name"] != MESH_PORT_NAME);
        }
        container
    }

    /// The configuration of the sidecar of a pod in `namespace` with these agents.
    pub(super) fn sidecar(
        &self,
        namespace: &str,
        agents: &[Value],
        wishes: &Wishes<'_>,
    ) -> Result<Sidecar, Refusal> {
        let mut sidecar = Value::Object(self.sidecar.clone());
        if let Some(text) = wishes.get("settings") {
            json_patch::merge(&mut sidecar, &settings(text, self.reader)?);
        }
        if let Some(mesh) = sidecar.get_mut("mesh").and_then(Value::as_object_mut) {
            mesh.insert("namespace".to_owned(), namespace.into());
        }
        if let Some(sidecar) = sidecar.as_object_mut().filter(|_| !agents.is_empty()) {
            sidecar.insert("agents".to_owned(), agents.into());
        }
        let text = sidecar.to_string();
        let checked = self.reader.check(&text, &|name| self.env.get(name).cloned());
        match checked {
            Ok(listens) => Ok(Sidecar { text, listens }),
            Err(wrong) => Err(attributed(&wrong, wishes)),
        }
    }
}

/// The part of the container that is told, and the volumes beside it.
fn partial(file: &str, text: &str) -> Result<Partial, TemplateError> {
    let wrong = |what: String| TemplateError(format!("{file}: {what}"));
    let value: Value = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Value::Object(mut partial) = value else {
        return Err(wrong("is no map; write at least the image of the container".to_owned()));
    };
    let volumes = partial.remove("volumes").unwrap_or_default();
    known::<Vec<Volume>>(&volumes, "volumes").map_err(wrong)?;
    known::<Container>(&Value::Object(partial.clone()), "").map_err(wrong)?;
    if let Some(key) = FIXED.into_iter().find(|key| partial.contains_key(*key)) {
        return Err(wrong(format!("{key}: is the injector's to say; leave it out")));
    }
    if partial.get("image").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(wrong("image: is missing; name the image of the sidecar".to_owned()));
    }
    let volumes = match volumes {
        Value::Array(volumes) => volumes,
        _ => Vec::new(),
    };
    Ok(Partial { container: partial, volumes })
}

/// Whether a value is a `T` of Kubernetes and nothing else: the API server drops what it does not know without a word.
fn known<T: serde::de::DeserializeOwned + serde::Serialize>(value: &Value, path: &str) -> Result<(), String> {
    let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
    let read: T = match value {
        Value::Null => return Ok(()),
        value => T::deserialize(value).map_err(|error| format!("{place}{error}"))?,
    };
    let back = serde_json::to_value(&read).map_err(|error| format!("{place}{error}"))?;
    match lost(value, &back, path) {
        Some(path) => Err(format!("{path}: Kubernetes knows no such field here")),
        None => Ok(()),
    }
}

/// The path of the first thing that did not come back.
fn lost(told: &Value, back: &Value, path: &str) -> Option<String> {
    match (told, back) {
        (Value::Object(told), _) => told.iter().find_map(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match back.get(key) {
                Some(back) => lost(value, back, &path),
                // Null says that a default is not wanted.
                None => (!value.is_null()).then_some(path),
            }
        }),
        (Value::Array(told), Value::Array(back)) => {
            let mut each = told.iter().zip(back).enumerate();
            each.find_map(|(index, (told, back))| lost(told, back, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

/// The environment of the container, as far as it is known beforehand. What the kubelet fills in is stood for by
/// something of its kind.
fn environment(container: &Map<String, Value>) -> BTreeMap<String, String> {
    let variables = container.get("env").and_then(Value::as_array).into_iter().flatten();
    let each = variables.filter_map(|variable| {
        let field = variable.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str);
        let value = match (variable.get("value").and_then(Value::as_str), field) {
            (Some(value), _) => value,
            (None, Some("status.podIP" | "status.hostIP")) => "192.0.2.1",
            (None, _) if variable.pointer("/valueFrom/resourceFieldRef").is_some() => "1",
            (None, _) => "unknown",
        };
        Some((variable.get("name")?.as_str()?.to_owned(), value.to_owned()))
    });
    each.collect()
}

/// The part of the configuration that is told.
fn sidecar(
    templates: &Templates<'_>,
    env: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, TemplateError> {
    let Templates { sidecar: (file, text), reader, .. } = templates;
    // It is a whole configuration, if only of a sidecar without agents: so what is wrong has a place.
    if let Err(wrong) = reader.check(text, &|name| env.get(name).cloned()) {
        let lines = wrong.iter().map(|wrong| format!("{file}:{}: {}", wrong.at, wrong.message));
        return Err(TemplateError(lines.collect::<Vec<_>>().join("\n")));
    }
    let value = reader.read(file, text).map_err(TemplateError)?;
    let wrong = |what: &str| Err(TemplateError(format!("{file}: {what}")));
    let Value::Object(sidecar) = value else {
        return wrong("is no map");
    };
    if let Some(key) = OWN.into_iter().find(|key| sidecar.contains_key(*key)) {
        return wrong(&format!("{key}: is the injector's to say; leave it out"));
    }
    match issuer(&sidecar).and_then(|issuer| issuer.get("tokenFile")) {
        Some(token) if token != TOKEN_FILE => {
            wrong(&format!("identity.issuer.tokenFile: should be {TOKEN_FILE}, where the token is mounted"))
        }
        _ => Ok(sidecar),
    }
}

fn issuer(sidecar: &Map<String, Value>) -> Option<&Map<String, Value>> {
    sidecar.get("identity")?.get("issuer")?.as_object()
}

/// What a pod says about its sidecar's configuration.
fn settings(text: &str, reader: &dyn Reader) -> Result<Value, Refusal> {
    let settings = reader.read("annotation dragoman.dev/settings", text);
    let settings = settings.map_err(|message| Refusal::new(Cause::Annotation, message))?;
    let Value::Object(sections) = &settings else {
        return Err(Refusal::annotation("settings", "is no map: write {policy: …, limits: …}"));
    };
    match sections.keys().find(|key| !SETTINGS.contains(&key.as_str())) {
        Some(key) => {
            let known = SETTINGS.join(", ");
            Err(Refusal::annotation(
                "settings",
                &format!("{key:?} is not for a pod to say; what is: {known}"),
            ))
        }
        None => Ok(settings),
    }
}

/// What is wrong, with the annotation that it most likely comes from.
fn attributed(wrong: &[Wrong], wishes: &Wishes<'_>) -> Refusal {
    let each = wrong.iter().map(|Wrong { message, .. }| match message.strip_prefix("agents") {
        Some(rest) if wishes.has("agents") => format!("annotation dragoman.dev/agents: {rest}"),
        Some(rest) => {
            let (_, rest) = rest.split_once("].").unwrap_or(("", rest));
            let (key, what) = rest.split_once(": ").unwrap_or(("", rest));
            match key {
                "url" => format!("annotation dragoman.dev/path: {what}"),
                "name" => format!("annotation dragoman.dev/agent: {what}"),
                key => format!("annotation dragoman.dev/{key}: {what}"),
            }
        }
        None if wishes.has("settings") => format!("annotation dragoman.dev/settings: {message}"),
        None => format!("the sidecar's configuration would be wrong: {message}"),
    });
    Refusal::new(Cause::Annotation, each.collect::<Vec<_>>().join("; "))
}
