//! Limits of the length of files and functions.
//!
//! linkerd2-proxy has the same limits: split a file of more than 500 lines or a function of more
//! than 80.

use std::path::Path;

use anyhow::{Context as _, Result};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::{files, relative};

/// Limit of a file, in lines.
const FILE_LINES: usize = 500;
/// Limit of a function, in lines from its signature to its closing brace.
const FUNCTION_LINES: usize = 80;
/// Generated code and pure data tables.
const EXEMPT: &[&str] = &["proto/src/gen/"];
/// Text that marks unfinished work.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ign", "ore"),
];

/// Checks every Rust file of the workspace.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in files(root, "rs")? {
        let name = relative(root, &path);
        if EXEMPT.iter().any(|exempt| name.starts_with(exempt)) {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        problems.extend(check_text(&name, &text));
        let file = syn::parse_file(&text).with_context(|| name.clone())?;
        let mut functions = Functions {
            file: &name,
            problems: &mut problems,
        };
        functions.visit_file(&file);
    }
    Ok(problems)
}

fn check_text(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES {
        problems.push(format!(
            "{name}: {lines} lines, more than {FILE_LINES}: split it by concept"
        ));
    }
    if name.ends_with("/mod.rs") {
        problems.push(format!(
            "{name}: modules are `name.rs` beside `name/`, not mod.rs"
        ));
    }
    if !text.starts_with("//!") {
        problems.push(format!(
            "{name}: add a `//!` line with the purpose of the file"
        ));
    }
    for unfinished in UNFINISHED.iter().filter(|mark| text.contains(**mark)) {
        problems.push(format!(
            "{name}: contains `{unfinished}`: finish it or file an issue"
        ));
    }
    problems
}

/// Collects the functions of a file that are too long.
struct Functions<'a> {
    file: &'a str,
    problems: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        let lines = span.end().line + 1 - span.start().line;
        if lines > FUNCTION_LINES {
            self.problems.push(format!(
                "{}:{}: fn {name} has {lines} lines, more than {FUNCTION_LINES}: split it",
                self.file,
                span.start().line,
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig.ident, item.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig.ident, item.span());
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::check_text;

    #[test]
    fn long_file_is_reported() {
        let text = format!("//! Doc.\n{}", "\n".repeat(super::FILE_LINES));
        assert_eq!(check_text("x.rs", &text).len(), 1);
    }

    #[test]
    fn unfinished_work_and_missing_docs_are_reported() {
        let text = format!("fn f() {{ {}) }}", super::UNFINISHED[0]);
        assert_eq!(check_text("a/mod.rs", &text).len(), 3);
    }
}
