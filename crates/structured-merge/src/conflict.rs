//! Conflicts of an apply with other managers.

use std::fmt;

use crate::element::Path;
use crate::managers::Managers;
use crate::set::FieldSet;
use crate::text;

/// A field that another manager owns and that an apply would change.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The manager that owns the field.
    pub manager: String,
    /// The field, as the owner's version names it.
    pub path: Path,
}

/// The conflicts of an apply, sorted by manager; the fields of a manager in the order of
/// [`FieldSet::paths`].
///
/// The reference lists the managers in random order in the causes of its response, and sorted in
/// the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflicts(pub Vec<Conflict>);

// === impl Conflicts ===

impl Conflicts {
    pub(crate) fn of(managers: &Managers) -> Self {
        let conflicts = managers.iter().flat_map(|(manager, owned)| {
            owned.set.paths().map(|path| Conflict {
                manager: manager.clone(),
                path,
            })
        });
        Self(conflicts.collect())
    }

    /// The fields of all conflicts.
    #[must_use]
    pub fn to_set(&self) -> FieldSet {
        self.0.iter().map(|conflict| &conflict.path).collect()
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [conflict] = self.0.as_slice() {
            return conflict.fmt(f);
        }
        let mut manager = None;
        for conflict in &self.0 {
            if manager != Some(&conflict.manager) {
                let newline = if manager.is_some() { "\n" } else { "" };
                manager = Some(&conflict.manager);
                write!(f, "{newline}conflicts with {}:", Quoted(&conflict.manager))?;
            }
            write!(f, "\n- {}", conflict.path)?;
        }
        Ok(())
    }
}

impl std::error::Error for Conflicts {}

// === impl Conflict ===

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conflict with {}: {}", Quoted(&self.manager), self.path)
    }
}

impl std::error::Error for Conflict {}

/// A text in quotes, as Go prints it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        text::quote(self.0, &mut out);
        f.write_str(&out)
    }
}
