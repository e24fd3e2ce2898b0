//! Tests of `import-crds` and `export-crds`, against a real kube-apiserver and its etcd.

use std::time::{Duration, Instant};

use backend_proto::v1::Record;
use serde_json::{Value, json};

use crate::cluster::{
    API_SERVICE, BOTH_GROUPS, Cluster, MEMORIES, NAMESPACE, WIDGETS, export, import, memory,
    objects, populate, widget,
};
use crate::store::{Kind, Store};

fn values(records: &[Record]) -> Vec<Value> {
    let values = records
        .iter()
        .map(|it| serde_json::from_slice(&it.value).expect("JSON"));
    values.collect()
}

fn old_versions(list: &Value) -> Vec<i64> {
    let items = list["items"].as_array().expect("a list").iter();
    let versions = items.map(|it| {
        it["metadata"]["resourceVersion"]
            .as_str()
            .expect("a version")
    });
    versions.map(|it| it.parse().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crd_objects_round_trip_through_a_store() {
    let cluster = Cluster::start().await;
    populate(&cluster).await;
    cluster.send("POST", WIDGETS, &widget(), 201).await;
    let before = objects(&cluster, MEMORIES).await;
    let widgets = objects(&cluster, WIDGETS).await;
    let old = old_versions(&cluster.get(MEMORIES).await);
    let store = Store::start(Kind::Sqlite).await;
    let dry_run = [&BOTH_GROUPS[..], &["--dry-run"]].concat();
    let output = import(&cluster, &store, &dry_run).await.expect("printed");
    for word in [
        "memories.ark.mckinsey.com: 3 records",
        "widgets.judge.example.com: 1 records",
        "no obstacles",
    ] {
        assert!(output.contains(word), "{output}");
    }
    assert_eq!(store.records(0).await, []);
    import(&cluster, &store, &BOTH_GROUPS)
        .await
        .expect("imported");
    let mut records = store.records(0).await;
    let widget = records.pop().expect("the last");
    assert_eq!(values(&[widget]), widgets);
    assert_eq!(values(&records), before);
    check_records(&records, &before, &old);
    // As after a driver that was killed once it had stored everything.
    for arguments in [&dry_run[..], &BOTH_GROUPS] {
        let again = import(&cluster, &store, arguments).await;
        let again = again.expect("the same content");
        assert!(again.contains("imported already: 4 objects"), "{again}");
    }
    check_another_import_has_other_numbers(&cluster, &store).await;

    let back = Cluster::start().await;
    let etcd = back.started.store.clone();
    let into_etcd = [&BOTH_GROUPS[..], &["--etcd", &etcd]].concat();
    let output = export(&back, &store, &into_etcd).await.expect("exported");
    assert!(output.contains("4 objects created"), "{output}");
    assert_eq!(objects(&back, MEMORIES).await, before);
    assert_eq!(objects(&back, WIDGETS).await, widgets);
    let again = export(&back, &store, &into_etcd).await.expect("again");
    assert!(again.contains("0 objects created, 4 existed"), "{again}");
    check_etcd_is_not_written_over(&back, &store, &into_etcd).await;
    back.stop().await;
    cluster.stop().await;
    store.stop().await;
}

/// Asserts that a client with revisions of the first import must list again at the second.
async fn check_another_import_has_other_numbers(cluster: &Cluster, first: &Store) {
    let second = Store::start(Kind::Model).await;
    let imported = import(cluster, &second, &BOTH_GROUPS).await;
    imported.expect("imported");
    let (records, shown) = (second.records(0).await, first.head().await.revision);
    assert!(!records.is_empty());
    let above = |record: &Record| record.create_revision > shown;
    assert!(records.iter().all(above), "{records:?} after {shown}");
    second.stop().await;
}

/// One object is missing and one differs: neither is written.
async fn check_etcd_is_not_written_over(back: &Cluster, store: &Store, into_etcd: &[&str]) {
    let path = format!("{WIDGETS}/w");
    back.send("DELETE", &path, &Value::Null, 200).await;
    let path = format!("{MEMORIES}/z-owner");
    let mut other = back.get(&path).await;
    other["metadata"]["labels"]["tier"] = "another".into();
    let other = back.send("PUT", &path, &other, 200).await;
    for extra in [None, Some("--dry-run")] {
        let mut arguments = into_etcd.to_vec();
        arguments.extend(extra);
        let rejected = export(back, store, &arguments).await;
        let rejected = rejected.expect_err("it differs");
        assert!(
            rejected.contains("z-owner exists and is another"),
            "{rejected}"
        );
        assert!(rejected.contains("nothing was written"), "{rejected}");
    }
    assert_eq!(back.get(&path).await, other);
    assert_eq!(objects(back, WIDGETS).await, [] as [Value; 0]);
}

/// Checks the records of imported objects against their old versions.
fn check_records(records: &[Record], objects: &[Value], old: &[i64]) {
    let mut by_old: Vec<(i64, i64)> = Vec::new();
    for ((record, object), old) in records.iter().zip(objects).zip(old) {
        let metadata = &object["metadata"];
        let index = record.index.as_ref().expect("an index");
        assert_eq!(index.uid, metadata["uid"]);
        assert_eq!(
            index.labels["tier"],
            metadata["name"].as_str().expect("a name")
        );
        let owners: Vec<&str> = metadata["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["uid"].as_str())
            .collect();
        assert_eq!(index.owner_uids, owners);
        let created = record.created_at.expect("a time");
        let created = jiff::Timestamp::from_second(created.seconds).expect("a time");
        assert_eq!(created.to_string(), metadata["creationTimestamp"]);
        assert!(record.revision > *old);
        by_old.push((*old, record.revision));
    }
    by_old.sort_unstable();
    assert!(by_old.is_sorted_by_key(|(_, new)| *new), "{by_old:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_through_api_creates_owners_first() {
    let cluster = Cluster::start().await;
    populate(&cluster).await;
    cluster.send("POST", WIDGETS, &widget(), 201).await;
    let before = objects(&cluster, MEMORIES).await;
    let store = Store::start(Kind::Model).await;
    import(&cluster, &store, &[]).await.expect("imported");
    // The same cluster, emptied: it has every kind, and no objects.
    for name in ["a-owned", "m-ending", "z-owner"] {
        let path = format!("{MEMORIES}/{name}");
        let mut object = cluster.get(&path).await;
        object["metadata"]["finalizers"] = json!([]);
        cluster.send("PUT", &path, &object, 200).await;
        if name != "m-ending" {
            cluster.send("DELETE", &path, &Value::Null, 200).await;
        }
    }
    assert_eq!(objects(&cluster, MEMORIES).await, [] as [Value; 0]);
    let output = export(&cluster, &store, &["--dry-run"])
        .await
        .expect("printed");
    assert!(output.contains("new uid"), "{output}");
    assert_eq!(objects(&cluster, MEMORIES).await, [] as [Value; 0]);
    export(&cluster, &store, &[]).await.expect("exported");
    check_created(&before, &objects(&cluster, MEMORIES).await);
    let again = export(&cluster, &store, &[]).await.expect("again");
    assert!(again.contains("3 objects exist already"), "{again}");
    cluster
        .send("DELETE", &format!("{NAMESPACE}/moving"), &Value::Null, 200)
        .await;
    cluster.stop().await;
    store.stop().await;
}

/// Asserts that the created objects equal the originals, except for fields that the server sets.
fn check_created(before: &[Value], after: &[Value]) {
    assert_eq!(before.len(), after.len());
    for (old, new) in before.iter().zip(after) {
        assert_eq!(old["spec"], new["spec"]);
        assert_eq!(old["status"], new["status"]);
        for field in ["name", "labels", "annotations", "finalizers"] {
            assert_eq!(old["metadata"][field], new["metadata"][field]);
        }
        let ending = |it: &Value| it["metadata"]["deletionTimestamp"].is_string();
        assert_eq!(ending(old), ending(new));
        assert_ne!(old["metadata"]["uid"], new["metadata"]["uid"]);
    }
    let owner = after
        .iter()
        .find(|it| it["metadata"]["name"] == "z-owner")
        .expect("there");
    let owned = after
        .iter()
        .find(|it| it["metadata"]["name"] == "a-owned")
        .expect("there");
    let reference = &owned["metadata"]["ownerReferences"][0];
    assert_eq!(reference["uid"], owner["metadata"]["uid"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_leaves_other_objects_of_same_name_unchanged() {
    let cluster = Cluster::start().await;
    populate(&cluster).await;
    let store = Store::start(Kind::Model).await;
    import(&cluster, &store, &[]).await.expect("imported");
    // The stored object is being deleted; this one belongs to someone else.
    let stranger = format!("{MEMORIES}/m-ending");
    let mut ending = cluster.get(&stranger).await;
    ending["metadata"]["finalizers"] = json!([]);
    cluster.send("PUT", &stranger, &ending, 200).await;
    let mut live = memory("m-ending", None);
    live["spec"]["address"]["value"] = "http://elsewhere.example.com".into();
    let live = cluster.send("POST", MEMORIES, &live, 201).await;
    // As left by a run that was killed before it wrote the status.
    let owner = format!("{MEMORIES}/z-owner");
    let whole = cluster.get(&owner).await;
    let mut object = whole.clone();
    object["metadata"]["finalizers"] = json!([]);
    cluster.send("PUT", &owner, &object, 200).await;
    cluster.send("DELETE", &owner, &Value::Null, 200).await;
    cluster
        .send("POST", MEMORIES, &memory("z-owner", None), 201)
        .await;
    for dry_run in [true, false] {
        let flag = dry_run.then_some("--dry-run");
        let output = export(&cluster, &store, flag.as_slice()).await;
        let output = output.expect_err("one differs");
        for word in [
            "m-ending exists and differs (spec)",
            "2 objects exist already",
            "1 objects of these names",
        ] {
            assert!(output.contains(word), "{output}");
        }
        assert_eq!(cluster.get(&stranger).await, live);
        let status = &cluster.get(&owner).await["status"];
        let expected = if dry_run {
            &Value::Null
        } else {
            &whole["status"]
        };
        assert_eq!(status, expected);
    }
    cluster.stop().await;
    store.stop().await;
}

/// Timeout until kube-apiserver serves the CRDs again, with slack for busy machines.
const SERVED: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crds_of_delegated_group_are_neither_read_nor_written() {
    let cluster = Cluster::start().await;
    populate(&cluster).await;
    let before = objects(&cluster, MEMORIES).await;
    let [store, empty] = [
        Store::start(Kind::Model).await,
        Store::start(Kind::Model).await,
    ];
    import(&cluster, &store, &[]).await.expect("imported");
    let mut service = cluster.get(API_SERVICE).await;
    service["metadata"]["labels"] = json!({});
    service["spec"]["service"] = json!({"namespace": "moving", "name": "gateway"});
    service["spec"]["insecureSkipTLSVerify"] = true.into();
    cluster.send("PUT", API_SERVICE, &service, 200).await;
    for rejected in [
        export(&cluster, &store, &[]).await,
        export(&cluster, &store, &["--dry-run"]).await,
        import(&cluster, &empty, &[]).await,
        import(&cluster, &empty, &["--dry-run"]).await,
    ] {
        let rejected = rejected.expect_err("another server would answer");
        let fix = "kubectl delete apiservice v1alpha1.ark.mckinsey.com";
        assert!(rejected.contains(fix), "{rejected}");
    }
    assert_eq!(empty.records(0).await, []);
    // etcd accepts writes before the CRDs are served again.
    let etcd = cluster.started.store.clone();
    let output = export(&cluster, &store, &["--etcd", &etcd]).await;
    let output = output.expect("they are there");
    assert!(output.contains("is seen after kubectl delete"), "{output}");
    cluster.send("DELETE", API_SERVICE, &Value::Null, 200).await;
    let deadline = Instant::now() + SERVED;
    loop {
        let listed = cluster.client.json("GET", MEMORIES, None).await;
        if listed.is_ok_and(|(status, _)| status == 200) {
            break;
        }
        assert!(Instant::now() < deadline, "the CRDs are not served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(objects(&cluster, MEMORIES).await, before);
    let output = export(&cluster, &store, &["--dry-run"]).await;
    let output = output.expect("no obstacles");
    assert!(output.contains("3 objects exist already"), "{output}");
    cluster.stop().await;
    store.stop().await;
    empty.stop().await;
}
