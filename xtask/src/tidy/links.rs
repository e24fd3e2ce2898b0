//! Every relative link in the documentation must resolve.

use std::path::Path;

use anyhow::Result;

use super::{files, relative};

/// Checks all Markdown files.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in files(root, "md")? {
        let text = std::fs::read_to_string(&path)?;
        let folder = path.parent().unwrap_or(root);
        for target in targets(&text) {
            if !folder.join(&target).exists() {
                problems.push(format!(
                    "{}: broken link to {target}",
                    relative(root, &path)
                ));
            }
        }
    }
    Ok(problems)
}

/// Relative link targets, without their fragment.
fn targets(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains(' '))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn relative_links_are_found() {
        let text = "[a](docs/a.md#x) [b](https://example.com) [c](#top) [d](b.md)";
        assert_eq!(targets(text), ["docs/a.md", "b.md"]);
    }
}
