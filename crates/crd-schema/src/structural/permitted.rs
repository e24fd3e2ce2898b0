//! The values of an `enum`.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;

use serde_json::{Number, Value};

/// The permitted values in order, with an index, because a list of many items may be compared with
/// an enum of many values.
#[derive(Clone, Debug, Default)]
pub struct Permitted {
    values: Vec<Value>,
    integers: HashSet<i64>,
    /// By their bits; zero is normalised to one sign.
    floats: HashSet<u64>,
    texts: HashSet<String>,
    /// Booleans, lists and maps by their JSON.
    others: HashMap<Vec<u8>, Vec<usize>>,
}

impl Permitted {
    /// Whether a value is permitted. Go converts the value to the permitted value's type before it
    /// compares.
    pub(crate) fn permit(&self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Number(number) => self.permit_number(number),
            Value::String(text) => self.texts.contains(text),
            // Avoids serialising a large value if no permitted value is a boolean, list or map.
            _ if self.others.is_empty() => false,
            value => {
                let same = self.others.get(&kube_json::to_vec(value));
                same.is_some_and(|same| same.iter().any(|index| self.values[*index] == *value))
            }
        }
    }

    fn add_number(&mut self, number: &Number) {
        if let Some(integer) = number.as_i64() {
            self.integers.insert(integer);
        } else if let Some(float) = number.as_f64() {
            self.floats.insert(bits(float));
        }
    }

    fn permit_number(&self, number: &Number) -> bool {
        let float = number.as_f64();
        // Truncates, as Go's conversion does.
        let integer = number.as_i64().or(float.map(|float| float as i64));
        integer.is_some_and(|integer| self.integers.contains(&integer))
            || float.is_some_and(|float| self.floats.contains(&bits(float)))
    }
}

impl From<Vec<Value>> for Permitted {
    fn from(values: Vec<Value>) -> Self {
        let mut permitted = Self::default();
        for (index, value) in values.iter().enumerate() {
            match value {
                Value::Number(number) => permitted.add_number(number),
                Value::String(text) => {
                    permitted.texts.insert(text.clone());
                }
                value => {
                    let same = permitted.others.entry(kube_json::to_vec(value));
                    same.or_default().push(index);
                }
            }
        }
        permitted.values = values;
        permitted
    }
}

impl Deref for Permitted {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.values
    }
}

fn bits(float: f64) -> u64 {
    // Adding zero makes -0.0 positive.
    (float + 0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Permitted;

    #[test]
    fn enum_values_compare_as_in_go() {
        let permitted = |values: Value| Permitted::from(values.as_array().cloned().unwrap());
        for (values, value, want) in [
            (json!([1, "a"]), json!(1), true),
            (json!([1, "a"]), json!(1.9), true),
            (json!([1, "a"]), json!(2), false),
            (json!([1, "a"]), json!("a"), true),
            (json!([1, "a"]), json!("1"), false),
            (json!([1.5]), json!(1.5), true),
            (json!([1.5]), json!(1), false),
            (json!([0.0]), json!(-0.0), true),
            (json!([null]), Value::Null, false),
            (json!([true]), json!(true), true),
            (json!([{"a": [1]}]), json!({"a": [1]}), true),
            (json!([{"a": [1]}]), json!({"a": [2]}), false),
        ] {
            assert_eq!(
                permitted(values.clone()).permit(&value),
                want,
                "{values} {value}"
            );
        }
    }
}
