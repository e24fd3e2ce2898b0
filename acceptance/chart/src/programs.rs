//! The flags that the chart passes exist in the programs that it starts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::cases::Case;
use crate::object::{Object, only};
use crate::rendered::items;
use crate::report::Report;

/// Outputs of `--help`, by program and subcommand.
#[derive(Debug, Default)]
pub(crate) struct Helps(BTreeMap<Invocation, String>);

/// A program and its subcommand.
type Invocation = (&'static str, Option<&'static str>);

/// Checks the arguments of each container with a program of this repository.
pub(crate) async fn check(
    helps: &mut Helps,
    case: &Case,
    objects: &[Object],
    report: &mut Report,
) -> Result<()> {
    let pod = &only(objects, "Deployment")?.value["spec"]["template"]["spec"];
    for container in items(&pod["initContainers"]).chain(items(&pod["containers"])) {
        let image = container["image"].as_str().unwrap_or_default();
        let name = container["name"].as_str().unwrap_or_default();
        let Some((program, subcommand)) = program(name, image) else {
            continue;
        };
        let help = helps.of(program, subcommand).await?;
        for argument in items(&container["args"]).filter_map(|it| it.as_str()) {
            let Some(flag) = argument.strip_prefix("--") else {
                let known = Some(argument) == subcommand;
                report.expect(&case.name, known, || format!("{name}: argument {argument}"));
                continue;
            };
            let flag = format!("--{}", flag.split('=').next().unwrap_or_default());
            let exists = help.split([' ', ',', '\n', '[']).any(|word| word == flag);
            report.expect(&case.name, exists, || {
                format!("{program} has no flag {flag}")
            });
        }
        for variable in items(&container["env"]).filter_map(|it| it["name"].as_str()) {
            let exists = !variable.starts_with("ARK_") || help.contains(variable);
            report.expect(&case.name, exists, || {
                format!("{program} does not read {variable}")
            });
        }
    }
    Ok(())
}

/// Program and subcommand of a container, if the program is of this repository.
fn program(container: &str, image: &str) -> Option<Invocation> {
    match container {
        "gateway" => Some(("ark-apiserver", Some("serve"))),
        "copy" => Some(("arkctl", Some("copy"))),
        "migrate" => Some(("backend-postgres", Some("migrate"))),
        _ if image.contains("backend-sqlite") => Some(("backend-sqlite", None)),
        _ if image.contains("backend-postgresql") => Some(("backend-postgres", None)),
        _ => None,
    }
}

impl Helps {
    /// The output of `--help` of the program beside this one.
    async fn of(
        &mut self,
        program: &'static str,
        subcommand: Option<&'static str>,
    ) -> Result<&str> {
        let text = match self.0.entry((program, subcommand)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(help(program, subcommand).await?),
        };
        Ok(text)
    }
}

async fn help(program: &str, subcommand: Option<&str>) -> Result<String> {
    let path: PathBuf = std::env::current_exe()?.with_file_name(program);
    let output = Command::new(&path)
        .args(subcommand)
        .arg("--help")
        .env_clear()
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {}: build it first", path.display()))?;
    ensure!(output.status.success(), "{program} --help failed");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
