//! Field selectors: `metadata.name=a,spec.phase!=done`.

use std::sync::Arc;

use super::merged::Fields;
use super::requirement::FieldRequirement;
use super::{Lookup, SelectorError};

/// Requirements that must all hold. The empty selector matches everything. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Arc<[FieldRequirement]>,
    merged: Arc<Fields>,
}

impl FieldSelector {
    /// Parses a selector. The caller checks that the resource supports the fields.
    ///
    /// # Errors
    ///
    /// The message of kube-apiserver's 400.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            let Some((field, operator, value)) = split_term(term) else {
                return Err(SelectorError(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            requirements.push(FieldRequirement {
                field: field.to_owned(),
                value: unescape(value)?,
                equal: operator != "!=",
            });
        }
        Ok(Self::of(requirements))
    }

    /// The selector of one field with one value.
    #[must_use]
    pub fn equal(field: impl Into<String>, value: impl Into<String>) -> Self {
        Self::of(vec![FieldRequirement {
            field: field.into(),
            value: value.into(),
            equal: true,
        }])
    }

    /// Whether the requirements contradict each other, so that nothing matches.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.merged.is_nothing()
    }

    /// Whether there are no requirements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements.
    #[must_use]
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether the fields meet every requirement; a missing field has the empty value. Looks up
    /// each field once, however many requirements name it.
    #[must_use]
    pub fn matches(&self, fields: &(impl Lookup + ?Sized)) -> bool {
        self.merged.matches(fields)
    }

    /// The value that a field must have for anything to match.
    #[must_use]
    pub fn required(&self, field: &str) -> Option<&str> {
        let mut equal = self.requirements.iter().filter(|one| one.equal);
        let found = equal.find(|one| one.field == field)?;
        Some(&found.value)
    }

    fn of(requirements: Vec<FieldRequirement>) -> Self {
        Self {
            merged: Arc::new(Fields::of(&requirements)),
            requirements: requirements.into(),
        }
    }
}

/// Splits at commas that are not escaped by a backslash.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == ',' {
            terms.push(&text[start..at]);
            start = at + 1;
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator.
fn split_term(term: &str) -> Option<(&str, &str, &str)> {
    term.char_indices().find_map(|(at, _)| {
        ["!=", "==", "="].into_iter().find_map(|operator| {
            let value = term[at..].strip_prefix(operator)?;
            Some((&term[..at], operator, value))
        })
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    if !value.contains(['\\', ',', '=']) {
        return Ok(value.to_owned());
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            ',' | '=' => {
                // Go prints the code point as a number.
                let number = u32::from(c);
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {number}"
                )));
            }
            other => out.push(other),
        }
    }
    Ok(out)
}
