//! An API server on a free port, and controllers that talk to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use dragoman::app::Controller;
use dragoman::config::ControllerConfig;
use dragoman::task;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::mesh::{Mesh, merge};
use super::soon;

#[path = "../../../src/kube/fake.rs"]
#[expect(dead_code, reason = "some of it is for the unit tests alone")]
mod fake;

pub(crate) use fake::{Cluster, Token};

/// The API server. It ends when it is dropped.
pub(crate) struct Kubernetes {
    pub(crate) api: Cluster,
    dir: TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl Kubernetes {
    /// A cluster with nothing in it.
    pub(crate) async fn start() -> Self {
        Self::over(Cluster::default()).await
    }

    /// A cluster with what is in it.
    pub(crate) async fn over(api: Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", listener.local_addr().unwrap())}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(dir.path().join("config"), kubeconfig.to_string()).unwrap();
        let serving = task::spawn(serve(listener, api.clone()));
        Self { api, dir, _serving: serving }
    }

    /// The kubeconfig that leads there.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// A controller of a mesh, in `dragoman-system`, that does what `more` says.
    pub(crate) async fn controller(&self, mesh: &Mesh, more: Value) -> Controller {
        let mut config = json!({
            "mesh": {"name": mesh.name, "trustDomain": mesh.domain.as_str(), "namespace": "dragoman-system"},
            "kubernetes": {"config": self.config()},
            "issuer": {"listen": "127.0.0.1:0"},
            "injector": {"listen": "127.0.0.1:0"},
            "directory": {"listen": "127.0.0.1:0", "catalog": "127.0.0.1:0", "dns": "127.0.0.1:0"},
            "admin": {"listen": "127.0.0.1:0"},
        });
        merge(&mut config, more);
        let config = ControllerConfig::parse("controller.yaml", config.to_string().as_bytes(), |_| None);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let mut controller = Controller::start(&config, mesh.clock(), 7).await.unwrap();
        soon("the controller", controller.ready()).await;
        controller
    }
}

/// Where a controller listens, by the name of the door.
pub(crate) fn door(controller: &Controller, name: &str) -> SocketAddr {
    controller.addresses[name].as_str().unwrap().parse().unwrap()
}

async fn serve(listener: TcpListener, api: Cluster) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let api = api.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| api.clone().answer(request));
            let http = auto::Builder::new(TokioExecutor::new());
            http.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}
