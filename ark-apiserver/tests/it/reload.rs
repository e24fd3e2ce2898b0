//! Reload of manifests without a restart.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::program::{Program, command, eventually, standalone};

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
    let rejected_reloads = "ark_manifest_reloads_total{result=\"failure\"} 1\n";
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

/// Two polls of the files, and their reload.
const POLLED: Duration = Duration::from_secs(75);

#[tokio::test]
async fn changed_files_are_loaded_without_signal() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = directory.path().join("kinds");
    let at = |name: &str| kinds.join(name);
    std::fs::create_dir_all(at("..1")).unwrap();
    std::fs::create_dir(at("..2")).unwrap();
    write(&at("..1"), &manifest("v1"));
    write(&at("..2"), &manifest("v2"));
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/foos.yaml", at("foos.yaml")).unwrap();
    let data = directory.path().join("data");
    let program = Program::start(&data, &["--resources", kinds.to_str().unwrap()]);
    let admin = program.admin();
    let serves = async |path: &str| admin.get(path).await.0 == 200;
    assert!(serves("/apis/x.io/v1").await);

    std::os::unix::fs::symlink("..2", at("..tmp")).unwrap();
    std::fs::rename(at("..tmp"), at("..data")).unwrap();
    eventually("v2 is served", POLLED, async || {
        serves("/apis/x.io/v2").await
    })
    .await;
    // Counted after the new definitions are served.
    let reloads = "ark_manifest_reloads_total{result=\"success\"} 1\n";
    eventually("it was counted", SOON, async || {
        admin.get("/metrics").await.1.contains(reloads)
    })
    .await;
    program.signal(Signal::INT);
    assert!(program.ended().0.success());
}

#[tokio::test]
async fn removed_kind_is_logged_with_number_of_its_objects() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = directory.path().join("kinds");
    std::fs::create_dir(&kinds).unwrap();
    write(&kinds, &manifest("v1"));
    let data = directory.path().join("data");
    let log = directory.path().join("log");
    let mut command = standalone(command(&[]), &data);
    command.args(["--resources", kinds.to_str().unwrap()]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let program = Program::run(command, &data, |_| ());
    let admin = program.admin();
    for name in ["a", "b"] {
        let foo = format!(
            "{{\"apiVersion\":\"x.io/v1\",\"kind\":\"Foo\",\"metadata\":{{\"name\":\"{name}\"}}}}"
        );
        let path = "/apis/x.io/v1/namespaces/default/foos";
        let created = admin.send("POST", path, foo).await.unwrap();
        assert_eq!(created.0, 201, "{}", created.1);
    }
    let other = manifest("v1").replace("foos", "bars").replace("Foo", "Bar");
    write(&kinds, &other);
    program.signal(Signal::HUP);
    eventually("foos are not served", SOON, async || {
        admin.get("/apis/x.io/v1/foos").await.0 == 404
    })
    .await;
    program.signal(Signal::INT);
    assert!(program.ended().0.success());
    let log = std::fs::read_to_string(&log).unwrap();
    let line = log.lines().find(|line| line.contains("no longer served"));
    let line = line.unwrap_or_else(|| panic!("no warning in {log}"));
    for part in ["WARN", "foos.x.io", "objects=2"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}
