//! Path elements: how a field or an item is named within its container.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::text;
use crate::value::{self, Precision};

/// Names one member of a map or one item of a list.
///
/// Elements are ordered by kind, in the order of the variants, then by content. The order is that of
/// [`compare`](Self::compare); it is no [`Ord`], because integers are compared with floats after
/// rounding, as in Go: beyond 2^53, two different integers may equal the same float.
#[derive(Clone)]
pub enum PathElement {
    /// The member of a map with this name.
    Field(Arc<str>),
    /// The item of a list whose members have these values.
    Key(Arc<[KeyField]>),
    /// The item of a set with this value.
    Value(Arc<Value>),
    /// The item of a list at this position.
    Index(i64),
    /// The items of a set or keyed list that have no key. Values that were checked have none; only
    /// [`TypedValue::remove_items`](crate::TypedValue::remove_items) makes them. Not written to
    /// `fieldsV1`.
    Unkeyed,
}

/// One member of the key of a list item.
#[derive(Clone)]
pub struct KeyField {
    /// Name of the member.
    pub name: Arc<str>,
    /// Value of the member.
    pub value: Value,
}

/// The way from the root of an object to one of its fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path(pub Vec<PathElement>);

// === impl PathElement ===

impl PathElement {
    /// The member of a map with this name.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// The item of a list whose members have these values, in any order.
    #[must_use]
    pub fn key<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let fields = fields.into_iter();
        let mut fields: Vec<KeyField> = fields
            .map(|(name, value)| KeyField {
                name: name.into(),
                value,
            })
            .collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Self::Key(fields.into())
    }

    /// The item of a set with this value.
    #[must_use]
    pub fn value(value: Value) -> Self {
        Self::Value(Arc::new(value))
    }

    /// The order of elements within a set.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        self.compare_by(other, Precision::Rounded)
    }

    pub(crate) fn compare_by(&self, other: &Self, precision: Precision) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                for (a, b) in a.iter().zip(b.iter()) {
                    let order = a
                        .name
                        .cmp(&b.name)
                        .then_with(|| value::compare(&a.value, &b.value, precision));
                    if order.is_ne() {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), Self::Value(b)) => value::compare(a, b, precision),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
            Self::Unkeyed => 4,
        }
    }

    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Self::Key(fields) => {
                out.push('[');
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&field.name);
                    out.push('=');
                    text::in_path(&field.value, out);
                }
                out.push(']');
            }
            Self::Value(value) => {
                out.push_str("[=");
                text::in_path(value, out);
                out.push(']');
            }
            Self::Index(index) => out.push_str(&format!("[{index}]")),
            Self::Unkeyed => out.push_str("[]"),
        }
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

impl fmt::Debug for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&str> for PathElement {
    fn from(name: &str) -> Self {
        Self::field(name)
    }
}

// === impl Path ===

impl Path {
    /// A path of map members.
    ///
    /// ```
    /// use structured_merge::Path;
    ///
    /// assert_eq!(Path::fields(["spec", "replicas"]).to_string(), ".spec.replicas");
    /// ```
    #[must_use]
    pub fn fields<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(PathElement::field).collect())
    }
}

impl<E: Into<PathElement>> FromIterator<E> for Path {
    fn from_iter<T: IntoIterator<Item = E>>(elements: T) -> Self {
        Self(elements.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for element in &self.0 {
            element.write(&mut out);
        }
        f.write_str(&out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Path, PathElement};

    #[test]
    fn paths_print_as_in_go() {
        let path: Path = [
            PathElement::field("spec"),
            PathElement::key([("port", json!(80)), ("name", json!("a\"b"))]),
            PathElement::value(json!(1.5)),
            PathElement::Index(-1),
        ]
        .into_iter()
        .collect();
        assert_eq!(path.to_string(), r#".spec[name="a\"b",port=80][=1.5][-1]"#);
        assert_eq!(PathElement::value(json!(1e6)).to_string(), "[=1e+06]");
    }

    #[test]
    fn elements_are_ordered_by_kind_then_content() {
        let sorted = [
            PathElement::field(""),
            PathElement::field("a"),
            PathElement::field("b"),
            PathElement::key([]),
            PathElement::key([("a", json!(1))]),
            PathElement::key([("a", json!(1)), ("b", json!(0))]),
            PathElement::key([("a", json!("0"))]),
            PathElement::key([("b", json!(0))]),
            PathElement::value(json!(9)),
            PathElement::value(json!(10)),
            PathElement::value(json!("")),
            PathElement::Index(0),
            PathElement::Index(1),
        ];
        for (i, left) in sorted.iter().enumerate() {
            for (j, right) in sorted.iter().enumerate() {
                assert_eq!(left.compare(right), i.cmp(&j), "{left} {right}");
            }
        }
    }
}
