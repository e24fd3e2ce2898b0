//! Installation, upgrades, rollback and uninstallation by Helm itself.

use anyhow::{Context as _, Result};
use serde_json::Value;

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

/// Runs the steps, and uninstalls. Does so twice: the second installation finds the claim of the
/// first.
///
/// # Errors
/// If kube-apiserver cannot be reached.
pub(crate) async fn check(cluster: &Cluster, helm: &Helm, report: &mut Report) -> Result<()> {
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
