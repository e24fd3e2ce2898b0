//! `cargo xtask test`: the required checks, cheapest first.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::run::{self, bin_dir, cargo, step};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the steps whose name contains this text.
    #[arg(long)]
    only: Option<String>,
    /// List the steps and exit.
    #[arg(long)]
    list: bool,
}

struct Step {
    name: &'static str,
    command: Command,
}

/// Runs the steps in order; the first failure ends the run.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |step: &Step| {
        options
            .only
            .as_deref()
            .is_none_or(|only| step.name.contains(only))
    };
    // A short prefix, because the paths of Unix sockets are limited to 107 bytes. Deleted at the
    // end.
    let scratch = tempfile::Builder::new().prefix("ark-").tempdir()?;
    let steps: Vec<Step> = steps(scratch.path()).into_iter().filter(wanted).collect();
    ensure!(
        !steps.is_empty(),
        "no step matches --only; --list prints all steps"
    );
    let count = steps.len();
    for mut one in steps {
        if options.list {
            println!("{}", one.name);
        } else {
            step(one.name, &mut one.command)?;
        }
    }
    println!("{count} passed, 0 failed");
    Ok(())
}

fn steps(scratch: &Path) -> Vec<Step> {
    let mut steps = of_the_workspace();
    steps.extend(of_the_programs(scratch));
    steps
}

/// Checks of the sources, the build and the tests.
fn of_the_workspace() -> Vec<Step> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    vec![
        Step {
            name: "format",
            command: cargo(&["fmt", "--all", "--check"]),
        },
        Step {
            name: "lints",
            command: cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        },
        Step {
            name: "documentation",
            command: doc,
        },
        Step {
            name: "dependency rules",
            command: cargo(&["xtask", "deny"]),
        },
        Step {
            name: "lint and compatibility of the protocol",
            command: cargo(&["xtask", "proto"]),
        },
        Step {
            // Built with the tests, because the tests' dependencies change the features of the
            // programs' dependencies.
            name: "build",
            command: cargo(&["build", "--workspace", "--bins", "--tests"]),
        },
        Step {
            name: "unit and integration tests",
            // One run shows every failure.
            command: cargo(&["test", "--workspace", "--no-fail-fast"]),
        },
    ]
}

/// Checks of the built programs.
fn of_the_programs(scratch: &Path) -> Vec<Step> {
    vec![
        Step {
            name: "conformance of backend-sqlite with kills",
            command: conformance(scratch),
        },
        Step {
            name: "conformance of backend-postgres with kills",
            command: conformance_on_postgres(scratch),
        },
        Step {
            // Skips itself, with a line that says so, where Python or its package index is missing.
            name: "conformance of the example driver in Python",
            command: cargo(&["xtask", "example-driver"]),
        },
        Step {
            name: "reference pages",
            command: cargo(&["xtask", "reference", "--check"]),
        },
        Step {
            // Skips the libraries whose language or registry is missing, with a line for each.
            name: "client libraries",
            command: cargo(&["xtask", "clients"]),
        },
        Step {
            name: "scenarios against a real kube-apiserver",
            command: binary("scenarios", &["run", "--engine", "both"]),
        },
        Step {
            name: "random writes against a real kube-apiserver",
            command: binary("scenarios", &["play", "--seconds", "60"]),
        },
        Step {
            name: "audit events of a real kube-apiserver",
            command: binary(
                "scenarios",
                &[
                    "audit",
                    "--filter",
                    "^(create|update|delete|deletecollection|status|scale|selectors|paging)/",
                ],
            ),
        },
        Step {
            // Skips the clients for Go, with a line that says so, where its modules are missing.
            name: "client libraries of server-side apply",
            command: binary("scenarios", &["clients"]),
        },
        Step {
            name: "scenarios over PostgreSQL",
            command: binary(
                "scenarios",
                &["run", "--engine", "both", "--backend", "postgres"],
            ),
        },
        Step {
            name: "Helm chart against a real kube-apiserver",
            command: binary("ark-chart", &[]),
        },
        Step {
            // Skips itself, with a line that says so, where Go is missing.
            name: "aggregation layer of a real control plane",
            command: binary("ark-cluster", &["run"]),
        },
        Step {
            name: "hostile clients",
            // The slack of the load checks, for the same reason.
            command: binary("ark-hostile", &["run", "--seconds", "0.5", "--slack", "5"]),
        },
        Step {
            name: "load checks",
            // `ark-check` enforces time limits on a machine of known speed; here only a wide excess
            // is a failure.
            command: binary("ark-check", &["all", "--slack", "5"]),
        },
    ]
}

fn binary(name: &str, args: &[&str]) -> Command {
    let mut command = run::command(bin_dir().join(name));
    command.args(args);
    command
}

/// The suite against the real program, which it kills and restarts under load.
fn conformance(scratch: &Path) -> Command {
    let driver = bin_dir().join("backend-sqlite");
    let endpoint = format!("unix://{}/backend.sock", scratch.display());
    let restart = format!(
        "{} --listen {endpoint} --path {}/ark.db",
        driver.display(),
        scratch.display()
    );
    let empty = format!(
        "{} --listen $ENDPOINT --path $FOLDER/ark.db",
        driver.display()
    );
    let arguments = [
        "--endpoint",
        &endpoint,
        "--restart-command",
        &restart,
        "--empty-command",
        &empty,
    ];
    binary("backend-conformance", &arguments)
}

/// The same on a temporary PostgreSQL server, with further databases for the cases that need an
/// empty store.
fn conformance_on_postgres(scratch: &Path) -> Command {
    let path = |name: &str| bin_dir().join(name).display().to_string();
    let (testkit, driver) = (path("postgres-testkit"), path("backend-postgres"));
    let endpoint = format!("unix://{}/postgres.sock", scratch.display());
    let restart = format!("{driver} --listen {endpoint}");
    let empty = format!(
        "{testkit} --on $ARK_BACKEND_POSTGRES_DSN --database $(basename $FOLDER) -- \
         {driver} --listen $ENDPOINT"
    );
    let arguments = [
        "--fsync",
        "--",
        &path("backend-conformance"),
        "--endpoint",
        &endpoint,
        "--restart-command",
        &restart,
        "--empty-command",
        &empty,
    ];
    binary("postgres-testkit", &arguments)
}
