//! JSON patches of admission webhooks.

use kube_json::{ParseError, Weight};
use serde_json::Value;

use super::json_patch::JsonPatch;

/// A JSON patch of an admission webhook. Unlike that of a client, its errors have the texts of the
/// library that kube-apiserver uses, and unknown members are ignored.
#[derive(Debug)]
pub(crate) struct WebhookPatch(JsonPatch);

impl WebhookPatch {
    /// Parses a patch.
    ///
    /// # Errors
    /// The text of Go's decoder.
    pub(crate) fn parse(patch: &[u8]) -> Result<Self, String> {
        let parsed = kube_json::parse(patch).map_err(|error| match error {
            ParseError::Syntax(reason) => reason,
            error @ ParseError::TooLarge { .. } => error.to_string(),
        })?;
        JsonPatch::of_webhook(parsed.value).map(Self)
    }

    /// Whether there is no operation.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The operations, as a list.
    pub(crate) fn to_value(&self) -> Value {
        self.0.to_value()
    }

    /// Applies the patch.
    ///
    /// # Errors
    /// The library's text if an operation does not apply.
    pub(crate) fn apply(self, object: Value) -> Result<Value, String> {
        let patched = self.0.apply_all(object)?;
        let weight = Weight::of(&patched).check();
        weight.map_err(|error| error.to_string())?;
        Ok(patched)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(patch: &Value, expected: Result<Value, &str>) {
        let object = json!({"a": {"b": [1, 2]}, "c": 3});
        let parsed = WebhookPatch::parse(patch.to_string().as_bytes());
        let patched = parsed.and_then(|patch| patch.apply(object));
        assert_eq!(patched, expected.map_err(str::to_owned), "{patch}");
    }

    #[test]
    fn patches_apply_with_the_errors_of_the_library() {
        check(
            &json!([{"op": "add", "path": "/a/b/-", "value": 3, "x": 1}]),
            Ok(json!({"a": {"b": [1, 2, 3]}, "c": 3})),
        );
        check(
            &json!([{"op": "add", "path": "/x/y", "value": 3}]),
            Err("add operation does not apply: doc is missing path: \"/x/y\": missing value"),
        );
        check(
            &json!([{"op": "add", "path": "/a/b/9", "value": 3}]),
            Err(
                "error in add for path: '/a/b/9': Unable to access invalid index: 9: invalid index referenced",
            ),
        );
        check(
            &json!([{"op": "add", "path": "/a/b/x", "value": 3}]),
            Err(
                "error in add for path: '/a/b/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
            ),
        );
        check(
            &json!([{"op": "remove", "path": "/d"}]),
            Err(
                "error in remove for path: '/d': Unable to remove nonexistent key: d: missing value",
            ),
        );
        check(
            &json!([{"op": "replace", "path": "/a/b/7", "value": 0}]),
            Err("replace operation does not apply: doc is missing key: /a/b/7: missing value"),
        );
        check(
            &json!([{"op": "test", "path": "/c", "value": 4}]),
            Err("testing value /c failed: test failed"),
        );
        check(
            &json!([{"op": "move", "from": "/d", "path": "/e"}]),
            Err("error in move for path: 'd': Unable to remove nonexistent key: d: missing value"),
        );
        check(
            &json!([{"op": "add"}]),
            Err("add operation failed to decode path: missing value"),
        );
        check(&json!([{"path": "/c"}]), Err("Unexpected kind: unknown"));
        check(
            &json!({"op": "add"}),
            Err("json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        );
    }
}
