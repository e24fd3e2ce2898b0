//! What an image contains: static programs with their list of crates, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run;

/// Unpacks the layers of an OCI layout into the folder `root`.
pub(super) fn unpack(layout: &Path, root: &Path) -> Result<()> {
    std::fs::create_dir_all(root)?;
    let manifest = manifest(layout)?;
    let layers = manifest["layers"].as_array().context("no layers")?;
    for layer in layers {
        let status = run::command("tar")
            .arg("-xzf")
            .arg(blob(layout, layer)?)
            .arg("-C")
            .arg(root)
            .status()
            .context("cannot start tar")?;
        ensure!(status.success(), "cannot unpack a layer: {status}");
    }
    Ok(())
}

/// Checks user, entry point, labels and files of the image `name`, unpacked in `root`.
pub(super) fn check(layout: &Path, root: &Path, name: &str) -> Result<()> {
    let config = read(&blob(layout, &manifest(layout)?["config"])?)?;
    let config = &config["config"];
    ensure!(config["User"] == "65532:65532", "{name}: runs as {config}");
    let (program, arkctl) = match name {
        "ark-apiserver" => ("ark-apiserver", None),
        "ark-apiserver-backend-sqlite" => ("backend-sqlite", Some("arkctl")),
        _ => ("backend-postgres", Some("arkctl")),
    };
    let entrypoint = serde_json::json!([format!("/{program}")]);
    ensure!(
        config["Entrypoint"] == entrypoint,
        "{name}: starts {config}"
    );
    for label in ["title", "source", "licenses", "version", "revision"] {
        let key = format!("org.opencontainers.image.{label}");
        let value = config["Labels"][&key].as_str().unwrap_or_default();
        ensure!(
            !value.is_empty() && !value.contains("${"),
            "{name}: the label {key} is {value:?}"
        );
    }
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(root)? {
        files.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    let expected: BTreeSet<String> = [Some(program), arkctl]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect();
    ensure!(
        files == expected,
        "{name} contains {files:?} instead of {expected:?}"
    );
    for file in files {
        static_program(&root.join(&file)).with_context(|| format!("{name}: {file}"))?;
    }
    Ok(())
}

/// The program needs no interpreter, and lists its crates in the section of cargo-auditable.
fn static_program(path: &Path) -> Result<()> {
    let output = run::command("readelf")
        .arg("-lSW")
        .arg(path)
        .output()
        .context("cannot start readelf of the binutils")?;
    ensure!(output.status.success(), "readelf: no program");
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(!text.contains("INTERP"), "linked dynamically");
    ensure!(
        text.contains(".dep-v0"),
        "no list of crates: built without cargo-auditable"
    );
    Ok(())
}

fn manifest(layout: &Path) -> Result<Value> {
    let index = read(&layout.join("index.json"))?;
    read(&blob(layout, &index["manifests"][0])?)
}

/// File of the blob that a descriptor names.
fn blob(layout: &Path, descriptor: &Value) -> Result<std::path::PathBuf> {
    let digest = descriptor["digest"].as_str().context("no digest")?;
    let hash = digest.strip_prefix("sha256:").context("no SHA-256")?;
    Ok(layout.join("blobs/sha256").join(hash))
}

fn read(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}
