//! Client libraries of server-side apply, each as its users call it: two managers, a conflict, and
//! an apply with force.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::engine::go_module::GoModule;
use crate::report::print_line;
use crate::repository::Repository;

const NAMESPACE: &str = "clients";
/// Time for the modules of the Go program, which are about 40 MB.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(180);
/// Time for all requests of a program.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs every client library against a server.
///
/// # Errors
/// If one does not work. Those for Go are skipped, with a line that says so, where Go or its
/// modules are not available.
pub async fn check(engine: &Engine, repository: &Repository) -> Result<()> {
    engine.prepare_namespace(NAMESPACE).await?;
    kube_rs(engine).await.context("kube-rs")?;
    print_line(&format!("ok kube-rs on {}", engine.name));
    go(engine, repository).await
}

async fn kube_rs(engine: &Engine) -> Result<()> {
    let file = Kubeconfig::read_from(engine.admin_kubeconfig())?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await?;
    let client = kube::Client::try_from(config)?;
    let resource = ApiResource {
        group: "judge.example.com".to_owned(),
        version: "v1".to_owned(),
        api_version: "judge.example.com/v1".to_owned(),
        kind: "Widget".to_owned(),
        plural: "widgets".to_owned(),
    };
    let widgets: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
    let widget = |size: u32| {
        json!({
            "apiVersion": "judge.example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "kube-rs"},
            "spec": {"size": size},
        })
    };
    let apply = async |manager: &str, size: u32, force: bool| {
        let parameters = PatchParams::apply(manager);
        let parameters = if force {
            parameters.force()
        } else {
            parameters
        };
        let patch = Patch::Apply(widget(size));
        widgets.patch("kube-rs", &parameters, &patch).await
    };
    apply("first", 1, false).await?;
    match apply("second", 2, false).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let causes = status.details.map(|details| details.causes);
            let fields: Vec<String> = causes.into_iter().flatten().map(|it| it.field).collect();
            ensure!(fields == [".spec.size"], "conflicts at {fields:?}");
        }
        other => bail!("expected a conflict, got {other:?}"),
    }
    let forced = apply("second", 2, true).await?;
    let size = forced.data.pointer("/spec/size").cloned();
    ensure!(size == Some(Value::from(2)), "size {size:?}");
    let entries = forced.metadata.managed_fields.unwrap_or_default();
    let managers: Vec<Option<String>> = entries.into_iter().map(|it| it.manager).collect();
    ensure!(
        managers == [Some("second".to_owned())],
        "managers {managers:?}"
    );
    Ok(())
}

async fn go(engine: &Engine, repository: &Repository) -> Result<()> {
    let module = GoModule {
        folder: repository.root().join("scenarios/clients"),
        sources: &[
            "go.mod",
            "go.sum",
            "main.go",
            "widget.go",
            "dynamic.go",
            "typed.go",
            "controller.go",
        ],
        programs: &[("apply-clients", ".")],
    };
    let mut download = Command::new("go");
    download
        .args(["mod", "download"])
        .current_dir(&module.folder);
    download.kill_on_drop(true);
    let downloaded = timeout(DOWNLOAD_TIMEOUT, download.status()).await;
    if !downloaded.is_ok_and(|status| status.is_ok_and(|status| status.success())) {
        print_line(
            "skipped: client-go and controller-runtime, because Go or its modules are missing",
        );
        return Ok(());
    }
    let program = module.programs(print_line).await?.join("apply-clients");
    let mut command = Command::new(program);
    command
        .arg(NAMESPACE)
        .env("KUBECONFIG", engine.admin_kubeconfig())
        .kill_on_drop(true);
    let output = timeout(RUN_TIMEOUT, command.output())
        .await
        .context("the Go clients did not end in time")??;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines() {
        print_line(&format!("{line} on {}", engine.name));
    }
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
