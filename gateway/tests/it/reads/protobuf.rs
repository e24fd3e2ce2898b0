//! Partial metadata as protobuf: lists have their announced length and equal the single responses.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::json;

use super::server::TestServer;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A field of a message.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Bytes),
}

fn varint(from: &mut Bytes) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = from.split_to(1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The fields of a message, in their order.
fn fields(mut message: Bytes) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            2 => {
                let length = usize::try_from(varint(&mut message)).expect("a length");
                Field::Bytes(message.split_to(length))
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

fn all(message: &Bytes, field: u64) -> Vec<Bytes> {
    let found = fields(message.clone()).into_iter();
    found
        .filter(|(number, _)| *number == field)
        .map(|(_, value)| match value {
            Field::Bytes(bytes) => bytes,
            Field::Number(number) => panic!("{number} in field {field}"),
        })
        .collect()
}

fn one(message: &Bytes, field: u64) -> Bytes {
    let found = all(message, field);
    assert_eq!(found.len(), 1, "field {field}");
    found[0].clone()
}

/// The message in a document of this version and kind.
fn opened(document: &Bytes, version: &str, kind: &str) -> Bytes {
    assert_eq!(&document[..4], b"k8s\0");
    let unknown = document.slice(4..);
    let type_meta = one(&unknown, 1);
    assert_eq!(one(&type_meta, 1), version);
    assert_eq!(one(&type_meta, 2), kind);
    one(&unknown, 2)
}

fn metadata(kind: &str, version: &str) -> String {
    format!("{PROTOBUF};as={kind};g=meta.k8s.io;v={version}")
}

/// The messages of all things, read one by one.
async fn singly(server: &TestServer, count: usize) -> Vec<Bytes> {
    let accept = metadata("PartialObjectMetadata", "v1");
    let mut messages = Vec::new();
    for at in 0..count {
        let response = server.response(&format!("GET things/t{at}"), &accept).await;
        assert_eq!(response.headers["content-type"], PROTOBUF);
        messages.push(opened(
            &response.raw,
            "meta.k8s.io/v1",
            "PartialObjectMetadata",
        ));
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_list_items_equal_single_objects() {
    let server = TestServer::of_things(3).await;
    let singly = singly(&server, 3).await;
    for (version, meta, item) in [("v1", 1, 2), ("v1beta1", 2, 1)] {
        let accept = metadata("PartialObjectMetadataList", version);
        let response = server.response("GET things", &accept).await;
        assert_eq!(response.headers["content-type"], PROTOBUF);
        let version = format!("meta.k8s.io/{version}");
        let list = opened(&response.raw, &version, "PartialObjectMetadataList");
        assert_eq!(all(&list, item), singly, "{version}");
        let numbers = fields(list.clone()).into_iter().map(|(number, _)| number);
        assert!(numbers.is_sorted(), "{version}");
        let empty = server
            .response("GET things?labelSelector=none", &accept)
            .await;
        let list_of_none = opened(&empty.raw, &version, "PartialObjectMetadataList");
        assert_eq!(fields(list_of_none.clone()).len(), 1);
        assert_eq!(one(&list_of_none, meta), one(&list, meta));
        let page = server.response("GET things?limit=1", &accept).await;
        let page = opened(&page.raw, &version, "PartialObjectMetadataList");
        assert_eq!(all(&page, item), singly[..1]);
        let page_meta = fields(one(&page, meta));
        assert_eq!(page_meta.last(), Some(&(4, Field::Number(2))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_protobuf_list_has_announced_length() {
    let server = TestServer::new().await;
    // Some objects are encoded before sending, others later.
    let count = 400;
    for at in 0..count {
        let name = format!("t{at:04}");
        let thing = json!({
            "apiVersion": "example.com/v1",
            "kind": "Thing",
            "metadata": {
                "name": name, "namespace": "a", "uid": "u", "creationTimestamp": "2020-01-01T00:00:00Z",
                "annotations": {"note": "x".repeat(2000)},
            },
        });
        server.store(&format!("a/{name}"), &thing).await;
    }
    let accept = metadata("PartialObjectMetadataList", "v1");
    let response = server.response("GET things", &accept).await;
    assert!(response.raw.len() > 600 << 10, "{}", response.raw.len());
    let list = opened(&response.raw, "meta.k8s.io/v1", "PartialObjectMetadataList");
    let items = all(&list, 2);
    let names: Vec<Bytes> = items.iter().map(|item| one(&one(item, 1), 1)).collect();
    let want: Vec<String> = (0..count).map(|at| format!("t{at:04}")).collect();
    assert_eq!(names, want);
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_events_equal_single_objects() {
    let server = TestServer::of_things(2).await;
    let singly = singly(&server, 2).await;
    let accept = metadata("PartialObjectMetadata", "v1");
    let url = "GET things?watch=1&allowWatchBookmarks=true&sendInitialEvents=true\
               &resourceVersionMatch=NotOlderThan";
    let response = server.request(url, &accept).await;
    assert_eq!(
        response.headers()["content-type"],
        "application/vnd.kubernetes.protobuf;stream=watch"
    );
    let mut body = response.into_body();
    let mut arrived = Vec::new();
    let mut events = Vec::new();
    while events.len() < 3 {
        let chunk = tokio::time::timeout(Duration::from_secs(10), body.frame()).await;
        let chunk = chunk.expect("in time").expect("more").expect("no error");
        arrived.extend_from_slice(chunk.data_ref().expect("data"));
        while let Some((head, rest)) = arrived.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*head) as usize;
            let Some(event) = rest.get(..length) else {
                break;
            };
            events.push(Bytes::copy_from_slice(event));
            arrived.drain(..length + 4);
        }
    }
    let kinds: Vec<Bytes> = events.iter().map(|event| one(event, 1)).collect();
    assert_eq!(kinds, ["ADDED", "ADDED", "BOOKMARK"]);
    let objects = events.iter().map(|event| {
        let document = one(&one(event, 2), 1);
        opened(&document, "meta.k8s.io/v1", "PartialObjectMetadata")
    });
    let objects: Vec<Bytes> = objects.collect();
    assert_eq!(objects[..2], singly);
    let bookmark = one(&objects[2], 1);
    assert_eq!(one(&one(&bookmark, 12), 1), "k8s.io/initial-events-end");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_protobuf_on_request() {
    let server = TestServer::of_things(1).await;
    let either = format!("{PROTOBUF},application/json");
    for (request, accept, code) in [
        ("GET things/none", either.as_str(), 404),
        ("GET things/t0", PROTOBUF, 406),
        ("GET things?watch=1", PROTOBUF, 406),
        ("GET things?limit=x", &either, 400),
    ] {
        let response = server.response(request, accept).await;
        assert_eq!(response.code, code, "{request}");
        assert_eq!(response.headers["content-type"], PROTOBUF, "{request}");
        let status = opened(&response.raw, "v1", "Status");
        assert_eq!(one(&status, 2), "Failure");
        let last = fields(status).last().cloned();
        assert_eq!(last, Some((6, Field::Number(code.into()))), "{request}");
    }
}
