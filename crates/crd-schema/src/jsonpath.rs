//! JSONPath in the dialect of Kubernetes (`k8s.io/client-go/util/jsonpath`).
//!
//! `.a.b`, `['quoted']`, `a\.b`, `[0]`, `[-1]`, `[1:3:2]`, `[0,2]`, `[*]`, `.*`, `..name`,
//! `[?(@.type=="Ready")]`. A missing field gives no result instead of an error.

mod compare;
mod eval;
mod parse;

use std::borrow::Cow;

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    /// The parts of the template: texts and expressions in braces.
    parts: Vec<Vec<Node>>,
}

/// Why a path cannot be parsed or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(String);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Field(String),
    Array(Slice),
    Filter {
        left: Vec<Self>,
        operator: String,
        right: Vec<Self>,
    },
    Integer(i64),
    Float(f64),
    Bool(bool),
    Wildcard,
    Recursive,
    Union(Vec<Vec<Self>>),
    Identifier(String),
}

/// `[start:end:step]`; an index is a slice with one item.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    /// Whether the end was derived from an index, so that `[-1]` ends at the list's end.
    derived: bool,
    step: Option<i64>,
}

impl JsonPath {
    /// Parses a path in the syntax of a column, without braces.
    ///
    /// # Errors
    /// If client-go rejects the path.
    pub fn parse(path: &str) -> Result<Self, JsonPathError> {
        let parts = parse::template(&format!("{{{path}}}"))?;
        Ok(Self { parts })
    }

    /// The values at the path; those of its first part if there are several.
    ///
    /// # Errors
    /// If a value has another type than the path requires, or an index is out of bounds.
    pub fn find<'a>(&self, object: &'a Value) -> Result<Vec<Cow<'a, Value>>, JsonPathError> {
        let mut first = None;
        for part in &self.parts {
            let found = eval::list(vec![Cow::Borrowed(object)], part)?;
            first.get_or_insert(found);
        }
        Ok(first.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::JsonPath;

    fn check(path: &str, want: &[Value]) {
        let object = json!({
            "a": {"b": 1, "x.y": 2, "n": null},
            "l": [
                {"t": "A", "s": "1", "v": 1},
                {"t": "Ready", "s": "True", "v": 2},
                {"t": "C", "s": "3", "v": 3},
            ],
            "s": "text",
        });
        let parsed = JsonPath::parse(path).expect(path);
        let found = parsed.find(&object).expect(path);
        let found: Vec<Value> = found.into_iter().map(|value| value.into_owned()).collect();
        assert_eq!(found, want, "{path}");
    }

    #[test]
    fn paths_find_the_values_of_kubernetes() {
        check(".a.b", &[json!(1)]);
        check("$.a.b", &[json!(1)]);
        check(".a['b']", &[json!(1)]);
        check(r".a['x\.y']", &[json!(2)]);
        check(r".a.x\.y", &[json!(2)]);
        check(".a.n", &[Value::Null]);
        check(".a.n.deeper", &[]);
        check(".nope", &[]);
        check(".s.t", &[]);
        check(".l[0].t", &[json!("A")]);
        check(".l[-1].t", &[json!("C")]);
        check(".l[-2].t", &[json!("Ready")]);
        check(".l[0:2].t", &[json!("A"), json!("Ready")]);
        check(".l[::2].t", &[json!("A"), json!("C")]);
        check(".l[1:].v", &[json!(2), json!(3)]);
        check(".l[0,2].t", &[json!("A"), json!("C")]);
        check(".l[*].t", &[json!("A"), json!("Ready"), json!("C")]);
        check(r#".l[?(@.t=="Ready")].s"#, &[json!("True")]);
        check(".l[?(@.t=='Ready')].s", &[json!("True")]);
        check(r#".l[?(@.t!="Ready")].s"#, &[json!("1"), json!("3")]);
        check(".l[?(@.v>1)].t", &[json!("Ready"), json!("C")]);
        check(".l[?(@.v)].t", &[json!("A"), json!("Ready"), json!("C")]);
        check(".l[?(@.nope)].t", &[]);
        check("..t", &[json!("A"), json!("Ready"), json!("C")]);
        check(".a.*", &[json!(1), Value::Null, json!(2)]);
        check("'text'", &[json!("text")]);
        check("5", &[json!(5)]);
    }

    #[test]
    fn paths_rejected_by_kubernetes_are_rejected() {
        for (path, want) in [
            (".a[", "unterminated array"),
            (".a[x]", "invalid array index x"),
            (".a[?(@.b==\"x\"", "unterminated filter"),
            ("..a....b", "invalid multiple recursive descent"),
            (".a#", ""),
            ("'x", "unterminated quoted string"),
            (".a #", "unrecognized character in action: U+0023 '#'"),
        ] {
            match JsonPath::parse(path) {
                Ok(_) => assert_eq!(want, "", "{path}"),
                Err(error) => assert_eq!(error.to_string(), want, "{path}"),
            }
        }
    }

    #[test]
    fn evaluation_errors_name_the_mismatch() {
        let object = json!({"l": [1], "s": "x", "m": {}});
        for (path, want) in [
            (".l[3]", "array index out of bounds: index 3, length 1"),
            (".s[0]", "string is not array or slice"),
            (".m[0]", "map[string]interface {} is not array or slice"),
        ] {
            let error = JsonPath::parse(path).and_then(|parsed| parsed.find(&object).map(|_| ()));
            assert_eq!(
                error.map_err(|error| error.to_string()),
                Err(want.to_owned()),
                "{path}"
            );
        }
    }
}
