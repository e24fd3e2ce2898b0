//! Errors of values that do not conform to their type.

use std::fmt;

/// Limit of the text that the errors of one value keep, in bytes, without the first error. The
/// reference has no limit: a path for each of many items, each with a long path, would be many times
/// larger than the value.
const MAX_TEXT: usize = 1 << 20;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError {
    /// Path of the field; empty for the whole value.
    pub path: String,
    /// What is wrong, as the reference words it.
    pub problem: String,
}

/// What is wrong with a value; at least one error.
///
/// The texts are those of the reference, which clients see. Errors within maps are in the order of
/// the names; in the reference their order is random. Errors whose texts exceed 1 MiB together are
/// left out, except for the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationErrors {
    errors: Vec<ValidationError>,
    bytes: usize,
}

// === impl ValidationErrors ===

impl ValidationErrors {
    /// One error about the whole value.
    pub(crate) fn of(problem: String) -> Self {
        let mut errors = Self::default();
        errors.push(String::new(), problem);
        errors
    }

    pub(crate) fn too_deep(limit: usize) -> Self {
        Self::of(format!("the value is nested more than {limit} levels deep"))
    }

    pub(crate) fn push(&mut self, path: String, problem: String) {
        self.bytes = self.bytes.saturating_add(path.len() + problem.len());
        if self.errors.is_empty() || self.bytes <= MAX_TEXT {
            self.errors.push(ValidationError { path, problem });
        }
    }

    /// Whether further errors are left out, so that their texts need not be made.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes > MAX_TEXT
    }

    pub(crate) fn into_result(self) -> Result<(), Self> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self)
        }
    }

    /// The errors.
    #[must_use]
    pub fn as_slice(&self) -> &[ValidationError] {
        &self.errors
    }
}

impl fmt::Display for ValidationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [error] = self.errors.as_slice() {
            return error.fmt(f);
        }
        f.write_str("errors:")?;
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ValidationErrors {}

// === impl ValidationError ===

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ValidationError {}
