//! Bodies that are not objects: errors with the text of Go's decoder.

use serde_json::Value;

/// Bytes of the body that an error quotes.
const SUMMARY: usize = 30;

/// The struct that Go decodes version and kind into.
const TARGET: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                      \"json:\\\"kind,omitempty\\\"\" }";

/// The operation in Go's error text.
const PARSING: &str = "couldn't get version/kind; json parse error";

/// Whether version and kind have the right types; they may be absent.
pub(super) fn interpret(value: &Value) -> Result<(), String> {
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Ok(()),
        other => {
            let kind = kube_json::json_kind(other);
            return Err(format!(
                "{PARSING}: json: cannot unmarshal {kind} into Go value of type {TARGET}"
            ));
        }
    };
    for key in ["apiVersion", "kind"] {
        if let Some(value) = map.get(key).filter(|it| !it.is_string() && !it.is_null()) {
            let kind = kube_json::json_kind(value);
            return Err(format!(
                "{PARSING}: json: cannot unmarshal {kind} into Go struct field .{key} of type string"
            ));
        }
    }
    Ok(())
}

/// Prefix of a body: as text if it looks like JSON, else in hexadecimal.
pub(super) fn summary(body: &[u8]) -> String {
    let shown = &body[..body.len().min(SUMMARY)];
    let mut text = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > SUMMARY {
        text.push_str(" ...");
    }
    text
}
