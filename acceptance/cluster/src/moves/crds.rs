//! Ark's kinds as CRDs of the cluster, with objects.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube_http::Client;
use scenarios::engine::kube_apiserver;
use scenarios::repository::{Repository, files_below};
use serde_json::{Value, json};

use super::{MEMORIES, NAMESPACE, memory};
use crate::call::Call;
use crate::poll::until;
use crate::world::World;

/// Families of objects: an owner among the core kinds, a Memory, and a dependent among the core kinds.
pub(crate) const FAMILIES: usize = 300;
/// Concurrent requests.
const AT_ONCE: usize = 8;
const API_SERVICES: [&str; 2] = ["v1alpha1.ark.mckinsey.com", "v1prealpha1.ark.mckinsey.com"];
const REGISTRATION: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const CONFIG_MAPS: &str = "/api/v1/namespaces/moves/configmaps";
const SERVED: Duration = Duration::from_secs(60);
/// Revisions of etcd are below this, and those of a store above.
const STORE: i64 = 1 << 40;

/// Which server has the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Crds,
    Gateway,
}

/// The side that lists come from.
///
/// # Errors
/// If the list fails.
pub(crate) async fn side(client: &Client) -> Result<Side> {
    let list = Call::new("GET", &format!("{MEMORIES}?limit=1"))
        .json_with_retries(client)
        .await?;
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    let of_store = version.parse::<i64>().is_ok_and(|version| version > STORE);
    Ok(if of_store { Side::Gateway } else { Side::Crds })
}

/// Makes kube-apiserver serve Ark's kinds from CRDs, and creates objects, unless a check has done it
/// before. The chart's APIServices of the group are replaced by those of kube-apiserver.
///
/// # Errors
/// If kube-apiserver rejects an object.
pub(crate) async fn prepare(world: &World) -> Result<()> {
    let admin = &world.admin;
    let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
    if Call::new("GET", &namespace).send(admin).await?.status == 200 {
        return Ok(());
    }
    let repository = Repository::find()?;
    for file in files_below(&repository.ark_kinds(), &["yaml"])? {
        let text = std::fs::read_to_string(&file)?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        kube_apiserver::define(admin, &documents).await?;
    }
    for name in API_SERVICES {
        let path = format!("{REGISTRATION}/{name}");
        Call::new("DELETE", &path).json(admin).await?;
    }
    world.namespace(NAMESPACE).await?;
    until(SERVED, async || {
        let list = Call::new("GET", MEMORIES).send(admin).await?;
        if list.status != 200 {
            return Ok(Err(format!("{} {}", list.status, list.message())));
        }
        Ok(if side(admin).await? == Side::Crds {
            Ok(())
        } else {
            Err("the gateway still responds".to_owned())
        })
    })
    .await?;
    let families = (0..FAMILIES).map(|index| family(admin, index));
    let created = stream::iter(families).buffer_unordered(AT_ONCE);
    created.try_collect::<()>().await
}

/// ConfigMap `owner-N` → Memory `family-N` → ConfigMap `dependent-N`. Every tenth Memory has a
/// finalizer and is being deleted; every third has a status; every second was applied.
async fn family(admin: &Client, index: usize) -> Result<()> {
    let name = format!("owner-{index}");
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let owner = Call::new("POST", CONFIG_MAPS)
        .body(&owner)
        .json(admin)
        .await?;
    let name = format!("family-{index}");
    let mut object = memory(&name, "http://example.com");
    object["metadata"]["ownerReferences"] = json!([reference(&owner)]);
    let ending = index.is_multiple_of(10);
    if ending {
        object["metadata"]["finalizers"] = json!(["example.com/keep"]);
    }
    let own = format!("{MEMORIES}/{name}");
    let applied = format!("{own}?fieldManager=applier");
    let created = if index.is_multiple_of(2) {
        Call::apply(&applied).body(&object).json(admin).await?
    } else {
        Call::new("POST", MEMORIES)
            .body(&object)
            .json(admin)
            .await?
    };
    if index.is_multiple_of(3) {
        let status = json!({"status": {"phase": "ready"}});
        let path = format!("{own}/status");
        Call::new("PATCH", &path).body(&status).json(admin).await?;
    }
    let dependent = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("dependent-{index}"),
            "ownerReferences": [reference(&created)]}});
    Call::new("POST", CONFIG_MAPS)
        .body(&dependent)
        .json(admin)
        .await?;
    if ending {
        Call::new("DELETE", &own).json(admin).await?;
    }
    Ok(())
}

fn reference(owner: &Value) -> Value {
    json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]})
}

/// Every object of the families without resourceVersion, by name.
///
/// # Errors
/// If the list fails.
pub(crate) async fn families(client: &Client) -> Result<Vec<Value>> {
    let mut list = Call::new("GET", MEMORIES).json_with_retries(client).await?;
    let items = list["items"].as_array_mut().map(std::mem::take);
    let mut items = items.unwrap_or_default();
    let is_family = |item: &Value| {
        let name = item["metadata"]["name"].as_str();
        name.is_some_and(|name| name.starts_with("family-"))
    };
    items.retain(is_family);
    for item in &mut items {
        if let Some(metadata) = item["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
    }
    Ok(items)
}

/// Checks that the garbage collector has deleted nothing of families `from..` and that it deletes the
/// dependents of a Memory whose owner, a ConfigMap, is deleted.
///
/// # Errors
/// If a ConfigMap is missing, or the collector does not act in time.
pub(crate) async fn collected(client: &Client, from: usize) -> Result<Duration> {
    let list = Call::new("GET", CONFIG_MAPS).json(client).await?;
    let items = list["items"].as_array().into_iter().flatten();
    let names: Vec<&str> = items
        .filter_map(|it| it["metadata"]["name"].as_str())
        .collect();
    for index in from..FAMILIES {
        for name in [format!("owner-{index}"), format!("dependent-{index}")] {
            ensure!(
                names.contains(&name.as_str()),
                "ConfigMap {name} was collected"
            );
        }
    }
    // One that is not being deleted.
    let victim = from.next_multiple_of(10) + 1;
    let path = format!("{CONFIG_MAPS}/owner-{victim}");
    Call::new("DELETE", &path).json(client).await?;
    let ((), took) = until(Duration::from_secs(90), async || {
        for path in [
            format!("{MEMORIES}/family-{victim}"),
            format!("{CONFIG_MAPS}/dependent-{victim}"),
        ] {
            let response = Call::new("GET", &path).send(client).await?;
            if response.status != 404 {
                return Ok(Err(format!("{path} is not collected: {}", response.status)));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    Ok(took)
}
