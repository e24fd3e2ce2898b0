//! Writers and watchers of several servers, and kinds beside each other.

use serde_json::{Value, json};

use super::world::{World, thing, version};
use crate::fake::faults::Short;

const STREAMED: &str = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&\
                        allowWatchBookmarks=true";

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_at_one_server_sees_whole_what_is_written_at_another() {
    let world = World::new().await;
    let other = world.another().await;
    let mut watch = other.server().watch("things?watch=1").await;
    let created = world.ask("POST things", thing("x", 1)).await.expect(201);
    let patch = r#"{"spec":{"size":2}}"#;
    let patched = world.ask("MERGE things/x", patch).await.expect(200);
    world.ask("DELETE things/x", "").await.expect(200);
    let mut last = patched.clone();
    last["metadata"]["resourceVersion"] = world.fake.revision().to_string().into();
    for (kind, object) in [("ADDED", created), ("MODIFIED", patched), ("DELETED", last)] {
        assert_eq!(watch.event().await, json!({"type": kind, "object": object}));
    }
    // A consistent read at the other sees every write before it, too.
    world.ask("POST things", thing("x", 3)).await.expect(201);
    let read = other.server().ask("GET things/x", "").await.expect(200);
    assert_eq!(read["spec"]["size"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_two_servers_take_turns() {
    let world = World::of_x().await;
    let other = world.another().await;
    let patches = (0..20).map(|number| {
        let patch = json!({"metadata": {"annotations": {format!("n{number}"): "here"}}});
        let server = [&world.server, other.server()][number % 2];
        async move { server.ask("MERGE things/x", patch.to_string()).await.code }
    });
    let codes = futures_util::future::join_all(patches).await;
    assert_eq!(codes, [200; 20]);
    let annotations = world.x().await["metadata"]["annotations"].clone();
    assert_eq!(annotations.as_object().map(serde_json::Map::len), Some(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_comes_short_from_the_backend_is_no_list() {
    let world = World::new().await;
    world.fake.put((0..500).map(|at| {
        let meta = json!({"name": format!("t{at}"), "namespace": "a", "uid": "u"});
        let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta});
        (format!("a/t{at}"), kube_json::to_vec(&thing))
    }));
    // Nothing of it is in the history: all must come from the list.
    world.fake.compact(world.fake.revision());
    let short = [Short::Ends, Short::Lacks, Short::Breaks];
    world.fake.fault(|faults| faults.short_lists = short.into());
    let other = world.another().await;
    assert_eq!(
        world.fake.fault(|faults| faults.short_lists.len()),
        0,
        "each was met"
    );
    let list = other.server().ask("GET things", "").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_kind_does_not_expire_with_a_busy_one() {
    let mut world = World::new().await;
    let tome = r#"{"apiVersion":"example.com/v1","kind":"Tome","metadata":{"name":"t"}}"#;
    world.ask("POST tomes", tome).await.expect(201);
    for after_restart in [false, true] {
        for size in 0..50 {
            let busy = thing("busy", size);
            world.ask("POST things", busy).await.expect(201);
            world.ask("DELETE things/busy", "").await.expect(200);
        }
        world.fake.compact(world.fake.revision());
        if after_restart {
            world = world.restart().await;
        }
        let list = world.ask("GET tomes", "").await.expect(200);
        let path = format!("tomes?watch=1&resourceVersion={}", version(&list));
        let mut watch = world.server.watch(&path).await;
        let patch = json!({"text": format!("restarted {after_restart}")});
        let patched = world.ask("MERGE tomes/t", patch.to_string()).await;
        let expected = json!({"type": "MODIFIED", "object": patched.expect(200)});
        assert_eq!(watch.event().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_list_of_nothing_or_of_much_ends_with_its_bookmark() {
    let world = World::new().await;
    for count in [0, 3000] {
        if count > 0 {
            let things = (0..count).map(|at| {
                let meta = json!({"name": format!("t{at}"), "namespace": "a", "uid": "u"});
                let thing =
                    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta});
                (format!("a/t{at}"), kube_json::to_vec(&thing))
            });
            world.fake.put(things);
        }
        let mut watch = world.server.watch(&format!("things?{STREAMED}")).await;
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
        assert_eq!(version(&end["object"]), world.fake.revision().to_string());
    }
}
