//! The mesh door: who is asked, by the authority of the request, and by which binding.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, header};
use hyper::body::Incoming;
use tonic::body::Body;

use super::Local;
use crate::a2a::{DRAGOMAN_AGENT, Fault, Home, Name, Reason, host};
use crate::binding::{Arrival, Edge, card, grpc, jsonrpc, refusal, rest};
use crate::identity::SpiffeId;

/// Answers peers.
#[derive(Clone, Debug)]
pub struct Door {
    /// The agents of this pod.
    pub local: Local,
    /// What completes a short name.
    pub home: Home,
    /// gRPC calls.
    pub grpc: grpc::Server,
    /// JSON-RPC calls of peers without a sidecar.
    pub jsonrpc: jsonrpc::Server,
    /// HTTP+JSON calls, of the same.
    pub rest: rest::Server,
    /// Cards.
    pub card: card::Server,
    /// Where refusals are counted.
    pub edge: Edge,
}

impl Door {
    /// Answers one request of a peer whose identity the handshake has verified.
    pub async fn serve(self: Arc<Self>, request: Request<Incoming>, peer: SpiffeId) -> Response<Body> {
        let is_grpc = grpc::Server::recognizes(request.headers());
        let agent = match self.agent(&request) {
            Ok(agent) => agent,
            Err(fault) => {
                self.edge.metrics.refused(self.edge.direction, &fault);
                return if is_grpc {
                    grpc::refuse(&fault, request.headers())
                } else {
                    refusal(fault.row().http, &fault)
                };
            }
        };
        let arrival = Arrival { agent, peer: Some(peer.to_shared()), base: None };
        if is_grpc {
            return self.grpc.serve(request, arrival).await;
        }
        // What is rare is boxed, so that calls need not carry room for it.
        match (request.method(), request.uri().path()) {
            (_, path) if let Some(document) = card::Document::at(path) => {
                Box::pin(self.card.serve(document, request, arrival)).await
            }
            (&Method::POST, "/") => Box::pin(self.jsonrpc.serve(request, arrival)).await,
            (_, path) => {
                let path = path.strip_prefix('/').unwrap_or(path).to_owned();
                Box::pin(self.rest.serve(&path, request, arrival)).await
            }
        }
    }

    /// The local agent that is asked. A name of the mesh that is not one of ours means that the address was reused: the
    /// caller must drop it.
    fn agent(&self, request: &Request<Incoming>) -> Result<Name, Fault> {
        if request.headers().contains_key(DRAGOMAN_AGENT) {
            return Err(Fault::new(Reason::InvalidParams, "dragoman-agent is for a caller's own sidecar"));
        }
        let authority = authority(request.uri(), request.headers());
        let host = host(authority);
        let name = if host.ends_with(".a2a") {
            self.local.named(&host, &self.home)
        } else {
            self.local.only().cloned()
        };
        name.ok_or_else(|| {
            let fault = Fault::new(Reason::AgentNotFound, format!("no agent {host:?} here"));
            fault.because("the authority names no agent of this pod").never_processed()
        })
    }
}

fn authority<'a>(uri: &'a http::Uri, headers: &'a HeaderMap) -> &'a str {
    let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    uri.authority().map_or_else(host, |authority| authority.as_str())
}
