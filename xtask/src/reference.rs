//! The reference pages in `docs/reference/`: flags, values of the chart, metrics and errors, from the
//! built programs, the chart and the sources.

mod errors;
mod metrics;
mod values;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{bin_dir, workspace_root};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fail if a page differs from what would be written.
    #[arg(long)]
    check: bool,
}

/// The programs and their commands, in the order of the page.
const COMMANDS: [(&str, &[&str]); 19] = [
    ("ark-apiserver", &["standalone"]),
    ("ark-apiserver", &["serve"]),
    ("backend-sqlite", &[]),
    ("backend-sqlite", &["backup"]),
    ("backend-sqlite", &["new-epoch"]),
    ("backend-postgres", &[]),
    ("backend-postgres", &["migrate"]),
    ("arkctl", &["backup"]),
    ("arkctl", &["restore"]),
    ("arkctl", &["copy"]),
    ("arkctl", &["status"]),
    ("arkctl", &["verify"]),
    ("arkctl", &["compact"]),
    ("arkctl", &["history"]),
    ("arkctl", &["fence"]),
    ("arkctl", &["import-crds"]),
    ("arkctl", &["export-crds"]),
    ("arkctl", &["adopt"]),
    ("arkctl", &["return"]),
];

const HEAD: &str = "# Flags

Written by `cargo xtask reference` from the programs. A flag with `[env: …]` can also be set by that environment
variable, which the flag overrides.
";

/// Writes the pages, or compares them with the files.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = workspace_root().join("docs/reference");
    std::fs::create_dir_all(&folder)?;
    let written = std::fs::read_to_string(folder.join("metrics.md")).unwrap_or_default();
    let pages = [
        ("flags.md", flags()?),
        ("values.md", values::page(&workspace_root())?),
        ("metrics.md", metrics::page(&written)?),
        ("errors.md", errors::page(&workspace_root())?),
    ];
    for (name, page) in pages {
        let path = folder.join(name);
        if options.check {
            compare(&path, &page)?;
        } else {
            std::fs::write(&path, page).with_context(|| format!("cannot write {name}"))?;
        }
    }
    Ok(())
}

fn compare(path: &Path, page: &str) -> Result<()> {
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let differs = || written.lines().zip(page.lines()).find(|(a, b)| a != b);
    ensure!(
        written == page,
        "{} is outdated: run `cargo xtask reference`; the first line that differs: {:?}",
        path.display(),
        differs()
    );
    Ok(())
}

fn flags() -> Result<String> {
    let mut page = String::from(HEAD);
    for (program, command) in COMMANDS {
        let name = [&[program], command].concat().join(" ");
        let help = help(program, command)?;
        page.push_str(&format!("\n## {name}\n\n```text\n{help}\n```\n"));
    }
    Ok(page)
}

/// The help of a command, as it is with an empty environment.
fn help(program: &str, command: &[&str]) -> Result<String> {
    let output = Command::new(bin_dir().join(program))
        .args(command)
        .arg("--help")
        .env_clear()
        .output()
        .with_context(|| format!("cannot run {program}: build the workspace first"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        command.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_end().to_owned())
}
