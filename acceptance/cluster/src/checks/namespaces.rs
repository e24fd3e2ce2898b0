//! Namespaces, which kube-controller-manager empties with its own service account.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::call::Call;
use crate::crds::{GROUPS, OURS, PEER, widget, widgets, without_group};
use crate::poll::until;
use crate::world::World;

/// The namespace controller deletes in several passes.
pub(super) const DELETION_TIMEOUT: Duration = Duration::from_secs(60);
const WIDGETS: usize = 20;

pub(super) async fn deletion(world: &mut World) -> Result<String> {
    let world = &*world;
    let namespaces = [
        "gone-empty",
        "gone-core",
        "gone-crds",
        "gone-ours",
        "gone-all",
    ];
    for namespace in namespaces {
        world.namespace(namespace).await?;
    }
    for namespace in ["gone-core", "gone-all"] {
        config_map(world, namespace, "a").await?;
    }
    for (group, namespaces) in [
        (PEER, ["gone-crds", "gone-all"]),
        (OURS, ["gone-ours", "gone-all"]),
    ] {
        for namespace in namespaces {
            for index in 0..WIDGETS {
                create(world, group, namespace, &format!("w{index}")).await?;
            }
        }
    }
    let all = namespaces.map(|namespace| async move {
        delete(world, namespace).await?;
        gone(world, namespace, DELETION_TIMEOUT).await
    });
    let slowest = try_join_all(all).await?.into_iter().max();
    for namespace in namespaces {
        for group in GROUPS {
            let path = widgets(group, namespace);
            let list = Call::new("GET", &path).json(&world.admin).await?;
            let left = list["items"].as_array().map_or(0, Vec::len);
            ensure!(left == 0, "{left} widgets of {group} left in {namespace}");
        }
    }
    let seconds = slowest.unwrap_or_default().as_secs_f64();
    Ok(format!(
        "{} namespaces, at most {seconds:.1} s",
        namespaces.len()
    ))
}

pub(super) async fn lifecycle(world: &mut World) -> Result<String> {
    let world = &*world;
    let missing = both(async |group| {
        let path = widgets(group, "missing");
        let call = Call::new("POST", &path).body(&widget(group, "a"));
        let response = call.send(&world.admin).await?;
        Ok((response.status, without_group(&response.message())))
    })
    .await?;
    ensure!(
        missing.0 == 404,
        "create in a missing namespace: {missing:?}"
    );
    let terminating = both(async |group| terminating(world, group).await).await?;
    let (status, message, condition) = &terminating;
    ensure!(
        *status == 403 && message.contains("is being terminated"),
        "create in a terminating namespace: {status} {message}"
    );
    ensure!(
        condition.contains("Some content in the namespace has finalizers remaining"),
        "condition of the namespace: {condition}"
    );
    Ok(String::new())
}

/// The result for both groups, which must be equal.
async fn both<T: PartialEq + std::fmt::Debug>(
    result: impl AsyncFn(&'static str) -> Result<T>,
) -> Result<T> {
    let (ours, peer) = (result(OURS).await?, result(PEER).await?);
    ensure!(ours == peer, "{ours:?} instead of {peer:?}");
    Ok(ours)
}

/// Deletes a namespace that has an object with a finalizer. Returns the response to a create
/// meanwhile, and the condition that reports the finalizer.
async fn terminating(world: &World, group: &'static str) -> Result<(u16, String, String)> {
    // The name appears in messages.
    let namespace = format!("held-{}", &group[..1]);
    world.namespace(&namespace).await?;
    let path = widgets(group, &namespace);
    let mut held = widget(group, "held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    Call::new("POST", &path)
        .body(&held)
        .json(&world.admin)
        .await?;
    delete(world, &namespace).await?;
    let at = format!("/api/v1/namespaces/{namespace}");
    let (condition, _) = until(DELETION_TIMEOUT, async || {
        let object = Call::new("GET", &at).json(&world.admin).await?;
        let conditions = object["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let found = conditions
            .find(|it| it["type"] == "NamespaceFinalizersRemaining" && it["status"] == "True");
        let message = found.and_then(|it| it["message"].as_str());
        Ok(message
            .map(without_group)
            .ok_or_else(|| format!("{namespace} does not report the finalizer: {object}")))
    })
    .await?;
    let created = Call::new("POST", &path)
        .body(&widget(group, "late"))
        .send(&world.admin)
        .await?;
    let patch = json!({"metadata": {"finalizers": null}});
    Call::new("PATCH", &format!("{path}/held"))
        .body(&patch)
        .json(&world.admin)
        .await?;
    gone(world, &namespace, DELETION_TIMEOUT).await?;
    let message = without_group(&created.message()).replace(&namespace, "NAMESPACE");
    Ok((created.status, message, condition))
}

pub(super) async fn create(world: &World, group: &str, namespace: &str, name: &str) -> Result<()> {
    let path = widgets(group, namespace);
    let call = Call::new("POST", &path).body(&widget(group, name));
    call.json(&world.admin).await?;
    Ok(())
}

pub(super) async fn config_map(world: &World, namespace: &str, name: &str) -> Result<Value> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    Call::new("POST", &path)
        .body(&object)
        .json(&world.admin)
        .await
}

pub(super) async fn delete(world: &World, namespace: &str) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}");
    Call::new("DELETE", &path).json(&world.admin).await?;
    Ok(())
}

/// Waits until a namespace is gone; returns the time.
pub(super) async fn gone(world: &World, namespace: &str, limit: Duration) -> Result<Duration> {
    let path = format!("/api/v1/namespaces/{namespace}");
    let ((), took) = until(limit, async || {
        let response = Call::new("GET", &path).send(&world.admin).await?;
        Ok(if response.status == 404 {
            Ok(())
        } else {
            let conditions = &response.value()["status"]["conditions"];
            Err(format!("namespace {namespace} is not gone: {conditions}"))
        })
    })
    .await?;
    Ok(took)
}
