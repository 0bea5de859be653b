//! Asking a SPIFFE agent who we are: gRPC over a Unix socket, by which the agent knows who asks (SPIFFE Workload API §3).

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http::Uri;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use super::describe;
use super::single::{reason, speak};
use crate::identity::workload_api::{Given, Refused, Update, Updates, Workload};
use crate::proto::spiffe::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use crate::proto::spiffe::{X509svidRequest, X509svidResponse};

/// How long connecting may take, and how long the head of the answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(20);
/// What every request must carry, so that nothing else on the machine can be made to ask (§3, "SSRF").
const HEADER: &str = "workload.spiffe.io";

/// The agent at a socket.
#[derive(Clone, Debug)]
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent at that socket.
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    async fn ask(&self) -> Result<Updates, Refused> {
        let connected = timeout(CONNECT, UnixStream::connect(&self.socket)).await;
        let connected = connected.map_err(|_| self.away("no connection in time"))?;
        let stream = connected.map_err(|error| self.away(&describe(&error)))?;
        let (channel, driver) = speak(stream).await.map_err(|error| self.away(&error))?;
        let mut client = SpiffeWorkloadApiClient::with_origin(channel, Uri::from_static("http://localhost"));
        let mut request = Request::new(X509svidRequest {});
        request.metadata_mut().insert(HEADER, MetadataValue::from_static("true"));
        let answered = timeout(ANSWER, client.fetch_x509svid(request)).await;
        let answered = answered.map_err(|_| self.away("no answer in time"))?;
        let updates = answered.map_err(|status| self.refused(&status))?.into_inner();
        let agent = self.clone();
        let updates = updates.map(move |update| {
            // The connection lives as long as its stream.
            let _connection = &driver;
            update.map(told).map_err(|status| agent.refused(&status))
        });
        Ok(updates.boxed())
    }

    fn refused(&self, status: &Status) -> Refused {
        let said = format!("{:?}: {}", status.code(), reason(status));
        match status.code() {
            // What the specification says not to ask again (§6.2).
            Code::InvalidArgument | Code::Unimplemented => Refused::Never(self.named(&said)),
            _ => self.away(&said),
        }
    }

    fn away(&self, reason: &str) -> Refused {
        Refused::Away(self.named(reason))
    }

    fn named(&self, reason: &str) -> String {
        format!("the Workload API at {}: {reason}", self.socket.display())
    }
}

impl Workload for Agent {
    fn updates(&self) -> BoxFuture<'_, Result<Updates, Refused>> {
        self.ask().boxed()
    }
}

fn told(response: X509svidResponse) -> Update {
    let svids = response.svids.into_iter().map(|svid| Given {
        id: svid.spiffe_id,
        chain: svid.x509_svid,
        key: svid.x509_svid_key,
        bundle: svid.bundle,
    });
    Update { svids: svids.collect(), federated: response.federated_bundles.into_iter().collect() }
}
