//! Garbage collection between core kinds and ours.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::call::Call;
use crate::crds::{OURS, widget, widgets};
use crate::poll::until;
use crate::world::World;

const NAMESPACE: &str = "garbage";
/// The collector learns of kinds every 30 s; it has started when the gateway had not.
const COLLECTION_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    ConfigMap,
    Widget,
}

/// Owner and dependent.
const PAIRS: [(Kind, Kind); 3] = [
    (Kind::ConfigMap, Kind::Widget),
    (Kind::Widget, Kind::ConfigMap),
    (Kind::Widget, Kind::Widget),
];

/// An owner and its dependent.
struct Family {
    owner: String,
    dependent: String,
}

pub(super) async fn both_ways(world: &mut World) -> Result<String> {
    let world = &*world;
    world.namespace(NAMESPACE).await?;
    // First, so that the collector knows these dependents when it collects the younger ones: it sees
    // the changes of a kind in order. A dependent that it does not know yet would not be released.
    let mut orphans = Vec::new();
    for (index, pair) in PAIRS.into_iter().enumerate() {
        orphans.push(family(world, &format!("orphan-{index}"), pair).await?);
    }
    let mut collected = Vec::new();
    for policy in ["Background", "Foreground"] {
        for (index, pair) in PAIRS.into_iter().enumerate() {
            let name = format!("{}-{index}", policy.to_lowercase());
            collected.push((policy, family(world, &name, pair).await?));
        }
    }
    let all = collected.iter().map(|(policy, family)| async move {
        delete(world, &family.owner, policy).await?;
        absent(world, &family.owner).await?;
        absent(world, &family.dependent).await
    });
    let slowest = try_join_all(all).await?.into_iter().max();
    let all = orphans.iter().map(|family| async move {
        delete(world, &family.owner, "Orphan").await?;
        absent(world, &family.owner).await?;
        let left = Call::new("GET", &family.dependent);
        let left = left.json(&world.admin).await?;
        let owners = &left["metadata"]["ownerReferences"];
        ensure!(owners.is_null(), "{}: owners {owners}", family.dependent);
        Ok(())
    });
    try_join_all(all).await?;
    let seconds = slowest.unwrap_or_default().as_secs_f64();
    Ok(format!(
        "{} owners, at most {seconds:.1} s",
        3 * PAIRS.len()
    ))
}

/// Creates an owner and a dependent that blocks its deletion in the foreground.
async fn family(world: &World, name: &str, pair: (Kind, Kind)) -> Result<Family> {
    let (kind, dependent_kind) = pair;
    let owner_name = format!("{name}-owner");
    let owner = create(world, kind, &owner_name, &Value::Null).await?;
    let reference = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner_name,
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    let dependent_name = format!("{name}-dependent");
    create(world, dependent_kind, &dependent_name, &reference).await?;
    Ok(Family {
        owner: format!("{}/{owner_name}", collection(kind)),
        dependent: format!("{}/{dependent_name}", collection(dependent_kind)),
    })
}

fn collection(kind: Kind) -> String {
    match kind {
        Kind::ConfigMap => format!("/api/v1/namespaces/{NAMESPACE}/configmaps"),
        Kind::Widget => widgets(OURS, NAMESPACE),
    }
}

async fn create(world: &World, kind: Kind, name: &str, owners: &Value) -> Result<Value> {
    let mut object = match kind {
        Kind::ConfigMap => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        }
        Kind::Widget => widget(OURS, name),
    };
    if !owners.is_null() {
        object["metadata"]["ownerReferences"] = owners.clone();
    }
    let path = collection(kind);
    Call::new("POST", &path)
        .body(&object)
        .json(&world.admin)
        .await
}

async fn delete(world: &World, path: &str, policy: &str) -> Result<()> {
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    let call = Call::new("DELETE", path).body(&options);
    call.json(&world.admin).await.context(policy.to_owned())?;
    Ok(())
}

async fn absent(world: &World, path: &str) -> Result<Duration> {
    let ((), took) = until(COLLECTION_TIMEOUT, async || {
        let response = Call::new("GET", path).send(&world.admin).await?;
        Ok(if response.status == 404 {
            Ok(())
        } else {
            let metadata = &response.value()["metadata"];
            Err(format!("{path} is not collected: {metadata}"))
        })
    })
    .await?;
    Ok(took)
}
