//! A kube-apiserver with etcd and CRDs, and objects in it.

use std::path::PathBuf;

use scenarios::engine::client::Client;
use scenarios::engine::kube_apiserver::{self, Started};
use scenarios::engine::reference::Reference;
use scenarios::engine::store;
use scenarios::repository::{Repository, files_below};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::store::{Store, run};

pub(crate) const NAMESPACE: &str = "/api/v1/namespaces";
pub(crate) const MEMORIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/moving/memories";
pub(crate) const WIDGETS: &str = "/apis/judge.example.com/v1/namespaces/moving/widgets";
pub(crate) const API_SERVICE: &str =
    "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.ark.mckinsey.com";
pub(crate) const BOTH_GROUPS: [&str; 4] = [
    "--group",
    "ark.mckinsey.com",
    "--group",
    "judge.example.com",
];

pub(crate) struct Cluster {
    pub(crate) started: Started,
    pub(crate) client: Client,
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
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

    pub(crate) fn kubeconfig(&self) -> &str {
        self.kubeconfig.to_str().expect("a path")
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        expected: u16,
    ) -> Value {
        let sent = self.client.json(method, path, Some(body)).await;
        let (status, response) = sent.expect("answered");
        assert_eq!(status, expected, "{method} {path}: {response}");
        response
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send("GET", path, &Value::Null, 200).await
    }

    pub(crate) async fn stop(mut self) {
        for process in &mut self.started.processes {
            process.stop().await;
        }
    }
}

pub(crate) fn memory(name: &str, owner: Option<&Value>) -> Value {
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

pub(crate) fn widget() -> Value {
    json!({"apiVersion": "judge.example.com/v1", "kind": "Widget",
        "metadata": {"name": "w"}, "spec": {}})
}

/// Creates an owner with a status, its dependent, and an object that is being deleted.
pub(crate) async fn populate(cluster: &Cluster) {
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

/// Returns the objects of a list by name, without their resourceVersions.
pub(crate) async fn objects(cluster: &Cluster, path: &str) -> Vec<Value> {
    let mut list = cluster.get(path).await;
    let mut items = list["items"].as_array_mut().expect("a list").split_off(0);
    for item in &mut items {
        let metadata = item["metadata"].as_object_mut().expect("metadata");
        metadata.remove("resourceVersion").expect("a version");
    }
    items
}

pub(crate) async fn import(
    cluster: &Cluster,
    store: &Store,
    extra: &[&str],
) -> Result<String, String> {
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

pub(crate) async fn export(
    cluster: &Cluster,
    store: &Store,
    extra: &[&str],
) -> Result<String, String> {
    let from = store.address();
    let kubeconfig = cluster.kubeconfig();
    let mut arguments = vec!["export-crds", "--kubeconfig", kubeconfig, "--from", &from];
    arguments.extend(extra);
    run(&arguments).await
}
