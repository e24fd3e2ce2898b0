//! `cargo xtask deny`: licences, banned crates and sources, with a pinned cargo-deny.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::run::{self, cargo, step};

/// The release that the rules in `deny.toml` are written for.
const VERSION: &str = "0.20.2";

/// Checks the dependency graph offline; builds cargo-deny once if this machine lacks it.
pub(crate) fn run() -> Result<()> {
    let tools = cache_dir()?.join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        let mut install = cargo(&[
            "install",
            "cargo-deny",
            "--locked",
            "--version",
            VERSION,
            "--root",
        ]);
        // Its own target directory: the workspace's is locked by the command that runs us.
        install
            .arg(&tools)
            .env("CARGO_TARGET_DIR", tools.join("target"));
        step("build cargo-deny", &mut install)?;
        std::fs::remove_dir_all(tools.join("target")).context("cargo-deny's build output")?;
    }
    // Builds fetch what their platform needs; the rules look at every platform's crates.
    step("fetch crates", &mut cargo(&["fetch", "--locked"]))?;
    let mut check = run::command(program);
    check.args([
        "--offline",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]);
    step("dependency rules", &mut check)
}

fn cache_dir() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("ark-apiserver"))
}
