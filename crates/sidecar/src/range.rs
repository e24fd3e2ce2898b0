//! Validation and matching of key ranges.

use backend_proto::v1::{BackendError, Event, Key, Range};

use crate::key;
use crate::refuse::invalid;

/// Rejects a range without group or resource, or with parts that no key can have.
pub(crate) fn check(range: &Range) -> Result<(), BackendError> {
    if range.resource.is_empty() {
        return Err(invalid("the range names no resource"));
    }
    if range.name.is_some() && range.namespace.is_none() {
        return Err(invalid("a range with a name needs a namespace"));
    }
    let parts = [&range.group, &range.resource].into_iter();
    key::check_parts(parts.chain(&range.namespace).chain(&range.name))
}

/// Whether an event is in one of the ranges; an empty list matches every event.
pub(crate) fn holds(ranges: &[Range], event: &Event) -> bool {
    let key = event.record.as_ref().and_then(|record| record.key.as_ref());
    ranges.is_empty() || key.is_some_and(|key| ranges.iter().any(|range| has(range, key)))
}

fn has(range: &Range, key: &Key) -> bool {
    let same =
        |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    range.group == key.group
        && range.resource == key.resource
        && same(&range.namespace, &key.namespace)
        && same(&range.name, &key.name)
}
