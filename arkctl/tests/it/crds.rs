//! `import-crds` and `export-crds`, against a real kube-apiserver and its etcd.

use std::path::PathBuf;

use backend_proto::v1::Record;
use scenarios::engine::client::Client;
use scenarios::engine::kube_apiserver::{self, Started};
use scenarios::engine::reference::Reference;
use scenarios::engine::store;
use scenarios::repository::{Repository, files_below};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::store::{Kind, Store, run};

const NAMESPACE: &str = "/api/v1/namespaces";
const MEMORIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/moving/memories";
const WIDGETS: &str = "/apis/judge.example.com/v1/namespaces/moving/widgets";

struct Cluster {
    started: Started,
    client: Client,
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let repository = Repository::find().expect("a checkout");
        let reference = Reference::find(&repository, |_| ())
            .await
            .expect("the reference");
        let folder = tempfile::tempdir().expect("temporary directory");
        let mut manifests = files_below(&repository.ark_kinds(), &["yaml"]).expect("kinds");
        manifests.extend(files_below(&repository.test_kinds(), &["yaml"]).expect("kinds"));
        let store = store::etcd(&reference, folder.path()).expect("etcd");
        let started = kube_apiserver::start(&reference, store, folder.path(), &manifests).await;
        let started = started.expect("started");
        let file = folder.path().join("kubeconfig");
        let kubeconfig = started.kubeconfig.save(&file, "default").expect("written");
        let client = Client::new(&started.kubeconfig, true).expect("a client");
        let cluster = Self {
            started,
            client,
            kubeconfig,
            _folder: folder,
        };
        let namespace = json!({"metadata": {"name": "moving"}});
        cluster.send("POST", NAMESPACE, &namespace, 201).await;
        cluster
    }

    fn kubeconfig(&self) -> &str {
        self.kubeconfig.to_str().expect("a path")
    }

    async fn send(&self, method: &str, path: &str, body: &Value, due: u16) -> Value {
        let sent = self.client.json(method, path, Some(body)).await;
        let (status, answer) = sent.expect("answered");
        assert_eq!(status, due, "{method} {path}: {answer}");
        answer
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, &Value::Null, 200).await
    }

    async fn stop(mut self) {
        for process in &mut self.started.processes {
            process.stop().await;
        }
    }
}

fn memory(name: &str, owner: Option<&Value>) -> Value {
    let references: Vec<Value> = owner
        .into_iter()
        .map(|owner| {
            json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"],
                "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]})
        })
        .collect();
    json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1", "kind": "Memory",
        "metadata": {"name": name, "labels": {"tier": name}, "annotations": {"a": "ä"},
            "finalizers": ["example.com/keep"], "ownerReferences": references},
        "spec": {"address": {"value": "http://example.com"}},
    })
}

/// Some objects: an owner with a status, what it owns, and one that is being deleted.
async fn populate(cluster: &Cluster) {
    let mut owner = cluster
        .send("POST", MEMORIES, &memory("z-owner", None), 201)
        .await;
    let owned = memory("a-owned", Some(&owner));
    cluster.send("POST", MEMORIES, &owned, 201).await;
    owner["status"] = json!({"phase": "ready"});
    let status = format!("{MEMORIES}/z-owner/status");
    cluster.send("PUT", &status, &owner, 200).await;
    cluster
        .send("POST", MEMORIES, &memory("m-ending", None), 201)
        .await;
    let ending = format!("{MEMORIES}/m-ending");
    cluster.send("DELETE", &ending, &Value::Null, 200).await;
}

/// The objects of a list, by name, without their resourceVersions.
async fn objects(cluster: &Cluster, path: &str) -> Vec<Value> {
    let mut list = cluster.get(path).await;
    let mut items = list["items"].as_array_mut().expect("a list").split_off(0);
    for item in &mut items {
        let metadata = item["metadata"].as_object_mut().expect("metadata");
        metadata.remove("resourceVersion").expect("a version");
    }
    items
}

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

async fn import(cluster: &Cluster, store: &Store, extra: &[&str]) -> Result<String, String> {
    let to = store.address();
    let mut arguments = vec![
        "import-crds",
        "--kubeconfig",
        cluster.kubeconfig(),
        "--to",
        &to,
    ];
    arguments.extend(extra);
    run(&arguments).await
}

async fn export(cluster: &Cluster, store: &Store, extra: &[&str]) -> Result<String, String> {
    let from = store.address();
    let kubeconfig = cluster.kubeconfig();
    let mut arguments = vec!["export-crds", "--kubeconfig", kubeconfig, "--from", &from];
    arguments.extend(extra);
    run(&arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_move_from_a_cluster_and_back() {
    let cluster = Cluster::start().await;
    populate(&cluster).await;
    let before = objects(&cluster, MEMORIES).await;
    let old = old_versions(&cluster.get(MEMORIES).await);
    let store = Store::start(Kind::Sqlite).await;
    let told = import(&cluster, &store, &["--dry-run"])
        .await
        .expect("told");
    assert!(
        told.contains("memories.ark.mckinsey.com: 3 records"),
        "{told}"
    );
    assert_eq!(store.records(0).await, []);
    import(&cluster, &store, &[]).await.expect("imported");
    let records = store.records(0).await;
    assert_eq!(values(&records), before);
    check_records(&records, &before, &old);
    let refused = import(&cluster, &store, &[])
        .await
        .expect_err("no longer empty");
    assert!(refused.contains("empty"), "{refused}");

    let back = Cluster::start().await;
    let etcd = back.started.store.clone();
    let told = export(&back, &store, &["--etcd", &etcd])
        .await
        .expect("exported");
    assert!(told.contains("3 objects created"), "{told}");
    assert_eq!(objects(&back, MEMORIES).await, before);
    let again = export(&back, &store, &["--etcd", &etcd])
        .await
        .expect("again");
    assert!(again.contains("0 objects created, 3 were there"), "{again}");
    back.stop().await;
    cluster.stop().await;
    store.stop().await;
}

/// The records of objects that were imported, whose old versions are given.
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
async fn through_the_api_owners_come_first() {
    let cluster = Cluster::start().await;
    populate(&cluster).await;
    let widget = json!({"apiVersion": "judge.example.com/v1", "kind": "Widget",
        "metadata": {"name": "w"}, "spec": {}});
    cluster.send("POST", WIDGETS, &widget, 201).await;
    let before = objects(&cluster, MEMORIES).await;
    let store = Store::start(Kind::Model).await;
    import(&cluster, &store, &[]).await.expect("imported");
    // The same cluster, emptied: every kind is there, and no object.
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
    let told = export(&cluster, &store, &["--dry-run"])
        .await
        .expect("told");
    assert!(told.contains("new uid"), "{told}");
    assert_eq!(objects(&cluster, MEMORIES).await, [] as [Value; 0]);
    export(&cluster, &store, &[]).await.expect("exported");
    check_created(&before, &objects(&cluster, MEMORIES).await);
    let again = export(&cluster, &store, &[]).await.expect("again");
    assert!(
        again.contains("3 objects of these names were there"),
        "{again}"
    );
    cluster
        .send("DELETE", &format!("{NAMESPACE}/moving"), &Value::Null, 200)
        .await;
    cluster.stop().await;
    store.stop().await;
}

/// What was created is what was there, but for what the server sets.
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
