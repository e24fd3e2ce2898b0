//! Selectors of objects by label and by field.

mod field;
mod label;
mod lexer;
mod merged;
mod parser;
mod requirement;

pub use field::FieldSelector;
pub use label::LabelSelector;
pub use requirement::{FieldRequirement, Operator, Requirement};

/// Why a text is not a selector, with kube-apiserver's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

/// Labels or fields of an object, with unique names.
pub trait Lookup {
    /// The value of a name, if it exists.
    fn lookup(&self, name: &str) -> Option<&str>;

    /// Upper bound of the number of names.
    fn count(&self) -> usize;

    /// Calls `visit` for each name and value until it returns false; returns whether it never did.
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

/// Labels in an object's JSON; values that are not strings are ignored.
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
