//! The definitions of the served kinds as objects, so that clients find them.

use std::collections::HashMap;

use api_types::meta::Meta;
use futures_util::future::try_join_all;
use gateway::resources::{Catalog, Resource};
use gateway::store::{Freshness, ListAt, ListRequest, ResourceId, Scope};
use http::StatusCode;
use serde_json::{Value, json};

use super::unless_gone;
use crate::client::{Client, Failure};

const COLLECTION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Creates, replaces and deletes definitions until they are those of the catalog.
///
/// # Errors
/// If a write fails.
pub(super) async fn publish(client: &Client, catalog: &Catalog) -> Result<(), Failure> {
    let mut stored = stored(client).await?;
    let mut new = Vec::new();
    for resource in catalog.resources().filter(|it| !it.is_built_in()) {
        let mut wanted = definition(resource);
        let name = Meta::of(&wanted).name().to_owned();
        let Some(found) = stored.remove(&name) else {
            new.push(wanted);
            continue;
        };
        if same(&found, &wanted) {
            continue;
        }
        let version = Meta::of(&found).resource_version();
        wanted["metadata"]["resourceVersion"] = version.into();
        client
            .replace(&format!("{COLLECTION}/{name}"), &wanted)
            .await?;
    }
    // Together, so that the driver commits them at once.
    try_join_all(new.iter().map(|it| create(client, it))).await?;
    for name in stored.into_keys() {
        let path = format!("{COLLECTION}/{name}");
        unless_gone(client.delete(&path, &json!({})).await)?;
    }
    Ok(())
}

/// Creates a definition, unless another server on the same store has done so.
async fn create(client: &Client, wanted: &Value) -> Result<(), Failure> {
    match client.create(COLLECTION, wanted).await {
        Err(error) if error.code() != Some(StatusCode::CONFLICT) => Err(error),
        _ => Ok(()),
    }
}

/// The stored definitions, by name.
async fn stored(client: &Client) -> Result<HashMap<String, Value>, Failure> {
    let resource = ResourceId::new("apiextensions.k8s.io", "customresourcedefinitions");
    let request = ListRequest {
        scope: Scope::All,
        at: ListAt::Fresh(Freshness::Latest),
        paged: false,
    };
    let mut stored = HashMap::new();
    for object in client.store().list(&resource, request).await?.iter() {
        let value = kube_json::reparse(object.bytes())?;
        stored.insert(object.key().name().to_owned(), value);
    }
    Ok(stored)
}

/// The definition of a resource as kube-apiserver would serve it.
fn definition(resource: &Resource) -> Value {
    let (manifest, names) = (resource.manifest(), &resource.definition().names);
    let metadata = &manifest["metadata"];
    let mut spec = manifest["spec"].clone();
    spec["names"]["listKind"] = names.list_kind.clone().into();
    spec["names"]["singular"] = names.singular.clone().into();
    if spec.get("conversion").is_none() {
        spec["conversion"] = json!({"strategy": "None"});
    }
    let since = "1970-01-01T00:00:00Z";
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        })
    };
    let mut wanted = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": metadata["name"]},
        "status": {
            "acceptedNames": spec["names"],
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
            "storedVersions": [resource.storage_version().name],
        },
        "spec": spec,
    });
    for member in ["annotations", "labels"] {
        if metadata[member].is_object() {
            wanted["metadata"][member] = metadata[member].clone();
        }
    }
    wanted
}

/// Whether a stored definition is the wanted one.
fn same(found: &Value, wanted: &Value) -> bool {
    let metadata = |it: &Value, member: &str| it["metadata"].get(member).cloned();
    found["spec"] == wanted["spec"]
        && found["status"] == wanted["status"]
        && ["annotations", "labels"]
            .into_iter()
            .all(|member| metadata(found, member) == metadata(wanted, member))
}
