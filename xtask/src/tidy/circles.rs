//! Sibling modules of a crate depend on one another in one direction.
//!
//! A circle of modules can only be read, tested and moved as a whole. The rule covers modules of
//! one parent at every depth: `a → b` if code in or below `a` names an item that is defined in or
//! below `b`, re-exports resolved. A module and the modules below it may name one another, because
//! a module file often defines the types that its parts build. Test modules are exempt.

mod graph;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{files, relative};
use graph::Arrows;
use tree::Crate;

/// Crates, and modules in them, below which circles are tolerated, with the reason. The list only
/// gets shorter.
const TOLERATED: &[(&str, &str, &str)] = &[
    (
        "crates/structured-merge/src",
        "",
        "sets are built from typed values, which are reconciled by sets",
    ),
    (
        "acceptance/hostile/src",
        "",
        "the list of attacks and the suite name one another",
    ),
    ("gateway/src", "auth", "authenticators are being added"),
    (
        "gateway/src",
        "patch::json_patch",
        "pointers and trees are being rewritten",
    ),
];
/// File names of crate roots.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

/// Checks every crate of the workspace.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut tolerated = BTreeSet::new();
    for source in sources(root)? {
        let name = relative(root, &source);
        let mut circles = Vec::new();
        for file in ROOTS.iter().map(|file| source.join(file)) {
            if file.exists() {
                let parsed = Crate::read(&file).with_context(|| name.clone())?;
                circles.extend(Arrows::of(&parsed).circles());
            }
        }
        for circle in circles {
            let mut rows = TOLERATED.iter();
            let row = rows.position(|(folder, parent, _)| {
                *folder == name && (parent.is_empty() || circle.parent == *parent)
            });
            if let Some(row) = row {
                tolerated.insert(row);
                continue;
            }
            problems.push(format!(
                "{name}: modules depend on one another in a circle: {}; move what both need to a \
                 module of its own",
                circle.text
            ));
        }
    }
    for (row, (folder, parent, _)) in TOLERATED.iter().enumerate() {
        if !tolerated.contains(&row) {
            problems.push(format!(
                "xtask/src/tidy/circles.rs: remove the row of {folder} {parent}, which has no circle"
            ));
        }
    }
    Ok(problems)
}

/// The `src` folders of all crates.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let manifests = files(root, "toml")?.into_iter();
    let manifests = manifests.filter(|path| path.file_name().is_some_and(|it| it == "Cargo.toml"));
    let sources = manifests.map(|manifest| manifest.with_file_name("src"));
    Ok(sources.filter(|source| source.is_dir()).collect())
}

#[cfg(test)]
mod tests;
