//! Concurrent writes, and crashes of the backend during writes.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::server::{TestServer, thing, version, with};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_of_one_object_all_apply() {
    let test_server = TestServer::of_x().await;
    let before = test_server.fake.changes();
    let numbers = 0..24;
    let patches = numbers.clone().map(|number| {
        let patch = json!({"metadata": {"annotations": {format!("n{number}"): "here"}}});
        let test_server = &test_server;
        async move {
            test_server
                .request("MERGE things/x", patch.to_string())
                .await
        }
    });
    let mut versions: Vec<_> = join_all(patches)
        .await
        .iter()
        .map(|response| version(&response.expect(200)).to_owned())
        .collect();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 24, "each is a change of its own");
    assert_eq!(test_server.fake.changes(), before + 24);
    let annotations = test_server.x().await["metadata"]["annotations"].clone();
    for number in numbers {
        assert_eq!(annotations[format!("n{number}")], "here", "{annotations}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_from_one_version_apply_once() {
    let test_server = TestServer::of_x().await;
    let x = test_server.x().await;
    let before = test_server.fake.changes();
    let updates = (10..20).map(|size| {
        let (test_server, update) = (&test_server, with(&x, "/spec/size", size));
        async move { test_server.request("PUT things/x", update).await }
    });
    let mut codes: Vec<_> = join_all(updates).await.iter().map(|it| it.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [vec![200], vec![409; 9]].concat());
    assert_eq!(test_server.fake.changes(), before + 1);
    let status = test_server
        .request("PUT things/x", x.to_string())
        .await
        .expect(409);
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on things.example.com \"x\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_with_precondition_never_deletes_successor() {
    let test_server = TestServer::of_x().await;
    for _ in 0..20 {
        let x = test_server.x().await;
        let uid = x["metadata"]["uid"].as_str().expect("a uid");
        let precondition = json!({"preconditions": {"uid": uid}}).to_string();
        let recreate = async {
            test_server.request("DELETE things/x", "").await;
            test_server.request("POST things", thing("x", 1)).await
        };
        let (deleted, created) = tokio::join!(
            test_server.request("DELETE things/x", precondition),
            recreate
        );
        assert!(
            matches!(deleted.code, 200 | 404 | 409),
            "{}",
            deleted.text()
        );
        let created = created.expect(201);
        assert_eq!(
            test_server.x().await["metadata"]["uid"],
            created["metadata"]["uid"]
        );
    }
}

/// A deleted `x` with one finalizer, and the update that removes it.
async fn held() -> (TestServer, Value) {
    let test_server = TestServer::new().await;
    let held = thing("x", 1).replace(
        r#""name":"x""#,
        r#""name":"x","finalizers":["example.com/f"]"#,
    );
    test_server.request("POST things", held).await.expect(201);
    test_server.request("DELETE things/x", "").await.expect(200);
    let mut x = test_server.x().await;
    assert!(x["metadata"]["deletionTimestamp"].is_string());
    x["metadata"]["finalizers"] = json!([]);
    (test_server, x)
}

#[tokio::test(flavor = "multi_thread")]
async fn last_finalizer_and_object_are_removed_in_one_change() {
    let (test_server, update) = held().await;
    let (changes, ops) = (test_server.fake.changes(), test_server.fake.disk.lock().ops);
    test_server
        .request("PUT things/x", update.to_string())
        .await
        .expect(200);
    assert!(test_server.fake.find("x").is_none());
    assert_eq!(test_server.fake.changes(), changes + 1);
    assert_eq!(test_server.fake.disk.lock().ops, ops + 1);
    test_server.request("GET things/x", "").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_during_last_finalizer_removal_leaves_consistent_object() {
    for once_stored in [false, true] {
        let (mut test_server, update) = held().await;
        let (changes, ops) = (test_server.fake.changes(), test_server.fake.disk.lock().ops);
        test_server.fake.fault(|faults| {
            faults.silent = !once_stored;
            faults.silent_once_stored = once_stored;
        });
        let request = test_server.start("PUT things/x", update.to_string());
        let stored = usize::from(once_stored);
        test_server
            .until("it is under way", |fake| {
                fake.disk.lock().ops > ops && fake.changes() == changes + stored
            })
            .await;
        test_server.fake.kill();
        assert_eq!(test_server.fake.find("x").is_none(), once_stored);
        test_server.fake.fault(|faults| {
            faults.silent = false;
            faults.silent_once_stored = false;
        });
        test_server.fake.start();
        request.response().await.expect(200);
        assert!(test_server.fake.find("x").is_none());
        assert_eq!(
            test_server.fake.changes(),
            changes + 1,
            "one change, made once"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_commit_and_response_creates_once() {
    let mut test_server = TestServer::new().await;
    test_server
        .fake
        .fault(|faults| faults.silent_once_stored = true);
    let named = test_server.start("POST things", thing("x", 1));
    let generated = thing("x", 1).replace(r#""name":"x""#, r#""generateName":"g-""#);
    let generated = test_server.start("POST things", generated);
    test_server
        .until("both are stored", |fake| fake.changes() == 2)
        .await;
    test_server.fake.kill();
    test_server
        .fake
        .fault(|faults| faults.silent_once_stored = false);
    test_server.fake.start();
    let named = named.response().await.expect(201);
    generated.response().await.expect(201);
    assert_eq!(
        test_server.fake.changes(),
        2,
        "no second name was made, nothing was stored twice"
    );
    assert_eq!(test_server.x().await, named);
}
