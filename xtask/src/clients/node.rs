//! Programs for Node.js. `package-lock.json` has the hashes of their packages.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Program;
use crate::python::last_line;
use crate::tools::cache_dir;

/// Exit code 1 for a version that the library does not support.
const PROBE: &str = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";
const SCRIPT: &str = "client_node.js";
const PACKAGES: [&str; 2] = ["package.json", "package-lock.json"];

/// The script beside its packages, which are installed in the cache; none where Node.js or the
/// registry is missing, with a line that says so.
pub(super) fn programs(folder: &Path) -> Result<Vec<Program>> {
    let probes = [
        Command::new("node").args(["-e", PROBE]).output(),
        Command::new("npm").arg("--version").output(),
    ];
    let found = |probe: &std::io::Result<std::process::Output>| {
        probe.as_ref().is_ok_and(|probe| probe.status.success())
    };
    if !probes.iter().all(found) {
        println!("skipped: no Node.js of version 20 or newer with npm, so no client-node");
        return Ok(Vec::new());
    }
    let mut key = DefaultHasher::new();
    for package in PACKAGES {
        let text = std::fs::read(folder.join(package));
        text.with_context(|| format!("cannot read {package}"))?
            .hash(&mut key);
    }
    let cache = cache_dir()?.join("node");
    let ready = cache.join(format!("{:016x}", key.finish()));
    if !ready.exists() {
        std::fs::create_dir_all(&cache)?;
        let partial = tempfile::Builder::new()
            .prefix("partial-")
            .tempdir_in(&cache)?;
        for package in PACKAGES {
            std::fs::copy(folder.join(package), partial.path().join(package))?;
        }
        println!("==> install the packages of {}", folder.display());
        let installed = Command::new("npm")
            .current_dir(partial.path())
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .args(["--fetch-timeout=15000", "--fetch-retries=2"])
            .output()?;
        let errors = String::from_utf8_lossy(&installed.stderr);
        ensure!(
            !errors.contains("EINTEGRITY"),
            "a package differs from its hash in package-lock.json:\n{errors}"
        );
        if !installed.status.success() {
            let reason = last_line(&installed.stderr);
            println!("skipped: the packages of client-node cannot be installed: {reason}");
            return Ok(Vec::new());
        }
        // Fails if another process was faster, which installed the same.
        let moved = std::fs::rename(partial.path(), &ready);
        ensure!(
            moved.is_ok() || ready.exists(),
            "cannot create {}: {moved:?}",
            ready.display()
        );
    }
    // Modules are found from the folder of the script.
    std::fs::copy(folder.join(SCRIPT), ready.join(SCRIPT))?;
    let mut command = Command::new("node");
    command.arg(ready.join(SCRIPT));
    Ok(vec![Program {
        name: "client-node".to_owned(),
        command,
    }])
}
