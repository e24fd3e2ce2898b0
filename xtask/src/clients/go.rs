//! Programs in Go. `go.sum` has the hashes of their modules.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Program;
use crate::python::last_line;
use crate::run::step;

/// The programs, by the names of their folders.
const NAMES: [&str; 2] = ["client-go", "controller-runtime"];

/// Builds the programs of a module into a folder; none where Go or its modules are missing, with a
/// line that says so.
pub(super) fn programs(module: &Path, programs: &Path) -> Result<Vec<Program>> {
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.current_dir(module).args(arguments);
        // Other versions than those of go.mod are an error.
        command.env("GOFLAGS", "-mod=readonly");
        command
    };
    let found = go(&["version"]).output();
    if !found.is_ok_and(|found| found.status.success()) {
        println!("skipped: no go, so no client-go and no controller-runtime");
        return Ok(Vec::new());
    }
    println!("==> download the modules of {}", module.display());
    let downloaded = go(&["mod", "download"]).output()?;
    if !downloaded.status.success() {
        let reason = last_line(&downloaded.stderr);
        println!(
            "skipped: the modules of {} are missing: {reason}",
            module.display()
        );
        return Ok(Vec::new());
    }
    // The flags of the reference's build, so that both share packages in Go's cache.
    let mut build = go(&["build", "-trimpath", "-o"]);
    build.env("CGO_ENABLED", "0");
    build
        .arg(programs)
        .args(NAMES.map(|name| format!("./{name}")));
    step("build client-go and controller-runtime", &mut build)?;
    let built = NAMES.map(|name| Program {
        name: name.to_owned(),
        command: Command::new(programs.join(name)),
    });
    Ok(built.into())
}
