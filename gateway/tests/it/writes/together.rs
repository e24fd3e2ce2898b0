//! Writers and watchers of several servers, and independent kinds.

use serde_json::{Value, json};

use super::server::{TestServer, thing, version};
use crate::fake::faults::Short;

const STREAMED: &str = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&\
                        allowWatchBookmarks=true";

#[tokio::test(flavor = "multi_thread")]
async fn watch_on_one_server_sees_complete_writes_of_another() {
    let test_server = TestServer::new().await;
    let other = test_server.another().await;
    let mut watch = other.server().watch("things?watch=1").await;
    let created = test_server
        .request("POST things", thing("x", 1))
        .await
        .expect(201);
    let patch = r#"{"spec":{"size":2}}"#;
    let patched = test_server
        .request("MERGE things/x", patch)
        .await
        .expect(200);
    test_server.request("DELETE things/x", "").await.expect(200);
    let mut last = patched.clone();
    last["metadata"]["resourceVersion"] = test_server.fake.revision().to_string().into();
    for (kind, object) in [("ADDED", created), ("MODIFIED", patched), ("DELETED", last)] {
        assert_eq!(watch.event().await, json!({"type": kind, "object": object}));
    }
    // A consistent read at the other server observes every earlier write.
    test_server
        .request("POST things", thing("x", 3))
        .await
        .expect(201);
    let read = other.server().request("GET things/x", "").await.expect(200);
    assert_eq!(read["spec"]["size"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_on_two_servers_all_succeed() {
    let test_server = TestServer::of_x().await;
    let other = test_server.another().await;
    let patches = (0..20).map(|number| {
        let patch = json!({"metadata": {"annotations": {format!("n{number}"): "here"}}});
        let server = [&test_server.server, other.server()][number % 2];
        async move {
            server
                .request("MERGE things/x", patch.to_string())
                .await
                .code
        }
    });
    let codes = futures_util::future::join_all(patches).await;
    assert_eq!(codes, [200; 20]);
    let annotations = test_server.x().await["metadata"]["annotations"].clone();
    assert_eq!(annotations.as_object().map(serde_json::Map::len), Some(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_backend_list_is_not_served() {
    let test_server = TestServer::new().await;
    test_server.fake.put((0..500).map(|at| {
        let meta = json!({"name": format!("t{at}"), "namespace": "a", "uid": "u"});
        let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta});
        (format!("a/t{at}"), kube_json::to_vec(&thing))
    }));
    // The history is compacted, so everything must come from the list.
    test_server.fake.compact(test_server.fake.revision());
    let short = [Short::Ends, Short::Lacks, Short::Breaks];
    test_server
        .fake
        .fault(|faults| faults.short_lists = short.into());
    let other = test_server.another().await;
    assert_eq!(
        test_server.fake.fault(|faults| faults.short_lists.len()),
        0,
        "each was met"
    );
    let list = other.server().request("GET things", "").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_of_idle_kind_survives_compaction_of_busy_kind() {
    let mut test_server = TestServer::new().await;
    let tome = r#"{"apiVersion":"example.com/v1","kind":"Tome","metadata":{"name":"t"}}"#;
    test_server.request("POST tomes", tome).await.expect(201);
    for after_restart in [false, true] {
        for size in 0..50 {
            let busy = thing("busy", size);
            test_server.request("POST things", busy).await.expect(201);
            test_server
                .request("DELETE things/busy", "")
                .await
                .expect(200);
        }
        test_server.fake.compact(test_server.fake.revision());
        if after_restart {
            test_server = test_server.restart().await;
        }
        let list = test_server.request("GET tomes", "").await.expect(200);
        let path = format!("tomes?watch=1&resourceVersion={}", version(&list));
        let mut watch = test_server.server.watch(&path).await;
        let patch = json!({"text": format!("restarted {after_restart}")});
        let patched = test_server
            .request("MERGE tomes/t", patch.to_string())
            .await;
        let expected = json!({"type": "MODIFIED", "object": patched.expect(200)});
        assert_eq!(watch.event().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_list_ends_with_bookmark() {
    let test_server = TestServer::new().await;
    for count in [0, 3000] {
        if count > 0 {
            let things = (0..count).map(|at| {
                let meta = json!({"name": format!("t{at}"), "namespace": "a", "uid": "u"});
                let thing =
                    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta});
                (format!("a/t{at}"), kube_json::to_vec(&thing))
            });
            test_server.fake.put(things);
        }
        let mut watch = test_server
            .server
            .watch(&format!("things?{STREAMED}"))
            .await;
        let mut added = 0;
        let end = loop {
            let event = watch.event().await;
            match event["type"].as_str() {
                Some("ADDED") => added += 1,
                _ => break event,
            }
        };
        assert_eq!((added, &end["type"]), (count, &json!("BOOKMARK")));
        let meta: &Value = &end["object"]["metadata"];
        assert_eq!(meta["annotations"]["k8s.io/initial-events-end"], "true");
        assert_eq!(
            version(&end["object"]),
            test_server.fake.revision().to_string()
        );
    }
}
