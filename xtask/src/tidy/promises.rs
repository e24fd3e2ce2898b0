//! Every proof that docs/promises.md names must be in the file to which it links.

use std::path::Path;

use anyhow::Result;

const PAGE: &str = "docs/promises.md";

/// Checks the names of docs/promises.md; `links` checks its links.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("docs");
    let page = std::fs::read_to_string(root.join(PAGE))?;
    let mut problems = Vec::new();
    for (target, names) in proofs(&page) {
        let Ok(text) = std::fs::read_to_string(folder.join(target)) else {
            continue;
        };
        let missing = names.iter().filter(|name| !text.contains(**name));
        problems.extend(missing.map(|name| format!("{PAGE}: {name} is not in {target}")));
    }
    Ok(problems)
}

/// Link targets, and the names in backquotes that follow each directly.
fn proofs(page: &str) -> Vec<(&str, Vec<&str>)> {
    let links = page.split("](").skip(1);
    links
        .filter_map(|rest| {
            let (target, mut rest) = rest.split_once(')')?;
            let mut names = Vec::new();
            while let Some((name, behind)) = rest
                .strip_prefix(" `")
                .and_then(|rest| rest.split_once('`'))
            {
                names.push(name);
                rest = behind;
            }
            Some((target, names))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::proofs;

    #[test]
    fn proofs_assigns_names_to_the_preceding_link() {
        let page = "| x | [a](a.rs) `one` `two`, [b](b.yaml), `ark-check c` |";
        assert_eq!(
            proofs(page),
            [("a.rs", vec!["one", "two"]), ("b.yaml", vec![])]
        );
    }
}
