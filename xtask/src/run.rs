//! Runs other programs, prints each before its start, and fails if one fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

/// Root of the workspace.
pub(crate) fn workspace_root() -> PathBuf {
    // Cargo sets the variable when it runs a program. A program in a shared output folder may have
    // been built from another clone.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest)
        .parent()
        .map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Cargo's output folder.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace_root().join("target"), PathBuf::from)
}

/// Cargo's output folder of the profile that quickstart, tests and acceptance suites share.
pub(crate) fn bin_dir() -> PathBuf {
    target_dir().join("debug")
}

/// Gigabytes that can still be written into `folder`, which must exist.
pub(crate) fn free_gigabytes(folder: &Path) -> Result<u64> {
    let volume = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot read the free space of {}", folder.display()))?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize) / 1_000_000_000)
}

/// A command in the workspace's root.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace_root());
    command
}

/// `cargo` with arguments, in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Runs a step to its end and prints its duration, and the space that its files left.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("==> {name}");
    let started = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("{name}: cannot start {:?}", command.get_program()))?;
    let free = free_gigabytes(&target_dir())?;
    ensure!(
        status.success(),
        "{name} failed: {status}; {free} GB are free"
    );
    println!(
        "==> {name}: {:.1} s, {free} GB free",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
