//! Upgrades from one driver to another, as `kubectl apply` and server-side apply perform them, beside
//! a gateway that writes into the Secret and the APIServices.

use anyhow::{Context as _, Result, ensure};
use scenarios::engine::reference::Reference;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cases::POSTGRESQL;
use crate::cluster::Cluster;
use crate::helm::{Helm, NAMESPACE};
use crate::object::Object;
use crate::report::Report;

/// Values of each step, and the resulting strategy and replicas.
const STEPS: &[(&[&str], &str, u64)] = &[
    (&["{}"], "Recreate", 1),
    (&[POSTGRESQL, "storage: {copyFrom: sqlite}"], "Recreate", 1),
    (&[POSTGRESQL], "RollingUpdate", 2),
    (
        &[
            POSTGRESQL,
            "storage: {driver: sqlite, copyFrom: postgresql, sqlite: {path: /data/ark-2.db}}",
        ],
        "Recreate",
        1,
    ),
    (
        &["storage: {sqlite: {path: /data/ark-2.db}}"],
        "Recreate",
        1,
    ),
];

const SECRET: &str = "/api/v1/namespaces/ark-system/secrets/ark-apiserver-tls";
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.ark.mckinsey.com";
const CLAIM: &str = "/api/v1/namespaces/ark-system/persistentvolumeclaims/ark-apiserver-data";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ark-system/deployments/ark-apiserver";

/// Applies all steps with both kinds of apply.
pub(crate) async fn check(
    cluster: &Cluster,
    helm: &Helm,
    reference: &Reference,
    report: &mut Report,
) -> Result<()> {
    for server_side in [false, true] {
        let mut claim = None;
        for (index, (values, strategy, replicas)) in STEPS.iter().enumerate() {
            let name = format!("upgrade {index}, server-side {server_side}");
            let manifest = helm.template(values).await?;
            let applied = apply(cluster, reference, &manifest, server_side).await;
            let failed = applied.is_err();
            report.record(&name, applied);
            if failed {
                break;
            }
            if index == 0 {
                write_as_gateway(cluster).await?;
                claim = Some(cluster.get(CLAIM).await?["metadata"]["uid"].clone());
            }
            let spec = cluster.get(DEPLOYMENT).await?["spec"].clone();
            let rolling = spec["strategy"].get("rollingUpdate").is_some();
            report.expect(
                &name,
                spec["strategy"]["type"] == *strategy && rolling == (*strategy == "RollingUpdate"),
                || format!("strategy {}", spec["strategy"]),
            );
            report.expect(&name, spec["replicas"] == *replicas, || {
                format!("replicas {}", spec["replicas"])
            });
            let secret = cluster.get(SECRET).await?["data"].clone();
            report.expect(&name, secret == json!({"tls.crt": "Y2VydA=="}), || {
                format!("the Secret has lost what the gateway wrote: {secret}")
            });
            let bundle = cluster.get(API_SERVICE).await?["spec"]["caBundle"].clone();
            report.expect(&name, bundle == BUNDLE, || {
                format!("the APIService has lost what the gateway wrote: {bundle}")
            });
            let kept = cluster.get(CLAIM).await?["metadata"]["uid"].clone();
            report.expect(&name, Some(&kept) == claim.as_ref(), || {
                "the claim was replaced".to_owned()
            });
        }
        remove(cluster, helm).await?;
    }
    let objects = Object::parse(&helm.template_with_tests(&["{}"]).await?)?;
    report.record("helm test", crate::sources::hooks(&objects));
    Ok(())
}

const BUNDLE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";

/// Writes what the gateway writes in the self-managed mode.
async fn write_as_gateway(cluster: &Cluster) -> Result<()> {
    let secret = json!({"data": {"tls.crt": "Y2VydA=="}});
    cluster.patch(SECRET, &secret).await?;
    let api_service = json!({"spec": {"caBundle": BUNDLE}});
    cluster.patch(API_SERVICE, &api_service).await
}

/// Runs `kubectl apply` on a manifest.
async fn apply(
    cluster: &Cluster,
    reference: &Reference,
    manifest: &str,
    server_side: bool,
) -> Result<()> {
    let folder = cluster.folder.path();
    let mut kubectl = Command::new(&reference.kubectl);
    kubectl
        .arg("--kubeconfig")
        .arg(folder.join("admin.kubeconfig"))
        .args(["apply", "-f", "-"])
        .arg(format!("--server-side={server_side}"))
        .env("HOME", folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    let mut child = kubectl.spawn().context("cannot start kubectl")?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(manifest.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "kubectl apply: {message}");
    Ok(())
}

/// Deletes the objects of the last step, APIServices first, and asserts that none is left.
async fn remove(cluster: &Cluster, helm: &Helm) -> Result<()> {
    let values = [POSTGRESQL, "storage: {copyFrom: sqlite}"];
    let mut objects = Object::parse(&helm.template(&values).await?)?;
    objects.reverse();
    for object in objects {
        let (status, response) = cluster.client.json("DELETE", &object.path()?, None).await?;
        let known = matches!(status, 200 | 202 | 404);
        ensure!(known, "{}: {}", object.id(), response["message"]);
    }
    // Protection of claims ends by a controller, which does not run here.
    cluster
        .patch(CLAIM, &json!({"metadata": {"finalizers": null}}))
        .await
        .with_context(|| format!("claim in {NAMESPACE}"))
}
