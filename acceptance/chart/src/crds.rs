//! Definitions of other projects' kinds, from their Go modules.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// A module, its checksum in the format of go.sum, and the files of the kinds that the chart uses.
struct Module {
    version: &'static str,
    sum: &'static str,
    files: &'static [&'static str],
}

const MODULES: &[Module] = &[
    Module {
        version: "github.com/cert-manager/cert-manager@v1.21.2",
        sum: "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        files: &[
            "deploy/crds/cert-manager.io_certificates.yaml",
            "deploy/crds/cert-manager.io_issuers.yaml",
        ],
    },
    Module {
        version: "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        files: &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ],
    },
];

/// Paths of the definitions, in Go's module cache.
///
/// # Errors
/// If a module cannot be downloaded, or is not the expected one.
pub(crate) async fn files(scratch: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for module in MODULES {
        let output = Command::new("go")
            .args(["mod", "download", "-json", module.version])
            .current_dir(scratch)
            .env("GOFLAGS", "-mod=mod")
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot start go")?;
        let found: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        ensure!(
            found["Sum"] == module.sum,
            "{}: the checksum is {}, not {}",
            module.version,
            found["Sum"],
            module.sum
        );
        let folder = found["Dir"].as_str().context("a module without a folder")?;
        files.extend(module.files.iter().map(|file| Path::new(folder).join(file)));
    }
    Ok(files)
}
