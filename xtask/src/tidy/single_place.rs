//! Code that may occur in one place only, so that no request bypasses a rule of the write path.

use std::path::Path;

use anyhow::Result;

use super::{files, relative};

/// A text, the only file of the gateway that may contain it, the number of occurrences, and the
/// reason.
const SINGLE_PLACES: &[(&str, &str, usize, &str)] = &[
    (
        concat!("WriteOp", " {"),
        "gateway/src/registry/pipeline.rs",
        1,
        "every write is committed by the pipeline",
    ),
    (
        concat!("store", ".write("),
        "gateway/src/registry/pipeline.rs",
        1,
        "every write is committed by the pipeline",
    ),
    (
        concat!("loop", " {"),
        "gateway/src/registry/pipeline.rs",
        1,
        "conflicts are resolved by one loop",
    ),
    (
        concat!("prepare::", "in_namespace("),
        "gateway/src/registry/stage.rs",
        1,
        "the namespace is set once, before admission",
    ),
    (
        concat!("prepare::", "update("),
        "gateway/src/registry/stage.rs",
        1,
        "the rules of metadata are applied between admission and schema",
    ),
];
/// Folders of the rules, and prefixes of definitions to ignore.
const FOLDERS: &[(&str, &str)] = &[
    ("gateway/src/registry", ""),
    ("gateway/src/handlers", "loop"),
    ("gateway/src/patch", "loop"),
];

/// Checks the write path of the gateway.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (text, home, times, why) in SINGLE_PLACES {
        let mut found = 0;
        for (folder, exempt) in FOLDERS {
            if !exempt.is_empty() && text.starts_with(exempt) {
                continue;
            }
            for path in files(&root.join(folder), "rs")? {
                let name = relative(root, &path);
                let source = std::fs::read_to_string(&path)?;
                let count = source.matches(text).count();
                if name == *home {
                    found = count;
                } else if count > 0 {
                    problems.push(format!("{name}: `{text}` belongs into {home}: {why}"));
                }
            }
        }
        if found != *times {
            problems.push(format!(
                "{home}: has `{text}` {found} times instead of {times}: {why}"
            ));
        }
    }
    Ok(problems)
}
