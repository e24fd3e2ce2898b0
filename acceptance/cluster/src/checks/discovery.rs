//! Discovery and OpenAPI.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube_http::Client;
use scenarios::engine::certificates::Subject;
use scenarios::engine::cluster::control_plane::FRONT_PROXY;

use crate::call::Call;
use crate::crds::{GROUPS, OURS};
use crate::kubectl::Kubectl;
use crate::poll::until;
use crate::world::World;

/// kube-apiserver collects OpenAPI documents in the background.
const OPENAPI_TIMEOUT: Duration = Duration::from_secs(90);

pub(super) async fn kubectl(world: &mut World) -> Result<String> {
    let world = &*world;
    let kubeconfig = &world.cluster.control_plane.kubeconfig;
    let kubectl = Kubectl::new(world, "discovery", kubeconfig, "default")?;
    let folder = world.folder.path();
    let commands = [
        "api-resources --api-group={} -o wide --sort-by=name",
        "explain widgets.{}",
        "explain widgets.spec.size --api-version={}/v1",
        "explain gadgets.spec --api-version={}/v1beta1 --recursive",
        "explain realms --api-version={}/v1 --output=plaintext-openapiv2",
    ];
    for command in commands {
        // OpenAPI of a group is served some time after the group itself.
        until(OPENAPI_TIMEOUT, async || {
            let [ours, peer] = GROUPS.map(|group| command.replace("{}", group));
            let ours = kubectl.run(&ours, folder).await?;
            let peer = kubectl.run(&peer, folder).await?;
            let equal = ours == peer && ours.exit == Some(0);
            Ok(if equal {
                Ok(())
            } else {
                Err(format!("kubectl {command}: {ours:?} instead of {peer:?}"))
            })
        })
        .await?;
    }
    let versions = kubectl.run("api-versions", folder).await?.out;
    for wanted in ["ark.mckinsey.com/v1alpha1", "ark.mckinsey.com/v1prealpha1"] {
        ensure!(
            versions.lines().any(|line| line == wanted),
            "api-versions lacks {wanted}:\n{versions}"
        );
    }
    let explained = kubectl.run("explain queries.spec", folder).await?;
    ensure!(explained.exit == Some(0), "explain queries: {explained:?}");
    Ok(format!("{} commands", commands.len() + 2))
}

pub(super) async fn as_aggregator(world: &mut World) -> Result<String> {
    let proxy = world.cluster.control_plane.front_proxies.issue(&Subject {
        name: FRONT_PROXY,
        ..Subject::default()
    })?;
    let client = world.direct(&proxy)?;
    let user = [("X-Remote-User", "system:aggregator")];
    let group_version = format!("/openapi/v3/apis/{OURS}/v1");
    // kube-apiserver's own index of OpenAPI v3 has no ETag either.
    let paths = [
        ("/openapi/v2", true),
        ("/openapi/v3", false),
        (&group_version, true),
    ];
    for (path, tagged) in paths {
        let response = Call::new("GET", path).headers(&user).send(&client).await?;
        ensure!(
            response.status == 200,
            "{path}: {} {}",
            response.status,
            response.message()
        );
        if !tagged {
            continue;
        }
        let etag = response.headers.get("etag");
        let etag = etag.with_context(|| format!("{path}: no ETag"))?.to_str()?;
        let again = [user[0], ("If-None-Match", etag)];
        let response = Call::new("GET", path).headers(&again).send(&client).await?;
        ensure!(
            response.status == 304 && response.body.is_empty(),
            "{path} with its ETag: {}",
            response.status
        );
    }
    Ok(format!("{} documents", paths.len()))
}

/// The merged document of kube-apiserver.
pub(super) async fn openapi_v2(world: &mut World) -> Result<String> {
    let path = format!("/apis/{OURS}/v1/namespaces/{{namespace}}/widgets");
    let ((), _) = until(OPENAPI_TIMEOUT, async || {
        let merged = document(&world.admin, "/openapi/v2").await?;
        Ok(if merged["paths"][&path].is_object() {
            Ok(())
        } else {
            Err(format!("/openapi/v2 lacks {path}"))
        })
    })
    .await?;
    Ok(String::new())
}

async fn document(client: &Client, path: &str) -> Result<serde_json::Value> {
    let json = [("Accept", "application/json")];
    Call::new("GET", path).headers(&json).json(client).await
}
