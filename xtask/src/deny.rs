//! `cargo xtask deny`: licences, banned crates and sources with a pinned cargo-deny, and unused
//! dependencies with a pinned cargo-machete.

use anyhow::Result;

use crate::run::{self, cargo, step};
use crate::tools::installed;

/// The release for which the rules in `deny.toml` are written.
const DENY: &str = "0.20.2";

/// Reports a dependency whose name does not occur in the sources of the package that declares it.
const MACHETE: &str = "0.9.1";

/// Checks the dependency graph offline.
pub(crate) fn run() -> Result<()> {
    let deny = installed("cargo-deny", DENY)?;
    let machete = installed("cargo-machete", MACHETE)?;
    // Builds fetch only crates of their platform; the rules need the crates of all platforms.
    step("fetch crates", &mut cargo(&["fetch", "--locked"]))?;
    let mut check = run::command(deny);
    check.args([
        "--offline",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]);
    step("dependency rules", &mut check)?;
    let mut unused = run::command(machete);
    unused.arg("--skip-target-dir");
    step("unused dependencies", &mut unused)
}
