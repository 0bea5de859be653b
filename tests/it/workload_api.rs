//! Sidecars that get their identity from a SPIFFE agent, over a real Unix socket; the agent is the test's.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dragoman::proto::spiffe::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use dragoman::proto::spiffe::{X509svid, X509svidRequest, X509svidResponse};
use dragoman::task;
use futures_util::{Stream, stream};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};
use tower::Service as _;

use crate::harness::agent::{Agent, message};
use crate::harness::client::say;
use crate::harness::mesh::{Mesh, Sidecar, beside, known};
use crate::harness::{eventually, soon};

/// A SPIFFE agent at a socket of its own, for one workload.
struct Spiffe {
    socket: PathBuf,
    /// What the workload is; nothing as long as nobody has registered it.
    told: watch::Sender<Option<X509svidResponse>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Api(watch::Receiver<Option<X509svidResponse>>);

#[tonic::async_trait]
impl SpiffeWorkloadApi for Api {
    type FetchX509SVIDStream = Pin<Box<dyn Stream<Item = Result<X509svidResponse, Status>> + Send>>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        if request.metadata().get("workload.spiffe.io").is_none_or(|value| value != "true") {
            return Err(Status::invalid_argument("security header missing from request"));
        }
        if self.0.borrow().is_none() {
            return Err(Status::permission_denied("no identity issued"));
        }
        let mut told = self.0.clone();
        told.mark_changed();
        let updates = stream::unfold(told, async |mut told| {
            told.changed().await.ok()?;
            let now = told.borrow_and_update().clone()?;
            Some((Ok(now), told))
        });
        Ok(Response::new(Box::pin(updates)))
    }
}

impl Spiffe {
    fn start(socket: PathBuf) -> Self {
        let (told, updates) = watch::channel(None);
        let listener = UnixListener::bind(&socket).unwrap();
        let _serving = task::spawn(serve(listener, Api(updates)));
        Self { socket, told, _serving }
    }

    /// Registers the workload, or has its certificate renewed.
    fn issue(&self, mesh: &Mesh, account: &str) {
        let id = mesh.id(account);
        let issued = mesh.authority.issue(&id, &[], Duration::from_hours(1), mesh.clock().now()).unwrap();
        let svid = X509svid {
            spiffe_id: id.to_string(),
            x509_svid: issued.chain().iter().flat_map(|der| der.to_vec()).collect(),
            x509_svid_key: issued.key().secret_der().to_vec(),
            bundle: mesh.authority.roots().iter().flat_map(|der| der.to_vec()).collect(),
            hint: String::new(),
        };
        self.told.send_replace(Some(X509svidResponse { svids: vec![svid], ..X509svidResponse::default() }));
    }

    fn sidecar(&self, mesh: &Mesh, account: &str, more: Value) -> Sidecar {
        let mut config = mesh.config(account, more);
        config["identity"] = json!({"workloadApi": {"socket": format!("unix://{}", self.socket.display())}});
        mesh.start_as(&config)
    }
}

async fn serve(listener: UnixListener, api: Api) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let server = SpiffeWorkloadApiServer::new(api.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: http::Request<Incoming>| server.clone().call(request));
            let http = auto::Builder::new(TokioExecutor::new());
            http.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

#[tokio::test]
async fn two_sidecars_get_their_identities_from_a_spiffe_agent_and_talk() {
    let (mesh, dir) = (Mesh::new(), tempfile::tempdir().unwrap());
    let [of_planner, of_currency] =
        ["planner", "currency"].map(|name| Spiffe::start(dir.path().join(format!("{name}.sock"))));
    of_planner.issue(&mesh, "planner");
    let agent = Agent::start().await;
    let url = agent.url();
    let _answering = agent.always(|_| message("hello"));
    let mut currency = of_currency.sidecar(&mesh, "currency", beside("currency", &url));
    let why = "PermissionDenied: no identity issued";
    eventually(why, || async { currency.page("/startupz").await.body.contains(why).then_some(()) }).await;
    of_currency.issue(&mesh, "currency");
    soon("an identity", currency.app.ready()).await;
    let mut planner = of_planner.sidecar(&mesh, "planner", known("currency", &[currency.inbound()]));
    soon("an identity", planner.app.ready()).await;
    assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("hello"));
    // A renewal comes by itself.
    let generation = || async { planner.metrics().await.sum("dragoman_identity_reloads_total", &["ok"]) };
    assert!((generation().await - 1.0).abs() < f64::EPSILON);
    of_planner.issue(&mesh, "planner");
    eventually("a renewal", || async { (generation().await >= 2.0).then_some(()) }).await;
    assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("hello"));
}

#[tokio::test]
async fn an_agent_that_ends_takes_nothing_away_and_is_found_again() {
    let (mesh, dir) = (Mesh::new(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("agent.sock");
    let spiffe = Spiffe::start(socket.clone());
    spiffe.issue(&mesh, "planner");
    let mut planner = spiffe.sidecar(&mesh, "planner", json!({}));
    soon("an identity", planner.app.ready()).await;
    drop(spiffe);
    std::fs::remove_file(&socket).unwrap();
    let failed = || async { planner.metrics().await.sum("dragoman_identity_reloads_total", &["error"]) };
    eventually("a complaint", || async { (failed().await >= 1.0).then_some(()) }).await;
    assert_eq!(planner.page("/readyz").await.status, 200);
    mesh.ahead.store(60, Ordering::Relaxed);
    let again = Spiffe::start(socket);
    again.issue(&mesh, "planner");
    let loaded = || async { planner.metrics().await.sum("dragoman_identity_reloads_total", &["ok"]) };
    eventually("another identity", || async { (loaded().await >= 2.0).then_some(()) }).await;
}
