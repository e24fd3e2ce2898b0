//! Malformed watch parameters, and many watches whose selectors cost CPU time for each event.

use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, neighbour, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::requests(
        "watches/parameters",
        "malformed resource versions, timeouts and options of watches",
        parameters,
    ),
    Attack::requests(
        "watches/initial-events",
        "fifty watches of 10,000 objects from the beginning, as objects, metadata and tables",
        initial_events,
    ),
    Attack::requests(
        "watches/selectors",
        "a hundred watches with selectors of 15 kB on the neighbour's objects",
        selectors,
    ),
    Attack::requests(
        "watches/churn",
        "300 watches opened at once, each for a second",
        churn,
    ),
];

fn parameters() -> Vec<Shot> {
    let blobs = kinds::collection(seed::NAMESPACE, "blobs");
    let long = "9".repeat(60_000);
    [
        "resourceVersion=x",
        "resourceVersion=-1",
        "resourceVersion=18446744073709551616",
        "resourceVersion=9223372036854775807",
        "timeoutSeconds=-1",
        "timeoutSeconds=x",
        "timeoutSeconds=99999999999999999999",
        "sendInitialEvents=true",
        "sendInitialEvents=x&allowWatchBookmarks=x",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "limit=-1&continue=x",
        "fieldSelector=(",
        "labelSelector=(",
        &format!("resourceVersion={long}"),
        &format!("timeoutSeconds={long}"),
    ]
    .into_iter()
    .map(|query| {
        // A watch that the server accepts would last for half an hour.
        let path = format!("{blobs}?watch=1&{query}");
        let path = match query.contains("timeoutSeconds") {
            true => path,
            false => path + "&timeoutSeconds=1",
        };
        Shot::new("a parameter of a watch", Request::get(path))
            .copies(1)
            // kube-apiserver responds with 500 to a malformed resource version of a watch.
            .expect(Expect::AnyResponse)
            .largest(seed::LARGE_BYTES * 2)
    })
    .collect()
}

fn initial_events() -> Vec<Shot> {
    let path = kinds::collection(seed::BULK_NAMESPACE, "blobs");
    let path = format!("{path}?watch=1&timeoutSeconds=1&resourceVersion=0");
    let largest = 40 << 20;
    [
        "application/json",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "application/json;as=Table;g=meta.k8s.io;v=v1",
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ]
    .into_iter()
    .map(|accept| {
        let request = Request::get(path.clone()).header("accept", accept);
        Shot::new("a watch from the beginning", request)
            .copies(12)
            .largest(largest)
    })
    .collect()
}

fn selectors() -> Vec<Shot> {
    let path = kinds::collection(neighbour::NAMESPACE, "forms");
    let selector = "!a,".repeat(5_000);
    let path = format!("{path}?watch=1&timeoutSeconds=2&labelSelector={selector}zzz");
    vec![Shot::new("a watch with a long selector", Request::get(path)).copies(100)]
}

fn churn() -> Vec<Shot> {
    let path = kinds::collection(seed::NAMESPACE, "blobs");
    let forms = kinds::collection(seed::NAMESPACE, "forms");
    let watch = Request::get(format!("{forms}?watch=1&timeoutSeconds=1"));
    vec![
        Shot::new("a watch", watch).copies(300),
        Shot::new(
            "a watch of one object",
            Request::get(format!("{path}/large?watch=1&timeoutSeconds=1")),
        )
        .largest(seed::LARGE_BYTES * 2),
    ]
}
