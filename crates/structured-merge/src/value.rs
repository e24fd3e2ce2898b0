//! Order, equality and depth of JSON values, as structured-merge-diff defines them.
//!
//! Integers and floats are one kind: `1` equals `1.0`. An unsigned number beyond `i64` is a float,
//! because Go's decoder makes it one.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

/// A number by its kind in Go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Num {
    Int(i64),
    Float(f64),
}

/// How an integer is compared with a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// The integer is rounded to a float first, as in Go. Beyond 2^53 two different integers may
    /// then equal one float, so this is no total order.
    Rounded,
    /// By their exact values, which is a total order. Values that differ in the rounded order have
    /// the same order here, so a list sorted exactly is sorted in the rounded order as well.
    Exact,
}

/// The two kinds of number.
pub(crate) fn number(number: &Number) -> Num {
    match number.as_i64() {
        Some(integer) => Num::Int(integer),
        None => Num::Float(number.as_f64().unwrap_or(f64::MAX)),
    }
}

/// Order of values: numbers < strings < booleans < lists < maps < null.
// bounded: TypedValue and the reader of fieldsV1 limit the depth of values
pub(crate) fn compare(left: &Value, right: &Value, precision: Precision) -> Ordering {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(number(a), number(b), precision),
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            for (a, b) in a.iter().zip(b) {
                let order = compare(a, b, precision);
                if order.is_ne() {
                    return order;
                }
            }
            a.len().cmp(&b.len())
        }
        (Value::Object(a), Value::Object(b)) => compare_maps(a, b, precision),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Equality of values.
// bounded: TypedValue and the reader of fieldsV1 limit the depth of values
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            compare_numbers(number(a), number(b), Precision::Rounded).is_eq()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Null, Value::Null) => true,
        _ => false,
    }
}

/// Whether arrays and objects are nested more than `limit` levels deep.
pub(crate) fn is_deeper(value: &Value, limit: usize) -> bool {
    let mut rest = vec![(value, 0)];
    while let Some((value, depth)) = rest.pop() {
        let nested = matches!(value, Value::Array(_) | Value::Object(_));
        if nested && depth == limit {
            return true;
        }
        match value {
            Value::Array(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                rest.extend(members.values().map(|item| (item, depth + 1)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    false
}

/// The members of an object in the order of their names, whatever the order of `serde_json`'s map
/// is: its feature `preserve_order` may be enabled elsewhere.
pub(crate) fn sorted(map: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let mut members: Vec<(&str, &Value)> = map.iter().map(|(k, v)| (k.as_str(), v)).collect();
    if !members.is_sorted_by(|a, b| a.0 <= b.0) {
        members.sort_unstable_by(|a, b| a.0.cmp(b.0));
    }
    members
}

const fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn compare_numbers(left: Num, right: Num, precision: Precision) -> Ordering {
    match (left, right) {
        (Num::Int(a), Num::Int(b)) => a.cmp(&b),
        (Num::Float(a), Num::Float(b)) => compare_floats(a, b),
        (Num::Int(a), Num::Float(b)) => compare_mixed(a, b, precision),
        (Num::Float(a), Num::Int(b)) => compare_mixed(b, a, precision).reverse(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "Go rounds as well")]
fn compare_mixed(integer: i64, float: f64, precision: Precision) -> Ordering {
    let rounded = compare_floats(integer as f64, float);
    if precision == Precision::Rounded || rounded.is_ne() {
        return rounded;
    }
    // The float is integral here, and of the size of an i64 or exactly 2^63.
    #[expect(clippy::cast_possible_truncation, reason = "integral, within i128")]
    let exact = float as i128;
    i128::from(integer).cmp(&exact)
}

/// JSON has no NaN; floats that cannot be compared count as equal, as in Go.
fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

/// Go's walk of two maps: over the union of their keys in order, until a difference.
// bounded: as `compare`
fn compare_maps(
    left: &Map<String, Value>,
    right: &Map<String, Value>,
    precision: Precision,
) -> Ordering {
    let (a, b) = (sorted(left), sorted(right));
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        // Both have the same position until the first difference.
        let (Some((a_key, a_value)), Some((b_key, b_value))) = (a.get(i), b.get(j)) else {
            return a.len().cmp(&b.len());
        };
        let order = match a_key.cmp(b_key) {
            Ordering::Equal => compare(a_value, b_value, precision),
            // The key that sorts first is missing in the other map, which is the smaller one.
            Ordering::Less => Ordering::Less,
            Ordering::Greater => Ordering::Greater,
        };
        if order.is_ne() {
            return order;
        }
        i += 1;
        j += 1;
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use serde_json::{Value, json};

    use super::{Precision, compare, equal, is_deeper};

    fn order(left: &Value, right: &Value) -> Ordering {
        let order = compare(left, right, Precision::Rounded);
        assert_eq!(compare(right, left, Precision::Rounded), order.reverse());
        order
    }

    #[test]
    fn values_of_different_kinds_are_ordered_by_kind() {
        let sorted = [
            json!(-1.5),
            json!(0),
            json!(1),
            json!(u64::MAX),
            json!(""),
            json!("a"),
            json!(false),
            json!(true),
            json!([]),
            json!([1]),
            json!([1, 2]),
            json!([2]),
            json!({}),
            json!({"a": 1}),
            json!({"a": 1, "b": 1}),
            json!({"a": 2}),
            json!(null),
        ];
        for (i, left) in sorted.iter().enumerate() {
            for (j, right) in sorted.iter().enumerate() {
                assert_eq!(order(left, right), i.cmp(&j), "{left} {right}");
                assert_eq!(equal(left, right), i == j, "{left} {right}");
            }
        }
    }

    #[test]
    fn integers_and_floats_are_one_kind() {
        assert!(equal(&json!(1), &json!(1.0)));
        assert!(order(&json!(1), &json!(1.0)).is_eq());
        assert!(equal(&json!({"a": [1]}), &json!({"a": [1.0]})));
        assert!(!equal(&json!(1), &json!("1")));
    }

    #[test]
    fn large_integers_are_rounded_unless_exact() {
        let (int, float) = (
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992.0),
        );
        assert!(equal(&int, &float));
        assert!(compare(&int, &float, Precision::Exact).is_gt());
        assert!(
            compare(
                &json!(i64::MAX),
                &json!(9.223_372_036_854_776e18),
                Precision::Exact
            )
            .is_lt()
        );
    }

    #[test]
    fn depth_counts_nested_containers() {
        assert!(!is_deeper(&json!(1), 0));
        assert!(is_deeper(&json!([]), 0));
        assert!(!is_deeper(&json!({"a": [1]}), 2));
        assert!(is_deeper(&json!({"a": [{}]}), 2));
    }
}
