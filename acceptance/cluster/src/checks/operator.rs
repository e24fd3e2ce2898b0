//! An operator in Ark's shape, `acceptance/clients/go/operator`: what it and its driver observe of the
//! gateway and of CRDs.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use scenarios::engine::go_module::GoModule;
use scenarios::engine::kube_apiserver;
use scenarios::report::print_line;
use scenarios::repository::{Repository, files_below};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::call::Call;
use crate::poll::until;
use crate::world::World;

/// Group that ark-apiserver serves.
const OURS: &str = "ark.mckinsey.com";
/// Group of the same kinds as CRDs. As long as the other, so that sizes are equal.
const PEER: &str = "ark.examples.org";
/// Faults of the operator that the comparison must notice, and an observation that shows each.
const MUTANTS: [(&str, &str); 2] = [
    ("no-warnings", "model with deprecated type"),
    ("other-order", "agent with model"),
];

/// Time for one run of the operator.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);
/// Time until the CRDs are deleted.
const DELETION_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the operator against both groups at the same time, and once with faults.
pub(super) async fn as_crds(world: &mut World) -> Result<String> {
    let world = &*world;
    let repository = Repository::find()?;
    let program = Operator::build(world, &repository).await?;
    let definitions = definitions(&repository)?;
    kube_apiserver::define(&world.admin, &definitions).await?;
    let (ours, peer) = tokio::try_join!(
        program.run(OURS, "operator-a", &[]),
        program.run(PEER, "operator-b", &[]),
    )?;
    let differences = differences(&ours, &peer);
    ensure!(
        differences.is_empty(),
        "{}",
        differences
            .iter()
            .map(|(_, text)| text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    );
    let names = MUTANTS.map(|(name, _)| name);
    let mutants = program.run(PEER, "operator-c", &names).await?;
    let noticed = self::differences(&mutants, &peer);
    for (mutant, title) in MUTANTS {
        ensure!(
            noticed.iter().any(|(noticed, _)| noticed == title),
            "the comparison did not notice the fault {mutant} in {title:?}"
        );
    }
    clear(world, &definitions).await?;
    Ok(format!(
        "{} equal observations; {} noticed faults",
        ours.len(),
        MUTANTS.len()
    ))
}

/// The program and its access to the cluster.
struct Operator {
    program: std::path::PathBuf,
    kubeconfig: std::path::PathBuf,
}

impl Operator {
    async fn build(world: &World, repository: &Repository) -> Result<Self> {
        let module = GoModule {
            folder: repository.root().join("acceptance/clients/go"),
            sources: &[
                "go.mod",
                "go.sum",
                "operator/main.go",
                "operator/webhooks.go",
                "operator/reconcilers.go",
                "operator/driver.go",
                "operator/sequence.go",
            ],
            programs: &[("operator", "./operator")],
        };
        Ok(Self {
            program: module.programs(print_line).await?.join("operator"),
            kubeconfig: world.admin_kubeconfig()?,
        })
    }

    /// The observations of one run, in order.
    async fn run(&self, group: &str, namespace: &str, mutants: &[&str]) -> Result<Vec<Value>> {
        let mut command = Command::new(&self.program);
        command
            .args([group, namespace])
            .args(mutants)
            .env("KUBECONFIG", &self.kubeconfig)
            .kill_on_drop(true);
        let output = timeout(RUN_TIMEOUT, command.output())
            .await
            .with_context(|| format!("the operator of {group} did not end in time"))??;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        let errors = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = errors.lines().rev().take(5).collect();
        ensure!(
            output.status.success(),
            "operator of {group}: {}\nlast observation: {last}\nlog, newest first:\n{}",
            output.status,
            errors.join("\n")
        );
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().context("observations")
    }
}

/// Titles of the observations that are not equal, with both.
fn differences(ours: &[Value], peer: &[Value]) -> Vec<(String, String)> {
    let title = |value: &Value| value["title"].as_str().unwrap_or_default().to_owned();
    let titles: BTreeSet<String> = ours.iter().chain(peer).map(title).collect();
    let of = |all: &[Value], wanted: &str| -> Vec<String> {
        let wanted = all.iter().filter(|value| value["title"] == wanted);
        wanted.map(Value::to_string).collect()
    };
    let different = titles.into_iter().filter_map(|title| {
        let (ours, peer) = (of(ours, &title), of(peer, &title));
        let text = format!("{}\ninstead of {}", ours.join(" "), peer.join(" "));
        (ours != peer).then_some((title, text))
    });
    different.collect()
}

/// Ark's kinds as CRDs.
fn definitions(repository: &Repository) -> Result<Vec<Value>> {
    let mut definitions = Vec::new();
    for file in files_below(&repository.ark_kinds(), &["yaml"])? {
        let text = std::fs::read_to_string(&file)?.replace(OURS, PEER);
        definitions.extend(serde_saphyr::from_multiple::<Value>(&text)?);
    }
    Ok(definitions)
}

/// Deletes the CRDs, and the namespaces of the runs, which have no objects of ours left.
async fn clear(world: &World, definitions: &[Value]) -> Result<()> {
    for namespace in ["operator-a", "operator-b", "operator-c"] {
        let path = format!("/api/v1/namespaces/{namespace}");
        Call::new("DELETE", &path).json(&world.admin).await?;
    }
    for definition in definitions {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        Call::new("DELETE", &path).json(&world.admin).await?;
        until(DELETION_TIMEOUT, async || {
            let status = Call::new("GET", &path).send(&world.admin).await?.status;
            Ok(if status == 404 {
                Ok(())
            } else {
                Err(format!("{name} still exists"))
            })
        })
        .await?;
    }
    Ok(())
}
