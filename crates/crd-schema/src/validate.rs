//! Validates values against schemas, with the messages and the order of kube-openapi's validator.
//!
//! A valid object causes no allocation. Only an invalid object is traversed again, beside the old
//! one, and errors in values that an update leaves unchanged are dropped (ratcheting).

mod composite;
mod number;
mod outcome;

use std::collections::{HashMap, HashSet};

use api_types::field::Errors;
use serde_json::{Map, Value};

use crate::format;
use crate::structural::{Additional, Kind, ListType, Structural};
use outcome::{Fault, Location, Outcome, report};

/// Reports the errors of an object. With an old object, errors in unchanged values are dropped.
#[must_use]
pub fn validate(object: &Value, old: Option<&Value>, schema: &Structural) -> Errors {
    run(object, old, schema, None)
}

/// Reports the errors of an object's status; ignores all other fields.
#[must_use]
pub fn validate_status(object: &Value, old: Option<&Value>, schema: &Structural) -> Errors {
    let status = object.get("status");
    let schema = schema.properties.get("status");
    let (Some(status), Some(schema)) = (status, schema) else {
        return Errors::new();
    };
    // An old object without status has a null status.
    let old = old.map(|old| old.get("status").unwrap_or(&Value::Null));
    run(status, old, schema, Some("status"))
}

fn run(value: &Value, old: Option<&Value>, schema: &Structural, prefix: Option<&str>) -> Errors {
    let mut outcome = Outcome::new();
    node(value, schema, Location::Root, None, &mut outcome);
    let exhausted = outcome.is_exhausted();
    if outcome.faults.is_empty() && !exhausted {
        return outcome.faults;
    }
    if let Some(old) = old {
        outcome = Outcome::new();
        let old = Old { value: old, schema };
        ratcheting(value, schema, Location::Root, old, &mut outcome);
    }
    if exhausted || outcome.is_exhausted() {
        // Branches of `not` and `anyOf` may have dropped this error; repeated errors are dropped
        // below.
        outcome.add(Fault::unchecked);
    }
    let mut seen = HashSet::new();
    outcome.faults.filter_map(|fault| {
        let error = report(fault, prefix);
        seen.insert((error.to_string(), error.kind))
            .then_some(error)
    })
}

/// A value of the old object, and the schema that correlates its items.
#[derive(Clone, Copy)]
struct Old<'a> {
    value: &'a Value,
    schema: &'a Structural,
}

/// Validates a value that has an old one; reports nothing if both are equal.
fn ratcheting(
    value: &Value,
    schema: &Structural,
    location: Location<'_>,
    old: Old<'_>,
    outcome: &mut Outcome,
) {
    let before = outcome.faults.mark();
    node(value, schema, location, Some(old), outcome);
    if outcome.faults.grown_since(before) && value == old.value {
        outcome.faults.rewind(before);
    }
}

fn child(
    value: &Value,
    schema: &Structural,
    location: Location<'_>,
    old: Option<Old<'_>>,
    outcome: &mut Outcome,
) {
    match old {
        Some(old) => ratcheting(value, schema, location, old, outcome),
        None => node(value, schema, location, None, outcome),
    }
}

/// Validates a value. `outcome.matches` counts matching keywords, to find the closest branch of a
/// composite.
fn node(
    value: &Value,
    schema: &Structural,
    location: Location<'_>,
    old: Option<Old<'_>>,
    outcome: &mut Outcome,
) {
    // The object is already rejected, so further errors are not needed.
    if outcome.is_exhausted() {
        return;
    }
    if !outcome.take_value() {
        outcome.add(Fault::unchecked);
        return;
    }
    types(value, schema, location, outcome);
    if value.is_null() {
        values(value, schema, location, outcome);
        return;
    }
    composite::check(value, schema, location, old, outcome);
    match value {
        Value::String(text) => string(text, schema, location, outcome),
        Value::Number(number) => number::check(number, schema, location, outcome),
        Value::Array(items) => array(items, schema, location, old, outcome),
        _ => {}
    }
    values(value, schema, location, outcome);
    if let Value::Object(map) = value {
        object(map, schema, location, old, outcome);
        outcome.matches += 1;
    }
    // One for the values and one for the node itself, as kube-openapi counts.
    outcome.matches += 2;
}

/// The format if it applies to the schema's type.
fn effective_format(schema: &Structural) -> &str {
    let kind = if schema.extensions.int_or_string {
        None
    } else {
        schema.kind
    };
    let format = schema.rules.format.as_str();
    if !format.is_empty() && format::recognized(kind, format) {
        format
    } else {
        ""
    }
}

fn types(value: &Value, schema: &Structural, location: Location<'_>, outcome: &mut Outcome) {
    let both = schema.extensions.int_or_string;
    let format = effective_format(schema);
    let typed = both || schema.kind.is_some();
    let accepts = |kind: Kind| {
        if both {
            matches!(kind, Kind::Integer | Kind::String)
        } else {
            schema.kind == Some(kind)
        }
    };
    let wanted = || match schema.kind {
        _ if both => "integer,string",
        Some(kind) => kind.name(),
        None => "",
    };
    let found = match value {
        Value::Null => {
            if typed && !schema.nullable {
                outcome.add(|| Fault::wrong_type(location, wanted(), "null"));
            } else {
                outcome.matches += 1;
            }
            return;
        }
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_i64() => Kind::Integer,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    };
    if !typed && format.is_empty() {
        return;
    }
    outcome.matches += 1;
    let whole = found == Kind::Number
        && accepts(Kind::Integer)
        && value.as_f64().is_some_and(number::is_integer);
    let fits = accepts(found) || whole || (found == Kind::Integer && accepts(Kind::Number));
    let numeric = accepts(Kind::Number) || accepts(Kind::Integer);
    let plain = matches!(found, Kind::String | Kind::Array);
    if !plain && !format.is_empty() && !fits {
        let found = match found {
            Kind::Integer => "int64",
            Kind::Number => "float64",
            _ => "",
        };
        outcome.add(|| Fault::wrong_type(location, format, found));
    } else if fits || (plain && !format.is_empty() && !numeric) {
        outcome.matches += 1;
    } else {
        outcome.add(|| Fault::wrong_type(location, wanted(), found.name()));
    }
}

/// Reports at most one of length and pattern.
fn string(text: &str, schema: &Structural, location: Location<'_>, outcome: &mut Outcome) {
    let rules = &schema.rules;
    let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(most) = rules.max_length.filter(|most| length() > *most) {
        outcome.add(|| Fault::too_long(location, most));
    } else if let Some(least) = rules.min_length.filter(|least| length() < *least) {
        outcome.add(|| {
            let detail = format!("should be at least {least} chars long");
            Fault::invalid(location, text, &detail)
        });
    } else if let Some(pattern) = &rules.pattern
        && !outcome.take_steps(pattern.steps(text))
    {
        outcome.add(|| Fault::unmatched(location, pattern.as_str()));
    } else if let Some(pattern) = &rules.pattern
        && !pattern.is_match(text)
    {
        outcome.add(|| {
            let detail = format!("should match '{}'", pattern.as_str());
            Fault::invalid(location, text, &detail)
        });
    }
    outcome.matches += 1;
    let format = effective_format(schema);
    if !format.is_empty() && !matches!(format, "int32" | "int64" | "float" | "double") {
        if !format::is_valid(format, text) {
            outcome.add(|| Fault::wrong_type(location, format, text));
        }
        outcome.matches += 1;
    }
}

fn array(
    items: &[Value],
    schema: &Structural,
    location: Location<'_>,
    old: Option<Old<'_>>,
    outcome: &mut Outcome,
) {
    let rules = &schema.rules;
    if let Some(below) = schema.items.as_deref() {
        let before = old.and_then(|old| OldItems::new(old, outcome));
        for (index, item) in items.iter().enumerate() {
            let old = before.as_ref().and_then(|before| before.find(item));
            child(item, below, Location::Index(&location, index), old, outcome);
        }
    }
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if let Some(least) = rules.min_items.filter(|least| count < *least) {
        let detail = format!("should have at least {least} items");
        outcome.add(|| Fault::invalid(location, count, &detail));
    }
    if let Some(most) = rules.max_items.filter(|most| count > *most) {
        outcome.add(|| Fault::too_many(location, count, most));
    }
    outcome.matches += 2;
}

/// The old items of a map list by their keys; items of other lists do not correlate.
struct OldItems<'a> {
    items: HashMap<Vec<u8>, &'a Value>,
    keys: &'a [String],
    schema: &'a Structural,
}

impl<'a> OldItems<'a> {
    fn new(old: Old<'a>, outcome: &mut Outcome) -> Option<Self> {
        let Value::Array(items) = old.value else {
            return None;
        };
        if old.schema.extensions.list_type != Some(ListType::Map)
            || !outcome.take_old_items(items.len())
        {
            return None;
        }
        let keys = old.schema.extensions.list_map_keys.as_slice();
        let mut found = HashMap::with_capacity(items.len());
        for item in items {
            found.entry(item_key(item, keys)).or_insert(item);
        }
        Some(Self {
            items: found,
            keys,
            schema: old.schema.items.as_deref()?,
        })
    }

    fn find(&self, item: &Value) -> Option<Old<'a>> {
        let value = *self.items.get(&item_key(item, self.keys))?;
        let schema = self.schema;
        Some(Old { value, schema })
    }
}

fn item_key(item: &Value, keys: &[String]) -> Vec<u8> {
    let mut text = Vec::new();
    for key in keys {
        kube_json::write(item.get(key).unwrap_or(&Value::Null), &mut text);
        text.push(b',');
    }
    text
}

fn values(value: &Value, schema: &Structural, location: Location<'_>, outcome: &mut Outcome) {
    let values = &schema.rules.values;
    if !values.is_empty() && !values.permit(value) {
        outcome.add(|| Fault::not_supported(location, value, values));
    }
}

fn object(
    map: &Map<String, Value>,
    schema: &Structural,
    location: Location<'_>,
    old: Option<Old<'_>>,
    outcome: &mut Outcome,
) {
    let rules = &schema.rules;
    let count = i64::try_from(map.len()).unwrap_or(i64::MAX);
    if let Some(least) = rules.min_properties.filter(|least| count < *least) {
        let detail = format!("should have at least {least} properties");
        outcome.add(|| Fault::invalid(location, count, &detail));
    }
    if let Some(most) = rules.max_properties.filter(|most| count > *most) {
        outcome.add(|| Fault::too_many(location, count, most));
    }
    let root = matches!(location, Location::Root);
    for (key, value) in map {
        let below = match schema.properties.get(key) {
            Some(below) => below,
            None => match &schema.additional_properties {
                Some(Additional::Schema(below)) => below,
                Some(Additional::Any(false)) => {
                    outcome.add(|| Fault::forbidden_field(location, key));
                    continue;
                }
                Some(Additional::Any(true)) | None => continue,
            },
        };
        let old = old
            .filter(|_| !(root && matches!(key.as_str(), "kind" | "apiVersion")))
            .and_then(|old| {
                let value = old.value.as_object()?.get(key)?;
                let schema = old.schema.field(key)?;
                Some(Old { value, schema })
            });
        child(value, below, Location::Key(&location, key), old, outcome);
    }
    for name in &rules.required {
        if !map.contains_key(name) {
            outcome.add(|| Fault::required(location, name));
        }
    }
}

#[cfg(test)]
mod tests;
