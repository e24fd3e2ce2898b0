//! Lint settings of a crate contain those of the workspace.
//!
//! Clippy reads the nearest `clippy.toml` only, so that a crate with a further ban repeats the
//! others.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{files, relative};

const FILE: &str = "clippy.toml";

/// Compares the settings of each crate with those of the workspace.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| relative(root, path));
    let workspace = read(&root.join(FILE))?;
    let mut problems = Vec::new();
    for path in files(root, "toml")? {
        if path.file_name().is_some_and(|name| name == FILE) {
            let missing = missing(&workspace, &read(&path)?);
            let name = relative(root, &path);
            problems.extend(missing.map(|line| format!("{name}: add `{line}` of {FILE}")));
        }
    }
    Ok(problems)
}

/// Lines of the settings that others lack.
fn missing<'a>(settings: &'a str, other: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let known: BTreeSet<String> = other.lines().map(str::to_owned).collect();
    settings.lines().filter(move |line| !known.contains(*line))
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn missing_bans_are_found() {
        let workspace = "bans = [\n  { path = \"a\" },\n]";
        let further = "# more\nbans = [\n  { path = \"a\" },\n  { path = \"b\" },\n]";
        assert_eq!(missing(workspace, further).count(), 0);
        let found: Vec<_> = missing(further, workspace).collect();
        assert_eq!(found, ["# more", "  { path = \"b\" },"]);
    }
}
