//! The configuration: one YAML file, read once, checked in full, and from then on only values of the right types.
//!
//! ```text
//! bytes → tree (places) → raw (serde; every key as text) → Config (checked) or every problem with line and column
//! ```
//!
//! This is the only room that knows of files and environment variables; the rooms below get the values.

mod address;
mod agent;
mod check;
mod choice;
mod controller;
mod decode;
mod discovery;
mod doors;
mod expand;
mod field;
mod identity;
mod json;
mod limits;
mod listen;
mod log;
mod mesh;
mod policy;
mod problem;
mod raw;
mod shape;
mod show;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use std::{fs::File, io, io::Read, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::{
    address::HostPort,
    agent::AgentConfig,
    choice::{Binding, Dialect, LogFormat, LogLevel, Role},
    controller::{
        ControllerConfig, Directory, Injector, IssuerRole, PeerDirectory, PeerMesh, WebhookCertificate,
    },
    discovery::{Directory as DirectoryClient, Discovery},
    doors::{Admin, Inbound, Outbound},
    identity::{Identity, Source},
    limits::{Cards, Limits},
    listen::Listen,
    log::Log,
    mesh::{Mesh, RemoteMesh},
    policy::{Operations, Policy, Rule},
    problem::{ConfigErrors, Mark, Problem},
};
use self::{
    check::Check,
    expand::Variables,
    field::{Field, Located, Place},
    identity::CONTROLLER,
    listen::Claims,
    problem::{Problems, Refused},
    raw::Raw,
};
use crate::a2a::Home;

/// Everything that a sidecar is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The own mesh, and the place in it.
    pub mesh: Mesh,
    /// The agents in this pod, each name once. Empty in a pod that only calls.
    pub agents: Vec<AgentConfig>,
    /// Who this sidecar is, and who others must be.
    pub identity: Identity,
    /// The side that faces the agent of this pod.
    pub outbound: Outbound,
    /// The side that faces peers.
    pub inbound: Inbound,
    /// Health, metrics and a look inside.
    pub admin: Admin,
    /// How the addresses of agents are found.
    pub discovery: Discovery,
    /// Who may call the agents of this pod.
    pub policy: Policy,
    /// Other meshes, each name once and none the own.
    pub meshes: Vec<RemoteMesh>,
    /// Bounds on time, size and memory.
    pub limits: Limits,
    /// How cards are trusted and kept.
    pub cards: Cards,
    /// What is written to stderr.
    pub log: Log,
}

/// The largest file that is read: far beyond any config, and the end of `/dev/zero`.
const FILE_MAX: u64 = 1024 * 1024;

/// What to write when there is nothing.
const LEAST: &str = "the least a config says is mesh: {name: east, trustDomain: east.example}";

impl Config {
    /// Reads a file; `env` knows the environment variables that it may refer to.
    ///
    /// # Errors
    /// If the file cannot be read, or with everything that is wrong in it.
    pub fn load(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        match read(path) {
            Ok(bytes) => Self::parse(&file, &bytes, env),
            Err(error) => Err(ConfigErrors::Unreadable { file, reason: reason(&error) }),
        }
    }

    /// Reads the contents of a file; `file` is what errors call it.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn parse(
        file: &str,
        bytes: &[u8],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        parse(file, bytes, &env, Self::check)
    }

    /// The whole configuration with its defaults, in the shape of the YAML. It holds no secrets: keys and tokens are
    /// named by their files, and URLs with a password in them are refused.
    pub fn redacted(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| Value::String(format!("cannot be shown: {error}")))
    }

    /// The JSON Schema of the file, for editors and checkers.
    pub fn schema() -> Value {
        schemars::schema_for!(Raw).to_value()
    }

    /// The SPIFFE ID of the controller of a trust domain, as a pattern, unless somebody says otherwise.
    fn controller_id(trust_domain: &str) -> String {
        CONTROLLER.replace("{trustDomain}", trust_domain)
    }

    /// Every section is looked at before any of them is given up.
    fn check(raw: Located<Raw>, problems: &Problems) -> Result<Self, Refused> {
        let Located { place, value: raw } = raw;
        let unknown = Home { namespace: "default".to_owned(), mesh: "mesh".to_owned() };
        let mesh = own_mesh(&Check::new(problems, unknown.clone()), &place, raw.mesh);
        let home = mesh.as_ref().map_or(unknown, Mesh::home);
        let mut check = Check::new(problems, home);
        let meshes = RemoteMesh::check(&check, raw.meshes, mesh.as_ref().ok().map(|mesh| mesh.name.as_str()));
        if let (Ok(mesh), Ok(meshes)) = (&mesh, &meshes) {
            let others = meshes.iter().map(|mesh| mesh.name.clone());
            check.knows(others.chain([mesh.name.clone()]).collect());
        }
        let mut claims = Claims::default();
        let agents = AgentConfig::check(&check, raw.agents);
        let identity = Identity::check(&check, raw.identity).map(Identity::or_files);
        let outbound = Outbound::check(&check, raw.outbound, &mut claims);
        let inbound = Inbound::check(&check, raw.inbound, &mut claims);
        let admin = Admin::check(&check, raw.admin, &mut claims);
        let claims = claims.settle(&check);
        let domain = mesh.as_ref().map_or(mesh::CLUSTER_DOMAIN, |mesh| &mesh.cluster_domain);
        let discovery = Discovery::check(&check, raw.discovery, domain);
        let policy = Policy::check(&check, raw.policy);
        let limits = Limits::check(&check, raw.limits);
        let cards = Cards::check(&check, raw.cards);
        let log = Log::check(&check, raw.log);
        claims?;
        Ok(Self {
            mesh: mesh?,
            agents: agents?,
            identity: identity?,
            outbound: outbound?,
            inbound: inbound?,
            admin: admin?,
            discovery: discovery?,
            policy: policy?,
            meshes: meshes?,
            limits: limits?,
            cards: cards?,
            log: log?,
        })
    }
}

/// What `dragoman config check FILE` prints if all is well.
///
/// # Errors
/// As [`Config::load`]; the command prints them and ends with [`ConfigErrors::EXIT_CODE`].
pub fn check(path: &Path, env: impl Fn(&str) -> Option<String>) -> Result<String, ConfigErrors> {
    Config::load(path, env).map(|_| format!("{}: ok", path.display()))
}

/// What `dragoman config schema` prints.
pub fn schema() -> String {
    format!("{:#}", Config::schema())
}

/// Reads the contents of a file into raw values, and has those checked.
fn parse<R: DeserializeOwned, C>(
    file: &str,
    bytes: &[u8],
    env: &dyn Variables,
    check: impl FnOnce(Located<R>, &Problems) -> Result<C, Refused>,
) -> Result<C, ConfigErrors> {
    let problems = Problems::default();
    let config = raw(bytes, env, &problems).and_then(|raw| check(raw, &problems));
    let problems = problems.into_sorted();
    match config {
        Ok(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigErrors::Wrong { file: file.to_owned(), problems }),
    }
}

fn raw<R: DeserializeOwned>(
    bytes: &[u8],
    env: &dyn Variables,
    problems: &Problems,
) -> Result<Located<R>, Refused> {
    let text = utf8(bytes, problems)?;
    let Some(document) = tree::parse(text, problems)? else {
        problems.add(Mark::START, format!("the file is empty; {LEAST}"));
        return Err(Refused);
    };
    decode::decode(&document, env, problems).ok_or(Refused)
}

/// Reads YAML as JSON, every scalar as the text that it is: what is merged of such parts means what they meant. An empty
/// document is null.
///
/// # Errors
/// With everything that is wrong in it; `file` is what the errors call it.
pub fn to_json(file: &str, bytes: &[u8]) -> Result<Value, ConfigErrors> {
    let problems = Problems::default();
    let value = utf8(bytes, &problems)
        .and_then(|text| tree::parse(text, &problems))
        .and_then(|document| document.map_or(Ok(Value::Null), |node| json::json(node, &problems)));
    let problems = problems.into_sorted();
    match value {
        Ok(value) if problems.is_empty() => Ok(value),
        _ => Err(ConfigErrors::Wrong { file: file.to_owned(), problems }),
    }
}

fn own_mesh(check: &Check<'_>, root: &Place, field: Field<raw::RawMesh>) -> Result<Mesh, Refused> {
    match field.optional()? {
        Some(raw) => Mesh::check(check, raw),
        None => Err(check.refuse(root, &format!("mesh is missing; {LEAST}"))),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(size) if size <= FILE_MAX => Ok(bytes),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// Why a file could not be read, in words.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory; name the file in it".to_owned(),
        io::ErrorKind::FileTooLarge => "is larger than 1 MiB, which no config is".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn utf8<'a>(bytes: &'a [u8], problems: &Problems) -> Result<&'a str, Refused> {
    str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes.split_at(error.valid_up_to());
        let good = String::from_utf8_lossy(good);
        let line = good.rsplit('\n').next().unwrap_or_default();
        let at = Mark { line: good.matches('\n').count() + 1, column: line.chars().count() + 1 };
        problems.add(at, "this byte is not UTF-8; save the file as UTF-8");
        Refused
    })
}
