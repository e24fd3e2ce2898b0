//! Reload of manifests without a restart.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::program::{Program, eventually};

const SOON: Duration = Duration::from_secs(10);

fn manifest(version: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {{name: foos.x.io}}\nspec: {{group: x.io, scope: Namespaced, \
         names: {{plural: foos, kind: Foo}}, versions: [{{name: {version}, served: true, \
         storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]}}\n"
    )
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("foos.yaml"), text).unwrap();
}

#[tokio::test]
async fn sighup_loads_valid_manifests_and_rejects_invalid_ones() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = directory.path().join("kinds");
    std::fs::create_dir(&kinds).unwrap();
    write(&kinds, &manifest("v1"));
    let data = directory.path().join("data");
    let program = Program::start(&data, &["--resources", kinds.to_str().unwrap()]);
    let admin = program.admin();
    let serves = async |path: &str| admin.get(path).await.0 == 200;
    assert!(serves("/apis/x.io/v1").await);

    write(&kinds, &manifest("v2"));
    program.signal(Signal::HUP);
    eventually("v2 is served", SOON, async || serves("/apis/x.io/v2").await).await;
    assert!(!serves("/apis/x.io/v1").await);
    assert!(serves("/openapi/v3/apis/x.io/v2").await);
    assert!(serves("/readyz").await);

    let bad = kinds.join("bad.yaml");
    std::fs::write(&bad, "kind: Nonsense\n").unwrap();
    write(&kinds, &manifest("v3"));
    program.signal(Signal::HUP);
    let rejected_reloads = "ark_manifest_reloads_total{result=\"refused\"} 1\n";
    eventually("it was rejected", SOON, async || {
        admin.get("/metrics").await.1.contains(rejected_reloads)
    })
    .await;
    assert!(serves("/apis/x.io/v2").await, "the old set remains");
    assert!(!serves("/apis/x.io/v3").await);

    std::fs::remove_file(&bad).unwrap();
    program.signal(Signal::HUP);
    eventually("v3 is served", SOON, async || serves("/apis/x.io/v3").await).await;
    program.signal(Signal::INT);
    assert!(program.ended().0.success());
}
