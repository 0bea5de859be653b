//! Health and reflection at the mesh door: for verified peers, whatever policy permits them.

use dragoman::a2a::Operation;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use serde_json::json;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::agent::Agent;
use crate::harness::mesh::{Mesh, Sidecar, beside};
use crate::harness::peer::{Answer, Peer, answer, frame};
use crate::harness::soon;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A sidecar that lets nobody call its agent.
async fn house() -> (Mesh, Sidecar, Agent) {
    let (mesh, agent) = (Mesh::new(), Agent::start().await);
    let mut config = beside("currency", &agent.url());
    config["policy"] = json!({"allow": []});
    config["limits"] = json!({"drain": "2s"});
    let sidecar = mesh.sidecar("currency", config).await;
    (mesh, sidecar, agent)
}

fn question(service: &str) -> Vec<u8> {
    frame(&HealthCheckRequest { service: service.into() }.encode_to_vec())
}

fn status(message: &[u8]) -> ServingStatus {
    HealthCheckResponse::decode(message).unwrap().status()
}

#[tokio::test]
async fn a_peer_may_ask_whether_this_server_is_well() {
    let (mesh, sidecar, _agent) = house().await;
    let peer = Peer::connect(&mesh, "prober", sidecar.inbound(), "currency").await;
    assert_eq!(peer.call(Operation::GetTask, r#"{"id":"t"}"#, &[]).await.status(), 7);
    for service in ["", "lf.a2a.v1.A2AService"] {
        let answer = peer.send(CHECK, &[], &question(service)).await;
        assert_eq!((answer.status(), status(&answer.messages[0])), (0, ServingStatus::Serving));
    }
    assert_eq!(peer.send(CHECK, &[], &question("a2a.v1.A2AService")).await.status(), 5);
    assert_eq!(peer.send("/grpc.health.v1.Health/List2", &[], &question("")).await.status(), 12);
    // By its address or its Service too, but not by the name of an agent that is elsewhere.
    let peer = peer.at(&sidecar.inbound().to_string());
    assert_eq!(peer.send(CHECK, &[], &question("")).await.status(), 0);
    let peer = peer.at("hotel.travel.east.a2a");
    assert_eq!(peer.send(CHECK, &[], &question("")).await.status(), 14);
}

#[tokio::test]
async fn who_watches_is_told_when_it_drains_and_holds_nobody_up() {
    let (mesh, sidecar, _agent) = house().await;
    let peer = Peer::connect(&mesh, "prober", sidecar.inbound(), "currency").await;
    let mut watched = peer.open(WATCH, &[], &question("")).await.await.unwrap();
    let mut next = async || {
        let data = soon("a state", watched.body_mut().data()).await.unwrap().unwrap();
        status(&data[5..])
    };
    assert_eq!(next().await, ServingStatus::Serving);
    let drained = dragoman::task::spawn(sidecar.app.drain());
    assert_eq!(next().await, ServingStatus::NotServing);
    let last = answer(watched).await;
    assert_eq!((last.status(), last.messages.len()), (14, 0));
    assert!(soon("the end", drained).await.unwrap());
}

/// The answer to a question of reflection.
async fn reflect(peer: &Peer, version: &str, question: MessageRequest) -> Answer {
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    // Both versions have the same messages.
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    peer.send(&path, &[], &frame(&request.encode_to_vec())).await
}

fn reflected(answer: &Answer) -> MessageResponse {
    assert_eq!(answer.status(), 0, "{answer:?}");
    v1::ServerReflectionResponse::decode(&*answer.messages[0]).unwrap().message_response.unwrap()
}

#[tokio::test]
async fn a_peer_may_ask_what_is_served_in_both_versions() {
    let (mesh, sidecar, _agent) = house().await;
    let peer = Peer::connect(&mesh, "prober", sidecar.inbound(), "currency").await;
    for version in ["v1", "v1alpha"] {
        let list = reflect(&peer, version, MessageRequest::ListServices(String::new())).await;
        let MessageResponse::ListServicesResponse(list) = reflected(&list) else { panic!("{list:?}") };
        let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        names.sort();
        let reflection = format!("grpc.reflection.{version}.ServerReflection");
        assert_eq!(names, ["grpc.health.v1.Health", &*reflection, "lf.a2a.v1.A2AService"]);

        let symbol = MessageRequest::FileContainingSymbol("lf.a2a.v1.A2AService".into());
        let answer = reflect(&peer, version, symbol).await;
        let MessageResponse::FileDescriptorResponse(files) = reflected(&answer) else { panic!("{answer:?}") };
        let file = FileDescriptorProto::decode(&*files.file_descriptor_proto[0]).unwrap();
        assert_eq!(file.service[0].method.len(), 11);
        for import in file.dependency {
            let answer = reflect(&peer, version, MessageRequest::FileByFilename(import.clone())).await;
            assert!(matches!(reflected(&answer), MessageResponse::FileDescriptorResponse(_)), "{import}");
        }
        let symbol = MessageRequest::FileContainingSymbol("lf.a2a.v1.Nothing".into());
        assert_eq!(reflect(&peer, version, symbol).await.status(), 5);
    }
}

#[tokio::test]
async fn the_local_door_has_none_of_it() {
    let (_mesh, sidecar, _agent) = house().await;
    let caller = Peer::plain(sidecar.outbound).await;
    let answer = caller.send(CHECK, &[super::CURRENCY], &question("")).await;
    assert_eq!(answer.status(), 12);
}
