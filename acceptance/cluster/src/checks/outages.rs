//! Outages of the driver and of the gateway.

use std::time::Duration;

use anyhow::{Result, ensure};
use scenarios::engine::process::Signal;

use super::namespaces;
use crate::call::{Call, Response};
use crate::crds::{OURS, PEER, widget, widgets};
use crate::poll::until;
use crate::world::World;

/// Time until the gateway considers a driver that does not respond as gone.
const DETECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// A request that cannot be served must not hang.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// The namespace controller retries with a back-off that has grown during the outage.
const BACKLOG_TIMEOUT: Duration = Duration::from_secs(90);
/// Rounds of requests while the driver is away.
const ROUNDS: usize = 10;

pub(super) async fn driver_suspended(world: &mut World) -> Result<String> {
    world.namespace("suspended").await?;
    namespaces::create(world, OURS, "suspended", "a").await?;
    world.namespace("suspended-unrelated").await?;
    world.cluster.gateway.driver().signal(Signal::STOP);
    let outage = without_driver(world, "suspended").await;
    world.cluster.gateway.driver().signal(Signal::CONT);
    let figures = outage?;
    let recovered = back(world, "suspended").await?;
    let deleted = namespaces::gone(world, "suspended-unrelated", BACKLOG_TIMEOUT).await?;
    Ok(format!(
        "{figures}, recovered after {:.1} s, namespace gone after {:.1} s",
        recovered.as_secs_f64(),
        deleted.as_secs_f64()
    ))
}

pub(super) async fn driver_killed(world: &mut World) -> Result<String> {
    world.namespace("killed").await?;
    namespaces::create(world, OURS, "killed", "a").await?;
    world.namespace("killed-unrelated").await?;
    world.cluster.gateway.kill_driver().await?;
    let outage = without_driver(world, "killed").await;
    world.cluster.gateway.restart_driver()?;
    let figures = outage?;
    let recovered = back(world, "killed").await?;
    let deleted = namespaces::gone(world, "killed-unrelated", BACKLOG_TIMEOUT).await?;
    Ok(format!(
        "{figures}, recovered after {:.1} s, namespace gone after {:.1} s",
        recovered.as_secs_f64(),
        deleted.as_secs_f64()
    ))
}

/// What must hold while the driver is away. Starts the deletion of an unrelated namespace.
async fn without_driver(world: &World, namespace: &str) -> Result<String> {
    let path = widgets(OURS, namespace);
    let body = widget(OURS, "c");
    let ((), detected) = until(DETECTION_TIMEOUT, async || {
        // A write that is sent before the detection waits until its outcome is known, so a read
        // comes first.
        for call in [
            Call::new("GET", &path),
            Call::new("POST", &path).body(&body),
        ] {
            let response = call.send(&world.admin).await?;
            let (status, elapsed) = (response.status, response.elapsed);
            if status != 503 || elapsed >= REJECTION_TIMEOUT {
                return Ok(Err(format!("{path}: {status} after {elapsed:?}")));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    namespaces::delete(world, &format!("{namespace}-unrelated")).await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        slowest = slowest.max(objects_are_rejected(world, &path).await?);
        documents_are_served(world).await?;
        let ready = world.cluster.gateway.is_ready().await?;
        ensure!(
            ready,
            "the readiness probe fails, so the Service would be empty"
        );
        other_groups_are_served(world, namespace).await?;
    }
    let admin = &world.admin;
    world.cluster.release.wait_available(admin).await?;
    Ok(format!(
        "detected after {:.1} s, rejected within {} ms",
        detected.as_secs_f64(),
        slowest.as_millis()
    ))
}

/// Returns the time of the slowest response.
async fn objects_are_rejected(world: &World, path: &str) -> Result<Duration> {
    let object = format!("{path}/a");
    let body = widget(OURS, "b");
    let calls = [
        ("list", Call::new("GET", path)),
        ("get", Call::new("GET", &object)),
        ("create", Call::new("POST", path).body(&body)),
        ("patch", Call::new("PATCH", &object).body(&body)),
        ("delete", Call::new("DELETE", &object)),
    ];
    let mut slowest = Duration::ZERO;
    for (verb, call) in calls {
        let response = call.send(&world.admin).await?;
        rejected(verb, &response)?;
        ensure!(
            response.elapsed < REJECTION_TIMEOUT,
            "{verb} without a driver took {:?}",
            response.elapsed
        );
        slowest = slowest.max(response.elapsed);
    }
    Ok(slowest)
}

fn rejected(verb: &str, response: &Response) -> Result<()> {
    ensure!(
        response.status == 503 && response.is_retried(),
        "{verb} without a driver: {} {}, Retry-After {:?}",
        response.status,
        response.message(),
        response.headers.get("retry-after")
    );
    Ok(())
}

async fn documents_are_served(world: &World) -> Result<()> {
    let group_version = format!("/apis/{OURS}/v1");
    let openapi = format!("/openapi/v3/apis/{OURS}/v1");
    for path in ["/apis", &group_version, "/openapi/v3", &openapi] {
        let response = Call::new("GET", path).send(&world.admin).await?;
        ensure!(
            response.status == 200,
            "{path} without a driver: {} {}",
            response.status,
            response.message()
        );
    }
    Ok(())
}

async fn other_groups_are_served(world: &World, namespace: &str) -> Result<()> {
    let config_maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    let peers = widgets(PEER, namespace);
    let (dry_run, body) = (format!("{peers}?dryRun=All"), widget(PEER, "a"));
    let calls = [
        Call::new("GET", &config_maps),
        Call::new("POST", &dry_run).body(&body),
        Call::new("GET", &peers),
    ];
    for call in calls {
        call.json(&world.admin).await?;
    }
    Ok(())
}

/// Waits until objects can be read and written again.
async fn back(world: &World, namespace: &str) -> Result<Duration> {
    let path = widgets(OURS, namespace);
    let ((), took) = until(BACKLOG_TIMEOUT, async || {
        let body = widget(OURS, "after");
        let response = Call::new("POST", &path).body(&body).send(&world.admin);
        let response = response.await?;
        Ok(match response.status {
            201 | 409 => Ok(()),
            status => Err(format!("POST {path}: {status} {}", response.message())),
        })
    })
    .await?;
    let object = format!("{path}/a");
    Call::new("GET", &object).json(&world.admin).await?;
    Ok(took)
}

pub(super) async fn gateway_killed(world: &mut World) -> Result<String> {
    world.namespace("gateway").await?;
    namespaces::create(world, OURS, "gateway", "a").await?;
    world.cluster.gateway.kill_server().await?;
    let path = widgets(OURS, "gateway");
    for _ in 0..ROUNDS {
        let response = Call::new("GET", &path).send(&world.admin).await?;
        ensure!(
            response.status == 503 && response.elapsed < REJECTION_TIMEOUT,
            "without a gateway: {} after {:?}",
            response.status,
            response.elapsed
        );
        other_groups_are_served(world, "gateway").await?;
    }
    world.cluster.gateway.start_server()?;
    let recovered = back(world, "gateway").await?;
    let admin = &world.admin;
    world.cluster.release.wait_available(admin).await?;
    Ok(format!("recovered after {:.1} s", recovered.as_secs_f64()))
}
