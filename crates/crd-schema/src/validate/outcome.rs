//! What was found, and how it is told.

use std::fmt;

use api_types::field::{Error, ErrorType, Errors, Value as Shown};
use serde_json::Value;

/// Where a value is; the root is nothing, fields are joined with dots.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

/// Steps of matching texts with patterns that one object may take: about a second in the engine's
/// slowest mode. 2.7 MB of text for a pattern of a hundred instructions, which is a long one.
const MAX_STEPS: u64 = 1 << 28;

/// Values that the branches of anyOf, oneOf, allOf and not may look at for one object, a value once for each
/// branch: about a second.
const MAX_BRANCH_VALUES: u64 = 1 << 21;

/// Items of old lists that are brought into a map, as many as a body of 3 MiB can hold. More are
/// met where the same old list is looked at for very many items with one key.
const MAX_OLD_ITEMS: u64 = 1 << 20;

/// What is wrong, and how much is right.
pub(super) struct Outcome {
    pub(super) faults: Errors,
    pub(super) matches: u64,
    pub(super) left: Work,
    /// Whether this is the outcome of a branch.
    branch: bool,
}

/// Work that one object may still take beside looking at each of its values.
#[derive(Clone, Copy)]
pub(super) struct Work {
    steps: u64,
    old_items: u64,
    branch_values: u64,
    /// Whether a branch was given up.
    exhausted: bool,
}

/// One thing that is wrong. A composite's own fault has no place.
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

    /// The outcome of a branch, which shares its work with the whole.
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

    /// Takes a value that is looked at; says whether a branch may still do so.
    pub(super) fn take_value(&mut self) -> bool {
        let enough = !self.branch || take(&mut self.left.branch_values, 1);
        self.left.exhausted |= !enough;
        enough
    }

    /// Whether a branch was given up, so that the object is not known to be valid.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.left.exhausted
    }

    /// Takes steps of matching; says whether there were enough.
    pub(super) fn take_steps(&mut self, steps: u64) -> bool {
        take(&mut self.left.steps, steps)
    }

    /// Takes items of an old list; says whether there were enough.
    pub(super) fn take_old_items(&mut self, items: usize) -> bool {
        take(&mut self.left.old_items, items as u64)
    }

    /// Adds a fault, which is built only if there is room for it.
    pub(super) fn add(&mut self, fault: impl FnOnce() -> Fault) {
        self.faults.add(|| fault().0);
    }
}

fn take(left: &mut u64, amount: u64) -> bool {
    let after = left.checked_sub(amount);
    *left = after.unwrap_or(*left);
    after.is_some()
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Root => Ok(()),
            Way::Key(parent, key) => match parent {
                Way::Root => out.write_str(key),
                parent => write!(out, "{parent}.{key}"),
            },
            Way::Index(parent, index) => write!(out, "{parent}[{index}]"),
        }
    }
}

impl Fault {
    fn new(kind: ErrorType, way: Way<'_>, value: impl Into<Shown>, detail: String) -> Self {
        Self(Error::new(kind, way, value, detail))
    }

    pub(super) fn wrong_type(way: Way<'_>, want: &str, found: &str) -> Self {
        let quoted = api_types::go_text::quote(found);
        let detail = format!("{way} in body must be of type {want}: {quoted}");
        Self::new(ErrorType::TypeInvalid, way, found, detail)
    }

    pub(super) fn invalid(way: Way<'_>, value: impl Into<Shown>, what: &str) -> Self {
        Self::new(
            ErrorType::Invalid,
            way,
            value,
            format!("{way} in body {what}"),
        )
    }

    pub(super) fn too_long(way: Way<'_>, most: i64) -> Self {
        Self(Error::too_long(way, usize::try_from(most).unwrap_or(0)))
    }

    /// A text that is not matched with a pattern, because that might take many seconds.
    pub(super) fn unmatched(way: Way<'_>, pattern: &str) -> Self {
        let detail = format!("takes too long to match with '{pattern}'");
        Self::new(ErrorType::TooLong, way, Shown::omitted(), detail)
    }

    /// A branch that is not checked, and the object whose branches are not all checked, because that
    /// might take many seconds.
    pub(super) fn unchecked() -> Self {
        let detail = "takes too long to check with anyOf, oneOf, allOf and not";
        Self::new(
            ErrorType::TooLong,
            Way::Root,
            Shown::omitted(),
            detail.to_owned(),
        )
    }

    pub(super) fn too_many(way: Way<'_>, count: i64, most: i64) -> Self {
        let count = usize::try_from(count).unwrap_or(0);
        let most = usize::try_from(most).unwrap_or(0);
        Self(Error::too_many(way, count, most))
    }

    pub(super) fn required(way: Way<'_>, name: &str) -> Self {
        Self(Error::required(Way::Key(&way, name), ""))
    }

    pub(super) fn forbidden_field(way: Way<'_>, name: &str) -> Self {
        let detail = format!("{way}.{name} in body is a forbidden property");
        Self::new(ErrorType::Invalid, way, name, detail)
    }

    pub(super) fn not_supported(way: Way<'_>, value: &Value, values: &[Value]) -> Self {
        let texts: Vec<String> = values
            .iter()
            .map(|value| match value {
                Value::String(text) => text.clone(),
                other => String::from_utf8_lossy(&kube_json::to_vec(other)).into_owned(),
            })
            .collect();
        Self(Error::not_supported(way, value, &texts))
    }

    pub(super) fn bad_factor(way: Way<'_>, factor: String) -> Self {
        let detail = format!("factor MultipleOf declared for {way} must be positive: {factor}");
        Self::new(ErrorType::Invalid, way, Shown::verbatim(factor), detail)
    }

    /// A fault without a place of its own.
    pub(super) fn plain(text: String) -> Self {
        Self(Error::invalid("", "", text))
    }
}

/// A fault as it is reported, below a prefix if there is one.
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
