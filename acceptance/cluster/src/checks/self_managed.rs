//! The chart's default TLS mode: the gateway keeps its own certificate, with the chart's rights.

use std::time::Duration;

use anyhow::{Result, ensure};
use scenarios::engine::cluster::gateway::Certificate;
use scenarios::engine::cluster::install::merge;
use serde_json::{Value, json};

use crate::call::Call;
use crate::crds::{OURS, widgets};
use crate::poll::until;
use crate::world::World;

const SECRET: &str = "/api/v1/namespaces/ark-system/secrets/ark-apiserver-tls";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
/// Time until a removed certificate or bundle is written again and kube-apiserver uses it.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(30);
/// A foreign `caBundle`, in base64.
const FOREIGN: &str = "bm90IGEgY2VydGlmaWNhdGU=";

pub(super) async fn kept(world: &mut World) -> Result<String> {
    let arguments = world.cluster.release.use_self_managed(&world.admin).await?;
    ensure!(arguments.len() == 3, "flags of the chart: {arguments:?}");
    world.cluster.gateway.stop_server().await;
    let certificate = Certificate::SelfManaged(&arguments);
    world.cluster.gateway.start_server_with(certificate)?;
    let kept = served_and_repaired(world).await;
    // The other checks use a certificate that the cluster provides.
    world.cluster.gateway.stop_server().await;
    let release = &world.cluster.release;
    release.trust(&world.admin, &[&release.authority]).await?;
    world.cluster.gateway.start_server()?;
    world.cluster.gateway.ready().await?;
    let admin = &world.admin;
    world.cluster.release.wait_available(admin).await?;
    kept
}

async fn served_and_repaired(world: &World) -> Result<String> {
    let (first, started) = until(REPAIR_TIMEOUT, async || consistent(world).await).await?;
    let emptied = json!({"data": null});
    merge(&world.admin, SECRET, &emptied).await?;
    let (second, secret_repaired) = until(REPAIR_TIMEOUT, async || consistent(world).await).await?;
    ensure!(!second.is_empty(), "the Secret stays empty");
    let foreign = json!({"spec": {"caBundle": FOREIGN}});
    for name in &world.cluster.release.api_services {
        merge(&world.admin, &format!("{API_SERVICES}/{name}"), &foreign).await?;
    }
    let (_, bundle_repaired) = until(REPAIR_TIMEOUT, async || consistent(world).await).await?;
    Ok(format!(
        "served after {:.1} s with an authority of {} bytes; Secret repaired after {:.1} s, bundles \
         after {:.1} s",
        started.as_secs_f64(),
        first.len(),
        secret_repaired.as_secs_f64(),
        bundle_repaired.as_secs_f64()
    ))
}

/// The authority, if the Secret has it, all APIServices trust it, and kube-apiserver proxies.
async fn consistent(world: &World) -> Result<Result<String, String>> {
    let secret = Call::new("GET", SECRET).json(&world.admin).await?;
    for key in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
        if text(&secret["data"][key]).is_empty() {
            return Ok(Err(format!("the Secret has no {key}")));
        }
    }
    let authority = text(&secret["data"]["ca.crt"]).to_owned();
    for name in &world.cluster.release.api_services {
        let path = format!("{API_SERVICES}/{name}");
        let object = Call::new("GET", &path).json(&world.admin).await?;
        if text(&object["spec"]["caBundle"]) != authority {
            return Ok(Err(format!("{name} does not trust the authority")));
        }
    }
    let path = widgets(OURS, "default");
    let response = Call::new("GET", &path).send(&world.admin).await?;
    Ok(match response.status {
        200 => Ok(authority),
        status => Err(format!("GET {path}: {status} {}", response.message())),
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
