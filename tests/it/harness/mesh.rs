//! A mesh in this process: a throw-away authority, and sidecars on free ports that know each other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use dragoman::app::App;
use dragoman::config::Config;
use dragoman::identity::{Authority, Clock, SpiffeId, TrustDomain};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::agent::{Agent, Received};
use super::client::{Answer, Client, JSON, Reading, envelope};
use super::{logs, soon};

/// How long certificates are valid unless a test says otherwise.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A mesh with a namespace of its own, so that its log lines can be told from those of others.
pub(crate) struct Mesh {
    pub(crate) name: String,
    pub(crate) domain: TrustDomain,
    pub(crate) namespace: String,
    pub(crate) authority: Authority,
    /// What is added to the time of day, in seconds.
    pub(crate) ahead: Arc<AtomicI64>,
    dir: TempDir,
}

/// A sidecar that runs.
pub(crate) struct Sidecar {
    pub(crate) app: App,
    pub(crate) outbound: SocketAddr,
    pub(crate) admin: SocketAddr,
    inbound: Option<SocketAddr>,
}

impl Mesh {
    /// A mesh `east` of the trust domain `east.example`.
    pub(crate) fn new() -> Self {
        Self::named("east")
    }

    /// A mesh of that name, with a trust domain of that name.
    pub(crate) fn named(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        logs::keep();
        let domain = TrustDomain::parse(&format!("{name}.example")).unwrap();
        Self {
            name: name.to_owned(),
            authority: Authority::new(&domain, Clock::system().now()).unwrap(),
            domain,
            namespace: format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            ahead: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// The time in this mesh.
    pub(crate) fn clock(&self) -> Clock {
        let ahead = Arc::clone(&self.ahead);
        Clock::new(move || Clock::system().now() + ahead.load(Ordering::Relaxed))
    }

    /// The SPIFFE ID of a service account in this namespace.
    pub(crate) fn id(&self, account: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://{}/ns/{}/sa/{account}", self.domain, self.namespace)).unwrap()
    }

    /// Where the identity of a service account is, or will be.
    pub(crate) fn files(&self, account: &str) -> PathBuf {
        self.dir.path().join(account)
    }

    /// Issues a certificate to a service account.
    pub(crate) fn issue(&self, account: &str) -> PathBuf {
        self.issue_by(&self.authority, account, LIFETIME)
    }

    /// Issues a certificate to a service account, by that authority and for that long.
    pub(crate) fn issue_by(&self, authority: &Authority, account: &str, lifetime: Duration) -> PathBuf {
        let dir = self.files(account);
        let issued = authority.issue(&self.id(account), &[], lifetime, self.clock().now()).unwrap();
        issued.save(&dir).unwrap();
        dir
    }

    /// The full name of an agent of this namespace.
    pub(crate) fn agent(&self, agent: &str) -> String {
        format!("{agent}.{}.{}", self.namespace, self.name)
    }

    /// What all sidecars of this mesh have in common, with the identity of a service account; `more` goes on top.
    pub(crate) fn config(&self, account: &str, more: Value) -> Value {
        let mut config = json!({
            "mesh": {
                "name": self.name, "trustDomain": self.domain.as_str(), "namespace": self.namespace,
            },
            "identity": {"files": {"dir": self.files(account)}},
            "outbound": {"listen": "127.0.0.1:0"},
            "inbound": {"listen": "127.0.0.1:0"},
            "admin": {"listen": "127.0.0.1:0"},
            // Nobody is ever to ask the machine's own DNS.
            "discovery": {"nameservers": ["127.0.0.1:9"]},
        });
        merge(&mut config, more);
        config
    }

    /// A sidecar with the identity of a service account, which it is given, and that configuration on top.
    pub(crate) async fn sidecar(&self, account: &str, more: Value) -> Sidecar {
        self.issue(account);
        let mut sidecar = self.start(account, more);
        soon("the identity", sidecar.app.ready()).await;
        sidecar
    }

    /// The same, whether there is an identity or not.
    pub(crate) fn start(&self, account: &str, more: Value) -> Sidecar {
        let config = self.config(account, more).to_string();
        let config =
            Config::parse("test.yaml", config.as_bytes(), |_| None).unwrap_or_else(|error| panic!("{error}"));
        let app = App::start(&config, self.clock(), 7).unwrap();
        Sidecar {
            outbound: app.addresses.outbound[0],
            inbound: app.addresses.inbound.first().copied(),
            admin: app.addresses.admin[0],
            app,
        }
    }
}

/// Lays one configuration over another: objects are merged, everything else is replaced.
pub(crate) fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

/// The part of a configuration that says where an agent is.
pub(crate) fn known(agent: &str, addresses: &[SocketAddr]) -> Value {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    json!({"discovery": {"static": {agent: addresses}}})
}

/// The part of a configuration that says that this agent is beside the sidecar.
pub(crate) fn beside(agent: &str, url: &str) -> Value {
    json!({"agents": [{"name": agent, "url": url, "binding": "JSONRPC", "dialect": "1.0"}]})
}

impl Sidecar {
    /// Where peers call.
    pub(crate) fn inbound(&self) -> SocketAddr {
        self.inbound.unwrap()
    }

    /// Posts a JSON-RPC text to an agent.
    pub(crate) async fn post(&self, agent: &str, body: &str) -> Answer {
        self.post_with(agent, JSON, body).await
    }

    /// Posts a JSON-RPC text to an agent, with these header lines.
    pub(crate) async fn post_with(&self, agent: &str, headers: &str, body: &str) -> Answer {
        let mut client = Client::connect(self.outbound).await;
        client.request(&format!("POST /agents/{agent}"), headers, body).await;
        client.answer().await
    }

    /// Begins a call to an agent on a connection of its own.
    pub(crate) async fn begin(&self, agent: &str, method: &str, params: &str) -> Client {
        let mut client = Client::connect(self.outbound).await;
        client.request(&format!("POST /agents/{agent}"), JSON, &envelope(method, params)).await;
        client
    }

    /// Calls an agent and waits for the answer.
    pub(crate) async fn call(&self, agent: &str, method: &str, params: &str) -> Answer {
        self.begin(agent, method, params).await.answer().await
    }

    /// Calls an agent and reads the head of its stream.
    pub(crate) async fn stream(&self, agent: &str, method: &str, params: &str) -> Reading {
        let reading = self.begin(agent, method, params).await.reading().await;
        assert_eq!((reading.status, reading.head.header("content-type")), (200, Some("text/event-stream")));
        reading
    }

    /// A page for operators.
    pub(crate) async fn page(&self, path: &str) -> Answer {
        page(self.admin, path).await
    }

    /// The metrics of now, by name and labels as they are written.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::of(self.admin).await
    }
}

/// A page for operators, at that address.
pub(crate) async fn page(admin: SocketAddr, path: &str) -> Answer {
    let mut client = Client::connect(admin).await;
    client.request(&format!("GET {path}"), "Host: localhost\r\n", "").await;
    client.answer().await
}

/// All metrics of a moment.
#[derive(Debug)]
pub(crate) struct Metrics(HashMap<String, f64>);

impl Metrics {
    /// The metrics of whoever has its admin door there.
    pub(crate) async fn of(admin: SocketAddr) -> Self {
        Self::parse(&page(admin, "/metrics").await.body)
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        Self(lines.map(sample).collect())
    }

    /// The sum of all samples of that name that have all these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let meant = |sample: &str| {
            let rest = sample.strip_prefix(name)?;
            ((rest.is_empty() || rest.starts_with('{')) && labels.iter().all(|label| rest.contains(label)))
                .then_some(())
        };
        self.0.iter().filter(|(sample, _)| meant(sample).is_some()).map(|(_, value)| value).sum()
    }
}

/// The usual house: `planner` calls `currency`, which the test holds, through a sidecar at each end.
pub(crate) struct Pair {
    pub(crate) mesh: Mesh,
    pub(crate) planner: Sidecar,
    pub(crate) currency: Sidecar,
    pub(crate) agent: Agent,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        Self::with(json!({}), json!({})).await
    }

    /// The same, with configuration on top for the caller's side and for the agent's side.
    pub(crate) async fn with(planner: Value, currency: Value) -> Self {
        Self::of(json!({}), planner, currency).await
    }

    /// The same, where the agent's entry in the configuration says more, or something else.
    pub(crate) async fn speaking(how: Value) -> Self {
        Self::of(how, json!({}), json!({})).await
    }

    async fn of(how: Value, planner: Value, currency: Value) -> Self {
        let mesh = Mesh::new();
        let agent = Agent::start().await;
        let mut config = beside("currency", &agent.url());
        merge(&mut config["agents"][0], how);
        merge(&mut config, currency);
        config["agents"][0]["url"] = agent.url().into();
        let currency = mesh.sidecar("currency", config).await;
        let mut config = known("currency", &[currency.inbound()]);
        merge(&mut config, planner);
        let planner = mesh.sidecar("planner", config).await;
        Self { mesh, planner, currency, agent }
    }

    /// The same, with an agent that speaks HTTP+JSON.
    pub(crate) async fn rest() -> Self {
        Self::rest_of("1.0").await
    }

    /// The same, in that dialect.
    pub(crate) async fn rest_of(dialect: &str) -> Self {
        let agent = json!({"agents": [{"name": "currency", "url": null, "binding": "HTTP+JSON", "dialect": dialect}]});
        Self::with(json!({}), agent).await
    }

    /// Begins a request over HTTP, of which the path is below the agent's base.
    pub(crate) async fn ask(&self, line: &str, body: &str) -> Client {
        let (method, path) = line.split_once(' ').unwrap();
        let mut client = Client::connect(self.planner.outbound).await;
        client.request(&format!("{method} /agents/currency/{path}"), JSON, body).await;
        client
    }

    /// Begins a call and waits until it has reached the agent.
    pub(crate) async fn begin(&mut self, method: &str, params: &str) -> (Client, Received) {
        let client = self.planner.begin("currency", method, params).await;
        (client, self.agent.request().await)
    }
}

/// Writes files of an identity as Kubernetes does: all at once, by moving the link `..data`.
pub(crate) fn swap(dir: &Path, edition: &str, files: &[(&str, String)]) {
    let real = dir.join(format!("..{edition}"));
    std::fs::create_dir_all(&real).unwrap();
    for (name, content) in files {
        std::fs::write(real.join(name), content).unwrap();
        let link = dir.join(name);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let draft = dir.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{edition}"), &draft).unwrap();
    std::fs::rename(draft, dir.join("..data")).unwrap();
}
