//! Tests of `import-crds` and `export-crds` where store and cluster have different objects already.

use serde_json::{Value, json};

use crate::cluster::{
    BOTH_GROUPS, Cluster, MEMORIES, WIDGETS, export, import, memory, objects, populate, widget,
};
use crate::store::{Kind, Store, run};

const GADGETS: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.judge.example.com/status";

/// Changes, deletes, replaces and creates objects.
async fn change(cluster: &Cluster) {
    let path = format!("{MEMORIES}/z-owner");
    let mut owner = cluster.get(&path).await;
    owner["metadata"]["labels"]["tier"] = "changed".into();
    cluster.send("PUT", &path, &owner, 200).await;
    let path = format!("{MEMORIES}/a-owned");
    let mut owned = cluster.get(&path).await;
    owned["metadata"]["finalizers"] = json!([]);
    cluster.send("PUT", &path, &owned, 200).await;
    cluster.send("DELETE", &path, &Value::Null, 200).await;
    let path = format!("{WIDGETS}/w");
    cluster.send("DELETE", &path, &Value::Null, 200).await;
    cluster.send("POST", WIDGETS, &widget(), 201).await;
    cluster
        .send("POST", MEMORIES, &memory("new", None), 201)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_are_imported_and_exported() {
    let cluster = Cluster::start().await;
    populate(&cluster).await;
    cluster.send("POST", WIDGETS, &widget(), 201).await;
    let store = Store::start(Kind::Sqlite).await;
    check_mixed_versions_are_not_imported(&cluster, &store).await;
    import(&cluster, &store, &BOTH_GROUPS)
        .await
        .expect("imported");
    let before = (
        objects(&cluster, MEMORIES).await,
        objects(&cluster, WIDGETS).await,
    );
    let former = Store::start(Kind::Model).await;
    import(&cluster, &former, &BOTH_GROUPS)
        .await
        .expect("imported");
    change(&cluster).await;
    let rejected = import(&cluster, &store, &BOTH_GROUPS).await;
    let rejected = rejected.expect_err("the store is not empty");
    assert!(rejected.contains("--incremental"), "{rejected}");
    assert!(rejected.contains("4 objects differ"), "{rejected}");
    let incremental = [&BOTH_GROUPS[..], &["--incremental"]].concat();
    let output = import(&cluster, &store, &incremental).await;
    let output = output.expect("imported");
    let expected = "2 objects created, 1 updated, 2 deleted";
    assert!(output.contains(expected), "{output}");
    let again = import(&cluster, &store, &BOTH_GROUPS).await;
    let again = again.expect("equal");
    assert!(again.contains("imported already"), "{again}");
    let records = store.records(0).await;
    let values: Vec<Value> = records
        .iter()
        .map(|it| serde_json::from_slice(&it.value).expect("JSON"))
        .collect();
    let mut expected = objects(&cluster, MEMORIES).await;
    expected.extend(objects(&cluster, WIDGETS).await);
    assert_eq!(values, expected);
    check_export(&cluster, &former, before).await;
    cluster.stop().await;
    store.stop().await;
    former.stop().await;
}

/// Objects that are stored in several versions may lose fields in a conversion.
async fn check_mixed_versions_are_not_imported(cluster: &Cluster, store: &Store) {
    let path = GADGETS.trim_end_matches("/status");
    let mut gadgets = cluster.get(path).await;
    gadgets["status"]["storedVersions"] = json!(["v1beta1", "v1"]);
    cluster.send("PUT", GADGETS, &gadgets, 200).await;
    for arguments in [
        &BOTH_GROUPS[..],
        &[&BOTH_GROUPS[..], &["--dry-run"]].concat(),
    ] {
        let rejected = import(cluster, store, arguments).await;
        let rejected = rejected.expect_err("two versions");
        assert!(rejected.contains("storedVersions"), "{rejected}");
        assert!(rejected.contains("v1beta1"), "{rejected}");
    }
    assert_eq!(store.records(0).await, []);
    let mut gadgets = cluster.get(path).await;
    gadgets["status"]["storedVersions"] = json!(["v1"]);
    cluster.send("PUT", GADGETS, &gadgets, 200).await;
}

/// Exports a store whose objects the cluster has changed, deleted, replaced and extended.
async fn check_export(cluster: &Cluster, former: &Store, before: (Vec<Value>, Vec<Value>)) {
    let etcd = cluster.started.store.clone();
    let into_etcd = [&BOTH_GROUPS[..], &["--etcd", &etcd]].concat();
    let with = |extra: &[&'static str]| {
        let mut arguments: Vec<String> = into_etcd.iter().map(|it| (*it).to_owned()).collect();
        arguments.extend(extra.iter().map(|it| (*it).to_owned()));
        arguments
    };
    let changed = objects(cluster, MEMORIES).await;
    for (extra, expected) in [
        (&["--etcd-prefix", "/elsewhere"][..], "set --etcd-prefix"),
        (&[], "1 objects are in the CRDs and not in the store"),
        (&["--keep-others"], "z-owner exists and is another object"),
    ] {
        let arguments = with(extra);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let rejected = export(cluster, former, &arguments).await;
        let rejected = rejected.expect_err(expected);
        assert!(rejected.contains(expected), "{rejected}");
        assert!(rejected.contains("nothing was written"), "{rejected}");
        assert!(rejected.contains("the store is not fenced"), "{rejected}");
        assert_eq!(objects(cluster, MEMORIES).await, changed);
    }
    let at = former.address();
    run(&["fence", "--at", &at, "--reason", "test"])
        .await
        .expect("fenced");
    let file = former.folder().join("saved.jsonl");
    let file = file.to_str().expect("a path");
    let replace = [&into_etcd[..], &["--replace", "--save", file]].concat();
    let dry_run = [&replace[..], &["--dry-run"]].concat();
    let counts = "1 objects created, 2 updated, 1 deleted";
    let output = export(cluster, former, &dry_run).await.expect("printed");
    assert!(output.contains(counts), "{output}");
    assert!(!output.contains("not fenced"), "{output}");
    assert_eq!(objects(cluster, MEMORIES).await, changed);
    let output = export(cluster, former, &replace).await.expect("exported");
    assert!(output.contains(counts), "{output}");
    let after = (
        objects(cluster, MEMORIES).await,
        objects(cluster, WIDGETS).await,
    );
    assert_eq!(after, before);
    let saved = std::fs::read_to_string(file).expect("saved");
    assert_eq!(saved.lines().count(), 3, "{saved}");
    assert!(saved.contains("/registry/ark.mckinsey.com/memories/moving/new"));
    let again = export(cluster, former, &replace).await.expect("again");
    assert!(
        again.contains("0 objects created, 0 updated, 0 deleted"),
        "{again}"
    );
}
