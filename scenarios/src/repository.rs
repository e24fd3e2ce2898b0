//! Locations of files in this repository.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The root of the checkout.
#[derive(Clone, Debug)]
pub struct Repository {
    root: PathBuf,
    /// Other kinds than those of scenarios.
    kinds: Option<PathBuf>,
}

impl Repository {
    /// The checkout that contains the current directory, else the one this program was built from.
    ///
    /// # Errors
    /// If neither contains `scenarios/reference/go.mod`.
    pub fn find() -> Result<Self> {
        let here = std::env::current_dir().context("cannot determine the current directory")?;
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        here.ancestors()
            .map(Path::to_path_buf)
            .chain([built])
            .find(|root| root.join("scenarios/reference/go.mod").is_file())
            .map(|root| Self { root, kinds: None })
            .context("no checkout of ark-apiserver found: run this inside one")
    }

    /// The root of the checkout.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The Go module that pins the reference programs.
    #[must_use]
    pub fn reference_module(&self) -> PathBuf {
        self.root.join("scenarios/reference")
    }

    /// The Go module that pins kine.
    #[must_use]
    pub fn kine_module(&self) -> PathBuf {
        self.root.join("scenarios/kine")
    }

    /// The scenario files.
    #[must_use]
    pub fn scenarios(&self) -> PathBuf {
        self.root.join("scenarios/cases")
    }

    /// The same checkout with the manifests of a folder as test kinds.
    #[must_use]
    pub fn with_kinds(self, folder: &Path) -> Self {
        Self {
            kinds: Some(folder.to_owned()),
            ..self
        }
    }

    /// The manifests of the kinds that scenarios use.
    #[must_use]
    pub fn test_kinds(&self) -> PathBuf {
        let own = || self.root.join("scenarios/crds");
        self.kinds.clone().unwrap_or_else(own)
    }

    /// The manifests compiled into the gateway.
    #[must_use]
    pub fn ark_kinds(&self) -> PathBuf {
        self.root.join("kinds/ark")
    }
}

/// Files with one of `extensions` below `folder`, in order of name; empty if `folder` does not
/// exist.
///
/// # Errors
/// If a directory cannot be read.
pub fn files_below(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path, extensions)?);
        } else if path
            .extension()
            .is_some_and(|e| extensions.iter().any(|x| e == *x))
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
