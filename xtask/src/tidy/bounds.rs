//! Input of a client must not cause unbounded work or memory.
//!
//! This checks the part of the rule that a syntax tree shows, in the crates that process requests:
//! a search of a list inside a loop, list operations at index 0, recursion, and reads or channels
//! without a limit. Code whose size is bounded otherwise states the bound: in a comment `//
//! bounded: WHY` on the line or above it, or in a row of `bounds/known.rs` where one reason holds
//! for many places. The review checklist of CONTRIBUTING.md covers what no tool detects.

mod known;
mod visitor;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{files, relative};

/// Crates that process requests.
const REQUEST_PATH: &[&str] = &[
    "crates/api-types/src",
    "crates/crd-schema/src",
    "crates/kube-json/src",
    "crates/structured-merge/src",
    "crates/watch-cache/src",
    "gateway/src",
];
/// Prefix of the comment that states a bound.
const BOUNDED: &str = "bounded:";
/// Calls without a limit; each with the fix.
const UNBOUNDED: &[(&str, &str)] = &[
    (
        concat!("disable_recursion", "_limit"),
        "keep the depth limit of the parser",
    ),
    (
        concat!("to_bytes(body, usize", "::MAX"),
        "read a body with a limit (http_body_util::Limited)",
    ),
    (
        concat!(".collect()", ".await"),
        "collects a body or stream without a limit: read it with a limit",
    ),
    (
        concat!("unbounded", "_channel("),
        "use a bounded channel and document what happens when it is full",
    ),
    (
        concat!("mpsc::", "unbounded("),
        "use a bounded channel and document what happens when it is full",
    ),
];
/// The only folder that compiles patterns; it sets their limits.
const REGEX_FOLDER: &str = "crates/crd-schema/src/";
const REGEX_NEW: &[&str] = &[concat!("Regex", "::new("), concat!("RegexSet", "::new(")];

/// Code without a stated bound.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    /// The enclosing function; empty if there is none.
    function: String,
    text: String,
}

/// Checks the crates that process requests.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for folder in REQUEST_PATH {
        for path in files(&root.join(folder), "rs")? {
            let name = relative(root, &path);
            if name.ends_with("/tests.rs") || name.contains("/tests/") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            let mut places = check_text(&name, &text).with_context(|| name.clone())?;
            places.retain(|place| {
                let row = known::PLACES
                    .iter()
                    .position(|(file, function, _)| *file == name && *function == place.function);
                used.extend(row);
                row.is_none()
            });
            let places = places.into_iter();
            problems.extend(places.map(|place| format!("{name}:{}: {}", place.line, place.text)));
        }
    }
    for (number, (file, function, _)) in known::PLACES.iter().enumerate() {
        if !used.contains(&number) {
            problems.push(format!(
                "xtask/src/tidy/bounds/known.rs: remove the row of {function} of {file}, which is not needed"
            ));
        }
    }
    Ok(problems)
}

fn check_text(name: &str, text: &str) -> Result<Vec<Place>> {
    let mut places = visitor::places(&syn::parse_file(text)?);
    let production = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (number, line) in production.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let regex = REGEX_NEW
            .iter()
            .filter(|_| !name.starts_with(REGEX_FOLDER))
            .map(|text| (*text, "compile patterns in crd-schema, which limits them"));
        for (text, fix) in UNBOUNDED.iter().copied().chain(regex) {
            if code.contains(text) {
                let text = format!("`{text}` has no bound: {fix}");
                let line = number + 1;
                let function = String::new();
                places.push(Place {
                    line,
                    function,
                    text,
                });
            }
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    places.retain(|place| !is_explained(&lines, place.line));
    places.sort_by_key(|place| place.line);
    places.dedup();
    Ok(places)
}

/// Whether the line, or the comment and attributes above it, states the bound.
fn is_explained(lines: &[&str], line: usize) -> bool {
    let before = lines.iter().take(line);
    let mut before = before.rev();
    if before.next().is_some_and(|line| line.contains(BOUNDED)) {
        return true;
    }
    before
        .map(|line| line.trim_start())
        .take_while(|line| line.starts_with("//") || line.starts_with("#["))
        .any(|line| line.contains(BOUNDED))
}

#[cfg(test)]
mod tests {
    use super::check_text;

    fn found(text: &str) -> Vec<usize> {
        let places = check_text("gateway/src/x.rs", text).expect("Rust");
        places.into_iter().map(|place| place.line).collect()
    }

    #[test]
    fn searches_in_loops_are_found() {
        let text = "fn f(v: &[u8], w: &mut Vec<u8>) {\n for x in v {\n if !w.contains(x) {\n w.push(*x);\n }\n }\n}";
        assert_eq!(found(text), [3]);
        let text = "fn f(v: &mut Vec<u8>, w: &[u8]) {\n v.retain(|x| w.iter().any(|y| x == y));\n}";
        assert_eq!(found(text), [2]);
        let text = "fn f(v: &[u8], w: &Vec<u8>) {\n let _ = v.iter().filter(|x| w.contains(x)).count();\n}";
        assert_eq!(found(text), [2]);
    }

    #[test]
    fn bounded_searches_are_accepted() {
        for text in [
            "fn f(w: &[u8]) -> bool {\n w.contains(&1)\n}",
            "fn f(v: &[u8], w: &HashSet<u8>) {\n for x in v {\n w.contains(x);\n }\n}",
            "fn f(v: &[u8]) {\n let mut w = BTreeSet::new();\n for x in v {\n w.contains(x);\n }\n}",
            "fn f(v: &[&str]) {\n for x in v {\n x.contains('a') && NAMES.contains(x) && (1..2).contains(&3);\n }\n}",
            "fn f(v: &[u8], w: &[u8]) {\n for x in v {\n // bounded: w has three items\n w.contains(x);\n }\n}",
            "#[cfg(test)]\nmod tests {\n fn f(v: &[u8], w: &[u8]) {\n for x in v {\n w.contains(x);\n }\n }\n}",
        ] {
            assert_eq!(found(text), [0; 0], "{text}");
        }
    }

    #[test]
    fn operations_at_index_zero_are_found() {
        assert_eq!(
            found("fn f(w: &mut Vec<u8>) {\n w.insert(0, 1);\n w.remove(0);\n w.insert(1, 1);\n}"),
            [2, 3]
        );
    }

    #[test]
    fn recursion_without_a_bound_is_found() {
        assert_eq!(found("fn f(v: &V) {\n for x in v {\n f(x);\n }\n}"), [1]);
        assert_eq!(
            found("impl A {\n fn f(&self) {\n self.child.f();\n Self::f(x);\n }\n}"),
            [2]
        );
        assert_eq!(
            found("// bounded: by the parser\nfn f(v: &V) {\n f(v);\n}"),
            [0; 0]
        );
        // A call of another function with the same name is not recursion.
        assert_eq!(
            found("impl A {\n fn f(&self) {\n self.0.f();\n b::f();\n }\n}"),
            [0; 0]
        );
    }

    #[test]
    fn calls_without_a_limit_are_found() {
        let text = concat!(
            "fn f() {\n let x = body.collect()",
            ".await;\n let y = Regex",
            "::new(a);\n}"
        );
        assert_eq!(found(text), [2, 3]);
    }
}
