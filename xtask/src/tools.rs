//! Programs of other projects, built once and stored in the cache folder.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::run::{self, cargo, step};

/// Path of a program at this version; installs it with `cargo install` if it is missing.
pub(crate) fn installed(name: &str, version: &str) -> Result<PathBuf> {
    let tools = cache_dir()?.join("tools").join(format!("{name}-{version}"));
    let program = tools.join("bin").join(name);
    if !program.is_file() {
        let mut install = cargo(&["install", name, "--locked", "--version", version, "--root"]);
        // A separate target directory, because the running command holds the lock of the
        // workspace's.
        install
            .arg(&tools)
            .env("CARGO_TARGET_DIR", tools.join("target"));
        step(&format!("build {name}"), &mut install)?;
        std::fs::remove_dir_all(tools.join("target"))
            .with_context(|| format!("build output of {name}"))?;
    }
    Ok(program)
}

/// As [`installed`], for a program in Go; `None` where Go is missing.
pub(crate) fn go_installed(name: &str, package: &str, version: &str) -> Result<Option<PathBuf>> {
    let folder = cache_dir()?.join("tools").join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    if program.is_file() {
        return Ok(Some(program));
    }
    let mut probe = run::command("go");
    if !probe
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Ok(None);
    }
    let mut install = run::command("go");
    install
        .arg("install")
        .arg(format!("{package}@v{version}"))
        .env("GOBIN", folder.join("bin"));
    step(&format!("build {name}"), &mut install)?;
    Ok(Some(program))
}

/// The folder for programs and packages that are expensive to get.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("ark-apiserver"))
}
