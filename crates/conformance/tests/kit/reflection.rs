//! Test of server reflection, which tools such as grpcurl use.

use std::collections::BTreeSet;
use std::sync::Arc;

use conformance::ModelDriver;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::served::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_and_their_messages_are_described() {
    let served = Served::start(Arc::new(ModelDriver::new())).await;
    let mut client = ServerReflectionClient::new(served.endpoint().channel());
    let symbol = "ark.backend.v1.WriteRequest".to_owned();
    let requests = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol(symbol),
    ];
    let requests = requests.map(|request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    });
    let responses = client.server_reflection_info(tokio_stream::iter(requests));
    let mut responses = responses.await.expect("reflection").into_inner();
    let mut next = async || {
        let response = responses.message().await.expect("a response");
        response.expect("a response").message_response
    };
    let Some(MessageResponse::ListServicesResponse(listed)) = next().await else {
        panic!("no list of services");
    };
    let names: BTreeSet<String> = listed.service.into_iter().map(|it| it.name).collect();
    for name in ["ark.backend.v1.Backend", "grpc.health.v1.Health"] {
        assert!(names.contains(name), "{names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(files)) = next().await else {
        panic!("no description of a message");
    };
    assert!(!files.file_descriptor_proto.is_empty());
    drop(client);
    served.stop().await;
}
