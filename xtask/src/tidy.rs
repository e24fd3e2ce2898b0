//! Rules of the repository that the compiler does not check; `cargo test` runs them as well.
//!
//! Every rule is data in a submodule, with its reason; a violation names the file and the fix.

mod bounds;
mod budgets;
mod circles;
mod layers;
mod links;
mod lints;
mod promises;
mod single_place;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// All violations, one line each.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = layers::crates(root)?;
    problems.extend(layers::gateway_modules(root)?);
    problems.extend(budgets::check(root)?);
    problems.extend(bounds::check(root)?);
    problems.extend(circles::check(root)?);
    problems.extend(links::check(root)?);
    problems.extend(lints::check(root)?);
    problems.extend(promises::check(root)?);
    problems.extend(single_place::check(root)?);
    Ok(problems)
}

/// Every file below `root` with the extension, except build output and hidden folders.
fn files(root: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path for messages, relative to the workspace.
fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn repository_follows_its_rules() {
        let problems = super::check(&crate::run::workspace_root()).expect("readable workspace");
        assert!(
            problems.is_empty(),
            "violations of the repository's rules:\n{}",
            problems.join("\n")
        );
    }
}
