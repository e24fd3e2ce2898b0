//! Evaluates the nodes of a path.

use std::borrow::Cow;

use serde_json::Value;

use super::compare::holds;
use super::{JsonPathError, Node, Slice};

type Found<'a> = Vec<Cow<'a, Value>>;

pub(super) fn list<'a>(input: Found<'a>, nodes: &[Node]) -> Result<Found<'a>, JsonPathError> {
    let mut found = input;
    for node in nodes {
        found = step(found, node)?;
    }
    Ok(found)
}

fn step<'a>(input: Found<'a>, node: &Node) -> Result<Found<'a>, JsonPathError> {
    let constant = |value: Value| input.iter().map(|_| Cow::Owned(value.clone())).collect();
    match node {
        Node::Text(text) => Ok(vec![Cow::Owned(Value::from(text.as_str()))]),
        Node::Integer(number) => Ok(constant(Value::from(*number))),
        Node::Float(number) => Ok(constant(Value::from(*number))),
        Node::Bool(value) => Ok(constant(Value::from(*value))),
        Node::Field(name) => Ok(each(input, |value, found| field(value, name, found))),
        Node::Wildcard => Ok(each(input, children)),
        Node::Recursive => Ok(each(input, descend)),
        Node::Array(slice) => array(input, *slice),
        Node::Filter {
            left,
            operator,
            right,
        } => filter(input, left, operator, right),
        Node::Union(parts) => {
            let mut found = Vec::new();
            for part in parts {
                found.extend(list(input.clone(), part)?);
            }
            Ok(found)
        }
        Node::Identifier(name) => Err(JsonPathError(format!("unrecognized identifier {name}"))),
    }
}

/// Values are borrowed from the object, or are constants, which have no children.
fn each<'a>(input: Found<'a>, visit: impl Fn(&'a Value, &mut Found<'a>)) -> Found<'a> {
    let mut found = Vec::new();
    for value in input {
        if let Cow::Borrowed(value) = value {
            visit(value, &mut found);
        }
    }
    found
}

fn field<'a>(value: &'a Value, name: &str, found: &mut Found<'a>) {
    let value = value.as_object().and_then(|map| map.get(name));
    found.extend(value.map(Cow::Borrowed));
}

fn children<'a>(value: &'a Value, found: &mut Found<'a>) {
    match value {
        Value::Object(map) => found.extend(map.values().map(Cow::Borrowed)),
        Value::Array(items) => found.extend(items.iter().map(Cow::Borrowed)),
        _ => {}
    }
}

/// Every non-empty map, list and string, from the root down.
fn descend<'a>(value: &'a Value, found: &mut Found<'a>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            found.push(Cow::Borrowed(value));
            map.values().for_each(|value| descend(value, found));
        }
        Value::Array(items) if !items.is_empty() => {
            found.push(Cow::Borrowed(value));
            items.iter().for_each(|value| descend(value, found));
        }
        Value::String(text) if !text.is_empty() => found.push(Cow::Borrowed(value)),
        _ => {}
    }
}

fn array<'a>(input: Found<'a>, slice: Slice) -> Result<Found<'a>, JsonPathError> {
    let mut found = Vec::new();
    for value in input {
        match value.as_ref() {
            Value::Null => continue,
            Value::Array(_) => {}
            other => {
                let kind = kube_json::go_type(other);
                return Err(JsonPathError(format!("{kind} is not array or slice")));
            }
        }
        let Cow::Borrowed(Value::Array(items)) = value else {
            continue;
        };
        let Some((range, step)) = bounds(slice, items.len())? else {
            return Ok(found);
        };
        let picked = items[range].iter().step_by(step);
        found.extend(picked.map(Cow::Borrowed));
    }
    Ok(found)
}

/// The range of a list that a slice selects; `None` if it is empty.
fn bounds(
    slice: Slice,
    length: usize,
) -> Result<Option<(std::ops::Range<usize>, usize)>, JsonPathError> {
    let count = i64::try_from(length).unwrap_or(i64::MAX);
    let mut start = slice.start.unwrap_or(0);
    if start < 0 {
        start = start.saturating_add(count);
    }
    let mut end = slice.end.unwrap_or(count);
    if end < 0 || (end == 0 && slice.derived) {
        end = end.saturating_add(count);
    }
    if start == end {
        return Ok(None);
    }
    let out_of_bounds = |index: i64| {
        let text = format!("array index out of bounds: index {index}, length {length}");
        Err(JsonPathError(text))
    };
    if start < 0 || start >= count {
        return out_of_bounds(start);
    }
    if end < 0 || end > count {
        return out_of_bounds(end.saturating_sub(1));
    }
    if start > end {
        let text = format!("starting index {start} is greater than ending index {end}");
        return Err(JsonPathError(text));
    }
    let step = slice.step.unwrap_or(1);
    let step = usize::try_from(step).ok().filter(|step| *step > 0);
    let step = step.ok_or_else(|| JsonPathError(String::from("step must be > 0")))?;
    let index = |number: i64| usize::try_from(number).unwrap_or(0);
    Ok(Some((index(start)..index(end), step)))
}

fn filter<'a>(
    input: Found<'a>,
    left: &[Node],
    operator: &str,
    right: &[Node],
) -> Result<Found<'a>, JsonPathError> {
    let mut found = Vec::new();
    for value in input {
        let Cow::Borrowed(Value::Array(items)) = value else {
            let text = "value is not array or slice and cannot be filtered";
            return Err(JsonPathError(text.to_owned()));
        };
        for item in items {
            if passes(item, left, operator, right)? {
                found.push(Cow::Borrowed(item));
            }
        }
    }
    Ok(found)
}

fn passes(
    item: &Value,
    left: &[Node],
    operator: &str,
    right: &[Node],
) -> Result<bool, JsonPathError> {
    let here = || vec![Cow::Borrowed(item)];
    let lefts = list(here(), left);
    if operator == "exists" {
        return Ok(lefts.is_ok_and(|found| !found.is_empty()));
    }
    let one = |found: &Found<'_>| match found.len() {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(JsonPathError(String::from(
            "can only compare one element at a time",
        ))),
    };
    let lefts = lefts?;
    if !one(&lefts)? {
        return Ok(false);
    }
    let rights = list(here(), right)?;
    if !one(&rights)? {
        return Ok(false);
    }
    holds(&lefts[0], operator, &rights[0])
}
