//! Rotation of authorities and certificates under load.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube_http::Client;
use scenarios::engine::certificates::{Authority, Pair, Subject};
use scenarios::engine::cluster::control_plane::FRONT_PROXY;
use serde_json::json;

use crate::call::Call;
use crate::crds::{OURS, widgets};
use crate::load::Load;
use crate::poll::until;
use crate::users::{rule, user};
use crate::world::World;

const NAMESPACE: &str = "rotation";
const WORKERS: usize = 4;
/// Requests that must be served after each step.
const AFTER_STEP: u64 = 50;
/// The gateway reads its files each 30 s; kube-apiserver polls its own each minute, besides a watch.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(75);
const AUTHENTICATION: &str =
    "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
/// kube-apiserver's message for a new certificate of the aggregator.
const LOADED: &str = "Loaded a new cert/key pair";

pub(super) async fn under_load(world: &mut World) -> Result<String> {
    world.namespace(NAMESPACE).await?;
    let rules = [rule(&["*"], &["widgets"], &[])];
    world
        .grant(NAMESPACE, "loader", &rules, &user("loader"))
        .await?;
    let resource = json!({"namespace": NAMESPACE, "verb": "create", "group": OURS,
        "resource": "widgets"});
    let spec = json!({"user": "loader", "resourceAttributes": resource});
    world.wait_allowed(&spec).await?;
    let client = world.user("loader", None)?.client;
    let mut load = Load::start(&client, NAMESPACE, WORKERS).await?;
    load.serve(AFTER_STEP).await?;
    serving_certificate(world, &mut load).await?;
    front_proxy(world, &mut load).await?;
    client_authority(world, &mut load).await?;
    let figures = load.finish().await?;
    Ok(format!(
        "{} requests, {} retries, {} watches resumed",
        figures.requests, figures.retries, figures.resumed
    ))
}

async fn serving_certificate(world: &mut World, load: &mut Load) -> Result<()> {
    let new = Authority::new("ark-apiserver-ca")?;
    let release = &world.cluster.release;
    release
        .trust(&world.admin, &[&release.authority, &new])
        .await?;
    load.serve(AFTER_STEP).await?;
    world.cluster.gateway.write_certificate(&new)?;
    // A client that trusts the new authority only.
    let client = Client::new(&world.cluster.gateway.direct("", "")?, false)?;
    until(RELOAD_TIMEOUT, async || {
        let response = Call::new("GET", "/livez").send(&client).await;
        Ok(response
            .map(|_| ())
            .map_err(|error| format!("the new certificate is not served: {error:#}")))
    })
    .await?;
    world.cluster.release.trust(&world.admin, &[&new]).await?;
    world.cluster.release.authority = new;
    load.serve(AFTER_STEP).await
}

/// First the new authority, then the new certificate, then without the old authority.
async fn front_proxy(world: &mut World, load: &mut Load) -> Result<()> {
    let new = Authority::new("front-proxy-ca")?;
    let cluster = &world.cluster.control_plane;
    let old = &cluster.front_proxies;
    let proxy = Subject {
        name: FRONT_PROXY,
        ..Subject::default()
    };
    let (old_pair, new_pair) = (old.issue(&proxy)?, new.issue(&proxy)?);
    cluster.write_front_proxy_authorities(&[old, &new])?;
    wait_status(world, &new_pair, 200).await?;
    load.serve(AFTER_STEP).await?;

    let loaded = |log: &str| log.matches(LOADED).count();
    let before = loaded(&cluster.server_log()?);
    cluster.write_front_proxy_certificate(&new)?;
    until(RELOAD_TIMEOUT, async || {
        let log = cluster.server_log()?;
        Ok(if loaded(&log) > before {
            Ok(())
        } else {
            Err("kube-apiserver has not loaded its new certificate".to_owned())
        })
    })
    .await?;
    load.serve(AFTER_STEP).await?;

    cluster.write_front_proxy_authorities(&[&new])?;
    // kube-apiserver keeps old authorities in the ConfigMap, so that an administrator removes them.
    // It adds one again until it has read its own file.
    let patch = json!({"data": {"requestheader-client-ca-file": new.pem()}});
    until(RELOAD_TIMEOUT, async || {
        let call = Call::new("PATCH", AUTHENTICATION).body(&patch);
        call.json(&world.admin).await?;
        let status = status_of(world, &old_pair).await?;
        Ok(if status == 401 {
            Ok(())
        } else {
            Err(format!("a removed authority is still accepted: {status}"))
        })
    })
    .await?;
    world.cluster.control_plane.front_proxies = new;
    load.serve(AFTER_STEP).await
}

async fn client_authority(world: &mut World, load: &mut Load) -> Result<()> {
    let new = Authority::new("cluster-ca")?;
    let cluster = &world.cluster.control_plane;
    let pair = new.issue(&Subject {
        name: "rotated",
        group: Some("system:masters"),
        ..Subject::default()
    })?;
    let before = direct_status(world, &pair).await?;
    ensure!(before == 401, "an unknown authority is accepted: {before}");
    cluster.write_user_authorities(&[&cluster.users, &new])?;
    let through = Client::new(&cluster.kubeconfig_of(&pair.certificate, &pair.key), true)?;
    until(RELOAD_TIMEOUT, async || {
        let direct = direct_status(world, &pair).await?;
        let path = widgets(OURS, NAMESPACE);
        let through = Call::new("GET", &path).send(&through).await?.status;
        Ok(if (direct, through) == (200, 200) {
            Ok(())
        } else {
            Err(format!(
                "the new authority is not accepted: {direct} {through}"
            ))
        })
    })
    .await?;
    load.serve(AFTER_STEP).await
}

async fn wait_status(world: &World, pair: &Pair, wanted: u16) -> Result<()> {
    until(RELOAD_TIMEOUT, async || {
        let status = status_of(world, pair).await?;
        Ok(if status == wanted {
            Ok(())
        } else {
            Err(format!("{status} instead of {wanted}"))
        })
    })
    .await?;
    Ok(())
}

/// Status of a request that the holder of a front proxy's certificate sends to the gateway.
async fn status_of(world: &World, pair: &Pair) -> Result<u16> {
    let client = world.direct(pair)?;
    let headers = [
        ("X-Remote-User", "proxied"),
        ("X-Remote-Group", "system:masters"),
    ];
    let path = widgets(OURS, NAMESPACE);
    let call = Call::new("GET", &path).headers(&headers);
    Ok(call.send(&client).await?.status)
}

async fn direct_status(world: &World, pair: &Pair) -> Result<u16> {
    let client = world.direct(pair)?;
    let path = widgets(OURS, NAMESPACE);
    Ok(Call::new("GET", &path).send(&client).await?.status)
}
