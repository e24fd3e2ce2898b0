//! Who owns which fields.

use std::collections::BTreeMap;

use crate::set::FieldSet;

/// The fields of one manager.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// The fields.
    pub set: FieldSet,
    /// The API version in which the fields are named.
    pub version: String,
    /// Whether the manager applied them, instead of writing them in other ways.
    pub applied: bool,
}

/// The fields of each manager, by the manager's name.
pub type Managers = BTreeMap<String, Owned>;

/// The managers that differ between two states, with the fields that only one of the states has.
///
/// If the version of a manager differs, the whole entry of the second state is taken.
#[must_use]
pub fn differences(left: &Managers, right: &Managers) -> Managers {
    let mut out = Managers::new();
    for (name, a) in left {
        match right.get(name) {
            None if a.set.is_empty() => {}
            None => {
                out.insert(name.clone(), a.clone());
            }
            Some(b) if a.version != b.version => {
                out.insert(name.clone(), b.clone());
            }
            Some(b) => {
                let set = a.set.difference(&b.set).union(&b.set.difference(&a.set));
                if !set.is_empty() {
                    let version = b.version.clone();
                    let applied = false;
                    out.insert(
                        name.clone(),
                        Owned {
                            set,
                            version,
                            applied,
                        },
                    );
                }
            }
        }
    }
    for (name, b) in right {
        if !left.contains_key(name) && !b.set.is_empty() {
            out.insert(name.clone(), b.clone());
        }
    }
    out
}
