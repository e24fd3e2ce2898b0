//! Values of the chart and their comments, from `values.yaml`.

use std::path::Path;

use anyhow::{Context as _, Result};

/// The page of values. The file has one key per line; a comment stands above its key or behind the
/// value.
pub(super) fn page(root: &Path) -> Result<String> {
    let text = std::fs::read_to_string(root.join("chart/values.yaml"))
        .context("cannot read chart/values.yaml")?;
    let mut page = String::from(
        "# Values of the chart\n\nWritten by `cargo xtask reference` from `chart/values.yaml`.\n\n| value | default | meaning |\n| --- | --- | --- |\n",
    );
    // Keys above the current line, with their indentation.
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() {
            comment.clear();
            continue;
        }
        if let Some(more) = trimmed.strip_prefix("# ") {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(more.trim());
            continue;
        }
        let Some((key, rest)) = trimmed.split_once(':') else {
            continue;
        };
        if trimmed.starts_with(['-', '#', '{']) || key.contains(' ') {
            continue;
        }
        let indent = line.len() - trimmed.len();
        above.retain(|(other, _)| *other < indent);
        above.push((indent, key));
        let (value, behind) = match rest.split_once(" #") {
            Some((value, behind)) => (value.trim(), behind.trim()),
            None => (rest.trim(), ""),
        };
        let meaning = [comment.as_str(), behind];
        let meaning: Vec<&str> = meaning.into_iter().filter(|it| !it.is_empty()).collect();
        let meaning = meaning.join(" ");
        comment.clear();
        if value.is_empty() && meaning.is_empty() {
            continue;
        }
        let path: Vec<&str> = above.iter().map(|(_, key)| *key).collect();
        let default = if value.is_empty() {
            String::new()
        } else {
            format!("`{}`", cell(value))
        };
        page.push_str(&format!(
            "| `{}` | {default} | {} |\n",
            path.join("."),
            cell(&meaning)
        ));
    }
    Ok(page)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
