//! Errors of validation and their messages.

use std::fmt;

use api_types::field::{Error, ErrorType, Errors, Value as Shown};
use serde_json::Value;

/// The path of a value; the root is empty, fields are joined with dots.
#[derive(Clone, Copy)]
pub(super) enum Location<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

/// Limit of steps of pattern matching per object: about a second in the engine's slowest mode. This
/// admits 2.7 MB of text for a pattern of a hundred instructions, which is a long one.
const MAX_STEPS: u64 = 1 << 28;

/// Limit of values that branches of anyOf, oneOf, allOf and not visit per object, a value once for
/// each branch: about a second.
const MAX_BRANCH_VALUES: u64 = 1 << 21;

/// Limit of items of old lists that are indexed, the number that a body of 3 MiB can contain. An
/// update exceeds it only if very many items with the same key are compared with the same old list.
const MAX_OLD_ITEMS: u64 = 1 << 20;

/// Errors, and the number of matches.
pub(super) struct Outcome {
    pub(super) faults: Errors,
    pub(super) matches: u64,
    pub(super) left: Work,
    /// Whether this is the outcome of a branch.
    branch: bool,
}

/// Remaining work for one object beyond one visit of each value.
#[derive(Clone, Copy)]
pub(super) struct Work {
    steps: u64,
    old_items: u64,
    branch_values: u64,
    /// Whether a branch was not checked for lack of work.
    exhausted: bool,
}

/// One error. A composite's own error has no path.
pub(super) struct Fault(Error);

impl Outcome {
    pub(super) fn new() -> Self {
        Self::with(Work {
            steps: MAX_STEPS,
            old_items: MAX_OLD_ITEMS,
            branch_values: MAX_BRANCH_VALUES,
            exhausted: false,
        })
    }

    /// The outcome of a branch; branches share the work of the whole object.
    pub(super) fn branch(left: Work) -> Self {
        Self {
            branch: true,
            ..Self::with(left)
        }
    }

    fn with(left: Work) -> Self {
        Self {
            faults: Errors::new(),
            matches: 0,
            left,
            branch: false,
        }
    }

    /// Counts a visited value; returns whether a branch may visit it.
    pub(super) fn take_value(&mut self) -> bool {
        let enough = !self.branch || take(&mut self.left.branch_values, 1);
        self.left.exhausted |= !enough;
        enough
    }

    /// Whether a branch was not checked, so that the object's validity is unknown.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.left.exhausted
    }

    /// Counts steps of matching; returns whether the limit allows them.
    pub(super) fn take_steps(&mut self, steps: u64) -> bool {
        take(&mut self.left.steps, steps)
    }

    /// Counts items of an old list; returns whether the limit allows them.
    pub(super) fn take_old_items(&mut self, items: usize) -> bool {
        take(&mut self.left.old_items, items as u64)
    }

    /// Adds an error, which is built only if the list has room.
    pub(super) fn add(&mut self, fault: impl FnOnce() -> Fault) {
        self.faults.add(|| fault().0);
    }
}

fn take(left: &mut u64, amount: u64) -> bool {
    let after = left.checked_sub(amount);
    *left = after.unwrap_or(*left);
    after.is_some()
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Root => Ok(()),
            Location::Key(parent, key) => match parent {
                Location::Root => out.write_str(key),
                parent => write!(out, "{parent}.{key}"),
            },
            Location::Index(parent, index) => write!(out, "{parent}[{index}]"),
        }
    }
}

impl Fault {
    fn new(
        kind: ErrorType,
        location: Location<'_>,
        value: impl Into<Shown>,
        detail: String,
    ) -> Self {
        Self(Error::new(kind, location, value, detail))
    }

    pub(super) fn wrong_type(location: Location<'_>, want: &str, found: &str) -> Self {
        let quoted = api_types::go_text::quote(found);
        let detail = format!("{location} in body must be of type {want}: {quoted}");
        Self::new(ErrorType::TypeInvalid, location, found, detail)
    }

    pub(super) fn invalid(location: Location<'_>, value: impl Into<Shown>, what: &str) -> Self {
        Self::new(
            ErrorType::Invalid,
            location,
            value,
            format!("{location} in body {what}"),
        )
    }

    pub(super) fn too_long(location: Location<'_>, most: i64) -> Self {
        Self(Error::too_long(
            location,
            usize::try_from(most).unwrap_or(0),
        ))
    }

    /// The error for a text that is not matched with a pattern, because that might take many
    /// seconds.
    pub(super) fn unmatched(location: Location<'_>, pattern: &str) -> Self {
        let detail = format!("takes too long to match with '{pattern}'");
        Self::new(ErrorType::TooLong, location, Shown::omitted(), detail)
    }

    /// The error for an object whose branches are not all checked, because that might take many
    /// seconds.
    pub(super) fn unchecked() -> Self {
        let detail = "takes too long to check with anyOf, oneOf, allOf and not";
        Self::new(
            ErrorType::TooLong,
            Location::Root,
            Shown::omitted(),
            detail.to_owned(),
        )
    }

    pub(super) fn too_many(location: Location<'_>, count: i64, most: i64) -> Self {
        let count = usize::try_from(count).unwrap_or(0);
        let most = usize::try_from(most).unwrap_or(0);
        Self(Error::too_many(location, count, most))
    }

    pub(super) fn required(location: Location<'_>, name: &str) -> Self {
        Self(Error::required(Location::Key(&location, name), ""))
    }

    pub(super) fn forbidden_field(location: Location<'_>, name: &str) -> Self {
        let detail = format!("{location}.{name} in body is a forbidden property");
        Self::new(ErrorType::Invalid, location, name, detail)
    }

    pub(super) fn not_supported(location: Location<'_>, value: &Value, values: &[Value]) -> Self {
        let texts: Vec<String> = values
            .iter()
            .map(|value| match value {
                Value::String(text) => text.clone(),
                other => String::from_utf8_lossy(&kube_json::to_vec(other)).into_owned(),
            })
            .collect();
        Self(Error::not_supported(location, value, &texts))
    }

    pub(super) fn bad_factor(location: Location<'_>, factor: String) -> Self {
        let detail =
            format!("factor MultipleOf declared for {location} must be positive: {factor}");
        Self::new(
            ErrorType::Invalid,
            location,
            Shown::verbatim(factor),
            detail,
        )
    }

    /// An error without its own path.
    pub(super) fn plain(text: String) -> Self {
        Self(Error::invalid("", "", text))
    }
}

/// The reported form of an error, below a prefix if there is one.
pub(super) fn report(mut fault: Error, prefix: Option<&str>) -> Error {
    fault.field = match (prefix, fault.field.as_str()) {
        (_, "<nil>") => return fault,
        (None, "") => String::from("<nil>"),
        (None, _) => return fault,
        (Some(prefix), "") => prefix.to_owned(),
        (Some(prefix), field) => format!("{prefix}.{field}"),
    };
    fault
}
