//! `cargo xtask clients`: the program of each client library, against a standalone server or the
//! reference.

mod go;
mod node;
mod reference;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use self::reference::Reference;
use crate::python;
use crate::quickstart::Server;
use crate::run::{self, bin_dir, step, workspace_root};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run against the reference, a real kube-apiserver, to check the programs themselves.
    #[arg(long)]
    reference: bool,
    /// Run only the programs whose name contains this text.
    #[arg(long)]
    only: Option<String>,
}

/// A program that uses one client library; it reads `KUBECONFIG`.
struct Program {
    name: String,
    command: Command,
}

/// The server that the programs use.
enum Engine {
    Standalone(Server),
    Reference(Reference),
}

/// Builds the programs, and runs them one after the other.
pub(crate) fn run(options: &Options) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("ark-clients-").tempdir()?;
    let folder = workspace_root().join("acceptance/clients");
    let mut programs = in_python(&folder, scratch.path())?;
    programs.extend(go::programs(&folder.join("go"), scratch.path())?);
    programs.extend(node::programs(&folder.join("node"))?);
    programs.push(Program {
        name: "kube-rs".to_owned(),
        command: run::command(bin_dir().join("client-kube-rs")),
    });
    if let Some(only) = &options.only {
        programs.retain(|program| program.name.contains(only.as_str()));
    }
    ensure!(!programs.is_empty(), "no program matches --only");
    let (mut engine, kubeconfig) = if options.reference {
        let (reference, kubeconfig) = Reference::start()?;
        (Engine::Reference(reference), kubeconfig)
    } else {
        let data = scratch.path().join("data");
        let server = Server::start(&data)?;
        (Engine::Standalone(server), data.join("kubeconfig"))
    };
    for Program { name, mut command } in programs {
        step(&name, command.env("KUBECONFIG", &kubeconfig))?;
    }
    match &mut engine {
        Engine::Standalone(server) => server.stop(),
        Engine::Reference(reference) => reference.stop(),
    }
}

/// The scripts in Python; none where it or its packages are missing.
fn in_python(folder: &Path, modules: &Path) -> Result<Vec<Program>> {
    let Some(environment) = python::Environment::of(&folder.join("requirements.txt"))? else {
        return Ok(Vec::new());
    };
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    scripts.retain(|path| path.extension() == Some(OsStr::new("py")));
    scripts.sort();
    let programs = scripts.into_iter().map(|script| {
        let name = script.file_stem().unwrap_or(script.as_os_str());
        let name = name.to_string_lossy().into_owned();
        let mut command = environment.command(modules);
        command.arg(&script);
        Program { name, command }
    });
    Ok(programs.collect())
}
