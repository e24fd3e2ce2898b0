//! Types of the fields of the Status in a denial.

use serde_json::{Map, Value};

/// A Status whose fields have the right types.
///
/// # Errors
/// The text of Go's decoder for the first field of another type.
pub(super) fn checked(status: &Value) -> Result<Value, String> {
    check(status)?;
    Ok(status.clone())
}

/// Checks the types of a Status.
///
/// # Errors
/// The text of Go's decoder for the first field of another type.
fn check(status: &Value) -> Result<(), String> {
    let at = Place {
        owner: "Status",
        path: "response.status",
    };
    let Some(status) = at.map(status, "v1.Status")? else {
        return Ok(());
    };
    for (key, go_type) in [
        ("kind", "string"),
        ("apiVersion", "string"),
        ("status", "string"),
        ("message", "string"),
        ("reason", "v1.StatusReason"),
    ] {
        at.text(status, key, go_type)?;
    }
    at.int32(status, "code")?;
    let Some(details) = status.get("details") else {
        return Ok(());
    };
    let Some(details) = at.field(details, "details", "v1.StatusDetails")? else {
        return Ok(());
    };
    let at = Place {
        owner: "StatusDetails",
        path: "response.status.details",
    };
    for (key, go_type) in [
        ("name", "string"),
        ("group", "string"),
        ("kind", "string"),
        ("uid", "types.UID"),
    ] {
        at.text(details, key, go_type)?;
    }
    at.int32(details, "retryAfterSeconds")?;
    match details.get("causes") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(causes)) => causes.iter().try_for_each(cause),
        Some(other) => Err(at.wrong(&shown(other), "causes", "[]v1.StatusCause")),
    }
}

fn cause(value: &Value) -> Result<(), String> {
    let details = Place {
        owner: "StatusDetails",
        path: "response.status.details",
    };
    let Some(cause) = details.field(value, "causes", "v1.StatusCause")? else {
        return Ok(());
    };
    let at = Place {
        owner: "StatusCause",
        path: "response.status.details.causes",
    };
    at.text(cause, "reason", "v1.CauseType")?;
    at.text(cause, "message", "string")?;
    at.text(cause, "field", "string")
}

/// A struct of Go, and its path in the review.
#[derive(Clone, Copy)]
struct Place {
    owner: &'static str,
    path: &'static str,
}

impl Place {
    fn wrong(self, found: &str, key: &str, go_type: &str) -> String {
        format!(
            "json: cannot unmarshal {found} into Go struct field {}.{}.{key} of type {go_type}",
            self.owner, self.path
        )
    }

    fn map<'a>(
        self,
        value: &'a Value,
        go_type: &str,
    ) -> Result<Option<&'a Map<String, Value>>, String> {
        match value {
            Value::Null => Ok(None),
            Value::Object(map) => Ok(Some(map)),
            other => Err(format!(
                "json: cannot unmarshal {} into Go value of type {go_type}",
                shown(other)
            )),
        }
    }

    fn field<'a>(
        self,
        value: &'a Value,
        key: &str,
        go_type: &str,
    ) -> Result<Option<&'a Map<String, Value>>, String> {
        let map = self.map(value, go_type);
        map.map_err(|_| self.wrong(&shown(value), key, go_type))
    }

    fn text(self, map: &Map<String, Value>, key: &str, go_type: &str) -> Result<(), String> {
        match map.get(key) {
            None | Some(Value::Null | Value::String(_)) => Ok(()),
            Some(other) => Err(self.wrong(kube_json::json_kind(other), key, go_type)),
        }
    }

    fn int32(self, map: &Map<String, Value>, key: &str) -> Result<(), String> {
        let Some(value) = map.get(key).filter(|it| !it.is_null()) else {
            return Ok(());
        };
        let fits = value.as_i64().is_some_and(|it| i32::try_from(it).is_ok());
        if fits {
            return Ok(());
        }
        Err(self.wrong(&shown(value), key, "int32"))
    }
}

/// A value as Go's decoder names it: a number with its digits.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(_) => format!(
            "number {}",
            String::from_utf8_lossy(&kube_json::to_vec(value))
        ),
        other => kube_json::json_kind(other).to_owned(),
    }
}
