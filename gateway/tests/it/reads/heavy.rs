//! Large objects among small ones in every representation: same output, no blocked thread.

use std::io::Read as _;
use std::pin::pin;

use serde_json::{Value, json};

use super::server::{TestResponse, TestServer};
use crate::busy::busy;

const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// A large thing `b` between two small ones.
async fn server() -> TestServer {
    let server = TestServer::new().await;
    for (key, bytes) in [("a/a", 10), ("a/b", 300_000), ("a/c", 10)] {
        let spec = json!({"size": bytes, "text": "x".repeat(bytes)});
        server.put(key, &json!({"team": "red"}), &spec).await;
    }
    // A consistent read: the cache then contains all of them.
    let listed = server.response("GET /apis/example.com/v1/things", "").await;
    assert_eq!(listed.code, 200, "{}", listed.body);
    server
}

/// The response of a request that waits for the pool, or does not.
async fn response(server: &TestServer, request: &str, accept: &str, waits: bool) -> TestResponse {
    let release = busy(&server.compute).await;
    let mut response = pin!(server.response(request, accept));
    if !waits {
        return response.await;
    }
    for _ in 0..100 {
        let polled = futures_util::poll!(&mut response);
        assert!(polled.is_pending(), "{request} {accept}");
        tokio::task::yield_now().await;
    }
    drop(release);
    response.await
}

#[tokio::test]
async fn large_object_uses_pool_unless_sent_as_stored() {
    let server = server().await;
    for (version, accept, waits) in [
        ("v1", "", false),
        ("v1", "application/yaml", true),
        ("v1", "table", true),
        ("v1", PARTIAL, true),
        ("v1beta1", "", true),
    ] {
        for (name, waits) in [("a", false), ("b", waits)] {
            let path = format!("/apis/example.com/{version}/namespaces/a/things/{name}");
            let got = response(
                &server,
                &format!("GET {path}?resourceVersion=0"),
                accept,
                waits,
            )
            .await;
            assert_eq!(got.code, 200, "{}", got.body);
            assert!(got.body.contains(&format!("u-{name}")) || accept == "table");
        }
    }
}

#[tokio::test]
async fn list_encodes_large_objects_on_pool() {
    let server = server().await;
    let list = |version: &str| format!("GET /apis/example.com/{version}/things?resourceVersion=0");
    let json: Value =
        serde_json::from_str(&response(&server, &list("v1"), "", false).await.body).expect("JSON");
    let sizes = |list: &Value| -> Vec<u64> {
        let items = list["items"].as_array().expect("items").iter();
        items.filter_map(|it| it["spec"]["size"].as_u64()).collect()
    };
    assert_eq!(sizes(&json), [10, 300_000, 10]);
    assert_eq!(json["items"][1]["spec"]["text"], "x".repeat(300_000));
    let pretty = format!("{}&pretty=true", list("v1"));
    for (request, accept) in [(&*pretty, ""), (&*list("v1"), "application/yaml")] {
        let other = response(&server, request, accept, true).await.body;
        let other: Value = if accept.is_empty() {
            serde_json::from_str(&other).expect("JSON")
        } else {
            kube_json::yaml::parse(other.as_bytes())
                .expect("YAML")
                .value
        };
        assert_eq!(other, json, "{request} {accept}");
    }
    let old = response(&server, &list("v1beta1"), "", true).await.body;
    let old: Value = serde_json::from_str(&old).expect("JSON");
    assert_eq!(sizes(&old), [10, 300_000, 10]);
    assert_eq!(old["items"][1]["spec"], json!({"size": 300_000}));
    let table = response(&server, &list("v1"), "table", true).await.body;
    let table: Value = serde_json::from_str(&table).expect("JSON");
    let names = table["rows"].as_array().expect("rows").iter();
    let names: Vec<_> = names.map(|row| row["cells"][0].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn watch_encodes_large_objects_on_pool() {
    let server = server().await;
    let beta = "/apis/example.com/v1beta1/namespaces/a/things?watch=1&resourceVersion=0";
    let watches = [
        ("things?watch=1&resourceVersion=0", ""),
        ("things?watch=1&resourceVersion=0", "table"),
        ("things?watch=1&resourceVersion=0", PARTIAL),
        (beta, ""),
    ];
    for (at, (url, accept)) in watches.into_iter().enumerate() {
        let mut watch = server.watch(url, accept).await;
        let mut names = Vec::new();
        let mut next = async || {
            let line = watch.line().await.expect("not ended");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            let object = match accept {
                "table" => event["object"]["rows"][0]["object"].clone(),
                _ => event["object"].clone(),
            };
            let columns = event["object"]["columnDefinitions"].is_array();
            let name = object["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned();
            names.push((
                event["type"].as_str().expect("a type").to_owned(),
                name,
                columns,
            ));
        };
        for _ in 0..3 {
            next().await;
        }
        let spec = json!({"size": at, "text": "y".repeat(300_000)});
        server.put("a/b", &json!({"team": "red"}), &spec).await;
        let release = busy(&server.compute).await;
        {
            let mut waits = pin!(next());
            if (url, accept) == watches[0] {
                waits.await;
            } else {
                for _ in 0..100 {
                    assert!(
                        futures_util::poll!(&mut waits).is_pending(),
                        "{url} {accept}"
                    );
                    tokio::task::yield_now().await;
                }
                drop(release);
                waits.await;
            }
        }
        let table = accept == "table";
        let names: Vec<_> = names
            .iter()
            .map(|(kind, name, columns)| (&**kind, &**name, *columns))
            .collect();
        let rest = |kind, name| (kind, name, false);
        assert_eq!(
            names,
            [
                ("ADDED", "a", table),
                rest("ADDED", "b"),
                rest("ADDED", "c"),
                rest("MODIFIED", "b")
            ],
            "{url} {accept}"
        );
    }
}

#[tokio::test]
async fn compressed_streamed_list_is_complete() {
    let server = server().await;
    let url = "things?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    let got = server
        .response(&format!("GET {url}"), "|Accept-Encoding: gzip")
        .await;
    let mut text = String::new();
    let mut plain = flate2::read::GzDecoder::new(&*got.raw);
    plain.read_to_string(&mut text).expect("a whole stream");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[1].len() > 300_000 && lines[3].contains("initial-events-end"));
}

#[tokio::test]
async fn long_list_yields_between_objects() {
    let server = TestServer::new().await;
    for at in 0..20 {
        let spec = json!({"size": at, "list": vec![json!({"a": 1}); 6_000]});
        server.put(&format!("a/t{at}"), &json!({}), &spec).await;
    }
    for (accept, least) in [("table", 2), ("application/yaml", 2)] {
        let mut polls = 0;
        let mut response = pin!(server.response("GET things?resourceVersion=0", accept));
        while futures_util::poll!(&mut response).is_pending() {
            polls += 1;
            tokio::task::yield_now().await;
        }
        assert!(polls >= least, "{accept}: {polls}");
    }
}
