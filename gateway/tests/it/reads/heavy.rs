//! Large objects among small ones, in every form: they look the same and keep no thread.

use std::io::Read as _;
use std::pin::pin;

use serde_json::{Value, json};

use super::world::{Answer, World};
use crate::busy::busy;

const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// A large thing `b` between two small ones.
async fn world() -> World {
    let world = World::new().await;
    for (key, bytes) in [("a/a", 10), ("a/b", 300_000), ("a/c", 10)] {
        let spec = json!({"size": bytes, "text": "x".repeat(bytes)});
        world.put(key, &json!({"team": "red"}), &spec).await;
    }
    // A consistent read: from here on the cache has all of them.
    let listed = world.answer("GET /apis/example.com/v1/things", "").await;
    assert_eq!(listed.code, 200, "{}", listed.body);
    world
}

/// The answer to a request that waits for the pool, or does not.
async fn answer(world: &World, request: &str, accept: &str, waits: bool) -> Answer {
    let release = busy(&world.compute).await;
    let mut answer = pin!(world.answer(request, accept));
    if !waits {
        return answer.await;
    }
    for _ in 0..100 {
        let polled = futures_util::poll!(&mut answer);
        assert!(polled.is_pending(), "{request} {accept}");
        tokio::task::yield_now().await;
    }
    drop(release);
    answer.await
}

#[tokio::test]
async fn an_object_waits_unless_it_is_sent_as_it_is_stored() {
    let world = world().await;
    for (version, accept, waits) in [
        ("v1", "", false),
        ("v1", "application/yaml", true),
        ("v1", "table", true),
        ("v1", PARTIAL, true),
        ("v1beta1", "", true),
    ] {
        for (name, waits) in [("a", false), ("b", waits)] {
            let path = format!("/apis/example.com/{version}/namespaces/a/things/{name}");
            let got = answer(
                &world,
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
async fn a_list_waits_for_its_large_objects() {
    let world = world().await;
    let list = |version: &str| format!("GET /apis/example.com/{version}/things?resourceVersion=0");
    let json: Value =
        serde_json::from_str(&answer(&world, &list("v1"), "", false).await.body).expect("JSON");
    let sizes = |list: &Value| -> Vec<u64> {
        let items = list["items"].as_array().expect("items").iter();
        items.filter_map(|it| it["spec"]["size"].as_u64()).collect()
    };
    assert_eq!(sizes(&json), [10, 300_000, 10]);
    assert_eq!(json["items"][1]["spec"]["text"], "x".repeat(300_000));
    let pretty = format!("{}&pretty=true", list("v1"));
    for (request, accept) in [(&*pretty, ""), (&*list("v1"), "application/yaml")] {
        let other = answer(&world, request, accept, true).await.body;
        let other: Value = if accept.is_empty() {
            serde_json::from_str(&other).expect("JSON")
        } else {
            kube_json::yaml::parse(other.as_bytes())
                .expect("YAML")
                .value
        };
        assert_eq!(other, json, "{request} {accept}");
    }
    let old = answer(&world, &list("v1beta1"), "", true).await.body;
    let old: Value = serde_json::from_str(&old).expect("JSON");
    assert_eq!(sizes(&old), [10, 300_000, 10]);
    assert_eq!(old["items"][1]["spec"], json!({"size": 300_000}));
    let table = answer(&world, &list("v1"), "table", true).await.body;
    let table: Value = serde_json::from_str(&table).expect("JSON");
    let names = table["rows"].as_array().expect("rows").iter();
    let names: Vec<_> = names.map(|row| row["cells"][0].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_watch_waits_for_its_large_objects() {
    let world = world().await;
    let beta = "/apis/example.com/v1beta1/namespaces/a/things?watch=1&resourceVersion=0";
    let watches = [
        ("things?watch=1&resourceVersion=0", ""),
        ("things?watch=1&resourceVersion=0", "table"),
        ("things?watch=1&resourceVersion=0", PARTIAL),
        (beta, ""),
    ];
    for (at, (url, accept)) in watches.into_iter().enumerate() {
        let mut watch = world.watch(url, accept).await;
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
        world.put("a/b", &json!({"team": "red"}), &spec).await;
        let release = busy(&world.compute).await;
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
async fn a_compressed_list_that_streams_is_whole() {
    let world = world().await;
    let url = "things?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    let got = world
        .answer(&format!("GET {url}"), "|Accept-Encoding: gzip")
        .await;
    let mut text = String::new();
    let mut plain = flate2::read::GzDecoder::new(&*got.raw);
    plain.read_to_string(&mut text).expect("a whole stream");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[1].len() > 300_000 && lines[3].contains("initial-events-end"));
}

#[tokio::test]
async fn many_objects_take_turns() {
    let world = World::new().await;
    for at in 0..20 {
        let spec = json!({"size": at, "list": vec![json!({"a": 1}); 6_000]});
        world.put(&format!("a/t{at}"), &json!({}), &spec).await;
    }
    for (accept, least) in [("table", 2), ("application/yaml", 2)] {
        let mut polls = 0;
        let mut answer = pin!(world.answer("GET things?resourceVersion=0", accept));
        while futures_util::poll!(&mut answer).is_pending() {
            polls += 1;
            tokio::task::yield_now().await;
        }
        assert!(polls >= least, "{accept}: {polls}");
    }
}
