//! Python programs under test: environments with pinned packages, and the example driver.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::run::{self, bin_dir, step, workspace_root};
use crate::tools::cache_dir;

/// Exit code 1 for a Python that the programs do not support; prints what else decides on packages.
const PROBE: &str = "import sys, sysconfig, venv, ensurepip
print(sys.executable, sys.version, sysconfig.get_platform())
sys.exit(sys.version_info < (3, 11))";
/// Timeout of a connection to the package index, in seconds, and number of further attempts.
const INDEX_TIMEOUT: &str = "15";
const INDEX_RETRIES: &str = "2";

/// An environment with the packages of a `requirements.txt`.
pub(crate) struct Environment {
    python: PathBuf,
}

/// Runs the tests of the example driver, and the conformance suite against it.
pub(crate) fn check_example_driver() -> Result<()> {
    let folder = workspace_root().join("examples/driver-python");
    let Some(environment) = Environment::of(&folder.join("requirements.txt"))? else {
        return Ok(());
    };
    // A short prefix, because the paths of Unix sockets are limited to 107 bytes.
    let scratch = tempfile::Builder::new().prefix("ark-py-").tempdir()?;
    let mut generate = environment.command(scratch.path());
    generate
        .args(["-m", "grpc_tools.protoc", "--proto_path=proto"])
        .arg(output("--python_out", scratch.path()))
        .arg(output("--grpc_python_out", scratch.path()))
        .arg("ark/backend/v1/backend.proto");
    step("generate the protocol's Python code", &mut generate)?;
    let mut tests = environment.command(scratch.path());
    // A store that cannot be opened is not closed either: its process ends.
    tests.args(["-W", "ignore::ResourceWarning", "-m", "unittest", "--quiet"]);
    tests.args(["test_store", "test_driver"]);
    tests.current_dir(&folder);
    step("tests of the example driver", &mut tests)?;

    let endpoint = format!("unix://{}/backend.sock", scratch.path().display());
    let driver = format!(
        "{} {}",
        environment.python.display(),
        folder.join("driver.py").display()
    );
    let mut suite = run::command(bin_dir().join("backend-conformance"));
    suite
        .env("PYTHONPATH", scratch.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["--endpoint", &endpoint, "--restart-command"])
        .arg(format!(
            "{driver} --listen {endpoint} --path {}/store.db",
            scratch.path().display()
        ))
        .arg("--empty-command")
        .arg(format!(
            "{driver} --listen $ENDPOINT --path $FOLDER/store.db"
        ));
    step("conformance of the example driver", &mut suite)
}

impl Environment {
    /// The environment of a `requirements.txt` with hashes, from the cache or from the package
    /// index. Prints a line and returns `None` where Python or the index is missing.
    ///
    /// # Errors
    /// If a package differs from its hash, or the cache folder cannot be written.
    pub(crate) fn of(requirements: &Path) -> Result<Option<Self>> {
        let name = requirements.display();
        let Some(identity) = supported_python() else {
            println!(
                "skipped: no python3 of version 3.11 or newer with the modules venv and ensurepip"
            );
            return Ok(None);
        };
        let mut key = DefaultHasher::new();
        identity.hash(&mut key);
        std::fs::read(requirements)
            .with_context(|| format!("cannot read {name}"))?
            .hash(&mut key);
        let folder = cache_dir()?.join("python");
        let ready = folder.join(format!("{:016x}", key.finish()));
        let environment = Self {
            python: ready.join("bin/python"),
        };
        if environment.python.exists() {
            return Ok(Some(environment));
        }
        // Renamed when complete, so that an interrupted installation is not used. The packages run
        // by `bin/python` alone, which works at another path.
        std::fs::create_dir_all(&folder)?;
        let partial = tempfile::Builder::new()
            .prefix("partial-")
            .tempdir_in(&folder)?;
        println!("==> install the packages of {name}");
        if let Some(reason) = install(requirements, partial.path())? {
            println!("skipped: the packages of {name} cannot be installed: {reason}");
            return Ok(None);
        }
        // Fails if another process was faster, which installed the same.
        let moved = std::fs::rename(partial.path(), &ready);
        ensure!(
            moved.is_ok() || environment.python.exists(),
            "cannot create {}: {moved:?}",
            ready.display()
        );
        Ok(Some(environment))
    }

    /// The interpreter, with further modules from a folder.
    pub(crate) fn command(&self, modules: &Path) -> Command {
        let mut command = run::command(&self.python);
        command
            .env("PYTHONPATH", modules)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// What decides on the packages of this machine's Python; `None` if it does not suffice.
fn supported_python() -> Option<Vec<u8>> {
    let probe = Command::new("python3").args(["-c", PROBE]).output().ok()?;
    probe.status.success().then_some(probe.stdout)
}

/// Installs packages into a new environment; returns the reason if the index does not provide them.
fn install(requirements: &Path, environment: &Path) -> Result<Option<String>> {
    let python = environment.join("bin/python");
    let created = output_of(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(environment),
    )?;
    ensure!(
        created.status.success(),
        "python3 -m venv failed: {}",
        last_line(&created.stderr)
    );
    let pip = output_of(
        Command::new(python)
            .args([
                "-m",
                "pip",
                "install",
                "--require-hashes",
                "--only-binary=:all:",
            ])
            .args(["--disable-pip-version-check", "--no-input", "--quiet"])
            .args(["--timeout", INDEX_TIMEOUT, "--retries", INDEX_RETRIES])
            .arg("--requirement")
            .arg(requirements),
    )?;
    let errors = String::from_utf8_lossy(&pip.stderr);
    ensure!(
        !errors.contains("DO NOT MATCH THE HASHES"),
        "a package differs from its hash in {}:\n{errors}",
        requirements.display()
    );
    Ok((!pip.status.success()).then(|| last_line(&pip.stderr)))
}

fn output_of(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// The last line of an output that is not blank.
pub(crate) fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    line.unwrap_or("no message").to_owned()
}

fn output(flag: &str, folder: &Path) -> std::ffi::OsString {
    let mut argument = OsStr::new(flag).to_owned();
    argument.push("=");
    argument.push(folder);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_skips_blank_ones() {
        assert_eq!(last_line(b"first\nlast\n \n"), "last");
        assert_eq!(last_line(b""), "no message");
    }

    #[test]
    fn every_requirement_is_pinned_by_hash() -> Result<()> {
        let mut lines = Vec::new();
        for folder in ["examples/driver-python", "acceptance/clients"] {
            let path = workspace_root().join(folder).join("requirements.txt");
            let text = std::fs::read_to_string(path)?.replace("\\\n", "");
            lines.extend(text.lines().map(str::to_owned));
        }
        lines.retain(|line| !line.starts_with('#'));
        assert!(!lines.is_empty());
        for line in lines {
            assert!(
                line.contains("==") && line.contains("--hash=sha256:"),
                "{line}"
            );
        }
        Ok(())
    }
}
