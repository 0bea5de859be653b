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
    /// What is asked about this server itself.
    pub services: grpc::Services,
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
        let agent = self.agent(&request);
        if is_grpc && self.services.recognizes(request.uri().path()) {
            // It takes a verified peer, and no agent; but who asks for another one is at the wrong address.
            let elsewhere = agent.is_err() && is_of_mesh(authority(request.uri(), request.headers()));
            if !elsewhere {
                return Box::pin(self.services.serve(request)).await;
            }
        }
        let agent = match agent {
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
        let name = if is_of_mesh(authority) {
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

/// Whether a request was sent to an agent by its name in the mesh.
fn is_of_mesh(authority: &str) -> bool {
    host(authority).ends_with(".a2a")
}

fn authority<'a>(uri: &'a http::Uri, headers: &'a HeaderMap) -> &'a str {
    let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    uri.authority().map_or_else(host, |authority| authority.as_str())
}
