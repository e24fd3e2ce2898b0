//! Finds or builds the reference programs.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::go_module::GoModule;
use crate::repository::Repository;

type Programs = &'static [(&'static str, &'static str)];

const PROGRAMS: Programs = &[
    ("etcd", "./etcd"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
];
const CONTROLLER_MANAGER: Programs = &[(
    "kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
)];

/// Paths of the reference programs.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The reference server.
    pub kube_apiserver: PathBuf,
    /// Its store.
    pub etcd: PathBuf,
    /// The client of the same release.
    pub kubectl: PathBuf,
}

impl Reference {
    /// The programs of `KUBEBUILDER_ASSETS` if set, else of the cache. The first call fills the
    /// cache, which takes minutes.
    ///
    /// # Errors
    /// If a program is missing and cannot be built.
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
        let programs = module(repository, PROGRAMS).programs(progress).await?;
        Ok(Self::below(&programs))
    }

    /// kube-controller-manager of the same release, from the same places. Built when it is first
    /// needed, because most runs need no controllers.
    ///
    /// # Errors
    /// If it is missing and cannot be built.
    pub async fn controller_manager(
        repository: &Repository,
        progress: impl Fn(&str),
    ) -> Result<PathBuf> {
        let (name, _) = CONTROLLER_MANAGER[0];
        if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") {
            let program = Path::new(&folder).join(name);
            ensure!(
                program.is_file(),
                "KUBEBUILDER_ASSETS has no {}",
                program.display()
            );
            return Ok(program);
        }
        let module = module(repository, CONTROLLER_MANAGER);
        Ok(module.programs(progress).await?.join(name))
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

fn module(repository: &Repository, programs: Programs) -> GoModule {
    GoModule {
        folder: repository.reference_module(),
        sources: &["go.mod", "go.sum", "etcd/main.go"],
        programs,
    }
}
