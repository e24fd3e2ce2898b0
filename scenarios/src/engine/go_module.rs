//! Programs built from a Go module of this repository, cached by the module's content.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use ring::digest::{Context as Digest, SHA256};
use rustix::fs::{FlockOperation, flock};
use tokio::process::Command;

/// A Go module and its programs.
#[derive(Debug)]
pub struct GoModule {
    /// Folder of its `go.mod`.
    pub folder: PathBuf,
    /// Files whose content identifies a build.
    pub sources: &'static [&'static str],
    /// Program and Go package of each binary.
    pub programs: &'static [(&'static str, &'static str)],
}

impl GoModule {
    /// The folder of the programs. The first call builds them, which takes minutes.
    ///
    /// # Errors
    /// If a program is missing and cannot be built.
    pub async fn programs(&self, progress: impl Fn(&str)) -> Result<PathBuf> {
        let folder = cache()?
            .join("ark-apiserver/reference")
            .join(self.fingerprint()?);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let bin = folder.join("bin");
        if !self.complete(&bin) {
            let lock = std::fs::File::create(folder.join("lock"))?;
            // A second runner waits for the lock for minutes, so the call runs on a blocking
            // thread.
            let lock = tokio::task::spawn_blocking(move || {
                flock(&lock, FlockOperation::LockExclusive).map(|()| lock)
            })
            .await??;
            self.build(&bin, progress).await?;
            drop(lock);
        }
        Ok(bin)
    }

    fn complete(&self, bin: &Path) -> bool {
        let mut programs = self.programs.iter();
        programs.all(|(program, _)| bin.join(program).is_file())
    }

    /// A name that changes with the content of `sources`.
    fn fingerprint(&self) -> Result<String> {
        let mut hash = Digest::new(&SHA256);
        for file in self.sources {
            let path = self.folder.join(file);
            hash.update(&std::fs::read(&path).with_context(|| path.display().to_string())?);
        }
        Ok(hash
            .finish()
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }

    /// Builds missing programs. A rename moves each into `bin`, so that no partial program is
    /// visible.
    async fn build(&self, bin: &Path, progress: impl Fn(&str)) -> Result<()> {
        std::fs::create_dir_all(bin)?;
        for (program, package) in self.programs {
            let target = bin.join(program);
            if target.is_file() {
                continue;
            }
            progress(&format!(
                "building the reference program {program}, once per version"
            ));
            let partial = bin.join(format!(".{program}.partial"));
            let status = Command::new("go")
                .args(["build", "-trimpath", "-o"])
                .arg(&partial)
                .arg(package)
                .current_dir(&self.folder)
                .env("CGO_ENABLED", "0")
                .kill_on_drop(true)
                .status()
                .await;
            match status {
                Ok(status) if status.success() => std::fs::rename(&partial, &target)?,
                Ok(status) => bail!("go build {package} failed: {status}"),
                Err(_) => bail!(
                    "cannot build {program}, because `go` is not installed: install Go, or set \
                     KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl"
                ),
            }
        }
        Ok(())
    }
}

fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME").filter(|f| !f.is_empty()) {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache"))
}
