//! Finding or building the reference binaries.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::repository::Repository;

/// Paths of the reference programs.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The truth.
    pub kube_apiserver: PathBuf,
    /// Its store.
    pub etcd: PathBuf,
    /// The client of the same release.
    pub kubectl: PathBuf,
}

/// Program and Go package of each binary.
const PROGRAMS: [(&str, &str); 3] = [
    ("etcd", "./etcd"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];

impl Reference {
    /// `KUBEBUILDER_ASSETS` when set, else the cache, which is filled on first use (minutes).
    ///
    /// # Errors
    /// When a program is missing and cannot be built.
    pub async fn find(repository: &Repository, progress: impl Fn(&str)) -> Result<Self> {
        if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") {
            let found = Self::below(Path::new(&folder));
            for program in [&found.kube_apiserver, &found.etcd] {
                ensure!(
                    program.is_file(),
                    "KUBEBUILDER_ASSETS has no {}",
                    program.display()
                );
            }
            return Ok(found);
        }
        let module = repository.reference_module();
        let folder = cache()?
            .join("ark-apiserver/reference")
            .join(fingerprint(&module)?);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let bin = folder.join("bin");
        if !complete(&bin) {
            let lock = std::fs::File::create(folder.join("lock"))?;
            // A second runner waits here for minutes: on a thread that may block.
            let lock = tokio::task::spawn_blocking(move || {
                flock(&lock, FlockOperation::LockExclusive).map(|()| lock)
            })
            .await??;
            build(&module, &bin, progress).await?;
            drop(lock);
        }
        Ok(Self::below(&bin))
    }

    fn below(folder: &Path) -> Self {
        let kubectl = folder.join("kubectl");
        Self {
            kube_apiserver: folder.join("kube-apiserver"),
            etcd: folder.join("etcd"),
            kubectl: if kubectl.is_file() {
                kubectl
            } else {
                PathBuf::from("kubectl")
            },
        }
    }
}

fn complete(bin: &Path) -> bool {
    PROGRAMS
        .iter()
        .all(|(program, _)| bin.join(program).is_file())
}

fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME").filter(|f| !f.is_empty()) {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache"))
}

/// A name that changes whenever the pinned sources do.
fn fingerprint(module: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum", "etcd/main.go"] {
        let path = module.join(file);
        hash.update(std::fs::read(&path).with_context(|| path.display().to_string())?);
    }
    Ok(hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Builds what is missing; a program appears in `bin` whole or not at all.
async fn build(module: &Path, bin: &Path, progress: impl Fn(&str)) -> Result<()> {
    std::fs::create_dir_all(bin)?;
    for (program, package) in PROGRAMS {
        let target = bin.join(program);
        if target.is_file() {
            continue;
        }
        progress(&format!(
            "building {program} of the reference release; this is done once"
        ));
        let partial = bin.join(format!(".{program}.partial"));
        let status = Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(&partial)
            .arg(package)
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .kill_on_drop(true)
            .status()
            .await;
        match status {
            Ok(status) if status.success() => std::fs::rename(&partial, &target)?,
            Ok(status) => bail!("go build {package} failed: {status}"),
            Err(_) => bail!(
                "the reference {program} must be built, and there is no `go`: install Go, or set \
                 KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl"
            ),
        }
    }
    Ok(())
}
