//! Files of a crate import each other in one direction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use super::{files, relative};

/// Sources without circles.
const SOURCES: &[&str] = &[
    "acceptance/checks/src",
    "bench/src",
    "crates/conformance/src",
    "crates/workload/src",
];

/// Imports of each module; `a::b` is the file `a/b.rs`.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Checks all sources.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for source in SOURCES {
        let folder = root.join(source);
        let mut texts = BTreeMap::new();
        for path in files(&folder, "rs")? {
            let name = relative(&folder, &path).replace('/', "::");
            let module = name.trim_end_matches(".rs").to_owned();
            texts.insert(module, std::fs::read_to_string(&path)?);
        }
        if let Some(circle) = circle(&imports(&texts)) {
            problems.push(format!("{source}: import circle: {}", circle.join(" → ")));
        }
    }
    Ok(problems)
}

fn imports(texts: &BTreeMap<String, String>) -> Imports {
    let production = texts.iter().filter(|(module, _)| {
        !["lib", "main"].contains(&module.as_str()) && !module.ends_with("tests")
    });
    let edges = production.map(|(module, text)| {
        let paths = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let paths = paths
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| targets(module, line));
        let known = paths.filter_map(|path| file_of(texts, path));
        (module.clone(), known.filter(|to| to != module).collect())
    });
    edges.collect()
}

/// Paths in a line that begin with `crate::`, `self::` or `super::`, from the root of the crate.
fn targets(module: &str, line: &str) -> Vec<Vec<String>> {
    let own: Vec<&str> = module.split("::").collect();
    let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let paths = words.filter_map(|word| {
        let mut parts: Vec<&str> = word.split("::").filter(|part| !part.is_empty()).collect();
        let mut base = match *parts.first()? {
            "crate" => Vec::new(),
            "self" | "super" => own.clone(),
            _ => return None,
        };
        while matches!(parts.first(), Some(&("crate" | "self" | "super"))) {
            if parts.remove(0) == "super" {
                base.pop();
            }
        }
        base.extend(parts);
        Some(base.into_iter().map(str::to_owned).collect())
    });
    paths.collect()
}

/// The file that declares the longest prefix of a path.
fn file_of(texts: &BTreeMap<String, String>, mut path: Vec<String>) -> Option<String> {
    while !path.is_empty() {
        let name = path.join("::");
        if texts.contains_key(&name) {
            return Some(name);
        }
        path.pop();
    }
    None
}

/// A circle, if there is one: modules are removed while they import only removed ones, so that what
/// remains is on a circle or leads to one.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    let mut left = imports.clone();
    loop {
        let leaf = |to: &BTreeSet<String>| to.iter().all(|to| !left.contains_key(to));
        let leaves: Vec<String> = left
            .iter()
            .filter(|(_, to)| leaf(to))
            .map(|(module, _)| module.clone())
            .collect();
        if leaves.is_empty() {
            break;
        }
        for module in leaves {
            left.remove(&module);
        }
    }
    let mut walk = vec![left.keys().next()?.clone()];
    loop {
        let to = left[walk.last()?]
            .iter()
            .find(|to| left.contains_key(*to))?;
        if let Some(begin) = walk.iter().position(|known| known == to) {
            walk.push(to.clone());
            return Some(walk.split_off(begin));
        }
        walk.push(to.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{circle, imports};

    fn check(files: &[(&str, &str)]) -> Option<String> {
        let files = files.iter();
        let texts: BTreeMap<String, String> = files
            .map(|(module, text)| ((*module).to_owned(), (*text).to_owned()))
            .collect();
        circle(&imports(&texts)).map(|circle| circle.join(" → "))
    }

    #[test]
    fn circle_is_found_through_every_kind_of_path() {
        let down = [
            ("a", "use crate::b::c::X;"),
            ("b", ""),
            ("b::c", "use super::d::Y;"),
            ("b::d", "// use crate::a;\n#[cfg(test)]\nuse crate::a;"),
        ];
        assert_eq!(check(&down), None);
        for up in [
            "use super::super::a;",
            "use crate::a::{X, Y};",
            "let x = crate::a::f();",
        ] {
            let mut files = down;
            files[3] = ("b::d", up);
            let found = check(&files).expect("a circle");
            assert_eq!(found, "a → b::c → b::d → a", "{up}");
        }
        let parent = [("a", "use self::b::X;"), ("a::b", "use super::{Y, Z};")];
        assert_eq!(check(&parent).as_deref(), Some("a → a::b → a"));
    }
}
