//! Serves the agent by the SDK's own routers and gRPC service, on free ports of the loopback.

use std::error::Error;
use std::sync::Arc;

use a2a_grpc::GrpcHandler;
use a2a_pb::proto::a2a_service_server::A2aServiceServer;
use a2a_server::agent_card::agent_card_router;
use a2a_server::jsonrpc::jsonrpc_router;
use a2a_server::rest::rest_router;
use a2a_server::{DefaultRequestHandler, InMemoryPushConfigStore, InMemoryTaskStore, StaticAgentCard};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use crate::card;
use crate::executor::Interop;

/// Serves until the process is ended; prints where it listens as one JSON line.
pub async fn serve() -> Result<(), Box<dyn Error>> {
    let http = TcpListener::bind("127.0.0.1:0").await?;
    let grpc = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", http.local_addr()?);
    let grpc_address = grpc.local_addr()?.to_string();

    let public = card::public(&url, &grpc_address);
    let handler = Arc::new(
        DefaultRequestHandler::new(Interop, InMemoryTaskStore::new())
            .with_capabilities(public.capabilities.clone())
            .with_push_config_store(InMemoryPushConfigStore::new())
            .with_extended_agent_card(card::extended(public.clone())),
    );
    let routes = axum::Router::new()
        .merge(agent_card_router(Arc::new(StaticAgentCard::new(public))))
        .nest("/jsonrpc", jsonrpc_router(handler.clone()))
        .nest("/rest", rest_router(handler.clone()));
    let service = A2aServiceServer::new(GrpcHandler::new(handler));

    println!("{}", serde_json::json!({"url": url, "grpc": grpc_address}));
    let rpc = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(grpc));
    tokio::select! {
        ended = axum::serve(http, routes) => ended?,
        ended = rpc => ended?,
    }
    Ok(())
}
