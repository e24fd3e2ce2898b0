//! Comparisons in filters, with the rules of Go's templates: values of different kinds do not
//! compare.

use std::cmp::Ordering;

use serde_json::Value;

use super::JsonPathError;

/// Whether a comparison holds.
pub(super) fn holds(left: &Value, operator: &str, right: &Value) -> Result<bool, JsonPathError> {
    let equal = || equal(left, right);
    let less = || Ok(order(left, right)? == Some(Ordering::Less));
    match operator {
        "==" => equal(),
        "!=" => Ok(!equal()?),
        "<" => less(),
        "<=" => Ok(less()? || equal()?),
        ">" => Ok(!(less()? || equal()?)),
        ">=" => Ok(!less()?),
        other => Err(JsonPathError(format!(
            "unrecognized filter operator {other}"
        ))),
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, JsonPathError> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        _ => Ok(order(left, right)? == Some(Ordering::Equal)),
    }
}

fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, JsonPathError> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Ok(Some(left.cmp(right))),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Ok(Some(left.cmp(&right))),
            (None, None) => {
                let (left, right) = (left.as_f64(), right.as_f64());
                Ok(left.partial_cmp(&right))
            }
            _ => Err(incompatible()),
        },
        (Value::Array(_) | Value::Object(_) | Value::Null, _)
        | (_, Value::Array(_) | Value::Object(_) | Value::Null) => {
            Err(JsonPathError(String::from("invalid type for comparison")))
        }
        _ => Err(incompatible()),
    }
}

fn incompatible() -> JsonPathError {
    JsonPathError(String::from("incompatible types for comparison"))
}
