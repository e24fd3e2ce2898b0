//! Selectors of objects by label and by field.

mod field;
mod label;
mod lexer;
mod merged;
mod parser;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};

/// Why a text is no selector, in kube-apiserver's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

/// Labels or fields of an object. Every name is there once.
pub trait Lookup {
    /// The value under a name, if there is one.
    fn lookup(&self, name: &str) -> Option<&str>;

    /// How many there are, or more.
    fn count(&self) -> usize;

    /// Shows all names and values, until `visit` says no; whether it never did.
    fn each(&self, visit: &mut dyn FnMut(&str, &str) -> bool) -> bool;
}

impl Lookup for std::collections::BTreeMap<String, String> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        self.iter().all(|(name, value)| visit(name, value))
    }
}

/// Labels as they stand in an object's JSON; values that are no text do not count.
impl Lookup for serde_json::Map<String, serde_json::Value> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str) -> bool) -> bool {
        self.iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?)))
            .all(|(name, value)| visit(name, value))
    }
}

#[cfg(test)]
mod tests;
