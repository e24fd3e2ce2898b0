//! Owners and dependents: the policies of deletions, each of which ends.

use http::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::kinds::{call, done};
use crate::program::{DEADLINE, Program, eventually};

const GROUP: &str = "/apis/ark.mckinsey.com/v1alpha1";

/// An owner, as `metadata.ownerReferences` names it.
struct Owner<'a> {
    object: &'a Value,
    blocks: bool,
}

fn path(plural: &str, name: &str) -> String {
    format!("{GROUP}/namespaces/default/{plural}/{name}")
}

/// Creates a Query or, as a cluster-scoped kind, an ArkConfig.
async fn create(admin: &Client, kind: &str, name: &str, owners: &[Owner<'_>]) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .map(|Owner { object, blocks }| {
            json!({
                "apiVersion": object["apiVersion"],
                "kind": object["kind"],
                "name": object["metadata"]["name"],
                "uid": object["metadata"]["uid"],
                "blockOwnerDeletion": blocks,
            })
        })
        .collect();
    let object = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "ownerReferences": references},
        "spec": if kind == "Query" { json!({"input": "hello"}) } else { json!({}) },
    });
    let collection = match kind {
        "Query" => format!("{GROUP}/namespaces/default/queries"),
        _ => format!("{GROUP}/arkconfigs"),
    };
    done(admin, "POST", &collection, &object).await
}

async fn exists(admin: &Client, name: &str) -> bool {
    match call(admin, "GET", &path("queries", name), &Value::Null)
        .await
        .0
    {
        StatusCode::OK => true,
        StatusCode::NOT_FOUND => false,
        other => panic!("{name}: {other}"),
    }
}

async fn delete(admin: &Client, path: &str, policy: &str) {
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy,
    });
    done(admin, "DELETE", path, &options).await;
}

async fn gone(admin: &Client, name: &str) {
    eventually(name, DEADLINE, async || !exists(admin, name).await).await;
}

fn owned(object: &Value, blocks: bool) -> Owner<'_> {
    Owner { object, blocks }
}

#[tokio::test]
async fn dependents_without_owners_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let config = create(&admin, "ArkConfig", "root", &[]).await;
    let one = create(&admin, "Query", "one", &[owned(&config, false)]).await;
    let two = create(&admin, "Query", "two", &[]).await;
    create(&admin, "Query", "of-one", &[owned(&one, false)]).await;
    create(
        &admin,
        "Query",
        "of-both",
        &[owned(&one, false), owned(&two, false)],
    )
    .await;
    // The owner is of another kind, which this server does not have.
    let foreign = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "uid": "d"},
    });
    create(&admin, "Query", "of-foreign", &[owned(&foreign, false)]).await;
    // Another object has the name of the owner.
    let mut former = two.clone();
    former["metadata"]["uid"] = "former".into();
    create(&admin, "Query", "of-former", &[owned(&former, false)]).await;
    gone(&admin, "of-former").await;

    delete(&admin, &format!("{GROUP}/arkconfigs/root"), "Background").await;
    for name in ["one", "of-one"] {
        gone(&admin, name).await;
    }
    let both = path("queries", "of-both");
    eventually("one owner is left", DEADLINE, async || {
        let both = done(&admin, "GET", &both, &Value::Null).await;
        let owners = both["metadata"]["ownerReferences"]
            .as_array()
            .unwrap()
            .clone();
        owners.len() == 1 && owners[0]["name"] == "two"
    })
    .await;
    assert!(exists(&admin, "two").await && exists(&admin, "of-foreign").await);
}

#[tokio::test]
async fn foreground_deletion_ends_after_its_dependents() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let alone = create(&admin, "Query", "alone", &[]).await;
    assert!(alone["metadata"]["uid"].is_string());
    delete(&admin, &path("queries", "alone"), "Foreground").await;
    gone(&admin, "alone").await;

    let owner = create(&admin, "Query", "owner", &[]).await;
    let child = create(&admin, "Query", "child", &[owned(&owner, true)]).await;
    create(&admin, "Query", "grandchild", &[owned(&child, true)]).await;
    create(&admin, "Query", "loose", &[owned(&owner, false)]).await;
    let grandchild = path("queries", "grandchild");
    let held = json!({"metadata": {"finalizers": ["x.io/held"]}});
    done(&admin, "MERGE", &grandchild, &held).await;

    delete(&admin, &path("queries", "owner"), "Foreground").await;
    eventually("the grandchild is being deleted", DEADLINE, async || {
        let grandchild = done(&admin, "GET", &grandchild, &Value::Null).await;
        grandchild["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    gone(&admin, "loose").await;
    assert!(exists(&admin, "child").await && exists(&admin, "owner").await);
    done(
        &admin,
        "MERGE",
        &grandchild,
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    for name in ["grandchild", "child", "owner"] {
        gone(&admin, name).await;
    }
}

#[tokio::test]
async fn foreground_deletion_of_a_circle_ends() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let one = create(&admin, "Query", "one", &[]).await;
    let two = create(&admin, "Query", "two", &[owned(&one, true)]).await;
    let references = json!({"metadata": {"ownerReferences": [{
        "apiVersion": two["apiVersion"], "kind": two["kind"], "name": "two",
        "uid": two["metadata"]["uid"], "blockOwnerDeletion": true,
    }]}});
    done(&admin, "MERGE", &path("queries", "one"), &references).await;
    delete(&admin, &path("queries", "one"), "Foreground").await;
    for name in ["one", "two"] {
        gone(&admin, name).await;
    }
}

#[tokio::test]
async fn orphan_deletion_keeps_dependents() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let owner = create(&admin, "Query", "owner", &[]).await;
    let other = create(&admin, "Query", "other", &[]).await;
    create(
        &admin,
        "Query",
        "child",
        &[owned(&owner, true), owned(&other, false)],
    )
    .await;
    create(&admin, "Query", "only", &[owned(&owner, true)]).await;
    delete(&admin, &path("queries", "owner"), "Orphan").await;
    gone(&admin, "owner").await;
    let child = done(&admin, "GET", &path("queries", "child"), &Value::Null).await;
    let owners = child["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!((owners.len(), &owners[0]["name"]), (1, &json!("other")));
    let only = done(&admin, "GET", &path("queries", "only"), &Value::Null).await;
    assert!(only["metadata"].get("ownerReferences").is_none(), "{only}");
}

#[tokio::test]
async fn deletions_continue_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let owner = create(&admin, "Query", "owner", &[]).await;
    for index in 0..50 {
        create(
            &admin,
            "Query",
            &format!("child-{index}"),
            &[owned(&owner, true)],
        )
        .await;
    }
    delete(&admin, &path("queries", "owner"), "Foreground").await;
    program.signal(Signal::KILL);
    program.ended();

    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    gone(&admin, "owner").await;
    let list = done(&admin, "GET", &format!("{GROUP}/queries"), &Value::Null).await;
    assert_eq!(list["items"], json!([]));
}
