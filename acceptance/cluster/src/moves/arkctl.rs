//! The program `arkctl` against the cluster.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::world::World;

const TIMEOUT: Duration = Duration::from_secs(180);

/// Starts arkctl for Ark's group.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn start(world: &World, command: &str, extra: &[&str]) -> Result<Child> {
    let gateway = &world.cluster.gateway;
    let folder = world.folder.path();
    let file = |name: &str| folder.join(name).display().to_string();
    let store = format!("unix://{}", file("backend.sock"));
    let mut arguments: Vec<String> = vec![
        command.to_owned(),
        "--kubeconfig".to_owned(),
        world.admin_kubeconfig()?.display().to_string(),
        "--gateway".to_owned(),
        format!("https://{}", gateway.options.address),
        "--gateway-ca".to_owned(),
        file("serving-ca.crt"),
    ];
    if command == "return" {
        let etcd = world.cluster.control_plane.store().to_owned();
        arguments.extend(["--from".to_owned(), store, "--etcd".to_owned(), etcd]);
    } else {
        arguments.extend(["--to".to_owned(), store]);
    }
    let program: PathBuf = gateway.options.program.with_file_name("arkctl");
    Command::new(&program)
        .args(arguments)
        .args(extra)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Runs arkctl; returns what it printed.
///
/// # Errors
/// With its output, if it fails.
pub(crate) async fn run(world: &World, command: &str, extra: &[&str]) -> Result<String> {
    let ended = timeout(TIMEOUT, start(world, command, extra)?.wait_with_output()).await;
    let output = ended.with_context(|| format!("arkctl {command}: no end in {TIMEOUT:?}"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    if !output.status.success() {
        bail!("arkctl {command}: {out}{errors}");
    }
    Ok(out)
}
