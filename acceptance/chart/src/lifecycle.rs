//! Installation, upgrades, rollback and uninstallation by Helm itself.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cases::POSTGRESQL;
use crate::cluster::Cluster;
use crate::helm::Helm;
use crate::object::Object;
use crate::report::Report;

const COPY: &[&str] = &[POSTGRESQL, "storage: {copyFrom: sqlite}"];
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ark-system/deployments/ark-apiserver";

/// Command, values, and the number of replicas afterwards.
const STEPS: &[(&[&str], &[&str], u64)] = &[
    (&["install", "ark", "CHART"], &["{}"], 1),
    (&["upgrade", "ark", "CHART", "--reset-values"], COPY, 1),
    (
        &["upgrade", "ark", "CHART", "--reset-values"],
        &[POSTGRESQL],
        2,
    ),
    (&["rollback", "ark", "1"], &[], 1),
];

/// An APIService that Helm does not own, as kube-apiserver makes for a CRD.
const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const GROUP_VERSION: &str = "v1alpha1.ark.mckinsey.com";

/// Installs beside CRDs of the group.
async fn beside_crds(cluster: &Cluster, helm: &Helm, report: &mut Report) -> Result<()> {
    let kubeconfig = cluster.folder.path().join("admin.kubeconfig");
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": GROUP_VERSION},
        "spec": {"group": "ark.mckinsey.com", "version": "v1alpha1",
            "groupPriorityMinimum": 1000, "versionPriority": 100},
    });
    let path = format!("{API_SERVICE}/{GROUP_VERSION}");
    let sent = cluster
        .client
        .json("POST", API_SERVICE, Some(&object))
        .await?;
    report.expect("beside CRDs", sent.0 == 201, || sent.1.to_string());
    let install = ["install", "ark", "CHART"];
    let registering = helm.release(&kubeconfig, &install, &["{}"]).await;
    let text = registering.err().map(|error| error.to_string());
    let refused = text
        .as_ref()
        .is_some_and(|it| it.contains("invalid ownership"));
    report.expect("beside CRDs, registering", refused, || format!("{text:?}"));
    let values = ["apiService: {create: false}"];
    let done = helm.release(&kubeconfig, &install, &values).await;
    report.record("beside CRDs, install", done);
    let found = cluster.get(&path).await?;
    let kept = found["spec"]["service"].is_null();
    report.expect("beside CRDs", kept, || found.to_string());
    let done = helm.release(&kubeconfig, &["uninstall", "ark"], &[]).await;
    report.record("beside CRDs, uninstall", done);
    let found = cluster.get(&path).await?;
    report.expect("beside CRDs", found["kind"] == "APIService", || {
        found.to_string()
    });
    cluster.client.json("DELETE", &path, None).await?;
    Ok(())
}

/// Runs the steps, and uninstalls. Does so twice: the second installation finds the claim of the
/// first.
///
/// # Errors
/// If kube-apiserver cannot be reached.
pub(crate) async fn check(cluster: &Cluster, helm: &Helm, report: &mut Report) -> Result<()> {
    beside_crds(cluster, helm, report).await?;
    let kubeconfig = cluster.folder.path().join("admin.kubeconfig");
    for round in 1..=2 {
        let name = |step: &str| format!("helm {step}, round {round}");
        for (command, values, replicas) in STEPS {
            let done = helm.release(&kubeconfig, command, values).await;
            report.record(&name(command[0]), done);
            let found = cluster.get(DEPLOYMENT).await;
            let found = found.map_or(Value::Null, |it| it["spec"]["replicas"].clone());
            report.expect(&name(command[0]), found == *replicas, || {
                format!("replicas {found}")
            });
        }
        let done = helm.release(&kubeconfig, &["uninstall", "ark"], &[]).await;
        report.record(&name("uninstall"), done);
        // What either driver had.
        for object in Object::parse(&helm.template(COPY).await?)? {
            let path = object.path()?;
            let response = cluster.client.json("GET", &path, None).await;
            let (status, _) = response.with_context(|| path.clone())?;
            let kept = object.kind() == "PersistentVolumeClaim";
            report.expect(
                &name("uninstall"),
                status == if kept { 200 } else { 404 },
                || format!("{path}: {status}"),
            );
        }
    }
    Ok(())
}
