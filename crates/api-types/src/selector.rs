//! Selectors of objects by label and by field.

mod field;
mod label;
mod lexer;
mod parser;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};

/// Why a text is no selector, in kube-apiserver's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

/// Looks a label or a field up by name.
pub trait Lookup {
    /// The value under a name, if there is one.
    fn lookup(&self, name: &str) -> Option<&str>;
}

impl Lookup for std::collections::BTreeMap<String, String> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl Lookup for std::collections::HashMap<String, String> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl Lookup for [(String, String)] {
    fn lookup(&self, name: &str) -> Option<&str> {
        let (_, value) = self.iter().find(|(key, _)| key == name)?;
        Some(value)
    }
}

/// Labels as they stand in an object's JSON; values that are no text do not count.
impl Lookup for serde_json::Map<String, serde_json::Value> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }
}

#[cfg(test)]
mod tests;
